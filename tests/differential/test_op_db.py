"""torch's own op database: no sample may be wrong. The first samples of each entry; `make long` runs all of them."""

from __future__ import annotations

import op_db
import pytest
import torch
from tools.derive import op_db_states

PARTS = 12  # of the database, so that each test takes seconds and the workers share them
ENTRIES = {op_db.name_of(entry): entry for entry in op_db.entries()}
STATED = {row.entry: dict(zip(op_db.DTYPES, row.states, strict=True)) for row in op_db_states.read()}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("dtype", op_db.DTYPES, ids=lambda d: str(d)[6:])
def test_no_sample_is_wrong_and_what_the_document_says_is_right_is_right(dtype: torch.dtype, part: int) -> None:
    """At the typed graph's reference."""
    limit = 2 if dtype is torch.float32 else 1
    outcomes = {name: op_db.check(ENTRIES[name], dtype, limit) for name in list(ENTRIES)[part::PARTS]}
    assert [w for o in outcomes.values() for w in o.wrong] == []
    stated = {name for name in outcomes if STATED[name][dtype] == "right"}
    assert {name: dict(outcomes[name].refused) for name in stated if outcomes[name].state != "right"} == {}


@pytest.mark.parametrize("part", range(PARTS))
def test_machine_code_is_right(part: int) -> None:
    """The first float32 sample of every third entry, compiled."""
    some = list(ENTRIES.values())[::3][part::PARTS]
    outcomes = [op_db.check(entry, torch.float32, limit=1, compiled=True) for entry in some]
    assert [w for o in outcomes for w in o.wrong] == []
