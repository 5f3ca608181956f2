"""Emission: a grouped graph and its kernel calls become a program, with its memory planned."""

from unmoor.emit.emit import Emitted, emit

__all__ = ["Emitted", "emit"]
