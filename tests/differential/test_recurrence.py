"""Recurrent networks against eager PyTorch: traced once, at other sizes, saved, and at any number of threads."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import unmoor
from unmoor.errors import NotTraced, SignatureError, Unsupported
from unmoor.kernels import grain

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "tanh": nn.RNN,
    "relu": lambda *args, **kwargs: nn.RNN(*args, nonlinearity="relu", **kwargs),
}
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without biases": {"bias": False},
    "batch first": {"batch_first": True},
    "bidirectional": {"bidirectional": True, "batch_first": True},
    "deep": {"num_layers": 3, "bidirectional": True, "dropout": 0.5},
}


def close(got: Any, want: Any) -> None:
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            close(g, w)
    else:
        torch.testing.assert_close(torch.as_tensor(got), want, rtol=2e-5, atol=1e-5)


def through_a_file(traced: Any, **options: Any) -> Any:
    file = io.BytesIO()
    unmoor.save(traced, file)
    return unmoor.load(file.getvalue(), trust=True, **options)


def agrees(net: Callable[..., Any], *calls: tuple[Any, ...]) -> Any:
    """Traced with the first of the calls, traced and saved right on all of them."""
    if isinstance(net, nn.Module):
        net.eval()
    with torch.no_grad():
        traced = unmoor.trace(net, *calls[0])
        for call in calls:
            close(traced(*call), net(*call))
        model = through_a_file(traced)
        for call in calls:
            close(model(*call), net(*call))
    return traced


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_any_length_and_batch(name: str, form: str) -> None:
    torch.manual_seed(1)
    net = NETWORKS[name](5, 7, **FORMS[form])
    agrees(net, *((torch.randn(a, b, 5),) for a, b in ((3, 2), (1, 1), (2, 6), (9, 1))))


def test_initial_states_are_inputs() -> None:
    torch.manual_seed(1)
    states = [(torch.randn(2, n, 4), torch.randn(2, n, 4)) for n in (3, 1)]
    agrees(nn.LSTM(3, 4, 2), (torch.randn(5, 3, 3), states[0]), (torch.randn(2, 1, 3), states[1]))
    agrees(nn.GRU(3, 4, 2), (torch.randn(5, 3, 3), states[0][0]), (torch.randn(2, 1, 3), states[1][0]))


def test_projections() -> None:
    torch.manual_seed(1)
    net = nn.LSTM(3, 6, 2, proj_size=4, bidirectional=True)
    agrees(net, (torch.randn(5, 2, 3),), (torch.randn(2, 1, 3),))


def test_without_a_batch_axis() -> None:
    torch.manual_seed(1)
    agrees(nn.LSTM(3, 4), (torch.randn(5, 3),), (torch.randn(2, 3),))
    agrees(nn.GRU(3, 4, batch_first=True), (torch.randn(5, 3),), (torch.randn(1, 3),))


def test_float64_and_large_values() -> None:
    torch.manual_seed(1)
    agrees(nn.LSTM(3, 4).double(), (torch.randn(5, 2, 3).double() * 100,), (torch.randn(2, 1, 3).double(),))


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(cell: Callable[..., nn.Module]) -> None:
    torch.manual_seed(1)
    agrees(cell(3, 4), (torch.randn(5, 3),), (torch.randn(1, 3),))
    agrees(cell(3, 4), (torch.randn(3),))


def test_a_classifier_around_one() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.lstm, self.head = nn.Embedding(20, 8), nn.LSTM(8, 9, 2, batch_first=True), nn.Linear(9, 3)

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            return self.head(self.lstm(self.embed(words))[0][:, -1]).softmax(-1)

    torch.manual_seed(1)
    agrees(Reader(), (torch.randint(20, (2, 6)),), (torch.randint(20, (5, 1)),))


def test_the_last_state_alone() -> None:
    """What nothing uses is not stacked."""
    torch.manual_seed(1)
    net = nn.GRU(3, 4)
    traced = agrees(lambda x: net(x)[1], (torch.randn(5, 2, 3),), (torch.randn(3, 4, 3),))
    (loop,) = (n for n in traced.graph_for(torch.randn(5, 2, 3)).splitlines() if "prim::Loop" in n)
    assert loop.count("f32[") == 1


def test_weights_that_are_inputs() -> None:
    """Not saved: the check before it would call `torch.lstm` with sizes at which eager PyTorch crashes."""
    torch.manual_seed(1)
    params = [torch.randn(s) for s in ((8, 3), (8, 2), (8,), (8,))]

    def net(x: torch.Tensor, *weights: torch.Tensor) -> Any:
        zeros = torch.zeros(1, x.shape[1], 2)
        return torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, False, False, False)

    traced = unmoor.trace(net, torch.randn(4, 2, 3), *params)
    for shape in ((4, 2, 3), (1, 3, 3)):
        x = torch.randn(shape)
        close(traced(x, *params), net(x, *params))


def test_what_eager_refuses() -> None:
    net = nn.LSTM(3, 4).eval()
    traced = unmoor.trace(net, torch.randn(5, 2, 3))
    with pytest.raises((SignatureError, NotTraced)):
        traced(torch.randn(0, 2, 3))
    with pytest.raises((SignatureError, NotTraced)):
        through_a_file(traced)(torch.randn(0, 2, 3))


def test_dropout_in_training_is_refused() -> None:
    net = nn.LSTM(3, 4, 2, dropout=0.5).train()
    with pytest.raises(Unsupported, match=r"\.eval\(\)"):
        unmoor.trace(net, torch.randn(5, 2, 3))(torch.randn(5, 2, 3))


def test_packed_sequences_are_refused_with_the_way_out() -> None:
    net = nn.LSTM(3, 4).eval()
    with pytest.raises(Unsupported, match=r"test_recurrence.py:\d+.*packed.*padded"):
        unmoor.trace(lambda x: net(pack_padded_sequence(x, torch.tensor([5, 3]))), torch.randn(5, 2, 3))


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grain, "PIECE", 500)
    torch.manual_seed(1)
    net = nn.LSTM(9, 40, 2, bidirectional=True).eval()
    traced = unmoor.trace(net, torch.randn(3, 2, 9))
    x = torch.randn(6, 33, 9)
    results = [through_a_file(traced, threads=n)(x)[0] for n in (1, 2, 3)]
    with torch.no_grad():
        close(results[0], net(x)[0])
    for result in results[1:]:
        assert torch.equal(torch.as_tensor(result), torch.as_tensor(results[0]))
