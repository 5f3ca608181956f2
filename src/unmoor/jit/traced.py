"""Traced functions: recorded once, compiled for each signature on first use, called through the native runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from unmoor import archive, capture, codegen
from unmoor.compiler import Compiled, check_returned, first_passes, refuse_pinned
from unmoor.errors import SignatureError, UnmoorError, Unsupported
from unmoor.ir.graph import Source
from unmoor.ir.named import Dim
from unmoor.ir.printer import print_graph, print_kernel, print_program
from unmoor.ir.program import Image
from unmoor.ir.recording import Recording
from unmoor.ir.target import ALL, Target
from unmoor.jit.assumptions import describe
from unmoor.jit.check import check, check_training
from unmoor.jit.code import is_large, python_source
from unmoor.jit.examples import most, with_examples
from unmoor.jit.listing import Listing
from unmoor.jit.progress import telling
from unmoor.jit.report import MethodReport, Report
from unmoor.jit.specialisations import Group, Specialisations
from unmoor.merge import Known, Merged
from unmoor.options import Options

if TYPE_CHECKING:
    from unmoor.capture.original import Original

Dims = Mapping[str, Sequence[str | int | Dim | None]]
METHOD = "forward"
FORCED = 48  # calls that are sent along paths which no example took, for each example that is added
TURNS = 24  # of them, how many at one line: a loop on data could go on for ever


@overload
def trace(
    fn: Callable[..., Any], *args: Any, modes: tuple[str, ...], dims: Dims | None = None, **kwargs: Any
) -> TracedModule: ...
@overload
def trace(fn: Callable[..., Any], *args: Any, dims: Dims | None = None, **kwargs: Any) -> TracedFunction: ...
def trace(
    fn: Callable[..., Any], *args: Any, modes: tuple[str, ...] = (), dims: Dims | None = None, **kwargs: Any
) -> TracedFunction | TracedModule:
    """Runs `fn(*args, **kwargs)` once, records its operations, and compiles them for inputs like these.

    `fn` is a function or a torch module, which stays as it was; the trace is a snapshot of its parameters. Other sizes
    and ranks are compiled when the result is first called with them. Raises Unsupported with the user's line for what
    cannot be recorded.

    With `modes`, ("eval", "train") or ("train", "eval"), a module is recorded in each; the result switches with
    `.train()` and `.eval()`, and starts with the first.

    `dims` tells of inputs what their dims are: {"x": ("batch", None, 3)}. A name keeps a dim free, and equal names mean
    equal sizes; `Dim("batch", min=1, max=64)` bounds them, a number pins a dim, None leaves it to the trace. Calls in
    every host are held to it, and signatures show it. SignatureError where the program itself pins a named dim, with
    the line.
    """
    if modes:
        if not set(modes) <= {"eval", "train"} or len(set(modes)) < len(modes):
            raise ValueError(f"modes is {modes!r}; it holds 'eval' and 'train', each once")
        calls = {f"{METHOD}.{mode}": (fn, args, kwargs, mode) for mode in modes}
        return TracedModule(calls, Options(), dict.fromkeys(calls, dims))
    with telling(f"recording {getattr(fn, '__name__', type(fn).__name__)}"):
        recording = capture.record(fn, args, kwargs, dims)
        return TracedFunction(fn, recording, Options(), capture.keep_original(fn, args, kwargs, dims=dims), dims=dims)


def trace_module(module: Any, inputs: Mapping[str, Any], dims: Mapping[str, Dims] | None = None) -> TracedModule:
    """Traces several methods of a module: {"encode": (x,), "decode": (z,)}. They share weights and state.

    The arguments of a method are a tuple, or a single value. `dims` has, by method, what `trace` takes.
    """
    unknown = [name for name in dims or {} if name not in inputs]
    if unknown:
        raise ValueError(f"dims tells of the method {unknown[0]!r}; those that are traced are {', '.join(inputs)}")
    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], str]] = {}
    for name, given in inputs.items():
        if not callable(getattr(module, name, None)):
            raise ValueError(f"{type(module).__name__} has no method {name}")
        args = given if isinstance(given, tuple) else (given,)
        calls[name] = (module if name == METHOD else getattr(module, name), args, {}, "")
    if not calls:
        raise ValueError("trace_module needs a method with its arguments: {'forward': (x,)}")
    return TracedModule(calls, Options(), {name: (dims or {}).get(name) for name in calls})


class TracedFunction:
    """A recorded program as a callable of torch tensors, and a window on every stage of its compilation.

    The methods named `..._for` take the arguments of a call, and compile for them where no program fits yet.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        recording: Recording,
        options: Options,
        original: Original | None = None,
        method: str = METHOD,
        group: Group | None = None,
        dims: Dims | None = None,
    ) -> None:
        self._fn, self._options, self._dims = fn, options, dims
        self._mode = original.mode if original is not None else ""
        self._method, self._group = method, group or Group(capture.thread_count())
        self._recordings, self._originals = [recording], [original]
        self._examples = [recording]
        self._replayed = [] if original is None else [original]  # what the check, and a file's examples, are made of
        self._use(recording)
        if recording.graph.differentiates and original is not None:
            check_training(self._programs, original)
        refuse_pinned(self._programs.compiled[0])

    def _use(self, recording: Recording) -> None:
        """Compile a recording for its example."""
        self._recording = recording
        self._assumptions = describe(recording.assumptions)
        self._group.members[:] = [m for m in self._group.members if m.method != self._method]
        self._programs = Specialisations(
            self._method, recording, self._assumptions, self._options, "torch", capture.rebuild, self._group
        )
        check_returned(recording, self._programs.add(recording.example))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result for these arguments: fresh torch tensors.

        Raises NotTraced where an assumption of the trace does not hold, SignatureError where the arguments do not fit.
        """
        return self._programs.model(*args, **kwargs)

    # -- state --------------------------------------------------------------------------------
    def state(self) -> dict[str, np.ndarray]:
        """What calls keep and change, by name: copies. It starts as it was at the trace."""
        return self._programs.model.state()

    def set_state(self, values: dict[str, Any] | None = None, **named: Any) -> None:
        """Sets states, by name, to arrays or tensors of their dtypes and shapes; others stay as they are."""
        self._programs.model.set_state(values, **named)

    def seed(self, number: int) -> None:
        """Starts the random numbers of calls anew: the same ones for the same seed, on every host."""
        self._programs.model.seed(number)

    def reset_state(self) -> None:
        """Every state as it was at the trace."""
        self._programs.model.reset_state()

    def add_example(self, *args: Any, **kwargs: Any) -> None:
        """Records and compiles for inputs like these, so that calls and a saved file serve them too.

        Where the program takes another path for them, both paths are kept, with the condition that tells them apart.
        Raises Unsupported with the user's line where no condition on tensors, sizes or ranks does. One of several
        methods keeps its one path: it is compiled for such inputs.
        """
        if len(self._group.members) > 1:
            self._compiled(args, kwargs)
            self._replayed.append(self._kept(args, kwargs))
            return
        recording = capture.record(self._fn, args, kwargs, self._dims)
        recordings, originals = [*self._recordings, recording], [*self._originals, self._kept(args, kwargs)]
        merged = Merged(recordings)
        if not merged.is_new:
            check_returned(recording, self._programs.add(recording.example))
        else:
            merged = self._filled(merged, recordings, originals)
            examples = [*self._examples, recording]
            try:
                self._use_instead(merged.recording, examples)
            except Unsupported:  # where paths join, values may have to be of one size, which they are not
                self._use_instead(Merged(recordings, joins=False).recording, examples)
            self._recordings, self._originals = recordings, originals
        self._examples.append(recording)
        self._replayed.append(self._kept(args, kwargs))

    def _kept(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Original:
        return capture.keep_original(self._fn, args, kwargs, self._mode, self._dims)

    def _filled(self, merged: Merged, recordings: list[Recording], originals: list[Original | None]) -> Merged:
        """The merged recording with sides that no example took, but that the program takes elsewhere.

        They are recorded by calls on the examples that are sent there; those are added to both lists.
        """
        known, sources = Known(recordings), [*originals]
        made: list[Recording] = []
        tried: set[tuple[int, tuple[bool, ...]]] = set()
        calls: Counter[Source] = Counter()
        for _ in range(FORCED):
            sides = (s for s in known.open if (s.run, s.way) not in tried and calls[s.source] < TURNS)
            side = next(sides, None)
            if side is None:
                break
            tried.add((side.run, side.way))
            calls[side.source] += 1
            original = sources[side.run]
            for decisions in ((*side.way, *side.on), side.way):
                recording = original and original.forced(decisions)
                if not recording:
                    continue
                try:
                    known.add(recording)
                except Unsupported:
                    continue
                made.append(recording)
                sources.append(original)
                break
        try:
            merged = Merged([*recordings[:-1], *made, recordings[-1]])
        except Unsupported:
            return merged
        recordings[-1:-1] = made
        originals[-1:-1] = sources[len(originals) :]
        return merged

    def _use_instead(self, merged: Recording, examples: list[Recording]) -> None:
        """Use a recording with more paths, compiled for what the examples so far were; the state stays as it is."""
        before, state = self.__dict__.copy(), self.state() if merged.states else {}
        group = {**vars(self._group), "members": [*self._group.members]}
        try:
            self._use(merged)
            for recording in examples[1:]:
                check_returned(recording, self._programs.add(recording.example))
        except UnmoorError:
            self.__dict__.update(before)
            vars(self._group).update(group)
            raise
        if state:
            self.set_state(state)

    @property
    def signatures(self) -> tuple[str, ...]:
        """The accepted forms of a call that are compiled."""
        return tuple(str(c.signature) for c in self._programs.compiled)

    def __repr__(self) -> str:
        lines = [f"traced {self._recording.graph.name}, {len(self.signatures)} signatures:", *self.signatures]
        return "\n  ".join(lines)

    # -- looking ------------------------------------------------------------------------------
    @property
    def recorded(self) -> Listing:
        """The graph as it was captured."""
        return Listing(print_graph(self._recording.graph))

    @property
    def graph(self) -> Listing:
        """The recorded graph after the first passes: constants folded, nothing unused."""
        return Listing(print_graph(first_passes(self._recording.graph, self._options)))

    @property
    def assumptions(self) -> Listing:
        """What the trace froze, most important first, a line each."""
        return Listing(self._assumptions)

    @property
    def code(self) -> Listing:
        """The recorded graph as Python over torch; its large constants are in `weights`."""
        return Listing(python_source(self._recording.graph, self._recording.result))

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The constants that `code` takes by its argument `weights`, read-only."""
        return {c.value.name: c.data for c in self._recording.graph.constants if is_large(c)}

    def passes_for(self, *args: Any, **kwargs: Any) -> Listing:
        """The graph for such inputs after each pass, in order; that of a pass that changed nothing is not repeated."""
        texts: list[str] = []
        before = ""
        for name, graph in self._compiled(args, kwargs).stages:
            text = print_graph(graph)
            texts.append(f"# {name}: unchanged\n" if text == before else f"# {name}\n{text}")
            before = text
        return Listing("\n".join(texts))

    def graph_for(self, *args: Any, **kwargs: Any) -> Listing:
        """The optimised graph for such inputs: the signature that is checked, and the fusion groups."""
        compiled = self._compiled(args, kwargs)
        return Listing(f"# signature {compiled.signature}\n{print_graph(compiled.graph)}")

    def kernels_for(self, *args: Any, **kwargs: Any) -> Listing:
        """The kernels for such inputs, as loop nests: one for each fusion group."""
        return Listing("\n".join(map(print_kernel, self._compiled(args, kwargs).emitted.kernels)))

    def assembly_for(self, *args: Any, **kwargs: Any) -> Listing:
        """The machine code of those kernels for this processor."""
        target = codegen.host_target()
        if target is None:
            raise Unsupported("this processor is older than x86-64-v3, for which Unmoor makes no code yet")
        return Listing(codegen.assembly(self._compiled(args, kwargs).emitted.kernels, target))

    def bytecode_for(self, *args: Any, **kwargs: Any) -> Listing:
        """The program of the virtual machine for such inputs."""
        emitted = self._compiled(args, kwargs).emitted
        return Listing(print_program(emitted.program, emitted.kernels))

    def _compiled(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Compiled:
        return self._programs.compile_for(args, kwargs)

    def check(self) -> Report:
        """Compares the compiled programs with the traced callable, as `save` does; `print` shows what was compared.

        It calls a deep copy, with the parameters of the trace, on the examples and on further inputs: values within the
        example's range, and other sizes. A call that a guard refuses, or that eager PyTorch refuses, is no difference.
        Where there is state, each input is given twice, and the state compared, too. A program that draws is
        held against the reference interpreter. Raises VerifyError, with the line of the first op that differs.
        """
        return Report((self._check(),))

    def _check(self) -> MethodReport:
        return check(self._programs, self._replayed)

    # -- saving -------------------------------------------------------------------------------
    def image(self, targets: tuple[Target, ...] = ALL, examples: bool | int = False) -> Image:
        """What a file of it holds: every signature that is compiled, with machine code for each of `targets`.

        `examples` says whether examples are part of it, or how many bytes they may take: see `save`.
        """
        image = self._programs.link(targets)
        return with_examples(image, self._programs, [self._kept_examples], most(examples)) if examples else image

    @property
    def _kept_examples(self) -> tuple[str, list[Original]]:
        """The method's name, and what it was traced on."""
        return self._method, self._replayed

    def to_bytes(self, targets: tuple[Target, ...] = ALL, examples: bool | int = True) -> bytes:
        """The file as bytes. Equal traces give equal bytes."""
        return archive.write(self.image(targets, examples))


Calls = Mapping[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], str]]


class TracedModule:
    """Several traced methods with one set of weights and state. Each is an attribute, and in `methods`.

    Calling it calls the method `forward`, or its first; `train` and `eval` choose among modes.
    """

    def __init__(self, calls: Calls, options: Options, dims: Mapping[str, Dims | None]) -> None:
        originals = [capture.keep_original(*call, dims[name]) for name, call in calls.items()]
        recordings = capture.record_several(tuple(calls.values()), tuple(dims[name] for name in calls))
        group = Group(capture.thread_count())
        self.methods: dict[str, TracedFunction] = {}
        for name, recording, original in zip(calls, recordings, originals, strict=True):
            self.methods[name] = TracedFunction(calls[name][0], recording, options, original, name, group, dims[name])
        self._chosen = METHOD if METHOD in self.methods else next(iter(self.methods))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result of the chosen method."""
        return self.methods[self._chosen](*args, **kwargs)

    def __getattr__(self, name: str) -> TracedFunction:
        methods: dict[str, TracedFunction] = self.__dict__.get("methods", {})
        if name in methods:
            return methods[name]
        raise AttributeError(f"no method or attribute {name}; the traced methods are {', '.join(methods)}")

    def train(self, mode: bool = True) -> TracedModule:
        """Calls it as it was traced in training mode from here on."""
        return self._switch("train" if mode else "eval")

    def eval(self) -> TracedModule:
        """Calls it as it was traced in eval mode from here on."""
        return self._switch("eval")

    def _switch(self, mode: str) -> TracedModule:
        name = f"{METHOD}.{mode}"
        if name not in self.methods:
            raise SignatureError(f"it was not traced in {mode} mode: trace it with modes=('eval', 'train')")
        self._chosen = name
        return self

    @property
    def _any(self) -> TracedFunction:
        return next(iter(self.methods.values()))

    def state(self) -> dict[str, np.ndarray]:
        """What calls keep and change, by name: copies."""
        return self._any.state()

    def set_state(self, values: dict[str, Any] | None = None, **named: Any) -> None:
        """Sets states, by name, to arrays or tensors of their dtypes and shapes; others stay as they are."""
        self._any.set_state(values, **named)

    def reset_state(self) -> None:
        """Every state as it was at the trace."""
        self._any.reset_state()

    def seed(self, number: int) -> None:
        """Starts the random numbers of calls anew."""
        self._any.seed(number)

    def check(self) -> Report:
        """What `TracedFunction.check` says of each method."""
        return Report(tuple(method._check() for method in self.methods.values()))

    def image(self, targets: tuple[Target, ...] = ALL, examples: bool | int = False) -> Image:
        """What a file of it holds; with examples of each method, if that is asked for."""
        image = self._any.image(targets)
        if not examples:
            return image
        kept = [method._kept_examples for method in self.methods.values()]
        return with_examples(image, self._any._programs, kept, most(examples))

    def to_bytes(self, targets: tuple[Target, ...] = ALL, examples: bool | int = True) -> bytes:
        """The file as bytes."""
        return archive.write(self.image(targets, examples))
