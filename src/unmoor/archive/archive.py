"""Files as a whole: write an image, read it back, tell a file's digest and sections."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import IO

from unmoor.archive import layout
from unmoor.archive.apart import WeightsApart
from unmoor.archive.container import header_of
from unmoor.archive.reader import decode
from unmoor.archive.writer import chunks
from unmoor.errors import ArchiveError
from unmoor.ir.program import Image

FileOrBytes = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]


def write(image: Image) -> bytes:
    """The file of an image. Equal images give equal bytes."""
    return b"".join(chunks(image))


def write_apart(image: Image, weights: WeightsApart) -> bytes:
    """The file without its weights, which are placed in `weights`; it is opened with `weights.section`.

    For linking again and again in one process: weights that are in place are neither copied nor hashed. The digest of
    such a file says nothing about its weights.
    """
    return b"".join(chunks(image, weights))


def write_file(image: Image, path: str | os.PathLike[str]) -> str:
    """Writes the file of an image and returns its digest. If anything fails, an old file of that name stays whole.

    Raises OSError where the system refuses.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such directory to save a file in", str(target.parent))
    if target.exists() and not target.is_file():  # a new file would take the place of a device, or of a pipe
        kind = errno.EISDIR if target.is_dir() else errno.EEXIST
        raise OSError(kind, "a file is saved here, but this is no regular file; give another name", str(target))
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            pieces = chunks(image)
            head = next(pieces)
            file.write(head)
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_directory(target.parent)
    return _digest_of(head)


def read(data: FileOrBytes, weights: memoryview | None = None) -> Image:
    """The image of a file: a path, its bytes, or a file object open for reading; verified whole.

    Weights are views of the bytes. `weights` is the weights section of a file that keeps it apart. Raises ArchiveError
    where the file is not sound, OSError where it cannot be read.
    """
    return decode(_bytes(data), weights)


def digest(data: FileOrBytes) -> str:
    """The digest of a file, "sha256:" and 64 hex digits, as `load(trust=...)` takes it. ArchiveError if there is none.

    It covers the header and section table, which hold the digests of the sections; those are checked by `read`.
    """
    return header_of(_bytes(data))[0]


def sections(data: FileOrBytes) -> tuple[tuple[str, int], ...]:
    """Names and sizes in bytes of a file's sections, in order. ArchiveError where the header is not sound."""
    _, table = header_of(_bytes(data))
    return tuple((_name(entry.kind, entry.detail), entry.length) for entry in table)


def _name(kind: int, detail: int) -> str:
    section = layout.BY_KIND.get(kind)
    name = section.name if section else f"kind {kind}"
    return f"{name} {detail}" if detail else name


def _digest_of(head: bytes | bytearray | memoryview) -> str:
    return f"sha256:{bytes(head[layout.HEADER.offsets[-1] : layout.HEADER.size]).hex()}"


def _bytes(data: FileOrBytes) -> memoryview:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return memoryview(data).cast("B")
    if isinstance(data, (str, os.PathLike)):
        return memoryview(Path(data).read_bytes())
    content = data.read()
    if not isinstance(content, bytes):
        raise ArchiveError("the file object gives text; open the file in binary mode, 'rb'")
    return memoryview(content)


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced; else those that a new file gets."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_directory(path: Path) -> None:
    """Makes the new name durable, where the system lets a directory be opened."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
