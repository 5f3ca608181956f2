"""Times every contender on the workloads, interleaved in one process, and writes medians and ratios of each round."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import peers
import table
import torch
import workloads
from floors import Machine, copy_call

MODULE_OF = {"onnxruntime bound": "onnxruntime", "iree": "iree.runtime", "torchscript": "torch", "eager": "torch"}
ASKED_FOR = ("torch.compile", "unmoor numpy")  # slow to prepare, or of interest to few
DEFAULT = tuple(name for name in peers.CONTENDERS if name not in ASKED_FOR)
WRONG = 1e-3  # a result that is further from eager's, relative to its largest element, is not timed


def installed(name: str) -> bool:
    module = MODULE_OF.get(name, name.split()[0].split(".")[0])
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def block(call: Callable[[], object], seconds: float) -> list[float]:
    """Times of single calls for about `seconds`, at least one; calls under 50 us in groups."""
    clock = time.perf_counter
    start = clock()
    call()
    once = clock() - start
    if once > seconds:
        start = clock()
        call()
        return [clock() - start]
    group = max(1, int(50e-6 / max(once, 1e-8)))
    times: list[float] = []
    until = clock() + seconds
    while not times or clock() < until:
        start = clock()
        for _ in range(group):
            call()
        times.append((clock() - start) / group)
    return times


def error_of(got: list[np.ndarray], want: list[np.ndarray]) -> float:
    """The largest difference, relative to the largest element; infinite for other shapes."""
    if [g.shape for g in got] != [w.shape for w in want]:
        return float("inf")
    return max(float(np.abs(g - w).max() / max(np.abs(w).max(), 1e-30)) for g, w in zip(got, want, strict=True))


@contextlib.contextmanager
def chatter_to(file: Path) -> Iterator[None]:
    """What peers print while they prepare goes to a file, from Python and from C alike."""
    with file.open("a") as log:
        before = [os.dup(stream) for stream in (1, 2)]
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
        try:
            yield
        finally:
            for stream, kept in zip((1, 2), before, strict=True):
                os.dup2(kept, stream)
                os.close(kept)


class Comparison:
    """One workload, with the contenders that can do it."""

    def __init__(self, name: str, contenders: list[str], threads: int, machine: Machine, scratch: Path) -> None:
        self.work = workloads.make(name)
        self.calls: dict[str, Callable[[], object]] = {}
        self.failed: dict[str, str] = {}
        self.prepare_s: dict[str, float] = {}
        self.error: dict[str, float] = {}
        with torch.no_grad():
            result = self.work.module(*self.work.inputs)
            want = [t.numpy().copy() for t in (result if isinstance(result, tuple) else (result,))]
            for contender in contenders:
                with chatter_to(scratch / "chatter.txt"):
                    self._prepare(contender, want, threads, scratch)
        if self.calls and self.work.read + self.work.written >= 1e6:
            self.calls["moving the bytes"] = machine.move_call(self.work.read, self.work.written)
            if not self.work.flops:
                self.calls["copy"] = copy_call(self.work.read + self.work.written)
        if name == "empty":
            self.calls["torch.empty"] = lambda: torch.empty(1)

    def _prepare(self, contender: str, want: list[np.ndarray], threads: int, scratch: Path) -> None:
        start = time.perf_counter()
        try:
            call, read = peers.CONTENDERS[contender](self.work.module, self.work.inputs, scratch, threads)
            error = error_of(read(call()), want)
        except Exception as problem:  # a peer that cannot do a workload is reported, not fatal
            text = str(problem).splitlines()
            self.failed[contender] = f"{type(problem).__name__}: {text[0][:120] if text else ''}"
            return
        self.prepare_s[contender] = time.perf_counter() - start
        self.error[contender] = error
        if error > WRONG:
            self.failed[contender] = f"wrong by {error:.1e}"
        else:
            self.calls[contender] = call

    def run(self, rounds: int, seconds: float) -> dict[str, object]:
        """Medians of all calls in seconds, and of each round."""
        times: dict[str, list[float]] = {c: [] for c in self.calls}
        each: dict[str, list[float]] = {c: [] for c in self.calls}
        order = list(self.calls)
        gc.collect()
        gc.disable()
        with torch.inference_mode():
            for turn in range(rounds):
                for contender in order[turn % len(order) :] + order[: turn % len(order)]:
                    taken = block(self.calls[contender], seconds)
                    times[contender] += taken
                    each[contender].append(statistics.median(taken))
        gc.enable()
        return {
            "median": {c: statistics.median(t) for c, t in times.items()},
            "rounds": each,
            "failed": self.failed,
            "prepare_s": self.prepare_s,
            "error": self.error,
            "read": self.work.read,
            "written": self.work.written,
            "flops": self.work.flops,
        }


def circumstances() -> dict[str, object]:
    """What a figure is worth nothing without."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
        wide = any("avx512f" in line for line in lines)
        model += ", AVX-512" if wide else ", AVX2"
    names = ("torch", "numpy", "llvmlite", "onnxruntime", "openvino", "executorch", "transformers")
    versions = {n: importlib.metadata.version(n) for n in names if importlib.util.find_spec(n)}
    return {"date": time.strftime("%Y-%m-%d"), "processor": model, "cores": os.cpu_count(), "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=list(workloads.MAKERS))
    parser.add_argument("--contenders", default=",".join(DEFAULT))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.15, help="of one block")
    parser.add_argument("--results", type=Path, default=Path("build/bench/results.json"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: asked.threads]))
    contenders = [c for c in asked.contenders.split(",") if installed(c)]
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(asked.results.read_text()) if asked.results.exists() else {}
    part = known.setdefault(str(asked.threads), {})
    for name in asked.workloads:
        with tempfile.TemporaryDirectory() as folder:
            machine = Machine(Path(folder))
            comparison = Comparison(name, contenders, asked.threads, machine, Path(folder))
            result = comparison.run(asked.rounds, asked.seconds)
            part[name] = result | {"fma_peak": machine.fma_peak() * asked.threads}
        known["circumstances"] = circumstances()
        asked.results.write_text(json.dumps(known, indent=1))
        print(table.details(name, part[name]), flush=True)
    print(table.summary({name: part[name] for name in part if name in asked.workloads}))


if __name__ == "__main__":
    main()
