"""Without Python: a call from C, the cold start of a C process, its memory, and sizes of runtime and file."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import workloads

import unmoor

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "src/unmoor/native"
STARTS = 200


def build(folder: Path, source: Path) -> Path:
    """A C program that opens a file, makes a session and predicts once."""
    program = folder / source.stem
    command = ["cc", "-O2", "-o", program, source, f"-I{NATIVE / 'include'}"]
    subprocess.run([*command, f"-L{NATIVE / 'lib'}", "-lunmoor", f"-Wl,-rpath,{NATIVE / 'lib'}"], check=True)
    return program


def start(command: list[str]) -> float:
    """Seconds from before the process is made until it has ended."""
    null = os.open(os.devnull, os.O_WRONLY)
    before = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
    _, status = os.waitpid(pid, 0)
    seconds = time.perf_counter() - before
    os.close(null)
    if status:
        sys.exit(f"{command} failed")
    return seconds


def guarded(count: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A program that branches on so many elements of its input."""

    def program(x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        for k in range(count):
            if x[k] < -1:
                y = y * 2
        return y

    return program


def guard_times(folder: Path) -> dict[str, float]:
    """Nanoseconds of a call with 0, 10 and 100 assumptions about data, each checked."""
    times = {}
    for count in (0, 10, 100):
        path = folder / f"guards{count}.unmoor"
        digest = unmoor.save(unmoor.trace(guarded(count), torch.zeros(128)), path, check=False)
        np.save(folder / "zeros.npy", np.zeros(128, np.float32))
        command = [NATIVE / "bin/um", "bench", path, "--trust", digest, folder / "zeros.npy"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        times[f"a call with {count} guards from C, ns"] = float(re.search(r"call +([\d.]+) ns", text)[1])  # type: ignore[index]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("build/bench/native.json"))
    asked = parser.parse_args()
    net = workloads.make("mlp_b1").module
    begin = time.perf_counter()
    unmoor.trace(lambda x: x + 1, torch.ones(1))  # imports and LLVM's start-up are not the model's
    imports = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "net.unmoor"
        begin = time.perf_counter()
        digest = unmoor.save(unmoor.trace(net, torch.ones(3)), path)
        made = time.perf_counter() - begin
        program = build(folder, ROOT / "examples/demo/predict.c")
        memory = build(folder, Path(__file__).with_name("memory.c"))
        peaks = subprocess.run([memory, path, digest], check=True, capture_output=True, text=True).stdout.splitlines()
        ours = [start([str(program), str(path), digest]) for _ in range(STARTS)]
        nothing = [start([shutil.which("true") or "/bin/true"]) for _ in range(STARTS)]
        um = [str(NATIVE / "bin/um"), "bench", str(path), "--trust", digest, "1,1,1"]
        bench = subprocess.run(um, check=True, capture_output=True, text=True).stdout
        guards = guard_times(folder)
        stripped = folder / "libunmoor.so"
        subprocess.run(["strip", "-o", stripped, NATIVE / "lib/libunmoor.so"], check=True)
        result = {
            "first trace in a process, s": round(imports, 3),
            "trace, compile and save of the article's model, s": round(made, 3),
            "C process from start to end with one prediction, ms": round(statistics.median(ours) * 1e3, 3),
            "the same for `true`, ms": round(statistics.median(nothing) * 1e3, 3),
            "peak memory of that process, KiB": int(peaks[-1]),
            "the same before it opened the file, KiB": int(peaks[0]),
            "libunmoor.so stripped, bytes": stripped.stat().st_size,
            "the article's model saved, bytes": path.stat().st_size,
        } | guards
    for what, value in result.items():
        print(f"{value:>10}  {what}")
    print(bench, end="")
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    asked.results.write_text(json.dumps(result | {"um bench": bench}, indent=1))


if __name__ == "__main__":
    main()
