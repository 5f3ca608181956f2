"""Recurrent networks, taken apart into one product of all inputs and a loop with one product and one map a turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim
from unmoor.ir.op import Op, Tolerance
from unmoor.ops.formula import Aten, formula
from unmoor.ops.samples import Rand

RECURRENT = Tolerance(
    {"f32": 2e-5, "f64": 1e-12},
    {"f32": 1e-5, "f64": 1e-12},
    "sums of products in another order, own exp; each turn adds its error to the next one's",
)
State = tuple[Any, ...]  # hidden; of an LSTM also its cell


@dataclass(frozen=True)
class Weights:
    """Those of one layer in one direction. `out` projects an LSTM's hidden state."""

    ih: Any
    hh: Any
    b_ih: Any = None
    b_hh: Any = None
    out: Any = None


# What a cell makes of W_ih x + b_ih, the weights and the state.
Cell = Callable[[Aten, Any, Weights, State], State]


def _lstm_cell(aten: Aten, given: Any, w: Weights, state: State) -> State:
    """Hochreiter and Schmidhuber 1997, with a forget gate; gates in the order input, forget, cell, output."""
    h, c = state
    i, f, g, o = _gates(aten, aten.add(given, aten.linear(h, w.hh, w.b_hh)), 4)
    c = aten.add(aten.mul(aten.sigmoid(f), c), aten.mul(aten.sigmoid(i), aten.tanh(g)))
    h = aten.mul(aten.sigmoid(o), aten.tanh(c))
    return (h if w.out is None else aten.linear(h, w.out, None)), c


def _gru_cell(aten: Aten, given: Any, w: Weights, state: State) -> State:
    """Cho et al. 2014, the reset gate behind the product; gates in the order reset, update, new."""
    (h,) = state
    r, z, n = _gates(aten, given, 3)
    hr, hz, hn = _gates(aten, aten.linear(h, w.hh, w.b_hh), 3)
    new = aten.tanh(aten.add(n, aten.mul(aten.sigmoid(aten.add(r, hr)), hn)))
    update = aten.sigmoid(aten.add(z, hz))
    return (aten.add(new, aten.mul(update, aten.sub(h, new))),)


def _plain_cell(function: str) -> Cell:
    def cell(aten: Aten, given: Any, w: Weights, state: State) -> State:
        return (getattr(aten, function)(aten.add(given, aten.linear(state[0], w.hh, w.b_hh))),)

    return cell


def _gates(aten: Aten, x: Any, count: int) -> list[Any]:
    width = aten.shape(x)[-1] // count
    return [aten.slice(x, -1, width * k, width * (k + 1)) for k in range(count)]


def _network(
    aten: Aten,
    cell: Cell,
    x: Any,
    initial: Sequence[Any],
    weights: list[Weights],
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Any, ...]:
    """All layers: the outputs of the last one along time, then the last states of all of them."""
    if dropout and train:
        raise Unsupported("a recurrent network with dropout draws random numbers: call .eval() before tracing")
    directions = 2 if bidirectional else 1
    if aten.rank(x) != 3 or len(weights) != layers * directions:
        raise SignatureError("a recurrent network needs an input of three axes, and weights for each of its layers")
    sequence = aten.transpose(x, 0, 1) if batch_first else x
    turns, batch, _ = aten.shape(sequence)
    if aten.facts.equal(turns, 0):
        raise SignatureError("a recurrent network needs a sequence of at least one element")
    for state in initial:
        if not _fits(aten, state, len(weights), batch):
            raise SignatureError(f"{aten.type_of(state)} is no state of {len(weights)} layers for a batch of {batch}")
    ends: list[State] = []
    for layer in range(layers):
        made = []
        for direction in range(directions):
            number = layer * directions + direction
            state = tuple(aten.select(s, 0, number) for s in initial)
            output, end = _layer(aten, cell, sequence, turns, state, weights[number], backward=direction == 1)
            made.append(output)
            ends.append(end)
        sequence = made[0] if directions == 1 else aten.cat(tuple(made), -1)
    outputs = aten.transpose(sequence, 0, 1) if batch_first else sequence
    return outputs, *(aten.stack(tuple(end[k] for end in ends), 0) for k in range(len(initial)))


def _fits(aten: Aten, state: Any, count: int, batch: Dim) -> bool:
    shape = aten.shape(state)
    return len(shape) == 3 and aten.facts.equal(shape[0], count) and aten.facts.equal(shape[1], batch)


def _layer(
    aten: Aten, cell: Cell, x: Any, turns: Dim, state: State, w: Weights, backward: bool
) -> tuple[Any, tuple[Any, ...]]:
    """One layer in one direction. Only the product with the hidden state waits for the turn before."""
    given = aten.linear(x, w.ih, w.b_ih)

    def turn(carried: State, rows: tuple[Any, ...]) -> tuple[None, State, tuple[Any, ...]]:
        after = cell(aten, rows[0], w, carried)
        return None, after, after[:1]

    *end, output = aten.builder.loop(turns, state, (given,), turn, backward=backward)
    return output, tuple(end)


def _grouped(params: Sequence[Any], has_biases: bool, projects: bool) -> list[Weights]:
    size = (4 if has_biases else 2) + projects
    if len(params) % size:
        raise SignatureError(f"{len(params)} weights are not {size} for each layer and direction")
    groups = [params[k : k + size] for k in range(0, len(params), size)]
    return [
        Weights(g[0], g[1], g[2] if has_biases else None, g[3] if has_biases else None, g[-1] if projects else None)
        for g in groups
    ]


def _lstm(aten: Aten, x: Any, hx: Sequence[Any], params: Sequence[Any], has_biases: bool, *rest: Any) -> Any:
    hidden, cell = hx
    projects = not aten.facts.equal(aten.shape(hidden)[-1], aten.shape(cell)[-1])
    return _network(aten, _lstm_cell, x, (hidden, cell), _grouped(params, has_biases, projects), *rest)


def _of_hidden(cell: Cell) -> Callable[..., Any]:
    def network(aten: Aten, x: Any, hx: Any, params: Sequence[Any], has_biases: bool, *rest: Any) -> Any:
        return _network(aten, cell, x, (hx,), _grouped(params, has_biases, False), *rest)

    return network


def _one_turn(cell: Cell) -> Callable[..., Any]:
    def turn(aten: Aten, x: Any, hx: Any, ih: Any, hh: Any, b_ih: Any, b_hh: Any) -> Any:
        state = tuple(hx) if isinstance(hx, tuple | list) else (hx,)
        batch = aten.shape(x)[:-1]
        if not all(aten.facts.equal(a, b) for s in state for a, b in zip(aten.shape(s)[:-1], batch, strict=True)):
            raise SignatureError("a recurrent cell needs an input and a state for the same batch")
        made = cell(aten, aten.linear(x, ih, b_ih), Weights(ih, hh, b_ih, b_hh), state)
        return made if len(made) > 1 else made[0]

    return turn


def _weights(gates: int, inputs: int, hidden: int, biases: bool = True, projected: int = 0) -> tuple[Any, ...]:
    wide = gates * hidden
    made = (Rand(wide, inputs), Rand(wide, projected or hidden))
    return (*made, *((Rand(wide), Rand(wide)) if biases else ()), *((Rand(projected, hidden),) if projected else ()))


LAST = "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first)"
CELL = "Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None)"
CELLS: dict[str, tuple[Cell, int]] = {
    "gru": (_gru_cell, 3),
    "rnn_tanh": (_plain_cell("tanh"), 1),
    "rnn_relu": (_plain_cell("relu"), 1),
}


def _recurrent(name: str, cell: Cell, gates: int) -> list[Op]:
    """A network of one hidden state, and its cell."""
    return [
        formula(
            name,
            f"(Tensor input, Tensor hx, Tensor[] params, {LAST} -> (Tensor, Tensor)",
            _of_hidden(cell),
            (Rand(5, 2, 3), Rand(1, 2, 4), _weights(gates, 3, 4), True, 1, 0.0, False, False, False),
            (Rand(2, 1, 3), Rand(1, 2, 4), _weights(gates, 3, 4, False), False, 1, 0.5, False, False, True),
            (
                *(Rand(3, 1, 3), Rand(4, 1, 2), sum((_weights(gates, i, 2) for i in (3, 3, 4, 4)), ())),
                *(True, 2, 0.0, True, True, False),
            ),
            overloads="input",
            tolerance=RECURRENT,
        ),
        formula(
            f"{name}_cell",
            f"(Tensor input, Tensor hx, {CELL} -> Tensor",
            _one_turn(cell),
            (Rand(2, 3), Rand(2, 4), *_weights(gates, 3, 4)),
            (Rand(1, 3), Rand(1, 4), *_weights(gates, 3, 4, False)),
            tolerance=RECURRENT,
        ),
    ]


RECURRENCE: list[Op] = [
    formula(
        "lstm",
        f"(Tensor input, Tensor[] hx, Tensor[] params, {LAST} -> (Tensor, Tensor, Tensor)",
        _lstm,
        (Rand(5, 2, 3), (Rand(1, 2, 4), Rand(1, 2, 4)), _weights(4, 3, 4), True, 1, 0.0, False, False, False),
        (Rand(2, 1, 3), (Rand(1, 2, 4), Rand(1, 2, 4)), _weights(4, 3, 4, False), False, 1, 0.5, False, False, True),
        (
            *(Rand(3, 1, 3), (Rand(4, 1, 2),) * 2, sum((_weights(4, i, 2) for i in (3, 3, 4, 4)), ())),
            *(True, 2, 0.0, True, True, False),
        ),
        (Rand(3, 2, 3), (Rand(1, 2, 2), Rand(1, 2, 4)), _weights(4, 3, 4, True, 2), True, 1, 0.0, False, False, False),
        overloads="input",
        tolerance=RECURRENT,
    ),
    formula(
        "lstm_cell",
        f"(Tensor input, Tensor[] hx, {CELL} -> (Tensor, Tensor)",
        _one_turn(_lstm_cell),
        (Rand(2, 3), (Rand(2, 4), Rand(2, 4)), *_weights(4, 3, 4)),
        (Rand(1, 3), (Rand(1, 4), Rand(1, 4)), *_weights(4, 3, 4, False)),
        tolerance=RECURRENT,
    ),
    *(op for name, (cell, gates) in CELLS.items() for op in _recurrent(name, cell, gates)),
]
