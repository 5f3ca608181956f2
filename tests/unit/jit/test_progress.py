"""The line on a terminal: what takes long, and nothing anywhere else."""

from __future__ import annotations

import io
import sys
import time

import pytest
import torch

import unmoor
from unmoor.jit import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(progress, "QUIET", 0.0)
    monkeypatch.setattr(progress, "EACH", 0.001)


def test_a_terminal_shows_each_step_and_is_left_clean(monkeypatch, hurried):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    traced = unmoor.trace(torch.nn.Linear(3, 4).eval(), torch.ones(2, 3))
    unmoor.save(traced, io.BytesIO())
    shown = terminal.getvalue()
    for step in ("recording Linear", "making machine code"):  # those that last for many ticks
        assert f"unmoor: {step}" in shown, step
    assert shown.endswith("\r\033[K") and "\n" not in shown


def test_a_step_that_fails_leaves_nothing_behind(monkeypatch, hurried):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(ValueError), progress.telling("one"), progress.telling("another"):
        time.sleep(0.05)
        raise ValueError
    assert "another" in terminal.getvalue() and terminal.getvalue().endswith("\r\033[K")
    assert progress._thread.line is None


def test_what_is_quick_says_nothing(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.telling("something"):
        pass
    assert terminal.getvalue() == ""


def test_no_terminal_no_line(monkeypatch, hurried):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.telling("something"):
        time.sleep(0.01)
    assert sys.stderr.getvalue() == ""
