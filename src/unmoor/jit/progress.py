"""One line on a terminal that says what takes long: shown after two seconds, gone when it is done."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = 2.0  # seconds without a word
EACH = 0.5  # seconds from one look at the clock to the next

_thread = threading.local()


class _Line:
    """What this thread does now, written to standard error by a thread of its own."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._started = time.monotonic()
        self._done = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def _write(self) -> None:
        if self._done.wait(QUIET):
            return
        while True:
            seconds = time.monotonic() - self._started
            sys.stderr.write(f"\r\033[Kunmoor: {self.what} ({seconds:.0f} s)")
            sys.stderr.flush()
            if self._done.wait(EACH):
                break
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()

    def close(self) -> None:
        self._done.set()
        self._writer.join()


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Tells, on a terminal, what goes on inside; a step within a longer one takes its place for a while."""
    line: _Line | None = getattr(_thread, "line", None)
    if line is not None:
        before, line.what = line.what, what
        try:
            yield
        finally:
            line.what = before
        return
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    line = _thread.line = _Line(what)
    try:
        yield
    finally:
        _thread.line = None
        line.close()
