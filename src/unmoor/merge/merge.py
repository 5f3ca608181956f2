"""Merges recordings: equal beginnings once, a branch where guards went other ways, joined where runs go on alike.

Runs go on alike from a guard at which the program holds the same: what follows there for one is right for the other,
with its own tensors. So a run that leaves a known path joins the paths again at the first such guard.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from unmoor.errors import Unsupported
from unmoor.ir.alike import unlike
from unmoor.ir.graph import Arg, Node, Source, Value
from unmoor.ir.recording import Held, Recording
from unmoor.merge.match import Match, Pairs
from unmoor.merge.paths import Edge, Step, after, needs
from unmoor.merge.prepare import Prepared, Run
from unmoor.merge.structure import Unbound, structured


@dataclass(frozen=True)
class Open:
    """A side that nothing is known of: its line, which recording comes there, the decisions that lead to it and into
    it, and those that another recording made from there on."""

    source: Source

    run: int
    way: tuple[bool, ...]
    on: tuple[bool, ...]


class Merged:
    """One recording that takes the path of each; the first one's example and structures are kept.

    `is_new` tells whether the last one takes a path that no other takes.

    Raises Unsupported with the user's line where the runs differ without a guard that told them apart.
    """

    def __init__(self, recordings: Sequence[Recording], joins: bool = True) -> None:
        try:
            prepared = Prepared(tuple(recordings))
            paths = _Paths(prepared, joins)
            graph = structured(paths.root, prepared)
        except (Unbound, _Differs):  # what a run holds was not all that it goes on from: each gets its own steps
            if not joins:
                raise
            prepared = Prepared(tuple(recordings))
            paths = _Paths(prepared, joins=False)
            graph = structured(paths.root, prepared)
        self.is_new = paths.last_is_new
        first = recordings[0]
        told = {(a.froze, a.text, a.source): a for r in reversed(recordings) for a in reversed(r.assumptions)}
        steps = after(paths.root)
        branches = {s.node.source for s in steps if s.is_guard and len(s.sides) == 2}
        guards = {(s.node.source, s.node.args[2]) for s in steps if s.is_guard and len(s.sides) == 1}
        kept = tuple(
            a
            for a in reversed(told.values())
            if not (a.checked and a.source in branches and (a.source, a.message) not in guards)
        )
        returned = (
            *first.returned[: len(first.returned) - len(first.changed)],
            *(first.example[k] for k in prepared.changed),
        )
        self.recording = replace(
            first,
            graph=graph,
            assumptions=kept,
            returned=returned if first.returned else (),
            changed=prepared.changed,
            path=(),
            held={},
            writes=frozenset(),
        )


class Known:
    """The paths of recordings, to which others are added one by one, to learn which sides are still open."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._recordings = list(recordings)
        self._prepared = Prepared(tuple(recordings))
        try:
            self._paths = _Paths(self._prepared, joins=True)
        except _Differs:
            self._prepared = Prepared(tuple(recordings))
            self._paths = _Paths(self._prepared, joins=False)

    def add(self, recording: Recording) -> None:
        """One more path. Unsupported where it does not fit to the others, which stay as they are."""
        if set(recording.changed) <= set(self._prepared.changed):
            self._prepared.check(recording)
            run = self._prepared.add(recording)
            try:
                self._paths.add(run)
            except Unsupported:
                self._prepared.runs.remove(run)
                raise
            self._recordings.append(recording)
        else:  # every path gives more than it did
            self.__dict__.update(Known([*self._recordings, recording]).__dict__)

    @property
    def open(self) -> list[Open]:
        """Sides that nothing is known of, though some path takes that side at the same line."""
        return self._paths.open()


class _Ambiguous(Exception):
    """A run leaves the known paths where its values do not tell which of the known ones they are."""


class _Paths:
    def __init__(self, prepared: Prepared, joins: bool) -> None:
        self.prepared, self.joins = prepared, joins
        self.definitions = prepared.definitions
        self.last_is_new = False
        self.places: dict[tuple[object, ...], list[Step]] = defaultdict(list)
        self.ends: list[Edge] = []
        signatures = [self._signature(run) for run in prepared.runs]
        self.last_is_new = signatures[-1] not in signatures[:-1]
        first, *others = sorted(prepared.runs, key=_apart, reverse=True)
        self.inputs = first.inputs
        self.root = Edge(None, dict(zip(first.inputs, prepared.first.graph.inputs, strict=True)))
        self._chain(self.root, first.steps, 0, len(first.steps), first.outputs)
        for run in others:
            self.add(run)

    def _signature(self, run: Run) -> tuple[object, ...]:
        """What tells a run's path: each of its guards, and how that went."""
        return tuple((s.node.source, s.held, self._shape(s.node.args[0])) for s in run.steps if s.is_guard)

    def _shape(self, arg: Arg) -> object:
        if isinstance(arg, tuple):
            return tuple(map(self._shape, arg))
        if not isinstance(arg, Value):
            return repr(arg)
        node = self.definitions.get(arg)
        return None if node is None else (node.op, self._shape(node.args))

    # -- one more path ------------------------------------------------------------------------
    def add(self, run: Run) -> None:
        """The path of one more run. Unsupported where it does not fit to the others, which stay as they are."""
        barred = 0  # joins before this step would leave the run where it cannot be told apart
        while True:
            try:
                return self._follow(run, barred)
            except _Ambiguous as ambiguous:
                (barred,) = ambiguous.args

    def _follow(self, run: Run, barred: int) -> None:
        """Walk along the known paths, with new sides where the run takes them."""
        changes: list[tuple[Step, bool]] = []
        try:
            self._follow_with(changes, run, barred)
        except (_Ambiguous, _Differs):
            for changed, way in changes:
                del changed.sides[way]
            self._forget()
            raise

    def _follow_with(self, changes: list[tuple[Step, bool]], run: Run, barred: int) -> None:
        match = Match(dict(zip(self.inputs, run.inputs, strict=True)), self.definitions, self.prepared.fixed)
        edge, at, joined = Edge(self.root.to, {}, self.root.outputs), 0, 0
        while True:
            left = self._walk(match, edge, run, at)
            if left is None:
                return
            step, side, at, new = left
            try:
                values = self._values(step, new, run, at, match)
            except _Ambiguous:
                if not joined:
                    raise _Differs(step, "it cannot be told which of two known values it goes on with") from None
                raise _Ambiguous(joined + 1) from None  # begin again, and do not join where it was joined last
            found = self._join(step, run, at, barred, values)
            start = Edge(None, values)
            step.sides[side] = start
            changes.append((step, side))
            if found is None:
                self._finish(start, run, at)
                return
            known, end, pairs = found
            self._lead(start, run, at, end, known, pairs)
            match = Match(dict(pairs), self.definitions, self.prepared.fixed)
            edge, at, joined = Edge(known), end, end

    def _forget(self) -> None:
        """What was added is gone: the places and ends that can still be reached are the known ones."""
        reached = after(self.root)
        self.places.clear()
        for step in reached:
            self._place(step)
        self.ends = [e for s in reached for e in s.sides.values() if e.to is None]

    def _place(self, step: Step) -> None:
        if step.held_state is not None:
            self.places[step.held_state.form].append(step)

    def _chain(self, edge: Edge, steps: list[Step], at: int, end: int, outputs: tuple[Arg, ...] = ()) -> Edge:
        """New steps after an edge, one after the other; the last edge, which has the outputs."""
        for step in steps[at:end]:
            fresh = replace(step, sides={})
            self._place(fresh)
            edge.to = fresh
            edge = Edge(None)
            fresh.sides[fresh.held if fresh.is_guard else True] = edge
        if end == len(steps):
            edge.outputs = outputs
            self.ends.append(edge)
        return edge

    def _walk(self, match: Match, edge: Edge, run: Run, at: int) -> tuple[Step, bool, int, Step] | None:
        """Follow known steps: the guard and its new side, where the run goes on, and its own guard; None at the end."""
        while True:
            match.cross(edge)
            known = edge.to
            new = run.steps[at] if at < len(run.steps) else None
            if known is None:
                if new is not None or not match.same(edge.outputs, run.outputs):
                    raise _Differs(new, "it goes on" if new else "it returns something else")
                return None
            if new is None:
                raise _Differs(known, "it ends")
            if known.is_guard:
                taken = match.guard(known, new)
                if taken is None:
                    raise _Differs(new, f"`{new.node.source.text}` runs, not `{known.node.source.text}`")
                side, used = taken
                at += used
                if side not in known.sides:
                    return known, side, at, new
                edge = known.sides[side]
            else:
                if not match.step(known, new):
                    raise _Differs(new, _differing(known.node, new.node))
                at += 1
                edge = known.sides[True]

    def _values(self, step: Step, new: Step, run: Run, at: int, match: Match) -> dict[Value, Arg]:
        """What the new recording's values are, in known terms, where it leaves by a new side of `step`."""
        used = set(self.definitions.leaves(run.outputs))
        for later in run.steps[at:]:
            used.update(self.definitions.leaves(later.reads))
        used -= {v for later in run.steps[at:] for v in later.node.outputs} | self.prepared.fixed
        held = self._slots(step.held_state, new.held_state)
        ways: dict[Value, dict[Value, None]] = {}
        for a, b in match.known.items() if held is None else held:
            if isinstance(b, Value):
                ways.setdefault(b, {})[a] = None
        if any(len(ways.get(v, ())) != 1 for v in used):
            raise _Ambiguous
        if any(s.writes for s in (new, *run.steps[at:])) and any(s.loose for s in self._before(step)):
            raise _Ambiguous
        return {b: next(iter(found)) for b, found in ways.items() if len(found) == 1 and b not in self.prepared.fixed}

    def _slots(self, known: Held | None, new: Held | None) -> list[tuple[Value, Value]] | None:
        """The values at the same places of two states; None where those cannot be told."""
        if known is None or new is None or known.form != new.form:
            return None
        pairs = [*zip(known.values, new.values, strict=True)]
        if known.sharing == new.sharing:
            pairs += zip(known.bases, new.bases, strict=True)
        return pairs + [(known.inputs[k], new.inputs[k]) for k in self.prepared.changed]

    # -- joining ------------------------------------------------------------------------------
    def _join(
        self, step: Step, run: Run, at: int, barred: int, values: dict[Value, Arg]
    ) -> tuple[Step, int, Pairs] | None:
        """The first of the new steps from which the run goes on as a known one does, with its values there."""
        if not self.joins:
            return None
        before: set[Step] | None = None
        told = {*values, *self.prepared.fixed}
        for end in range(at, len(run.steps)):
            new = run.steps[end]
            told.update(() if end == at else run.steps[end - 1].node.outputs)
            if end < barred:
                continue
            if new.held_state is None or new.held_state.form not in self.places:
                continue
            before = self._before(step) if before is None else before
            for known in self.places[new.held_state.form]:
                pairs = self._joins(known, new, run, end, told) if known not in before else None
                if pairs is not None:
                    return known, end, pairs
        return None

    def _joins(self, known: Step, new: Step, run: Run, at: int, told: set[Value]) -> Pairs | None:
        """The values that a new guard brings to a known one, where the program holds the same at both.

        `told` are the new values of which it is known what they are.
        """
        a, b = known.held_state, new.held_state
        slots = self._slots(a, b)
        if a is None or b is None or slots is None or known.node.source != new.node.source:
            return None
        loose = a.sharing != b.sharing
        if loose and (a.told or b.told) and _objects(a) != _objects(b):
            return None
        if loose and (any(s.writes for s in run.steps[at:]) or any(s.writes for s in after(Edge(known)))):
            return None
        pairs = Pairs(self.definitions, self.prepared.fixed)
        for x, y in slots:
            if x not in self.prepared.fixed and not pairs.add(
                x, y
            ):  # a constant there is the same: forms have its elements
                return None
        condition, other = known.node.args[0], new.node.args[0]
        if not pairs.add(condition, other) and not self._other(condition, other, pairs):
            return None
        for x in [x for x, y in pairs.items() if y not in told]:
            del pairs[x]
        needed = needs(Edge(known), self.definitions)[known]
        if not needed <= {*pairs, *self.prepared.fixed}:
            return None
        ways = [v for v in known.known or pairs if v in pairs]
        if known.known is not None and set(ways) != known.known:
            return None
        known.known = frozenset(pairs) if known.known is None else known.known
        known.loose = known.loose or loose
        return pairs

    def _other(self, a: Arg, b: Arg, pairs: Pairs) -> bool:
        """Whether two conditions ask whether the same number equals one and another."""
        x, y = (self.definitions.get(v) if isinstance(v, Value) else None for v in (a, b))
        if x is None or y is None or x.op != "prim::compare" or y.op != x.op or (x.args[2], y.args[2]) != ("==", "=="):
            return False
        return pairs.add(x.args[0], y.args[0])

    def _before(self, step: Step) -> set[Step]:
        """A step, and those from which there is a way to it."""
        found = {step}
        for other in reversed(after(self.root)):
            if any(e.to in found for e in other.sides.values()):
                found.add(other)
        return found

    def _lead(self, start: Edge, run: Run, at: int, end: int, known: Step, pairs: Pairs) -> None:
        """Lead a new side to a known step; where known steps before it do the same, to the first of those."""
        into = [e for s in after(self.root) for e in s.sides.values() if e.to is known and e is not start]
        tail = self._tail(into, run, at, end, pairs, known)
        if tail is not None:
            known, end, pairs = tail
        last = self._chain(start, run.steps, at, end)
        last.to = known
        last.values = {a: start.values.get(b, b) if last is start else b for a, b in pairs.items()}

    def _finish(self, start: Edge, run: Run, at: int) -> None:
        """Lead a new side to the end; where known steps before an end do the same, to the first of those."""
        tail = self._tail(self.ends[-50:], run, at, len(run.steps), Pairs(self.definitions, self.prepared.fixed), None)
        if tail is None:
            self._chain(start, run.steps, at, len(run.steps), run.outputs)
            return
        known, end, pairs = tail
        last = self._chain(start, run.steps, at, end)
        last.to = known
        last.values = {a: start.values.get(b, b) if last is start else b for a, b in pairs.items()}

    def _tail(
        self, into: list[Edge], run: Run, at: int, end: int, pairs: Pairs, target: Step | None
    ) -> tuple[Step, int, Pairs] | None:
        """The longest run of known steps before some edges of `into` that do what the new ones before `end` do."""
        if not self.joins:
            return None
        steps = after(self.root)
        before = {e: s for s in steps for e in s.sides.values()}
        ways_to: dict[Step | None, list[Edge]] = defaultdict(list)
        for edge in before:
            ways_to[edge.to].append(edge)
        best: tuple[Step, int, Pairs] | None = None
        for edge in into:
            found = Pairs(self.definitions, self.prepared.fixed)
            if target is None:
                fits = found.add(edge.outputs, run.outputs)
            else:
                fits = all(found.add(edge.values.get(a, a), b) for a, b in pairs.items())
            way, count = edge, end
            while fits and count > at and way in before:
                known, new = before[way], run.steps[count - 1]
                a, b = known.node, new.node
                if (
                    known.is_guard
                    or new.is_guard
                    or len(a.blocks) != len(b.blocks)
                    or (a.op, a.source, len(a.outputs)) != (b.op, b.source, len(b.outputs))
                ):
                    break
                fits = all(found.pop(x, y) is y for x, y in zip(a.outputs, b.outputs, strict=True))
                fits = fits and not any(y in found.values() for y in b.outputs) and found.add(a.args, b.args)
                fits = fits and all(unlike(x, y, found.add) is None for x, y in zip(a.blocks, b.blocks, strict=True))
                ways = ways_to[known]
                if not fits or len(ways) != 1 or known.known is not None or ways[0].values.keys() & found.keys():
                    break
                count -= 1
                if best is None or count < best[1]:
                    best = (known, count, _copied(found))
                way = ways[0]
        if best is None:
            return None
        known, _, pairs = best
        if needs(self.root, self.definitions)[known] - {*pairs, *self.prepared.fixed}:
            return None
        known.known = frozenset(pairs)
        return best

    # -- what is open -------------------------------------------------------------------------
    def open(self) -> list[Open]:
        """The sides that no path takes, of guards at whose line some path does."""
        steps = after(self.root)
        taken: dict[tuple[Source, bool], Step] = {}
        for step in steps:
            if step.is_guard:
                taken.update({(step.node.source, side): step for side in step.sides if side is step.held})
        found = []
        for step in steps:
            for side in (True, False):
                like = taken.get((step.node.source, side))
                if step.is_guard and side not in step.sides and like is not None:
                    way = (*self._decisions(step.run)[: step.asked], side)
                    found.append(
                        Open(step.node.source, step.run, way, tuple(self._decisions(like.run)[like.asked + 1 :]))
                    )
        return found

    def _decisions(self, run: int) -> list[bool]:
        """How each guard of a run went."""
        steps = self.prepared.runs[run].steps
        return [s.held for s in steps if s.is_guard]


def _copied(pairs: Pairs) -> Pairs:
    made = Pairs(pairs.definitions, pairs.fixed)
    made.update(pairs)
    return made


def _apart(run: Run) -> float:
    """How many of the values that a run's program holds differ: one where they do serves runs where they do not."""
    held = [s.held_state for s in run.steps if s.held_state is not None]
    return sum(len(set(h.values)) / max(len(h.values), 1) for h in held) / max(len(held), 1)


def _objects(held: Held) -> tuple[object, ...]:
    """Which of the tensors are one object."""
    return tuple(s[0] if isinstance(s, tuple) else None for s in held.sharing)


class _Differs(Unsupported):
    """A run differs from the known ones where no guard told them apart."""

    def __init__(self, step: Step | None, what: str) -> None:
        where = f"{step.node.source}: " if step is not None and str(step.node.source) else ""
        super().__init__(
            f"{where}this example takes another path than the trace, and no condition on tensors or sizes tells them "
            f"apart: {what}; trace it on its own, or decide by a tensor or an argument that the program can see"
        )


def _differing(known: Node, new: Node) -> str:
    if known.blocks and known.op == new.op and len(known.outputs) == len(new.outputs):
        return (
            "a function that torch.cond, while_loop, scan or map calls there branches in Python on what it is given, "
            "and goes another way here (write that branch with torch.cond)"
        )
    return f"it computes {_shown(new)}, and not {_shown(known)}"


def _shown(node: Node) -> str:
    literals = [repr(a) for a in node.args if not isinstance(a, Value | tuple)]
    return f"{node.op.partition('::')[2]}({', '.join(literals)})" if literals else node.op.partition("::")[2]
