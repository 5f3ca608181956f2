"""What threads bring: each workload with one and with more, interleaved in one process; the table of docs/threads.md.

The files are made first, and kept where `--files` says, so that the measuring itself is short.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
from pathlib import Path

import torch
import workloads
from compare import block, circumstances
from table import time

import unmoor

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/threads.md"
START, END = "<!-- measured: benchmarks/scaling.py -->\n", "<!-- end -->\n"


def saved(name: str, folder: Path) -> tuple[Path, tuple[torch.Tensor, ...]]:
    """The workload as a file, and its inputs, which are made unless they are there."""
    path, given = folder / f"{name}.unmoor", folder / f"{name}.inputs"
    if not given.exists():
        work = workloads.make(name)
        with torch.no_grad():
            unmoor.save(unmoor.trace(work.module, *work.inputs), path, check=False, examples=False)
        torch.save(work.inputs, given)
    return path, torch.load(given)


def measure(path: Path, inputs: tuple[torch.Tensor, ...], threads: int, rounds: int, seconds: float) -> list[float]:
    """Medians with one thread and with more. Raises AssertionError where the results differ in a bit."""
    models = [unmoor.load(path, trust=True, threads=n) for n in (1, threads)]
    first, other = (_tensors(m(*inputs)) for m in models)
    assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True)), path.name
    times: list[list[float]] = [[], []]
    for turn in range(rounds):
        for k in (0, 1) if turn % 2 else (1, 0):
            times[k] += block(lambda k=k: models[k](*inputs), seconds)  # type: ignore[misc]
    return [statistics.median(t) for t in times]


def _tensors(result: object) -> tuple[torch.Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)  # type: ignore[return-value]


def table(rows: dict[str, list[float]], threads: int) -> str:
    """One row a workload, and the geometric mean over those that threads help with at all."""
    lines = [f"| workload | 1 thread | {threads} threads | faster by |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {time(one)} | {time(more)} | {one / more:.2f} |" for name, (one, more) in rows.items()]
    shared = [one / more for one, more in rows.values() if one > 50e-6]
    mean = math.exp(statistics.fmean(map(math.log, shared))) if shared else 1.0
    told = circumstances()
    lines.append(f"\nGeometric mean of the {len(shared)} that take more than 50 us: {mean:.2f}.")
    lines.append(f"{told['processor']}, {told['cores']} cores, {told['date']}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(workloads.MAKERS))
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.1, help="of one block")
    parser.add_argument("--files", type=Path, help="keep the files there, and use those that are there")
    parser.add_argument("--write", action="store_true", help="put the table into docs/threads.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = asked.files or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        made = {name: saved(name, place) for name in asked.workloads}
        rows = {n: measure(*m, asked.threads, asked.rounds, asked.seconds) for n, m in made.items()}
    text = table(rows, asked.threads)
    print(text)
    if asked.write:
        before, _, rest = DOCUMENT.read_text("utf-8").partition(START)
        DOCUMENT.write_text(before + START + text + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
