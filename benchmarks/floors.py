"""What this machine can do at most: bytes moved per second, and floating-point operations per second."""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROUNDS = 200_000
STEP = 64  # floats that `move` moves at a time


class Machine:
    """The C functions of floors.c, built for this processor."""

    def __init__(self, scratch: Path) -> None:
        library = scratch / "floors.so"
        source = Path(__file__).with_name("floors.c")
        subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source], check=True)
        self.library = ctypes.CDLL(str(library))
        self.sink = ctypes.c_float()

    def fma_peak(self) -> float:
        """Float32 operations per second of one core at most, measured."""
        function = self.library.fma_rounds
        function.restype, function.argtypes = ctypes.c_int64, [ctypes.c_int64, ctypes.c_void_p]
        rates = []
        for _ in range(15):
            start = time.perf_counter()
            done = function(ROUNDS, ctypes.byref(self.sink))
            rates.append(done / (time.perf_counter() - start))
        return statistics.median(rates)

    def move_call(self, read: int, written: int) -> Callable[[], None]:
        """Moves so many bytes from and to memory that is there already."""
        floats = [-(-n // 4 // STEP) * STEP for n in (read, written)]
        source, target = (np.ones(max(n, STEP), np.float32) for n in floats)
        function = self.library.move
        function.restype = None
        function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
        place, goal, sink = source.ctypes.data, target.ctypes.data, ctypes.byref(self.sink)
        keep = (source, target)
        return lambda: keep and function(place, floats[0], goal, floats[1], sink)


def copy_call(nbytes: int) -> Callable[[], None]:
    """A plain copy that reads and writes `nbytes` in all, into memory that is there already."""
    source = np.ones(nbytes // 2, np.uint8)
    target = np.ones(nbytes // 2, np.uint8)
    return lambda: np.copyto(target, source)
