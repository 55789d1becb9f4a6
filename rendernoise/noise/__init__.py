"""Noise models: a dict from name to class, one file each. To add one: a subclass of ``NoiseModel`` and a line here."""

from __future__ import annotations

from rendernoise.errors import InputError
from rendernoise.noise.bernoulli import Bernoulli
from rendernoise.noise.brown_gaussian import BrownGaussian
from rendernoise.noise.gaussian import Gaussian
from rendernoise.noise.impulse import Impulse
from rendernoise.noise.model import NoiseModel, Noisy
from rendernoise.noise.mri import Mri
from rendernoise.noise.poisson import Poisson
from rendernoise.noise.text import Text

__all__ = ["NOISES", "NoiseModel", "Noisy", "noise_class"]

NOISES: dict[str, type[NoiseModel]] = {
    "gaussian": Gaussian,
    "brown_gaussian": BrownGaussian,
    "poisson": Poisson,
    "bernoulli": Bernoulli,
    "text": Text,
    "impulse": Impulse,
    "mri": Mri,
}


def noise_class(name: str) -> type[NoiseModel]:
    """The noise model of that name; raises ``InputError`` for an unknown one."""
    if name not in NOISES:
        raise InputError(f"there is no noise {name!r}", f"Choose one of {', '.join(NOISES)}")
    return NOISES[name]
