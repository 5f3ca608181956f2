"""What five models become is what the document says: kernels, instructions, bytes of arena and file."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools import counters

KNOWN = counters.documented()


@pytest.mark.parametrize("name", counters.MODELS)
def test_a_model_becomes_what_the_document_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(counters.ROOT)
    made = counters.count(name, code=False)
    assert made == replace(KNOWN[name], machine_code=0), f"if that is as it should be: python tools/counters.py {name}"


@pytest.mark.parametrize("name", counters.MODELS)
def test_a_file_is_little_more_than_the_weights(name: str) -> None:
    known = KNOWN[name]
    assert known.file + 1024 * known.machine_code <= known.weights + 1_000_000
