"""Merging: recordings of one callable that took different paths become one recording with branches."""

from unmoor.merge.merge import Known, Merged

__all__ = ["Known", "Merged"]
