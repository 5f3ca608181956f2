"""Parses schema strings, in PyTorch's manner, into `ir.op.Schema`."""

from __future__ import annotations

import ast
import re

from unmoor.ir.op import Param, Schema

_PARAM = re.compile(r"(?P<type>\w+\??(?:\[\])?\??)\s+(?P<name>\w+)(?:=(?P<default>.+))?$")


def parse_schema(text: str) -> Schema:
    """`(Tensor self, int[] dim=[], *, bool keepdim=False) -> Tensor` as a Schema; ValueError where it is none."""
    inside, arrow, results = text.rpartition("->")
    inside = inside.strip()
    if not arrow or not inside.startswith("(") or not inside.endswith(")"):
        raise ValueError(f"not a schema: {text}")
    params: list[Param] = []
    keyword_only = False
    for part in _split(inside[1:-1]):
        if part == "*":
            keyword_only = True
            continue
        match = _PARAM.match(part)
        if match is None:
            raise ValueError(f"not a parameter: {part!r} in {text}")
        default = match["default"]
        params.append(Param(match["name"], match["type"], _literal(default), default is not None, keyword_only))
    names = tuple(r.strip() for r in results.strip().strip("()").split(","))
    return Schema(tuple(params), names, text)


def _split(text: str) -> list[str]:
    """The comma-separated parts, commas inside brackets left alone."""
    parts, depth, start = [], 0, 0
    for k, c in enumerate(text):
        depth += (c in "[(") - (c in "])")
        if c == "," and not depth:
            parts.append(text[start:k].strip())
            start = k + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def _literal(text: str | None) -> object:
    if text is None:
        return None
    value = ast.literal_eval(text)
    return tuple(value) if isinstance(value, list) else value
