"""Reads the text of graphs. The constants' data comes beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import numpy as np

from unmoor.dtypes import BY_NAME, RECORDED
from unmoor.errors import VerifyError
from unmoor.ir.dim import Dim
from unmoor.ir.graph import NOWHERE, Arg, Block, Constant, Graph, Node, Relation, Source, Value
from unmoor.ir.parser.dim import take_dim
from unmoor.ir.parser.tokens import Tokens
from unmoor.ir.types import BOOL, FLOAT, INT, TENSOR, TensorType, Type

_SOURCE = re.compile(r"(?P<file>.*?):(?P<line>\d+)(?: \((?P<module>[^)|]*)\))?(?: \| (?P<text>.*))?$")
NUMBERS = {"int": INT, "float": FLOAT, "bool": BOOL}


def parse_graph(text: str, constants: Mapping[str, np.ndarray]) -> Graph:
    """The graph that a text stands for, with `constants` giving the data of each constant by its name.

    VerifyError shows the line of what cannot be read, or names the constant that is missing.
    """
    return _Graph(Tokens(text), constants).graph()


def parse_source(comment: str) -> Source:
    """The line that a comment names; NOWHERE for other comments."""
    match = _SOURCE.match(comment)
    if match is None:
        return NOWHERE
    return Source(match["file"], int(match["line"]), match["text"] or "", match["module"] or "")


class _Graph:
    def __init__(self, tokens: Tokens, constants: Mapping[str, np.ndarray]) -> None:
        self.t = tokens
        self.data = constants
        self.values: dict[str, Value] = {}

    def graph(self) -> Graph:
        t = self.t
        t.take("graph")
        name = t.take("name").text
        inputs = self._values()
        relations = self._relations()
        t.take("{")
        constants = []
        while t.skip("const"):
            constants.append(self._constant())
        nodes = self._nodes("return")
        t.take("return")
        outputs = self._args()
        t.take("}")
        t.take("end")
        return Graph(name, inputs, tuple(constants), nodes, outputs, relations)

    # -- values and types ---------------------------------------------------------------------
    def _values(self) -> tuple[Value, ...]:
        """`(%a : f32[3], %b)`, defined."""
        t = self.t
        t.take("(")
        made: list[Value] = []
        more = not t.skip(")")
        while more:
            made.append(self._define())
            more = t.list(")")
        return tuple(made)

    def _define(self) -> Value:
        name = self.t.take("value").text[1:]
        if name in self.values:
            raise self.t.error(f"%{name} is defined twice")
        self.values[name] = Value(name, self._type() if self.t.skip(":") else TENSOR)
        return self.values[name]

    def _type(self) -> Type:
        word = self.t.take("name").text
        if word in NUMBERS and self.t.next.text != "[":
            return NUMBERS[word]
        if word == "Tensor":
            return TENSOR
        if word not in BY_NAME:
            raise self.t.error(f"{word} is no type")
        return TensorType(BY_NAME[word], self._shape())

    def _shape(self) -> tuple[Dim, ...]:
        self.t.take("[")
        dims: list[Dim] = []
        more = not self.t.skip("]")
        while more:
            dims.append(take_dim(self.t))
            more = self.t.list("]")
        return tuple(dims)

    def _constant(self) -> Constant:
        value = self._define()
        if value.type == TENSOR:  # the dtype and shape are shown for people
            self._type()
        if self.t.skip("="):  # so is a number; its bits are in the data
            self.t.skip("-")
            self.t.take("number", "name")
        if value.name not in self.data:
            raise VerifyError(f"there is no data for the constant %{value.name}")
        return Constant(value, self.data[value.name], self.t.comment())

    def _relations(self) -> tuple[Relation, ...]:
        t = self.t
        made: list[Relation] = []
        while t.skip("where" if not made else ","):
            left = take_dim(t)
            sign = t.take("==", "!=", "<=", "<").text
            right = take_dim(t)
            made.append(Relation(left, sign, right, json.loads(t.take("string").text) if t.skip("else") else ""))
        return tuple(made)

    # -- nodes --------------------------------------------------------------------------------
    def _nodes(self, end: str) -> tuple[Node, ...]:
        nodes: list[Node] = []
        while self.t.next.text != end:
            nodes.append(self._node())
        return tuple(nodes)

    def _node(self) -> Node:
        t = self.t
        names: list[tuple[str, Type]] = []
        while t.next.kind == "value":
            name = t.take().text[1:]
            names.append((name, self._type() if t.skip(":") else TENSOR))
            if not t.skip(","):
                t.take("=")
        op = t.take("name").text
        args = self._args()
        blocks: list[Block] = []
        opened = t.skip("{")
        source = parse_source(t.comment())
        if opened:
            t.deeper()
            while not t.skip("}"):
                blocks.append(self._block())
            t.depth -= 1
        outputs = []
        for name, type_ in names:
            if name in self.values:
                raise t.error(f"%{name} is defined twice")
            self.values[name] = Value(name, type_)
            outputs.append(self.values[name])
        return Node(op, args, tuple(outputs), source, tuple(blocks))

    def _block(self) -> Block:
        t = self.t
        t.take("block")
        params = self._values()
        t.take("{")
        nodes = self._nodes("yield")
        t.take("yield")
        results = self._args()
        t.take("}")
        return Block(params, nodes, results)

    # -- arguments ----------------------------------------------------------------------------
    def _args(self) -> tuple[Arg, ...]:
        self.t.take("(")
        return self._list(")")

    def _list(self, end: str) -> tuple[Arg, ...]:
        args: list[Arg] = []
        self.t.deeper()
        more = not self.t.skip(end)
        while more:
            args.append(self._arg())
            more = self.t.list(end)
        self.t.depth -= 1
        return tuple(args)

    def _arg(self) -> Arg:
        t = self.t
        token = t.next
        if token.kind == "value":
            name = t.take().text[1:]
            if name not in self.values:
                raise t.error(f"%{name} is used before it is defined")
            return self.values[name]
        if t.skip("["):
            return self._list("]")
        if token.kind == "string":
            return str(json.loads(t.take().text))
        words: dict[str, Arg] = {"none": None, "true": True, "false": False, **RECORDED}
        if token.text in words and token.kind == "name":
            return words[t.take().text]
        return self._number()

    def _number(self) -> Arg:
        """A float where it looks like one, else a size; a constant size is an int."""
        t = self.t
        mark = t.mark()
        sign = -1.0 if t.skip("-") else 1.0
        token = t.take("number", "name", "sign")
        if token.text in ("inf", "nan") or (token.kind == "number" and not token.text.isdigit()):
            return sign * float(token.text)
        t.rewind(mark)
        size = take_dim(t)
        return size.value if size.is_const else size
