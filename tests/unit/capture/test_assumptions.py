"""What `traced.assumptions` says of each kind of thing that a trace froze, and what a call is told that breaks it."""

from __future__ import annotations

import importlib
import random
import re
import statistics
import sys

import pytest
import torch
from torch import nn

import unmoor
from unmoor.errors import VerifyError
from unmoor.jit.assumptions import SCREEN

TABLE = torch.ones(2)
HERE = "tests/unit/capture/test_assumptions.py"


def line_of(traced, kind: str) -> str:
    """The one line of a kind."""
    (line,) = [text for text in traced.assumptions.splitlines() if text.startswith(kind)]
    return line


def refusal(traced, *args) -> str:
    with pytest.raises(unmoor.NotTraced) as error:
        traced(*args)
    return str(error.value)


def branch_on_data(x):
    if x.sum() > 0:
        return x * 2
    return x


def branch_on_size(x):
    return x * 2 if x.shape[0] > 3 else x


def frozen_value(x):
    return x * float(x.sum())


def counted_loop(x):
    for k in range(x.shape[0]):
        x = x + k
    return x


def loop_over_rows(x):
    total = x[0]
    for row in x:
        total = total + row
    return total


def loop_on_data(x):
    while x.sum() < 5:
        x = x + 1
    return x


def used_size(x):
    return x + [10.0, 20.0, 30.0][x.shape[0]]


def pieces(x):
    parts = x.split(1)
    return torch.cat([p * k for k, p in enumerate(parts)])


def rank(x):
    return x.sum(-1) if x.dim() == 2 else x


def dtype(x):
    return x * 2 if x.dtype == torch.float32 else x


def inside(x):
    return x * max(x.tolist())


ONES = torch.ones(2)
GUARDS = [
    (
        branch_on_data, ONES, -ONES, "branch on data, checked: takes the branch `x.sum() > 0`",
        "took the branch `x.sum() > 0` in every example; here it is False", "for which it is False",
    ),
    (
        branch_on_size, ONES, torch.ones(4), "branch on a size, checked: does not take the branch `x.shape[0] > 3`",
        "did not take the branch `x.shape[0] > 3` in any example; here it is True", "for which it is True",
    ),
    (
        frozen_value, ONES, torch.zeros(2), "value read from a tensor, checked: `float(x.sum())` freezes the value 2.0",
        "`float(x.sum())` froze the value 2.0, read from a tensor, in every example; here it is 0.0", "`t.item()`",
    ),
    (
        counted_loop, ONES, torch.ones(3), "loop count, checked: `range(x.shape[0])` loops by the size 2",
        "`range(x.shape[0])` looped by the size 2 in every example; here it is 3", "of such sizes",
    ),
    (
        loop_over_rows, ONES, torch.ones(3), "loop count, checked: `for row in x` loops by the size 2",
        "`for row in x` looped by the size 2 in every example; here it is 3", "of such sizes",
    ),
    (
        loop_on_data, ONES, ONES * 2, "loop count, checked: the loop goes on where `x.sum() < 5` is True (and 1 more",
        "the loop went on here in every example, `x.sum() < 5` being True; here it is False", "runs as often",
    ),
    (
        used_size, ONES, torch.ones(1), "size, checked: `[10.0, 20.0, 30.0][x.shape[0]]` uses a size as the number 2",
        "used a size as the number 2 in every example; here it is 1", "of such sizes",
    ),
    (
        pieces, ONES, torch.ones(3), "size, checked: `x.split(1)` gives 2 tensors",
        "`x.split(1)` gave 2 tensors in every example; here their number is 3", "of such sizes",
    ),
    (
        rank, ONES, torch.ones(2, 2), "rank, checked: `x.dim()` meets a tensor of 1 dim",
        "`x.dim()` met a tensor of 1 dim in every example; here their number is 2", "with so many dims",
    ),
    (
        dtype, ONES, ONES.double(), "dtype, checked: `x.dtype` meets a tensor of dtype float32",
        "`x.dtype` met a tensor of dtype float32 in every example; here it is float64", "of such dtypes",
    ),
    (
        inside, torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]),
        "branch on data, checked: a comparison inside `max(x.tolist())` is True",
        "a comparison inside `max(x.tolist())` was True in every example; here it is False", "for which it is False",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fn", "example", "other", "assumed", "broken", "fix"), GUARDS, ids=[g[0].__name__ for g in GUARDS]
)
def test_a_guard_is_told_before_and_after_it_breaks(fn, example, other, assumed, broken, fix) -> None:
    traced = unmoor.trace(fn, example)
    line = line_of(traced, assumed)
    assert f"  # {HERE}:" in line and " | " in line and "here it is" not in line
    for run in (traced, unmoor.load(traced.to_bytes(), trust=True)):
        text = refusal(run, other)
        where, *rest = text.split("\n")
        assert where.startswith(f"{HERE}:") and where.endswith(broken)
        assert len(rest) == 1 and rest[0].startswith("  fix: ") and fix in rest[0]
    if fn is not frozen_value:
        traced.add_example(other)  # as the text says
        for given in (example, other):
            torch.testing.assert_close(traced(given), fn(given))


def test_a_guard_behind_other_examples_speaks_of_those_that_came_to_it() -> None:
    traced = unmoor.trace(counted_loop, torch.ones(2))
    traced.add_example(torch.ones(3))
    assert "looped by the size 3 in every example that came here; here it is 4" in refusal(traced, torch.ones(4))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.last = torch.zeros(2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        self.count += 1
        self.last = x * 2
        if x.sum() > 0:
            x = x + self.last
        return self.drop(x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_module_paths_are_told_and_one_line_is_told_once() -> None:
    traced = unmoor.trace(Net().eval(), ONES)
    line = line_of(traced, "branch on data")
    assert "(and 2 more at this line)" in line and "(layers.0) | if x.sum() > 0:" in line


def test_state_is_told_with_the_line_that_changes_it() -> None:
    traced = unmoor.trace(Net().eval(), ONES)
    (written,) = [t for t in traced.assumptions.splitlines() if "changes buffer layers.0.count" in t]
    assert written.startswith("buffer or in-place change, checked") and "| self.count += 1" in written
    assert "state of the session" in written


def rebound(x, cell):
    cell.h = x + cell.h
    return cell.h


def test_an_attribute_that_gets_a_new_tensor_is_told() -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("h", torch.zeros(2))

        def forward(self, x):
            self.h = self.h + x
            return self.h

    assert "the call gives buffer h a new tensor" in line_of(unmoor.trace(Cell(), ONES), "buffer or in-place change")


def test_the_training_flag_is_told_with_the_way_to_keep_both() -> None:
    line = line_of(unmoor.trace(Net().eval(), ONES), "training flag")
    assert "Net was traced in eval mode (modes=('eval', 'train') keeps both)" in line


def test_layout_is_told() -> None:
    traced = unmoor.trace(lambda x: x + 1 if x.is_contiguous() else x, ONES)
    line = line_of(traced, "stride or contiguity, checked: takes the branch `x.is_contiguous()`")
    assert f"# {HERE}:" in line


def test_draws_are_told_at_their_lines_and_nothing_else_of_randomness() -> None:
    traced = unmoor.trace(lambda x: x + torch.rand(2), ONES)
    assert line_of(traced, "random numbers").startswith("random numbers, checked: rand draws from the session's own")


def seeded(x):
    torch.manual_seed(7)
    return x + torch.rand(2)


def test_random_state_from_outside_is_told() -> None:
    (told,) = [t for t in unmoor.trace(seeded, ONES).assumptions.splitlines() if "not checked" in t]
    assert told.startswith("random numbers, not checked: torch's random numbers were seeded")
    of_python = unmoor.trace(lambda x: x + random.random(), ONES)
    assert "random numbers of Python or NumPy were drawn" in line_of(of_python, "random numbers, not checked")


def test_tensors_from_outside_are_told_by_name() -> None:
    line = line_of(unmoor.trace(lambda x: x + TABLE, ONES), "tensor or value from outside")
    assert "tensor TABLE, float32[2] from outside, is kept as it was" in line


def test_written_arguments_are_told() -> None:
    def writes(x):
        x.add_(1)
        return x * 2

    line = line_of(unmoor.trace(writes, ONES.clone()), "buffer or in-place change")
    assert "the in-place op add_ changes argument x" in line and "| x.add_(1)" in line


def test_plain_arguments_and_texts_that_decide_something_are_told() -> None:
    traced = unmoor.trace(lambda x, scale: x * scale * len(str(x.shape[0])), ONES, 2.0)
    assert "`str(x.shape[0])` uses a size as the number 2" in line_of(traced, "size, checked")
    assert "the argument scale is 2.0 in every call" in line_of(traced, "argument that is not a tensor")


def test_a_screen_holds_every_kind() -> None:
    scope: dict = {}
    lines = [f"    if x.sum() > -{k}: x = x + 1" for k in range(40)] + [
        f"    x = x + x.shape[{k % 1}]" for k in range(5)
    ]
    exec("def many(x):\n" + "\n".join(lines) + "\n    return x if x.dtype == F else x\n", {"F": torch.float32}, scope)
    shown = unmoor.trace(scope["many"], ONES).assumptions.splitlines()
    assert len(shown) <= SCREEN
    assert any(s.startswith("branch on data: and at ") for s in shown)
    assert {s.split(",")[0] for s in shown} >= {"branch on data", "rank", "dtype"}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A package that is installed, in the sense of the folder it lies in."""
    packages = tmp_path / "site-packages"
    (packages / "masking").mkdir(parents=True)
    (packages / "masking" / "__init__.py").write_text("from masking.of import apply\n")
    (packages / "masking" / "of.py").write_text(
        "def apply(x, mask):\n    if mask.all():\n        return x\n    return x * mask\n"
    )
    monkeypatch.syspath_prepend(str(packages))
    yield importlib.import_module("masking")
    for name in ("masking", "masking.of"):
        sys.modules.pop(name, None)


def test_a_line_of_a_library_is_told_with_the_users_own(library) -> None:
    def model(x, mask):
        return library.apply(x, mask) + 1

    traced = unmoor.trace(model, ONES, torch.tensor([True, True]))
    text = refusal(traced, ONES, torch.tensor([True, False]))
    first, called, fix = text.split("\n")
    assert first == "masking/of.py:2 took the branch `mask.all()` in every example; here it is False"
    assert called.startswith(f"  called from {HERE}:") and called.endswith(": return library.apply(x, mask) + 1")
    assert fix == "  fix: traced.add_example(<arguments for which it is False>)"
    line = line_of(traced, "branch on data")
    assert f"# masking/of.py:2, called from {HERE}:" in line and line.endswith("| if mask.all():")


def test_a_library_that_is_traced_itself_is_told_with_the_line_that_traced_it(library) -> None:
    traced = unmoor.trace(library.apply, ONES, torch.tensor([True, True]))
    assert "unmoor.trace(library.apply" in refusal(traced, ONES, torch.tensor([True, False]))


def test_what_a_library_does_not_support_is_told_with_the_users_own_line(library, tmp_path) -> None:
    (tmp_path / "site-packages" / "masking" / "airy.py").write_text(
        "import torch\ndef f(x):\n    return torch.special.airy_ai(x)\n"
    )
    airy = importlib.import_module("masking.airy")
    with pytest.raises(
        unmoor.Unsupported, match=rf"^masking/airy.py:3, called from {HERE}:\d+: the op .*docs/add-an-op.md"
    ):
        unmoor.trace(lambda x: airy.f(x), torch.ones(2, 2))


LIBRARY = """import torch
def vectors(x):
    return torch.linalg.svd(x).U
def eigenvectors(x):
    return torch.linalg.eigh(x).eigenvectors
def part(x):
    return x.view(2, -1)
def quotient(x):
    return 6 // x.long()
def spread(x):
    return torch.linalg.eigh(x).eigenvectors.abs()
def loss(w, x):
    torch.linalg.inv(x * w).sum().backward()
    return w.grad.clone()
count = [0]
def counted(x):
    count[0] += 1
    return x * count[0]
"""
FREE_SIGNS = "the result depends on the signs of these vectors"


@pytest.mark.parametrize(
    ("name", "given", "then", "kind", "told"),
    [
        ("vectors", torch.randn(3, 3), None, unmoor.Unsupported, rf"^L:3, called from H: {FREE_SIGNS}"),
        ("eigenvectors", torch.randn(3, 3), None, unmoor.Unsupported, rf"^L:5, called from H: {FREE_SIGNS}"),
        (
            "part",
            torch.ones(4, 4),
            torch.ones(3, 3),
            unmoor.SignatureError,
            r"made either: L:7, called from H: aten::v",
        ),
        ("quotient", ONES, 0 * ONES, unmoor.NotTraced, r"^L:9 divides integers by zero.*\n  called from H$"),
        ("spread", torch.randn(3, 3), torch.eye(3), unmoor.NotTraced, r"^L:11 .*\n  fix: .*alone\n  called from H$"),
        ("loss", torch.eye(3), None, unmoor.Unsupported, r"the gradient of prim::lu_solve \(L:13, called from H\)"),
        ("counted", ONES, None, VerifyError, r"aten::mul at L:18, called from H `return x \* count\[0\]`"),
    ],
)
def test_every_refusal_in_a_library_names_the_users_own_line(
    library, tmp_path, name: str, given, then, kind: type, told: str
) -> None:
    (tmp_path / "site-packages" / "masking" / "more.py").write_text(LIBRARY)
    more = importlib.import_module("masking.more")
    w = torch.ones(3, requires_grad=True)
    called = getattr(more, name)
    program = (lambda x: called(w, x)) if name == "loss" else (lambda x: called(x))
    with pytest.raises(kind) as error:
        traced = unmoor.trace(program, given)
        if then is None:
            unmoor.save(traced, tmp_path / "x.unmoor")
        traced(given if then is None else then)
    pattern = told.replace("L:", "masking/more.py:").replace("H", rf"{HERE}:\d+")
    assert re.search(pattern, str(error.value)), error.value
    sys.modules.pop("masking.more")


def test_a_condition_in_the_standard_library_is_told_with_its_place() -> None:
    traced = unmoor.trace(lambda x: x * statistics.median(x.tolist()), torch.tensor([1.0, 2.0, 3.0]))
    text = refusal(traced, torch.tensor([3.0, 2.0, 1.0]))
    assert text.startswith(f"{HERE}:") and "statistics.py:" in text and "a comparison inside `sorted(data)`" in text


def test_a_condition_as_long_as_a_page_stays_on_a_screen(library, tmp_path) -> None:
    condition = " + ".join(f"x.sum() * {k}" for k in range(60))
    (tmp_path / "site-packages" / "long.py").write_text(
        f"def f(x):\n    if {condition} > 0:\n        return x\n    return -x\n"
    )
    traced = unmoor.trace(importlib.import_module("long").f, ONES)
    assert len(refusal(traced, -ONES)) < 500
    assert max(map(len, traced.assumptions.splitlines())) < 300


def test_code_without_source_is_told_by_its_line() -> None:
    scope: dict = {}
    exec("def f(x):\n    if x.sum() > 0:\n        return x * float(x.sum())\n    return x.view(x.shape[0])\n", scope)
    traced = unmoor.trace(scope["f"], ONES)
    assert refusal(traced, -ONES).startswith("<string>:2 took the branch at this line in every example; here it is")
    assert "what stands here freezes the value 2.0" in traced.assumptions
