"""Options that are passed explicitly, and the only place that reads the environment."""

from __future__ import annotations

from dataclasses import dataclass

from unmoor.ir.target import ALL, Target


@dataclass(frozen=True)
class Options:
    """How to compile.

    targets   processors to make machine code for
    skip      names of passes to leave out (for tests: results must not change)
    verify    check the graph after every pass (tests do; a compile costs about twice as much)
    """

    targets: tuple[Target, ...] = ALL
    skip: frozenset[str] = frozenset()
    verify: bool = False
