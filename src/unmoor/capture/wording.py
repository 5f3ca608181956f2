"""What a trace froze, in the user's words: what it assumes, what a call is told that breaks it, and the way out."""

from __future__ import annotations

from dataclasses import dataclass

from unmoor.dtypes import DType
from unmoor.ir.graph import Source
from unmoor.ir.recording import ANOTHER, EVERY, Froze

LONGEST = 120  # characters of a condition


@dataclass(frozen=True)
class Wording:
    """One kind of guard. `assumed` stands in `assumptions`; `broken` and `fix` are told where it does not hold."""

    froze: Froze
    assumed: str
    broken: str
    fix: str

    def message(self, caller: Source) -> str:
        """What NotTraced says behind the line. `caller` is the user's own line that led to a library's."""
        lines = [self.broken]
        if caller.file:
            lines.append(
                f"called from {caller.file}:{caller.line}" + (f": {short(caller.text)}" if caller.text else "")
            )
        return "\n  ".join((*lines, f"fix: {self.fix}"))


def quoted(code: str) -> str:
    """A piece of the user's code, cut where it is too long for a line; "" where its source cannot be had."""
    return f"`{short(code)}`" if code else "what stands here"


def short(code: str) -> str:
    """A piece of code, cut where it is too long for a line."""
    return code if len(code) <= LONGEST else f"{code[: LONGEST - 3]}..."


def branch(condition: str, held: bool, data: bool) -> Wording:
    """A condition that the user's line branches on."""
    what = quoted(condition) if condition else "at this line"
    if held:
        assumed, broken = f"takes the branch {what}", f"took the branch {what} {EVERY}; here it is False"
    else:
        assumed = f"does not take the branch {what}"
        broken = f"did not take the branch {what} in any example; here it is True"
    return Wording(_branch(data), assumed, broken, _example(f"for which it is {not held}"))


def inside(what: str, held: bool, data: bool) -> Wording:
    """A condition in what the user's line calls."""
    broken = f"{what} was {held} {EVERY}; here it is {not held}"
    return Wording(_branch(data), f"{what} is {held}", broken, _example(f"for which it is {not held}"))


def loop(condition: str, held: bool) -> Wording:
    """The condition of a `while`."""
    does, did = ("goes on", "went on") if held else ("ends", "ended")
    return Wording(
        Froze.LOOP,
        f"the loop {does} where {quoted(condition)} is {held}",
        f"the loop {did} here {EVERY}, {quoted(condition)} being {held}; here it is {not held}",
        _example("for which the loop runs as often as here"),
    )


def value(text: str, hint: object) -> Wording:
    """A number read from a tensor, which Python used as a plain one."""
    return Wording(
        Froze.VALUE,
        f"{quoted(text)} freezes the value {hint!r}, read from a tensor",
        f"{quoted(text)} froze the value {hint!r}, read from a tensor, {EVERY}; here it {ANOTHER}",
        "compute with the tensor itself; or compare it (`t > 0`), or keep `t.item()` in place of float(t) or int(t)",
    )


def size(text: str, hint: object, loops: bool) -> Wording:
    """A size that Python used as a plain number; `loops`, to count the turns of a loop."""
    does, did = ("loops", "looped") if loops else ("uses a size", "used a size")
    as_ = "by the size" if loops else "as the number"
    return Wording(
        Froze.LOOP if loops else Froze.SIZE,
        f"{quoted(text)} {does} {as_} {hint!r}",
        f"{quoted(text)} {did} {as_} {hint!r} {EVERY}; here it {ANOTHER}",
        _example("of such sizes") if loops else _example("of such sizes") + ", or keep it a size",
    )


def pieces(text: str, count: object) -> Wording:
    """How many tensors unbind, split or chunk gives."""
    return Wording(
        Froze.SIZE,
        f"{quoted(text)} gives {count} tensors",
        f"{quoted(text)} gave {count} tensors {EVERY}; here their number {ANOTHER}",
        _example("of such sizes"),
    )


def rank(text: str, dims: int) -> Wording:
    """The number of dims that the program asked for, or needs."""
    shown = "1 dim" if dims == 1 else f"{dims} dims"
    return Wording(
        Froze.RANK,
        f"{quoted(text)} meets a tensor of {shown}",
        f"{quoted(text)} met a tensor of {shown} {EVERY}; here their number {ANOTHER}",
        _example("with so many dims"),
    )


def dtype(text: str, kind: DType) -> Wording:
    """The dtype that the program asked for, or needs."""
    return Wording(
        Froze.DTYPE,
        f"{quoted(text)} meets a tensor of dtype {kind.torch_name}",
        f"{quoted(text)} met a tensor of dtype {kind.torch_name} {EVERY}; here it {ANOTHER}",
        f"convert the argument (`.to(torch.{kind.torch_name})`), or {_example('of such dtypes')}",
    )


def statistics() -> Wording:
    """A norm in training mode: there is something to take statistics of."""
    what = "a norm in training mode takes statistics, of at least one element"
    return Wording(Froze.BRANCH_ON_SIZE, what, f"{what}; here there is none", "leave such a call out, as in PyTorch")


def rows_needed(name: str) -> Wording:
    """A loop over the rows of a tensor: there is a first one, which says what the loop gives."""
    what = f"{name} goes over the rows of a tensor, of which there is at least one"
    return Wording(Froze.BRANCH_ON_SIZE, what, f"{what}; here there is none", "leave such a call out, as in PyTorch")


def _branch(data: bool) -> Froze:
    return Froze.BRANCH_ON_DATA if data else Froze.BRANCH_ON_SIZE


def _example(what: str) -> str:
    return f"traced.add_example(<arguments {what}>)"
