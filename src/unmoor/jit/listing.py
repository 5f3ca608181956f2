"""Text for people: a string that an interactive session shows as it is, without quotes and escapes."""

from __future__ import annotations


class Listing(str):
    """A string whose repr is its text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
