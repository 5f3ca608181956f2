"""Examples in files: what a trace was made on, with what its programs give, checked on any host."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import unmoor
from unmoor import archive
from unmoor.errors import VerifyError
from unmoor.ir.program import Image
from unmoor.jit import specialisations


def saved(traced, **options) -> bytes:
    file = io.BytesIO()
    unmoor.save(traced, file, **options)
    return file.getvalue()


def image_of(data: bytes) -> Image:
    return archive.read(data)


def test_a_file_holds_what_it_was_traced_on():
    x = torch.rand(3, 4)
    data = saved(unmoor.trace(lambda x: torch.softmax(x, -1), x))
    (example,) = image_of(data).examples
    given, expected = example.tensors
    np.testing.assert_array_equal(given.array, x)
    np.testing.assert_allclose(expected.array, torch.softmax(x, -1), rtol=1e-6)
    assert given.tolerance == 0 and 1e-4 < expected.tolerance < 1e-3
    assert unmoor.load(data, trust=True).verify() == f"ok: 1 example gives what the file expects ({engine(data)})"


def engine(data: bytes) -> str:
    return unmoor.load(data, trust=True).engine


def test_every_example_and_method_is_in_it():
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    both = unmoor.trace(net.eval(), torch.rand(2, 3), modes=("train", "eval"))
    assert [e.method for e in image_of(saved(both)).examples] == [0, 1]
    traced = unmoor.trace(lambda x: x * 2 if x.sum() > 0 else x - 1, torch.ones(3))
    traced.add_example(-torch.ones(2, 2))
    data = saved(traced)
    assert [e.tensors[0].shape for e in image_of(data).examples] == [(3,), (2, 2)]
    both.train().methods["forward.train"].add_example(torch.rand(4, 3))
    assert [e.method for e in image_of(saved(both)).examples] == [0, 0, 1]
    flat = unmoor.trace(torch.relu, torch.rand(3))
    flat.add_example(torch.rand(2, 2))
    assert [e.tensors[0].shape for e in image_of(saved(flat)).examples] == [(3,), (2, 2)]
    assert unmoor.load(data).verify().startswith("ok: 2 examples give")


def test_state_changed_arguments_and_draws_are_part_of_it():
    class Walk(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("at", torch.zeros(3))

        def forward(self, x):
            self.at += torch.randn(3)
            x.mul_(2)
            return self.at + x

    traced = unmoor.trace(Walk().eval(), torch.ones(3))
    traced(torch.ones(3))  # examples start from the first state whatever the present one is
    data = saved(traced)
    (example,) = image_of(data).examples
    assert len(example.tensors) == 5  # x; the result, x, at, the generator
    assert data == saved(traced)
    model = unmoor.load(data, trust=True)
    before = model.state()["at"].copy()
    assert model.verify().startswith("ok: 1 example gives")
    np.testing.assert_array_equal(model.state()["at"], before)


def test_the_first_output_that_differs_is_named():
    image = image_of(saved(unmoor.trace(lambda x: (x + 1, x > 0.5), torch.tensor([[0.0, 1.0], [2.0, 3.0]]))))
    (example,) = image.examples
    x, plus, above = example.tensors
    wrong = np.array([[1, 2], [3.5, 4]], np.float32)
    spoilt = replace(example, tensors=(x, replace(plus, data=wrong.tobytes()), above))
    with pytest.raises(
        VerifyError,
        match=r"^example 1 of the method forward: output0\[1, 0\] is 3; expected is 3.5 \(tolerance 0.004\)$",
    ):
        unmoor.load(archive.write(replace(image, examples=(spoilt,)))).verify()
    wrong = np.array([[0, 1], [0, 1]], np.bool_)
    spoilt = replace(example, tensors=(x, plus, replace(above, data=wrong.tobytes())))
    with pytest.raises(VerifyError, match=r"output1\[1, 0\] is 1; expected is 0 \(tolerance 0\)$"):
        unmoor.load(archive.write(replace(image, examples=(spoilt,)))).verify()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int64, torch.uint8])
def test_every_dtype_is_compared(dtype):
    data = saved(unmoor.trace(lambda x: x + x, torch.tensor([1, 2, 3], dtype=dtype)))
    image = image_of(data)
    (example,) = image.examples
    assert unmoor.load(data).verify().startswith("ok: 1 example gives")
    x, sums = example.tensors
    spoilt = replace(example, tensors=(x, replace(sums, data=sums.data[: -sums.dtype.size] + x.data[-x.dtype.size :])))
    with pytest.raises(VerifyError, match=r"output\[2\] is 6; expected is 3 "):
        unmoor.load(archive.write(replace(image, examples=(spoilt,)))).verify()


def test_what_examples_may_take_is_bounded():
    traced = unmoor.trace(lambda x: x * 2, torch.rand(300, 400))
    (small,) = image_of(saved(traced)).examples
    assert small.tensors[0].shape == (7, 7)  # an input made from the example, within the default bound
    (whole,) = image_of(saved(traced, examples=1 << 20)).examples
    assert whole.tensors[0].shape == (300, 400)
    assert image_of(saved(traced, examples=16)).examples[0].tensors[0].shape == (1, 1)
    for none in (False, 0, 7):
        data = saved(traced, examples=none)
        assert image_of(data).examples == ()
        assert unmoor.load(data).verify() == "ok: the file is sound; it holds no examples"
    with pytest.raises(ValueError, match="examples is -1; it is True, False or how many bytes they may take"):
        saved(traced, examples=-1)


def test_files_without_examples_stay_readable_by_older_readers():
    traced = unmoor.trace(lambda x: x + 1, torch.rand(3))
    version = [int.from_bytes(saved(traced, examples=e)[12:16], "little") for e in (True, False)]
    assert version[0] == 4 and version[1] < 4


def test_what_was_compiled_for_an_example_is_not_compiled_again(monkeypatch):
    x = torch.rand(400, 400)  # too large for a file: smaller inputs take its place
    traced = unmoor.trace(lambda x: x + 1, x)
    monkeypatch.setattr(specialisations, "compile_recording", lambda *_: pytest.fail("compiled again"))
    (example,) = image_of(saved(traced, check=False)).examples
    assert example.tensors[0].shape != (400, 400)
    traced.graph_for(x)
