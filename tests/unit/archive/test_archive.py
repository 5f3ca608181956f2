"""Files as a whole: round trip, equal bytes, shared weights, weights apart, atomic saving, texts of refusals."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.archive_images import image, weights

from unmoor import archive
from unmoor.archive import layout
from unmoor.dtypes import f32
from unmoor.errors import ArchiveError
from unmoor.ir.dim import const
from unmoor.ir.kernel import Panels
from unmoor.ir.program import Image, Weight


def test_reading_gives_the_image_that_was_written() -> None:
    assert archive.read(archive.write(image())) == image()
    assert archive.read(archive.write(Image((), (), (), ()))) == Image((), (), (), ())


def test_the_same_image_gives_the_same_bytes_also_after_reading() -> None:
    data = archive.write(image())
    assert archive.write(image()) == data
    assert archive.write(archive.read(data)) == data


def test_paths_and_file_objects_are_read_like_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.unmoor"
    path.write_bytes(archive.write(image()))
    assert archive.read(path) == archive.read(str(path)) == archive.read(io.BytesIO(path.read_bytes())) == image()


def test_the_digest_follows_the_documented_rule_and_every_part_of_the_file() -> None:
    data = archive.write(image())
    table_end = 64 + 64 * int.from_bytes(data[24:28], "little")
    assert archive.digest(data) == "sha256:" + hashlib.sha256(data[:32] + data[64:table_end]).hexdigest()
    other = replace(
        image(), weights=(replace(weights()[0], data=np.array([1, 10, 101], np.float32).data), *weights()[1:])
    )
    assert archive.digest(archive.write(other)) != archive.digest(data)


def test_sections_lie_where_the_document_says() -> None:
    data = archive.write(image())
    end = 64 + 64 * len(archive.sections(data))
    for k, (name, length) in enumerate(archive.sections(data)):
        entry = layout.ENTRY.struct.unpack(data[64 + 64 * k : 128 + 64 * k])
        assert entry[2] % (4096 if name == "weight_data" else 64) == 0 and entry[2] >= end, name
        end = entry[2] + length
    assert end == len(data)


def test_weights_with_equal_bytes_are_stored_once() -> None:
    sizes = dict(archive.sections(archive.write(image())))
    assert sizes["weight_data"] == 64 + 2 * 64 * 4
    back = archive.read(archive.write(image()))
    assert [w.name for w in back.weights] == ["parameter w", "parameter w2", "parameter l.weight", "empty"]


@pytest.mark.parametrize("shape", [(5, 7), (3, 48), (2, 49), (4, 16), (1, 1), (2, 3, 100), (0, 5)])
@pytest.mark.parametrize("transposed", [False, True])
def test_packed_weights_unpack_to_the_array_that_the_panel_formula_describes(
    shape: tuple[int, ...], transposed: bool
) -> None:
    *batch, k, n = shape
    panels = Panels(const(int(np.prod(batch))), const(k), const(n))
    logical = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    stored = np.zeros(panels.numel.value, np.float32)
    matrices = logical.reshape(int(np.prod(batch)), k, n)
    for b, row, column in np.ndindex(matrices.shape):
        stored[panels.offset(const(b), const(row), const(column)).value] = matrices[b, row, column]
    wanted = np.swapaxes(logical, -1, -2) if transposed else logical
    unpacked = archive.unpack(Weight("w", f32, wanted.shape, stored.data, panels, transposed))
    np.testing.assert_array_equal(unpacked, wanted)
    assert not unpacked.flags.writeable


def test_weights_kept_apart_are_not_copied_again() -> None:
    kept = archive.WeightsApart()
    first = archive.write_apart(image(), kept)
    assert archive.read(first, kept.section) == image()
    assert kept.section.nbytes % 64 == 0
    address = np.asarray(kept.section).__array_interface__["data"][0]
    assert address % 64 == 0
    more = Weight("new", f32, (2,), np.array([5, 6], np.float32).data)
    grown = replace(image(), weights=(more, *archive.read(first, kept.section).weights))
    second = archive.write_apart(grown, kept)
    assert archive.read(second, kept.section) == grown


def test_weights_apart_that_nobody_uses_are_let_go() -> None:
    kept = archive.WeightsApart()
    for k in range(50):
        only = Weight("w", f32, (1000,), np.full(1000, k, np.float32).data)
        data = archive.write_apart(Image((), (), (only,), ()), kept)
        assert archive.unpack(archive.read(data, kept.section).weights[0])[0] == k
    assert kept.section.nbytes < 20_000


def test_a_file_with_weights_apart_says_so_when_they_are_not_given() -> None:
    with pytest.raises(ArchiveError, match="kept apart"):
        archive.read(archive.write_apart(image(), archive.WeightsApart()))


def test_saving_returns_the_digest_and_leaves_only_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.unmoor"
    assert archive.write_file(image(), path) == archive.digest(path)
    assert path.read_bytes() == archive.write(image())
    assert os.listdir(tmp_path) == ["a.unmoor"]


def test_a_save_that_fails_midway_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.unmoor"
    archive.write_file(image(), path)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        archive.write_file(Image((), (), (), ()), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.unmoor"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the file is empty"),
        (b"\x8dUNM\r", "truncated: it ends after 5 bytes"),
        (b"\x8dUNM\n\x1a\n" + bytes(100), "transfer as text"),
        (b"PK\x03\x04" + bytes(100), "torch.save"),
        (b"\x93NUMPY\x01\x00", "NumPy array"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"\x08\x07\x12\x07pytorch", "ONNX"),
        (b"\x00\x00\x00\x00ET12" + bytes(20), "ExecuTorch"),
        (b"hello, world", "not an Unmoor file: it looks like text"),
        (b"\x01\x02\x03\x04", "not an Unmoor file: it begins with 01 02 03 04"),
    ],
)
def test_files_of_other_formats_are_named(data: bytes, text: str) -> None:
    with pytest.raises(ArchiveError, match=text):
        archive.read(data)


def test_a_newer_format_is_told_from_damage() -> None:
    data = bytearray(archive.write(image()))
    data[8:16] = (8).to_bytes(4, "little") + (7).to_bytes(4, "little")
    with pytest.raises(
        ArchiveError, match=r"format version 8, readable from version 7 on, and this Unmoor reads version 6"
    ):
        archive.read(bytes(data))


def test_a_file_opened_as_text_is_refused_with_the_way_out() -> None:
    with pytest.raises(ArchiveError, match="'rb'"):
        archive.read(io.StringIO("x"))  # type: ignore[arg-type]
