"""The whole story: train a model, trace it, look inside, save it, and ask it four times, three of them without PyTorch.

Usage: demo.py FOLDER --clean-python P --um U --library L. `make demo` builds what these name and runs this.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from train import Net, train

import unmoor

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def step(text):
    print(f"\n== {text}", flush=True)


def answer_of(name, command):
    """Run `command`, print its answer, and give it back as a number."""
    print("$ " + " ".join(map(str, command)), flush=True)
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=HERE)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    print(done.stdout, end="")
    return float(done.stdout.rpartition("=")[2].strip().strip("[]"))


def compile_c(folder, library):
    """predict.c with the system's C compiler, against unmoor.h and libunmoor."""
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        sys.exit("no C compiler found: install one, for example with `apt install gcc`")
    program = folder / "predict"
    command = [compiler, "-O2", "-o", program, HERE / "predict.c", "-I", ROOT / "native/include"]
    command += [f"-L{library}", "-lunmoor", f"-Wl,-rpath,{library}"]
    print("$ " + " ".join(map(str, command)), flush=True)
    subprocess.run(list(map(str, command)), check=True)
    return program


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("folder", type=Path, help="where the files go")
    arguments.add_argument("--clean-python", required=True, help="an interpreter with NumPy and Unmoor only")
    arguments.add_argument("--um", type=Path, required=True, help="the native command line")
    arguments.add_argument("--library", type=Path, required=True, help="the folder of libunmoor.so")
    asked = arguments.parse_args()
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)

    step("1. Train, in PyTorch")
    net: Net = train()
    net.eval()
    x = torch.ones(3)
    with torch.no_grad():
        eager = net(x).item()
    print(f"eager PyTorch answers (1, 1, 1) with {eager:.9g}")

    step("2. Trace: the model ran once on an example, and what ran is now a graph")
    traced = unmoor.trace(net, torch.tensor([1.2, 3.0, 0.1]))
    print(traced.graph)
    print("what the trace froze:")
    print(traced.assumptions)

    step("3. The graph optimised for an input of shape (3,): fusion groups, each of them one kernel")
    print(traced.graph_for(x))

    step("4. Save")
    path = folder / "net.unmoor"
    with torch.no_grad():
        traced(torch.ones(2, 3))  # the file will hold the batched signature too
    digest = unmoor.save(traced, path)
    print(f"{path}: {path.stat().st_size} bytes\n{digest}")

    step("5. Ask the traced object")
    with torch.no_grad():
        answers = {"the traced object": traced(x).item()}
    print(f"{answers['the traced object']:.9g}")

    step("6. Ask a clean Python: no torch, no llvmlite")
    answers["unmoor.load"] = answer_of("unmoor.load", [asked.clean_python, "-I", HERE / "predict.py", path, digest])

    step("7. Ask the native command line: no Python")
    answers["um"] = answer_of("um", [asked.um, "run", path, "--trust", digest, "1,1,1"])

    step("8. Ask a C program, made with the system's compiler")
    program = compile_c(folder, asked.library.resolve())
    answers["C"] = answer_of("C", [program, path, digest])

    step("The same number four times")
    for name, value in answers.items():
        print(f"{name:>18}  {value:.9g}   eager {value - eager:+.1e}")
    for name, value in answers.items():
        if abs(value - eager) > 1e-5 or not -1.9 < value < -1.1:
            sys.exit(f"{name} answered {value}, eager PyTorch {eager}")
    if len({torch.tensor(v).item() for v in answers.values()}) != 1:
        sys.exit("the four answers differ")
    print(f"\nThe files are in {folder}: net.unmoor, predict (the C program). Look at one with: um info {path}")


if __name__ == "__main__":
    main()
