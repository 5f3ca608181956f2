"""The texts of refusals: what the program does, where, and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from unmoor.errors import Unsupported
from unmoor.ir.graph import Source


def refuse(source: Source, what: str, way_out: str = "") -> Unsupported:
    """Unsupported with the user's line first, the line's text last."""
    place = f"{source}: " if str(source) else ""
    line = f"\n    {source.text}" if source.text else ""
    return Unsupported(f"{place}{what}{'; ' + way_out if way_out else ''}{line}")


def unknown_op(source: Source, overload: str, known: Iterable[str]) -> Unsupported:
    """An op that the table does not hold."""
    name = overload.rpartition("::")[2].partition(".")[0]
    names = sorted({k.partition(".")[0] for k in known})
    near = difflib.get_close_matches(name.strip("_"), names, n=3, cutoff=0.6)
    nearby = f" (near it: {', '.join(near)})" if near else ""
    return refuse(
        source,
        f"the op {overload} is not supported{nearby}",
        "write it with supported ops, or add it: docs/add-an-op.md shows how in a few lines",
    )


NOT_AN_INPUT = {
    "input": "it changes an argument of the call in place",
    "parameter": "it changes a parameter in place",
    "buffer": "it changes a buffer in place",
    "outside": "it changes a tensor from outside the program in place",
}


def changed(source: Source, op: str, kind: str, origin: str) -> Unsupported:
    """A write to a tensor that outlives the call."""
    return refuse(
        source,
        f"{op} is not supported here: {NOT_AN_INPUT[kind]} ({origin})",
        "use the form that returns a new tensor (`x = x + 1`), or write to a copy (`x = x.clone()` first)",
    )
