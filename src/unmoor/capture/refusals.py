"""The texts of refusals: what the program does, where, and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from unmoor.capture.source import own_source
from unmoor.errors import Unsupported
from unmoor.ir.graph import Source


def refuse(source: Source, what: str, way_out: str = "") -> Unsupported:
    """Unsupported with the user's line first, the line's text last."""
    caller = source.caller or own_source(source)
    called = f", called from {caller}" if str(caller) else ""
    place = f"{source}{called}: " if str(source) else ""
    line = f"\n    {source.text}" if source.text else ""
    return Unsupported(f"{place}{what}{'; ' + way_out if way_out else ''}{line}")


# Ops of packed sequences, whose layout follows from lengths, which are data.
PACKED = frozenset(("_pack_padded_sequence", "_pad_packed_sequence"))


def unknown_op(source: Source, overload: str, known: Iterable[str]) -> Unsupported:
    """An op that the table does not hold."""
    name = overload.rpartition("::")[2].partition(".")[0]
    if name in PACKED:
        return refuse(
            source,
            "packed sequences are not supported: their layout follows from lengths, which are data",
            "give the network the padded tensor, and read the output at the lengths: "
            "output[torch.arange(n), lengths - 1]",
        )
    names = sorted({k.partition(".")[0] for k in known})
    near = difflib.get_close_matches(name.strip("_"), names, n=3, cutoff=0.6)
    nearby = f" (near it: {', '.join(near)})" if near else ""
    return refuse(
        source,
        f"the op {overload} is not supported{nearby}",
        "write it with supported ops, or add it: docs/add-an-op.md shows how in a few lines",
    )


def higher_order(source: Source, name: str) -> Unsupported:
    """An operator of torch that takes functions of the user's, other than by torch.cond, while_loop, scan and map."""
    return refuse(
        source,
        f"torch's operator {name} is not supported",
        "write it as ordinary Python, or with torch.cond, torch.while_loop, scan or map",
    )


def leaf_written(source: Source, op: str, origin: str) -> Unsupported:
    """A write to a tensor that requires grad, which eager PyTorch refuses, too."""
    return refuse(
        source,
        f"{op} changes a leaf tensor that requires grad ({origin}) while gradients are on, which PyTorch forbids",
        "do it under torch.no_grad()",
    )


def shared_written(source: Source, op: str, origin: str, other: str) -> Unsupported:
    """A write to memory that two of the call's tensors share."""
    return refuse(
        source,
        f"{op} changes {origin} in place, which shares its memory with {other}",
        "pass a copy of one of them (x.clone())",
    )
