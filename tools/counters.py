"""Counts what five models become: kernels, instructions, bytes of arena and of the file. Writes docs/counters.md.

    python tools/counters.py [MODEL ...]

`tests/docs/test_counters.py` counts again and fails on any difference, so that no change makes more of them unseen.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import torch  # noqa: E402
import workloads  # noqa: E402

from unmoor import archive, capture  # noqa: E402
from unmoor.compiler import Entry, Linker, compile_recording  # noqa: E402
from unmoor.ir.target import ALL  # noqa: E402
from unmoor.options import Options  # noqa: E402
from unmoor.reference import int_registers  # noqa: E402

MODELS = ("resnet50", "mobilenetv2", "unet_small", "gpt2_prefill", "lstm")
DOCUMENT = ROOT / "docs/counters.md"
HEAD = """# What models become

Written by `tools/counters.py`; `tests/docs/test_counters.py` counts again. The models are those of `make bench`
(`benchmarks/workloads.py`), for float32 inputs of the sizes there. *Kernels* are distinct ones, which layers of all
sizes share; *instructions* are those of a call; the *arena* is all memory that a call needs beside weights, inputs and
outputs. The *file* is all of it but machine code, for both targets of which there is at most what the last column says.

| model | kernels | instructions | arena, bytes | weights of the model, bytes | file, bytes | machine code, KB |
|---|---:|---:|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Counters:
    """Those of one model; all but the last are the same on every machine."""

    kernels: int
    instructions: int
    arena: int
    weights: int
    file: int
    machine_code: int = 0  # KB, rounded up to the next 16


def count(name: str, code: bool = True) -> Counters:
    """The counters of a workload; without machine code, which takes longest to make, if that is not asked for."""
    os.chdir(ROOT)  # a file tells the lines of the program by their paths
    work = workloads.make(name)
    with torch.no_grad():
        recording = capture.record(work.module, work.inputs, {})
    compiled = compile_recording(recording, recording.example, Options())
    image = Linker().link([Entry("forward", recording, "", (compiled,))], ALL if code else ())
    sections = archive.sections(archive.write(image))
    made = sum(n for section, n in sections if section.startswith("machine_code"))
    program = image.methods[0].programs[0]
    parts = {t.data_ptr(): t.nbytes for t in (*work.module.parameters(), *work.module.buffers())}
    arena = int_registers(program, [e.shape for e in recording.example])[program.arena]
    size = sum(n for section, n in sections if not section.startswith(("machine_code", "code_entries")))
    return Counters(
        len(image.kernels), len(program.code), arena, sum(parts.values()), size, -(-made // 16384) * 16 if code else 0
    )


def documented() -> dict[str, Counters]:
    """The counters that the document shows."""
    rows = re.findall(r"^\| (\w+) \|([\d |]+)\|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return {name: Counters(*(int(n) for n in numbers.split("|"))) for name, numbers in rows}


def main() -> None:
    known = documented() if DOCUMENT.exists() else {}
    for name in sys.argv[1:] or MODELS:
        known[name] = count(name)
        print(name, known[name])
    rows = [f"| {name} | {' | '.join(map(str, astuple(known[name])))} |\n" for name in MODELS if name in known]
    DOCUMENT.write_text(HEAD + "".join(rows), "utf-8")


if __name__ == "__main__":
    main()
