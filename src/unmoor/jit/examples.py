"""The examples that a file holds: calls like those of the trace, and what the file's own programs give for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unmoor import capture
from unmoor.dtypes import BY_NUMPY
from unmoor.errors import UnmoorError
from unmoor.ir.program import Example, ExampleArray, Image
from unmoor.jit.check import sizes_like
from unmoor.ops.closeness import allowed

if TYPE_CHECKING:
    from unmoor.capture.original import Original
    from unmoor.jit.specialisations import Specialisations

BYTES = 256 * 1024  # what the tensors of all examples may take together, unless the user says otherwise


def most(examples: bool | int) -> int:
    """How many bytes examples may take, where they are asked for. ValueError for what is no number of bytes."""
    if isinstance(examples, bool):
        return BYTES if examples else 0
    if not isinstance(examples, int) or examples < 0:
        raise ValueError(f"examples is {examples!r}; it is True, False or how many bytes they may take")
    return examples


def with_examples(
    image: Image, programs: Specialisations, originals: Sequence[tuple[str, Sequence[Original]]], most: int
) -> Image:
    """The image with examples, of at most so many bytes: what each method was traced on, in turn.

    One that is too large gives way to smaller inputs made from it. What the calls give comes from the programs, which
    draw the same random numbers everywhere.
    """
    numbers = {m.name: number for number, m in enumerate(image.methods)}
    members = {m.method: m for m in programs.group.members}
    found: list[Example] = []
    turns = max((len(kept) for _, kept in originals), default=0)
    with programs.as_saved():
        for turn in range(turns):
            for name, kept in originals:
                if turn < len(kept) and name in numbers:
                    made = _example(members[name], numbers[name], kept[turn], most)
                    if made is not None:
                        found.append(made)
                        most -= _bytes(made)
    order = sorted(range(len(found)), key=lambda k: (found[k].method, k))
    return replace(image, examples=tuple(found[k] for k in order))


def _example(programs: Specialisations, method: int, original: Original, most: int) -> Example | None:
    for inputs in _candidates(programs, original):
        if sum(i.nbytes for i in inputs) > most:
            continue
        given = [_array(i, 0.0) for i in inputs]  # before the call may change them
        programs.model.reset_state()
        try:
            outputs = programs.model.outputs_of(inputs)
        except UnmoorError:
            continue
        recording = programs.recording
        after = programs.model.state()
        held = [*inputs, *(after[s.name] for s in recording.states)]
        made = [*outputs, *(held[k] for k in recording.changed)]
        example = Example(method, (*given, *(_array(m, None) for m in made)))
        if _bytes(example) <= most:
            return example
    return None


def _candidates(programs: Specialisations, original: Original) -> Iterator[list[np.ndarray]]:
    """The example, then inputs of smaller sizes."""
    arrays = original.arrays
    yield arrays
    try:
        compiled = programs.compile_for(*capture.rebuild(original.arguments, tuple(arrays)))
    except UnmoorError:
        return
    for size in (7, 2, 1):
        shapes = sizes_like(compiled, [a.shape for a in arrays], size)
        yield capture.arrays(original.made_of(shapes, size))


def _array(array: np.ndarray, tolerance: float | None) -> ExampleArray:
    dtype = BY_NUMPY[array.dtype]
    allowing = allowed(array, dtype) if tolerance is None else tolerance
    return ExampleArray(dtype, array.shape, array.tobytes(), allowing)


def _bytes(example: Example) -> int:
    return sum(len(t.data) for t in example.tensors)
