"""A text classifier around an LSTM: one file for every length and batch, and a network that keeps its state.

python examples/lstm.py
"""

import torch
from torch import nn

import unmoor


class Reader(nn.Module):
    """Words to a class: an embedding, two layers read in both directions, and the last outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, 32)
        self.lstm = nn.LSTM(32, 48, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
        self.head = nn.Linear(96, 4)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.embed(words))[0].mean(1)).softmax(-1)


torch.manual_seed(0)
reader, gru = Reader().eval(), nn.GRU(8, 16).eval()
with torch.no_grad():
    traced = unmoor.trace(reader, torch.randint(1000, (2, 12)))
    digest = unmoor.save(traced, "lstm.unmoor")
    model = unmoor.load("lstm.unmoor", trust=digest)
    print(model)
    for shape in ((2, 12), (1, 1), (16, 7), (3, 200)):
        words = torch.randint(1000, shape)
        ours, eager = model(words), reader(words)
        torch.testing.assert_close(ours, eager, rtol=1e-4, atol=1e-5)
        print(f"{shape[0]} texts of {shape[1]} words: class {int(ours[0].argmax())}, as eager PyTorch")

    # Piece by piece: the state that one call returns is an input of the next.
    stream, whole = unmoor.trace(gru, torch.randn(5, 1, 8), torch.zeros(1, 1, 16)), torch.randn(30, 1, 8)
    state, outputs = torch.zeros(1, 1, 16), []
    for piece in whole.split((1, 9, 20)):
        output, state = stream(piece, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs), gru(whole)[0], rtol=1e-4, atol=1e-5)
    print(f"a stream in {len(outputs)} pieces gives what the whole does")
