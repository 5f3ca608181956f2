"""Calls and files that are wrong are refused on every host, in words that say what was given and what is wanted."""

from __future__ import annotations

import ctypes as c
import io
import os
import zipfile

import numpy as np
import pytest
import torch
from tests.c_host import (
    CANNOT_READ,
    DAMAGED,
    NEWER_FORMAT,
    NOT_UNMOOR,
    OUT_OF_MEMORY,
    TOO_LARGE,
    TOO_SMALL,
    WRONG_ARGUMENT,
    WRONG_INPUT,
    Error,
    Host,
    OpenOptions,
    Refused,
    SessionOptions,
    Tensor,
    um,
)

import unmoor
from unmoor import runtime
from unmoor.cli.main import main


def f(x, y):
    return (x @ torch.ones(3, 2)) * y


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


SIGNATURE = "(x: f32[s0, 3], y: f32[s0, 2]) -> (f32[s0, 2])"
WRONG_CALLS = {
    "missing": ((ones(4, 3),), f"1 input was given; the signature {SIGNATURE} has 2"),
    "none": ((), f"0 inputs were given; the signature {SIGNATURE} has 2"),
    "extra": ((ones(4, 3), ones(4, 2), ones(1)), f"3 inputs were given; the signature {SIGNATURE} has 2"),
    "rank": ((ones(), ones(4, 2)), f"input 0 (x) has 0 dims; the signature {SIGNATURE} wants 2"),
    "dtype": (
        (ones(4, 3, dtype=np.int64), ones(4, 2)),
        f"input 0 (x) is of i64; the signature {SIGNATURE} wants f32",
    ),
    "fixed dim": ((ones(4, 5), ones(4, 2)), f"dim 1 of input 0 (x) is 5; the signature {SIGNATURE} wants 3"),
    "two dims that are one": (
        (ones(4, 3), ones(5, 2)),
        f"dim 0 of input 1 (y) is 5; the signature {SIGNATURE} wants 4",
    ),
}


@pytest.fixture(scope="module")
def traced():
    return unmoor.trace(f, torch.ones(4, 3), torch.ones(4, 2))


@pytest.fixture(scope="module")
def data(traced) -> bytes:
    return traced.to_bytes()


@pytest.mark.parametrize(("arrays", "told"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_a_wrong_call(arrays, told, traced, data, tmp_path, monkeypatch, capsys) -> None:
    with pytest.raises(unmoor.SignatureError) as raised:
        traced(*map(torch.from_numpy, arrays))
    assert str(raised.value).startswith(f"{told}\nA program for it cannot be made either: ")
    again = str(raised.value)
    with pytest.raises(unmoor.SignatureError) as raised:
        unmoor.load(data, trust=True)(*arrays)
    assert str(raised.value) == again
    with pytest.raises(unmoor.SignatureError) as raised:
        runtime.open(data, trust=True)(*arrays)
    assert str(raised.value) == told
    host = Host(data)
    with pytest.raises(Refused) as refused:
        host.run(*arrays)
    assert (refused.value.status, refused.value.message) == (WRONG_INPUT, told)
    assert host.run(ones(1, 3), ones(1, 2))[0].tolist() == [[3, 3]]  # the session goes on
    host.close()
    (tmp_path / "f.unmoor").write_bytes(data)
    names = []
    for k, array in enumerate(arrays):
        np.save(tmp_path / f"{k}.npy", array)
        names.append(f"{k}.npy")
    if not names:  # a command without inputs asks which there are
        return
    assert um(tmp_path, "run", "--trust", "yes", "f.unmoor", *names) == (1, "", f"um: {told}\n")
    monkeypatch.chdir(tmp_path)
    code, errors = main(["run", "--trust", "yes", "f.unmoor", *names]), capsys.readouterr().err
    if len(names) == 2:
        assert code == 1 and errors.startswith(f"unmoor run: {told}")
    else:
        assert code == 2 and errors.startswith(f"unmoor run: the method takes 2 tensors (x, y), {len(names)} given: ")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (3, "y is the number 3; the program takes a tensor there: pass torch.tensor(...)"),
        (None, "y is a NoneType; pass a NumPy array or a torch tensor"),
        ([1.0], "y is a list; pass a NumPy array or a torch tensor"),
        (ones(4, 2, dtype=np.complex64), "y has the dtype complex64, which Unmoor does not support"),
        (ones(4, 2, dtype=np.uint32), "y has the dtype uint32, which Unmoor does not support"),
        (np.full((4, 2), None), "y has the dtype object, which Unmoor does not support"),
        (np.full((4, 2), "a"), "y has the dtype <U1, which Unmoor does not support"),
        (torch.ones(4, 2, dtype=torch.complex64), "y has the dtype torch.complex64, which Unmoor does not support"),
        (torch.ones(4, 2).to_sparse(), "y has the layout torch.sparse_coo; pass y.to_dense()"),
        (
            torch.ones(4, 2, requires_grad=True),
            "y requires grad, and gradients are on: the result would be cut off from them silently. "
            "Call under torch.no_grad(), or pass y.detach()",
        ),
    ],
    ids=lambda v: v.split(";")[0][:40] if isinstance(v, str) else "",
)
def test_an_argument_that_is_no_tensor_for_it(wrong, told, traced, data) -> None:
    for call, x in (
        (traced, torch.ones(4, 3)),
        (unmoor.load(data, trust=True), ones(4, 3)),
        (runtime.open(data, trust=True), ones(4, 3)),
    ):
        with pytest.raises(unmoor.SignatureError) as raised:
            call(x, wrong)
        assert str(raised.value) == told


def test_gradients_that_are_off_do_not_matter(traced, data) -> None:
    x, y = torch.ones(4, 3), torch.ones(4, 2, requires_grad=True)
    with torch.no_grad():
        for call in (traced, unmoor.load(data, trust=True)):
            torch.testing.assert_close(call(x, y), f(x, y))


def test_a_method_that_is_not_there(data, tmp_path) -> None:
    (tmp_path / "f.unmoor").write_bytes(data)
    for load in (unmoor.load, runtime.open):
        model = load(data, trust=True)
        with pytest.raises(AttributeError, match="the model has no method or attribute no; its methods are forward"):
            model.no(ones(1))
        with pytest.raises(unmoor.SignatureError, match=r"^the file has no method no; it has forward$"):
            load(data, trust=True, method="no")
    host = Host(data)
    with pytest.raises(Refused) as refused:
        host.check("um_run", host.session, c.c_size_t(7), None, c.c_size_t(0), None, c.c_size_t(0))
    told = (refused.value.status, refused.value.message)
    assert told == (WRONG_ARGUMENT, "there is no method number 7: the file has 1")
    found = c.c_size_t()
    with pytest.raises(Refused) as refused:
        host.check("um_method_find", host.model, b"no", c.byref(found))
    told = 'the file has no method "no"; it has forward'
    assert (refused.value.status, refused.value.message) == (WRONG_ARGUMENT, told)
    host.close()
    done = um(tmp_path, "run", "--trust", "yes", "--method", "no", "f.unmoor", "1")
    assert done == (1, "", f"um: {told}\n")


def test_an_op_that_is_not_supported_is_told_with_the_line_and_where_to_add_it() -> None:
    with pytest.raises(unmoor.Unsupported) as raised:
        unmoor.trace(lambda x: torch.linalg.ldl_factor(x)[0], torch.ones(3, 3))
    first, line = str(raised.value).split("\n")
    assert first.startswith("tests/differential/test_wrong_calls_on_every_host.py:")
    assert "the op linalg_ldl_factor.default is not supported (near it: " in first
    assert first.endswith("write it with supported ops, or add it: docs/add-an-op.md shows how in a few lines")
    assert line == "    unmoor.trace(lambda x: torch.linalg.ldl_factor(x)[0], torch.ones(3, 3))"


# -- files ----------------------------------------------------------------------------------------------------
def _zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("a", "b")
    return made.getvalue()


def _torch_file() -> bytes:
    made = io.BytesIO()
    torch.save({"a": torch.ones(2)}, made)
    return made.getvalue()


def _of_version(data: bytes, version: int) -> bytes:
    return data[:8] + version.to_bytes(4, "little") * 2 + data[16:]


A_ZIP = "not an Unmoor file: it looks like a zip file"
WRONG_FILES = {
    "empty": (lambda d: b"", NOT_UNMOOR, "the file is empty"),
    "a few bytes of it": (lambda d: d[:5], DAMAGED, "the file is truncated: it ends after 5 bytes"),
    "half of it": (lambda d: d[: len(d) // 2], DAMAGED, "the file is truncated: {half} of {whole} bytes are there"),
    "all but its last byte": (lambda d: d[:-1], DAMAGED, "the file is truncated: {less} of {whole} bytes are there"),
    "more than it": (lambda d: d + b"x", DAMAGED, "the file is damaged: 1 bytes follow its end"),
    "a byte changed": (
        lambda d: d[:-1] + bytes([d[-1] ^ 1]),
        DAMAGED,
        "the file is damaged: its section weight_data does not match its digest",
    ),
    "sent as text": (
        lambda d: d.replace(b"\r\n", b"\n"),
        DAMAGED,
        "the file was damaged on its way: a transfer as text changed its bytes. Copy it again as binary",
    ),
    "text": (lambda d: b"hello world\n" * 9, NOT_UNMOOR, "not an Unmoor file: it looks like text"),
    "a zip": (lambda d: _zip(), NOT_UNMOOR, A_ZIP),
    "a .pt": (lambda d: _torch_file(), NOT_UNMOOR, A_ZIP),
    "a pickle": (lambda d: b"\x80\x04\x95" + b"x" * 60, NOT_UNMOOR, "not an Unmoor file: it looks like a pickle"),
    "an ONNX": (
        lambda d: b"\x08\x08\x12\x07pytorch" + b"x" * 60,
        NOT_UNMOOR,
        "not an Unmoor file: it looks like perhaps an ONNX model",
    ),
    "a safetensors": (
        lambda d: (64).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}}' + b" " * 60,
        NOT_UNMOOR,
        "not an Unmoor file: it looks like a safetensors file: it holds weights and no program",
    ),
    "a GGUF": (lambda d: b"GGUF" + b"\3" * 60, NOT_UNMOOR, "not an Unmoor file: it looks like a GGUF model"),
    "newer": (
        lambda d: _of_version(d, 99),
        NEWER_FORMAT,
        "the file needs a newer Unmoor: it is in format version 99, readable from version 99 on, and this ",
    ),
}


@pytest.mark.parametrize(("spoil", "status", "told"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_file(spoil, status, told, data, tmp_path, monkeypatch, capsys) -> None:
    wrong, whole = spoil(data), len(data)
    told = told.format(half=whole // 2, less=whole - 1, whole=whole)
    path = tmp_path / "x.unmoor"
    path.write_bytes(wrong)
    for load in (unmoor.load, runtime.open):
        for source in (wrong, path):
            with pytest.raises(unmoor.ArchiveError) as raised:
                load(source, trust=True)
            assert str(raised.value).startswith(told), str(raised.value)
    with pytest.raises(Refused) as refused:
        Host(wrong)
    assert refused.value.status == status and refused.value.message.startswith(told), refused.value.message
    for words in (("run", "--trust", "yes", "x.unmoor", "1"), ("info", "x.unmoor")):
        code, _, errors = um(tmp_path, *words)
        assert code == 1 and errors.startswith(f"um: x.unmoor: {told}"), errors
    monkeypatch.chdir(tmp_path)
    assert main(["info", "x.unmoor"]) == 1
    assert told in capsys.readouterr().err


def test_a_path_without_a_file(tmp_path, capsys) -> None:
    library, model = Host.library_of(), c.c_void_p()
    for path, kind, reason in (
        (tmp_path / "no.unmoor", FileNotFoundError, "No such file or directory"),
        (tmp_path, IsADirectoryError, "it is no regular file"),
    ):
        for load in (unmoor.load, runtime.open):
            with pytest.raises(OSError) as raised:
                load(path, trust=True)
            assert str(path) in str(raised.value)
            assert load is runtime.open or type(raised.value) is kind
        error = Error()
        assert library.um_open_file(str(path).encode(), None, c.byref(model), c.byref(error)) == CANNOT_READ
        assert error.message.decode() == f"cannot read {path}: {reason}"
        assert um(tmp_path, "info", str(path)) == (1, "", f"um: cannot read {path}: {reason}\n")
        assert main(["info", str(path)]) == 1
        assert str(path) in capsys.readouterr().err
    with pytest.raises(TypeError, match=r"^file is a float; unmoor.load takes a path, bytes or a binary file object$"):
        unmoor.load(3.5)
    with pytest.raises(TypeError, match=r"^the file object gives text; open the file in binary mode, 'rb'$"):
        unmoor.load(io.StringIO("x"))


# -- saves ----------------------------------------------------------------------------------------------------
class Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, data) -> int:
        raise OSError(28, "No space left on device")


def test_a_save_that_fails_midway_leaves_the_old_file_whole(traced, data, tmp_path, monkeypatch) -> None:
    path = tmp_path / "f.unmoor"
    path.write_bytes(b"the old file")

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    real = os.fdopen

    def full_after_a_while(handle, mode):
        file, left = real(handle, mode), [2]
        writes = file.write

        class Filling:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def write(self, piece):
                left[0] -= 1
                return writes(piece) if left[0] >= 0 else fails()

        return Filling()

    for name, failing in (("fdopen", full_after_a_while), ("fsync", fails), ("replace", fails)):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            with pytest.raises(OSError, match="No space left on device"):
                unmoor.save(traced, path)
        assert path.read_bytes() == b"the old file"
        assert [p.name for p in tmp_path.iterdir()] == ["f.unmoor"]
    with pytest.raises(OSError, match="No space left on device"):
        unmoor.save(traced, Full())
    unmoor.save(traced, path)
    assert path.read_bytes()[:8] == data[:8]


def test_a_save_to_where_no_file_can_be_says_so_at_once(traced, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no such directory to save a file in: .*nowhere'$"):
        unmoor.save(traced, tmp_path / "nowhere" / "f.unmoor")
    with pytest.raises(IsADirectoryError, match="a file is saved here, but this is no regular file"):
        unmoor.save(traced, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="a file is saved here, but this is no regular file"):
        unmoor.save(traced, tmp_path / "pipe")
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]
    with pytest.raises(TypeError, match=r"^unmoor.save takes what unmoor.trace gave, not a function: trace it first$"):
        unmoor.save(f, tmp_path / "f.unmoor")
    with pytest.raises(TypeError, match=r"^file is a float; unmoor.save takes a path or a binary file object$"):
        unmoor.save(traced, 3.5)


# -- C --------------------------------------------------------------------------------------------------------
def refusal(host: Host, function: str, *arguments: object) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        host.check(function, *arguments)
    return refused.value.status, refused.value.message


def test_a_c_caller_whose_output_is_too_small_learns_what_it_takes(data) -> None:
    host = Host(data)
    room = np.zeros(3, np.float32)
    inputs = (Tensor * 2)(Tensor.of(ones(4, 3)), Tensor.of(ones(4, 2)))
    output = Tensor.of(room)
    told = refusal(host, "um_run", host.session, c.c_size_t(0), inputs, c.c_size_t(2), c.byref(output), c.c_size_t(1))
    assert told == (TOO_SMALL, "output 0 needs 32 bytes; there is room for 12")
    assert output.bytes == 32 and not room.any()
    host.close()


def test_null_pointers_counts_and_sizes_of_structs_are_checked_in_c(data) -> None:
    host = Host(data)
    one, two, null = c.c_size_t(1), c.c_size_t(2), None
    inputs = (Tensor * 2)(Tensor.of(ones(4, 3)), Tensor.of(ones(4, 2)))
    output, number, model, session = Tensor(), c.c_size_t(0), c.c_void_p(), c.c_void_p()
    call = (host.session, number)
    wrong_open = OpenOptions(8, 1, None, None, 0, 0)
    wrong_session = SessionOptions(3)
    no_meaning = OpenOptions(c.sizeof(OpenOptions), 9, None, None, 0, 0)
    no_digest = OpenOptions(c.sizeof(OpenOptions), 2, b"sha256:00", None, 0, 0)
    length = c.c_size_t(len(data))
    nameless = Tensor.of(ones(4, 3))
    nameless.data = None
    shapeless = Tensor.of(ones(4, 3))
    shapeless.shape = None
    short = Tensor.of(ones(4, 3))
    short.bytes = 40
    deep = Tensor.of(ones(4, 3))
    deep.rank = 17
    negative = Tensor.of(ones(4, 3))
    negative.shape = (c.c_int64 * 2)(-1, 3)
    y = Tensor.of(ones(4, 2))
    pointers = [
        ("um_open_file", (null, null, c.byref(model)), "um_open_file: a null pointer"),
        ("um_open_memory", (null, one, null, c.byref(model)), "um_open_memory: a null pointer"),
        ("um_open_memory", (data, length, null, null), "um_open_memory: a null pointer"),
        ("um_session_new", (null, null, c.byref(session)), "um_session_new: a null pointer"),
        ("um_run", (null, number, inputs, two, c.byref(output), one), "um_run: the session is a null pointer"),
        ("um_prepare", (null, number, inputs, two, null, number), "um_prepare: the session is a null pointer"),
        ("um_execute", (null, c.byref(output), one), "um_execute: nothing is prepared"),
        ("um_run", (*call, null, two, c.byref(output), one), "the inputs are a null pointer"),
        ("um_session_seed", (null, c.c_int64(1)), "um_session_seed: the session is a null pointer"),
        ("um_session_reset_state", (null,), "um_session_reset_state: the session is a null pointer"),
        ("um_session_state", (null, number, c.byref(output)), "um_session_state: a null pointer"),
        ("um_session_set_state", (host.session, number, null), "um_session_set_state: a null pointer"),
        ("um_session_state", (host.session, number, c.byref(output)), "there is no state number 0: the file has 0"),
        (
            "um_session_seed", (host.session, c.c_int64(1)),
            "the file draws no random numbers: there is nothing to seed",
        ),
        ("um_method_find", (host.model, null, c.byref(one)), "um_method_find: a null pointer"),
        (
            "um_run", (*call, inputs, two, c.byref(output), two),
            f"2 outputs were given; the signature {SIGNATURE} has 1",
        ),
        ("um_run", (*call, inputs, two, null, one), f"0 outputs were given; the signature {SIGNATURE} has 1"),
        (
            "um_run", (*call, (Tensor * 2)(nameless, y), two, c.byref(output), one),
            "the data of input 0 are a null pointer",
        ),
        (
            "um_run", (*call, (Tensor * 2)(shapeless, y), two, c.byref(output), one),
            "the shape of input 0 is a null pointer",
        ),
        (
            "um_open_memory", (data, length, c.byref(wrong_open), c.byref(model)),
            f"um_open_options.size is 8; this runtime's is {c.sizeof(OpenOptions)}",
        ),
        (
            "um_open_memory", (data, length, c.byref(no_meaning), c.byref(model)),
            "um_open_options.trust is 9, which means nothing",
        ),
        (
            "um_open_memory", (data, length, c.byref(no_digest), c.byref(model)),
            'a digest is "sha256:" and 64 hex digits; "sha256:00" is not',
        ),
        (
            "um_session_new", (host.model, c.byref(wrong_session), c.byref(session)),
            f"um_session_options.size is 3; this runtime's is {c.sizeof(SessionOptions)}",
        ),
    ]  # fmt: skip
    for function, arguments, told in pointers:
        assert refusal(host, function, *arguments) == (WRONG_ARGUMENT, told), function
    for tensor, told in (
        (short, "input 0 has 40 bytes; its shape and dtype take 48"),
        (deep, "input 0 has the rank 17; 0 to 16 are possible"),
        (negative, "dim 0 of input 0 is negative"),
    ):
        asked = (*call, (Tensor * 2)(tensor, y), two, c.byref(output), one)
        assert refusal(host, "um_run", *asked) == (WRONG_INPUT, told)
    cost = host.library.um_session_cost
    assert cost(None, None, None, None) == WRONG_ARGUMENT
    assert host.run(ones(1, 3), ones(1, 2))[0].tolist() == [[3, 3]]
    assert cost(host.session, None, None, None) == 0
    host.close()


# -- cost -----------------------------------------------------------------------------------------------------
def large(x):
    """A row of s0 numbers, and s0 * s0 of them on the way."""
    return torch.softmax(x[:, None] * x[None, :], 0).sum(1)


def test_what_a_call_costs_is_told_before_memory_is_spent() -> None:
    data = unmoor.trace(large, torch.ones(5)).to_bytes()
    host = Host(data, max_arena_bytes=1 << 20)
    x = ones(3_000_000)
    inputs, output = (Tensor * 1)(Tensor.of(x)), Tensor()
    one, number = c.c_size_t(1), c.c_size_t(0)
    host.check("um_prepare", host.session, number, inputs, one, c.byref(output), one)  # takes no memory
    assert output.bytes == x.nbytes
    arena, flops, traffic = c.c_int64(), c.c_int64(), c.c_int64()
    assert host.library.um_session_cost(host.session, c.byref(arena), c.byref(flops), c.byref(traffic)) == 0
    assert arena.value >= 4 * 3_000_000**2 and flops.value > 3_000_000**2 and traffic.value > x.nbytes
    status, told = refusal(host, "um_execute", host.session, c.byref(output), one)
    assert status == TOO_LARGE
    assert told.startswith(f"the call needs {arena.value} bytes of working memory; the session allows 1048576")
    np.testing.assert_allclose(host.run(ones(7))[0], np.ones(7), rtol=1e-6)  # the session goes on
    host.close()


def test_copies_and_outputs_that_a_session_gives_count_as_its_memory() -> None:
    data = unmoor.trace(lambda x: x + 1, torch.ones(5)).to_bytes()
    host = Host(data, max_arena_bytes=1 << 16)
    number, one, output = c.c_size_t(0), c.c_size_t(1), Tensor()
    allowed = "bytes of working memory; the session allows 65536 (max_arena_bytes in its options)"
    asked = (host.session, number, (Tensor * 1)(Tensor.of(ones(1 << 15))), one, c.byref(output), one)
    status, told = refusal(host, "um_run", *asked)
    assert status == TOO_LARGE and told.endswith(allowed)
    wide = Tensor.of(ones(4))  # one number, seen a million million times
    wide.shape, wide.strides, wide.bytes = (c.c_int64 * 1)(10**12), (c.c_int64 * 1)(0), 0
    asked = (host.session, number, (Tensor * 1)(wide), one, c.byref(output), one)
    status, told = refusal(host, "um_run", *asked)
    assert (status, told) == (TOO_LARGE, f"the call needs 4000000000000 {allowed}")
    assert host.run(ones(3))[0].tolist() == [2, 2, 2]
    host.close()


def test_memory_that_the_system_has_not_is_refused_on_every_host() -> None:
    data = unmoor.trace(large, torch.ones(5)).to_bytes()
    x = ones(200_000_000, dtype=np.uint8).view(np.float32)  # its square takes 10 PB
    host = Host(data)
    with pytest.raises(Refused) as refused:
        host.run(x)
    assert refused.value.status == OUT_OF_MEMORY and refused.value.message.startswith("out of memory: ")
    assert host.run(ones(3))[0].shape == (3,)
    host.close()
    for model in (unmoor.load(data, trust=True), runtime.open(data, trust=True)):
        with pytest.raises(MemoryError, match="out of memory"):
            model(x)
