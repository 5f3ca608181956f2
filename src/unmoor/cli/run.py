"""Runs a method, and prints its outputs or writes them as .npy or .npz."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unmoor.cli.arguments import UsageError, add_model, add_tensors, read_tensors, thread_count, trust_of
from unmoor.dtypes import BY_NUMPY, numbers_of
from unmoor.jit.load import load
from unmoor.runtime.structures import rebuild


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_tensors(parser)
    parser.add_argument("--weights", choices=("map", "huge"), default="map", help="mapped, or in huge pages (map)")
    parser.add_argument("--threads", type=thread_count, default=1, metavar="N", help="how many a call may use (1)")
    parser.add_argument("--seed", type=int, metavar="N", help="start the random numbers: the same for the same seed")
    parser.add_argument(
        "--state", metavar="FILE.npz", help="give the model the state that it keeps between calls, by name"
    )
    parser.add_argument("--state-out", metavar="FILE.npz", help="write that state as the call leaves it")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the outputs to FILE.npy (one) or FILE.npz (any)")


def execute(asked: argparse.Namespace) -> int:
    model = load(
        asked.file, trust=trust_of(asked.trust), method=asked.method, threads=asked.threads, weights=asked.weights
    )
    args, kwargs = rebuild(model.arguments, tuple(read_tensors(asked.tensors, model.signatures)))
    if asked.state:
        with np.load(asked.state, allow_pickle=False) as states:
            model.set_state(dict(states))
    if asked.seed is not None:
        model.seed(asked.seed)
    outputs = dict(named(model(*args, **kwargs), "output"))
    if asked.output:
        _write(Path(asked.output), outputs)
    else:
        for name, value in outputs.items():
            kind = f": {BY_NUMPY[value.dtype]}{list(value.shape)}" if isinstance(value, np.ndarray) else ""
            print(f"{name}{kind} = {_text(value)}")
    if asked.state_out:
        _write_state(Path(asked.state_out), model.state())
    return 0


def _write_state(path: Path, states: dict[str, Any]) -> None:
    if not states:
        raise UsageError("--state-out: the model keeps no state")
    with path.open("wb") as file:
        np.savez(file, **states)


def named(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The parts of a returned value with a name for each: output, output.logits, output.0."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from named(part, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for k, part in enumerate(value):
            yield from named(part, f"{name}.{k}")
    else:
        yield name, value


def _text(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)
    digits = {2: 5, 4: 9}.get(value.itemsize, 17)
    value = numbers_of(value)
    if value.dtype.kind == "f":
        return np.array2string(value, separator=", ", formatter={"float_kind": lambda v: f"{v:.{digits}g}"})
    return np.array2string(value, separator=", ")


def _write(path: Path, outputs: dict[str, Any]) -> None:
    arrays: dict[str, Any] = {n: v for n, v in outputs.items() if isinstance(v, np.ndarray)}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".npy" and len(arrays) == 1:
        np.save(path, next(iter(arrays.values())))
    else:
        raise UsageError(f"{len(arrays)} outputs do not go into {path}: name a .npz file" if arrays else "no outputs")
