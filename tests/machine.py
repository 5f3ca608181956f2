"""Runs machine code in tests: maps a blob into memory, executable, and calls its kernels on NumPy arrays."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

import numpy as np

from unmoor.ir.object_code import ObjectCode

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Machine:
    """Object code in executable memory; `call` runs one kernel."""

    def __init__(self, code: ObjectCode) -> None:
        size = len(code.blob) + 4096
        self.address = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, 0x22, -1, 0)
        ctypes.memmove(self.address, code.blob, len(code.blob))
        assert libc.mprotect(self.address, size, mmap.PROT_READ | mmap.PROT_EXEC) == 0
        self.functions = {name: KERNEL(self.address + at) for name, at in code.entries.items()}

    def call(self, name: str, buffers: Sequence[np.ndarray], ints: Sequence[int], begin: int, end: int) -> None:
        """Iterations [begin, end) of a kernel, on flat arrays."""
        pointers = (ctypes.c_void_p * max(len(buffers), 1))(*(b.ctypes.data for b in buffers))
        sizes = (ctypes.c_int64 * max(len(ints), 1))(*ints)
        self.functions[name](ctypes.addressof(pointers), ctypes.addressof(sizes), begin, end)
