"""The check before a save: the programs of the file against the original, on the example and on inputs made from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unmoor import capture
from unmoor.compiler import Compiled
from unmoor.errors import NotTraced, SignatureError, UnmoorError, Unsupported, VerifyError
from unmoor.ir.dim import Dim
from unmoor.ir.recording import Froze, Recording

if TYPE_CHECKING:
    from unmoor.capture.original import Leaves, Original
    from unmoor.jit.specialisations import Specialisations

SECONDS = 5.0  # what the check may take, after the example itself
MANY = 1 << 20  # elements: beyond, no larger input is made
SIZES = (1, 2, 7, 0)  # and one larger than the example's


def check(programs: Specialisations, original: Original | None) -> str:
    """What was compared, in words. Raises VerifyError, with the line, where a program gives something else."""
    recording = programs.recording
    if original is None or not original.can_be_copied:
        return "not checked: the traced callable cannot be called again without changing what it holds"
    if any(a.froze is Froze.RANDOM for a in recording.assumptions):
        return "not checked: the program draws random numbers"
    started, compared, left, refused, worst = time.monotonic(), 0, 0, 0, 0.0
    twin = None if recording.states else original.as_traced(recording)
    with programs.as_saved() as model:
        for leaves in _inputs(programs.compiled[0], original):
            if compared and time.monotonic() - started > SECONDS:
                left += 1
                continue
            model.reset_state()
            outcome = _compare(model, twin or original.as_traced(recording), recording, original, leaves)
            if outcome is None:
                refused += 1
                continue
            worst = max(worst, outcome)
            compared += 1
    text = f"checked on {compared} inputs: equal to eager PyTorch within {worst:.1g} of the largest element"
    text += f"; {refused} more are refused, or raise in eager PyTorch" if refused else ""
    return text + (f"; {left} left out for time" if left else "")


def _inputs(compiled: Compiled, original: Original) -> Iterator[Leaves]:
    """The example, then others: of its own sizes, and with each symbolic size in turn replaced by others."""
    yield original.example
    shapes = [tuple(e.shape) for e in original.example]
    dims = [spec.type.shape for spec in compiled.signature.inputs[: len(shapes)]]
    known: dict[str, int] = {}
    for shape, sizes in zip(shapes, dims, strict=True):
        known.update({d.symbol: n for d, n in zip(sizes, shape, strict=True) if d.symbol is not None})
    yield original.made_of(shapes, 0)
    for seed, (symbol, size) in enumerate(((s, n) for n in SIZES for s in known), 1):
        if size != known[symbol]:
            yield original.made_of([_sizes(d, {**known, symbol: size}) for d in dims], seed)
    if known and sum(leaf.numel() for leaf in original.example) < MANY:
        larger = {symbol: 2 * size + 1 for symbol, size in known.items()}
        yield original.made_of([_sizes(d, larger) for d in dims], 99)


def _sizes(dims: tuple[Dim, ...], env: dict[str, int]) -> tuple[int, ...]:
    return tuple(max(0, d.evaluate(env)) for d in dims)


def _compare(model: Any, fn: Any, recording: Recording, original: Original, leaves: Leaves) -> float | None:
    """How far apart the two are; None where one of them refuses. VerifyError where they differ."""
    try:
        want = original.call(fn, leaves)
    except Exception:
        return None
    try:
        got = original.call(model, leaves)
    except (NotTraced, SignatureError, Unsupported):
        return None
    wrong, distance = capture.difference(want, got)
    if wrong:
        sizes = ", ".join(str(list(leaf.shape)) for leaf in leaves)
        raise VerifyError(
            f"not saved: for inputs of sizes {sizes} the traced program differs from the original: {wrong}. "
            f"{_first_difference(recording, original, leaves)} To save it as it is: unmoor.save(..., check=False)"
        )
    return distance


def _first_difference(recording: Recording, original: Original, leaves: Leaves) -> str:
    """Where a new recording, on these inputs, parts from the old one."""
    args, kwargs = capture.rebuild(original.arguments, [leaf.clone() for leaf in leaves])
    try:
        again = capture.record(original.as_traced(recording), args, kwargs)
    except UnmoorError as error:
        return f"Recording it on these inputs is refused: {error}."
    for old, new in zip(recording.graph.nodes, again.graph.nodes, strict=False):
        if (old.op, str(old.args)) != (new.op, str(new.args)):
            at = f"{new.source.file}:{new.source.line} `{new.source.text}`"
            return f"The first op that differs is at {at}: {new.op} in place of {old.op} with the trace's arguments."
    return "Both record the same ops: a bug of Unmoor; please report it with the program."
