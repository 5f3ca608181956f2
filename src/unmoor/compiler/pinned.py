"""The net under named dims: the program must leave them free, or the user is told which line does not."""

from __future__ import annotations

from unmoor.compiler.compile import Compiled
from unmoor.errors import SignatureError


def refuse_pinned(compiled: Compiled) -> None:
    """SignatureError, with the line, where a program of the example fixes a dim that the user named."""
    for pin in compiled.pinned:
        source = pin.source
        line = f"{source.led} `{source.text}`" if source.file else "the program"
        if not pin.value.isdecimal():
            raise SignatureError(
                f"`dims` has the names {pin.value} and {pin.name}, and {line} needs these dims to be equal: give them "
                "one name"
            )
        other = ", or trace with another size than 1, if the program takes others" if pin.value == "1" else ""
        raise SignatureError(
            f"`dims` names a dim {pin.name}, and {line} needs its size to be {pin.value}: write {pin.value} or None in "
            f"place of the name{other}"
        )
