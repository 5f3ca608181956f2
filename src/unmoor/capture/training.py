"""What a training step keeps in Python: the `.grad` of its tensors, and what its optimisers hold.

A first call often makes what later calls change: Adam its averages, backward() a gradient to be added to. Such a call
is recorded as a later one, from the state that the first began with: a constant for what an optimiser made by
zeros_like, zeros for a gradient that was None. That the call then does what the first one did is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from unmoor.capture.modules import Modules, Rebound
from unmoor.capture.numbers import Float, Int
from unmoor.errors import Unsupported
from unmoor.ir.graph import NOWHERE, Value
from unmoor.ir.recording import Froze

if TYPE_CHECKING:
    from unmoor.capture.recorder import Recorder

FILLS = frozenset(
    f"aten::{name}"
    for name in ("zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "full", "full_like", "new_full")
)
ONE_STEP = "run one step before the trace"
_MISSING = object()


class Training:
    """What is kept from run to run of a recording; `on` once the program turned out to compute gradients."""

    def __init__(self) -> None:
        self.on = False
        self.grown = False  # a run found more that must be there at the start: it is made again
        self.optimisers: dict[int, _Kept] = {}
        self._made: dict[int, dict[Any, dict[str, Any]]] = {}  # by optimiser, what it holds at the start
        self._zeros: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # by leaf, the gradient it starts with
        self._first: dict[int, dict[Any, torch.Tensor]] = {}  # by call, what it left when it made such things
        self.recorder: Recorder
        self.modules: Modules

    # -- one run ------------------------------------------------------------------------------
    @contextmanager
    def run(self, recorder: Recorder, modules: Modules, call: int) -> Iterator[None]:
        """A context in which optimisers and gradients are as the call is to find them, and as they were afterwards."""
        self.recorder, self.modules, self.call = recorder, modules, call
        self.grads: dict[int, _Grad] = {}
        self.optimisers = {}
        self.born: dict[int, tuple[torch.Tensor, Value]] = {}
        leaves = [t for t in modules.tensors().values() if t.is_leaf]
        flags = [(t, t.requires_grad) for t in leaves]
        for leaf in leaves:
            self._grad_of(leaf)
        for leaf, zeros in self._zeros.values():
            self._grad_of(leaf).start = zeros
            _set_grad(leaf, zeros)
            modules.know_outside(zeros, f"{self._name(leaf)}.grad")
        for optimiser in modules.optimisers:
            self._keep(optimiser)
        recorder.tracks.born = self.born
        try:
            yield
        finally:
            for kept in self.optimisers.values():
                kept.restore()
            for grad in self.grads.values():
                _set_grad(grad.leaf, grad.before)
            for tensor, requires in flags:
                if tensor.requires_grad is not requires:
                    tensor.requires_grad_(requires)

    def _keep(self, optimiser: Optimizer) -> None:
        """Know an optimiser, and have it hold what its first step would make."""
        if id(optimiser) in self.optimisers:
            return
        self.optimisers[id(optimiser)] = _Kept(optimiser)
        for parameter, made in self._made.get(id(optimiser), {}).items():
            optimiser.state[parameter] = dict(made)
        self.optimisers[id(optimiser)].start()
        self.modules.know_optimiser(optimiser)

    def steps(self, optimiser: Optimizer) -> None:
        """An optimiser is about to step."""
        self._keep(optimiser)

    # -- .grad --------------------------------------------------------------------------------
    def _grad_of(self, leaf: torch.Tensor) -> _Grad:
        if id(leaf) not in self.grads:
            self.grads[id(leaf)] = _Grad(leaf, leaf.grad)
        return self.grads[id(leaf)]

    def reads(self, leaf: torch.Tensor) -> None:
        """The program looks at the `.grad` of a tensor."""
        if leaf.is_leaf:
            grad = self._grad_of(leaf)
            grad.read = grad.read or not grad.set

    def accumulates(self, leaf: torch.Tensor) -> None:
        """backward() is about to give a leaf its gradient."""
        self.reads(leaf)
        self._grad_of(leaf).set = True

    def sets(self, leaf: torch.Tensor) -> None:
        """The program is about to set the `.grad` of a tensor."""
        self._grad_of(leaf).set = True

    # -- after the call -----------------------------------------------------------------------
    def finish(self) -> list[Rebound]:
        """Settles what the call left in Python. Returns what it put in the place of other tensors.

        Raises Unsupported where later calls would not go on as this one did.
        """
        known, self.grown = self.grown, False
        rebound = [*self._grads_left(), *self._optimisers_left()]
        self._compare()
        self.grown = self.grown or known
        return rebound

    def _grads_left(self) -> Iterator[Rebound]:
        left = []
        for grad in self.grads.values():
            track = self.recorder.tracks.known(grad.leaf)
            if track is None or track.kind not in ("parameter", "buffer", "outside", "state", "input"):
                continue
            now, name = grad.leaf.grad, self._name(grad.leaf)
            if now is grad.start:
                continue
            unused = grad.start is not None and self.recorder.tracks.known(grad.start) is None
            if not grad.read or unused or track.kind == "input":
                left.append(name)
            elif grad.start is None:
                assert now is not None
                self._zeros[id(grad.leaf)] = grad.leaf, torch.zeros_like(grad.leaf.detach())
                self.grown = True
            elif now is None:
                raise Unsupported(
                    f"the call adds to the gradient that {name} has from before, and leaves it None: a second call "
                    "would not find one. Clear the gradients before the trace (optimizer.zero_grad())"
                )
            else:
                yield Rebound(f"{name}.grad", grad.start, now, False)
        if left:
            what = left[0] if len(left) == 1 else f"{len(left)} tensors"
            text = f"the call leaves the gradient of {what} in .grad; a traced call does not"
            self.recorder.tape.assume(Froze.STATE, text, source=NOWHERE)

    def _optimisers_left(self) -> Iterator[Rebound]:
        for kept in self.optimisers.values():
            of = type(kept.optimiser).__name__
            for (parameter, key), now in kept.now().items():
                before = kept.before(parameter, key)
                if isinstance(now, torch.Tensor):
                    if before is _MISSING:
                        self._made_by(kept, parameter, key, now)
                    elif now is not before:
                        yield Rebound(self.modules.state_name(kept.optimiser, parameter, key), before, now, True)
                elif before is _MISSING and parameter is not None and not isinstance(now, (Int, Float)):
                    self._made.setdefault(id(kept.optimiser), {}).setdefault(parameter, {})[key] = now
                    self.grown = True  # a number that later calls change is refused then
                elif not _equal(before, now):
                    self._check_set_anew(of, key, now)

    def _made_by(self, kept: _Kept, parameter: Any, key: str, tensor: torch.Tensor) -> None:
        """A tensor that the call put into an optimiser: later calls find it there, so this one is to, too."""
        track = self.recorder.tracks.known(tensor)
        whole = tensor if track is None else track.root.tensor
        first, value = self.born.get(id(whole), (whole, None if track is None else track.root.value))
        tape = self.recorder.tape
        filled = any(value in n.outputs and n.op in FILLS for n in tape.nodes) or any(
            c.value is value for c in tape.constants
        )
        if not filled or parameter is None or whole.shape != tensor.shape:
            raise Unsupported(
                f"the first step of {type(kept.optimiser).__name__} makes {key} from what it computes, and later steps "
                f"change it: a trace would repeat the first step for ever. {ONE_STEP[0].upper()}{ONE_STEP[1:]}"
            )
        made = self._made.setdefault(id(kept.optimiser), {}).setdefault(parameter, {})
        made[key] = first.detach().clone()
        self.grown = True

    def _check_set_anew(self, of: str, key: str, now: Any) -> None:
        """A number of an optimiser has changed: harmless where each call sets it from what it is given."""
        if isinstance(now, (Int, Float)):
            return
        raise Unsupported(
            f"the call changes {key} of {of} in Python, and later steps depend on it: a trace would use what it found "
            "for ever. Keep it in a tensor (lr=torch.tensor(0.1)), or set it from an argument in each call"
        )

    def _compare(self) -> None:
        """What the call left, against what the first one did, which made what this one found."""
        now: dict[Any, torch.Tensor] = {}
        for kept in self.optimisers.values():
            now.update({(id(kept.optimiser), *k): v for k, v in kept.now().items() if isinstance(v, torch.Tensor)})
            parameters = [p for group in kept.optimiser.param_groups for p in group["params"]]
            now.update({(id(kept.optimiser), p): p for p in parameters})
        if self.call not in self._first:
            if self.grown:
                self._first[self.call] = {k: v.detach().clone() for k, v in now.items()}
            return
        for key, first in self._first[self.call].items():
            tensor = now.get(key)
            if tensor is None or not torch.allclose(tensor.detach(), first, 1e-4, 1e-6, equal_nan=True):
                raise Unsupported(
                    "the first call of this training step does something else than later ones, which find the "
                    f"optimiser's state there: {ONE_STEP}"
                )

    def _name(self, leaf: torch.Tensor) -> str:
        return self.modules.describe(leaf)[1] or "a tensor"


class _Grad:
    """The `.grad` of a leaf in one run: what it was before, what the call found, and whether it looked at or set it."""

    def __init__(self, leaf: torch.Tensor, start: torch.Tensor | None) -> None:
        self.leaf, self.before, self.start = leaf, start, start
        self.read = self.set = False


class _Kept:
    """An optimiser, and what it held."""

    def __init__(self, optimiser: Optimizer) -> None:
        self.optimiser = optimiser
        self._held = {p: (s, dict(s) if isinstance(s, dict) else s) for p, s in optimiser.state.items()}
        self._groups = [(group, dict(group)) for group in optimiser.param_groups]
        self._attributes = dict(vars(optimiser))
        self._found: dict[tuple[Any, str], Any] = {}

    def restore(self) -> None:
        vars(self.optimiser).clear()
        vars(self.optimiser).update(self._attributes)
        self.optimiser.state.clear()
        for parameter, (held, before) in self._held.items():
            if isinstance(held, dict):
                held.clear()
                held.update(before)
            self.optimiser.state[parameter] = held
        self.optimiser.param_groups[:] = [group for group, _ in self._groups]
        for group, before in self._groups:
            group.clear()
            group.update(before)

    def now(self) -> dict[tuple[Any, str], Any]:
        """Everything it holds, by parameter (None for what it holds of groups) and name."""
        found: dict[tuple[Any, str], Any] = {}
        for parameter, state in self.optimiser.state.items():
            items = state.items() if isinstance(state, dict) else [("state", state)]
            found.update({(parameter, str(key)): value for key, value in items})
        for number, group in enumerate(self.optimiser.param_groups):
            found.update({(None, f"param_groups[{number}][{k!r}]"): v for k, v in group.items() if k != "params"})
        return found

    def start(self) -> None:
        """What it holds now is what the call finds."""
        self._found = self.now()

    def before(self, parameter: Any, key: str) -> Any:
        """What the call found; _MISSING for nothing."""
        return self._found.get((parameter, key), _MISSING)


def _equal(before: Any, now: Any) -> bool:
    if isinstance(now, Sequence) and isinstance(before, Sequence) and not isinstance(now, str):
        return len(before) == len(now) and all(map(_equal, before, now))
    return before is now or (type(before) is type(now) and bool(before == now))


def _set_grad(leaf: torch.Tensor, grad: torch.Tensor | None) -> None:
    if leaf.grad is not grad:
        leaf.grad = grad
