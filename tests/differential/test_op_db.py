"""torch's own op database: no sample may be wrong. The first samples of each entry; `make long` runs all of them."""

from __future__ import annotations

import op_db
import pytest
import torch

ENTRIES = {op_db.name_of(entry): entry for entry in op_db.entries()}
RIGHT_AT_LEAST = 400  # entries whose first float32 samples are all right


@pytest.mark.parametrize("dtype", op_db.DTYPES, ids=lambda d: str(d)[6:])
def test_no_sample_is_wrong(dtype: torch.dtype) -> None:
    """At the typed graph's reference."""
    outcomes = {
        name: op_db.check(entry, dtype, limit=2 if dtype is torch.float32 else 1) for name, entry in ENTRIES.items()
    }
    assert [w for o in outcomes.values() for w in o.wrong] == []
    if dtype is torch.float32:
        assert sum(o.state == "right" for o in outcomes.values()) >= RIGHT_AT_LEAST


def test_machine_code_is_right() -> None:
    """The first float32 sample of every third entry, compiled."""
    some = list(ENTRIES.values())[::3]
    outcomes = [op_db.check(entry, torch.float32, limit=1, compiled=True) for entry in some]
    assert [w for o in outcomes for w in o.wrong] == []
