"""Large models without Python: time of a call, and the most memory its process has had, with weights mapped and huge.

The bar: weights + 1.5 x the planned arena + 10 MB, with weights mapped.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
import workloads

import unmoor

UM = Path(__file__).resolve().parent.parent / "src/unmoor/native/bin/um"
MODELS = ("bert_base", "resnet50")


def measure(name: str, folder: Path, seconds: float) -> dict[str, object]:
    """Milliseconds of a call and bytes at the peak, by where the weights are."""
    workload = workloads.make(name)
    path = folder / f"{name}.unmoor"
    with torch.no_grad():
        digest = unmoor.save(unmoor.trace(workload.module, *workload.inputs), path, check=False)
    given = []
    for k, tensor in enumerate(workload.inputs):
        np.save(folder / f"{name}{k}.npy", tensor.numpy())
        given.append(str(folder / f"{name}{k}.npy"))
    row: dict[str, object] = {"model": name}
    for where in ("map", "huge"):
        command = [UM, "bench", path, "--trust", digest, "--weights", where, "--seconds", str(seconds), "--", *given]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        nanoseconds, arena, peak, weights = (
            float(re.search(pattern, text)[1])  # type: ignore[index]
            for pattern in (
                r"call +([\d.]+) ns",
                r"(\d+) bytes of arena",
                r"memory +(\d+) KiB",
                r"(\d+) bytes of weights",
            )
        )
        row |= {f"{where}, ms": round(nanoseconds / 1e6, 2), f"{where}, peak MB": round(peak / 976.5625, 1)}
        row |= {"weights MB": round(weights / 1e6, 1), "arena MB": round(arena / 1e6, 1)}
        row["bar MB"] = round((weights + 1.5 * arena) / 1e6 + 10, 1)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--results", type=Path, default=Path("build/bench/resident.json"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, Path(folder), asked.seconds) for name in asked.models]
    for row in rows:
        print(", ".join(f"{k} {v}" if k != "model" else str(v) for k, v in row.items()))
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    asked.results.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
