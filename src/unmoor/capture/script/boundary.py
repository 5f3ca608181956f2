"""The boundary of TorchScript: arguments as its types take them, and results as Python gets them."""

from __future__ import annotations

from typing import Any

import torch

from unmoor.capture.numbers import Float, Int, arithmetic
from unmoor.capture.script.graphs import Receiver
from unmoor.capture.script.heap import Made


def bound(schema: Any, args: list[Any], kwargs: dict[str, Any], receiver: Receiver | None) -> list[Any]:
    """The arguments of a call in the order of a schema, converted. Raises RuntimeError as TorchScript does."""
    given, named = [*args], dict(kwargs)
    parameters = schema.arguments
    found = []
    if receiver is not None:
        found.append(receiver)
        parameters = parameters[1:]
    if len(given) > len(parameters):
        raise RuntimeError(f"{schema.name}() takes {len(parameters)} arguments, and {len(given)} were given")
    for parameter in parameters:
        if given:
            value = given.pop(0)
        elif parameter.name in named:
            value = named.pop(parameter.name)
        elif parameter.has_default_value():
            value = parameter.default_value
        else:
            raise RuntimeError(f"{schema.name}() is missing value for argument '{parameter.name}'")
        try:
            found.append(taken(value, parameter.type))
        except TypeError:
            raise RuntimeError(
                f"{schema.name}() Expected a value of type '{parameter.type.annotation_str}' for argument "
                f"'{parameter.name}' but instead found type '{type(value).__name__}'"
            ) from None
    if named:
        raise RuntimeError(f"{schema.name}() does not take the argument '{next(iter(named))}'")
    return found


def taken(value: Any, type_: Any) -> Any:
    """A Python value as one of a TorchScript type: its lists and dicts are copies. Raises TypeError."""
    kind = str(type_.kind())
    match kind:
        case "AnyType":
            return value
        case "OptionalType":
            return None if value is None else taken(value, type_.getElementType())
        case "TensorType" if isinstance(value, torch.Tensor):
            return value
        case "NumberType" if isinstance(value, (int, float)):
            return value
        case "BoolType" if isinstance(value, bool):
            return value
        case "IntType" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "IntType" if isinstance(value, torch.dtype):
            return dtype_number(value)
        case "FloatType" if isinstance(value, (int, float)) and not isinstance(value, bool):
            return as_float(value)
        case "StringType" if isinstance(value, str):
            return value
        case "NoneType" if value is None:
            return None
        case "DeviceObjType" if isinstance(value, (str, torch.device)):
            return torch.device(value)
        case "ListType" if isinstance(value, (list, tuple)):
            return [taken(v, type_.getElementType()) for v in value]
        case "DictType" if isinstance(value, dict):
            keys, values = type_.getKeyType(), type_.getValueType()
            return {taken(k, keys): taken(v, values) for k, v in value.items()}
        case "TupleType" if isinstance(value, tuple) and len(value) == len(type_.elements()):
            items = [taken(v, t) for v, t in zip(value, type_.elements(), strict=True)]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        case "UnionType":
            for choice in type_.containedTypes():
                if is_of(value, choice):
                    return taken(value, choice)
        case "ClassType" | "InterfaceType" if isinstance(value, Receiver):
            return value
    raise TypeError(kind)


def is_of(value: Any, type_: Any) -> bool:
    """Whether a value is of a type as it is: an int is no float."""
    if type_.kind() == "FloatType" and isinstance(value, int):
        return False
    try:
        taken(value, type_)
    except TypeError:
        return False
    return True


def as_float(number: Any) -> Any:
    """A number as a float, symbolic where it was."""
    if isinstance(number, Int):
        return arithmetic("mul", number.node, 1.0)
    return number if isinstance(number, Float) else float(number)


def holds_object(value: Any) -> bool:
    """Whether a result holds an object of TorchScript, which Python code could do anything with."""
    if isinstance(value, (list, tuple)):
        return any(map(holds_object, value))
    if isinstance(value, dict):
        return any(map(holds_object, value.values()))
    return isinstance(value, (Receiver, Made))


_NUMBERS = {
    torch.uint8: 0, torch.int8: 1, torch.int16: 2, torch.int32: 3, torch.int64: 4, torch.float16: 5, torch.float32: 6,
    torch.float64: 7, torch.complex32: 8, torch.complex64: 9, torch.complex128: 10, torch.bool: 11, torch.bfloat16: 15,
}  # fmt: skip


def dtype_number(dtype: torch.dtype) -> int:
    """A dtype as TorchScript has it: a number."""
    return _NUMBERS[dtype]


def dtype_of_number(number: int | None) -> torch.dtype | None:
    return next((d for d, n in _NUMBERS.items() if n == number), None)
