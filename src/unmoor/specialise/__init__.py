"""Specialisation: a recorded graph becomes a typed one for one signature."""

from unmoor.specialise.named import Pinned
from unmoor.specialise.specialise import Specialised, specialise

__all__ = ["Pinned", "Specialised", "specialise"]
