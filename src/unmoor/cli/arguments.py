"""Tensors on a command line: .npy files, .npz files and written-out numbers, for the inputs of a method."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unmoor.dtypes import BY_NAME, DType
from unmoor.ops.family import in_dtype


class UsageError(Exception):
    """The command line makes no sense; the text says why."""


class Input(NamedTuple):
    """An input of a method, from a signature's text."""

    name: str
    dtype: DType
    rank: int


def thread_count(text: str) -> int:
    """A number of threads, as argparse reads it."""
    threads = int(text)
    if threads < 1:
        raise argparse.ArgumentTypeError(f"{text}: a call needs at least one thread")
    return threads


def add_model(parser: argparse.ArgumentParser) -> None:
    """The words that every command shares that opens a model."""
    parser.add_argument("file", help="the .unmoor file")
    parser.add_argument(
        "--trust",
        default="no",
        metavar="yes|no|sha256:...",
        help="may the machine code in the file run? Without it, the code is made again where llvmlite is installed",
    )
    parser.add_argument(
        "--method", metavar="NAME", help="the entry point (the first one); NAME.train, NAME.eval: a mode"
    )


def add_tensors(parser: argparse.ArgumentParser) -> None:
    """The tensors of a call."""
    parser.add_argument(
        "tensors",
        nargs="*",
        metavar="TENSOR",
        help="x.npy, all tensors of x.npz, or numbers like 3.5 or 1,2,3 or [[1,2],[3,4]]; NAME=... gives it to that "
        "input (write -- before a negative first one)",
    )


def trust_of(word: str) -> bool | str:
    """`--trust` as `unmoor.load` takes it."""
    if word in ("yes", "no"):
        return word == "yes"
    if word.startswith("sha256:"):
        return word
    raise UsageError(f"--trust takes yes, no or the file's digest, sha256:...; not {word}")


def inputs_of(signature: str) -> tuple[Input, ...]:
    """The inputs that a signature's text, `(x: f32[s0, 3], b: i64[]) -> (...)`, names."""
    inside = signature[1 : signature.index(") -> (")]
    found = re.findall(r"(?:^|\], )(.*?): (\w+)\[(.*?)(?=\](?:, |$))", inside)
    return tuple(Input(n, BY_NAME[d], shape.count(",") + 1 if shape else 0) for n, d, shape in found)


def read_tensors(words: Sequence[str], signatures: Sequence[str]) -> list[np.ndarray]:
    """The tensors for a method's inputs, in order. Written-out numbers take the dtype of their input."""
    if not signatures:
        raise UsageError("the method holds no signature")
    inputs = inputs_of(signatures[0])
    names = [i.name for i in inputs]
    given: dict[str, Any] = {}
    unnamed: list[Any] = []
    for word in words:
        name, sign, rest = word.partition("=")
        if sign and name in names:
            (given[name],) = _read(rest, single=True).values()
        else:
            for key, value in _read(word).items():
                given.update({key: value}) if key in names else unnamed.append(value)
    missing = [n for n in names if n not in given]
    if len(unnamed) != len(missing):
        count = f"{len(given) + len(unnamed)} given" if given or unnamed else "none given"
        raise UsageError(
            f"the method takes {len(inputs)} tensors ({', '.join(names)}), {count}: they are .npy files, .npz files or "
            f"numbers like 1,2,3 or [[1,2],[3,4]]; signatures: {'; '.join(signatures)}"
        )
    given.update(zip(missing, unnamed, strict=True))
    return [_as_array(given[i.name], i, signatures) for i in inputs]


def _read(word: str, single: bool = False) -> dict[str, Any]:
    """Arrays of a file by name, or the nested numbers that are written out."""
    path = Path(word)
    if path.suffix in (".npy", ".npz"):
        loaded = np.load(path, allow_pickle=False)
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        if single and len(arrays) != 1:
            raise UsageError(f"{word} holds {len(arrays)} tensors, and one is wanted")
        return arrays
    text = word.strip()
    if "," in text and not text.startswith("["):
        text = f"[{text}]"
    text = re.sub(r"\b(true|false)\b", lambda m: m.group().title(), text, flags=re.I)
    text = re.sub(r"\b(nan|inf)\b", r"1e999", text, flags=re.I) if "nan" not in text.lower() else text
    try:
        return {"": ast.literal_eval(text)}
    except (ValueError, SyntaxError):
        raise UsageError(f"{word} is neither a .npy or .npz file nor numbers like 1,2,3 or [[1,2],[3,4]]") from None


def _as_array(value: Any, wanted: Input, signatures: Sequence[str]) -> np.ndarray:
    """An array; written-out numbers in the dtype of the signature that has their rank."""
    if isinstance(value, np.ndarray):
        return value
    try:
        plain = np.asarray(value)
    except ValueError:
        raise UsageError(f"{wanted.name}: the rows of {value} differ in length") from None
    if plain.dtype.kind not in "biuf":
        raise UsageError(f"{wanted.name}: {value} is no tensor of numbers")
    for signature in signatures:
        for candidate in inputs_of(signature):
            if candidate.name == wanted.name and candidate.rank == plain.ndim:
                return _converted(value, plain, candidate)
    return _converted(value, plain, wanted)


def _converted(value: Any, plain: np.ndarray, wanted: Input) -> np.ndarray:
    if not wanted.dtype.is_float and plain.dtype.kind == "f":
        raise UsageError(f"{wanted.name} takes {wanted.dtype.torch_name} numbers, and {value} has a fraction")
    return in_dtype(plain, wanted.dtype)
