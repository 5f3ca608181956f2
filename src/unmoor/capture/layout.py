"""Layout: what the program learns of strides, and what hangs on them, held the same in every call by guards.

The strides of everything that a run computes follow from those of its inputs and from its sizes. `settle` pins the
inputs to be contiguous, and those relations of sizes on which the strides of tensors hang that are not: whether a dim
is 1, and whether a slice takes a whole axis. What eager PyTorch then says of strides, or shares by a reshape, is what
it says and shares in the example.
"""

from __future__ import annotations

from dataclasses import replace

from unmoor.capture.draws import DROPOUTS
from unmoor.capture.guards import Guards
from unmoor.capture.numbers import Number
from unmoor.capture.refusals import refuse
from unmoor.capture.tape import Tape
from unmoor.capture.torch_private import storage_of
from unmoor.capture.tracks import Track, Tracks
from unmoor.capture.wording import Wording
from unmoor.ir.recording import EVERY, Froze
from unmoor.ir.types import BOOL

# Views that show all of their base: of a contiguous one they are contiguous at all sizes.
WHOLE = DROPOUTS | frozenset(
    ("aten::view", "aten::reshape", "aten::flatten", "aten::unflatten", "aten::unsqueeze", "aten::squeeze",
     "aten::contiguous", "aten::to", "aten::detach", "aten::alias", "aten::view_as", "aten::ravel",
     "aten::reshape_as", "aten::positive", "aten::real")
)  # fmt: skip


class Layout:
    """What one recording asks about strides."""

    def __init__(self, tape: Tape, tracks: Tracks, guards: Guards) -> None:
        self.tape, self.tracks, self.guards = tape, tracks, guards
        self.settled: set[int] = set()  # tracks that are done, by identity

    # -- what the program asks ----------------------------------------------------------------
    def is_contiguous(self, track: Track, real: bool) -> bool:
        """The truth of `tensor.is_contiguous()`, guarded."""
        if track.given is None or track.base is not None:
            self.settle(track)
            return real
        condition = self.tape.pure("prim::is_contiguous", (track.given,), BOOL)
        held = self.tape.decide(real)
        self.tape.guard(condition, held, replace(self.guards.branch(held, False), froze=Froze.LAYOUT))
        return held

    # -- what hangs on strides ----------------------------------------------------------------
    def shares(self, track: Track) -> bool:
        """Whether a tensor that came by reshape, flatten or contiguous shares the memory of its base."""
        base = track.base
        assert base is not None
        if not base.fixed:
            self.settle(track)
        shared = storage_of(track.tensor) == storage_of(base.tensor)
        flat = track.tensor.dim() == 1
        same = track.tensor.shape == base.tensor.shape
        if not base.tensor.is_contiguous() and not same and (shared or not flat):
            raise refuse(
                self.tape.where(),
                "a tensor is written in place that came by a reshape of one that is not contiguous: whether the two "
                "share memory hangs on their sizes",
                "put .clone() before the in-place operation",
            )
        return shared

    def settle(self, track: Track) -> None:
        """Guards on which the strides of this tensor, and of all that the run has made, are those of the example."""
        if track.root.kind == "carried":
            raise refuse(
                self.tape.where(),
                "what the program does here hangs on the strides of a tensor that a loop carries, which may differ "
                "from turn to turn",
                "put .clone() before it",
            )
        for given in self.tracks.inputs:
            if given.given is None or id(given) in self.settled or not given.tensor.dim():
                continue
            self.settled.add(id(given))
            name = given.origin.removeprefix("argument ")
            if not given.tensor.is_contiguous():
                raise refuse(
                    self.tape.where(),
                    f"what the program does here hangs on strides, and the argument {name} is not contiguous",
                    f"trace and call with {name}.contiguous()",
                )
            condition = self.tape.pure("prim::is_contiguous", (given.given,), BOOL)
            words = Wording(
                Froze.LAYOUT,
                f"uses strides, with {name} contiguous",
                f"used strides, with {name} contiguous {EVERY}; here {name} is not",
                f"pass {name}.contiguous()",
            )
            self.tape.guard(condition, True, words)
        for other in self.tracks.every():
            if id(other) not in self.settled and not other.fixed and other.kind not in ("input", "state"):
                self.settled.add(id(other))
                self._hold(other)
        if not track.tensor.is_contiguous():
            self._hold_ones(track)

    def _hold(self, track: Track) -> None:
        base, derivation = track.base, track.derivation
        if not track.tensor.is_contiguous():
            self._hold_ones(track)
        if base is None or derivation is None or derivation.op in WHOLE:
            return
        if derivation.indices and storage_of(track.tensor) != storage_of(base.tensor):
            return
        self._hold_ones(track)
        self._hold_ones(base)
        strides, sizes = track.tensor.stride(), track.tensor.shape
        for axis, (size, stride) in enumerate(zip(base.tensor.shape, base.tensor.stride(), strict=True)):
            for own in range(len(sizes)):
                if strides[own] == stride and sizes[own] <= size:  # the part of this axis that the view shows
                    whole = sizes[own] == size
                    self._guard(track, own, "==" if whole else "<", self._size(base, axis))

    def _hold_ones(self, track: Track) -> None:
        """Whether a dim is 1 stays as it is: such a dim may have any stride."""
        for axis, size in enumerate(track.tensor.shape):
            self._guard(track, axis, ">" if size > 1 else "==", size if size < 1 else 1)

    def _guard(self, track: Track, axis: int, op: str, bound: Number | int) -> None:
        size = self._size(track, axis)
        other = bound.value if isinstance(bound, Number) else bound
        if size.value is other:
            return
        condition = self.tape.pure("prim::compare", (size.value, other, op), BOOL)
        shape = list(track.tensor.shape)
        what = f"strides, of a tensor of the shape {shape} among others, which hang on its sizes"
        fix = "put .contiguous() before what uses them, or trace on arguments of such sizes"
        self.tape.guard(condition, True, Wording(Froze.LAYOUT, f"uses {what}", f"used {what}; here they differ", fix))

    def _size(self, track: Track, axis: int) -> Number:
        real = track.tensor.shape[axis]
        return Number(self.guards, int(real), "prim::size", (track.value, axis), data=False)
