"""Takes a file apart into its sections, and checks everything that needs no look inside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from unmoor.archive import layout
from unmoor.errors import ArchiveError

# How files that people confuse with ours begin.
STRANGERS = (
    (b"PK\x03\x04", "a zip file: torch.save and torch.jit.save write such files; trace the model and use unmoor.save"),
    (b"\x80\x02", "a pickle, perhaps an old PyTorch checkpoint; trace the model and use unmoor.save"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip file: decompress it first"),
    (b"GGUF", "a GGUF model"),
    (b"\x08", "perhaps an ONNX model"),
    (b"\x7fELF", "a program or shared library"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    (b"<", "text such as HTML or XML, perhaps a failed download"),
)


class Entry(NamedTuple):
    """One entry of the section table, as `layout.ENTRY` has it."""

    kind: int
    detail: int
    offset: int
    length: int
    flags: int
    reserved: int
    digest: bytes


@dataclass(frozen=True)
class Container:
    """A file's digest ("sha256:..."), and its sections by (kind, detail); None for weights kept apart."""

    digest: str
    sections: dict[tuple[int, int], memoryview | None]
    apart_bytes: int  # length of the weights that are kept apart

    def section(self, name: str, detail: int = 0) -> memoryview:
        """The bytes of a section; empty where an optional one is absent."""
        return self.sections.get((layout.BY_NAME[name].kind, detail)) or memoryview(b"")

    def details(self, name: str) -> list[int]:
        """The details of the sections of that kind."""
        return [detail for kind, detail in self.sections if kind == layout.BY_NAME[name].kind]


def header_of(data: memoryview) -> tuple[str, list[Entry]]:
    """The digest ("sha256:...") and the section table, once the header is sound. ArchiveError says what is not."""
    if bytes(data[:8]) != layout.MAGIC:
        raise ArchiveError(_not_ours(bytes(data[:64])))
    if len(data) < layout.HEADER.size:
        raise ArchiveError(f"the file is truncated: it ends after {len(data)} bytes, inside the header")
    _, writer, oldest, file_bytes, count, reserved, digest = layout.HEADER.struct.unpack(data[: layout.HEADER.size])
    if oldest > layout.READS:
        raise ArchiveError(
            f"the file needs a newer Unmoor: it is in format version {writer}, readable from version {oldest} on, "
            f"and this Unmoor reads version {layout.READS}. Update Unmoor where the file is read"
        )
    if file_bytes > len(data):
        raise ArchiveError(f"the file is truncated: {len(data)} of {file_bytes} bytes are there")
    if file_bytes < len(data):
        raise ArchiveError(f"the file is damaged: {len(data) - file_bytes} bytes follow its end")
    table_end = layout.HEADER.size + layout.ENTRY.size * count
    if table_end > len(data):
        raise ArchiveError("the file is damaged: its section table does not fit into it")
    sha = hashlib.sha256(data[: layout.HEADER.size - layout.DIGEST_BYTES])
    sha.update(data[layout.HEADER.size : table_end])
    if sha.digest() != digest:
        raise ArchiveError("the file is damaged: the header and section table do not match their digest")
    if reserved or writer < oldest:
        raise ArchiveError("the file is damaged: its header breaks the rules of the format")
    entries = layout.ENTRY.struct.iter_unpack(data[layout.HEADER.size : table_end])
    return f"sha256:{digest.hex()}", [Entry(*fields) for fields in entries]


def open_container(data: memoryview) -> Container:
    """The sections of a file, their places, padding and digests checked. ArchiveError says what is wrong."""
    digest, table = header_of(data)
    sections: dict[tuple[int, int], memoryview | None] = {}
    apart_bytes, end, last = 0, layout.HEADER.size + layout.ENTRY.size * len(table), (0, -1)
    for kind, detail, offset, length, flags, reserved, section_digest in table:
        section = layout.BY_KIND.get(kind)
        name = section.name if section else f"of the unknown kind {kind}"
        place = (layout.SECTIONS.index(section) if section else 0, detail)
        if section is None or reserved or place <= last or (detail and not section.detail):
            raise ArchiveError(f"the file is damaged: the section {name} breaks the rules of the format")
        last = place
        if flags == layout.APART and section.name == "weight_data" and not offset and not any(section_digest):
            sections[kind, detail], apart_bytes = None, length
            continue
        start = end + -end % section.aligned
        if flags or offset != start or length > len(data) - start:
            raise ArchiveError(f"the file is damaged: the section {name} is not where it must be")
        if any(data[end:start]):
            raise ArchiveError(f"the file is damaged: the bytes before the section {name} are not zero")
        content = data[start : start + length]
        if hashlib.sha256(content).digest() != section_digest:
            raise ArchiveError(f"the file is damaged: the section {name} does not match its digest")
        sections[kind, detail] = content
        end = start + length
    if end != len(data):
        raise ArchiveError("the file is damaged: there are bytes behind the last section")
    _check_kinds(sections)
    return Container(digest, sections, apart_bytes)


def _check_kinds(present: Iterable[tuple[int, int]]) -> None:
    kinds = {kind for kind, _ in present}
    for section in layout.SECTIONS:
        if not section.optional and section.kind not in kinds:
            raise ArchiveError(f"the file is damaged: it has no section {section.name}")


def _not_ours(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if layout.MAGIC.startswith(head):
        return f"the file is truncated: it ends after {len(head)} bytes"
    if head[:8].replace(b"\r\n", b"\n").startswith(layout.MAGIC[:4] + b"\n") or head[1:4] == layout.MAGIC[1:4]:
        return "the file was damaged on its way: a transfer as text changed its bytes. Copy it again as binary"
    if head[4:8] in (b"ET12", b"TFL3", b"IREE"):
        return "not an Unmoor file: it looks like another runtime's FlatBuffer (ExecuTorch, LiteRT, IREE)"
    if head[8:10] == b'{"':
        return "not an Unmoor file: it looks like a safetensors file: it holds weights and no program"
    for magic, what in STRANGERS:
        if head.startswith(magic):
            return f"not an Unmoor file: it looks like {what}"
    if all(32 <= byte < 127 or byte in b"\t\n\r" for byte in head):
        return "not an Unmoor file: it looks like text"
    return f"not an Unmoor file: it begins with {head[:8].hex(' ')}"
