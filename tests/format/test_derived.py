"""Derived files are fresh."""

from __future__ import annotations

from tools.generate import stale


def test_running_the_generator_changes_nothing() -> None:
    assert not stale(), "run `python tools/generate.py`"
