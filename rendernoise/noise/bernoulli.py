"""Missing pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rendernoise.frame import Plane
from rendernoise.losses import Statistic
from rendernoise.noise.model import NoiseModel, Noisy


@dataclass(frozen=True)
class Bernoulli(NoiseModel):
    """Each pixel, with all of its channels, is missing with probability p.

    A missing pixel holds 0, the middle of the range, and has weight 0: the network sees what it cannot tell from grey,
    and the loss leaves it out. Input and target miss different pixels.
    """

    strength: ClassVar[str] = "p, share of pixels that are missing"
    possible: ClassVar[tuple[float, float]] = (0.0, 0.99)
    trained: ClassVar[tuple[float, float]] = (0.0, 0.95)
    tested: ClassVar[float] = 0.5
    needs: ClassVar[Statistic] = "mean"
    loss: ClassVar[str] = "l2"
    unbiased: ClassVar[bool] = True
    source: ClassVar[str] = "Noise2Noise (Lehtinen et al. 2018), section 3.2"

    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        """See :meth:`NoiseModel.corrupt`."""
        present = rng.random((1, *image.shape[1:])) >= self.check(strength)
        return Noisy(np.where(present, image, np.float32(0)), weight=present.astype(np.float32))
