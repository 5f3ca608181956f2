"""Status codes of the native runtime as Unmoor's exceptions."""

from __future__ import annotations

from enum import IntEnum

from unmoor.errors import (
    ArchiveError,
    NotTraced,
    NotTrusted,
    SignatureError,
    UnmoorError,
    Unsupported,
    VerifyError,
)


class Status(IntEnum):
    """`um_status` of unmoor.h, with NOT_RUN for a call that its fast path did not try.

    NOT_PREPARED: its sizes break an assumption of the trace, which another program for them may not do.
    """

    NOT_PREPARED = -2
    NOT_RUN = -1
    OK = 0
    OUT_OF_MEMORY = 1
    CANNOT_READ = 2
    NOT_UNMOOR = 3
    DAMAGED = 4
    NEWER_FORMAT = 5
    NOT_TRUSTED = 6
    WRONG_DIGEST = 7
    NO_CODE_FOR_CPU = 8
    WRONG_ARGUMENT = 9
    WRONG_INPUT = 10
    OUTPUT_TOO_SMALL = 11
    NOT_TRACED = 12
    TOO_LARGE = 13
    WRONG_RESULT = 14


CLASSES: dict[Status, type[Exception]] = {
    Status.OUT_OF_MEMORY: MemoryError,
    Status.CANNOT_READ: OSError,
    Status.NOT_UNMOOR: ArchiveError,
    Status.DAMAGED: ArchiveError,
    Status.NEWER_FORMAT: ArchiveError,
    Status.NOT_TRUSTED: NotTrusted,
    Status.WRONG_DIGEST: NotTrusted,
    Status.NO_CODE_FOR_CPU: Unsupported,
    Status.WRONG_ARGUMENT: SignatureError,
    Status.WRONG_INPUT: SignatureError,
    Status.NOT_TRACED: NotTraced,
    Status.TOO_LARGE: SignatureError,
    Status.WRONG_RESULT: VerifyError,
    Status.NOT_PREPARED: NotTraced,
}


def error_of(status: int, message: str) -> Exception:
    """The exception of a status; a status that no caller of ours can cause is an UnmoorError."""
    return CLASSES.get(Status(status), UnmoorError)(message)
