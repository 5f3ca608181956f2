"""What a trace froze, as a text of one screen."""

from __future__ import annotations

from collections.abc import Sequence

from unmoor.ir.recording import Assumption, Froze

SCREEN = 24  # lines
WIDTH = 60  # characters of a source line
ORDER = {froze: n for n, froze in enumerate(Froze)}


def describe(assumptions: Sequence[Assumption]) -> str:
    """A line for each assumption: kind, what it is, whether calls are checked, and the user's line.

    The most important kinds come first. Those of one kind at one line are one; where a screen does not hold all, the
    kinds of which there are most are cut short, so that each kind is seen.
    """
    kinds: dict[Froze, list[str]] = {}
    for same in _at_one_line(sorted(assumptions, key=lambda a: (ORDER[a.froze], a.checked))):
        kinds.setdefault(same[0].froze, []).append(_line(same))
    left = dict.fromkeys(kinds, 0)
    while sum(map(len, kinds.values())) + sum(n > 0 for n in left.values()) > SCREEN:
        longest = max(kinds, key=lambda k: (len(kinds[k]), ORDER[k]))
        kinds[longest].pop()
        left[longest] += 1
    lines = []
    for froze, texts in kinds.items():
        lines += texts
        lines += [f"{froze.value}: and at {left[froze]} more lines"] if left[froze] else []
    return "\n".join(lines) or "nothing: the trace holds for every input of such dtypes"


def _at_one_line(assumptions: Sequence[Assumption]) -> list[list[Assumption]]:
    groups: dict[object, list[Assumption]] = {}
    for a in assumptions:
        key = (a.froze, a.source.file, a.source.line) if a.source.file else (a.froze, a.text)
        groups.setdefault(key, []).append(a)
    return list(groups.values())


def _line(same: Sequence[Assumption]) -> str:
    first, more = same[0], len(same) - 1
    source, caller = first.source, first.caller
    where = f"  # {source}" if str(source) else ""
    where += f", called from {caller.file}:{caller.line}" if caller.file else ""
    text = source.text if len(source.text) <= WIDTH else f"{source.text[: WIDTH - 3]}..."
    where += f" | {text}" if source.text else ""
    folded = f" (and {more} more at this line)" if more else ""
    return f"{first.froze.value}, {'checked' if first.checked else 'not checked'}: {first.text}{folded}{where}"
