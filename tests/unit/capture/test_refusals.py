"""What is not supported is refused at once: the op, the user's line, what is near, the way out."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import unmoor
from unmoor.capture import record
from unmoor.errors import Unsupported, VerifyError
from unmoor.ops import TABLE


def test_an_unknown_op_names_the_line_and_what_is_near():
    def f(x):
        return torch.special.airy_ai(x) + 1

    line = f.__code__.co_firstlineno + 1
    with pytest.raises(Unsupported) as error:
        record(f, (torch.ones(3),))
    text = str(error.value)
    assert f"test_refusals.py:{line}: the op special_airy_ai.default" in text
    assert "docs/add-an-op.md" in text and text.endswith("return torch.special.airy_ai(x) + 1")
    with pytest.raises(Unsupported, match=r"near it: .*\blgamma"):
        record(torch.igamma, (torch.ones(3), torch.ones(3)))


def test_a_size_without_a_bound_is_named():
    with pytest.raises(Unsupported, match=r"test_refusals.py:\d+: aten::bincount: .* number of classes as minlength"):
        unmoor.trace(lambda x: torch.bincount(x), torch.ones(3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("torch.func.vmap", lambda: lambda x: torch.func.vmap(torch.sum)(x)),
        ("torch.func.functionalize", lambda: torch.func.functionalize(torch.sum)),
        ("torch.func.jvp", lambda: lambda x: torch.func.jvp(torch.sum, (x,), (x,))),
        ("torch.func.grad", lambda: torch.func.grad(torch.sum)),
        ("complex64.*view_as_real", lambda: lambda x: x.to(torch.complex64)),
        ("dtype complex32", lambda: lambda x: torch.zeros(2, dtype=torch.complex32) + x),
        ("inside a trace", lambda: lambda x: record(torch.sum, (x,)) and x),
        ("aten::sum.default with|is not supported", lambda: lambda x: torch.ops.aten.special_airy_ai(x)),
    ],
)
def test_refused_by_name(what, make):
    with pytest.raises(Unsupported, match=what):
        record(make(), (torch.ones(2, 2, requires_grad=True),))


def test_another_default_dtype_is_refused():
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(Unsupported, match="set_default_dtype"):
            record(torch.sum, (torch.ones(2),))
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_wrong_type_rule_is_found(monkeypatch):
    from dataclasses import replace

    from unmoor.capture import schemas

    op = TABLE["aten::relu"]
    wrong = replace(op, infer=TABLE["aten::eq"].infer and (lambda facts, x: TABLE["aten::eq"].infer(facts, x, x)))
    monkeypatch.setitem(TABLE, "aten::relu", wrong)
    schemas.plan.cache_clear()
    with pytest.raises(VerifyError, match="aten::relu"):
        record(torch.relu, (torch.ones(2),))
    schemas.plan.cache_clear()


def test_importing_unmoor_does_not_import_torch():
    code = "import sys, unmoor, unmoor.capture; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_code_without_source_is_traced_too():
    scope: dict[str, object] = {}
    exec("def f(x):\n    return x + 1 if float(x.sum()) > 0 else x\n", scope)
    recording = record(scope["f"], (torch.ones(2),))  # type: ignore[arg-type]
    assert [n.op for n in recording.graph.nodes][1:4] == ["prim::item", "prim::compare", "prim::guard"]


def test_other_operators_that_take_functions_are_refused_by_name():
    operator = torch.ops.higher_order.map_impl
    with pytest.raises(Unsupported, match=r"test_refusals.py:\d+.*operator map_impl is not supported.*torch.cond"):
        record(lambda x: operator(lambda y: y + 1, [x], []), (torch.ones(2),))
