"""Whole programs: traced, saved, loaded and called at many sizes, against eager PyTorch."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import unmoor
from unmoor.errors import ArchiveError, NotTraced, SignatureError, UnmoorError


def article_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1)
    ).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    net = article_model()
    traced = unmoor.trace(net, torch.tensor([1.2, 3.0, 0.1]))
    traced.add_example(torch.randn(5, 3))
    path = tmp_path_factory.mktemp("model") / "net.unmoor"
    return net, path, unmoor.save(traced, path)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (1, 3), (2, 3), (7, 3), (100000, 3)])
def test_one_file_serves_every_batch(saved, shape):
    net, path, digest = saved
    model = unmoor.load(path, trust=digest)
    x = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(model(x), net(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(x.numpy()), net(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_untrusted_code_is_made_again(saved):
    net, path, _ = saved
    x = torch.ones(4, 3)
    with torch.no_grad():
        torch.testing.assert_close(unmoor.load(path)(x), net(x), rtol=1e-5, atol=1e-6)


def test_a_loaded_model_needs_neither_torch_nor_llvmlite(saved):
    _, path, digest = saved
    program = (
        "import sys; sys.modules['torch'] = sys.modules['llvmlite'] = None\n"
        "import numpy, unmoor\n"
        f"print(unmoor.load({str(path)!r}, trust={digest!r})(numpy.ones(3, 'float32'))[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    with torch.no_grad():
        assert abs(float(done.stdout) - article_model()(torch.ones(3)).item()) < 1e-5


@pytest.mark.parametrize(
    "condition", [lambda x: x.sum() > 0, lambda x: x.sum().item() > 0, lambda x: float(x.sum()) > 0]
)
def test_a_branch_is_checked(condition):
    def f(x):
        if condition(x):
            return x * 2
        return x - 1

    traced = unmoor.trace(f, torch.ones(3))
    torch.testing.assert_close(traced(torch.full((5,), 0.5)), torch.ones(5))
    with pytest.raises(NotTraced, match=r"test_models.py:\d+ .*here it is False"):
        traced(-torch.ones(3))


def test_sum_and_pointwise_at_another_rank():
    total = unmoor.trace(lambda x: x.sum(), torch.tensor([2.0, 2.0]))
    x = torch.randn(3, 3)
    assert total(x).shape == ()
    torch.testing.assert_close(total(x), x.sum())
    pointwise = unmoor.trace(lambda x: torch.sin(x) * x + 1, torch.ones(2))
    torch.testing.assert_close(pointwise(x), torch.sin(x) * x + 1)


def test_constants_fold_to_one_add():
    def f(x):
        a, b, c = torch.tensor(7.0), torch.tensor(11.0), torch.tensor(2.0)
        d = a + b + c
        _ = a + b + c + 25
        return x + d

    traced = unmoor.trace(f, torch.zeros(1))
    assert traced.recorded.count("aten::add") >= 3
    assert traced.graph.count("aten::add") == 1
    assert traced(torch.zeros(1)).item() == 20


def test_the_fused_group_of_the_article():
    def f(x):
        x = x.mul(torch.eye(5)).add(torch.arange(0.0, 25.0).view(5, 5))
        return torch.relu(x).matmul(torch.eye(5))

    traced = unmoor.trace(f, torch.eye(5))
    text = traced.graph_for(torch.eye(5))
    assert text.count("fusion::map") == 1 and text.count("fusion::contract") == 1
    x = torch.randn(5, 5)
    torch.testing.assert_close(traced(x), f(x))


@pytest.mark.parametrize("bad", [torch.ones(4), torch.ones(2, 4), torch.ones(3, dtype=torch.float16), "x"])
def test_bad_inputs_are_refused(saved, bad):
    _, path, digest = saved
    with pytest.raises((UnmoorError, TypeError)):
        unmoor.load(path, trust=digest)(bad)


def test_missing_and_extra_arguments_are_refused(saved):
    _, path, digest = saved
    model = unmoor.load(path, trust=digest)
    for args in ((), (torch.ones(3), torch.ones(3))):
        with pytest.raises((SignatureError, TypeError)):
            model(*args)


def test_damaged_and_foreign_files_are_refused(saved, tmp_path):
    _, path, _ = saved
    (tmp_path / "half").write_bytes(path.read_bytes()[:1000])
    (tmp_path / "zip").write_bytes(b"PK\x03\x04" + bytes(100))
    for name in ("half", "zip"):
        with pytest.raises(ArchiveError):
            unmoor.load(tmp_path / name, trust=True)


def test_file_objects_and_equal_bytes(saved):
    traced = unmoor.trace(article_model(), torch.ones(3))
    first, second = io.BytesIO(), io.BytesIO()
    assert unmoor.save(traced, first) == unmoor.save(traced, second)
    assert first.getvalue() == second.getvalue()
    first.seek(0)
    assert unmoor.load(first, trust=True)(np.ones(3, np.float32)).shape == (1,)


@pytest.mark.parametrize("first", [False, True])
def test_attention_at_other_sizes(first):
    """A transposed, reshaped attention result goes straight into a matmul, whose k axis then splits into two."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=first).eval()
    traced = unmoor.trace(layer, torch.randn(2, 5, 8))
    for shape in [(2, 5, 8), (3, 7, 8), (1, 1, 8)]:
        x = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(traced(x), layer(x), rtol=1e-4, atol=1e-5)


def test_convolutions_at_other_sizes():
    """Padding, batch norm, strides, depthwise and pointwise: one contraction each, and no copy between them."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(32, 32, 3, padding=1, groups=32),
        nn.ReLU6(),
        nn.Conv2d(32, 8, 1),
    ).eval()
    traced = unmoor.trace(net, torch.randn(2, 3, 16, 16))
    for shape in [(2, 3, 16, 16), (1, 3, 9, 13), (0, 3, 8, 8), (5, 3, 32, 7)]:
        x = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(traced(x), net(x), rtol=1e-4, atol=1e-5)
    assert str(traced.graph_for(torch.randn(2, 3, 16, 16))).count("= fusion::") == 6


def test_one_small_matrix_serves_every_batch():
    def fn(x, w):
        return torch.bmm(x, w.unsqueeze(0).expand(3, 8, 9))

    x, w = torch.randn(3, 5, 8), torch.randn(8, 9)
    torch.testing.assert_close(unmoor.trace(fn, x, w)(x, w), fn(x, w))
