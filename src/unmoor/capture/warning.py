"""The warning of capture."""

from __future__ import annotations


class TrainingModeWarning(UserWarning):
    """A module was traced in training mode, in which dropout and batch norm do not do what deployment needs."""
