"""Noise models: a dict from name to class, one file each. To add one: a subclass of ``NoiseModel`` and a line here."""

from __future__ import annotations

from rendernoise.errors import InputError
from rendernoise.noise.gaussian import Gaussian
from rendernoise.noise.model import NoiseModel, Noisy

__all__ = ["NOISES", "NoiseModel", "Noisy", "noise_class"]

NOISES: dict[str, type[NoiseModel]] = {
    "gaussian": Gaussian,
}


def noise_class(name: str) -> type[NoiseModel]:
    """The noise model of that name; raises ``InputError`` for an unknown one."""
    if name not in NOISES:
        raise InputError(f"there is no noise {name!r}", f"Choose one of {', '.join(NOISES)}")
    return NOISES[name]
