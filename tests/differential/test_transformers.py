"""Models of transformers as people call them: named arguments, outputs as dicts, padding, caches, tied weights."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch

import unmoor
from unmoor.errors import Unsupported

transformers = pytest.importorskip("transformers")

SMALL = dict(vocab_size=99, num_hidden_layers=2, num_attention_heads=4, hidden_size=32, intermediate_size=37)
GPT2 = dict(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)
T5 = dict(vocab_size=99, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, decoder_start_token_id=0)


@pytest.fixture(autouse=True)
def no_gradients():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def model_of(name: str, config: str, **options):
    transformers.logging.set_verbosity_error()
    return getattr(transformers, name)(getattr(transformers, config)(**options)).eval()


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(3, 99, (batch, length))


def tokens(batch: int, length: int, mask: torch.Tensor | None = None) -> transformers.BatchEncoding:
    given = torch.ones(batch, length, dtype=torch.int64) if mask is None else mask
    return transformers.BatchEncoding({"input_ids": ids(batch, length), "attention_mask": given})


def saved(traced, folder):
    return unmoor.load(folder / "m.unmoor", trust=unmoor.save(traced, folder / "m.unmoor", check=False))


def agree(got, want):
    assert list(got) == list(want.keys())
    for key, value in want.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-4)


def test_bert_with_one_padded_example_serves_every_mask(tmp_path):
    bert = model_of("BertModel", "BertConfig", **SMALL, max_position_embeddings=64)
    traced = unmoor.trace(bert, **tokens(2, 7))
    padded = torch.ones(2, 7, dtype=torch.int64)
    padded[0, 5:] = 0
    traced.add_example(**tokens(2, 7, padded))
    loaded = saved(traced, tmp_path)
    assert type(traced(**tokens(2, 7))) is type(bert(**tokens(2, 7)))
    for batch, length in itertools.product((1, 2, 5), (1, 3, 64)):
        ones = torch.ones(batch, length, dtype=torch.int64)
        left, first = ones.clone(), ones.clone()
        left[-1, 0] = first[0] = 0
        for mask in (ones, left, first, 0 * ones, (torch.rand(batch, length) > 0.5).long()):
            given = tokens(batch, length, mask)
            want = bert(**given)
            agree(traced(**given), want)
            agree(loaded(**given), want)
            agree(loaded(**{k: v.numpy() for k, v in given.items()}) | {}, {k: v.numpy() for k, v in want.items()})


def test_tied_weights_are_in_the_file_once(tmp_path):
    gpt2 = model_of("GPT2LMHeadModel", "GPT2Config", **GPT2 | {"vocab_size": 8192, "n_embd": 128})
    traced = unmoor.trace(gpt2, **tokens(2, 7), use_cache=False)
    loaded = saved(traced, tmp_path)
    given = tokens(3, 5)
    agree(loaded(**given, use_cache=False), gpt2(**given, use_cache=False))
    weights = sum(p.numel() * 4 for p in gpt2.parameters())  # each once
    assert (tmp_path / "m.unmoor").stat().st_size < weights + 1_000_000


def test_t5_with_named_inputs(tmp_path):
    t5 = model_of("T5ForConditionalGeneration", "T5Config", **T5)
    traced = unmoor.trace(t5, **tokens(2, 7), decoder_input_ids=ids(2, 4), use_cache=False)
    loaded = saved(traced, tmp_path)
    weights = sum(p.numel() * 4 for p in t5.parameters())
    assert (tmp_path / "m.unmoor").stat().st_size < weights + 1_000_000
    given = dict(tokens(3, 5), decoder_input_ids=ids(3, 6), use_cache=False)
    agree(loaded(**given), t5(**given))


def test_caches_are_results_and_arguments(tmp_path):
    gpt2 = model_of("GPT2LMHeadModel", "GPT2Config", **GPT2)

    def step(token, cache):
        return gpt2(input_ids=token, cache=copy.deepcopy(cache))

    (tmp_path / "step").mkdir()
    prefill = unmoor.trace(gpt2, input_ids=ids(2, 7))
    out = prefill(input_ids=ids(2, 6))
    assert type(out.cache) is transformers.DynamicCache
    decode = unmoor.trace(step, ids(2, 1), out.cache)
    begin, go_on = saved(prefill, tmp_path), saved(decode, tmp_path / "step")
    prompt, more = ids(3, 5), ids(3, 2)
    want = gpt2(input_ids=torch.cat([prompt, more], 1)).logits
    for first, then in ((prefill, decode), (begin, go_on)):
        out = first(input_ids=prompt)
        for at in range(2):
            out = then(more[:, at : at + 1], out["cache"])
            torch.testing.assert_close(out["logits"][:, 0], want[:, 5 + at], rtol=1e-4, atol=1e-4)
    with pytest.raises(Unsupported, match=r"changes the argument cache, a DynamicCache.*copy.deepcopy\(cache\)"):
        unmoor.trace(gpt2, input_ids=ids(2, 1), cache=prefill(input_ids=ids(2, 7)).cache)


@pytest.mark.parametrize("name", ["GPT2", "Llama"])
def test_greedy_decoding_with_a_cache_that_grows(name):
    options = dict(GPT2=GPT2, Llama=SMALL | {"num_key_value_heads": 2, "max_position_embeddings": 64})[name]
    model = model_of(f"{name}LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM", f"{name}Config", **options)

    def step(token, cache):
        return model(input_ids=token, cache=copy.deepcopy(cache))

    def decoded(first, then, prompt):
        out = first(input_ids=prompt)
        tokens = [prompt]
        for _ in range(12):
            tokens.append(torch.as_tensor(out["logits"])[:, -1:].argmax(-1))
            out = then(tokens[-1], out["cache"])
        return torch.cat(tokens, 1)

    prefill = unmoor.trace(model, input_ids=ids(2, 7))
    decode = unmoor.trace(step, ids(2, 1), prefill(input_ids=ids(2, 7)).cache)
    loaded = [unmoor.load(t.to_bytes(), trust=True) for t in (prefill, decode)]
    for batch, length in ((1, 2), (3, 5)):
        prompt = ids(batch, length)
        want = model.generate(prompt, max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=None)
        assert torch.equal(decoded(prefill, decode, prompt), want)
        assert torch.equal(decoded(*loaded, prompt), want)
