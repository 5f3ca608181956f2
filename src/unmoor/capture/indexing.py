"""Indexing, recorded whole: the items of `x[...]` as the graph has them, and as torch runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unmoor.capture.numbers import Int
from unmoor.capture.recorder import Recorder, concrete
from unmoor.ir.graph import Arg

Items = tuple[Arg, ...]


def items_of(recorder: Recorder, index: Any) -> tuple[Items, Any, bool]:
    """(items for the graph, index with plain numbers for torch, whether indexing with it gives a view)."""
    parts = index if isinstance(index, tuple) else (index,)
    recorded, real, is_view = [], [], True
    for part in parts:
        item, plain, views = _item(recorder, part)
        recorded.append(item)
        real.append(plain)
        is_view = is_view and views
    return tuple(recorded), tuple(real), is_view


def _item(recorder: Recorder, part: Any) -> tuple[Arg, Any, bool]:
    if part is None:
        return ("newaxis",), None, True
    if part is Ellipsis:
        return ("ellipsis",), Ellipsis, True
    if isinstance(part, slice):
        bounds = [_bound(recorder, b) for b in (part.start, part.stop, part.step)]
        return ("slice", *bounds), slice(*(concrete(b) for b in map(_plain, (part.start, part.stop, part.step)))), True
    if isinstance(part, Int):
        return recorder.argument(part), concrete(part), True
    if isinstance(part, (bool, np.bool_)):
        raise recorder.refusal("indexing with True or False is not supported", "use unsqueeze(0) or torch.where")
    if isinstance(part, (int, np.integer)):
        return int(part), int(part), True
    if isinstance(part, (list, range, np.ndarray)):
        made = torch.as_tensor(np.asarray([concrete(p) for p in part]) if not isinstance(part, np.ndarray) else part)
        if any(isinstance(p, (Int, torch.Tensor)) for p in part):
            raise recorder.refusal("indexing with a list of sizes or tensors is not supported", "use torch.stack")
        recorder.tracks.adopt(made, made=True)
        part = made
    if isinstance(part, torch.Tensor):
        if part.dtype is torch.uint8:
            raise recorder.refusal("indexing with a mask of uint8 is not supported", "convert it: `mask.bool()`")
        return recorder.argument(part), part, not part.dim() and part.dtype is not torch.bool  # one number: a view
    raise recorder.refusal(f"indexing with a {type(part).__name__} is not supported")


def _plain(bound: Any) -> Any:
    return bound if bound is None or isinstance(bound, (int, torch.SymInt)) else int(bound)


def _bound(recorder: Recorder, bound: Any) -> Arg:
    """One end of a slice: a 0-dim tensor there is read as a number."""
    if isinstance(bound, torch.Tensor):
        real = bound.item()
        if bound.dtype.is_floating_point or bound.dtype is torch.bool:
            raise recorder.refusal(f"a slice up to a tensor of {bound.dtype} is not supported", "use an integer tensor")
        return recorder.argument(recorder.item(bound, real))
    return recorder.argument(_plain(bound))
