"""Transfer functions as forward/inverse pairs, exposure, and the tone map of previews.

Transfers compress what a network sees. Targets never pass through here (law 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

GAMMA = 2.2
#: Luminance weights of Rec. 709 primaries (ITU-R BT.709-6, item 3.2).
REC709_LUMINANCE = (0.2126, 0.7152, 0.0722)
MIDDLE_EXPOSURE = 0.5


@dataclass(frozen=True)
class Transfer:
    """A compressing function for non-negative radiance, with its inverse."""

    name: str
    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


def tonemap(v: Tensor) -> Tensor:
    """T(v) = (v / (1 + v))^(1/2.2), from [0, ∞) to [0, 1): Reinhard with gamma (Noise2Noise, eq. 7)."""
    v = v.clamp_min(0)
    return (v / (1 + v)).pow(1 / GAMMA)


def inverse_tonemap(t: Tensor) -> Tensor:
    """The inverse of :func:`tonemap`, from [0, 1) to [0, ∞)."""
    u = t.clamp(0, 1 - 1e-7).pow(GAMMA)
    return u / (1 - u)


TRANSFERS: dict[str, Transfer] = {
    t.name: t
    for t in (
        Transfer("linear", lambda v: v, lambda v: v),
        Transfer("tonemap", tonemap, inverse_tonemap),
        Transfer("log1p", lambda v: v.clamp_min(0).log1p(), lambda v: v.expm1()),
    )
}


def auto_exposure(radiance: NDArray[np.float32], block_px: int = 8) -> float:
    """The scale that brings a frame's typical luminance to 0.5, so that networks see one range.

    The median over block means holds still under fireflies (few blocks) and under black
    pixels whose few samples all missed the light (blocks average them).

    Args:
        radiance: Linear RGB ``[3, H, W]``; negative and non-finite values count as 0.
        block_px: Side of the blocks that are averaged first.

    Returns:
        A factor in [1e-6, 1e6]; 1 for a black frame.
    """
    clean = np.where(np.isfinite(radiance), np.maximum(radiance, 0), 0)
    luminance = np.tensordot(np.asarray(REC709_LUMINANCE), clean.astype(np.float64), axes=1)
    rows = np.add.reduceat(luminance, np.arange(0, luminance.shape[0], block_px), axis=0)
    sums = np.add.reduceat(rows, np.arange(0, luminance.shape[1], block_px), axis=1)
    counts = np.outer(
        np.diff([*range(0, luminance.shape[0], block_px), luminance.shape[0]]),
        np.diff([*range(0, luminance.shape[1], block_px), luminance.shape[1]]),
    )
    means = sums / counts
    typical = float(np.median(means[means > 0])) if (means > 0).any() else 0.0
    return float(np.clip(MIDDLE_EXPOSURE / typical, 1e-6, 1e6)) if typical > 0 else 1.0


def display(radiance: NDArray[np.float32], exposure_ev: float = 0.0) -> NDArray[np.float32]:
    """Linear radiance ``[3, H, W]`` as sRGB in [0, 1] for a screen (IEC 61966-2-1); NaN shows black."""
    v = np.clip(np.nan_to_num(radiance * 2.0**exposure_ev, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.power(v, 1 / 2.4) - 0.055).astype(np.float32)
