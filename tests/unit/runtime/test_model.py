"""Opened files as callables: tensors in and out, structures, threads, and errors with a way out."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.archive_images import copies, copying, image

import unmoor
from unmoor import archive, runtime
from unmoor.dtypes import ALL, BY_NUMPY, DType, bf16, f32, i64
from unmoor.errors import ArchiveError, NotTrusted, SignatureError
from unmoor.ir.dim import const, sym
from unmoor.ir.signature import Leaf, Mapping, Sequence
from unmoor.ir.types import TensorType

torch = pytest.importorskip("torch")

MATRIX = TensorType(f32, (sym("s0"), sym("s1")))
OTHER = TensorType(f32, (sym("s2"), sym("s3")))


def copier(*args: Any, **options: Any) -> runtime.Model:
    return runtime.open(archive.write(copies(copying(*args))), **options)


def identity(dtype: DType = f32, rank: int = 2) -> runtime.Model:
    return copier((("x", TensorType(dtype, tuple(sym(f"s{k}") for k in range(rank)))),), (0,))


@pytest.mark.parametrize("dtype", ALL, ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (0,), (2, 3), (1, 0, 3), (2, 1, 3, 1)], ids=str)
def test_arrays_and_tensors_come_back_as_what_they_were(dtype: DType, shape: tuple[int, ...]) -> None:
    model = identity(dtype, len(shape))
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype.numpy)
    got = model(x)
    assert type(got) is np.ndarray and got.dtype == x.dtype and got.shape == shape
    np.testing.assert_array_equal(got, x)
    t = torch.from_numpy(x).view(torch.bfloat16) if dtype is bf16 else torch.from_numpy(x)
    got = model(t)
    assert type(got) is torch.Tensor and got.dtype == t.dtype and torch.equal(got, t)
    assert got.is_contiguous() and not got.requires_grad and (not x.size or got.data_ptr() != t.data_ptr())


@pytest.mark.parametrize(
    "view",
    [lambda x: x.T, lambda x: x[::2, 1:], lambda x: x[1:, ::3], lambda x: x[:0], lambda x: x[:1]],
)
def test_strided_inputs_are_read_in_place(view: Any) -> None:
    model = identity()
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.testing.assert_array_equal(model(view(x)), view(x))
    assert torch.equal(model(view(torch.from_numpy(x))), view(torch.from_numpy(x)))


def test_memory_that_cannot_be_read_as_it_is_is_copied() -> None:
    model = identity()
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(2, 3)
    broadcast = np.broadcast_to(np.float32(2), (2, 3))
    for strange in (x[::-1], x[:, ::-1], x.astype(">f4"), unaligned, broadcast):
        np.testing.assert_array_equal(model(strange), np.asarray(strange))
    readonly = x.copy()
    readonly.flags.writeable = False
    np.testing.assert_array_equal(model(readonly), x)
    lazy = torch._neg_view(torch.from_numpy(x))
    assert lazy.is_neg() and torch.equal(model(lazy), torch.from_numpy(-x))
    assert torch.equal(model(torch.from_numpy(x).expand(2, 3)), torch.from_numpy(x))
    assert identity(rank=0)(np.float32(3)) == 3


def test_a_tensor_among_arrays_makes_tensors() -> None:
    model = copier((("x", MATRIX), ("y", OTHER)), (1, 0))
    x, y = np.ones((2, 3), np.float32), torch.zeros(4, 5)
    a, b = model(x, y)
    assert torch.equal(a, y) and torch.equal(b, torch.from_numpy(x))
    assert all(type(r) is np.ndarray for r in model(x, x))


def test_outputs_are_of_the_kind_that_was_asked_for() -> None:
    x = np.ones((2, 3), np.float32)
    assert type(copier((("x", MATRIX),), (0,), outputs="torch")(x)) is torch.Tensor
    assert type(copier((("x", MATRIX),), (0,), outputs="numpy")(torch.ones(2, 3))) is np.ndarray


def test_outputs_outlive_the_model_and_the_inputs() -> None:
    model, x = identity(), torch.randn(300, 300)
    wanted, out, array = x.clone(), model(x), model(x.numpy())
    out.add_(0)
    del model, x
    gc.collect()
    assert torch.equal(out, wanted) and np.array_equal(array, wanted.numpy())


def test_many_tensors_take_the_same_way() -> None:
    vectors = tuple((f"x{k}", TensorType(f32, (sym(f"s{k}"),))) for k in range(20))
    model = copier(vectors, tuple(reversed(range(20))))
    given = [np.full(k, k, np.float32) for k in range(20)]
    for got, wanted in zip(model(*given), reversed(given), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert torch.equal(model(*map(torch.from_numpy, given))[0], torch.full((19,), 19.0))


def test_nested_arguments_and_results() -> None:
    arguments = Sequence(
        "tuple", (Sequence("tuple", (Mapping(("a", "b"), (Leaf(0), Leaf(1))), 3)), Mapping(("z",), (Leaf(2),)))
    )
    result = Mapping(("out", "tag"), (Sequence("list", (Leaf(1), Leaf(0))), "t"))
    specs = (("x.a", MATRIX), ("x.b", TensorType(i64, ())), ("z", OTHER))
    model = copier(specs, (0, 2), arguments, result)
    a, z = torch.ones(2, 2), torch.zeros(1, 3)
    got = model({"a": a, "b": torch.tensor(4)}, 3, z=z)
    assert got["tag"] == "t" and torch.equal(got["out"][0], z) and torch.equal(got["out"][1], a)
    got = model({"a": a.numpy()[::-1], "b": np.int64(4)}, 3, z=z.numpy())
    assert np.array_equal(got["out"][1], a.numpy())


def test_results_may_be_rebuilt_by_who_knows_their_classes() -> None:
    result = Mapping(("out",), (Leaf(0),), "Result")
    model = copier((("x", MATRIX),), (0,), None, result, rebuild=lambda structure, outputs: (structure, *outputs))
    structure, out = model(torch.ones(1, 1))
    assert structure == result and out == 1


def test_a_method_without_tensors_in_or_out() -> None:
    assert copier((), ())() == ()
    assert copier((("x", MATRIX),), ())(torch.ones(1, 1)) == ()


def test_methods_are_attributes_and_forward_is_called() -> None:
    model = runtime.open(archive.write(image()))
    assert list(model.methods) == ["forward", "again"]
    assert model.again.signatures == ("(x: f32[s0]) -> (f32[s0]) where s0%3 == 0",)
    assert model.methods["forward"].signatures[1] == "(x: f32[9]) -> (f32[9])"
    assert runtime.open(archive.write(image()), method="again").signatures == model.again.signatures
    with pytest.raises(SignatureError, match="no method backward; it has forward, again"):
        runtime.open(archive.write(image()), method="backward")
    with pytest.raises(AttributeError, match="its methods are forward, again"):
        model.nothing  # noqa: B018


def test_info_says_what_the_file_is() -> None:
    data = archive.write(image())
    info = runtime.open(data).info()
    assert info.digest == archive.digest(data)
    assert info.methods[0].assumptions == "- länge: ok"
    assert "not trusted" in info.engine and info.digest in str(info) and "f32[9]" in str(info)


def test_paths_are_opened(tmp_path: Path) -> None:
    path = tmp_path / "ä.unmoor"
    archive.write_file(copies(copying((("x", MATRIX),), (0,))), path)
    for p in (path, str(path)):
        assert runtime.open(p)(np.ones((1, 1), np.float32)) == 1
    with pytest.raises(OSError, match=r"missing\.unmoor"):
        runtime.open(tmp_path / "missing.unmoor")


def test_weights_may_be_mapped_or_in_huge_pages(tmp_path: Path) -> None:
    path = tmp_path / "net.unmoor"
    net = torch.nn.Linear(300, 300)
    x = torch.ones(2, 300)
    with torch.no_grad():
        digest = unmoor.save(unmoor.trace(net, x), path)
        for where in ("map", "huge"):
            for file in (path, path.read_bytes()):
                got = unmoor.load(file, trust=digest, weights=where)(x)
                torch.testing.assert_close(got, net(x))
    with pytest.raises(ValueError, match="weights is 'heap'"):
        unmoor.load(path, weights="heap")


# -- what is refused -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((np.ones(3, np.float32),), {}, r"1 dims.*\(x: f32\[s0, s1\]\)"),
        ((np.ones((2, 2)),), {}, "f64.*f32"),
        ((), {}, "lacks x|0 inputs"),
        ((np.ones((2, 2), np.float32),) * 2, {}, "2 inputs"),
        ((), {"y": np.ones((2, 2), np.float32)}, r"lacks x and has y too many: it takes \(x\)"),
        ((2.0,), {}, "x is the number 2.0"),
        (([[1.0]],), {}, "x is a list; pass a NumPy array or a torch tensor"),
        ((torch.ones(2, 2, dtype=torch.complex64),), {}, "complex64"),
        ((torch.ones(2, 2, dtype=torch.bfloat16),), {}, "bf16.*f32"),
        ((torch.ones(2, 2, device="meta"),), {}, "device meta"),
        ((torch.ones(2, 2).to_sparse(),), {}, "to_dense"),
        ((torch.ones(2, 2, requires_grad=True),), {}, r"x requires grad.*torch\.no_grad\(\).*x\.detach\(\)"),
    ],
)
def test_wrong_calls_are_told_what_is_wrong(args: tuple[Any, ...], kwargs: dict[str, Any], text: str) -> None:
    with pytest.raises(SignatureError, match=text):
        identity()(*args, **kwargs)


def test_a_tensor_that_requires_grad_is_fine_where_gradients_are_off() -> None:
    x = torch.nn.Parameter(torch.ones(2, 2))
    with torch.no_grad():
        assert torch.equal(identity()(x), x)
    with torch.inference_mode():
        assert torch.equal(identity()(x), x)


def test_tensors_with_a_meaning_of_their_own_are_refused() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode

    model, x = identity(), torch.ones(1, 1)
    with TorchDispatchMode(), pytest.raises(SignatureError, match="dispatch mode is active"):
        model(x)
    with pytest.raises(SignatureError, match="vmap"):
        torch.func.vmap(lambda x: model(x))(torch.ones(2, 3, 4))
    with pytest.raises(SignatureError, match="MaskedArray"):
        model(np.ma.masked_array(np.ones((2, 2), np.float32), [[0, 1], [0, 0]]))
    with FakeTensorMode():
        fake = torch.ones(2, 2)
    with pytest.raises(SignatureError, match="FakeTensor"):
        model(fake)


def test_where_several_signatures_do_not_fit_all_are_listed() -> None:
    fixed = copying((("x", TensorType(f32, (const(4),))),), (0,))
    integers = copying((("x", TensorType(i64, (sym("s0"),))),), (0,))
    model = runtime.open(archive.write(copies(fixed, integers)))
    assert len(model(np.ones(4, np.float32))) == 4 and len(model(np.ones(9, np.int64))) == 9
    with pytest.raises(SignatureError, match=r"takes \(f32\[5\]\); it has: \(x: f32\[4\]\).*; \(x: i64\[s0\]\)"):
        model(np.ones(5, np.float32))


def test_a_miss_goes_to_who_can_compile() -> None:
    missed: list[Any] = []

    def on_miss(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: SignatureError) -> str:
        missed.append((args, kwargs))
        return "made"

    model = copier((("x", MATRIX),), (0,), on_miss=on_miss)
    x = np.ones(3, np.float32)
    assert model(x) == "made" and model(x=x) == "made"
    assert missed[0][0][0] is x and missed[0][1] == {} and missed[1] == ((), {"x": x})
    assert runtime.open(archive.write(copies()), on_miss=on_miss)(1) == "made"


def test_machine_code_needs_trust() -> None:
    data = archive.write(image())
    model = runtime.open(data)
    with pytest.raises(NotTrusted, match=rf'open it with trust="{archive.digest(data)}"'):
        model(np.ones(3, np.float32))
    with pytest.raises(NotTrusted, match="its digest is sha256:"):
        runtime.open(data, trust="sha256:" + 64 * "0")
    with pytest.raises(NotTrusted, match="64 hex digits; 'yes' is none"):
        runtime.open(data, trust="yes")
    runtime.open(data, trust=archive.digest(data))


def test_files_that_are_not_sound_are_refused() -> None:
    data = archive.write(image())
    for bad in (b"", data[:-1], data[:100], b"PK\x03\x04" + data[4:], data[:4096] + b"\x01" + data[4097:]):
        with pytest.raises(ArchiveError):
            runtime.open(bad)


# -- threads and nesting ---------------------------------------------------------------------------
def test_threads_share_a_model() -> None:
    model, failures = identity(), []

    def work(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for k in range(100):
            x = torch.randn(1 + (seed * 37 + k * 11) % 400, 700, generator=generator)
            if not torch.equal(model(x), x):
                failures.append((seed, k))

    for _ in range(3):  # later threads take over the sessions of those that have ended
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert not failures


def test_a_call_inside_a_call_has_a_session_of_its_own(tmp_path: Path) -> None:
    """Outputs are allocated in the middle of a call, and that may run Python: finalizers, say, or this `empty`."""
    archive.write_file(copies(copying((("x", MATRIX),), (0,))), tmp_path / "a.unmoor")
    program = """
import sys, numpy
from unmoor import runtime
empty = numpy.empty

def nested(shape, dtype):
    if shape == (2, 3):
        model(numpy.zeros((70, 9), numpy.float32))
    return empty(shape, dtype)

numpy.empty = nested
model = runtime.open(sys.argv[1])
x = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
for _ in range(3):
    assert (model(x) == x).all(), model(x)
assert "torch" not in sys.modules and "llvmlite" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.unmoor")], check=True)


def test_every_dtype_of_numpy_that_the_runtime_knows_is_read() -> None:
    model = identity()
    for numpy_dtype, dtype in BY_NUMPY.items():
        if dtype is not f32 and dtype is not bf16:
            refused = f"dtype {numpy_dtype}, which" if numpy_dtype.kind == "c" else f"of {dtype};"
            with pytest.raises(SignatureError, match=refused):
                model(np.ones((1, 1), numpy_dtype))
