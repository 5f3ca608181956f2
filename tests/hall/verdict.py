"""What a tracer made of an exhibit: right at every call, refused, or silently wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from exhibits import Exhibit

RIGHT, REFUSED, WRONG = "right", "refused", "silently wrong"


def verdict(exhibit: Exhibit, trace: Callable[[Any, list[Any]], Any]) -> tuple[str, str]:
    """(verdict, why) of `trace(fn, examples)`, a callable that is then called in eager PyTorch's place.

    A program of which a tracer refuses some calls and gets the others right counts as refused. Where eager PyTorch
    raises, so must the tracer.
    """
    eager, traced_fn = exhibit.make(), exhibit.make()
    calls = exhibit.calls()
    try:
        traced = trace(traced_fn, copy.deepcopy([calls[k] for k in (0, *exhibit.more)]))
    except Exception as error:
        return REFUSED, _first_line(error)
    if exhibit.is_random:
        return _fresh(traced, calls)
    refused = ""
    for number, call in enumerate(calls):
        mine, theirs = copy.deepcopy(call), copy.deepcopy(call)
        try:
            with torch.no_grad():
                torch.manual_seed(number)
                want: Any = (eager(*mine), mine)
        except Exception as error:
            want = error
        try:
            with torch.no_grad():
                torch.manual_seed(number)
                got = (traced(*theirs), theirs)
        except Exception as error:
            refused = refused or ("" if isinstance(want, Exception) else f"call {number}: {_first_line(error)}")
            if refused:
                break  # its state is no longer eager's
            continue
        if isinstance(want, Exception):
            return WRONG, f"call {number}: eager PyTorch raises {type(want).__name__}, this gives a result"
        difference = _difference(want, got)
        if difference:
            return WRONG, f"call {number}: {difference}"
    return (REFUSED, refused) if refused else (RIGHT, "")


def _fresh(traced: Callable[..., Any], calls: list[Any]) -> tuple[str, str]:
    """Whether a program draws anew at each of some equal calls."""
    try:
        with torch.no_grad():
            results = [traced(*copy.deepcopy(calls[0])) for _ in range(8)]
    except Exception as error:
        return REFUSED, _first_line(error)
    if any(_difference(results[0], r) == "other values" for r in results[1:]):
        return RIGHT, ""
    return WRONG, "every call gives the same"


def _difference(want: Any, got: Any) -> str:
    wanted, given = list(_leaves(want)), list(_leaves(got))
    if len(wanted) != len(given):
        return f"{len(given)} results instead of {len(wanted)}"
    for w, g in zip(wanted, given, strict=True):
        if isinstance(w, torch.Tensor):
            g = torch.as_tensor(g)
            if w.shape != g.shape:
                return f"shape {tuple(g.shape)} instead of {tuple(w.shape)}"
            if w.dtype != g.dtype:
                return f"{g.dtype} instead of {w.dtype}"
            if not torch.allclose(w.double(), g.double(), rtol=1e-4, atol=1e-5, equal_nan=True):
                return "other values"
        elif w != g:
            return f"{g!r} instead of {w!r}"
    return ""


def _leaves(value: Any) -> Any:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _leaves(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    kind = type(error)
    name = next(c.__name__ for c in kind.__mro__ if not c.__name__.startswith("_"))
    return f"{name}: {text.splitlines()[0] if text else ''}"[:160]
