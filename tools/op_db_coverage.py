"""Runs torch's op database against Unmoor, every sample, and keeps the state of each entry in tests/op_db_states.tsv.

    python tools/op_db_coverage.py [--jobs N] [NAME ...]

With names only those entries are run again. `tools/generate.py` puts the states into docs/ops.md. Exits with 1 where an
answer is wrong. Many minutes; part of `make long`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT)]

import op_db  # noqa: E402
import torch  # noqa: E402
from tools.derive import op_db_states  # noqa: E402

MACHINE_CODE = 2  # float32 samples of each entry that run as machine code too


def outcome(index: int) -> tuple[op_db_states.Row, list[str]]:
    """An entry's state in each dtype, and its wrong answers."""
    torch.set_num_threads(1)
    entry = op_db.entries()[index]
    outcomes = [op_db.check(entry, dtype) for dtype in op_db.DTYPES]
    wrong = [w for o in outcomes for w in o.wrong]
    if outcomes[0].right:
        wrong += op_db.check(entry, torch.float32, MACHINE_CODE, compiled=True).wrong
    reasons = outcomes[0].refused.most_common(1)
    reason = reasons[0][0].replace("|", "/").replace("\t", " ")[:90] if reasons else ""
    return op_db_states.Row(op_db.name_of(entry), tuple(o.state for o in outcomes), reason), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = [op_db.name_of(e) for e in op_db.entries()]
    rows = {r.entry: r for r in op_db_states.read()} if options.names else {}
    wrong: list[str] = []
    chosen: Iterable[int] = [k for k, name in enumerate(names) if not options.names or name in options.names]
    with ProcessPoolExecutor(options.jobs) as pool:
        for row, faults in pool.map(outcome, chosen):
            rows[row.entry] = row
            wrong += faults
            print(row.entry, *row.states, *faults, flush=True)
    op_db_states.write([rows[name] for name in names if name in rows])
    print(f"{op_db_states.supported(list(rows.values()))} of {len(rows)} entries are supported, {len(wrong)} are wrong")
    print(*wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
