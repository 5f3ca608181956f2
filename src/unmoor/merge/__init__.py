"""Merging: recordings of one callable that took different paths become one recording with branches."""

from unmoor.merge.merge import Merged, Open

__all__ = ["Merged", "Open"]
