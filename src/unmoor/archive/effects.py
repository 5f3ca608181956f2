"""What programs keep and change: state inputs and updates, decoded and checked."""

from __future__ import annotations

from collections.abc import Sequence

from unmoor.archive.tables import Tables
from unmoor.errors import ArchiveError
from unmoor.ir.dim import const
from unmoor.ir.program import State, Weight
from unmoor.ir.signature import Signature
from unmoor.ir.types import TensorType

Effects = tuple[tuple[str, ...], tuple[int, ...]]


def effects_of(tables: Tables, states: Sequence[str]) -> list[Effects]:
    """For each program, the names of its states (its last inputs), and the inputs that its last outputs change."""
    programs = tables["programs"]
    found: list[Effects] = []
    inputs, updates = iter(tables["state_inputs"]), iter(tables["updates"])
    counts = [0] * len(programs), [0] * len(programs)
    for section, count in zip(("state_inputs", "updates"), counts, strict=True):
        for row in tables[section]:
            count[row.program] += 1
    for number, program in enumerate(programs):
        first_input = program.input_count - counts[0][number]
        first_output = program.output_count - counts[1][number]
        kept = [next(inputs) for _ in range(counts[0][number])]
        written = [next(updates) for _ in range(counts[1][number])]
        for name, rows, first, places in (
            ("state_inputs", kept, first_input, [r.input for r in kept]),
            ("updates", written, first_output, [r.output for r in written]),
        ):
            in_order = places == list(range(first, first + len(rows))) and first >= 0
            if not in_order or any(r.program != number for r in rows):
                raise ArchiveError(
                    f"the file is damaged: the {name} of program {number} are not its last ones, in order"
                )
        changed = tuple(r.input for r in written)
        if len(set(changed)) != len(changed) or any(k >= program.input_count for k in changed):
            raise ArchiveError(f"the file is damaged: program {number} writes back into an input twice, or into none")
        found.append((tuple(states[r.state] for r in kept), changed))
    return found


def check_effects(signature: Signature, states: Sequence[State], weights: Sequence[Weight], where: str) -> None:
    """ArchiveError unless states have the types of their weights, and updates those of their inputs."""
    weight_of = {s.name: weights[s.weight] for s in states}
    if len(set(signature.states)) != len(signature.states):
        raise ArchiveError(f"the file is damaged: {where}: two inputs are the same state")
    for name, spec in zip(signature.states, signature.inputs[len(signature.given) :], strict=True):
        weight = weight_of[name]
        if spec.type != TensorType(weight.dtype, tuple(map(const, weight.shape))):
            raise ArchiveError(f"the file is damaged: {where}: the state {name} is not {spec.type}")
    for number, spec in zip(signature.changed, signature.outputs[len(signature.returned) :], strict=True):
        if spec.type != signature.inputs[number].type:
            raise ArchiveError(f"the file is damaged: {where}: {spec} is written back into {signature.inputs[number]}")
