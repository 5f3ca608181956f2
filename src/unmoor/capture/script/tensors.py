"""Ops of TorchScript that read tensors, make them of numbers, or go by another name in torch's dispatcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from unmoor.capture.script.arithmetic import as_int, is_symbolic, of_tensors
from unmoor.capture.script.boundary import as_float, dtype_number, dtype_of_number
from unmoor.capture.script.fused import encoder_layer, multi_head_attention
from unmoor.capture.torch_private import bare_call

if TYPE_CHECKING:
    from unmoor.capture.script.interpreter import Interpreter

Perform = Callable[["Interpreter", list[Any]], Any]
_aten = torch.ops.aten


def _call(overload: Any, *args: Any, **kwargs: Any) -> Any:
    return bare_call(overload)(*args, **kwargs)


class Numbers:
    """Tensors without dims that were made of numbers: traced modules compute sizes with such tensors."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[torch.Tensor, Any]] = {}

    def add(self, tensor: torch.Tensor, number: Any) -> torch.Tensor:
        self._known[id(tensor)] = (tensor, number)
        return tensor

    def of(self, machine: Interpreter, value: Any) -> Any:
        """The number that a tensor holds for sure; None where it may have been written, or is none of these."""
        if id(value) not in self._known or machine.recorder.tracks.of(value).version:
            return None
        return self._known[id(value)][1]

    def follow(self, machine: Interpreter, kind: str, args: list[Any], result: Any) -> None:
        """Know what an op on such tensors gives."""
        if not self._known or not any(self.of(machine, a) is not None for a in args):
            return
        with machine.recorder.silence():
            numbers = [self._operand(machine, a) for a in args]
            if result.dim() or result.dtype is not torch.int64 or any(n is NotImplemented for n in numbers):
                return
        number = of_tensors(kind, numbers)
        if number is not NotImplemented:
            self.add(result, number)

    def _operand(self, machine: Interpreter, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        number = self.of(machine, value)
        if number is None and machine.recorder.tracks.of(value).fixed and not value.dim():
            number = value.item() if value.dtype is torch.int64 else NotImplemented
        return NotImplemented if number is None else number


# -- reading --------------------------------------------------------------------------------------
def _size(machine: Interpreter, args: list[Any]) -> Any:
    return args[0].size(args[1]) if len(args) > 1 else list(args[0].shape)


def _len(machine: Interpreter, args: list[Any]) -> Any:
    if args[0].dim() == 0:
        raise TypeError("len() of a 0-d tensor")
    return args[0].size(0)


def _item(machine: Interpreter, args: list[Any]) -> Any:
    number = machine.numbers.of(machine, args[0])
    return args[0].item() if number is None else number


def _bool(machine: Interpreter, args: list[Any]) -> bool:
    number = machine.numbers.of(machine, args[0])
    return bool(args[0]) if number is None else bool(number != 0)


def _method(name: str) -> Perform:
    """What the tensor's method gives; tuples of sizes are lists in TorchScript."""

    def perform(machine: Interpreter, args: list[Any]) -> Any:
        found = getattr(args[0], name)(*args[1:])
        return list(found) if isinstance(found, tuple) else found

    return perform


def _property(name: str) -> Perform:
    return lambda machine, args: getattr(args[0], name)


# -- making ---------------------------------------------------------------------------------------
def _of_number(machine: Interpreter, number: Any, dtype: torch.dtype | None) -> torch.Tensor:
    if is_symbolic(number):
        made: torch.Tensor = _call(_aten.full.default, [], number, dtype=dtype)
        return machine.numbers.add(made, number) if isinstance(number, int) and dtype is torch.int64 else made
    with machine.recorder.silence():
        made = torch.tensor(number, dtype=dtype)
        machine.recorder.tracks.adopt(made, made=True)
    return made


def _default_dtype(number: Any) -> torch.dtype:
    if isinstance(number, (list, tuple)):
        return _default_dtype(number[0]) if number else torch.float32
    if isinstance(number, bool):
        return torch.bool
    return torch.int64 if isinstance(number, int) else torch.float32


def _number_to_tensor(machine: Interpreter, args: list[Any]) -> torch.Tensor:
    dtype = _default_dtype(args[0])
    return _of_number(machine, args[0], torch.float64 if dtype is torch.float32 else dtype)


def _tensor(machine: Interpreter, args: list[Any]) -> torch.Tensor:
    data, dtype, device = args[0], dtype_of_number(args[1]), args[2]
    if device is not None and torch.device(device).type != "cpu":
        raise machine.recorder.refusal(f"the device {device} is not supported", "trace on the CPU")
    if isinstance(data, torch.Tensor):  # as_tensor
        return data if dtype is None else data.to(dtype)
    if len(args) > 3 and args[3]:
        raise machine.recorder.refusal("a tensor that requires grad is made here", "make it without requires_grad")
    return _nested(machine, data, dtype or _default_dtype(data))


def _nested(machine: Interpreter, data: Any, dtype: torch.dtype) -> torch.Tensor:
    if not isinstance(data, list) or not is_symbolic(data):
        return _of_number(machine, data, dtype)
    made: torch.Tensor = _call(_aten.stack.default, [_nested(machine, d, dtype) for d in data], 0)
    return made


# -- indexing -------------------------------------------------------------------------------------
def _items(indices: list[Any]) -> tuple[Any, ...]:
    return tuple(slice(None) if i is None else i for i in indices)


def _index(machine: Interpreter, args: list[Any]) -> Any:
    return args[0][_items(args[1])]


def _index_put(machine: Interpreter, args: list[Any]) -> Any:
    target, indices, values, accumulate = args[0], args[1], args[2], args[3] if len(args) > 3 else False
    if accumulate:
        return _call(_aten.index_put_.default, target, indices, values, True)
    target[_items(indices)] = values
    return target


def _index_put_copy(machine: Interpreter, args: list[Any]) -> Any:
    return _index_put(machine, [_call(_aten.clone.default, args[0]), *args[1:]])


# -- other names ----------------------------------------------------------------------------------
def _functional(name: str) -> Perform:
    return lambda machine, args: getattr(torch.nn.functional, name)(*args)


def _to_dtype(machine: Interpreter, args: list[Any]) -> Any:
    x, dtype, *rest = args
    return x if dtype is None else _call(_aten.to.dtype, x, dtype_of_number(dtype), *rest)


def _to_device(machine: Interpreter, args: list[Any]) -> Any:
    x, device, dtype, *rest = args
    kept = x.dtype if dtype is None else dtype_of_number(dtype)
    return _call(_aten.to.device, x, torch.device("cpu" if device is None else device), kept, *rest)


def _filled(machine: Interpreter, args: list[Any]) -> Any:
    return _call(_aten.fill_.Scalar, args[0], args[1])


def _dense(machine: Interpreter, args: list[Any]) -> Any:
    """What is laid out for oneDNN is an ordinary tensor here."""
    return _call(_aten.clone.default, args[0])


def _convolution(machine: Interpreter, args: list[Any]) -> Any:
    x, weight, bias, stride, padding, dilation, groups = args
    none = [0] * len(stride)
    return _call(_aten.convolution.default, x, weight, bias, stride, padding, dilation, False, none, groups)


# By name of the op, where the first argument is a tensor.
OF_TENSORS: dict[str, Perform] = {
    "aten::size": _size,
    "aten::sym_size": _size,
    "aten::len": _len,
    "aten::dim": _method("dim"),
    "aten::numel": _method("numel"),
    "aten::stride": _method("stride"),
    "aten::is_contiguous": _method("is_contiguous"),
    "aten::storage_offset": _method("storage_offset"),
    "aten::is_floating_point": _method("is_floating_point"),
    "aten::is_complex": _method("is_complex"),
    "aten::is_signed": _method("is_signed"),
    "aten::element_size": _method("element_size"),
    "aten::get_device": _method("get_device"),
    "aten::cpu": _method("cpu"),
    "aten::numpy_T": _property("T"),
    "prim::itemsize": _property("itemsize"),
    "prim::nbytes": _property("nbytes"),
    "prim::dtype": lambda machine, args: dtype_number(args[0].dtype),
    "prim::device": _property("device"),
    "prim::layout": lambda machine, args: 0,
    "prim::is_cpu": _property("is_cpu"),
    "prim::is_cuda": _property("is_cuda"),
    "prim::is_sparse": _property("is_sparse"),
    "prim::is_mkldnn": _property("is_mkldnn"),
    "prim::is_quantized": _property("is_quantized"),
    "prim::is_nested": _property("is_nested"),
    "prim::is_meta": _property("is_meta"),
    "prim::requires_grad": _property("requires_grad"),
    "prim::data": _method("detach"),
    "aten::item": _item,
    "aten::Int": lambda machine, args: as_int(_item(machine, args)),
    "aten::Float": lambda machine, args: as_float(_item(machine, args)),
    "aten::Bool": _bool,
    "aten::is_nonzero": _bool,
    "aten::IntImplicit": lambda machine, args: as_int(_item(machine, args)),
    "aten::FloatImplicit": lambda machine, args: as_float(_item(machine, args)),
    "aten::ScalarImplicit": _item,
    "aten::_tensor_to_list": _method("tolist"),
    "aten::index": _index,
    "aten::_unsafe_index": _index,
    "aten::index_put_": _index_put,
    "aten::index_put": _index_put_copy,
    "aten::_unsafe_index_put": _index_put_copy,
    "aten::as_tensor": _tensor,
    "aten::to_mkldnn": _dense,
    "aten::to_dense": _dense,
    "prim::mkldnn_convolution": _convolution,
    "aten::_native_multi_head_attention": multi_head_attention,
    "aten::_transformer_encoder_layer_fwd": encoder_layer,
    "aten::__interpolate": _functional("interpolate"),
    "aten::__upsample": _functional("upsample"),
    "aten::__upsample_bilinear": _functional("upsample_bilinear"),
    "aten::__upsample_nearest": _functional("upsample_nearest"),
}
# By overload.
OTHER_NAMES: dict[str, Perform] = {
    "aten::_convolution": lambda machine, args: _call(_aten.convolution.default, *args[:9]),
    "aten::_convolution.deprecated": lambda machine, args: _call(_aten.convolution.default, *args[:9]),
    "aten::split.sizes": lambda machine, args: _call(_aten.split_with_sizes.default, *args),
    "aten::split": lambda machine, args: _call(_aten.split_with_sizes.default, *args),
    "aten::to.prim_dtype": _to_dtype,
    "aten::to.prim_Device": _to_device,
    "aten::copy_.Tensor": lambda machine, args: _call(_aten.copy_.default, *args),
    "aten::copy_.int": _filled,
    "aten::copy_.float": _filled,
}
# By name of the op, where tensors are made of numbers.
OF_NUMBERS: dict[str, Perform] = {
    "prim::NumToTensor": _number_to_tensor,
    "aten::tensor": _tensor,
    "aten::as_tensor": _tensor,
    "aten::_list_to_tensor": lambda machine, args: _nested(machine, args[0], torch.int64),
}
