"""Guards: what the user's Python decided by a number or a tensor's value, recorded as a condition of the trace."""

from __future__ import annotations

import math
from types import CodeType, FrameType
from typing import Any

from unmoor.capture import wording
from unmoor.capture.lookahead import Comparison, comparison_after, makes_no_difference
from unmoor.capture.numbers import Number, Plain
from unmoor.capture.shown import only_shown
from unmoor.capture.source import (
    asking_frame,
    condition_text,
    functions_around,
    is_call,
    is_loop,
    is_while,
    source_of,
    user_frame,
)
from unmoor.capture.tape import Tape
from unmoor.capture.wording import Wording
from unmoor.ir.graph import Value
from unmoor.ir.number import COMPARISONS
from unmoor.ir.types import BOOL


class Guards:
    """Records conditions on a tape, with messages in the user's words."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.plain: set[CodeType] = set()  # what made a size a plain number by a call, of int(size) and its like
        self.deferred = False  # comparisons of numbers are handed on, and asked for their outcome later

    def compare(
        self, a: Number, b: Number | Plain, op: str, index: int | None = None, shown: bool | None = None
    ) -> bool:
        """The truth of `a op b` in this run, guarded.

        `index` is the comparing instruction, where it is yet to run; `shown` is the truth of the user's own
        condition, where `a op b` only stands for it.
        """
        held = COMPARISONS[op](a.hint, b.hint if isinstance(b, Number) else b)
        if a is b and not a.data:
            return held  # a size against itself
        if not isinstance(b, Number) and not a.data and a.op == "prim::size" and _always(op, b):
            return held
        if index is None and self.tape.condition() is None and makes_no_difference(user_frame()):
            return held
        data = a.data or (isinstance(b, Number) and b.data)
        condition = self.tape.pure("prim::compare", (a.value, b.value if isinstance(b, Number) else b, op), BOOL)
        always = isinstance(b, Number) and a.value is b.value and not data  # a size against itself
        if index is None and not always:
            held = self.tape.decide(held)
        words = self.branch(held if shown is None else shown, data, index, inside=index is None)
        self.tape.guard(condition, held, words, always)
        return held

    def truth(self, tensor: Value, held: bool) -> bool:
        """bool(tensor), which is `held` by its value, guarded."""
        condition = self.tape.pure("prim::truth", (tensor,), BOOL)
        held = self.tape.decide(held)
        self.tape.guard(condition, held, self.branch(held, True))
        return held

    def branch(self, held: bool, data: bool, index: int | None = None, inside: bool = False) -> Wording:
        """The words for a condition; `inside`: where the user's line is in a call, that compares by itself."""
        text = self.tape.condition()
        if text is not None:
            return wording.branch(text, held, data)
        frame, asking = user_frame(), asking_frame()
        if asking is not None and asking is not frame:  # a function of torch or the standard library
            what = wording.quoted(condition_text(asking))
            what = f"a comparison inside {what}" if inside and is_call(asking) else what
            return wording.inside(f"{what}, in {source_of(asking)},", held, data)
        condition = condition_text(frame, index)
        if inside and is_call(frame):
            return wording.inside(f"a comparison inside {wording.quoted(condition)}", held, data)
        return wording.loop(condition, held) if is_while(frame) else wording.branch(condition, held, data)

    def equal(self, number: Number, pieces: bool = False) -> None:
        """The number is what it is in this run: Python used it as a plain one; `pieces`, as a number of tensors."""
        frame = user_frame()
        text = self.tape.text()
        hint = number.hint
        if isinstance(hint, float) and math.isnan(hint):
            condition = self.tape.pure("prim::compare", (number.value, number.value, "!="), BOOL)
        else:
            condition = self.tape.pure("prim::compare", (number.value, hint, "=="), BOOL)
        if number.data:
            words = wording.value(text, hint)
        else:
            words = wording.pieces(text, hint) if pieces else wording.size(text, hint, is_loop(frame, text))
        self.tape.guard(condition, True, words)

    def comparison_in_caller(self, function: str) -> Comparison | None:
        """What the user's code does next with the result of `function(...)`, where it is a comparison."""
        frame: FrameType | None = user_frame()
        return None if frame is None else comparison_after(frame, function)

    def made_plain(self, number: Number) -> None:
        """The program calls int, float or len, which can only give a plain number."""
        if not number.data:
            self.plain.update(functions_around(asking_frame()))

    def converted(self, number: Number, comparison: Comparison | None) -> Any:
        """float(number) or int(number) of an int: the comparison that follows is guarded, else equality."""
        if comparison is None:
            self.made_plain(number)
            return number.pin()
        self.compare(number, comparison.other, comparison.op, comparison.index)
        return number.hint

    def truncated(self, number: Number, comparison: Comparison | None) -> int:
        """int(number) of a float: the comparison that follows as one of the float, else equality."""
        whole = int(number.hint)  # raises for NaN and infinity as Python does
        if comparison is None or isinstance(comparison.other, float) or comparison.op in ("==", "!="):
            self.made_plain(number)
            return int(number.pin())
        k = int(comparison.other)
        shown = COMPARISONS[comparison.op](whole, k)
        bound = k if comparison.op in ("<", ">=") else k + 1
        # int(v) >= bound, or its opposite, as a condition on v: truncation goes towards zero
        op, limit = (">=", bound) if bound > 0 else (">", bound - 1)
        self.compare(number, limit, op, comparison.index, shown)
        return whole

    def as_text(self, number: Number) -> str:
        """The number as text; what the program does with a text cannot be followed, so it is what it is in this run."""
        if not only_shown():
            self.equal(number)
        return repr(number.hint)


def _always(op: str, bound: Plain) -> bool:
    """Whether `size op bound` is the same for every size, since sizes are not negative."""
    return (op in ("<", ">=") and bound <= 0) or (op in ("==", "!=", "<=", ">") and bound < 0)
