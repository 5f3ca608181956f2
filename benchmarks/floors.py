"""What this machine can do at most: bytes copied per second, and floating-point operations per second."""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROUNDS = 200_000


def copy_call(nbytes: int) -> Callable[[], None]:
    """A plain copy that reads and writes `nbytes` in all, into memory that is there already."""
    source = np.ones(nbytes // 2, np.uint8)
    target = np.ones(nbytes // 2, np.uint8)
    return lambda: np.copyto(target, source)


def fma_peak(scratch: Path) -> float:
    """Float32 operations per second of one core at most, measured."""
    library = scratch / "floors.so"
    source = Path(__file__).with_name("floors.c")
    subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", "-o", library, source], check=True)
    function = ctypes.CDLL(str(library)).fma_rounds
    function.restype, function.argtypes = ctypes.c_int64, [ctypes.c_int64, ctypes.c_void_p]
    sink = ctypes.c_float()
    rates = []
    for _ in range(15):
        start = time.perf_counter()
        done = function(ROUNDS, ctypes.byref(sink))
        rates.append(done / (time.perf_counter() - start))
    return statistics.median(rates)
