"""Tensor methods as they are while tracing: sizes become symbols, values become guards, indexing stays whole.

The methods are set on torch.Tensor for all threads, since Python has one class; on threads that are not tracing, and
while our own code runs, they do what they always did.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

import torch

from unmoor.capture.control import intercept
from unmoor.capture.indexing import items_of
from unmoor.capture.memory import strides
from unmoor.capture.numbers import Float, Int, arithmetic
from unmoor.capture.recorder import Recorder, concrete
from unmoor.capture.shown import only_shown
from unmoor.capture.source import is_literal
from unmoor.capture.torch_private import (
    TensorBase,
    backward_engine,
    control_functions,
    nested_transforms,
    script_classes,
)
from unmoor.errors import Unsupported
from unmoor.ir.graph import Arg
from unmoor.ir.recording import Froze

Method = Callable[..., Any]

_active = threading.local()
_lock = threading.Lock()
_users = 0
_undo: list[Callable[[], None]] = []


def active() -> Recorder | None:
    """The recorder of this thread, unless our own code runs."""
    recorder: Recorder | None = getattr(_active, "recorder", None)
    return None if recorder is None or recorder.quiet else recorder


class Interception:
    """A context in which this thread's tensor methods go to a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __enter__(self) -> None:
        global _users
        if getattr(_active, "recorder", None) is not None:
            raise Unsupported("a trace was started inside a trace; trace the inner function on its own")
        with _lock:
            if _users == 0:
                _install()
            _users += 1
        _active.recorder = self.recorder

    def __exit__(self, *exception: object) -> None:
        global _users
        _active.recorder = None
        with _lock:
            _users -= 1
            if _users == 0:
                while _undo:
                    _undo.pop()()


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Set an attribute made from the original one, and remember how to undo it."""
    own = vars(owner).get(name)
    inherited = getattr(owner, name)
    setattr(owner, name, make(own if own is not None else inherited))
    _undo.append((lambda: setattr(owner, name, own)) if own is not None else (lambda: delattr(owner, name)))


def _method(handler: Method) -> Callable[[Any], Method]:
    """A method that asks `handler(recorder, original, self, ...)` while this thread traces."""

    def make(original: Any) -> Method:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            recorder = active()
            if recorder is None:
                return original(self, *args, **kwargs)
            with recorder.silence():
                return handler(recorder, original, self, *args, **kwargs)

        method.__name__ = getattr(original, "__name__", "method")
        return method

    return make


def _property(handler: Method) -> Callable[[Any], property]:
    def make(original: Any) -> property:
        def get(self: Any) -> Any:
            recorder = active()
            if recorder is None:
                return original.__get__(self)
            with recorder.silence():
                return handler(recorder, original.__get__, self)

        return property(get, getattr(original, "__set__", None))

    return make


def _install() -> None:
    for name, handler in _METHODS.items():
        _replace(torch.Tensor, name, _method(handler))
    for name, handler in _PROPERTIES.items():
        _replace(torch.Tensor, name, _property(handler))
    _replace(math, "sqrt", _sqrt)
    for name in ("min", "max"):
        _replace(builtins, name, _extreme(name))
    _replace(builtins, "len", _length)
    _replace(torch, "linspace", _linspace)
    for name in ("zeros", "ones", "full", "empty", "arange", "eye"):
        _replace(torch, name, _factory)
    for owner, name in itertools.product((torch, torch.Tensor), ("clamp", "clip", "clamp_", "clip_")):
        _replace(owner, name, _bounded)
    _replace(torch.nn.Module, "_apply", _module_as_it_is)
    for name, handler in _FUNCTIONS.items():
        _replace(torch, name, _method(handler))
    _replace(torch, "compile", _as_written)
    for module, name, called in nested_transforms():
        _replace(module, name, _refused(f"{called} inside a trace is not supported"))
    for name, (froze, what) in _SWITCHES.items():
        _replace(torch, name, _switch(froze, what))
    _replace(*backward_engine(), _backward)
    for name, make in _WRITABLE.items():
        _replace(torch.Tensor, name, make)
    for name, function in control_functions().items():
        _undo.append(intercept(name, function))
    for cls in script_classes():
        _replace(cls, "__call__", _interpreted)


def bound_before() -> dict[Any, Method]:
    """The handlers of torch's own functions, under which a program may have kept them; ask while none is replaced.

    Methods are not among them: torch looks those up by name, and so finds what replaced them.
    """
    return {getattr(torch, name): handler for name, handler in _FUNCTIONS.items()}


def _as_written(original: Any) -> Method:
    """torch.compile inside a trace: the function itself, so that the trace sees what it does."""

    def compile(model: Any = None, **options: Any) -> Any:
        if active() is None:
            return original(model, **options)
        return model if model is not None else lambda fn: fn

    return compile


def _switch(froze: Froze, what: str) -> Callable[[Any], Method]:
    """A function that tells a state of torch which a call does not know."""

    def make(original: Any) -> Method:
        def function(*args: Any, **kwargs: Any) -> Any:
            real = original(*args, **kwargs)
            recorder = active()
            if recorder is not None:
                shown = f" ({real})" if isinstance(real, (bool, torch.dtype)) else ""
                recorder.tape.assume(froze, f"{what} was read{shown}")
            return real

        return function

    return make


_SWITCHES = {
    "is_grad_enabled": (Froze.MODE, "whether gradients are on"),
    "is_inference_mode_enabled": (Froze.MODE, "whether inference mode is on"),
    "get_default_dtype": (Froze.DTYPE, "torch's default dtype"),
    "get_rng_state": (Froze.RANDOM, "the state of torch's random numbers"),
    "initial_seed": (Froze.RANDOM, "the seed of torch's random numbers"),
    "get_num_threads": (Froze.OUTSIDE, "the number of threads"),
}


def _interpreted(original: Any) -> Method:
    """A call of TorchScript: its graph is interpreted."""

    def function(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = active()
        if recorder is None:
            return original(self, *args, **kwargs)
        return recorder.script(self, args, kwargs)

    return function


def _refused(what: str, way_out: str = "trace the forward pass alone") -> Callable[[Any], Method]:
    def make(original: Any) -> Method:
        def function(*args: Any, **kwargs: Any) -> Any:
            recorder = active()
            if recorder is None:
                return original(*args, **kwargs)
            raise recorder.refusal(what, way_out)

        return function

    return make


# -- gradients ------------------------------------------------------------------------------------
def _backward(original: Any) -> Method:
    """Torch's run of its autograd engine, which backward() and grad() come to."""

    def run(*args: Any, **kwargs: Any) -> Any:
        recorder = active()
        if recorder is None:
            return original(*args, **kwargs)
        with recorder.silence():
            return recorder.differentiates().run(original, *args, **kwargs)

    return run


def _grad(original: Any) -> property:
    """The `.grad` of a tensor, which a call may find, and leave."""

    def get(self: Any) -> Any:
        recorder = active()
        if recorder is None or recorder.gradients is None:
            return original.__get__(self)
        with recorder.silence():
            recorder.gradients.training.reads(self)
            return original.__get__(self)

    def put(self: Any, value: Any) -> None:
        recorder = active()
        if recorder is None:
            original.__set__(self, value)
            return
        with recorder.silence():
            recorder.differentiates().training.sets(self)
            original.__set__(self, value)

    return property(get, put, lambda self: put(self, None))


def _data(original: Any) -> property:
    """A tensor's `.data`: the tensor without its gradient; what is assigned to it is written into it."""

    def get(self: Any) -> Any:
        recorder = active()
        return original.__get__(self) if recorder is None else torch.Tensor.detach(self)

    def put(self: Any, value: Any) -> None:
        recorder = active()
        if recorder is None:
            original.__set__(self, value)
            return
        with recorder.silence():
            track = recorder.tracks.of(value)
            if track.root is recorder.tracks.of(self).root and value.data_ptr() == self.data_ptr():
                return  # x.data += 1 has written it
            if value.shape != self.shape or value.dtype != self.dtype:
                raise recorder.refusal(".data of another shape or dtype is not supported", "make a new tensor")
        torch.Tensor.detach(self).copy_(torch.Tensor.detach(value))

    return property(get, put)


_WRITABLE: dict[str, Callable[[Any], property]] = {"grad": _grad, "data": _data}


def _hooked(recorder: Recorder, original: Method, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    recorder.differentiates()
    raise recorder.refusal(
        "a hook on a gradient, or retain_grad(), is not supported",
        "take the gradient itself: torch.autograd.grad(loss, [tensor])",
    )


# -- sizes ----------------------------------------------------------------------------------------
def _sizes(recorder: Recorder, tensor: torch.Tensor) -> list[Any]:
    real = torch.Tensor.size(tensor)
    recorder.rank(tensor, len(real))
    return [recorder.size(tensor, axis, n) for axis, n in enumerate(real)]


def _shape(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
    return torch.Size(_sizes(recorder, tensor))


def _size(recorder: Recorder, original: Method, tensor: torch.Tensor, dim: Any = None) -> Any:
    if dim is None:
        return torch.Size(_sizes(recorder, tensor))
    axis = int(dim.node.pin()) if isinstance(dim, Int) else int(dim)
    real = original(tensor, axis)
    if axis < 0:
        axis += recorder.rank(tensor, tensor.dim())
    return recorder.size(tensor, axis, real)


def _rank(recorder: Recorder, original: Method, tensor: torch.Tensor) -> int:
    return recorder.rank(tensor, original(tensor))


def _numel(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
    total: Any = 1
    for size in _sizes(recorder, tensor):
        total = total * size
    return total


def _nbytes(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
    recorder.dtype(tensor)
    return _numel(recorder, original, tensor) * tensor.element_size()


def _len(recorder: Recorder, original: Method, tensor: torch.Tensor) -> int:
    """len() must be a plain int: the size along axis 0 is pinned."""
    size = first_size(recorder, tensor)
    if isinstance(size, Int):
        recorder.guards.made_plain(size.node)
        return int(size.node.pin())
    return int(size)


def first_size(recorder: Recorder, tensor: torch.Tensor) -> Any:
    """The size along axis 0, which len() asks for."""
    return recorder.size(tensor, 0, len(tensor))


def _iter(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
    if tensor.dim() == 0:
        return original(tensor)
    size = first_size(recorder, tensor)
    count = int(size.node.pin()) if isinstance(size, Int) else size
    return iter([_getitem(recorder, torch.Tensor.__getitem__, tensor, i) for i in range(count)])


def _sqrt(original: Any) -> Method:
    def sqrt(number: Any, /) -> Any:
        if active() is None or not isinstance(number, (Int, Float)):
            return original(number)
        return arithmetic("sqrt", number.node)

    return sqrt


def _length(original: Any) -> Method:
    """Python's len: of a tensor it is the size along axis 0, where Tensor.__len__ must give a plain int."""

    def len(value: Any, /) -> Any:
        if type(value) not in _TENSORS or active() is None or not value.dim():
            return original(value)
        return value.shape[0]

    return len


_TENSORS = frozenset((torch.Tensor, torch.nn.Parameter))


def _extreme(op: str) -> Callable[[Any], Method]:
    """Python's min or max: of sizes and plain integers it is an expression, where comparing them would decide."""

    def make(original: Any) -> Method:
        @functools.wraps(original)
        def function(*args: Any, **kwargs: Any) -> Any:
            if active() is None or kwargs:
                return original(*args, **kwargs)
            numbers = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
            sizes = [n for n in numbers if type(n) is Int and not n.node.data]
            if not sizes or any(type(n) is not int for n in numbers if type(n) is not Int or n.node.data):
                return original(*args)
            return functools.reduce(lambda a, b: _of_two(op, original, a, b), numbers)

        return function

    return make


def _of_two(op: str, original: Any, a: Any, b: Any) -> Any:
    if type(a) is int and type(b) is int:
        return original(a, b)
    return arithmetic(op, *(n.node if type(n) is Int else n for n in (a, b)))


# -- values ---------------------------------------------------------------------------------------
def _bool(recorder: Recorder, original: Method, tensor: torch.Tensor) -> bool:
    return recorder.truth(tensor, bool(original(tensor)))


def _item(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
    real = original(tensor)
    if isinstance(real, bool):
        return recorder.truth(tensor, real)
    return recorder.item(tensor, real)


def _converted(kind: type) -> Method:
    def convert(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
        real = original(tensor)
        item = _item(recorder, lambda t: t.item(), tensor)
        return kind(item) if isinstance(item, (Int, Float)) else real

    return convert


def _index(recorder: Recorder, original: Method, tensor: torch.Tensor) -> int:
    real = original(tensor)
    item = _item(recorder, lambda t: t.item(), tensor)
    return int(item.node.pin()) if isinstance(item, Int) else int(real)


def _tolist(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
    """The elements as symbolic numbers, in lists whose lengths are pinned."""
    if tensor.numel() > _LONGEST_LIST:
        raise recorder.refusal(
            f"tolist() of {tensor.numel()} elements would freeze each of them", "work on the tensor itself"
        )
    if tensor.dim() == 0:
        return _item(recorder, lambda t: t.item(), tensor)
    return [_tolist(recorder, original, row) for row in _iter(recorder, torch.Tensor.__iter__, tensor)]


_LONGEST_LIST = 256


def _leaves(what: str) -> Method:
    """A method through which values would leave the trace; of a fixed tensor it is harmless."""

    def method(recorder: Recorder, original: Method, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not recorder.tracks.of(tensor).fixed:
            raise recorder.refusal(
                f"{what} takes the values out of the trace, which would freeze them",
                "stay with tensor operations, or do this outside the traced function",
            )
        recorder.tape.assume(Froze.OUTSIDE, f"{what} was read from a tensor that no input changes")
        return original(tensor, *args, **kwargs)

    return method


def _copied(recorder: Recorder, original: Method, tensor: torch.Tensor, memo: Any) -> Any:
    """copy.deepcopy of a tensor is a clone to the program."""
    return recorder.aloud(torch.Tensor.clone, tensor)


def _text(recorder: Recorder, original: Method, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> str:
    if not only_shown():
        raise recorder.refusal(
            "the text of a tensor takes its values out of the trace, which would freeze them",
            "print or log it, or make texts outside the traced function",
        )
    return str(original(tensor, *args, **kwargs))


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_tensor(v) for v in value)
    return isinstance(value, torch.Tensor)


def _literal(recorder: Recorder, original: Method, data: Any, *args: Any, **kwargs: Any) -> Any:
    """torch.tensor(data): numbers become a constant; a list of tensors would freeze the value of each."""
    if isinstance(data, (list, tuple)) and _holds_tensor(data):
        raise recorder.refusal("a tensor made of a list of tensors would freeze their values", "use torch.stack")
    if _holds_number(data) and set(kwargs) <= {"dtype"} and len(args) <= 1:
        with recorder.silence():
            dtype = original(concrete(data), *args, **kwargs).dtype
        if dtype.is_floating_point or not _holds_number(data, Float):
            return recorder.aloud(_of_numbers, data, dtype)
    if not isinstance(data, torch.Tensor) and not is_literal(recorder.tape.where()):
        recorder.tape.assume(Froze.OUTSIDE, "the numbers of a tensor that is made here are kept as they were")
    return recorder.aloud(original, data, *args, **kwargs)


def _holds_number(data: Any, kinds: Any = (Int, Float)) -> bool:
    if isinstance(data, (list, tuple)):
        return any(_holds_number(v, kinds) for v in data)
    return type(data) in (kinds if isinstance(kinds, tuple) else (kinds,))


def _of_numbers(data: Any, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of symbolic numbers, which stay expressions in it."""
    if isinstance(data, (list, tuple)):
        return torch.stack([_of_numbers(v, dtype) for v in data])
    return torch.full((), data, dtype=dtype)


def _linspace(original: Any) -> Method:
    """torch.linspace, whose number of steps torch would take as a plain int."""

    def linspace(*args: Any, **kwargs: Any) -> Any:
        recorder = active()
        steps = kwargs.get("steps", args[2] if len(args) > 2 else None)
        given = {**dict(zip(("start", "end", "steps"), args, strict=False)), **kwargs}
        ours = [given.get(name) for name in ("start", "end", "steps", "dtype")]
        if recorder is None or not isinstance(steps, Int) or any(isinstance(v, torch.Tensor) for v in ours):
            return original(*args, **kwargs)
        with recorder.silence():
            result = original(*map(concrete, args), **{k: concrete(v) for k, v in kwargs.items()})
            made = recorder.record("aten::linspace", tuple(map(recorder.argument, ours)), ours, result, aliases=False)
            recorder.tracks.of(made).kind = "computed"
            return made

    return linspace


# -- what dispatch cannot see ---------------------------------------------------------------------
def _dtype(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
    return recorder.dtype(tensor)


def _by_dtype(recorder: Recorder, original: Method, tensor: torch.Tensor) -> Any:
    recorder.dtype(tensor)
    return original(tensor)


def _sized(recorder: Recorder, original: Method, tensor: torch.Tensor, *sizes: Any, **kwargs: Any) -> Any:
    """A method that takes sizes, which torch would read from tensors among them as plain numbers."""

    if _holds_tensor([*sizes, *kwargs.values()]):
        sizes = tuple(_as_number(recorder, size) for size in sizes)
        kwargs = {k: _as_number(recorder, v) for k, v in kwargs.items()}
    return recorder.aloud(original, tensor, *sizes, **kwargs)


def _as_number(recorder: Recorder, size: Any) -> Any:
    """A size that may be in a tensor: what sizes decide stays an expression, data is pinned."""
    if isinstance(size, (list, tuple)):
        return [_as_number(recorder, n) for n in size]
    if not isinstance(size, torch.Tensor) or size.is_floating_point() or size.numel() != 1:
        return size
    number = _item(recorder, torch.Tensor.item, size)
    return number.node.pin() if isinstance(number, Int) and number.node.data else number


def _factory(original: Any) -> Method:
    """A function that makes a tensor of sizes and numbers, which may be given as tensors."""

    @functools.wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        recorder = active()
        if recorder is None or not _holds_tensor([*args, *kwargs.values()]):
            return original(*args, **kwargs)
        with recorder.silence():
            args = tuple(_as_number(recorder, a) for a in args)
            kwargs = {k: _as_number(recorder, v) for k, v in kwargs.items()}
        return original(*args, **kwargs)

    return function


def _bounded(original: Any) -> Method:
    """clamp, which torch gives plain numbers where one bound is a tensor and the other a number."""

    @functools.wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        recorder = active()
        bounds = [*args[1:], *(v for k, v in kwargs.items() if k in ("min", "max"))]
        if recorder is None or all(isinstance(b, (torch.Tensor, type(None))) for b in bounds):
            return original(*args, **kwargs)
        with recorder.silence():
            args = (*args[:1], *(_as_number(recorder, a) for a in args[1:]))
            kwargs = {k: _as_number(recorder, v) if k in ("min", "max") else v for k, v in kwargs.items()}
        return original(*args, **kwargs)

    return function


def _module_as_it_is(original: Any) -> Method:
    """module.to(...) and its like, inside a trace: of a module that is so already, nothing happens."""

    @functools.wraps(original)
    def apply(self: torch.nn.Module, fn: Method, recurse: bool = True) -> Any:
        recorder = active()
        if recorder is None:
            return original(self, fn, recurse)
        with recorder.silence():
            changed = [t for t in (*self.parameters(recurse), *self.buffers(recurse)) if fn(t) is not t]
        if changed:
            raise recorder.refusal(
                f"a {type(self).__name__} is converted inside the trace, which changes its parameters",
                "convert it before: module.to(...), then unmoor.trace",
            )
        return self

    return apply


def _typed(recorder: Recorder, original: Method, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """A method whose result has, or tells, the tensor's dtype."""
    recorder.dtype(tensor)
    return recorder.aloud(original, tensor, *args, **kwargs)


def _is_contiguous(recorder: Recorder, original: Method, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> bool:
    real = bool(original(tensor, *args, **kwargs))
    track = recorder.tracks.of(tensor)
    plain = set((*args, *kwargs.values())) <= {torch.contiguous_format}
    if track.fixed:
        return real
    if not plain:
        raise recorder.refusal("is_contiguous() is asked for another memory format", "ask for the plain one")
    return recorder.layout.is_contiguous(track, real)


def _place(what: str) -> Method:
    def method(recorder: Recorder, original: Method, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not recorder.tracks.of(tensor).fixed:
            raise recorder.refusal(f"{what} says where this process keeps a tensor", "ask for sizes and strides")
        return original(tensor, *args, **kwargs)

    return method


def _stride(recorder: Recorder, original: Method, tensor: torch.Tensor, dim: Any = None) -> Any:
    made = strides(recorder, tensor)
    if dim is None:
        return made
    original(tensor, dim)  # which refuses what is out of range
    return made[dim]


def _dim_order(recorder: Recorder, original: Method, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    track = recorder.tracks.of(tensor)
    if not track.fixed:
        recorder.layout.settle(track)
    return original(tensor, *args, **kwargs)


def _contiguous(recorder: Recorder, original: Method, tensor: torch.Tensor, **layout: Any) -> torch.Tensor:
    """Torch hands a contiguous tensor back without dispatching; whether it does depends on strides."""
    recorded = (recorder.tracks.read(recorder.tracks.of(tensor)),)
    result = original(tensor, **layout)
    made: torch.Tensor = recorder.record("aten::contiguous", recorded, [tensor], result, aliases=True)
    return made


# -- indexing -------------------------------------------------------------------------------------
def _getitem(recorder: Recorder, original: Method, tensor: torch.Tensor, index: Any) -> torch.Tensor:
    track = recorder.tracks.of(tensor)
    items, real, is_view = items_of(recorder, index)
    recorded: tuple[Arg, ...] = (recorder.tracks.read(track), items)
    parts = index if isinstance(index, tuple) else (index,)
    numbers = [[p.start, p.stop, p.step] if isinstance(p, slice) else p for p in parts]
    result = original(tensor, real)
    made: torch.Tensor = recorder.record("unmoor::getitem", recorded, [tensor, numbers], result, aliases=is_view)
    return made


def _setitem(recorder: Recorder, original: Method, tensor: torch.Tensor, index: Any, value: Any) -> None:
    track = recorder.tracks.of(tensor)
    items, real, is_view = items_of(recorder, index)
    if recorder.wrote_already(track, items, value):
        return
    recorder.tracks.check_writable(track, "the assignment to x[...]")
    if is_view and isinstance(value, torch.Tensor):
        with recorder.silence():
            place = TensorBase.__getitem__(tensor, real)
        recorder.check_apart(place, (value,))
    old = recorder.tracks.read(track)
    new = recorder.tape.emit("unmoor::setitem", (old, items, recorder.argument(value)))[0]
    original(tensor, real, concrete(value))
    recorder.tracks.write(track, new)


def _set_data(recorder: Recorder, original: Method, tensor: torch.Tensor, *args: Any) -> Any:
    raise recorder.refusal("changing a tensor's memory or type in place is not supported", "make a new tensor")


_METHODS: dict[str, Method] = {
    "size": _size,
    "dim": _rank,
    "ndimension": _rank,
    "numel": _numel,
    "nelement": _numel,
    "__len__": _len,
    "__iter__": _iter,
    "__bool__": _bool,
    "item": _item,
    "tolist": _tolist,
    "__float__": _converted(float),
    "__int__": _converted(int),
    "__index__": _index,
    "__complex__": _leaves("complex()"),
    "numpy": _leaves(".numpy()"),
    "__array__": _leaves("conversion to a NumPy array"),
    "__dlpack__": _leaves("__dlpack__"),
    "untyped_storage": _leaves(".untyped_storage()"),
    "storage": _leaves(".storage()"),
    "__reduce_ex__": _leaves("pickling"),
    "__deepcopy__": _copied,
    "__repr__": _text,
    "__format__": _text,
    "type": _typed,
    "view": _sized,
    "reshape": _sized,
    "expand": _sized,
    "repeat": _sized,
    "new_zeros": _sized,
    "new_ones": _sized,
    "new_empty": _sized,
    "new_full": _sized,
    "as_strided": _sized,
    "new": _typed,
    "new_tensor": _typed,
    "is_floating_point": _by_dtype,
    "is_complex": _by_dtype,
    "is_signed": _by_dtype,
    "element_size": _by_dtype,
    "stride": _stride,
    "is_contiguous": _is_contiguous,
    "storage_offset": _place("storage_offset()"),
    "data_ptr": _place("data_ptr()"),
    "const_data_ptr": _place("const_data_ptr()"),
    "dim_order": _dim_order,
    "contiguous": _contiguous,
    "__getitem__": _getitem,
    "__setitem__": _setitem,
    "set_": _set_data,
    "resize_": _set_data,
    "resize_as_": _set_data,
    "register_hook": _hooked,
    "register_post_accumulate_grad_hook": _hooked,
    "retain_grad": _hooked,
}
_FUNCTIONS: dict[str, Method] = {
    "numel": _numel,
    "is_floating_point": _by_dtype,
    "is_complex": _by_dtype,
    "is_signed": _by_dtype,
    "tensor": _literal,
    "as_tensor": _literal,
    "asarray": _literal,
    "from_numpy": _literal,
    "to_dlpack": _leaves("to_dlpack"),
}
_PROPERTIES: dict[str, Method] = {
    "shape": _shape,
    "ndim": _rank,
    "dtype": _dtype,
    "nbytes": _nbytes,
    "itemsize": _by_dtype,
}
