"""Holds Unmoor against torch's own op database: every sample input is right, refused by name, or wrong."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from unmoor import ops
from unmoor.capture import rebuild, record
from unmoor.dtypes import BY_TORCH_NAME
from unmoor.errors import NotTraced, SignatureError, UnmoorError, Unsupported
from unmoor.ir.recording import Recording
from unmoor.jit.traced import trace
from unmoor.reference import run_graph
from unmoor.specialise import specialise

DTYPES = (torch.float32, torch.float64, torch.int64, torch.int32, torch.bool, torch.bfloat16, torch.float16)
REFUSALS = (Unsupported, SignatureError, NotTraced)
# What the two give differs from call to call, so there is nothing to compare.
_PLACE = re.compile(r"^(\S+\.py:\d+( \(\S*\))?: )+")
UNDEFINED = frozenset(("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"))
# Which of equal elements these name is left open by PyTorch, unless the sort is stable: what stands there is compared.
# By op: where its arguments, after the tensor, say along which dim.
NAMES_EQUALS = {"sort": 0, "argsort": 0, "topk": 1, "kthvalue": 1, "mode": 0}


@dataclass
class Outcome:
    """What became of an entry's samples in one dtype: how many were right, the refusals' reasons, the faults."""

    right: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """right, refused, partly (right where not refused), or WRONG; none where torch gives no sample."""
        if self.wrong:
            return "WRONG"
        if self.refused:
            return "partly" if self.right else "refused"
        return "right" if self.right else "none"


def name_of(entry: Any) -> str:
    """The entry's name, with its variant where it has one."""
    return f"{entry.name}.{entry.variant_test_name}" if entry.variant_test_name else str(entry.name)


def entries() -> list[Any]:
    """The database."""
    return list(op_db)


def samples(entry: Any, dtype: torch.dtype, limit: int | None = None) -> Iterator[Any]:
    """The entry's first sample inputs, in an order that is the same each time."""
    torch.manual_seed(0)
    np.random.seed(0)
    for k, sample in enumerate(entry.sample_inputs("cpu", dtype, requires_grad=False)):
        if limit is not None and k >= limit:
            return
        yield sample


def check(entry: Any, dtype: torch.dtype, limit: int | None = None, compiled: bool = False) -> Outcome:
    """The outcome over the entry's samples; `compiled` runs machine code, else the typed graph's reference."""
    outcome = Outcome()
    if dtype not in entry.dtypes or entry.name in UNDEFINED:
        return outcome
    run = _compiled if compiled else _reference
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, sample in enumerate(samples(entry, dtype, limit)):
            _check_sample(entry, sample, run, outcome, f"{name_of(entry)} {str(dtype)[6:]} sample {number}")
    return outcome


def _check_sample(entry: Any, sample: Any, run: Callable[..., Any], outcome: Outcome, label: str) -> None:
    leaves, spec = tree_flatten((sample.input, sample.args, sample.kwargs))
    places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    def call(*tensors: torch.Tensor) -> Any:
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        first, args, kwargs = tree_unflatten(filled, spec)
        return tree_map(_by_parts, entry.op(first, *args, **kwargs))

    tensors = [leaves[k] for k in places]
    if not all(t.layout is torch.strided for t in tensors):
        outcome.refused["a layout that is not dense"] += 1
        return
    try:
        with torch.no_grad():
            want = _leaves(call(*(t.clone() for t in tensors)))
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        outcome.refused[f"eager raises {type(error).__name__}"] += 1
        return
    try:
        with torch.no_grad():
            got, nodes = run(call, [t.clone() for t in tensors])
    except REFUSALS as error:
        outcome.refused[_reason(error)] += 1
        return
    except Exception as error:  # any other is a fault of ours
        outcome.wrong.append(f"{label}: {type(error).__name__}: {error}"[:300])
        return
    if entry.name in NAMES_EQUALS and not sample.kwargs.get("stable"):
        got[-1], want[-1] = (_named(sample, places, NAMES_EQUALS[entry.name]) for places in (got[-1], want[-1]))
    fault = _difference(got, want, nodes, tensors)
    if fault:
        outcome.wrong.append(
            f"{label}: {fault} [{', '.join(f'{tuple(t.shape)}' for t in tensors)}; {sample.args} {sample.kwargs}]"[:400]
        )
    else:
        outcome.right += 1


def _by_parts(leaf: Any) -> Any:
    """A complex result as a program returns it."""
    is_complex = isinstance(leaf, torch.Tensor) and leaf.is_complex()
    return torch.view_as_real(leaf.resolve_conj()) if is_complex else leaf


def _named(sample: Any, places: Any, argument: int) -> torch.Tensor:
    """The elements of the sample's tensor that stand at places along the dim that its arguments say."""
    dim = sample.kwargs.get("dim", sample.args[argument] if len(sample.args) > argument else -1)
    found = torch.as_tensor(places)
    if not sample.input.dim():
        return found
    return sample.input.gather(dim, found if found.dim() == sample.input.dim() else found.unsqueeze(dim))


def _leaves(result: Any) -> list[Any]:
    return [
        leaf
        for leaf in tree_flatten(result)[0]
        if isinstance(leaf, (torch.Tensor, np.ndarray, np.generic, bool, int, float))
    ]


def _reason(error: UnmoorError) -> str:
    """The refusal without the place in our own sources, and without the way out."""
    text = str(error).partition("\n")[0].partition("; ")[0].partition(" (near it")[0]
    return _PLACE.sub("", text)


def _reference(call: Callable[..., Any], tensors: list[torch.Tensor]) -> tuple[list[Any], list[str]]:
    recording = record(call, tuple(tensors))
    _refuse_random(recording)
    typed = specialise(recording.graph, recording.example).graph
    made = run_graph(typed, [_array(t) for t in tensors])
    return _leaves(rebuild(recording.result, made)), _ops(recording)


def _compiled(call: Callable[..., Any], tensors: list[torch.Tensor]) -> tuple[list[Any], list[str]]:
    recording = record(call, tuple(tensors))
    _refuse_random(recording)
    return _leaves(trace(call, *tensors)(*tensors)), _ops(recording)


def _refuse_random(recording: Recording) -> None:
    """A program with state, here always that of the random numbers."""
    if recording.states:
        raise Unsupported("it draws random numbers, which are Unmoor's own: nothing to compare")


def _ops(recording: Recording) -> list[str]:
    return [n.op for n in recording.graph.walk() if n.op in ops.TABLE]


def _difference(got: list[Any], want: list[Any], nodes: list[str], tensors: list[torch.Tensor]) -> str:
    """What is wrong, or nothing. A result may be off by what the ops that ran may be off by together."""
    if len(got) != len(want):
        return f"{len(got)} results for {len(want)}"
    for g, w in zip(got, want, strict=True):
        fault = _one_difference(g, w, nodes, tensors)
        if fault:
            return fault
    return ""


def _one_difference(got: Any, want: Any, nodes: list[str], tensors: list[torch.Tensor]) -> str:
    if not isinstance(want, torch.Tensor):
        return "" if np.asarray(got).item() == want or (got != got and want != want) else f"{got!r} for {want!r}"
    made = _array(got) if isinstance(got, torch.Tensor) else np.asarray(got)
    dtype = BY_TORCH_NAME[str(want.dtype)[6:]]
    wanted = _array(want)
    if made.dtype != wanted.dtype or made.shape != wanted.shape:
        return f"{made.dtype}{list(made.shape)} for {wanted.dtype}{list(wanted.shape)}"
    if want.dtype is torch.bfloat16:
        made, wanted = bf16_numbers(made), bf16_numbers(wanted)
    allowed = [ops.TABLE[n].tolerance.of(dtype) for n in nodes]
    rtol, atol = (sum(t[k] for t in allowed) for k in (0, 1))
    atol *= max(1.0, _largest([*tensors, want]))
    if np.allclose(made, wanted, rtol=rtol, atol=atol, equal_nan=True):
        return ""
    with np.errstate(all="ignore"):
        off = ~np.isclose(made, wanted, rtol=rtol, atol=atol, equal_nan=True)
    return f"{made[off].ravel()[:3]} for {wanted[off].ravel()[:3]}, {off.sum()} of {off.size}"


def _array(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's elements; bfloat16, which NumPy lacks, as words."""
    plain = tensor.detach().resolve_conj().resolve_neg()
    return np.asarray((plain.contiguous().view(torch.uint16) if plain.dtype is torch.bfloat16 else plain).numpy())


def bf16_numbers(words: np.ndarray) -> np.ndarray:
    return np.asarray((words.astype(np.uint32) << 16).view(np.float32))


def _largest(tensors: list[torch.Tensor]) -> float:
    """The largest finite magnitude: what absolute error is measured by."""
    finite = [
        t[torch.isfinite(t)].abs().max().item()
        for t in tensors
        if t.is_floating_point() and t.numel() and torch.isfinite(t).any()
    ]
    return max(finite, default=1.0)
