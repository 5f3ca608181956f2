"""The C interface by ctypes, and the command line `um`: what programs without Python's compiler and sources get."""

from __future__ import annotations

import ctypes as c
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import unmoor

NATIVE = Path(unmoor.__file__).parent / "native"
DTYPES = {
    np.dtype(n): k
    for k, n in enumerate(("bool", "u1", "i1", "i2", "i4", "i8", "f2", "none", "f4", "f8"), 1)
    if n != "none"
}
NUMPY = {k: n for n, k in DTYPES.items()}
OK, OUT_OF_MEMORY, CANNOT_READ, NOT_UNMOOR, DAMAGED, NEWER_FORMAT = range(6)
WRONG_ARGUMENT, WRONG_INPUT, TOO_SMALL, NOT_TRACED, TOO_LARGE = range(9, 14)


class Tensor(c.Structure):
    """um_tensor."""

    _fields_ = (
        ("data", c.c_void_p),
        ("bytes", c.c_size_t),
        ("shape", c.POINTER(c.c_int64)),
        ("strides", c.POINTER(c.c_int64)),
        ("rank", c.c_int32),
        ("dtype", c.c_int32),
    )

    @classmethod
    def of(cls, array: np.ndarray) -> Tensor:
        shape = (c.c_int64 * max(array.ndim, 1))(*array.shape)
        return cls(array.ctypes.data, array.nbytes, shape, None, array.ndim, DTYPES[array.dtype])

    def array(self) -> np.ndarray:
        """A copy of what it holds."""
        shape = tuple(self.shape[k] for k in range(self.rank))
        raw = c.string_at(self.data, self.bytes) if self.bytes else b""
        return np.frombuffer(raw, NUMPY[self.dtype]).reshape(shape)


class Error(c.Structure):
    """um_error."""

    _fields_ = (("status", c.c_int), ("message", c.c_char * 1024))


class OpenOptions(c.Structure):
    """um_open_options."""

    _fields_ = (
        ("size", c.c_size_t),
        ("trust", c.c_int),
        ("digest", c.c_char_p),
        ("weights", c.c_void_p),
        ("weights_bytes", c.c_size_t),
        ("weights_in", c.c_int),
    )


class SessionOptions(c.Structure):
    """um_session_options."""

    _fields_ = (
        ("size", c.c_size_t),
        ("max_arena_bytes", c.c_size_t),
        ("threads", c.c_size_t),
        ("share", c.c_void_p),
        ("parallel_for", c.c_void_p),
        ("host", c.c_void_p),
    )


class Refused(Exception):
    """A status other than UM_OK, with its message."""

    def __init__(self, status: int, error: Error) -> None:
        self.status, self.message = status, error.message.decode()
        super().__init__(f"{status}: {self.message}")


class Host:
    """A model and a session, as a C program has them. The machine code in the file is trusted."""

    @staticmethod
    def library_of() -> c.CDLL:
        return c.CDLL(str(NATIVE / "lib/libunmoor.so"))

    def __init__(self, data: bytes, max_arena_bytes: int = 0, threads: int = 0) -> None:
        self.library = self.library_of()
        self.library.um_state_name.restype = self.library.um_assumptions_text.restype = c.c_char_p
        self.library.um_state_count.restype = c.c_size_t
        self.data, self.model, self.session = data, c.c_void_p(), c.c_void_p()
        options = OpenOptions(c.sizeof(OpenOptions), 1, None, None, 0, 0)
        self.check("um_open_memory", data, c.c_size_t(len(data)), c.byref(options), c.byref(self.model))
        how = SessionOptions(c.sizeof(SessionOptions), max_arena_bytes, threads)
        self.check("um_session_new", self.model, c.byref(how), c.byref(self.session))

    def check(self, function: str, *arguments: object) -> None:
        """Calls a function whose last parameter is a um_error; Refused where it fails."""
        error = Error()
        status = getattr(self.library, function)(*arguments, c.byref(error))
        if status:
            assert error.status == status
            raise Refused(status, error)

    def run(
        self, *arrays: np.ndarray, outputs: int = 1, room: Sequence[np.ndarray] | None = None, method: str = ""
    ) -> list[np.ndarray]:
        """um_run of a method, of the first by default; `room` is the caller's memory for the outputs."""
        number = c.c_size_t(0)
        if method:
            self.check("um_method_find", self.model, method.encode(), c.byref(number))
        inputs = (Tensor * len(arrays))(*map(Tensor.of, arrays))
        made = (Tensor * outputs)(*map(Tensor.of, room or ()))
        count = c.c_size_t(len(arrays))
        self.check("um_run", self.session, number, inputs, count, made, c.c_size_t(outputs))
        return [t.array() for t in made]

    def state_names(self) -> list[str]:
        count = self.library.um_state_count(self.model)
        return [self.library.um_state_name(self.model, c.c_size_t(k)).decode() for k in range(count)]

    def state(self, number: int) -> np.ndarray:
        tensor = Tensor()
        self.check("um_session_state", self.session, c.c_size_t(number), c.byref(tensor))
        return tensor.array()

    def set_state(self, number: int, value: np.ndarray) -> None:
        tensor = Tensor.of(value)
        self.check("um_session_set_state", self.session, c.c_size_t(number), c.byref(tensor))

    def seed(self, number: int) -> None:
        self.check("um_session_seed", self.session, c.c_int64(number))

    def reset_state(self) -> None:
        self.check("um_session_reset_state", self.session)

    def close(self) -> None:
        self.library.um_session_free(self.session)
        self.library.um_model_free(self.model)


def um(folder: Path, *words: str) -> tuple[int, str, str]:
    """Runs `um` in a folder: exit code, output, errors."""
    done = subprocess.run([NATIVE / "bin/um", *words], cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr
