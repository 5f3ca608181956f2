"""Merges recordings: equal beginnings once, a branch where guards went other ways, joined where runs go on alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from unmoor.errors import Unsupported
from unmoor.ir.graph import Arg, Node, Value
from unmoor.ir.recording import Recording
from unmoor.merge.match import Match, pairs
from unmoor.merge.paths import Edge, Step, after, edge_needs, needs
from unmoor.merge.prepare import Prepared
from unmoor.merge.structure import Unbound, structured

ATTEMPTS = 400  # tries to join one path with the others


def merge(recordings: Sequence[Recording]) -> Recording | None:
    """One recording that takes the path of each; None where the last one takes the path of another.

    The first one's example and structures are kept.

    Raises Unsupported with the user's line where the runs differ without a guard that told them apart.
    """
    try:
        prepared = Prepared(tuple(recordings))
        paths = _Paths(prepared, joins=True)
        graph = structured(paths.root, prepared)
    except Unbound:  # paths that share steps need values that only some of them have: each gets its own steps
        prepared = Prepared(tuple(recordings))
        paths = _Paths(prepared, joins=False)
        graph = structured(paths.root, prepared)
    if not paths.last_is_new:
        return None
    root = paths.root
    told = dict.fromkeys(a for r in recordings for a in r.assumptions)
    branches = {s.node.source for s in after(root) if s.is_guard and len(s.sides) == 2}
    guards = {(s.node.source, s.node.args[2]) for s in after(root) if s.is_guard and len(s.sides) == 1}
    kept = tuple(a for a in told if not (a.checked and a.source in branches and (a.source, a.text) not in guards))
    return replace(recordings[0], graph=graph, assumptions=kept, held={})


@dataclass
class Run:
    """A new recording on its way into the known paths."""

    steps: list[Step]
    outputs: tuple[Arg, ...]


Left = tuple[Step, bool, int, Step]  # a known guard, its new side, where the path goes on, the new guard


class _Paths:
    def __init__(self, prepared: Prepared, joins: bool) -> None:
        self.prepared, self.joins = prepared, joins
        self.definitions = prepared.definitions
        self.joined = self.last_is_new = False
        (steps, outputs), *others = prepared.paths
        self.root = self._chain(steps, outputs, {})
        for steps, outputs in others:
            self._add(Run(steps, outputs))

    def _chain(self, steps: list[Step], outputs: tuple[Arg, ...], values: dict[Value, Arg]) -> Edge:
        """New steps, one after the other, up to the end."""
        edge = first = Edge(None, values)
        for step in steps:
            fresh = Step(step.node, step.state)
            edge.to = fresh
            edge = Edge(None)
            fresh.sides[fresh.held if fresh.is_guard else True] = edge
        edge.outputs = outputs
        return first

    def _match(self, known: dict[Value, Arg], joining: bool) -> Match:
        return Match(dict(known), self.definitions, self.prepared.shared, joining)

    # -- one more path ------------------------------------------------------------------------
    def _add(self, run: Run) -> None:
        match = self._match({}, False)
        found = self._walk(match, self.root, run, 0)
        self.last_is_new = found is not None
        while found is not None:
            step, side, at, guard = found
            found = self._leave(step, side, guard, run, at, match)

    def _walk(self, match: Match, edge: Edge, run: Run, at: int) -> Left | None:
        """Follow known steps: the guard and its new side, with what comes then; None where the path was known."""
        while True:
            match.cross(edge)
            known = edge.to
            new = run.steps[at] if at < len(run.steps) else None
            if known is None:
                if new is not None or not match.same(edge.outputs, run.outputs, (edge, ())):
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
                    raise _Differs(new, f"it computes {_shown(new.node)}, and not {_shown(known.node)}")
                at += 1
                edge = known.sides[True]

    def _leave(self, step: Step, side: bool, guard: Step, run: Run, at: int, match: Match) -> Left | None:
        """Give a guard its new side: steps of its own, until the path joins a known one."""
        values = self._values(step, guard, match, self._used(run, at))
        if values is None or self.joined:  # several known ways may lead here, and hold different values
            raise Unbound("it cannot be told which of two known values a new path goes on with")
        values = self._apart(values, run, at, match)
        before = dict(match.known)
        other = step.sides.get(not side)
        candidates = after(other) if self.joins and other is not None else []
        attempts = 0
        for end in range(at, len(run.steps)):
            for candidate in candidates:
                if candidate.node.op != run.steps[end].node.op or candidate.node.source != run.steps[end].node.source:
                    continue
                attempts += 1
                if attempts > ATTEMPTS:
                    break
                trial = self._match(before, True)
                join = Edge(candidate)
                try:
                    found = self._walk(trial, join, run, end)
                except _Differs:
                    continue
                if found is None and self._commit(trial, join):
                    chain = self._chain(run.steps[at:end], (), values)
                    self._end(chain, join)
                    if chain.to is None:
                        chain.to = candidate
                        chain.values = {v: self._before(s, values) for v, s in join.values.items()}
                    step.sides[side] = chain
                    match.__dict__.update(trial.__dict__)
                    match.joining = False
                    match.made, match.made_new = set(), set()
                    match.splits, match.turned, match.guards, match.walked = {}, [], [], []
                    self.joined = True
                    return found
        step.sides[side] = self._chain(run.steps[at:], run.outputs, values)
        return None

    def _used(self, run: Run, at: int) -> set[Value]:
        """The values that the rest of a run uses and does not make."""
        used = set(self.definitions.leaves(run.outputs))
        for step in run.steps[at:]:
            used.update(self.definitions.leaves(step.node.args))
        return used - {v for step in run.steps[at:] for v in step.node.outputs}

    def _apart(self, values: dict[Value, Arg], run: Run, at: int, match: Match) -> dict[Value, Arg]:
        """Give an input or constant that stands for another known value here a name of its own in the rest of a run."""
        other = {v: Value(v.name, v.type) for v, a in values.items() if v in self.prepared.shared and a is not v}
        if not other:
            return {v: a for v, a in values.items() if a is not v}
        copies: dict[Value, Value] = {}

        def moved(arg: Any) -> Any:
            if isinstance(arg, tuple):
                return tuple(moved(a) for a in arg)
            if not isinstance(arg, Value) or arg not in self.definitions:
                return other.get(arg, arg) if isinstance(arg, Value) else arg
            if arg not in copies:
                node = self.definitions[arg]
                copies[arg] = made = Value(arg.name, arg.type)
                self.definitions[made] = replace(node, args=moved(node.args), outputs=(made,))
            return copies[arg]

        for k in range(at, len(run.steps)):
            step = run.steps[k]
            run.steps[k] = Step(replace(step.node, args=moved(step.node.args)), moved(step.state))
        run.outputs = moved(run.outputs)
        for v, fresh in other.items():
            known = values[v]
            assert isinstance(known, Value)
            match.known[known] = fresh
            match.known.pop(v, None)
        return {other.get(v, v): a for v, a in values.items() if a is not v}

    def _values(self, step: Step, guard: Step, match: Match, used: set[Value]) -> dict[Value, Arg] | None:
        """What the new recording's values are, in known terms, at a guard that it leaves by a new side.

        Known ways that join before the guard agree there on what the program's variables hold, and on nothing else.
        None where two variables that hold the same here hold different values on another way.
        """
        found: dict[Value, dict[Value, None]] = {}
        if step.state is not None and guard.state is not None:
            for a, b in pairs(step.state, guard.state):
                if a not in self.definitions and b not in self.definitions:
                    found.setdefault(b, {})[a] = None
        for a, new in match.known.items():
            if isinstance(new, Value) and (new not in found or not self.joined):
                found.setdefault(new, {})[a] = None
        if self.joined and any(len(found[v]) > 1 for v in used if v in found):
            return None
        if self.joined:
            return {v: next(iter(found[v])) for v in used if v in found}
        return {new: next(iter(known)) for new, known in found.items() if new not in self.prepared.shared}

    def _before(self, arg: Arg, values: dict[Value, Arg]) -> Arg:
        return values.get(arg, arg) if isinstance(arg, Value) else arg

    def _end(self, chain: Edge, join: Edge) -> None:
        """Lead a chain's last edge to where the join goes."""
        edge = chain
        while edge.to is not None:
            (following,) = edge.to.sides.values()
            if following.to is None:
                edge.to.sides[next(iter(edge.to.sides))] = join
                return
            edge = following

    def _commit(self, trial: Match, join: Edge) -> bool:
        """Make the known steps serve the new way too: values that differ there get names of their own."""
        walked = set(trial.walked)
        needed = needs(self.root, self.definitions)
        for step, state in trial.guards:
            assert step.state is not None
            for a, b in pairs(step.state, state):
                if a not in self.definitions and trial.known.get(a, a) is not b:
                    trial.splits.setdefault((a, b), [])
        turned: list[tuple[Edge, dict[Value, Value]]] = []
        for edge, roles in trial.turned:
            differing: dict[Value, Value] = {}
            for a in edge_needs(edge, needed, self.definitions) & roles.keys():
                if roles[a] != {trial.known.get(a, a)}:
                    if len(roles[a]) > 1:
                        return False
                    (differing[a],) = roles[a]
            turned.append((edge, differing))
        names = {pair: Value(pair[0].name, pair[0].type) for pair in trial.splits}
        entries = [
            e
            for s in after(self.root)
            for e in s.sides.values()
            if e.to in walked and (s not in walked or e.to is join.to)
        ]
        for (a, b), name in names.items():
            for edge in entries:
                edge.values[name] = edge.values.get(a, a)
            for s in walked:
                for edge in s.sides.values():
                    if a in edge.values and name not in edge.values:
                        edge.values[name] = edge.values[a]
            trial.known[name] = b
            for holder, place in trial.splits[a, b]:
                if isinstance(holder, Step):
                    holder.node = replace(holder.node, args=_replaced(holder.node.args, place, name))
                else:
                    holder.outputs = _replaced(holder.outputs, place, name)
        for step, state in trial.guards:
            step.state = _renamed(step.state, state, names)
        for edge, differing in turned:
            renamed = {a: names[a, b] for a, b in differing.items()}
            wanted = needed[edge.to] if edge.to is not None else set(self.definitions.leaves(edge.outputs))
            for v in wanted:
                source = edge.values.get(v, v)
                if isinstance(source, Value) and source in renamed:
                    edge.values[v] = renamed[source]
        join.values = {v: new for v, new in trial.known.items() if v not in trial.made}
        return True


def _renamed(known: Any, new: Any, names: dict[tuple[Value, Value], Value]) -> Any:
    """A state with the values that differ on a new way under their own names."""
    if isinstance(known, tuple):
        return tuple(_renamed(a, b, names) for a, b in zip(known, new, strict=True))
    return names.get((known, new), known) if isinstance(known, Value) else known


def _replaced(args: tuple[Arg, ...], place: tuple[int, ...], value: Value) -> tuple[Arg, ...]:
    at, *rest = place
    old = args[at]
    new: Arg = _replaced(old, tuple(rest), value) if rest and isinstance(old, tuple) else value
    return (*args[:at], new, *args[at + 1 :])


class _Differs(Unsupported):
    """A run differs from the known ones where no guard told them apart."""

    def __init__(self, step: Step | None, what: str) -> None:
        where = f"{step.node.source}: " if step is not None and str(step.node.source) else ""
        super().__init__(
            f"{where}this example takes another path than the trace, and no condition on tensors or sizes tells them "
            f"apart: {what}; trace it on its own, or decide by a tensor or an argument that the program can see"
        )


def _shown(node: Node) -> str:
    literals = [repr(a) for a in node.args if not isinstance(a, Value | tuple)]
    return f"{node.op.partition('::')[2]}({', '.join(literals)})" if literals else node.op.partition("::")[2]
