"""Times every contender on the workloads, interleaved in one process, and prints a table of medians and ratios."""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers
import torch
import workloads
from floors import copy_call, fma_peak

MODULE_OF = {"onnxruntime bound": "onnxruntime", "iree": "iree.runtime", "torchscript": "torch", "eager": "torch"}
DEFAULT = tuple(name for name in peers.CONTENDERS if name != "torch.compile")  # slow to prepare: ask for it

SLOW = 0.3  # seconds: slower calls are timed in one round only


def installed(name: str) -> bool:
    module = MODULE_OF.get(name, name.split()[0].split(".")[0])
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def block(call: Callable[[], object], seconds: float) -> list[float]:
    """Times of single calls for about `seconds`; calls under 50 us in groups."""
    clock = time.perf_counter
    call()
    start = clock()
    call()
    once = clock() - start
    group = max(1, int(50e-6 / max(once, 1e-8)))
    times: list[float] = []
    until = clock() + seconds
    while not times or clock() < until:
        start = clock()
        for _ in range(group):
            call()
        times.append((clock() - start) / group)
    return times


def error_of(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference, relative to the largest element; infinite for another shape."""
    if got.shape != want.shape:
        return float("inf")
    return float(np.abs(got.astype(np.float64) - want).max() / max(np.abs(want).max(), 1e-30))


def measure(name: str, contenders: list[str], rounds: int, seconds: float, scratch: Path) -> dict[str, object]:
    """The medians of one workload in seconds, and what failed and why."""
    work = workloads.make(name)
    with torch.no_grad():
        want = work.module(*work.inputs).numpy().astype(np.float64)
    calls: dict[str, Callable[[], object]] = {}
    failed: dict[str, str] = {}
    prepare_s: dict[str, float] = {}
    with torch.no_grad():
        for contender in contenders:
            folder = scratch / name
            folder.mkdir(exist_ok=True)
            start = time.perf_counter()
            try:
                call, read = peers.CONTENDERS[contender](work.module, work.inputs, folder)
                error = error_of(read(call()), want)
            except Exception as problem:  # a peer that cannot do a workload is reported, not fatal
                failed[contender] = (
                    f"{type(problem).__name__}: {str(problem).splitlines()[0][:120] if str(problem) else ''}"
                )
                continue
            prepare_s[contender] = time.perf_counter() - start
            if error > 1e-3:
                failed[contender] = f"wrong by {error:.1e}"
            else:
                calls[contender] = call
    if work.bytes:
        calls["copy"] = copy_call(work.bytes)
    if name == "empty":
        calls["torch.empty"] = lambda: torch.empty(1)
    times: dict[str, list[float]] = {c: [] for c in calls}
    order = list(calls)
    gc.collect()
    gc.disable()
    with torch.inference_mode():
        for turn in range(rounds):
            for contender in order[turn % len(order) :] + order[: turn % len(order)]:
                if not times[contender] or times[contender][0] < SLOW:
                    times[contender] += block(calls[contender], seconds)
    gc.enable()
    medians = {c: statistics.median(t) for c, t in times.items()}
    return {"median": medians, "failed": failed, "prepare_s": prepare_s, "flops": work.flops, "bytes": work.bytes}


def show(name: str, result: dict, peak: float) -> None:
    medians = result["median"]
    mine = medians.get("unmoor")
    print(f"\n{name}")
    for contender, seconds in sorted(medians.items(), key=lambda item: item[1]):
        ratio = f"{seconds / mine:6.2f}" if mine else ""
        rate = f"  {100 * result['flops'] / seconds / peak:5.1f} % of the FMA peak" if result["flops"] else ""
        print(f"  {contender:20} {seconds * 1e6:12.2f} us {ratio}{rate}")
    for contender, why in result["failed"].items():
        print(f"  {contender:20} failed: {why}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(workloads.MAKERS))
    parser.add_argument("--contenders", default=",".join(DEFAULT))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.15, help="of one block")
    parser.add_argument("--results", type=Path, default=Path("build/bench/results.json"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    contenders = [c for c in asked.contenders.split(",") if installed(c)]
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(asked.results.read_text()) if asked.results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        peak = fma_peak(Path(folder))
        print(f"FMA peak of one core: {peak / 1e9:.1f} GFLOP/s. Ratio: time over ours; above 1 we are faster.")
        for name in asked.workloads:
            result = measure(name, contenders, asked.rounds, asked.seconds, Path(folder))
            show(name, result, peak)
            known[name] = result | {"fma_peak": peak}
            asked.results.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
