"""Outputs whose sizes a call finds, by the C interface: told before and after; whose memory they are in."""

from __future__ import annotations

import ctypes as c
from pathlib import Path

import numpy as np
import pytest
from tests.archive_images import copies, finding

import unmoor
from unmoor import archive

LIBRARY = Path(unmoor.__file__).parent / "native/lib/libunmoor.so"
TOO_SMALL = 11


class Tensor(c.Structure):
    _fields_ = (
        ("data", c.c_void_p),
        ("bytes", c.c_size_t),
        ("shape", c.POINTER(c.c_int64)),
        ("strides", c.POINTER(c.c_int64)),
        ("rank", c.c_int32),
        ("dtype", c.c_int32),
    )


def given(array: np.ndarray, dtype: int) -> Tensor:
    return Tensor(array.ctypes.data, array.nbytes, (c.c_int64 * 1)(*array.shape), None, array.ndim, dtype)


@pytest.fixture
def call():
    """call(outputs) -> status, after um_prepare and after um_execute; keeps the inputs of the session."""
    library = c.CDLL(str(LIBRARY))
    data = archive.write(copies(finding()))
    model, session, error = c.c_void_p(), c.c_void_p(), c.create_string_buffer(4 + 1024)
    assert library.um_open_memory(data, c.c_size_t(len(data)), None, c.byref(model), error) == 0
    assert library.um_session_new(model, None, c.byref(session), error) == 0
    mask, row = np.array([1, 0, 1, 1], np.bool_), np.arange(3, dtype=np.float32)
    inputs = (Tensor * 2)(given(mask, 1), given(row, 9))

    def prepare(outputs):
        return library.um_prepare(session, c.c_size_t(0), inputs, c.c_size_t(2), outputs, c.c_size_t(3), error)

    def execute(outputs):
        return library.um_execute(session, outputs, c.c_size_t(3), error)

    prepare.keep = (mask, row, inputs, data)
    yield prepare, execute
    library.um_session_free(session)
    library.um_model_free(model)


def test_dims_are_told_when_they_are_found(call) -> None:
    prepare, execute = call
    outputs = (Tensor * 3)()
    assert prepare(outputs) == 0
    assert outputs[0].shape[0] == -1 and outputs[0].bytes == 32 and outputs[2].shape[0] == 3
    assert execute(outputs) == 0
    assert outputs[0].shape[0] == 3 and outputs[0].bytes == 24
    assert list((c.c_int64 * 3).from_address(outputs[1].data)) == [0, 2, 3]
    assert prepare(outputs) == 0 and outputs[0].shape[0] == -1


@pytest.mark.parametrize("room", [2, 3, 4])
def test_the_callers_memory(call, room: int) -> None:
    prepare, execute = call
    outputs = (Tensor * 3)()
    assert prepare(outputs) == 0
    memory = np.full(room + 1, 99, np.int64)
    outputs[0].data, outputs[0].bytes = memory.ctypes.data, room * 8
    outputs[1].data = outputs[2].data = None
    status = execute(outputs)
    assert outputs[0].bytes == 24 and outputs[0].data == memory.ctypes.data
    if room < 3:
        assert status == TOO_SMALL and (memory == 99).all()
    else:
        assert status == 0 and memory[:3].tolist() == [0, 2, 3] and memory[room] == 99
