"""Reads integer expressions: + - * // % min max, parentheses, symbols and numbers."""

from __future__ import annotations

from unmoor.errors import VerifyError
from unmoor.ir.dim import Dim, call, const, sym
from unmoor.ir.parser.tokens import Tokens

LARGEST = 2**63


def parse_dim(text: str) -> Dim:
    """The Dim that a text stands for; VerifyError where it is none."""
    tokens = Tokens(text)
    made = take_dim(tokens)
    tokens.take("end")
    return made


def take_dim(t: Tokens) -> Dim:
    """A sum of products."""
    t.deeper()
    total = -_product(t) if t.skip("-") else _product(t)
    while t.next.text in ("+", "-") and t.next.kind == "sign":
        total = total + _product(t) if t.take().text == "+" else total - _product(t)
    t.depth -= 1
    return total


def _product(t: Tokens) -> Dim:
    made = _atom(t)
    while t.next.kind == "sign" and t.next.text in ("*", "//", "%"):
        sign = t.take().text
        right = _atom(t)
        if sign != "*" and right == 0:
            raise t.error("a division by 0")
        made = made * right if sign == "*" else call("floordiv" if sign == "//" else "mod", made, right)
    # `%` and what follows it at once look like a value's name
    while t.next.kind == "value":
        word = t.take().text[1:]
        made = call("mod", made, const(int(word)) if word.isdigit() else sym(word))
    return made


def _atom(t: Tokens) -> Dim:
    if t.skip("("):
        made = take_dim(t)
        t.take(")")
        return made
    token = t.take("number", "name")
    if token.kind == "number":
        if not token.text.isdigit() or int(token.text) >= LARGEST:
            raise VerifyError(f"line {token.line}: {token.text} is no size")
        return const(int(token.text))
    if token.text in ("min", "max"):
        t.take("(")
        a = take_dim(t)
        t.take(",")
        b = take_dim(t)
        t.take(")")
        return call(token.text, a, b)
    return sym(token.text)
