"""Writes docs/tour.md: one function, printed at every stage. `python tools/tour.py`; a test runs it again."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

import torch  # noqa: E402

from unmoor.codegen import assembly  # noqa: E402
from unmoor.ir.parser import parse_kernel  # noqa: E402
from unmoor.ir.target import X86_64_V4  # noqa: E402

DOCUMENT = ROOT / "docs/tour.md"
PROGRAM = """\
import torch, unmoor

def f(x):
    scale = torch.tensor(2.0) + 1
    return torch.softmax(x * scale, dim=-1)

traced = unmoor.trace(f, torch.randn(2, 5))
"""
INSTRUCTIONS = 12


def document() -> str:
    """The whole document, made by running the program."""
    namespace: dict = {}
    linecache.cache["tour.py"] = (len(PROGRAM), None, PROGRAM.splitlines(True), "tour.py")  # for the printed lines
    torch.manual_seed(0)
    exec(compile(PROGRAM, "tour.py", "exec"), namespace)
    traced = namespace["traced"]
    x = torch.randn(4, 7)
    return f"""\
# Tour: one function at every stage

Written by `tools/tour.py`, which runs what it shows. [architecture.md](architecture.md) names the packages.

```python
{PROGRAM}```

## 1. Capture: what ran

`f` ran once, on a real tensor. Each line is one PyTorch operation, with the line of the program that it stands for.
`print(traced.recorded)`:

```
{traced.recorded}```

The same as Python over torch, `print(traced.code)`:

```python
{traced.code}```

## 2. First passes: constants are folded, what is unused is gone

`print(traced.graph)`. It holds for every rank and size that the program allows.

```
{traced.graph}```

## 3. Specialisation and passes: types with symbolic sizes

For a signature, here one of float32 tensors with two axes, sizes become symbols, and composite operations are
taken apart. `print(traced.passes_for(x))`:

```
{traced.passes_for(x)}```

## 4. Fusion: what shares a kernel

`print(traced.graph_for(x))`. The signature, with what must hold of the sizes, is checked at every call.

```
{traced.graph_for(x)}```

## 5. Kernels: loop nests

`print(traced.kernels_for(x))`. A group is one loop nest over flat buffers; this form, before any tiling or
vectorising, is what a file holds, and what machine code is made from.

```
{traced.kernels_for(x)}```

## 6. Machine code

`print(traced.assembly_for(x))`. LLVM IR is written as text with explicit vectors; the file has code for x86-64-v3
and v4. {INSTRUCTIONS} vector instructions of the second loop, for x86-64-v4:

```asm
{_excerpt(str(traced.kernels_for(x)))}
```

## 7. Bytecode: what the virtual machine runs

`print(traced.bytecode_for(x))`. Int registers are formulas of the sizes, evaluated when a call comes with new
ones; memory is planned in one arena. Then a call runs the last lines.

```
{traced.bytecode_for(x)}```

## 8. The file

`unmoor.save(traced, "f.unmoor")` writes the recorded graph, the kernels, both targets' machine code, the bytecode
and the weights into one file ([format.md](format.md)); `unmoor info f.unmoor` lists them. The native runtime maps it,
checks it, and runs the same bytecode in Python, in C and in `um`.
"""


def _excerpt(kernels: str) -> str:
    """Vector instructions around the exponential."""
    text = assembly([parse_kernel(kernels)], X86_64_V4)
    lines = [line for line in text.splitlines() if "zmm" in line]
    start = next(n for n, line in enumerate(lines) if "vscalef" in line or "vrndscale" in line or "vpslld" in line)
    return "\n".join(lines[max(0, start - INSTRUCTIONS + 1) : start + 1])


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
