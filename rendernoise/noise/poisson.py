"""Photon noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rendernoise.frame import Plane
from rendernoise.losses import Statistic
from rendernoise.noise.model import NoiseModel, Noisy


@dataclass(frozen=True)
class Poisson(NoiseModel):
    """Poisson(λ (x + 0.5)) / λ − 0.5 on every value: white is λ photons, and the variance is (x + 0.5) / λ.

    The paper draws λ from 0 to 50. At 0 there would be no photon and no image, so that training starts at 0.001, as in
    the authors' released code.
    """

    strength: ClassVar[str] = "λ, photons at white"
    possible: ClassVar[tuple[float, float]] = (0.001, 1e6)
    trained: ClassVar[tuple[float, float]] = (0.001, 50.0)
    tested: ClassVar[float] = 30.0
    needs: ClassVar[Statistic] = "mean"
    loss: ClassVar[str] = "l2"
    unbiased: ClassVar[bool] = True
    source: ClassVar[str] = "Noise2Noise (Lehtinen et al. 2018), section 3.2"

    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        """See :meth:`NoiseModel.corrupt`; values below −0.5 send no photon."""
        photons = self.check(strength)
        noisy = rng.poisson(photons * np.maximum(image + np.float32(0.5), 0)).astype(np.float32)
        noisy /= photons
        noisy -= 0.5
        return Noisy(noisy)
