"""One random program at every level: eager PyTorch, the graph's reference interpreter, compiled, and from its file."""

from __future__ import annotations

import copy
import random
import re
import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from programs import Program

import unmoor
from unmoor import capture, codegen
from unmoor.compiler.pipeline import RECORDED, TYPED
from unmoor.dtypes import numbers_of
from unmoor.errors import NotTraced, SignatureError, Unsupported
from unmoor.jit import specialisations
from unmoor.jit.traced import TracedFunction
from unmoor.options import Options
from unmoor.reference import run_graph

SIZES = (1, 2, 3, 5, 7, 0)
REFUSALS = (NotTraced, SignatureError, Unsupported)  # any other error is a fault


class SharedLinker(specialisations.Linker):
    """Machine code of one program serves the others that have the same kernels: most of the time goes into it."""

    code: ClassVar[dict[Any, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        if len(SharedLinker.code) > 20000:
            SharedLinker.code.clear()
        self._code = SharedLinker.code


@dataclass
class Outcome:
    """What came of a program: "right", "refused" with a reason, or "wrong" with what differs."""

    verdict: str
    why: str = ""
    compared: int = 0
    guarded: int = 0
    notes: list[str] = field(default_factory=list)


class Wrong(Exception):
    """Two levels differ."""


def check(program: Program, r: random.Random, skip: str | None = None) -> Outcome:
    """Traces a program and compares it on its example, on other values, and at other sizes."""
    outcome = Outcome("right")
    calls = [program.inputs(program.seed), program.inputs(program.seed + 1)]
    for n in range(2):
        calls.append(program.inputs(program.seed + 2 + n, {"a": r.choice(SIZES), "b": r.choice(SIZES)}))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        raised = _raised(program, calls[0])
        try:
            traced = _trace(program, calls[0], skip)
        except REFUSALS as error:
            return Outcome("refused", reason(error)) if raised is None else outcome
        except Exception as error:
            if str(error) != str(raised):
                raise
            return outcome
        if raised is not None:
            return Outcome("wrong", f"eager raises {raised} on the example, which is traced")
        try:
            _interpreted(program, traced, calls[0])
            target = codegen.host_target()
            assert target is not None
            _compare(program, traced, calls, "compiled", outcome)
            model = unmoor.load(traced.to_bytes((target,)), trust=True)
            _compare(program, model, calls, "saved", outcome)
            if outcome.guarded:
                outcome.notes += _with_examples(program, calls, outcome)
            if program.has_modes:
                outcome.notes += _in_modes(program, calls, outcome)
        except Wrong as wrong:
            return Outcome("wrong", str(wrong))
    return outcome


def reason(error: BaseException) -> str:
    """A refusal's text without what is this program's own."""
    text = re.sub(r"^[^ ]*program_\d+\.py:\d+[^:]*: ", "", str(error)).splitlines()[0]
    text = re.sub(r"`[^`]*`|'[^']*'", "_", text)
    return re.sub(r"\b[vns]\d+\b|%\S+", "v", re.sub(r"-?\d+(\.\d+)?", "N", text))[:160]


def _raised(program: Program, call: tuple[torch.Tensor, ...]) -> Exception | None:
    """The error of eager PyTorch on the example: a line that the writer gave up may have changed what ran there."""
    try:
        _eager(program.make(), call)
    except Exception as error:
        return error
    return None


def _trace(program: Program, call: tuple[torch.Tensor, ...], skip: str | None) -> TracedFunction:
    fn, given = program.make(), copy.deepcopy(call)
    recording = capture.record(fn, given)
    options = Options(skip=frozenset((skip,) if skip else ()), verify=True)
    return TracedFunction(fn, recording, options, capture.keep_original(fn, given, {}))


def _eager(net: torch.nn.Module, call: tuple[torch.Tensor, ...]) -> tuple[list[Any], tuple[torch.Tensor, ...]]:
    given = copy.deepcopy(call)
    result = net(*given)
    return (list(result) if isinstance(result, tuple) else [result]), given


def _buffers(net: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """All of them, also where two names stand for one tensor."""
    return list(net.named_buffers(remove_duplicate=False))


def _interpreted(program: Program, traced: TracedFunction, call: tuple[torch.Tensor, ...]) -> None:
    """The recorded graph, run by its interpreter, on the example."""
    net = program.make()
    want, given = _eager(net, call)
    recording = traced._recording
    states = [s.data for s in recording.states]
    got = run_graph(recording.graph, [*(t.numpy() for t in copy.deepcopy(call)), *states])
    count = len(got) - len(recording.changed)
    made = capture.rebuild(recording.result, got[:count])
    _same([*want], list(made) if isinstance(made, tuple) else [made], "the graph's interpreter")
    after = [*given, *(dict(_buffers(net))[s.name] for s in recording.states)]
    _same([after[k] for k in recording.changed], list(got[count:]), "the graph's interpreter, what it changes")


def _compare(
    program: Program,
    run: Any,
    calls: list[tuple[torch.Tensor, ...]],
    level: str,
    outcome: Outcome,
    training: bool | None = None,
) -> None:
    """Call after call against eager PyTorch: results, arguments and state."""
    net = program.make(training)
    if hasattr(run, "reset_state"):
        run.reset_state()
    for number, call in enumerate(calls):
        here = f"{level}, call {number} of sizes {[tuple(t.shape) for t in call]}"
        before = {k: v.clone() for k, v in _buffers(net)}
        try:
            want: Any = _eager(net, call)
        except Exception as error:
            want = error
        given = copy.deepcopy(call)
        try:
            got = run(*given)
        except REFUSALS as error:
            if not isinstance(want, Exception):
                if number == 0 and not isinstance(error, NotTraced):
                    raise Wrong(f"{here}: the example itself is refused: {error}") from None
                outcome.guarded += 1
            if before:
                return  # its state is no longer eager's
            continue
        if isinstance(want, Exception):
            raise Wrong(f"{here}: eager raises {type(want).__name__}: {str(want)[:200]}; this gives a result")
        results, after = want
        _same(results, list(got) if isinstance(got, tuple) else [got], here)
        _same(list(after), list(given), f"{here}, arguments after the call")
        state = run.state()
        buffers = {k: v for k, v in _buffers(net) if k in state}
        _same(list(buffers.values()), [state[k] for k in buffers], f"{here}, state after the call")
        outcome.compared += 1


def _with_examples(program: Program, calls: list[tuple[torch.Tensor, ...]], outcome: Outcome) -> list[str]:
    """Each call as an example: both sides of its branches then run."""
    traced = _trace(program, calls[0], None)
    notes = []
    for call in calls[1:]:
        try:
            _eager(program.make(), call)
        except Exception:
            continue
        try:
            traced.add_example(*copy.deepcopy(call))
        except REFUSALS as error:
            notes.append(reason(error))
    _compare(program, traced, calls, "with examples", outcome)
    return notes


def _in_modes(program: Program, calls: list[tuple[torch.Tensor, ...]], outcome: Outcome) -> list[str]:
    """One trace in both modes, where the example runs in both; then calls in each."""
    try:
        for mode in (False, True):
            _eager(program.make(mode), calls[0])
    except Exception:
        return []
    try:
        traced = unmoor.trace(program.make(), *copy.deepcopy(calls[0]), modes=("eval", "train"))
    except REFUSALS as error:
        return [reason(error)]
    for mode in (False, True):
        traced.train(mode)
        _compare(program, traced, calls, f"traced in both modes, training={mode}", outcome, mode)
    return []


def _same(want: list[Any], got: list[Any], here: str) -> None:
    if len(want) != len(got):
        raise Wrong(f"{here}: {len(got)} values instead of {len(want)}")
    for number, (w, g) in enumerate(zip(want, got, strict=True)):
        w = w.detach().numpy() if isinstance(w, torch.Tensor) else np.asarray(w)
        g = g.detach().numpy() if isinstance(g, torch.Tensor) else numbers_of(np.asarray(g))
        if w.shape != g.shape or (w.dtype != g.dtype and w.ndim):
            raise Wrong(f"{here}: value {number} is {g.dtype}{list(g.shape)} instead of {w.dtype}{list(w.shape)}")
        finite = np.abs(w[np.isfinite(w)].astype(np.float64))
        scale = max(1.0, float(finite.max())) if finite.size else 1.0
        allowed = 0.0 if w.dtype.kind in "biu" and w.ndim else 2e-4 * scale
        if not np.allclose(w.astype(np.float64), g.astype(np.float64), rtol=0, atol=allowed, equal_nan=True):
            raise Wrong(f"{here}: value {number} differs: {g.tolist()} instead of {w.tolist()}"[:600])


def passes() -> tuple[str, ...]:
    """The names of the passes that can be left out; fusion needs dead code gone."""
    return tuple(dict.fromkeys(p.__name__ for p in (*RECORDED, *TYPED) if p.__name__ != "dead_code"))
