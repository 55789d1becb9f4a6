"""Additive white Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rendernoise.frame import Plane
from rendernoise.losses import Statistic
from rendernoise.noise.model import NoiseModel, Noisy


@dataclass(frozen=True)
class Gaussian(NoiseModel):
    """Independent N(0, sigma²) on every value."""

    strength: ClassVar[str] = "sigma, 1/255"
    possible: ClassVar[tuple[float, float]] = (0.0, 255.0)
    trained: ClassVar[tuple[float, float]] = (0.0, 50.0)
    tested: ClassVar[float] = 25.0
    needs: ClassVar[Statistic] = "mean"
    loss: ClassVar[str] = "l2"
    unbiased: ClassVar[bool] = True
    source: ClassVar[str] = "Noise2Noise (Lehtinen et al. 2018), section 3.1"

    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        """See :meth:`NoiseModel.corrupt`."""
        deviation = np.float32(self.check(strength) / 255)
        return Noisy(image + deviation * rng.standard_normal(image.shape, dtype=np.float32))
