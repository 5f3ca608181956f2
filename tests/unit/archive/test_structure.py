"""Structures as JSON: what is printed reads back, and other texts are refused."""

from __future__ import annotations

import math

import pytest

from unmoor.ir.signature import Leaf, Mapping, Sequence, Structure
from unmoor.ir.structure import leaves, parse_structure, print_structure

NESTED = Sequence(
    "tuple",
    (
        Sequence("list", (Leaf(0), None, True, 3, 2.0, "a\u00e9\0\ud800")),
        Mapping(("b", "a"), (Leaf(2), Mapping((), ())), "Batch"),
        -math.inf,
    ),
)


@pytest.mark.parametrize("structure", [NESTED, Leaf(3), None, 1, 1.0, False, "", Sequence("tuple", ())])
def test_what_is_printed_reads_back(structure: Structure) -> None:
    back = parse_structure(print_structure(structure))
    assert back == structure and type(back) is type(structure)


def test_a_nan_reads_back() -> None:
    assert math.isnan(parse_structure(print_structure(math.nan)))  # type: ignore[arg-type]


def test_leaves_are_counted() -> None:
    assert leaves(NESTED) == [0, 2]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"tensor":-1}',
        '{"tensor":true}',
        '{"tensor":0,"x":1}',
        '{"set":[]}',
        '{"dict":[["a"]]}',
        '{"float":"1"}',
        '{"tuple":[' * 200 + "]}" * 200,
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_structure(text)
