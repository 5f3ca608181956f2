"""Structures as JSON text: how the file and every host language write nested arguments and results.

A tensor is {"tensor": 0}, the number in one {"number": 0}, a tuple {"tuple": [...]}, a list {"list": [...]}, a dict
{"dict": [["key", ...], ...]}, with "type" beside it where it was an object of a class, or its keys were integers
("dict[int]"); a float that JSON lacks is {"float": "nan"}. Other leaves stand for themselves.
"""

from __future__ import annotations

import json
import math
from typing import Any

from unmoor.ir.signature import INT_KEYS, MAX_DEPTH, Leaf, Mapping, Sequence, Structure


def print_structure(structure: Structure) -> str:
    """The structure as one line of ASCII JSON."""
    return json.dumps(_plain(structure), separators=(",", ":"), allow_nan=False)


def parse_structure(text: str) -> Structure:
    """The structure that `print_structure` wrote. ValueError says what is wrong with any other text."""
    return _structure(json.loads(text), 0)


def parse_arguments(text: str, inputs: int) -> Structure:
    """The structure of (args, kwargs) for a call of that many tensors; ValueError for any other structure."""
    structure = parse_result(text, inputs)
    match structure:
        case Sequence("tuple", (Sequence("tuple", _), Mapping(_, _, ""))) if not holds_number(structure):
            return structure
    raise ValueError(f"the structure of the arguments is no tuple of a tuple and a dict: {text[:80]}")


def parse_result(text: str, tensors: int) -> Structure:
    """A structure that holds each of that many tensors once; ValueError for any other."""
    structure = parse_structure(text)
    if sorted(leaves(structure)) != list(range(tensors)):
        raise ValueError(f"the structure does not hold each of {tensors} tensors once: {text[:80]}")
    return structure


def leaves(structure: Structure) -> list[int]:
    """The numbers of the tensors in a structure, from left to right."""
    if isinstance(structure, Leaf):
        return [structure.index]
    if isinstance(structure, (Sequence, Mapping)):
        return [index for item in structure.items for index in leaves(item)]
    return []


def holds_number(structure: Structure) -> bool:
    """Whether a structure has a number that a call gives."""
    if isinstance(structure, (Sequence, Mapping)):
        return any(map(holds_number, structure.items))
    return isinstance(structure, Leaf) and structure.number


def _plain(structure: Structure) -> Any:
    if isinstance(structure, Leaf):
        return {"number" if structure.number else "tensor": structure.index}
    if isinstance(structure, Sequence):
        return {structure.kind: [_plain(i) for i in structure.items]}
    if isinstance(structure, Mapping):
        pairs = [[k, _plain(i)] for k, i in zip(structure.keys, structure.items, strict=True)]
        return {"dict": pairs, "type": structure.type_name} if structure.type_name else {"dict": pairs}
    if isinstance(structure, float) and not math.isfinite(structure):
        return {"float": repr(structure)}
    return structure


def _structure(plain: Any, depth: int) -> Structure:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    if isinstance(plain, dict):
        match plain:
            case {"tensor": int(index)} if len(plain) == 1 and type(index) is int and index >= 0:
                return Leaf(index)
            case {"number": int(index)} if len(plain) == 1 and type(index) is int and index >= 0:
                return Leaf(index, number=True)
            case {"float": ("nan" | "inf" | "-inf") as name} if len(plain) == 1:
                return float(name)
            case {"tuple": list(items)} if len(plain) == 1:
                return Sequence("tuple", tuple(_structure(i, depth + 1) for i in items))
            case {"list": list(items)} if len(plain) == 1:
                return Sequence("list", tuple(_structure(i, depth + 1) for i in items))
            case {"dict": list(pairs)} if plain.keys() <= {"dict", "type"} and all(map(_is_pair, pairs)):
                type_name = plain.get("type", "")
                if type_name == INT_KEYS and not all(_is_int(k) for k, _ in pairs):
                    raise ValueError("a dict with integer keys has one that is none")
                if isinstance(type_name, str) and len({k for k, _ in pairs}) == len(pairs):
                    values = tuple(_structure(i, depth + 1) for _, i in pairs)
                    return Mapping(tuple(k for k, _ in pairs), values, type_name)
    raise ValueError(f"no structure: {str(plain)[:80]}")


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)


def _is_int(key: str) -> bool:
    digits = key.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 20 and str(int(key)) == key
