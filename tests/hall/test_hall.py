"""Unmoor in the hall of silent traces: never silently wrong, and mostly right."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from exhibits import EXHIBITS, Exhibit
from verdict import REFUSED, RIGHT, WRONG, verdict

import unmoor

BY_NAME = {e.name: e for e in EXHIBITS}
LEAST_RIGHT = 42


def traced(fn, examples):
    made = unmoor.trace(fn, *examples[0])
    for example in examples[1:]:
        made.add_example(*example)
    return made


@cache
def judged(name: str) -> tuple[str, str]:
    exhibit: Exhibit = BY_NAME[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return verdict(exhibit, traced)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_never_silently_wrong(name):
    outcome, why = judged(name)
    assert outcome != WRONG, why
    if outcome == REFUSED:
        assert any(name in why for name in ("Unsupported: ", "NotTraced: ", "SignatureError: ")), why


def test_mostly_right():
    refused = {name: judged(name)[1] for name in BY_NAME if judged(name)[0] == REFUSED}
    assert len(BY_NAME) >= 50
    right = sum(judged(name)[0] == RIGHT for name in BY_NAME)
    assert right >= LEAST_RIGHT, refused
