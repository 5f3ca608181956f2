"""Nested arguments to flat tensors and back, and what a call of another form is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from unmoor.errors import SignatureError
from unmoor.ir.signature import Leaf, Mapping, Sequence, Structure
from unmoor.runtime.structures import flatten, rebuild


@dataclass
class Batch:
    ids: Any
    mask: Any


class Pair(NamedTuple):
    ids: Any
    mask: Any


def arguments(*positional: Structure, **keyword: Structure) -> Structure:
    return Sequence("tuple", (Sequence("tuple", positional), Mapping(tuple(keyword), tuple(keyword.values()))))


NESTED = arguments(
    Sequence("list", (Leaf(0), Mapping(("k",), (Leaf(1),)))),
    Mapping(("ids", "mask"), (Leaf(2), None), "Batch"),
    scale=2.0,
    y=Leaf(3),
)


def test_tensors_are_found_in_the_order_of_the_leaves() -> None:
    assert flatten(NESTED, (["a", {"k": "b"}], Batch("c", None)), {"y": "d", "scale": 2.0}, ("", "")) == list("abcd")
    assert flatten(NESTED, (("a", {"k": "b"}), Pair("c", None)), {"scale": 2.0, "y": "d"}, ("", "")) == list("abcd")
    assert flatten(NESTED, (("a", {"k": "b"}), {"mask": None, "ids": "c"}), {"scale": 2.0, "y": "d"}, ("", "")) == list(
        "abcd"
    )


def test_arguments_may_be_given_by_name_or_by_position() -> None:
    by_position = arguments(Leaf(0), Leaf(1))
    assert flatten(by_position, ("a",), {"y": "b"}, ("x", "y")) == ["a", "b"]
    assert flatten(by_position, (), {"y": "b", "x": "a"}, ("x", "y")) == ["a", "b"]
    assert flatten(arguments(Leaf(0), y=Leaf(1)), ("a", "b"), {}, ("x",)) == ["a", "b"]


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        (
            (["a", {"k": "b"}],),
            {"y": 0, "scale": 2.0},
            r"lacks argument 1: it takes \(argument 0, argument 1, scale=",
        ),
        ((["a", {"k": "b"}], {"ids": 0, "mask": None}, 1, 2, 3), {"y": 0, "scale": 2.0}, "positional argument 2"),
        ((["a", {"k": "b"}], {"ids": 0, "mask": None}), {"y": 0, "scale": 2.0, "z": 1}, "has z too many"),
        ((["a"], {"ids": 0, "mask": None}), {"y": 0, "scale": 2.0}, "argument 0 was a list of 2 .* a list of 1"),
        ((["a", {"j": 0}], {"ids": 0, "mask": None}), {"y": 0, "scale": 2.0}, r"argument 0\[1\] was a dict with k"),
        ((["a", {"k": "b"}], {"ids": 0}), {"y": 0, "scale": 2.0}, "argument 1 was a Batch with ids, mask"),
        ((["a", {"k": "b"}], Batch(0, 1)), {"y": 0, "scale": 2.0}, r"argument 1.mask was None .* here it is 1"),
        ((["a", {"k": "b"}], Batch(0, None)), {"y": 0, "scale": 3.0}, r"scale was 2.0 .* here it is 3.0\. Pass 2.0"),
        ((["a", {"k": "b"}], Batch(0, None)), {"y": 0, "scale": 2}, "scale was 2.0"),
    ],
)
def test_another_form_is_refused_with_both_forms(args: tuple[Any, ...], kwargs: dict[str, Any], text: str) -> None:
    with pytest.raises(SignatureError, match=text):
        flatten(NESTED, args, kwargs, ("", ""))


def test_a_dict_in_another_order_is_refused_as_a_program_may_go_through_it() -> None:
    two = arguments(Mapping(("a", "b"), (Leaf(0), Leaf(1))))
    assert flatten(two, ({"a": 1, "b": 2},), {}, ("x",)) == [1, 2]
    with pytest.raises(
        SignatureError, match="x had its keys in the order a, b in the trace; here it is a dict with b, a"
    ):
        flatten(two, ({"b": 2, "a": 1},), {}, ("x",))


def test_results_are_rebuilt() -> None:
    result = Sequence("list", (Leaf(1), Mapping(("a", "b"), (Leaf(0), 7)), Sequence("tuple", (None, Leaf(0)))))
    assert rebuild(result, ("x", "y")) == ["y", {"a": "x", "b": 7}, (None, "x")]
