"""Runs machine code in tests: maps a blob into memory, executable, and calls its kernels on NumPy arrays."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unmoor.codegen import host_target
from unmoor.ir.object_code import ObjectCode
from unmoor.ir.target import ALL, X86_64_V4, Target


def runnable() -> tuple[Target, ...]:
    """Targets whose code this processor runs; where it lacks AVX-512, also that code with its vectors split."""
    host = host_target()
    if host is None:
        return ()
    split = (replace(X86_64_V4, name="x86-64-v4, split", cpu=host.cpu),) if host.rank < X86_64_V4.rank else ()
    return (*(t for t in ALL if t.rank <= host.rank), *split)


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
