"""Prints the recorded graph, the kernels, or the bytecode of a file."""

from __future__ import annotations

import argparse

from unmoor import archive
from unmoor.cli.arguments import UsageError
from unmoor.ir.printer import print_kernel, print_program


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the .unmoor file")
    parser.add_argument("--method", metavar="NAME", help="the entry point (all)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--kernels", action="store_true", help="the loop nests instead")
    what.add_argument("--bytecode", action="store_true", help="the program of each signature instead")


def execute(asked: argparse.Namespace) -> int:
    image = archive.read(asked.file)
    names = [m.name for m in image.methods]
    if asked.method is not None and asked.method not in names:
        raise UsageError(f"there is no method {asked.method}; there are {', '.join(names) or 'none'}")
    if asked.kernels:
        print("\n".join(map(print_kernel, image.kernels)), end="")
        return 0
    for method in image.methods:
        if asked.method in (None, method.name):
            print(f"# method {method.name}")
            if asked.bytecode:
                print("\n".join(print_program(p, image.kernels) for p in method.programs), end="")
            else:
                print(method.graph or "the recorded graph was stripped from this file\n", end="")
    return 0
