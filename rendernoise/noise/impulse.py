"""Random-valued impulse noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rendernoise.frame import Plane
from rendernoise.losses import Statistic
from rendernoise.noise.model import NoiseModel, Noisy


@dataclass(frozen=True)
class Impulse(NoiseModel):
    """Each pixel is replaced with probability p, by a colour uniform in [-0.5, 0.5] for each channel.

    The clean colour stays the mode of each pixel's values, and neither their mean nor, above p = 0.5, their median.
    """

    strength: ClassVar[str] = "p, share of pixels that are replaced"
    possible: ClassVar[tuple[float, float]] = (0.0, 1.0)
    trained: ClassVar[tuple[float, float]] = (0.0, 0.95)
    tested: ClassVar[float] = 0.7
    needs: ClassVar[Statistic] = "mode"
    loss: ClassVar[str] = "l0"
    unbiased: ClassVar[bool] = False
    source: ClassVar[str] = "Noise2Noise (Lehtinen et al. 2018), section 3.2"

    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        """See :meth:`NoiseModel.corrupt`."""
        replaced = rng.random((1, *image.shape[1:])) < self.check(strength)
        colours = rng.random(image.shape, dtype=np.float32) - np.float32(0.5)
        return Noisy(np.where(replaced, colours, image))
