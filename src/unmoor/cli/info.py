"""Shows what a file holds: entry points, signatures, targets, sizes, digest."""

from __future__ import annotations

import argparse

from unmoor import archive, runtime
from unmoor.cli.arguments import trust_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the .unmoor file")
    parser.add_argument("--trust", default="no", metavar="yes|no|sha256:...", help="show the engine under that trust")
    parser.add_argument("--assumptions", action="store_true", help="show only what the trace froze")


def execute(asked: argparse.Namespace) -> int:
    model = runtime.open(asked.file, trust=trust_of(asked.trust))
    if asked.assumptions:
        for method in model.info().methods:
            print(f"method {method.name}\n{method.assumptions}")
        return 0
    image = archive.read(asked.file)
    sections = archive.sections(asked.file)
    print(f"file     {asked.file}, {sum(size for _, size in sections)} bytes")
    print(f"digest   {model.digest}")
    print(f"engine   {model.engine}")
    print(f"kernels  {len(image.kernels)}, with machine code for: {', '.join(c.target.name for c in image.code)}")
    print(f"weights  {sum(w.data.nbytes for w in image.weights)} bytes in {len(image.weights)} arrays")
    held = sum(len(t.data) for e in image.examples for t in e.tensors)
    print(f"examples {len(image.examples)}, {held} bytes: `unmoor verify` runs them")
    print("sections " + ", ".join(f"{name} {size}" for name, size in sections))
    for method in model.info().methods:
        print(f"\nmethod {method.name}")
        print("".join(f"  {s}\n" for s in method.signatures), end="")
        if method.assumptions:
            print("  assumes:\n" + "".join(f"    {line}\n" for line in method.assumptions.splitlines()), end="")
    return 0
