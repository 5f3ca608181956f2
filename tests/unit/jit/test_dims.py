"""Names, ranges and pins of dims: shown by the signature, held at every call, in every host, from the file, too."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import unmoor
from unmoor import archive, runtime
from unmoor.errors import SignatureError


def scaled(x, y):
    return x * 2 + y


def rows(x, y):
    return x.sum(1) + y


DIMS = {"x": ("batch", None), "y": ("batch",)}


def test_names_stand_in_the_signature_and_in_the_graph():
    traced = unmoor.trace(rows, torch.rand(4, 3), torch.rand(4), dims=DIMS)
    assert traced.signatures == ("(x: f32[batch, s1], y: f32[batch]) -> (f32[batch])",)
    shown = str(traced.graph_for(torch.rand(4, 3), torch.rand(4)))
    assert "graph rows(%x : f32[batch, s1], %y : f32[batch])" in shown and "s0" not in shown
    assert "f32[batch]" in str(traced.passes_for(torch.rand(4, 3), torch.rand(4)))
    assert "prim::dims(%x" in str(traced.recorded)
    assert "the dims of x are batch, any, as `dims` says" in traced.assumptions


def test_equal_names_are_equal_sizes():
    traced = unmoor.trace(scaled, torch.rand(4), torch.rand(4), dims={"x": ("n",), "y": ("n",)})
    for n in (0, 1, 2, 7, 1000):
        x, y = torch.rand(n), torch.rand(n)
        torch.testing.assert_close(traced(x, y), scaled(x, y))
    with pytest.raises(
        SignatureError, match=r"dim 0 of y is 1 and dim 0 of x is 4 here; `dims` of the trace says n of both"
    ):
        traced(torch.rand(4), torch.rand(1))
    with pytest.raises(
        SignatureError, match=r"dim 0 of y is 5 and dim 0 of x is 4 here; `dims` of the trace says n of both"
    ):
        unmoor.trace(lambda x, y: x.sum() + y, torch.rand(4), torch.rand(5), dims={"x": ("n",), "y": ("n",)})
    with pytest.raises(SignatureError, match="x has 2 dims here, and 1 as `dims` of the trace says"):
        traced(torch.rand(2, 2), torch.rand(2))


def test_a_number_pins():
    traced = unmoor.trace(lambda x: x.relu(), torch.rand(4, 3), dims={"x": ("batch", 3)})
    assert traced.signatures == ("(x: f32[batch, 3]) -> (f32[batch, 3])",)
    assert traced(torch.rand(9, 3)).shape == (9, 3)
    with pytest.raises(SignatureError, match=r"dim 1 of x is 4 here, and 3 as `dims` of the trace says"):
        traced(torch.rand(4, 4))
    with pytest.raises(SignatureError, match=r"dim 1 of x is 5 here, and 3 as `dims` of the trace says"):
        unmoor.trace(lambda x: x.relu(), torch.rand(4, 5), dims={"x": ("batch", 3)})


def test_a_range_bounds():
    traced = unmoor.trace(lambda x: x + 1, torch.rand(4), dims={"x": (unmoor.Dim("batch", min=2, max=64),)})
    assert traced.signatures == ("(x: f32[batch]) -> (f32[batch]) where 2 <= batch, batch <= 64",)
    assert traced(torch.rand(64)).shape == (64,) and traced(torch.rand(2)).shape == (2,)
    with pytest.raises(
        SignatureError, match=r"dim 0 of x is 65 here, and `dims` of the trace says that batch is at most 64"
    ):
        traced(torch.rand(65))
    with pytest.raises(
        SignatureError, match=r"dim 0 of x is 1 here, and `dims` of the trace says that batch is at least 2"
    ):
        traced(torch.rand(1))
    with pytest.raises(SignatureError, match=r"dim 0 of x is 65 here, .* batch is at most 64"):
        unmoor.trace(lambda x: x + 1, torch.rand(65), dims={"x": (unmoor.Dim("batch", max=64),)})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 2)

    def forward(self, x):
        return self.l(x)


def test_a_name_that_the_program_pins_is_refused_with_the_line():
    with pytest.raises(
        SignatureError,
        match=r"`dims` names a dim features, and .*test_dims.py:\d+ `return self.l\(x\)` needs its size to be 3: "
        "write 3 or None in place of the name$",
    ):
        unmoor.trace(Net().eval(), torch.rand(4, 3), dims={"x": ("batch", "features")})
    with pytest.raises(SignatureError, match=r"needs its size to be 1: .*, or trace with another size than 1, if"):
        unmoor.trace(lambda x: x.expand(5), torch.rand(1), dims={"x": ("n",)})
    with pytest.raises(
        SignatureError,
        match=r"`dims` has the names a and b, and .*:\d+ `return x \* 2 \+ y` needs these dims to be equal: give",
    ):
        unmoor.trace(scaled, torch.rand(4), torch.rand(4), dims={"x": ("a",), "y": ("b",)})
    traced = unmoor.trace(Net().eval(), torch.rand(4, 3), dims={"x": ("batch", None)})
    assert traced.signatures == ("(x: f32[batch, 3]) -> (f32[batch, 2])",)


def test_a_size_that_a_call_pins_is_a_signature_of_its_own():
    traced = unmoor.trace(lambda x, y: x * y, torch.rand(4), torch.rand(3, 1), dims={"x": ("n",)})
    x, y = torch.rand(1), torch.rand(3, 2)
    torch.testing.assert_close(traced(x, y), x * y)


@pytest.mark.parametrize(
    ("dims", "error", "said"),
    [
        (3, TypeError, "dims is 3; it says of inputs what their dims are: dims={'x': ('batch', None)}. To hand an"),
        ({"z": ("n",)}, ValueError, "dims tells of 'z', which is no input; the inputs are x, y"),
        ({"x": "batch"}, TypeError, "dims tells of x 'batch'; a tuple with an entry for each of its dims is wanted"),
        ({"x": ("n", 3)}, ValueError, "dims tells of 2 dims of x, which has 1: it is [4] in the example"),
        (
            {"x": (2.5,)},
            TypeError,
            "dims tells of dim 0 of x 2.5; a name, a size, None (as the trace finds it) or unmoor.Dim",
        ),
        ({"x": (True,)}, TypeError, "dims tells of dim 0 of x True; a name"),
        ({"x": (-1,)}, ValueError, "dims tells of dim 0 of x that it is -1; a size is not negative"),
        ({"x": ("s0",)}, ValueError, "dims tells of dim 0 of x the name 's0'; letters, digits and _ make a name, but"),
        ({"x": ("a b",)}, ValueError, "dims tells of dim 0 of x the name 'a b'; letters"),
        ({"x": (unmoor.Dim("n", 3, 2),)}, ValueError, "dims tells of dim 0 of x that n is from 3 to 2: no size is"),
        (
            {"x": (unmoor.Dim("n", max=9),), "y": (unmoor.Dim("n", max=8),)},
            ValueError,
            "dims tells of dim 0 of y another range of n than before: from 0 to 8 and from 0 to 9",
        ),
    ],
)
def test_what_makes_no_sense_is_said(dims, error, said):
    with pytest.raises(error, match=re.escape(said)):
        unmoor.trace(scaled, torch.rand(4), torch.rand(4), dims=dims)


def test_a_file_holds_its_callers_to_the_names(tmp_path):
    dims = {"x": (unmoor.Dim("batch", max=64), None), "y": ("batch",)}
    traced = unmoor.trace(rows, torch.rand(4, 3), torch.rand(4), dims=dims)
    unmoor.save(traced, tmp_path / "rows.unmoor")
    signature = "(x: f32[batch, s1], y: f32[batch]) -> (f32[batch]) where batch <= 64"
    (method,) = archive.read(tmp_path / "rows.unmoor").methods
    assert str(method.programs[0].signature) == signature
    plain = runtime.open(tmp_path / "rows.unmoor", trust=True)  # nothing is compiled there
    assert plain.signatures == (signature,)
    x, y = np.ones((5, 3), np.float32), np.ones(5, np.float32)
    np.testing.assert_array_equal(plain(x, y), x.sum(1) + y)
    with pytest.raises(SignatureError, match=r"dim 0 of input 1 \(y\) is 4; the signature .* wants 5"):
        plain(x, y[:4])
    with pytest.raises(SignatureError, match="`dims` of the trace says that batch is at most 64, in the signature"):
        plain(np.ones((65, 3), np.float32), np.ones(65, np.float32))
    loaded = unmoor.load(
        tmp_path / "rows.unmoor", trust=True
    )  # compiles for what does not fit, from the recorded graph
    with pytest.raises(
        SignatureError, match="dim 0 of x is 65 here, and `dims` of the trace says that batch is at most"
    ):
        loaded(np.ones((65, 3), np.float32), np.ones(65, np.float32))
    with pytest.raises(SignatureError, match="x has 1 dims here, and 2 as `dims` of the trace says"):
        loaded(np.ones(3, np.float32), np.ones(3, np.float32))
    shown = subprocess.run(
        [sys.executable, "-m", "unmoor", "info", str(tmp_path / "rows.unmoor")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert signature in shown


def test_other_dtypes_and_examples_keep_the_names():
    traced = unmoor.trace(scaled, torch.rand(4), torch.rand(4), dims={"x": ("n",), "y": ("n",)})
    traced(torch.rand(4).double(), torch.rand(4).double())
    assert traced.signatures[1] == "(x: f64[n], y: f64[n]) -> (f64[n])"
    branches = unmoor.trace(lambda x: x * 2 if x.sum() > 0 else x - 1, torch.ones(3), dims={"x": ("n",)})
    branches.add_example(-torch.ones(5))
    assert branches.signatures[0].startswith("(x: f32[n]) -> (f32[n])") and branches(-torch.ones(2)).tolist() == [
        -2,
        -2,
    ]
    assert str(branches.check()).startswith("checked on ")


def test_names_that_kernels_use_themselves_are_free():
    """Loops and roles of kernels have names, too: those of the user must not meet them."""
    for name in ("i0", "i1", "k", "m", "n", "batch", "rows", "z", "j0_1", "n0", "kc"):
        traced = unmoor.trace(
            lambda x, y: torch.softmax(x @ y, 0).cumsum(1),
            torch.rand(5, 4),
            torch.rand(4, 6),
            dims={"x": (name, "inner"), "y": ("inner", "columns")},
        )
        x, y = torch.rand(8, 9), torch.rand(9, 3)
        torch.testing.assert_close(traced(x, y), torch.softmax(x @ y, 0).cumsum(1))
        assert f"x: f32[{name}, inner]" in traced.signatures[0]


def test_methods_and_modes_take_dims():
    net = Net()
    both = unmoor.trace(net.eval(), torch.rand(4, 3), modes=("eval", "train"), dims={"x": ("batch", None)})
    assert all(m.signatures == ("(x: f32[batch, 3]) -> (f32[batch, 2])",) for m in both.methods.values())
    one = unmoor.trace_module(net, {"forward": (torch.rand(4, 3),)}, dims={"forward": {"x": ("rows", None)}})
    assert one.forward.signatures == ("(x: f32[rows, 3]) -> (f32[rows, 2])",)
    with pytest.raises(ValueError, match="dims tells of the method 'encode'; those that are traced are forward"):
        unmoor.trace_module(net, {"forward": (torch.rand(4, 3),)}, dims={"encode": {}})


def test_the_code_asserts_what_dims_says():
    dims = {"x": (unmoor.Dim("n", min=1, max=9), 3), "y": ("n",)}
    code = str(unmoor.trace(rows, torch.rand(4, 3), torch.rand(4), dims=dims).code)
    space: dict = {}
    exec(code, space)
    x, y = torch.rand(4, 3), torch.rand(4)
    torch.testing.assert_close(space["rows"](x, y), rows(x, y))
    for wrong in ((x, torch.rand(5)), (torch.rand(10, 3), torch.rand(10)), (torch.rand(4, 2), y), (torch.rand(3), y)):
        with pytest.raises(AssertionError):
            space["rows"](*wrong)


def test_the_reference_holds_to_the_names():
    from unmoor.errors import NotTraced
    from unmoor.ir.parser import parse_graph
    from unmoor.reference import run_graph

    text = str(unmoor.trace(rows, torch.rand(4, 3), torch.rand(4), dims={"x": ("n", 3), "y": ("n",)}).recorded)
    graph = parse_graph(text, {})
    run_graph(graph, [np.ones((2, 3), np.float32), np.ones(2, np.float32)])
    for x, y in (((2, 3), 3), ((2, 4), 2)):
        with pytest.raises(NotTraced, match="is not what `dims` of the trace says"):
            run_graph(graph, [np.ones(x, np.float32), np.ones(y, np.float32)])
