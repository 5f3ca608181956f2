"""The check before a save: the programs of the file against the original, on the examples and on inputs like them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from unmoor import capture
from unmoor.compiler import Compiled, differentiated
from unmoor.errors import NotTraced, SignatureError, UnmoorError, Unsupported, VerifyError
from unmoor.ir.dim import Dim
from unmoor.ir.graph import Node, Source
from unmoor.ir.program import GENERATOR
from unmoor.jit.fitting import fitting
from unmoor.jit.locate import first_miscompiled
from unmoor.jit.report import MethodReport
from unmoor.reference import run_graph

if TYPE_CHECKING:
    from unmoor.capture.original import Leaves, Original, Outcome, Twin
    from unmoor.jit.specialisations import Specialisations

SECONDS = 5.0  # what the check may take, after the examples themselves
MANY = 1 << 20  # elements: beyond, no larger input is made, and the reference interpreter takes too long
SIZES = (1, 2, 7, 0)  # and one larger than the example's


def check(programs: Specialisations, originals: Sequence[Original]) -> MethodReport:
    """What was compared. Raises VerifyError, with the line, where a program gives something else."""
    report = MethodReport(programs.method)
    if not originals:
        report.skipped = "the traced callable is no longer at hand"
        return report
    try:
        twin = originals[0].as_traced(programs.recording)
    except Exception as error:
        report.skipped = f"the traced callable cannot be copied ({type(error).__name__}: {error})"
        return report
    with programs.as_saved(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of what the reference interpreter computes
        _Check(programs, report, twin).run(originals)
    return report


def check_training(programs: Specialisations, original: Original) -> None:
    """Unsupported where two calls of a program that computes gradients do not go as two of the original.

    What such a program keeps in Python, as a schedule of learning rates, shows in the second call.
    """
    try:
        twin = original.as_traced(programs.recording)
    except Exception:  # whatever Python says where something cannot be copied
        return
    check = _Check(programs, MethodReport(programs.method), twin)
    if check.draws:
        return  # eager PyTorch draws other numbers
    for number in range(2):
        try:
            want, got = check._outcomes(twin, original, original.example)
        except _Refused as refused:
            wrong = str(refused)
        else:
            wrong, _ = capture.difference(want, got)
        if wrong:
            call = "second" if number else "first"
            raise Unsupported(
                f"the {call} call of what was traced does not go as that of the original: {wrong}. Where the program "
                "keeps something in Python that calls change, keep it in a tensor instead, or run one step before the "
                "trace"
            )
    programs.model.reset_state()


class _Check:
    """The check of one method."""

    def __init__(self, programs: Specialisations, report: MethodReport, twin: Twin) -> None:
        self.programs, self.report, self.recording = programs, report, programs.recording
        self.states = {s.name: s.origin for s in self.recording.states}
        self.draws = GENERATOR in self.states
        self.twin: Twin | None = twin  # to be called next

    def run(self, originals: Sequence[Original]) -> None:
        """All examples, then what is made of them while there is time, for each signature first."""
        if self.draws:
            self.report.against = "the reference interpreter, which draws the same random numbers,"
            if sum(c.data.size for c in self.recording.graph.constants) > MANY:
                self.report.skipped = "it draws random numbers, and is too large for the reference interpreter"
                return
        started = time.monotonic()
        for original in originals:
            self._one(original, original.example)
        made = [*self._of_signatures(originals), *(pair for o in originals for pair in self._made(o))]
        for original, leaves in made:
            if time.monotonic() - started > SECONDS:
                self.report.left += 1
            else:
                self._one(original, leaves())
        self.report.seconds = time.monotonic() - started

    def _of_signatures(self, originals: Sequence[Original]) -> Iterator[tuple[Original, Callable[[], Leaves]]]:
        """Inputs of the signatures that calls have asked for, and that no example has."""
        of_examples, first = set(), originals[0]
        for original in originals:
            with suppress(UnmoorError):
                arrays = tuple(capture.arrays(original.example))
                of_examples.add(self.programs.compile_for(*capture.rebuild(original.arguments, arrays)).signature)
        for compiled in self.programs.compiled:
            sizes = next(fitting(compiled.signature), None)
            if compiled.signature in of_examples or sizes is None:
                continue
            given = compiled.signature.given
            shapes = [_sizes(spec.type.shape, sizes) for spec in given]
            dtypes = [spec.type.dtype for spec in given]
            yield first, lambda shapes=shapes, dtypes=dtypes: first.made_of(shapes, 0, dtypes)  # type: ignore[misc]

    def _made(self, original: Original) -> Iterator[tuple[Original, Callable[[], Leaves]]]:
        arrays = capture.arrays(original.example)
        try:
            compiled = self.programs.compile_for(*capture.rebuild(original.arguments, tuple(arrays)))
        except UnmoorError:
            return
        for seed, shapes in enumerate(all_sizes_like(compiled, [a.shape for a in arrays])):
            yield original, lambda shapes=shapes, seed=seed: original.made_of(shapes, seed)  # type: ignore[misc]

    def _one(self, original: Original, leaves: Leaves) -> None:
        """One input: a call, and a second one after it where there is state. VerifyError where they differ."""
        sizes = ", ".join(str(list(leaf.shape)) for leaf in leaves) or "no tensors"
        twin = self.twin or original.as_traced(self.recording)
        self.twin = None if self.recording.states else twin
        self.programs.model.reset_state()
        changed = self.recording.changed
        unchanged = {f"argument {k} after the call" for k in range(len(leaves)) if k not in changed}
        for number in range(2 if self.recording.states else 1):
            try:
                want, got = self._outcomes(twin, original, leaves)
            except _Refused as refused:
                self.report.refused[sizes] = str(refused)
                return
            wrong, off = capture.difference(want, got)
            if wrong:
                again = ", in the second of two calls," if number else ""
                raise VerifyError(
                    f"not saved: for inputs of sizes {sizes}{again} the traced program differs from the original, as "
                    f"that is now: {wrong}. {self._first_difference(original, leaves)} To save it as it is: "
                    "unmoor.save(..., check=False)"
                )
            self.report.add(sizes, {name: distance for name, distance in off.items() if name not in unchanged})

    def _outcomes(self, twin: Twin, original: Original, leaves: Leaves) -> tuple[Outcome, Outcome]:
        """What the original gives, or the reference in its place, and what the program gives. Raises _Refused."""
        model = self.programs.model
        states = model.state()
        try:
            want = twin.call(original.arguments, leaves, {} if self.draws else self.states)
        except Exception as error:
            raise _Refused(f"{type(error).__name__}: {error}") from None
        try:
            got = capture.call(model, original.arguments, leaves, False)
        except (NotTraced, SignatureError, Unsupported) as error:
            raise _Refused(str(error)) from None
        after = model.state()
        got.values.update({f"the state {name}": after[name] for name in self.states})
        if self.draws:
            want = self._reference(want, leaves, states)
        return want, got

    def _reference(self, eager: Outcome, leaves: Leaves, states: dict[str, np.ndarray]) -> Outcome:
        """What the recorded graph gives in its interpreter: results, arguments and states after the call."""
        given = [*capture.arrays(leaves), *(states[name] for name in self.states)]
        graph = differentiated(self.recording.graph, given, len(self.states))
        made = list(run_graph(graph, given))
        results = made[: len(made) - len(self.recording.changed)]
        for number, value in zip(self.recording.changed, made[len(results) :], strict=True):
            given[number] = value
        values = [*results, *given[: len(leaves)]]
        outcome = capture.outcome_of(eager, values)
        outcome.values.update({f"the state {n}": v for n, v in zip(self.states, given[len(leaves) :], strict=True)})
        return outcome

    # -- where they differ --------------------------------------------------------------------
    def _first_difference(self, original: Original, leaves: Leaves) -> str:
        """The first op that differs, as a sentence."""
        node = None
        try:
            if not self.draws:
                node = capture.first_unlike(
                    lambda: original.as_traced(self.recording),
                    original.arguments,
                    original.example,
                    leaves,
                    self._steps,
                )
            if node is None:
                node = self._recorded_otherwise(original, leaves)
            if node is not None:
                return f"The first op that differs is {node.op} at {_at(node.source)}."
            node = first_miscompiled(self.programs, self._steps(leaves), capture.arrays(leaves))
        except (UnmoorError, NotImplementedError) as error:
            return f"Which op differs first was not found: {error}."
        where = f"; the first op that it gets wrong is {node.op} at {_at(node.source)}" if node is not None else ""
        return f"Each op that was recorded is right, and what was compiled of it is not: a bug of Unmoor{where}."

    def _steps(self, leaves: Leaves) -> list[tuple[Node, Sequence[Any]]]:
        """The nodes of the recording with their values, in the reference interpreter."""
        steps: list[tuple[Node, Sequence[Any]]] = []
        given = [*capture.arrays(leaves), *(s.data for s in self.recording.states)]
        run_graph(self.recording.graph, given, lambda node, values: steps.append((node, values)))
        return steps

    def _recorded_otherwise(self, original: Original, leaves: Leaves) -> Node | None:
        """Where a new recording, on these inputs, parts from this one."""
        again = original.as_traced(self.recording).recorded(original.arguments, leaves)
        for old, new in zip(self.recording.graph.nodes, again.graph.nodes, strict=False):
            if (old.op, str(old.args)) != (new.op, str(new.args)):
                return new
        return None


class _Refused(Exception):
    """One of both does not take the inputs."""


Shapes = Sequence[tuple[int, ...]]


def all_sizes_like(compiled: Compiled, shapes: Shapes) -> Iterator[Shapes]:
    """Sizes of inputs like an example's: its own, then with each symbolic size in turn replaced by others."""
    dims, known = _dims(compiled, shapes)
    yield shapes
    for symbol, size in ((s, n) for n in SIZES for s in known):
        if size != known[symbol]:
            yield [_sizes(d, {**known, symbol: size}) for d in dims]
    if known and sum(int(np.prod(shape)) for shape in shapes) < MANY:
        yield [_sizes(d, {symbol: 2 * size + 1 for symbol, size in known.items()}) for d in dims]


def sizes_like(compiled: Compiled, shapes: Shapes, size: int) -> Shapes:
    """Sizes like an example's, with all symbolic ones replaced by `size` where they are larger."""
    dims, known = _dims(compiled, shapes)
    return [_sizes(d, {symbol: min(size, n) for symbol, n in known.items()}) for d in dims]


def _dims(compiled: Compiled, shapes: Shapes) -> tuple[list[tuple[Dim, ...]], dict[str, int]]:
    """The dims of the inputs that are given, and what their symbols are in the example."""
    dims = [spec.type.shape for spec in compiled.signature.inputs[: len(shapes)]]
    known: dict[str, int] = {}
    for shape, sizes in zip(shapes, dims, strict=True):
        known.update({d.symbol: n for d, n in zip(sizes, shape, strict=True) if d.symbol is not None})
    return dims, known


def _sizes(dims: tuple[Dim, ...], env: dict[str, int]) -> tuple[int, ...]:
    return tuple(max(0, d.evaluate(env)) for d in dims)


def _at(source: Source) -> str:
    return f"{source.led} `{source.text}`"
