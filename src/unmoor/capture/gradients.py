"""Gradients that the program computes: which values they flow through, and `backward()` as a node of the graph.

A run in which gradients are computed is made with torch's own tape on, so that real tensors carry what eager ones do:
`requires_grad`, `grad_fn`, and a `.grad` after `backward()`. The graph says it with three ops. `prim::leaf` is a leaf
as autograd knows it: nothing flows past it. `aten::detach` stands where the program reads a value without gradient:
under no_grad, or after detach(). `prim::grad(outputs, their gradients, leaves, create_graph)` is what backward()
computes; specialisation writes it out (unmoor.specialise.reverse).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from unmoor.capture.tracks import Track
from unmoor.ir.graph import Arg, Value, values_of

if TYPE_CHECKING:
    from unmoor.capture.recorder import Recorder
    from unmoor.capture.training import Training


class Differentiates(BaseException):
    """The program computes gradients, or has an optimiser: the run is to be made again with torch's tape on."""


_APART = ("aten::detach", "prim::leaf")  # what comes out of them carries no gradient of what goes in


class Gradients:
    """What of one run gradients flow through. `parents` has each such value with those it was computed from."""

    def __init__(self, recorder: Recorder, training: Training) -> None:
        self.recorder, self.training = recorder, training
        self.parents: dict[Value, tuple[Value, ...]] = {}
        self.leaves: dict[int, list[Value]] = {}  # of a leaf, by its identity, each value that it has had
        self._leaf_of: dict[tuple[int, Value], Value] = {}
        self._apart: dict[Value, Value] = {}
        recorder.tape.emitted = self._emitted
        recorder.tracks.seen = self._seen

    # -- values -------------------------------------------------------------------------------
    def _emitted(self, op: str, args: tuple[Arg, ...], outputs: tuple[Value, ...]) -> None:
        if op in _APART or (op == "prim::grad" and not args[3]):
            return
        through = tuple(v for v in values_of(args) if v in self.parents)
        if through:
            self.parents.update((v, through) for v in outputs)

    def _seen(self, track: Track) -> Value:
        """The value of a tensor that is read: as a leaf, as it is, or without its gradient."""
        tensor, value = track.tensor, track.value
        if not tensor.is_floating_point() and not tensor.is_complex():
            return value
        if not (torch.is_grad_enabled() and tensor.requires_grad):
            return self.apart(value)
        if self.recorder.tape.level:
            raise self.recorder.refusal(
                "gradients through torch.cond, while_loop, scan or map are not supported",
                "compute this part under torch.no_grad(), or write the branch with torch.where",
            )
        if tensor.is_leaf:
            return self._leaf(tensor, value)
        if value not in self.parents:
            raise self.recorder.refusal(
                "a tensor is used here whose gradient comes by a way that the trace cannot follow: by an autograd "
                "function of the program's own, or after a change under torch.no_grad()",
                "write it with tensor operations, in place of them under gradients",
            )
        return value

    def _leaf(self, tensor: torch.Tensor, value: Value) -> Value:
        key = (id(tensor), value)
        if key not in self._leaf_of:
            number = len(self._leaf_of)  # no two leaves are one, be they equal
            (leaf,) = self.recorder.tape.emit("prim::leaf", (value, number))
            self.parents[leaf] = ()
            self._leaf_of[key] = leaf
            self.leaves.setdefault(id(tensor), []).append(leaf)
        return self._leaf_of[key]

    def apart(self, value: Value) -> Value:
        """The value where no gradient flows through it."""
        if value not in self.parents:
            return value
        if value not in self._apart:
            tape = self.recorder.tape
            with tape.at(tape.level_of((value,))):
                (self._apart[value],) = tape.emit("aten::detach", (value,))
        return self._apart[value]

    def _read(self, tensor: torch.Tensor) -> Value:
        tracks = self.recorder.tracks
        return tracks.read(tracks.of(tensor))

    def _reached(self, outputs: Sequence[Value]) -> set[Value]:
        """What the gradients of these outputs flow through."""
        found: set[Value] = set()
        left = [v for v in outputs if v in self.parents]
        while left:
            value = left.pop()
            if value not in found:
                found.add(value)
                left += self.parents[value]
        return found

    # -- backward() and grad() ----------------------------------------------------------------
    def run(
        self,
        original: Callable[..., Any],
        outputs: Sequence[Any],
        seeds: Sequence[Any],
        retain_graph: bool,
        create_graph: bool,
        inputs: Sequence[Any],
        allow_unreachable: bool = False,
        accumulate_grad: bool = False,
    ) -> Any:
        """What torch's engine does, for real and as a node."""
        recorder = self.recorder
        for tensor in (*outputs, *inputs):
            if not isinstance(tensor, torch.Tensor):
                raise recorder.refusal(
                    "gradients of or by a GradientEdge are not supported", "give backward() or grad() the tensors"
                )
        with torch.enable_grad():
            outs = tuple(self._read(t) for t in outputs)
        given = tuple(None if s is None else self._read(s) for s in seeds)
        wanted = list(inputs) or list(leaves_of(outputs))
        reached = self._reached(values_of(outs))
        wrt = [self._wanted(t, reached) for t in wanted]
        if accumulate_grad:
            for tensor in wanted:
                self._check_accumulates(tensor, create_graph)
        result = original(
            outputs,
            seeds,
            retain_graph,
            create_graph,
            tuple(inputs),
            allow_unreachable,
            accumulate_grad=accumulate_grad,
        )
        flat = tuple(v for values in wrt for v in values)
        made = iter(recorder.tape.emit("prim::grad", (outs, given, flat, bool(create_graph)), len(flat)))
        gradients = [self._sum([next(made) for _ in values]) for values in wrt]
        if accumulate_grad:
            for tensor, gradient in zip(wanted, gradients, strict=True):
                self._accumulated(tensor, gradient)
            return result
        return tuple(self._given(r, g) for r, g in zip(result, gradients, strict=True))

    def _wanted(self, tensor: torch.Tensor, reached: set[Value]) -> list[Value]:
        """The values of a tensor that the gradients are asked by."""
        if tensor.is_leaf:
            return [v for v in self.leaves.get(id(tensor), ()) if v in reached]
        with torch.enable_grad():
            value = self._read(tensor)
        return [value] if value in reached else []

    def _sum(self, values: list[Value]) -> Value | None:
        total = values[0] if values else None
        for value in values[1:]:
            assert total is not None
            (total,) = self.recorder.tape.emit("aten::add", (total, value, 1))
        return total

    def _given(self, real: torch.Tensor | None, gradient: Value | None) -> torch.Tensor | None:
        """A gradient that autograd.grad returns."""
        if real is None:
            return None
        gradient = self._followed(gradient)
        if self.recorder.tracks.sharing(real) is not None:  # torch may hand out one tensor twice
            real = real.clone()
        self.recorder.tracks.add(real, gradient, "computed")
        return real

    def _followed(self, gradient: Value | None) -> Value:
        if gradient is None:
            raise self.recorder.refusal(
                "this gradient flows by a way that the trace cannot follow", "write that part with tensor operations"
            )
        return gradient

    def _check_accumulates(self, tensor: torch.Tensor, create_graph: bool) -> None:
        self.training.accumulates(tensor)
        if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
            raise self.recorder.refusal(
                "a tensor has hooks on its gradient, which a trace does not run",
                "do what they do after backward(), to the .grad of the tensor",
            )
        if not tensor.is_leaf:
            raise self.recorder.refusal(
                "backward(inputs=...) by a tensor that is no leaf is not supported", "use torch.autograd.grad"
            )
        if tensor.grad is not None:
            if create_graph:
                raise self.recorder.refusal(
                    "backward(create_graph=True) adds to a .grad that is there already", "use torch.autograd.grad"
                )
            self.recorder.tracks.check_writable(self.recorder.tracks.of(tensor.grad), "backward()")

    def _accumulated(self, tensor: torch.Tensor, gradient: Value | None) -> None:
        """Know the `.grad` of a leaf: a new tensor, or the one that was there, with the gradient added."""
        real = tensor.grad
        if real is None:
            return
        tracks, gradient = self.recorder.tracks, self._followed(gradient)
        known = tracks.known(real)
        if known is not None:
            (gradient,) = self.recorder.tape.emit("aten::add", (tracks.read(known), gradient, 1))
            tracks.write(known, gradient)
            return
        if tracks.sharing(real) is not None:
            tensor.grad = real = real.detach().clone()
        tracks.add(real, gradient, "computed")


def leaves_of(outputs: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The leaves that backward() of these outputs reaches, in the order of torch's tape."""
    seen: set[Any] = set()
    left: list[Any] = []
    for output in outputs:
        if output.grad_fn is None and output.requires_grad:
            yield output
            seen.add(id(output))
        left.append(output.grad_fn)
    left.reverse()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None and node.name().endswith("AccumulateGrad"):
            if id(variable) not in seen:
                seen.add(id(variable))
                yield variable
            continue
        left += [following for following, _ in reversed(node.next_functions)]
