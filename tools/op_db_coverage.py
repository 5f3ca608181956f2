"""Runs torch's op database against Unmoor, every sample, and writes the state of each entry into docs/op-db.md.

    python tools/op_db_coverage.py [--jobs N]

Exits with 1 where an answer is wrong. Some minutes; part of `make long`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import op_db  # noqa: E402
import torch  # noqa: E402

MACHINE_CODE = 2  # float32 samples of each entry that run as machine code too
HEAD = """# torch's op database

Made by `tools/op_db_coverage.py` with torch {version}: every sample input of `op_db`, traced and run as a typed graph,
and the first {compiled} float32 samples as machine code too, against eager PyTorch. *right*: all samples equal eager
PyTorch within the tolerance of the ops that ran; *partly*: those that are not refused by name; an empty cell: torch has
no samples. An entry is supported where all its float32 samples are right: **{supported} of {total}**.
Wrong answers: **{wrong}**.

| Entry | {names} | Refused in float32 because |
|---|{rules}---|
"""


def entry_outcomes(index: int) -> tuple[list[op_db.Outcome], list[str]]:
    """An entry's outcome in each dtype, and what machine code got wrong."""
    torch.set_num_threads(1)
    entry = op_db.entries()[index]
    outcomes = [op_db.check(entry, dtype) for dtype in op_db.DTYPES]
    compiled = op_db.check(entry, torch.float32, MACHINE_CODE, compiled=True) if outcomes[0].right else op_db.Outcome()
    return outcomes, compiled.wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    with ProcessPoolExecutor(parser.parse_args().jobs) as pool:
        results = list(pool.map(entry_outcomes, range(len(op_db.entries()))))
    wrong = [w for outcomes, compiled in results for w in [*compiled, *(w for o in outcomes for w in o.wrong)]]
    rows = []
    for entry, (outcomes, _) in zip(op_db.entries(), results, strict=True):
        reasons = Counter(outcomes[0].refused).most_common(1)
        reason = reasons[0][0].replace("|", "/")[:90] if reasons else ""
        states = " | ".join("" if o.state == "none" else o.state for o in outcomes)
        rows.append(f"| `{op_db.name_of(entry)}` | {states} | {reason} |\n")
    supported = sum(outcomes[0].state == "right" for outcomes, _ in results)
    head = HEAD.format(
        version=torch.__version__.partition("+")[0],
        compiled=MACHINE_CODE,
        supported=supported,
        total=len(results),
        wrong=len(wrong),
        names=" | ".join(str(d)[6:] for d in op_db.DTYPES),
        rules="---|" * len(op_db.DTYPES),
    )
    (ROOT / "docs/op-db.md").write_text(head + "".join(rows))
    print(f"{supported} of {len(results)} entries are supported, {len(wrong)} answers are wrong", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
