"""What calls change: arguments written in place, and state. Eager PyTorch, called as often, is the oracle."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unmoor


def agree(make: Callable[[], Any], *argument_sets: tuple[torch.Tensor, ...]) -> unmoor.TracedFunction:
    """Results, arguments and state are eager PyTorch's after every call, traced and saved."""
    with torch.no_grad():
        program = make()
        before = copy.deepcopy(program.state_dict()) if isinstance(program, nn.Module) else {}
        traced = unmoor.trace(program, *copy.deepcopy(argument_sets[0]))
        for name, value in before.items():
            assert torch.equal(program.state_dict()[name], value)
        for called in (traced, unmoor.load(traced.to_bytes(), trust=True)):
            eager = make()
            for arguments in argument_sets * 2:
                theirs, ours = copy.deepcopy(arguments), copy.deepcopy(arguments)
                torch.testing.assert_close(called(*ours), eager(*theirs))
                torch.testing.assert_close(ours, theirs)
                for name, value in called.state().items():
                    torch.testing.assert_close(torch.from_numpy(value), eager.get_parameter_or_buffer(name))
            called.reset_state()
            for name, value in called.state().items():
                assert torch.equal(torch.from_numpy(value), before[name])
    return traced


class Stateful(nn.Module):
    def get_parameter_or_buffer(self, name: str) -> torch.Tensor:
        return {**dict(self.named_buffers()), **dict(self.named_parameters())}[name].detach()


class Counter(Stateful):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.weight = nn.Parameter(torch.arange(12.0).reshape(3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return nn.functional.linear(x, self.weight) * self.calls


class Rebinds(Stateful):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return x - self.mean


class Learns(Stateful):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.weight.data.mul_(0.5)
            self.weight.add_(1)
        return x @ self.weight


class Caches(Stateful):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(8, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.cache[1:3] = x
        self.cache[:2].add_(1)
        return self.cache.sum(0)


def adds(x: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    return x * 2


def through_a_view(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    row = x[0]
    x.t().mul_(y)
    return row, x


def assigns(x: torch.Tensor) -> torch.Tensor:
    x[:, 0] = 1
    return x.sum()


@pytest.mark.parametrize("program", [adds, assigns])
def test_arguments_are_written(program: Callable[..., Any]) -> None:
    agree(lambda: program, (torch.randn(3, 4),), (torch.randn(5, 2),), (torch.randn(2, 5).t(),))


def test_a_write_through_a_view_shows_in_the_argument() -> None:
    agree(lambda: through_a_view, (torch.randn(3, 4), torch.randn(4, 1)), (torch.randn(3, 5), torch.randn(5, 1)))


@pytest.mark.parametrize("make", [Counter, Rebinds, Learns])
def test_state_is_kept(make: Callable[[], Stateful]) -> None:
    agree(make, (torch.randn(3, 4),), (torch.randn(2, 4),))


def test_state_outlives_new_signatures() -> None:
    agree(Counter, (torch.randn(3, 4),), (torch.randn(2, 5, 4),))


def test_a_cache_is_kept() -> None:
    agree(Caches, (torch.randn(2, 4),))


def test_state_is_read_and_set() -> None:
    model = unmoor.load(unmoor.trace(Rebinds(), torch.randn(3, 4)).to_bytes(), trust=True)
    model.set_state(mean=torch.ones(4))
    np.testing.assert_array_equal(model.state()["mean"], np.ones(4, np.float32))
    with pytest.raises(unmoor.SignatureError, match=r"the state mean is float32\[4\]; the value given is float64"):
        model.set_state(mean=np.ones(4))
    with pytest.raises(unmoor.SignatureError, match="no state var; its states are mean"):
        model.set_state(var=np.ones(4))
    assert "state mean: f32[4]" in model.signatures[0]


def test_a_refused_call_changes_nothing() -> None:
    class Checks(Counter):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            x.mul_(2)
            return x if x.sum() > 0 else -x

    traced = unmoor.trace(Checks(), torch.ones(3))
    x = -torch.ones(3)
    with pytest.raises(unmoor.NotTraced):
        traced(x)
    assert traced.state()["calls"] == 0 and torch.equal(x, -torch.ones(3))


def test_what_cannot_be_written_is_refused() -> None:
    def program(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.add_(y)

    traced = unmoor.trace(program, torch.ones(3), torch.ones(3))
    x = torch.ones(3)
    with pytest.raises(unmoor.SignatureError, match=r"changes input 0 \(x\) in place, but it overlaps input 1 \(y\)"):
        traced(x, x)
    with pytest.raises(unmoor.SignatureError, match="several of its elements share memory"):
        traced(torch.ones(1).expand(3), torch.ones(3))
    fixed = np.ones(3, np.float32)
    fixed.flags.writeable = False
    model = unmoor.load(traced.to_bytes(), trust=True)
    with pytest.raises(unmoor.SignatureError, match="it is read-only: pass a copy"):
        model(fixed, np.ones(3, np.float32))
    backwards = np.ones(6, np.float32)[::-2]
    model(backwards, np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(backwards, [1, 2, 3])
    with pytest.raises(unmoor.Unsupported, match="shares its memory with argument y"):
        unmoor.trace(program, x, x)


class Normalises(Stateful):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(x)


@pytest.mark.filterwarnings("ignore:traced in training mode")
def test_batch_norm_in_training() -> None:
    agree(Normalises, (torch.randn(2, 3, 4, 5),), (torch.randn(1, 3, 6, 2),))


class NormalisesEach(Stateful):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(3, affine=True, track_running_stats=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


@pytest.mark.filterwarnings("ignore:traced in training mode")
def test_instance_norm_with_running_statistics_in_training() -> None:
    agree(NormalisesEach, (torch.randn(2, 3, 5),), (torch.randn(1, 3, 6),))


def draws(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (
        torch.rand_like(x),
        torch.randn(x.shape[0], 2000),
        torch.randint(3, 9, (x.shape[0], 500)),
        torch.randperm(x.shape[0]),
        torch.bernoulli(torch.full_like(x, 0.3)),
        torch.empty_like(x).uniform_(2, 4),
        torch.empty_like(x).normal_(5, 2),
        nn.functional.dropout(x, 0.25, True),
        torch.rand(7, dtype=torch.float64),
        torch.empty_like(x).exponential_(2.0),
    )


def test_random_numbers_have_their_distribution_and_repeat_for_a_seed() -> None:
    x = torch.ones(20, 1000)
    before = torch.get_rng_state()
    traced = unmoor.trace(draws, x)
    assert torch.equal(torch.get_rng_state(), before)
    first, second = traced(x), traced(x)
    wanted = [
        (0.5, 0.289),
        (0, 1),
        (5.5, 1.708),
        (9.5, 5.916),
        (0.3, 0.458),
        (3, 0.577),
        (5, 2),
        (1, 0.577),
        0,
        (0.5, 0.5),
    ]
    for made, again, moments in zip(first, second, wanted, strict=True):
        assert not torch.equal(made, again)
        if moments:
            of_made = float(made.double().mean()), float(made.double().std())
            assert of_made == pytest.approx(moments, rel=0.02, abs=0.03)
    assert sorted(first[3].tolist()) == list(range(20))
    assert set(first[2].unique().tolist()) == {3, 4, 5, 6, 7, 8}
    for model in (traced, unmoor.load(traced.to_bytes(), trust=True)):
        model.seed(7)
        seventh = model(x)
        model.reset_state()
        for a, b, c in zip(first, model(x), seventh, strict=True):
            assert torch.equal(a, b) and not torch.equal(a, c)


def test_what_draws_nothing_has_no_seed() -> None:
    with pytest.raises(unmoor.SignatureError, match="draws no random numbers"):
        unmoor.trace(adds, torch.ones(2)).seed(1)


class Codec(Stateful):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.weight = nn.Parameter(torch.randn(3, 4))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x @ self.weight

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self.weight.t() + self.calls


def test_methods_share_weights_and_state() -> None:
    codec = Codec()
    with torch.no_grad():
        traced = unmoor.trace_module(codec, {"encode": (torch.randn(2, 3),), "decode": torch.randn(2, 4)})
        for model in (traced, unmoor.load(traced.to_bytes(), trust=True)):
            eager = copy.deepcopy(codec)
            for x in (torch.randn(2, 3), torch.randn(5, 3)):
                z = eager.encode(x)
                torch.testing.assert_close(model.encode(x), z)
                torch.testing.assert_close(model.decode(z), eager.decode(z))
                assert model.state()["calls"] == eager.calls
    assert codec.calls == 0
    assert "state" in str(unmoor.load(traced.to_bytes(), trust=True).decode.signatures)


def test_training_and_eval_mode() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    x = torch.randn(8, 3)
    with torch.no_grad():
        traced = unmoor.trace(net, x, modes=("eval", "train"))
        assert not any(m.training for m in net.modules())
        for model in (traced, unmoor.load(traced.to_bytes(), trust=True)):
            eager = copy.deepcopy(net)
            for mode in (False, True, True, False, True, False):
                torch.testing.assert_close(model.train(mode)(x), eager.train(mode)(x))
            np.testing.assert_allclose(model.state()["1.running_mean"], eager[1].running_mean, rtol=1e-5, atol=1e-6)
