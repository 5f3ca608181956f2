"""Every error that Unmoor raises. Messages say what happened, where in the user's code, and the way out."""

from __future__ import annotations


class UnmoorError(Exception):
    """Base of all errors raised by Unmoor."""


class NotTraced(UnmoorError):
    """A call breaks an assumption of the trace: a branch, value or size that no example showed."""


class Unsupported(UnmoorError):
    """The program uses an op, dtype or feature that Unmoor does not support; the text names it."""


class SignatureError(UnmoorError, TypeError):
    """A call's arguments (count, structure, rank, dtype, fixed dim) do not fit any known signature."""


class ArchiveError(UnmoorError, ValueError):
    """A file is not an Unmoor archive, is damaged, or is of a newer format version."""


class NotTrusted(UnmoorError):
    """The file's machine code may not run: the caller has not trusted it, or gave another digest."""


class MissingDependency(UnmoorError, ImportError):
    """An optional package is needed for what was asked; the text holds the command that brings it."""


class VerifyError(UnmoorError):
    """A graph, kernel or program breaks a rule of its level. In a compiled program: a bug of Unmoor."""
