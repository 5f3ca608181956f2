"""BERT as people call it: named inputs, a padded batch as a second example, one file for every mask, batch and length.

python examples/bert.py    (needs the transformers package; the weights are random: nothing is downloaded)
"""

import torch
import transformers

import unmoor


def tokens(*lengths: int) -> dict[str, torch.Tensor]:
    """A batch of sentences as a tokenizer gives it: the shorter ones padded to the longest, with their mask."""
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in zip(mask, lengths, strict=True):
        row[:length] = 1
    return {"input_ids": torch.randint(5, 1000, mask.shape) * mask, "attention_mask": mask}


torch.manual_seed(0)
size = {"vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
config = transformers.BertConfig(**size, intermediate_size=128, num_labels=3)
bert = transformers.BertForSequenceClassification(config).eval()

with torch.no_grad():
    traced = unmoor.trace(bert, **tokens(12, 12))  # nothing is padded: BERT then attends without a mask
    try:
        traced(**tokens(12, 7))
    except unmoor.NotTraced as error:
        print(f"one example, and a padded batch: {error}\n")
    traced.add_example(**tokens(12, 7))  # the other side of that branch; both are in the file
    digest = unmoor.save(traced, "bert.unmoor")
    model = unmoor.load("bert.unmoor", trust=digest)
    print(model)
    for lengths in ((12, 12), (12, 7), (5,), (30, 2, 17), (512, 100), (3,) * 16):
        batch = tokens(*lengths)
        ours, eager = model(**batch), bert(**batch)
        assert list(ours) == list(eager.keys())
        torch.testing.assert_close(ours["logits"], eager.logits, rtol=1e-4, atol=1e-4)
        print(
            f"{len(lengths)} sentences of at most {max(lengths)} tokens: {ours['logits'][0].tolist()}, as eager PyTorch"
        )
