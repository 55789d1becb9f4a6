"""Undersampled magnetic resonance imaging: only some frequencies of the image were measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rendernoise.frame import Plane
from rendernoise.losses import Statistic
from rendernoise.noise.model import NoiseModel, Noisy

#: The least probability of the highest frequency: what is never measured has no unbiased estimate.
_LEAST = 1e-6


@dataclass(frozen=True)
class Mri(NoiseModel):
    """Each frequency k is measured with probability p(k) = exp(−λ |k|), and divided by p(k) if it was.

    λ follows from the share of frequencies that is measured on average; |k| is in cycles per pixel. The image is real,
    so that k and −k are one measurement: one draw decides over both. Every channel is measured at the same frequencies.
    In an image of a few pixels the mean frequency alone can be more than the share; it is measured always.
    """

    strength: ClassVar[str] = "share of frequencies that are measured"
    possible: ClassVar[tuple[float, float]] = (0.02, 1.0)
    trained: ClassVar[tuple[float, float]] = (0.1, 0.1)
    tested: ClassVar[float] = 0.1
    needs: ClassVar[Statistic] = "mean"
    loss: ClassVar[str] = "l2"
    unbiased: ClassVar[bool] = True
    source: ClassVar[str] = "Noise2Noise (Lehtinen et al. 2018), section 3.4"

    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        """See :meth:`NoiseModel.corrupt`."""
        height, width = image.shape[1:]
        probability = probabilities(height, width, self.check(strength))
        # One number for each pair {k, −k}, which for some k is k alone.
        drawn = rng.random(height * width)[_first_of_pair(height, width)]
        kept = np.where(drawn < probability, probability, np.float32(0))
        half = kept[:, : width // 2 + 1]
        weight = np.divide(1, half, out=np.zeros_like(half), where=half > 0)
        noisy = np.empty_like(image)
        for channel, plane in enumerate(image):
            noisy[channel] = np.fft.irfft2(np.fft.rfft2(plane) * weight, s=(height, width))
        return Noisy(noisy, kept=kept[None])


@lru_cache(maxsize=32)
def probabilities(height: int, width: int, share: float) -> NDArray[np.float32]:
    """p(k) in the order of ``numpy.fft.fft2``, ``[height, width]``, with ``share`` as its mean."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    low, high = 0.0, -np.log(_LEAST) / max(float(radius.max()), 1e-9)
    # The mean falls as λ rises; 60 halvings leave less of the interval than a float can tell.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.exp(-middle * radius).mean() > share else (low, middle)
    result = np.exp(-low * radius).astype(np.float32)
    result.flags.writeable = False
    return result


@lru_cache(maxsize=32)
def _first_of_pair(height: int, width: int) -> NDArray[np.intp]:
    """For each frequency k the flat index of k or of −k, whichever is smaller, ``[height, width]``."""
    index = np.arange(height * width).reshape(height, width)
    opposite = np.roll(index[::-1, ::-1], (1, 1), (0, 1))
    return np.minimum(index, opposite)
