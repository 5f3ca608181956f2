"""Machine code in a file, run from Python: made by codegen from a kernel, saved, opened, called."""

from __future__ import annotations

import numpy as np
import pytest
from tests.archive_images import add_kernel, image

from unmoor import archive, codegen, runtime
from unmoor.errors import NotTraced
from unmoor.ir.target import ALL

W = np.array([1, 10, 100], np.float32)


@pytest.fixture(scope="module")
def data() -> bytes:
    return archive.write(image(tuple(codegen.generate([add_kernel()], target) for target in ALL)))


def test_a_kernel_runs_at_every_size(data: bytes) -> None:
    model = runtime.open(data, trust=archive.digest(data))
    assert model.engine.startswith("native x86-64-v")
    for n in (0, 3, 9, 12, 3000, 300_000):
        x = np.arange(n, dtype=np.float32)
        np.testing.assert_array_equal(model(x), x + np.resize(W, n))
        np.testing.assert_array_equal(model.again(x), x + np.resize(W, n))


def test_a_check_names_the_line_of_the_user(data: bytes) -> None:
    model = runtime.open(data, trust=True)
    with pytest.raises(NotTraced, match=r"^model.py:12 the length is a multiple of 3$"):
        model.again(np.ones(4, np.float32))


def test_weights_kept_apart_are_used_where_they_lie(data: bytes) -> None:
    kept = archive.WeightsApart()
    file = archive.write_apart(archive.read(data), kept)
    model = runtime.open(file, trust=True, weights=kept.section)
    x = np.zeros(3, np.float32)
    np.testing.assert_array_equal(model(x), W)
    np.asarray(kept.section).view(np.float32)[1] = 20
    np.testing.assert_array_equal(model(x), [1, 20, 100])
