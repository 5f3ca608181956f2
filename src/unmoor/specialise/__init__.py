"""Specialisation: a recorded graph becomes a typed one for one signature."""

from unmoor.specialise.specialise import Specialised, specialise

__all__ = ["Specialised", "specialise"]
