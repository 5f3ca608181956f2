"""Traced functions as the user holds them: what they show, their Python source, and how they refuse calls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import unmoor


class Pair(NamedTuple):
    mean: torch.Tensor
    top: torch.Tensor


def sizes_and_views(x):
    n, d = x.shape
    y = x.reshape(n * d)[1:] * (d - 1)
    return Pair(y.mean(), torch.cat([y, y.new_zeros(2)]).argmax())


def branch(x, scale=2.0):
    if x.sum().item() > 0 and x.shape[0] > 1:
        return [torch.softmax(x, -1) * scale, {"largest": x.max(dim=-1).values}]
    return [x, {}]


def written(x):
    y = x * 2
    y += torch.arange(x.shape[-1])
    return y.clamp(min=0.5)


MLP = nn.Sequential(nn.Linear(4, 32), nn.GELU(), nn.LayerNorm(32), nn.Dropout(0.5), nn.Linear(32, 2)).eval()
PROGRAMS = [(sizes_and_views, (3, 4)), (branch, (2, 3)), (written, (3, 5)), (MLP, (6, 4))]


def leaves(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in leaves(v)]
    return [leaf for v in value for leaf in leaves(v)]


@pytest.mark.parametrize(("fn", "shape"), PROGRAMS, ids=["views", "branch", "written", "mlp"])
def test_code_is_runnable_python(fn, shape) -> None:
    traced = unmoor.trace(fn, torch.rand(shape) + 0.1)
    namespace: dict = {}
    exec(str(traced.code), namespace)
    function = namespace[traced.code.split("def ")[1].split("(")[0]]
    x = torch.rand(shape[0] + 2, *shape[1:]) + 0.1
    weights = {n: torch.from_numpy(w.copy()) for n, w in traced.weights.items()}
    with torch.no_grad():
        got, want = function(x, **({"weights": weights} if weights else {})), fn(x)
    for g, w, t in zip(leaves(got), leaves(want), leaves(traced(x)), strict=True):
        torch.testing.assert_close(g, w)
        torch.testing.assert_close(t, w)


def test_code_keeps_the_guards() -> None:
    traced = unmoor.trace(branch, torch.rand(2, 3))
    namespace: dict = {}
    exec(str(traced.code), namespace)
    with pytest.raises(AssertionError, match="here it is False"):
        namespace["branch"](-torch.rand(2, 3))


def test_every_level_prints() -> None:
    x = torch.rand(6, 4)
    traced = unmoor.trace(MLP, x)
    with torch.no_grad():
        assert "aten::dropout" in traced.recorded
        assert "aten::linear" in traced.graph
        assert "# specialise" in traced.passes_for(x) and "# dead_code" in traced.passes_for(x)
        assert "# signature (input: f32[s0, 4])" in traced.graph_for(x) and "fusion::" in traced.graph_for(x)
        assert "contract" in traced.kernels_for(x)
        assert "vfmadd" in traced.assembly_for(x)
        assert "call " in traced.bytecode_for(x)
    assert repr(traced.graph) == str(traced.graph)
    assert "(input: f32[s0, 4]) -> (f32[s0, 2])" in repr(traced)


def test_assumptions_fit_a_screen_and_the_important_ones_come_first() -> None:
    lines = unmoor.trace(branch, torch.rand(2, 3)).assumptions.splitlines()
    assert lines[0].startswith("branch on data, checked: takes the branch `x.sum().item() > 0`  # ")
    assert "test_traced.py:" in lines[0] and "| if x.sum().item() > 0 and x.shape[0] > 1:" in lines[0]

    def many(x):
        for k in range(40):
            if x.sum() > -k:
                x = x + 1
        return x

    lines = unmoor.trace(many, torch.ones(2)).assumptions.splitlines()
    assert len(lines) <= 24


def test_a_trace_is_a_snapshot() -> None:
    net = nn.Linear(3, 1)
    x = torch.ones(3)
    traced = unmoor.trace(net, x)
    with torch.no_grad():
        before = net(x)
        net.weight.add_(1)
        torch.testing.assert_close(traced(x), before)


def test_an_input_that_requires_grad_is_refused_while_gradients_are_on() -> None:
    traced = unmoor.trace(torch.relu, torch.ones(2))
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(unmoor.SignatureError, match="requires grad"):
        traced(x)
    with torch.no_grad():
        torch.testing.assert_close(traced(x), x)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "text"),
    [
        ((), {}, unmoor.SignatureError, "lacks x"),
        ((torch.ones(2, 3), 2.0, 1), {}, unmoor.SignatureError, "too many"),
        ((torch.ones(2, 3), 3.0), {}, unmoor.SignatureError, "was 2.0 in the trace"),
        ((torch.ones(2, 3).to(torch.complex64), 2.0), {}, unmoor.UnmoorError, "complex64"),
        ((torch.ones(3), 2.0), {}, unmoor.UnmoorError, "rank|dim|axes|axis"),
        ((3.0, 2.0), {}, unmoor.SignatureError, "float|number"),
    ],
)
def test_calls_that_do_not_fit(arguments, keywords, error, text) -> None:
    def fixed(x, scale):
        rows, columns = x.shape
        return x * scale + rows - columns

    traced = unmoor.trace(fixed, torch.ones(2, 3), 2.0)
    with pytest.raises(error, match=text):
        traced(*arguments, **keywords)


def test_an_op_that_is_not_supported_names_it_and_the_line() -> None:
    with pytest.raises(unmoor.Unsupported, match=r"test_traced.py:\d+.*airy_ai"):
        unmoor.trace(lambda x: torch.special.airy_ai(x), torch.ones(2, 2))


def test_arguments_may_be_given_by_name_on_a_miss() -> None:
    traced = unmoor.trace(lambda x, y: x + y, torch.ones(2), torch.ones(2))
    torch.testing.assert_close(traced(torch.ones(2, 2), y=torch.ones(2)), torch.full((2, 2), 2.0))
    assert len(traced.signatures) == 2


def test_saved_to_a_path_a_file_object_and_bytes_the_file_is_the_same(tmp_path) -> None:
    import io

    traced = unmoor.trace(MLP, torch.rand(6, 4))
    digest = unmoor.save(traced, tmp_path / "m.unmoor")
    stream = io.BytesIO()
    assert unmoor.save(traced, stream) == digest
    assert stream.getvalue() == traced.to_bytes() == (tmp_path / "m.unmoor").read_bytes()
    stream.seek(0)
    x = np.ones((2, 4), np.float32)
    for source in (tmp_path / "m.unmoor", str(tmp_path / "m.unmoor"), traced.to_bytes(), stream):
        model = unmoor.load(source, trust=digest)
        with torch.no_grad():
            np.testing.assert_allclose(model(x), MLP(torch.from_numpy(x)), atol=1e-5)


def test_a_loaded_model_compiles_signatures_that_its_file_lacks() -> None:
    data = unmoor.trace(MLP, torch.rand(6, 4)).to_bytes()
    for trust in (True, False):
        model = unmoor.load(data, trust=trust)
        for shape in ((4,), (2, 3, 4), (4,)):
            x = torch.rand(shape)
            with torch.no_grad():
                torch.testing.assert_close(model(x), MLP(x), atol=1e-5, rtol=1e-5)
        with pytest.raises(unmoor.SignatureError, match=r"input"):
            model(torch.rand(2, 5))


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "m.unmoor"
    path.write_text("old")
    traced = unmoor.trace(torch.relu, torch.ones(2))
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        unmoor.save(traced, path)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["m.unmoor"]


def test_the_signature_text_is_one_for_all_calls_of_a_size() -> None:
    traced = unmoor.trace(lambda x, y: x * y, torch.ones(2, 3), torch.ones(2, 3))
    for n in (0, 1, 2, 7):
        assert traced(torch.ones(n, 3), torch.ones(n, 3)).shape == (n, 3)
    assert len(traced.signatures) <= 2


def test_a_loaded_model_compiles_after_its_file_is_gone(tmp_path):
    path = tmp_path / "model.unmoor"
    unmoor.save(unmoor.trace(lambda x: x * 2, torch.ones(3)), path)
    model = unmoor.load(path, trust=True)
    path.unlink()
    assert torch.equal(model(torch.ones(2, 2)), torch.full((2, 2), 2.0))


def test_assembly_tells_kernels_of_one_name_apart():
    x = torch.randn(1, 5, 3)
    traced = unmoor.trace(torch.nn.LSTM(3, 4, batch_first=True).eval(), x)
    assert "vfmadd" in traced.assembly_for(x)
