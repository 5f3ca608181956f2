"""What a trace froze, as a text of one screen."""

from __future__ import annotations

from collections.abc import Sequence

from unmoor.ir.recording import Assumption, Froze

SCREEN = 24  # lines
ORDER = {froze: n for n, froze in enumerate(Froze)}


def describe(assumptions: Sequence[Assumption]) -> str:
    """A line for each assumption, the most important kinds first; what does not fit a screen is counted."""
    lines = [_line(a) for a in sorted(assumptions, key=lambda a: ORDER[a.froze])]
    lines = list(dict.fromkeys(lines))
    if len(lines) > SCREEN:
        left = len(lines) - SCREEN + 1
        lines = [*lines[: SCREEN - 1], f"... and {left} more, of the kinds above or less important ones"]
    return "\n".join(lines) or "nothing: the trace holds for every input of such dtypes"


def _line(assumption: Assumption) -> str:
    where = f"{assumption.source}: " if str(assumption.source) else ""
    return f"{where}{assumption.text} ({'checked at each call' if assumption.checked else 'not checked'})"
