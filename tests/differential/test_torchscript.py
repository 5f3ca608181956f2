"""TorchScript, scripted and traced, from memory and from files: TorchScript's own run of the module is the oracle."""

import copy
import io
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import unmoor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
R = torch.randn


def reloaded(module: Any) -> Any:
    """The module as a file gives it back."""
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    return torch.jit.load(file)


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [v for item in value.values() for v in flat(item)]
    return [v for item in value for v in flat(item)] if isinstance(value, (list, tuple)) else [value]


def agree(module: Any, *examples: tuple[Any, ...], others: tuple[tuple[Any, ...], ...] = (), refused: int = 0) -> Any:
    """Traced with these examples, in memory and from its file: TorchScript's results and states, call after call.

    Of the calls on `others` as many as `refused` say are refused.
    """
    with torch.no_grad():
        before = copy.deepcopy(module.state_dict()) if isinstance(module, nn.Module) else {}
        traced = unmoor.trace(module, *copy.deepcopy(examples[0]))
        for example in examples[1:]:
            traced.add_example(*copy.deepcopy(example))
        for name, value in before.items():
            assert torch.equal(module.state_dict()[name], value), f"the trace changed {name}"
        for called in (traced, unmoor.load(traced.to_bytes(), trust=True)):
            oracle = copy.deepcopy(module) if isinstance(module, nn.Module) else module
            count = 0
            for number, arguments in enumerate((*examples, *others)):
                theirs, ours = copy.deepcopy(arguments), copy.deepcopy(arguments)
                try:
                    got = flat(called(*ours))
                except unmoor.NotTraced:
                    assert number >= len(examples)
                    count += 1
                    continue
                for g, w in zip(got, flat(oracle(*theirs)), strict=True):
                    torch.testing.assert_close(g, w)
                for g, w in zip(flat(ours), flat(theirs), strict=True):
                    assert torch.equal(g, w) if isinstance(g, torch.Tensor) else g == w
            assert count == refused
            if called is traced:
                traced.reset_state()
    return traced


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.norm(self.conv(x))
        y += x
        return self.act(y)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.flatten(self.pool(self.blocks(x)), 1))


IMAGES = R(2, 4, 6, 5)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda net: reloaded(torch.jit.script(net)), id="scripted"),
        pytest.param(lambda net: reloaded(torch.jit.trace(net, IMAGES)), id="traced"),
        pytest.param(lambda net: reloaded(torch.jit.freeze(torch.jit.script(net))), id="frozen"),
        pytest.param(lambda net: torch.jit.optimize_for_inference(torch.jit.script(net)), id="for inference"),
    ],
)
def test_a_network_of_blocks(make: Callable[[nn.Module], Any]):
    torch.manual_seed(0)
    agree(make(Net().eval()), (IMAGES,), others=((R(3, 4, 7, 9),),))


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.of_input = nn.Linear(3, 16)
        self.of_hidden = nn.Linear(4, 16)

    def forward(self, x, state: tuple[torch.Tensor, torch.Tensor] | None = None):
        if state is None:
            h = torch.zeros(x.size(1), 4, dtype=x.dtype, device=x.device)
            c = torch.zeros_like(h)
        else:
            h, c = state
        outs: list[torch.Tensor] = []
        for t in x.unbind(0):
            i, f, o, z = (self.of_input(t) + self.of_hidden(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(z)
            h = torch.sigmoid(o) * torch.tanh(c)
            outs.append(h)
        return torch.stack(outs), (h, c)


def test_a_recurrent_cell_over_a_list():
    cell = reloaded(torch.jit.script(Cell()))
    agree(cell, (R(4, 2, 3),), others=((R(4, 5, 3),), (R(6, 2, 3),)), refused=1)
    agree(cell, (R(2, 2, 3), (R(2, 4), R(2, 4))), others=((R(2, 3, 3), (R(3, 4), R(3, 4))),))


class Branches(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x * 2
        elif x.mean() < -1:
            return x - 1
        return -x


def test_branches_are_guarded_with_their_line_and_merge():
    module = reloaded(torch.jit.script(Branches()))
    ones = torch.ones(3)
    traced = unmoor.trace(module, ones)
    with pytest.raises(unmoor.NotTraced, match=r"test_torchscript.py:\d+ took the branch `x.sum\(\) > 0`"):
        traced(-ones)
    traced = agree(module, (ones,), (-ones / 2,), (ones * -3,), others=((R(7),), (R(2, 2),)))
    assert str(traced.recorded).count("prim::If") == 2


def test_calls_in_either_language_nest():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.inner = torch.jit.script(Branches())

        def forward(self, x):
            return scaled(self.inner(self.linear(x)), 3) + scaled(self.linear(x))

    torch.manual_seed(1)
    x = R(2, 3)
    agree(Outer(), (x,), (-x,), (x - 30,), others=((R(4, 3),), (-R(5, 3),)))


@torch.jit.script
def scaled(x: torch.Tensor, n: int = 2):
    return x * n if n > 2 else x


@torch.jit.script
def halved(x: torch.Tensor):
    n = 0
    while bool(x.abs().sum() > 1) and n < 3:
        x = x / 2
        n += 1
    y = x.clone()
    for k in range(x.size(0)):
        if k == 2:
            break
        y[k] += k + n
    return y


def test_loops_are_followed_along_the_paths_seen():
    agree(halved, (torch.ones(3),), (torch.ones(3) / 4,), others=((torch.ones(3) / 5,), (torch.ones(3) * 0.9,)))
    with pytest.raises(unmoor.NotTraced, match=r"`for k in range\(x.size\(0\)\):`|`x.size\(0\)`|`while bool"):
        unmoor.trace(halved, torch.ones(3))(torch.ones(1))


class Detector(nn.Module):
    def forward(self, boxes, scores, threshold: float = 0.5):
        keep = scores > threshold
        best, order = scores[keep].topk(min(3, int(keep.sum())))
        found: dict[str, torch.Tensor] = {}
        found["boxes"] = boxes[keep][order]
        found["scores"] = best
        return found


def test_a_detector_with_sizes_out_of_data():
    scores = torch.tensor([0.9, 0.1, 0.8, 0.7, 0.6])
    agree(reloaded(torch.jit.script(Detector())), (R(5, 4), scores), others=((R(5, 4), scores.flip(0)),))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("average", torch.zeros(3))
        self.last = torch.zeros(3)

    def forward(self, x):
        self.calls += 1
        self.average = self.average * 0.9 + x * 0.1
        before = self.last.clone()
        self.last[1:] = x[1:]
        return self.average / self.calls, before


def test_buffers_and_attributes_are_state():
    x = R(3)
    traced = agree(reloaded(torch.jit.script(Counting())), (x,), others=((R(3),), (R(3),)))
    assert set(traced.state()) == {"calls", "average", "last"}


class Number(nn.Module):
    def __init__(self, used: bool) -> None:
        super().__init__()
        self.count = 0
        self.used = used

    def forward(self, x):
        self.count += 1
        return x * self.count if self.used else x * 2


def test_a_number_that_calls_change_is_told_or_refused():
    module = torch.jit.script(Number(False))
    traced = agree(module, (torch.ones(2),))
    assert "the call changes the attribute count" in str(traced.assumptions) and module.count == 0
    module = torch.jit.script(Number(True))
    with pytest.raises(unmoor.Unsupported, match="the call changes count in Python"):
        unmoor.trace(module, torch.ones(2))
    assert module.count == 0


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.drop(x))


def test_both_modes():
    module, x = reloaded(torch.jit.script(Noisy())), R(4, 3)
    with pytest.warns(unmoor.TrainingModeWarning, match=r"drop \(Dropout\)\n  norm \(BatchNorm1d\)"):
        unmoor.trace(module, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error", unmoor.TrainingModeWarning)
        both = unmoor.trace(module, x, modes=("eval", "train"))
        agree(module.eval(), (x,), others=((R(7, 3),),))
    with torch.no_grad():
        torch.testing.assert_close(both(x), module(x))
        noise = both.train()(torch.ones(4000, 3))
    assert len(noise.unique()) <= 8 and float(noise.mean().abs()) < 0.1
    assert set(both.state()) >= {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}


class Sizes(nn.Module):
    def forward(self, x):
        b, n = x.shape
        half = n // 2
        y = x[:, :half].reshape(b * half).view(-1, half)
        z = torch.arange(n, device=x.device).unsqueeze(0).expand(b, n)
        return y, z + x.to(torch.int64), x.new_zeros([b, n]), F.pad(x, [1, 1]), torch.full([n], b)


@pytest.mark.parametrize("make", [torch.jit.script, lambda module: torch.jit.trace(module, R(2, 4))])
def test_sizes_stay_sizes(make: Callable[[nn.Module], Any]):
    """Also where a traced graph computes them with tensors."""
    agree(reloaded(make(Sizes())), (R(2, 4),), others=((R(3, 6),), (R(3, 7),)))


class Pair(NamedTuple):
    total: torch.Tensor
    parts: list[torch.Tensor]


@torch.jit.script
class Box:
    def __init__(self, a: int):
        self.a = a

    def plus(self, x: torch.Tensor, y: torch.Tensor):
        return x + y * self.a


class Many(nn.Module):
    """Values of many kinds: objects, lists, dicts, texts, optional arguments."""

    def forward(self, x, d: dict[str, torch.Tensor] | None = None, names: list[str] | None = None):
        if names is None:
            names = ["a", "b"]
        box = Box(3)
        box.a += len(names)
        parts = [p * 2 for p in x.unbind(1)]
        parts.insert(0, x[:, -1])
        last = parts.pop()
        parts.extend([last, last + 1])
        if d is not None:
            for key, value in d.items():
                if key in names:
                    parts.append(value)
        sizes: list[int] = []
        for k in range(5, 0, -2):
            sizes.append(-7 // k + k % 3)
        assert len(sizes) == 3, f"not {len(sizes)}"
        with torch.no_grad():
            w, _ = torch.max(x, dim=1)
        y = x.clone()
        y[0] = float(sum(sizes)) + 0.5
        y[:, 1:] += max(sizes)
        q = x.to(torch.float64)[..., None, -1]
        mask = torch.zeros([x.size(0), 2], dtype=x.dtype, device=x.device)
        task = torch.jit.fork(scaled, x, 5)
        return Pair(box.plus(w, w), parts), y, q, mask, torch.jit.wait(task), x.clamp(min=0.0)


def test_values_of_many_kinds():
    module = reloaded(torch.jit.script(Many()))
    x = R(2, 3)
    traced = agree(module, (x,), others=((R(4, 3),),))
    assert traced(x)[0]._fields == ("total", "parts")
    agree(module, (x, {"b": R(2), "c": R(2)}, ["b"]))


class Raises(nn.Module):
    def forward(self, x):
        if x.dim() != 2:
            raise ValueError(f"expected 2 dims, got {x.dim()}")
        assert x.size(1) == 3, "three columns"
        return x * 2


def test_what_raises():
    module = reloaded(torch.jit.script(Raises()))
    traced = agree(module, (R(2, 3),), others=((R(5, 3),),))
    with pytest.raises(unmoor.NotTraced, match=r"`x.size\(1\) == 3`"):
        traced(R(2, 4))
    with pytest.raises(torch.jit.Error, match="expected 2 dims, got 1"):
        unmoor.trace(module, R(3))
    with pytest.raises(RuntimeError, match="Expected a value of type 'Tensor' for argument 'x'"):
        unmoor.trace(module, 3)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 2)
        self.b = nn.Linear(2, 3)

    @torch.jit.export
    def encode(self, x):
        return torch.relu(self.a(x))

    @torch.jit.export
    def decode(self, z, sharp: bool = False):
        y = self.b(z)
        return torch.sign(y) if sharp else y

    def forward(self, x):
        return self.decode(self.encode(x), False)


def test_several_methods():
    module = reloaded(torch.jit.script(Two()))
    traced = unmoor.trace_module(module, {"encode": R(2, 3), "decode": (R(2, 2), True), "forward": (R(2, 3),)})
    model = unmoor.load(traced.to_bytes(), trust=True)
    x = R(5, 3)
    with torch.no_grad():
        z = module.encode(x)
        torch.testing.assert_close(torch.from_numpy(np.asarray(model.encode(x.numpy()))), z)
        torch.testing.assert_close(traced.decode(z, True), module.decode(z, True))
        torch.testing.assert_close(traced(x), module(x))


class KeepsFirst(nn.Module):
    first: torch.Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.first = None

    def forward(self, x):
        if self.first is None:
            self.first = x * 2
        first = self.first
        assert first is not None
        return x + first


def test_what_is_kept_of_the_first_input_is_refused():
    with pytest.raises(unmoor.Unsupported, match="the call changes first in Python"):
        unmoor.trace(reloaded(torch.jit.script(KeepsFirst())), R(3))


class Transformer(nn.Module):
    def __init__(self, norm_first: bool, activation: str) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            8, 2, 16, activation=activation, batch_first=True, norm_first=norm_first
        )

    def forward(self, x, pairs: torch.Tensor | None = None, keys: torch.Tensor | None = None):
        return self.layer(x, pairs, keys)


@pytest.mark.parametrize(("norm_first", "activation"), [(False, "relu"), (True, "gelu")])
def test_fused_layers_of_transformers(norm_first: bool, activation: str):
    """A file made in eval mode holds torch's fused op of the whole layer."""
    module = Transformer(norm_first, activation).eval()
    x, pairs, keys = R(2, 5, 8), torch.ones(5, 5).triu(1).bool(), torch.zeros(2, 5).bool()
    keys[1, 3:] = True
    with torch.no_grad():
        traced = reloaded(torch.jit.trace(module, x))
    assert "_transformer_encoder_layer_fwd" in str(traced.inlined_graph)
    agree(traced, (x,), others=((R(3, 7, 8),),))
    agree(reloaded(torch.jit.script(module)), (x, pairs, keys))


class Hooked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor, y: int | list[int] | float):
        if isinstance(y, int):
            return self.linear(x) + y
        return self.linear(x) * (y if isinstance(y, float) else 1.0)


def before(self, given: tuple[torch.Tensor, int | list[int] | float]) -> tuple[torch.Tensor, int | list[int] | float]:
    return (given[0] * 2, given[1])


def after(self, given: tuple[torch.Tensor], result: torch.Tensor) -> torch.Tensor:
    return result + 10


def test_hooks_and_unions():
    module = Hooked()
    module.register_forward_pre_hook(before)
    module.linear.register_forward_hook(after)
    for y in (3, [3], 3.0):
        agree(torch.jit.script(module), (R(2, 3), y))


class Kept(nn.Module):
    @torch.jit.ignore
    def inner(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def forward(self, x):
        return self.inner(x)


@torch.jit.script
def laid_out(x: torch.Tensor):
    y = x * 2 if x.is_contiguous() else x * 3
    y[0] = 1.0
    return y


def test_assumptions_are_those_of_the_program_alone():
    traced = agree(laid_out, (R(2, 3),), others=((R(4, 5),), (R(3, 2).t(),)), refused=1)
    told = str(traced.assumptions).splitlines()
    assert len(told) == 3 and any("takes the branch `x.is_contiguous()`" in line for line in told)
    assert all("test_torchscript.py:" in line for line in told)


@torch.jit.script
def formatted(x: torch.Tensor):
    return x + len(f"{x.size(0)} of {2.5}")


@torch.jit.script
def printed(x: torch.Tensor):
    print(x)
    return torch.special.airy_ai(x) if x.size(0) > 9 else x


def test_what_is_refused_or_told():
    assert "uses a size as the number 3" in str(agree(formatted, (R(3),)).assumptions)
    assert "a call does not print" in str(agree(printed, (R(3),)).assumptions)
    with pytest.raises(unmoor.Unsupported, match="stays in Python"):
        unmoor.trace(torch.jit.script(Kept()), R(3))
    quantized = torch.ao.nn.quantized.dynamic.Linear(4, 4)
    with pytest.raises(unmoor.Unsupported, match="quantized::linear_dynamic, a node of TorchScript, is not supported"):
        unmoor.trace(torch.jit.script(quantized), R(3, 4))
    with pytest.raises(unmoor.Unsupported, match=r"test_torchscript.py:\d+: the op (special_)?airy_ai"):
        unmoor.trace(printed, R(10))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("how", ["script", "trace"])
def test_recurrent_layers_are_those_of_python_modules(kind: str, how: str):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(torch.nn, kind)(3, 4, batch_first=True)

        def forward(self, x):
            return self.rnn(x)[0]

    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(2, 5, 3)
    module = torch.jit.script(net) if how == "script" else torch.jit.trace(net, x)
    traced = unmoor.trace(reloaded(module), x)
    for shape in ((2, 5, 3), (1, 9, 3)):
        x = torch.randn(shape)
        torch.testing.assert_close(traced(x), net(x).detach(), rtol=1e-5, atol=1e-5)
