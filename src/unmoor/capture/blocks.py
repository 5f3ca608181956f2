"""Functions of the program as blocks of the graph: runs one on real tensors, and keeps what it did and gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unmoor.capture.numbers import Float, Int, Truth, made
from unmoor.capture.torch_private import tree_flatten
from unmoor.errors import Unsupported
from unmoor.ir.alike import unlike
from unmoor.ir.graph import Arg, Block, Node, Value
from unmoor.ir.types import BOOL, FLOAT, INT, TENSOR, Type

if TYPE_CHECKING:
    from unmoor.capture.recorder import Recorder
    from unmoor.capture.tracks import Track


@dataclass
class Given:
    """What a function of the program gave: its form, the leaves, and those as the graph has them.

    `shared` has, for each leaf, the tensor from outside, or of another leaf, whose memory it shares, or None.
    """

    form: Any
    leaves: list[Any]
    args: list[Arg]
    shared: list[Track | None]


def given(r: Recorder, result: Any) -> Given:
    """A result, taken apart while its block is being recorded."""
    leaves, form = tree_flatten(result)
    roots = [r.tracks.of(leaf).root if isinstance(leaf, torch.Tensor) else None for leaf in leaves]
    shared = [k if k is not None and (k.level < r.tape.level or roots.count(k) > 1) else None for k in roots]
    return Given(form, leaves, [r.argument(leaf) for leaf in leaves], shared)


def not_chosen(r: Recorder, name: str, error: Exception) -> Unsupported:
    """A function that PyTorch does not run on this example, and that cannot be recorded on it."""
    return r.refusal(
        f"a function given to {name}, which this example does not need, raises {type(error).__name__} on it: {error}",
        "trace on an example that it takes, too",
    )


def shown(leaf: Any) -> str:
    """A leaf, for people."""
    if isinstance(leaf, torch.Tensor):
        return f"a tensor {str(leaf.dtype).removeprefix('torch.')}{list(leaf.shape)}"
    return "None" if leaf is None else f"a Python {type(plain(leaf)).__name__}"


def plain(leaf: Any) -> Any:
    """A symbolic number as it is in this run; anything else as it is."""
    return leaf.node.hint if isinstance(leaf, (Int, Float)) else leaf


def number_type(leaf: Any) -> Type:
    """The type in the graph of a number."""
    return BOOL if isinstance(leaf, bool) else INT if isinstance(leaf, int) else FLOAT


def type_of(leaf: Any) -> Type:
    """The type in the graph of a leaf."""
    return TENSOR if isinstance(leaf, torch.Tensor) else number_type(plain(leaf))


def is_alike(a: Any, b: Any) -> bool:
    """Whether two leaves have the same type, dtype and sizes."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape
    return type(plain(a)) is type(plain(b))


def stand_in(r: Recorder, leaf: Any, value: Value, kind: str = "computed") -> Any:
    """A leaf of its own that the program goes on with, which is `value` in the graph."""
    if not isinstance(leaf, torch.Tensor):
        return made(r.guards, plain(leaf), value)
    with torch.no_grad():
        tensor = leaf.detach().clone()
    r.tracks.add(tensor, value, kind)
    return tensor


class RandomState:
    """Torch's random state, and how many draws have been recorded, to go back to."""

    def __init__(self, r: Recorder) -> None:
        self.torch, self.recorded = torch.get_rng_state(), r.random_state
        self.draws, self.generator = r.draws, None if r.generator is None else r.generator.value

    def restore(self, r: Recorder) -> None:
        torch.set_rng_state(self.torch)
        r.random_state = self.recorded
        self.restore_draws(r)

    def restore_draws(self, r: Recorder) -> None:
        """The recorded draws alone; torch's own go on."""
        r.draws = self.draws
        if r.generator is not None and self.generator is not None:
            r.generator.value = self.generator


Turn = Callable[[Sequence[Any], Sequence[Any]], "tuple[Any, Any, Any]"]  # whether again, what is carried on, rows


@dataclass
class Loop:
    """A loop while it is recorded. Its block is what the first turn did; the other turns do the same.

    Where the run has a generator of random numbers, the loop carries that, too, if its turns draw.
    """

    r: Recorder
    name: str
    run: Turn
    block: Block | None = None
    forms: tuple[Any, Any] = (None, None)
    draws: bool = False
    turns: int = 0
    rows: list[list[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.has_generator = self.r.generator is not None

    def turn(self, carried: Sequence[Any], scanned: Sequence[Any]) -> tuple[bool, list[Any]]:
        """One turn on real leaves: whether another one follows, and with which leaves."""
        r, before, constants = self.r, RandomState(self.r), len(self.r.tape.constants)
        nodes: list[Node] = []
        with r.block(nodes, trial=self.block is not None):
            params = [r.tape.value(type_=type_of(leaf)) for leaf in carried]
            generator = r.tape.value("random") if self.has_generator else None
            if generator is not None and r.generator is not None:
                r.generator.value, r.draws = generator, 0
            rows = [r.tape.value() for _ in scanned]
            again, onward, out = self.run(
                [stand_in(r, leaf, v, "carried") for leaf, v in zip(carried, params, strict=True)],
                [stand_in(r, leaf, v, "carried") for leaf, v in zip(scanned, rows, strict=True)],
            )
            after, made_rows = given(r, onward), given(r, out)
            self._check(carried, after.leaves)
            held, condition = self._again(again)
            drawn = []
            if generator is not None and r.generator is not None:
                now = r.counted(r.generator.value, r.draws)
                if now is not generator:
                    params.append(generator)
                    drawn.append(now)
        before.restore_draws(r)
        results = (*condition, *after.args, *drawn, *(a for a in made_rows.args if a is not None))
        self._compare(Block((*params, *rows), tuple(nodes), results), constants)
        self.forms, self.draws, self.turns = (after.form, made_rows.form), bool(drawn), self.turns + 1
        self.rows.append(made_rows.leaves)
        return held, [plain(leaf) for leaf in after.leaves]

    def _again(self, again: Any) -> tuple[bool, tuple[Arg, ...]]:
        """Whether there is another turn, and that as the block yields it."""
        if again is None:
            return False, ()
        return condition(self.r, again)

    def _check(self, before: Sequence[Any], after: Sequence[Any]) -> None:
        if len(before) != len(after):
            raise self.r.refusal(
                f"the function of {self.name} is given {len(before)} values to carry, and gives {len(after)}"
            )
        for one, other in zip(before, after, strict=True):
            if not is_alike(one, other):
                raise self.r.refusal(
                    f"what {self.name} carries is {shown(one)} before a turn and {shown(other)} after it",
                    "keep its dtype and sizes",
                )

    def _compare(self, block: Block, constants: int) -> None:
        """Unsupported where a turn does something else than the first one did."""
        tape = self.r.tape
        if self.block is None:
            self.block = block
            return
        data = {c.value: c.data for c in tape.constants}

        def same(a: Value, b: Value) -> bool:
            if a is b:
                return True
            one, other = data.get(a), data.get(b)
            return one is not None and other is not None and one.dtype == other.dtype and np.array_equal(one, other)

        found = unlike(self.block, block, same)
        if found is not None:
            raise self._other_turn(found)
        kept = tape.constants[constants:]  # of literals of this turn, there are those of the first one
        tape.constants[constants:] = [c for c in kept if not c.origin.startswith(("literal at", "draws of"))]

    def _other_turn(self, found: Node | Block) -> Unsupported:
        where = f" in {found.source}: {found.source.text}" if isinstance(found, Node) and found.source.file else ""
        return self.r.refusal(
            f"the function of {self.name} does something else in turn {self.turns + 1} than in the first{where}",
            "decide by torch.cond or torch.where there, and keep what differs from turn to turn in a carried tensor",
        )

    def emit(
        self, turns: Arg, start: Arg, backward: bool, initial: Sequence[Any], scanned: Sequence[Any]
    ) -> tuple[list[Value], list[Value]]:
        """Puts the loop on the tape: its outputs that are carried, and those of rows."""
        r, block = self.r, self.block
        assert block is not None
        args = [r.argument(leaf) for leaf in initial]
        if self.draws and r.generator is not None:
            args.append(r.counted(r.generator.value, r.draws))
        whole = tuple(r.argument(leaf) for leaf in scanned)
        count, first = len(args), 0 if start is None else 1
        types = [p.type for p in block.params[:count]] + [TENSOR] * (len(block.results) - first - count)
        outputs = [r.tape.value(type_=t) for t in types]
        r.tape.nodes.append(
            Node("prim::Loop", (turns, start, backward, tuple(args), whole), tuple(outputs), r.tape.where(), (block,))
        )
        if self.draws and r.generator is not None:
            r.generator.value, r.draws = outputs[count - 1], 0
            r.generator.version += 1
        return outputs[: len(initial)], outputs[count:]


def condition(r: Recorder, again: Any) -> tuple[bool, tuple[Arg, ...]]:
    """Whether a loop goes on, and that as the graph has it."""
    if isinstance(again, Truth):
        return again.held, (again.value,)
    if isinstance(again, bool):
        return again, (again,)
    if not isinstance(again, torch.Tensor) or again.dtype is not torch.bool or tuple(again.shape):
        raise RuntimeError(f"cond_fn must return a boolean scalar tensor or a boolean but got {again}")
    return bool(again), (r.tape.pure("prim::truth", (r.argument(again),), BOOL),)
