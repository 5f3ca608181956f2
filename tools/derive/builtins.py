"""docs/builtins.md: the functions of the runtime that programs call by name, from `ir/builtin.py`."""

from __future__ import annotations

from unmoor.ir.builtin import ALL, Builtin, BuiltinBuffer

INTRODUCTION = """\
# Builtins

Derived from `src/unmoor/ir/builtin.py` by `tools/generate.py`; do not edit. [bytecode.md](bytecode.md) has the
instruction that calls them.

A builtin gets the buffers and ints below, in that order. The runtime checks the ints' ranges and the buffers' sizes
before it runs one, whoever wrote the file; buffers do not overlap. *any* is one element type for all buffers that say
so. `local` buffers are scratch.

"""


def document() -> str:
    """The whole document."""
    return INTRODUCTION + "\n".join(map(section, ALL))


def section(b: Builtin) -> str:
    """One builtin."""
    lines = [f"## {b.name}", "", b.doc, "", "| Buffer | Role | Elements of |", "|---|---|---|"]
    anything = " or ".join(map(str, b.of)) or "any"
    lines += [f"| `{x.name}` | {x.role} | {x.dtype or anything}: {_elements(x)} |" for x in b.buffers]
    lines += ["", "| Int | From | To |", "|---|---:|---:|"]
    lines += [f"| `{i.name}` | {i.least} | {f'`{i.within}`' if i.within else i.most} |" for i in b.ints]
    lines += ["", f"Gives: {', '.join(f'`{g}`' for g in b.gives)}."] if b.gives else []
    return "\n".join(lines) + "\n"


def _elements(x: BuiltinBuffer) -> str:
    return " * ".join([*(f"`{s}`" for s in x.sizes), *([str(x.times)] if x.times > 1 else [])])
