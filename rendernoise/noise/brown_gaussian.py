"""Gaussian noise that neighbouring pixels share: white noise, blurred."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import InputError
from rendernoise.frame import Plane
from rendernoise.losses import Statistic
from rendernoise.noise.model import NoiseModel, Noisy

#: Where the blur is cut off, in standard deviations.
_REACH = 4.0
_WIDEST_PX = 64.0


@dataclass(frozen=True)
class BrownGaussian(NoiseModel):
    """White Gaussian noise blurred by a Gaussian and rescaled, so that every pixel has the standard deviation sigma.

    The white noise reaches beyond the image, so that borders are like the rest. Pixels d px apart in a row or a column
    correlate by exp(−d² / (4 bandwidth²)), up to the cut-off.

    Args:
        bandwidth_px: Standard deviation of the blur, above 0 and up to 64 px.

    Raises:
        InputError: No such bandwidth.
    """

    strength: ClassVar[str] = "sigma, 1/255"
    possible: ClassVar[tuple[float, float]] = (0.0, 255.0)
    trained: ClassVar[tuple[float, float]] = (25.0, 25.0)
    tested: ClassVar[float] = 25.0
    needs: ClassVar[Statistic] = "mean"
    loss: ClassVar[str] = "l2"
    unbiased: ClassVar[bool] = True
    source: ClassVar[str] = "Noise2Noise (Lehtinen et al. 2018), section 3.1, convergence over the bandwidth"

    bandwidth_px: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.bandwidth_px <= _WIDEST_PX:
            raise InputError(
                f"a blur of {self.bandwidth_px:g} px cannot be", f"Use a bandwidth above 0 and up to {_WIDEST_PX:g} px"
            )

    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        """See :meth:`NoiseModel.corrupt`."""
        deviation = np.float32(self.check(strength) / 255)
        height, width = image.shape[1:]
        blur = _blur(height, width, self.bandwidth_px)
        torus = _torus_px(height, self.bandwidth_px), _torus_px(width, self.bandwidth_px)
        noisy = np.empty_like(image)
        # Plane by plane, twice as fast: smaller arrays come from memory that the process already has.
        for channel, plane in enumerate(image):
            white = rng.standard_normal(torus, dtype=np.float32)
            brown = np.fft.irfft2(np.fft.rfft2(white) * blur, s=torus)[:height, :width]
            noisy[channel] = plane + deviation * brown.astype(np.float32, copy=False)
        return Noisy(noisy)


def _reach_px(bandwidth_px: float) -> int:
    return int(np.ceil(_REACH * bandwidth_px))


@lru_cache(maxsize=256)
def _torus_px(length_px: int, bandwidth_px: float) -> int:
    """A length that FFTs are fast at, and so long that no two pixels of the image see each other around it."""
    length = length_px + 2 * _reach_px(bandwidth_px)
    while _rest(length) > 1:
        length += 1
    return length


def _rest(length: int) -> int:
    for factor in (2, 3, 5, 7):
        while length % factor == 0:
            length //= factor
    return length


@lru_cache(maxsize=32)
def _blur(height: int, width: int, bandwidth_px: float) -> NDArray[np.float32]:
    """The blur's transfer function on the torus, for ``rfft2``; the squares of its weights sum to 1."""
    rows = np.fft.fft(_weights(_torus_px(height, bandwidth_px), bandwidth_px)).real
    columns = np.fft.rfft(_weights(_torus_px(width, bandwidth_px), bandwidth_px)).real
    return np.outer(rows, columns).astype(np.float32)


def _weights(torus_px: int, bandwidth_px: float) -> NDArray[np.float64]:
    """The weights of one axis around index 0, with squares that sum to 1."""
    reach = _reach_px(bandwidth_px)
    offsets = np.arange(-reach, reach + 1)
    weights = np.zeros(torus_px)
    weights[offsets] = np.exp(-0.5 * (offsets / bandwidth_px) ** 2)
    return weights / np.sqrt((weights**2).sum())
