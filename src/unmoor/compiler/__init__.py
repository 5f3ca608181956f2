"""The compiler: from a recording to programs, and from programs to the image of a file."""

from unmoor.compiler.compile import Compiled, compile_recording
from unmoor.compiler.differentiated import differentiated
from unmoor.compiler.link import Entry, Linker
from unmoor.compiler.pinned import refuse_pinned
from unmoor.compiler.pipeline import first_passes
from unmoor.compiler.returned import check_returned

__all__ = [
    "Compiled",
    "Entry",
    "Linker",
    "check_returned",
    "compile_recording",
    "differentiated",
    "first_passes",
    "refuse_pinned",
]
