"""The user's lines in a TorchScript graph: the range that a node keeps, as a place and the text of its expression."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from unmoor.capture.source import is_user_file, shown_name
from unmoor.ir.graph import Source

_HEADER = re.compile(r"^(?:Serialized)?\s*File \"(.*)\", line (\d+)$")
_LIBRARY = ("site-packages/torch/", "dist-packages/torch/", "code/__torch__/torch/", "/torch/nn/")
_MARK = " <--- HERE"


@dataclass(frozen=True)
class Line:
    """Where a node comes from. `expression` is the text that it stands for.

    `library` says that torch wrote it, `original` that it is of the program as it was before it was saved.
    """

    file: str
    number: int
    text: str
    expression: str
    library: bool
    original: bool

    def source(self, module: str) -> Source:
        return Source(shown_name(self.file), self.number, self.text, module)


def line_of(node: Any) -> Line | None:
    """The line of a node: of the program that was scripted, else of the code in the file; None where none is kept."""
    lines: list[str] = node.sourceRange().split("\n")
    starts = [k for k, text in enumerate(lines) if _HEADER.match(text)]
    for start, end in pairwise([*starts, len(lines)]):
        header = _HEADER.match(lines[start])
        assert header is not None
        if header[1]:
            original = not lines[start].startswith("Serialized")
            return _line(header[1], int(header[2]), lines[start + 1 : end], original)
    return None


def _line(file: str, number: int, shown: list[str], original: bool) -> Line:
    """A line from what torch shows of it: the lines around, and below each line of the range a row of tildes."""
    first = ""
    parts: list[str] = []
    for text, below in pairwise(shown):
        marks = below.removesuffix(_MARK)
        if not marks.strip() or marks.strip().strip("~"):
            continue
        begin = len(marks) - len(marks.lstrip())
        if not parts:
            first = text.strip()
        parts.append(_whole(text, begin, len(marks)))
        if marks != below:
            break
    library = any(part in file.replace(os.sep, "/") for part in _LIBRARY) or not is_user_file(file)
    return Line(file, number, first, parts[0] if parts else first, library, original)


def _whole(text: str, begin: int, end: int) -> str:
    """The part of a line; the name of a call with its arguments."""
    if text[end : end + 1] != "(":
        return text[begin:end].strip()
    depth = 0
    for at in range(end, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[begin : at + 1].strip()
    return text[begin:].strip()
