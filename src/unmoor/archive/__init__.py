"""The file format: images to bytes and back, verified. `docs/format.md` is its contract."""

from unmoor.archive.apart import WeightsApart
from unmoor.archive.archive import digest, read, sections, write, write_apart, write_file
from unmoor.archive.weights import unpack

__all__ = ["WeightsApart", "digest", "read", "sections", "unpack", "write", "write_apart", "write_file"]
