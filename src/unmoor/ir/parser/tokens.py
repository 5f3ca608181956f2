"""Cuts IR text into tokens, and walks them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unmoor.errors import VerifyError

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<comment>\#[^\n]*)|(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<value>%[\w.:]+)|(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)
    |(?P<name>[A-Za-z_][\w.]*(?:::[\w.]+)?)|(?P<sign>//|==|!=|<=|->|[-+*%<>=(){}\[\],:])""",
    re.VERBOSE,
)
MAX_DEPTH = 200


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    line: int


class Tokens:
    """The tokens of a text, read one after the other."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._tokens: list[Token] = []
        self._at = 0
        self.depth = 0
        place, line = 0, 1
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise VerifyError(f"line {line}: cannot read {text[place : place + 20]!r} in: {self._lines[line - 1]}")
            if match.lastgroup != "space":
                self._tokens.append(Token(str(match.lastgroup), match.group(), line))
            line += match.group().count("\n")
            place = match.end()
        self._end = Token("end", "", line)

    @property
    def next(self) -> Token:
        """The token to come."""
        return self._tokens[self._at] if self._at < len(self._tokens) else self._end

    def take(self, *expected: str) -> Token:
        """The next token, which must be one of these texts or kinds (any, where none is given)."""
        token = self.next
        if expected and token.text not in expected and token.kind not in expected:
            raise self.error(f"expected {' or '.join(expected)}, found {token.text or 'the end'!r}")
        self._at += 1
        return token

    def skip(self, text: str) -> bool:
        """Takes the token if it is this one."""
        if self.next.text == text and self.next.kind in ("sign", "name"):
            self._at += 1
            return True
        return False

    def mark(self) -> int:
        """A place to come back to with `rewind`."""
        return self._at

    def rewind(self, mark: int) -> None:
        self._at = mark

    def comment(self) -> str:
        """The comment that follows, without its mark; "" for none."""
        return self.take().text[1:].strip() if self.next.kind == "comment" else ""

    def error(self, message: str) -> VerifyError:
        """An error at the next token, with its line."""
        line = min(self.next.line, len(self._lines))
        return VerifyError(f"line {line}: {message} in: {self._lines[line - 1].strip()}")

    def deeper(self) -> None:
        """Counts nesting, so that hostile text cannot exhaust the stack."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error("nested too deeply")

    def list(self, end: str) -> bool:
        """Between items: whether another follows; takes the comma, or the end."""
        if self.skip(end):
            return False
        self.take(",")
        return True
