"""The exhibits of the hall of silent traces: small programs, each of a kind that users reported a tracer to get wrong.

Written for this hall; `thread` is where the kind of failure was reported. The function is traced on the first of its
calls, and then every call must give what eager PyTorch gives, in order, with state.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Call = tuple[Any, ...]


@dataclass(frozen=True)
class Exhibit:
    """A program and its calls. `more` are the calls besides the first that a tracer may see as examples."""

    name: str
    thread: str
    kind: str
    make: Callable[[], Callable[..., Any]]
    calls: Callable[[], list[Call]]
    more: tuple[int, ...] = ()

    @property
    def is_random(self) -> bool:
        """Whether results are draws: fresh ones at each call are right, whatever they are."""
        return self.kind.startswith("random")


EXHIBITS: list[Exhibit] = []
PYTORCH = "pytorch/pytorch#"


def r(*shape: int, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    """Numbers of a fixed pattern between shift and shift + scale."""
    count = math.prod(shape)
    return ((torch.arange(count) * 37 % 101).float() / 101 * scale + shift).reshape(shape)


SIZES = [(r(3, 4),), (r(5, 4),), (r(2, 6),), (r(1, 1),)]
SIGNS = [(r(4),), (-r(4) - 1,), (r(7) + 1,)]


def exhibit(
    thread: str | int, kind: str, calls: list[Call] | None = None, more: tuple[int, ...] = ()
) -> Callable[[Any], Any]:
    """Puts a function, or a class of modules, into the hall."""
    where = f"{PYTORCH}{thread}" if isinstance(thread, int) else thread

    def put(program: Any) -> Any:
        def make() -> Callable[..., Any]:
            if not isinstance(program, type):
                return program  # type: ignore[no-any-return]
            torch.manual_seed(0)
            return program().eval()  # type: ignore[no-any-return]

        EXHIBITS.append(
            Exhibit(program.__name__.strip("_"), where, kind, make, lambda: copy.deepcopy(calls or SIZES), more)
        )
        return program

    return put


# -- branches on data ---------------------------------------------------------------------------------
@exhibit(11540, "branch on data", SIGNS, more=(1,))
def branch_on_sum(x):
    if x.sum() > 0:
        return x * 2
    return x - 1


@exhibit("ckkelvinchan/RealBasicVSR#70", "branch on data", [(r(4),), (r(4) * 0.01,)], more=(1,))
def threshold_of_a_mean(x):
    return x * 10 if x.abs().mean() < 0.1 else x


@exhibit(23498, "branch on data", [(r(4), True), (r(6), True)])
def flag_argument(x, flag):
    return x + 1 if flag else x - 1


@exhibit(36454, "value read from a tensor", [(r(4) + 1,), (r(4) + 3,)])
def item_times(x):
    return x * x.max().item()


@exhibit(11545, "value read from a tensor", [(r(4), torch.tensor(2)), (r(4), torch.tensor(3))])
def int_of_a_tensor(x, n):
    return x * int(n)


@exhibit(23993, "value read from a tensor", [(r(6), torch.tensor(2)), (r(6), torch.tensor(4))])
def slice_to_an_item(x, n):
    return x[: n.item()] * 2


@exhibit(11540, "loop count from data", [(r(4), torch.tensor(3)), (r(4), torch.tensor(5))])
def loop_over_a_value(x, n):
    for _ in range(int(n)):
        x = x * 2 + 1
    return x


@exhibit(23498, "branch on data", [(torch.tensor([1.0, 2.0]),), (torch.tensor([1.0, float("nan")]),)], more=(1,))
def any_nan(x):
    if torch.isnan(x).any():
        return torch.zeros_like(x)
    return x


@exhibit(120485, "branch on data", [(r(4) + 1,), (r(4) - 5,)])
def assert_on_data(x):
    assert x.min() > 0
    return x.log()


@exhibit(10841, "value read from a tensor", [(r(4) + 1,), (r(4) + 2,)])
def python_float(x):
    return x / float(x.sum())


@exhibit(10841, "value read from a tensor", [(r(2, 2),), (r(2, 2) + 1,)])
def through_a_list(x):
    rows = x.tolist()
    return x * rows[0][1]


@exhibit(21774, "value read from a tensor", [(r(4),), (r(4) + 2,)])
def made_of_numbers(x):
    return torch.tensor([float(x[0]), float(x[1])]) * 2


@exhibit(21774, "value that leaves the trace", [(r(4),), (r(4) + 2,)])
def through_numpy(x):
    return torch.from_numpy(x.numpy() * 2) + 1


@exhibit(10841, "while on data", [(r(4) + 1,), (r(4) + 9,)], more=(1,))
def halve_until_small(x):
    while x.max() > 1:
        x = x / 2
    return x


@exhibit(145300, "torch.cond on data", SIGNS)
def positive_or_not(x):
    return torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x.exp() - 1, (x,))


# -- sizes --------------------------------------------------------------------------------------------
@exhibit(12580, "size becomes a constant")
def arange_of_a_size(x):
    return x + torch.arange(x.size(1))


@exhibit(12579, "size becomes a constant")
def sizes_unpacked(x):
    rows, columns = x.size()
    return torch.arange(columns) * rows


@exhibit(8443, "size becomes a constant")
def zeros_of_a_size(x):
    return torch.zeros(x.size(0)) + x.sum()


@exhibit(16663, "size becomes a constant")
def new_zeros(x):
    return torch.cat([x, x.new_zeros(x.shape[0], 2)], 1)


@exhibit(43795, "size becomes a constant", [(r(2, 6),), (r(3, 6),), (r(5, 4),)])
def halves_of_a_size(x):
    return x.reshape(x.shape[0], 2, x.shape[1] // 2).sum(1)


@exhibit("kotaro-kinoshita/yomitoku#215", "size becomes a constant", [(r(1, 5, 8),), (r(3, 5, 8),), (r(2, 7, 8),)])
def merged_batch(x):
    batch, steps, width = x.shape
    return torch.relu(x.reshape(batch * steps, width)).reshape(batch, steps, width)


@exhibit("NVlabs/FasterViT#12", "int() of a quotient of sizes", [(r(8, 4, 3),), (r(12, 4, 3),), (r(4, 4, 3),)])
def int_of_a_quotient(x):
    batch = int(x.shape[0] / 4)
    return x.reshape(batch, 4, 4, 3).sum(1)


@exhibit("bubbliiiing/efficientdet-pytorch#12", "math.ceil of a size", [(r(1, 5),), (r(1, 6),), (r(1, 9),)])
def same_padding(x):
    width = x.shape[-1]
    extra = (math.ceil(width / 2) - 1) * 2 - width + 3
    left = extra // 2
    zeros = x.new_zeros(1, 1)
    return torch.cat([zeros] * left + [x] + [zeros] * (extra - left), 1)


@exhibit(
    "Comfy-Org/ComfyUI#5490",
    "arithmetic on a size",
    [
        (
            r(
                5,
            ),
        ),
        (r(9),),
        (r(2),),
    ],
)
def positions(x):
    return torch.linspace(0, 1, 3) * (x.shape[0] - 1)


@exhibit(19349, "branch on a size", [(r(3, 4),), (r(7, 4),), (r(2, 4),)], more=(1,))
def long_or_short(x):
    if x.shape[0] > 4:
        return x[:4]
    return x * 2


@exhibit(11156, "slice of the whole size", [(r(5, 3),), (r(8, 3),)])
def slice_up_to_five(x):
    return x[0:5, 0] * 2


@exhibit(29909, "loop count from a size", [(r(3, 2),), (r(5, 2),)])
def loop_over_rows(x):
    total = torch.zeros(2)
    for i in range(x.shape[0]):
        total = total + x[i] * i
    return total


@exhibit(23498, "loop count from a size", [(r(3, 2),), (r(5, 2),)])
def iterate_rows(x):
    return torch.stack([row.sum() for row in x])


@exhibit(148687, "batch size is frozen", [(r(1, 8),), (r(4, 8),), (r(2, 8),)])
class _linear_from_batch_one(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return self.layer(x).softmax(-1)


@exhibit(140011, "size 1 is frozen", [(r(4, 3), r(4, 3)), (r(4, 3), r(1, 3)), (r(1, 3), r(5, 3))])
def broadcast_later(x, y):
    return x + y


@exhibit(134137, "relation of sizes is frozen", [(r(3, 3),), (r(3, 5),), (r(4, 2),)])
def square_at_the_trace(x):
    return x.reshape(x.shape[1], x.shape[0]) * 2


@exhibit(20923, "size becomes a constant", [(torch.tensor([True, False]),), (torch.tensor([True, False, False]),)])
def invert(x):
    return ~x


@exhibit(12580, "size becomes a constant", [(r(1, 3),), (r(2, 5),), (r(1, 2),)])
def causal_mask(x):
    steps = x.shape[1]
    mask = torch.tril(torch.ones(steps, steps)) == 0
    scores = x.unsqueeze(1) * x.unsqueeze(2)
    return scores.masked_fill(mask, -1e9).softmax(-1)


@exhibit("openpifpaf/openpifpaf#436", "rank is frozen", [(r(3, 4),), (r(2, 3, 4),)])
def flatten_all_but_the_last(x):
    return x.reshape(-1, x.shape[-1]).sum(0)


@exhibit(169488, "numel is frozen", SIZES)
def mean_by_hand(x):
    return x.sum() / x.numel()


@exhibit(176349, "empty input", [(r(3, 4),), (r(0, 4),), (r(1, 4),)])
def sum_of_nothing(x):
    return x.sum(0) + 1


# -- in-place writes and views ------------------------------------------------------------------------
@exhibit(4250, "in-place write", SIZES)
def copy_into_zeros(x):
    out = torch.zeros(x.size())
    out.copy_(x)
    return out * 2


@exhibit(29008, "in-place write through an index", [(r(2, 5), r(2, 2)), (r(3, 5), r(3, 2))])
def add_into_columns(x, update):
    y = x.clone()
    y[..., 1:3] += update
    return y


@exhibit(11540, "in-place write through a view", [(r(3, 4),), (r(5, 4),)])
def fill_a_row(x):
    y = x.clone()
    y[0] = torch.ones(x.shape[1])
    return y


@exhibit(11545, "in-place write through a view", [(r(4, 4),), (r(4, 6),)])
def write_to_a_split(x):
    y = x * 1
    torch.split(y, 2, dim=0)[0].add_(2)
    return y


@exhibit(11555, "in-place write", [(r(4), r(4) > 0.5), (r(4) + 1, r(4) > 0.1)])
def masked_fill_in_place(x, mask):
    y = x + 0
    y.masked_fill_(mask, -1.0)
    return y


@exhibit(112429, "input is written", [(r(2, 5),), (r(3, 5),)])
def input_is_changed(x):
    x[:, 0] = 0
    return x * 2


@exhibit(131679, "in-place write to a copy", [(r(4),), (r(6),)])
def write_to_a_converted_copy(x):
    y = x.to(torch.float64, copy=True)
    y.mul_(2)
    return y, x


@exhibit(198101, "a read before a write", [(r(3, 6),), (r(2, 6),)])
def read_then_write(x):
    y = x.clone()
    before = y * 2
    y[:, 2:5] = 2
    return before, y


# -- state and modes ----------------------------------------------------------------------------------
@exhibit(140539, "buffer update is dropped", [(r(3),)] * 3)
class _counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count += 1
        return x * self.count


@exhibit(114967, "buffer update is dropped", [(r(3),), (r(3) + 1,), (r(3),)])
class _cache(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x):
        y = x + self.seen
        self.seen.copy_(x)
        return y


@exhibit(10841, "Python state is dropped", [(r(3),)] * 3)
class _python_counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


@exhibit(71929, "mode is frozen", [(r(8, 4),), (r(2, 4),)])
class _dropout_in_eval(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.drop = nn.Linear(4, 4), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.layer(x))


@exhibit(18312, "batch norm at another batch", [(r(3, 4),), (r(1, 4),), (r(6, 4),)])
class _batch_norm_in_eval(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.norm.running_mean.fill_(0.5)

    def forward(self, x):
        return self.norm(x)


# -- dtypes, devices, constants -----------------------------------------------------------------------
@exhibit(19637, "device becomes a constant", SIZES)
def made_on_the_device_of(x):
    return torch.zeros_like(x, device=x.device) + torch.ones(x.shape, device=x.device)


@exhibit(47010, "dtype becomes a constant", [(r(3),), (r(3).double(),), (torch.arange(3),)])
def as_the_input_is(x):
    return torch.zeros_like(x) + torch.ones(x.shape[0], dtype=x.dtype)


@exhibit(74732, "dtype branch", [(r(3),), (torch.arange(3),)], more=(1,))
def branch_on_a_dtype(x):
    return x / 2 if x.is_floating_point() else x * 2


@exhibit(29125, "torch.tensor becomes a constant", [(r(3),), (r(5),)])
def with_a_literal(x):
    return x + 1, torch.tensor([0.0])


@exhibit(12580, "dtype of arange", [(r(5),), (r(8),)])
def arange_in_floats(x):
    return torch.arange(x.shape[0], dtype=torch.float32) / x.shape[0] * x


_numel, _size = torch.numel, torch.Tensor.size


@exhibit(10841, "a size read by another name", SIZES)
def names_bound_before(x):
    return x * _numel(x) + _size(x, 0)


@exhibit(145207, "different numbers", [(r(6, 1, 4, 1),), (r(2, 1, 4, 1),)])
def norm_after_norm(x):
    y = (x - x.mean((0, 2), keepdim=True)) / (x.var((0, 2), keepdim=True) + 1e-5).sqrt()
    return F.layer_norm(y, y.shape[2:])


@exhibit(29909, "a Python loop with cat", [(r(2, 3),), (r(1, 2),)])
def doubled_three_times(x):
    for i in range(3):
        x = torch.cat((x, x + i), 0)
    return x


@exhibit(23999, "random numbers are frozen", [(r(4),), (r(4),)])
class _always_dropping(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, training=True)


@exhibit(146719, "a constant is baked in", [(r(3, 4), r(4)), (r(2, 4), r(4) + 1)])
def scaled_by_a_norm(x, y):
    return x / (y * y).sum().sqrt()


# -- structures ---------------------------------------------------------------------------------------
@exhibit(21774, "structure of the arguments", [({"a": r(3), "b": [r(2)]},), ({"a": r(5), "b": [r(4)]},)])
def nested_arguments(batch):
    return {"sum": batch["a"].sum() + batch["b"][0].sum(), "a": batch["a"] * 2}


@exhibit(96064, "an output is an input", [(r(3),), (r(4),)])
def returns_its_argument(x):
    return x, x + 1


@exhibit(147672, "data-dependent size", [(torch.tensor([1.0, 0.0, 2.0]),), (torch.tensor([0.0, 0.0, 1.0]),)])
def only_the_positive(x):
    return x[x > 0]


@exhibit(120288, "data-dependent size", [(torch.tensor([3, 1, 3]),), (torch.tensor([1, 2, 4]),)])
def how_many_kinds(x):
    return torch.unique(x)
