"""The tape: the nodes, constants and assumptions of a recording, in the order in which they came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from unmoor.capture.refusals import refuse
from unmoor.capture.source import condition_text, own_source, user_frame
from unmoor.capture.wording import Wording, dtype, rank
from unmoor.dtypes import DType
from unmoor.ir.graph import NOWHERE, Arg, Constant, Names, Node, Source, Value, values_of
from unmoor.ir.recording import Assumption, Froze, Held
from unmoor.ir.types import BOOL, TENSOR, Type

Where = Callable[[], Source]
MANY = 2000  # guards of a run whose decisions are given, before it counts as one that does not end


class Misled(Exception):
    """A run with given decisions came where they cannot be."""


class Tape:
    """What has been recorded so far. `where` tells the user's current line.

    While a block of a branch or loop is recorded, `nodes` are that block's, and `level` counts the blocks around it.
    The decisions of a run, what it held and where it wrote are kept of level 0 alone.
    """

    def __init__(self, where: Where, decisions: tuple[bool, ...] = ()) -> None:
        self.where = where
        self.decisions = decisions  # how the first guards are to go, whatever the values say
        self.names = Names()
        self.nodes: list[Node] = []
        self.constants: list[Constant] = []
        self._assumptions: dict[tuple[Froze, str, Source], Assumption] = {}
        self._pure: dict[tuple[object, ...], Value] = {}
        self._guarded: set[tuple[object, ...]] = set()
        self.level = 0
        self._levels: list[tuple[list[Node], set[tuple[object, ...]]]] = [(self.nodes, self._guarded)]
        self._level_of: dict[Value, int] = {}  # of values made in blocks
        self._ended: set[Value] = set()  # those of blocks that have ended
        self._trial: int | None = None  # the level outside of a block on trial
        self.repeated: set[int] = set()  # guards that repeat earlier ones, by the number of the node
        self.state: Callable[[], Held | None] = lambda: None  # what the program holds now
        self.condition: Callable[[], str | None] = lambda: None  # the text of what runs, where that is not Python
        self.held: dict[int, Held] = {}  # at guards, by the number of the node
        self.writes: set[int] = set()  # where the program wrote in place: how many nodes there were
        self.asked = 0
        self.emitted: Callable[[str, tuple[Arg, ...], tuple[Value, ...]], None] | None = None  # told of each op

    # -- blocks -------------------------------------------------------------------------------
    @contextmanager
    def block(self, nodes: list[Node], trial: bool = False) -> Iterator[None]:
        """What is recorded in this context is put behind `nodes`, the block of a node that comes later.

        On trial, the block is only looked at: its values take no names.
        """
        before, trials = self.level, self._trial
        if trial and trials is None:
            self._trial = before
        self._levels.append((nodes, set(self._guarded)))  # what is guarded before the block holds in it
        self._go(before + 1)
        try:
            yield
        finally:
            self._levels.pop()
            self._go(before)
            self._trial = trials
            for value in [v for v, level in self._level_of.items() if level > before]:
                del self._level_of[value]
                self._ended.add(value)

    @contextmanager
    def at(self, level: int) -> Iterator[None]:
        """What is recorded in this context stands before the block of that level."""
        before = self.level
        self._go(level)
        try:
            yield
        finally:
            self._go(before)

    def _go(self, level: int) -> None:
        self.level = level
        self.nodes, self._guarded = self._levels[level]

    def level_of(self, args: object) -> int:
        """The innermost block that one of the values in an argument was made in; 0 outside of blocks."""
        if not self._levels[1:] and not self._ended:
            return 0
        values = values_of(args)
        if not self._ended.isdisjoint(values):
            raise refuse(
                self.where(),
                "a number is used here that was made inside a function which torch.cond, while_loop, scan or map calls",
                "let that function return it",
            )
        return max((self._level_of.get(v, 0) for v in values), default=0)

    # -- ops ----------------------------------------------------------------------------------
    def value(self, name: str = "", type_: Type = TENSOR) -> Value:
        """A new value, made at this level."""
        unnamed = self._trial is not None and self.level > self._trial
        made = Value("" if unnamed else self.names.fresh(name), type_)
        if self.level:
            self._level_of[made] = self.level
        return made

    def emit(self, op: str, args: tuple[Arg, ...], count: int = 1) -> tuple[Value, ...]:
        """Append an op on tensors, and return its outputs."""
        self.level_of(args)
        outputs = tuple(self.value() for _ in range(count))
        self.nodes.append(Node(op, args, outputs, self.where()))
        if self.emitted is not None:
            self.emitted(op, args, outputs)
        return outputs

    def pure(self, op: str, args: tuple[Arg, ...], type_: Type) -> Value:
        """The number that `op` of `args` is; recorded once, in the block where all of `args` are known."""
        key = (op, *((type(a), a) for a in args))
        level = self.level_of(args)
        if key not in self._pure:
            with self.at(level):
                value = self.value(type_=type_)
                self.nodes.append(Node(op, args, (value,), self.where()))
            self._pure[key] = value
        return self._pure[key]

    def guard(self, condition: Value, expected: bool, words: Wording, always: bool = False) -> None:
        """NotTraced with such words unless the condition is `expected`; in the graph the same guard stands once.

        One that holds for `always`, as long as this is the path, does not stand there at all.
        """
        if condition.type != BOOL:
            raise TypeError(f"a guard needs a bool, not %{condition.name}")
        if ("prim::guard", condition, not expected) in self._guarded:
            raise Misled
        key = ("prim::guard", condition, expected)
        if always:
            self._guarded.add(key)
        self._guard(key, (condition, expected), words)

    def text(self, index: int | None = None) -> str:
        """The user's text of the condition that the program evaluates."""
        text = self.condition()
        return condition_text(user_frame(), index) if text is None else text

    def guard_rank(self, tensor: Value, dims: int) -> None:
        """NotTraced unless the tensor has so many dims."""
        self._guard(("prim::rank_guard", tensor), (tensor, dims), rank(self.text(), dims))

    def guard_dtype(self, tensor: Value, kind: DType) -> None:
        """NotTraced unless the tensor has that dtype."""
        self._guard(("prim::dtype_guard", tensor), (tensor, kind), dtype(self.text(), kind))

    def decide(self, held: bool) -> bool:
        """How a condition goes that is guarded next: as it holds in this run, unless that is decided beforehand."""
        return self.decisions[self.asked] if self.asked < len(self.decisions) and not self.level else held

    def _guard(self, key: tuple[object, ...], args: tuple[Arg, ...], words: Wording) -> None:
        expected = args[1] if key[0] == "prim::guard" else True
        if self.decide(bool(expected)) is not expected:
            raise Misled
        self.asked += not self.level
        if self.decisions and self.asked > MANY + 2 * len(self.decisions):
            raise Misled
        source = self.where()
        caller = own_source(source)
        message = words.message(caller)
        number = len(self.nodes)
        if key in self._guarded and self.level:
            return
        self.nodes.append(Node(str(key[0]), (*args, message), (), source))
        if key in self._guarded:
            self.repeated.add(number)
            return
        self._guarded.add(key)
        state = None if self.level else self.state()
        if state is not None:
            self.held[number] = state
        key_ = (words.froze, words.assumed, source)
        self._assumptions.setdefault(key_, Assumption(*key_, True, caller, message))

    def wrote(self) -> None:
        """The program wrote in place."""
        if not self.level:
            self.writes.add(len(self.nodes))

    def kept(self) -> tuple[Node, ...]:
        """The nodes without those guards that repeat earlier ones."""
        return tuple(node for number, node in enumerate(self.nodes) if number not in self.repeated)

    def constant(self, data: np.ndarray, name: str, origin: str) -> Value:
        """A constant with a copy of `data`."""
        kept = np.array(data, order="C", copy=True)
        kept.setflags(write=False)
        with self.at(0):
            value = self.value(name)
        self.constants.append(Constant(value, kept, origin))
        return value

    def assume(self, froze: Froze, text: str, checked: bool = False, source: Source | None = None) -> None:
        """Write down what the trace froze; the same text at the same line once."""
        source = self.where() if source is None else source
        caller = own_source(source) if source is not NOWHERE else NOWHERE
        self._assumptions.setdefault((froze, text, source), Assumption(froze, text, source, checked, caller))

    @property
    def assumptions(self) -> tuple[Assumption, ...]:
        """All of them, the most important kinds first, else in the order in which they came."""
        order: Sequence[Froze] = list(Froze)
        return tuple(sorted(self._assumptions.values(), key=lambda a: order.index(a.froze)))
