"""Tracks: which graph value each torch tensor stands for, also after in-place writes to it or to what it shares.

A tensor that is a view knows its base and the op that made it. A write to either makes the other stale; a stale view
is recorded again from its base's new value when it is next read. Whether `reshape`, `contiguous` or `to` share
memory hangs on strides and dtypes, and whether `x[i]` does, on the rank and dtype of a tensor `i`. Such a tie is loose
until it matters, which is when one side has been written and the other one is read: only then do guards pin what it
hangs on (unmoor.capture.layout).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch

from unmoor.capture.refusals import leaf_written, refuse, shared_written
from unmoor.capture.source import user_frame
from unmoor.capture.tape import Tape
from unmoor.capture.through import Derivation, View, written_through
from unmoor.capture.torch_private import TensorBase, address_of, set_version, storage_of, undispatched
from unmoor.dtypes import BY_TORCH_NAME
from unmoor.errors import Unsupported
from unmoor.ir.graph import Source, Value
from unmoor.ir.recording import Froze

WRITABLE = ("computed", "created", "made")
OUTLIVES = ("input", "state", "parameter", "buffer", "outside")  # kinds whose memory the call did not make


class Track:
    """One tensor of the run: its value in the graph, and what it shares memory with.

    kind      computed, created (by an op like zeros, still in torch's hands), made (a literal of the program), input,
              state (kept from call to call), carried (into a turn of a loop), parameter, buffer or outside
    fixed     it depends on no input: its sizes and values are the same in every call
    base      the tensor it is a view of; `derivation` says how, None where that is not known
    loose     whether it shares its base's memory hangs on strides, dtypes or ranks, and has not mattered yet
    ahead     a tensor loosely tied to this one, or to a view of it, that has been written since
    given     of an input: its value at the start
    frozen    why it may not be written: it may share its memory with what a branch gave
    level     the block of a branch or loop that it was made in, 0 outside; what it holds is recorded there
    """

    __slots__ = (
        "_fixed",
        "ahead",
        "base",
        "derivation",
        "frozen",
        "given",
        "kind",
        "level",
        "loose",
        "origin",
        "seen",
        "spoilt",
        "tensor",
        "value",
        "version",
    )

    def __init__(self, tensor: torch.Tensor, value: Value, kind: str, origin: str, fixed: bool, level: int) -> None:
        self.level = level
        self.tensor = tensor
        self.value = value
        self.kind = kind
        self.origin = origin
        self._fixed = fixed
        self.base: Track | None = None
        self.derivation: Derivation | None = None
        self.loose = False
        self.version = 0
        self.seen = 0
        self.spoilt: Unsupported | None = None
        self.ahead: Track | None = None
        self.frozen: Unsupported | None = None
        self.given = value if kind == "input" else None

    @property
    def bases(self) -> Iterator[Track]:
        """The tensor itself, what it is a view of, and so on."""
        track: Track | None = self
        while track is not None:
            yield track
            track = track.base

    @property
    def fixed(self) -> bool:
        return all(track._fixed for track in self.bases)

    @property
    def root(self) -> Track:
        *_, root = self.bases
        return root


Describe = Callable[[torch.Tensor], tuple[str, str, str]]


class Tracks:
    """All tensors that the run has touched. They are kept alive, so that identities stay unique until it ends."""

    def __init__(self, tape: Tape, describe: Describe) -> None:
        self.tape = tape
        self.describe = describe
        self._by_id: dict[int, Track] = {}
        self._by_storage: dict[int, Track] = {}
        self._by_address: dict[int, Track] = {}
        self.written: dict[int, Track] = {}  # parameters, buffers and other constants that the run writes: state
        self._before: list[tuple[torch.Tensor, torch.Tensor, int]] = []  # what writes will change, as it was
        self._saved: set[int] = set()
        self.inputs: list[Track] = []  # those that stand for the graph's inputs
        self.shares: Callable[[Track], bool] = lambda track: False  # does it share its base's memory? pinned by guards
        self.fresh: set[int] = set()  # storages of literals that the program is just making
        self.seen: Callable[[Track], Value] | None = None  # what is read of a tensor where gradients are computed
        self.born: dict[int, tuple[torch.Tensor, Value]] | None = None  # what tensors were before they were written
        self._gone: dict[int, weakref.ref[torch.Tensor]] = {}  # what was made in a block that has ended

    def add(self, tensor: torch.Tensor, value: Value, kind: str, origin: str = "", fixed: bool = False) -> Track:
        level = 0 if kind in OUTLIVES else self.tape.level
        track = Track(tensor, value, kind, origin, fixed, level)
        self._by_id[id(tensor)] = track
        if self._by_storage.setdefault(storage_of(tensor), track) is track:
            self._by_address.setdefault(address_of(tensor), track)
        return track

    def stand_in(self, tensor: torch.Tensor, twin: Track) -> None:
        """The program holds the twin of a tensor instead of it: what shares the memory is a view of the twin."""
        self._by_storage[storage_of(tensor)] = twin
        self._by_address[address_of(tensor)] = twin

    def forget(self) -> None:
        """After the run: lets go of its tensors at once; the garbage collector would find them late."""
        for track in self._by_id.values():
            track.base = track.ahead = track.derivation = None
        for held in (self._by_id, self._by_storage, self._by_address):
            held.clear()
        self._before.clear()
        self.inputs = []

    def every(self) -> tuple[Track, ...]:
        return tuple(self._by_id.values())

    def states(self) -> list[Track]:
        return [t for t in self._by_id.values() if t.kind == "state"]

    def known(self, tensor: torch.Tensor) -> Track | None:
        return self._by_id.get(id(tensor))

    def sharing(self, tensor: torch.Tensor) -> Track | None:
        """The first tracked tensor in the same memory."""
        return self._by_storage.get(storage_of(tensor))

    def of(self, tensor: torch.Tensor) -> Track:
        """The track of a tensor; one that the run has not made becomes a constant."""
        return self._by_id.get(id(tensor)) or self.adopt(tensor)

    # -- blocks of branches and loops ---------------------------------------------------------
    @contextmanager
    def block(self) -> Iterator[None]:
        """What is made in this context is of no use behind it: a block of the graph makes it."""
        level = self.tape.level
        try:
            yield
        finally:
            self._gone = {key: ref for key, ref in self._gone.items() if ref() is not None}
            for key, track in reversed(self._by_id.copy().items()):
                if track.level > level:
                    del self._by_id[key]
                    self._gone[key] = weakref.ref(track.tensor)
            for table in (self._by_storage, self._by_address):
                for place in [k for k, track in table.items() if track.level > level]:
                    del table[place]

    def _check_at_hand(self, tensor: torch.Tensor) -> None:
        gone = self._gone.get(id(tensor))
        if gone is not None and gone() is tensor:
            raise refuse(
                self.tape.where(),
                "a tensor is used here that was made inside a function which torch.cond, while_loop, scan or map calls",
                "let that function return it",
            )

    def adopt(self, tensor: torch.Tensor, made: bool = False) -> Track:
        """A constant: a parameter, a buffer, a literal of the program, or a tensor from outside."""
        self._check_at_hand(tensor)
        where = self.tape.where()
        self.check_dtype(tensor, where)
        kind, name, origin = ("made", "", "") if made else self.describe(tensor)
        shared = self.sharing(tensor) or self._by_address.get(address_of(tensor) or -1)
        if shared is not None and (
            shared.root.version or (not name and shared.root.kind in (*WRITABLE, "input", "state"))
        ):
            raise refuse(
                where,
                "a tensor is used here that shares memory with the traced program's data, but was made in a way that "
                "the trace cannot see",
                "make it with tensor operations",
            )
        if made:
            name, origin = literal_name(where), f"literal at {where}"
        elif kind == "outside":
            if not name:
                origin = f"tensor {held_as(tensor)}".strip()
            shown = f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
            self.tape.assume(Froze.OUTSIDE, f"{origin}, {shown} from outside, is kept as it was")
        with torch.no_grad():
            data = elements(tensor)
        value = self.tape.constant(data, name, origin)
        if tensor.is_complex():  # kept as its parts, side by side
            (value,) = self.tape.emit("aten::view_as_complex", (value,))
        return self.add(tensor, value, kind, origin, fixed=True)

    def check_dtype(self, tensor: torch.Tensor, where: Source) -> None:
        """Unsupported unless the tensor is dense, on the processor, and of a dtype that is computed with."""
        name = str(tensor.dtype).removeprefix("torch.")
        dtype = BY_TORCH_NAME.get(name)
        if dtype is None:
            raise refuse(
                where,
                f"a tensor of dtype {name} is not supported",
                "convert it before the call, for instance with .float() or .long()",
            )
        if tensor.layout is not torch.strided or tensor.device.type != "cpu":
            raise refuse(
                where, f"a {tensor.layout} tensor on {tensor.device} is not supported", "use a dense tensor on the CPU"
            )

    def derive(
        self, tensor: torch.Tensor, value: Value, base: Track, derivation: Derivation | None, loose: bool, fixed: bool
    ) -> Track:
        """Add a tensor that is, or for other strides may be, a view of `base`."""
        track = self.add(tensor, value, "computed", "", fixed)
        track.base, track.derivation, track.loose, track.seen = base, derivation, loose, base.version
        return track

    def read(self, track: Track) -> Value:
        """The tensor's value now."""
        stale: list[tuple[Track, Track]] = []  # views with their bases, which are read first
        above: Track | None = track
        while above is not None:
            if above.spoilt is not None:
                raise above.spoilt
            while above.ahead is not None:
                with self._where_made(above):
                    self._catch_up(above.ahead)
            base = above.base
            if base is None or base.ahead is above:
                break
            stale.append((above, base))
            above = base
        for view, base in reversed(stale):
            if base.version != view.seen:
                with self._where_made(view):
                    self._renew(view, base)
        return track.value if self.seen is None else self.seen(track)

    def _where_made(self, track: Track) -> AbstractContextManager[None]:
        """What it takes to read a tensor is recorded in its own block: it is of use behind the block that reads it."""
        return self.tape.at(track.level) if track.level < self.tape.level else nullcontext()

    def _renew(self, view: Track, base: Track) -> None:
        """A view of what has been written is made again."""
        self._tie(view)
        if view.base is None:
            return
        if view.derivation is None:
            raise self._untold(self.tape.where())
        view.value = view.derivation.of(self.tape, base.value)
        view.seen = base.version
        view.version += 1

    def read_quietly(self, track: Track) -> Value | None:
        """The tensor's value now, where nothing need be recorded to read it."""
        for above in track.bases:
            if above.spoilt is not None or above.ahead is not None:
                return None
            if above.base is None or above.base.ahead is above:
                break
            if above.base.version != above.seen:
                return None
        return track.value

    def check_writable(self, track: Track, op: str) -> None:
        if track.base is not None and self._copied_by_cast(track, track.base):
            track.base = None
        if track.root.kind in OUTLIVES:
            for view in track.bases:
                self._tie(view)
        root = track.root
        if root.level < self.tape.level or root.kind == "carried":
            raise refuse(
                self.tape.where(),
                f"{op} changes a tensor that this function, called by torch.cond, a loop, scan or map, did not make",
                "work on a clone of it, and return that",
            )
        if root.frozen is not None:
            raise root.frozen
        if root.kind not in OUTLIVES:
            if self.born is not None and id(root.tensor) not in self.born:
                self.born[id(root.tensor)] = root.tensor.detach().clone(), root.value
            return
        if root.tensor.is_complex():
            raise refuse(
                self.tape.where(),
                f"{op} changes {root.origin}, a complex tensor",
                "keep its torch.view_as_real, and write to that",
            )
        if self._tied_unseen(track):
            raise self._untold(self.tape.where())
        written = root if self.seen is None else track
        if torch.is_grad_enabled() and root.tensor.requires_grad and written.tensor.requires_grad:
            raise leaf_written(self.tape.where(), op, root.origin)
        shares = [t for t in self._by_id.values() if t is not root and t.base is None and t.kind in OUTLIVES]
        for other in shares:
            if storage_of(other.tensor) == storage_of(root.tensor):
                raise shared_written(self.tape.where(), op, root.origin, other.origin)
        self._save(root)
        if root.kind == "state":
            self.tape.assume(Froze.STATE, f"{op} changes {root.origin}, which is state of the session", True)
        elif root.kind == "input":
            self.tape.assume(Froze.STATE, f"{op} changes {root.origin}, as the call does for its caller", True)
        if root.kind not in ("input", "state"):
            self.written[id(root.tensor)] = root

    def _save(self, root: Track) -> None:
        """Keep a tensor as it is before the first write to it."""
        if id(root.tensor) not in self._saved:
            self._saved.add(id(root.tensor))
            with torch.no_grad():
                self._before.append((root.tensor, root.tensor.detach().clone(), root.tensor._version))

    def restore(self) -> None:
        """Put back everything that the run has written and did not make."""
        with torch.no_grad():
            for tensor, before, version in reversed(self._before):
                tensor.detach().copy_(before)
                set_version(tensor, version)
        self._before.clear()

    def _copied_by_cast(self, track: Track, base: Track) -> bool:
        """Whether a tensor is a copy because a cast changed the dtype; then that dtype is guarded."""
        if track.derivation is None or track.derivation.op != "aten::to" or track.tensor.dtype == base.tensor.dtype:
            return False
        dtype = BY_TORCH_NAME[str(base.tensor.dtype).removeprefix("torch.")]
        self.tape.guard_dtype(self.read(base), dtype)
        return True

    def _tied_unseen(self, track: Track) -> bool:
        return any(above.base is not None and above.derivation is None for above in track.bases)

    def _tie(self, track: Track) -> None:
        """A loose tie becomes a firm one or none, as it is in this run; guards pin that."""
        base, derivation = track.base, track.derivation
        if base is None or derivation is None or not track.loose:
            return
        if derivation.indices:
            for value, index in derivation.indices:
                self.tape.guard_rank(value, index.dim())
                if not index.dim():  # an integer, or a mask
                    self.tape.guard_dtype(value, BY_TORCH_NAME[str(index.dtype).removeprefix("torch.")])
            shared = storage_of(track.tensor) == storage_of(base.tensor)
        elif derivation.op != "aten::to":
            shared = self.shares(track)
        elif self._copied_by_cast(track, base):
            shared = False
        else:
            ours = BY_TORCH_NAME[str(base.tensor.dtype).removeprefix("torch.")]
            self.tape.guard_dtype(base.value, ours)
            shared = storage_of(track.tensor) == storage_of(base.tensor)
        track.loose = False
        if not shared:
            track.base = None

    def _catch_up(self, track: Track) -> None:
        """A tensor that was written through a loose tie: its bases are read now, so they learn of it."""
        _, *bases = track.bases
        for base in bases:
            base.ahead = None
        self._tie(track)
        if track.base is not None:
            self.write(track, track.value)

    def write(self, track: Track, value: Value) -> None:
        """The tensor has been written: it and its base have new values, its other views are stale."""
        self.tape.wrote()
        firm: list[tuple[Track, Value]] = []  # views whose bases are written with them
        while track.base is not None and track.derivation is not None and not track.loose:
            firm.append((track, value))
            base, old = track.base, self.read(track.base)
            value = written_through(self.tape, View(track.derivation, track.tensor, base.tensor), old, value)
            self.tape.wrote()
            track = base
        self._write(track, value)
        for view, value in reversed(firm):
            assert view.base is not None
            view.seen = view.base.version
            self._written(view, value)

    def _write(self, track: Track, value: Value) -> None:
        """A tensor has been written that has no base, or is no firm view of it."""
        base = track.base
        if base is not None and track.derivation is None:
            self._spoil(base)
            track.base = None
        elif base is not None:
            if base.ahead is not track:
                self.read(base)  # learns of what was written through other ties
            for above in base.bases:
                above.ahead = track
        self._written(track, value)

    def _written(self, track: Track, value: Value) -> None:
        track.value = value
        track.version += 1
        track._fixed = False  # what is written may come from an input

    def _spoil(self, track: Track) -> None:
        """Nobody can tell whether this tensor has changed: reading it from here on is refused."""
        for above in track.bases:
            above.spoilt = self._untold(self.tape.where())

    def _untold(self, where: Source) -> Unsupported:
        return refuse(
            where,
            "a tensor is written in place that may or may not share memory with another one that is used: it came by "
            "an op that copies only where it must",
            "put .clone() before the in-place operation",
        )


def held_as(tensor: torch.Tensor) -> str:
    """The variable or global by which the user's innermost function holds a tensor; "" for others."""
    frame = user_frame()
    for names in (frame.f_locals, frame.f_globals) if frame is not None else ():
        found = next((name for name, value in names.items() if value is tensor), "")
        if found:
            return found
    return ""


def literal_name(source: Source) -> str:
    """The variable that a line like `a = torch.tensor(7)` assigns to; "" for other lines."""
    left, equals, right = source.text.partition("=")
    return left.strip() if equals and left.strip().isidentifier() and right.strip().startswith("torch.") else ""


def elements(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's elements as NumPy has them: bfloat16 as its 16-bit words, complex ones as their two parts."""
    if tensor.is_complex():
        with undispatched():
            tensor = torch.view_as_real(tensor.detach().resolve_conj())
    plain = tensor.detach().cpu().contiguous()
    if plain.dtype is torch.bfloat16:
        with undispatched():
            return np.asarray(TensorBase.numpy(plain.view(torch.uint16)))
    return np.asarray(plain.numpy())
