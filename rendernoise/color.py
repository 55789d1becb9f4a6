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
        A factor in [1e-12, 1e12]; 1 for a black frame.
    """
    return exposure_of(block_luminance(radiance, block_px))


def block_luminance(radiance: NDArray[np.float32], block_px: int = 8) -> NDArray[np.float64]:
    """The mean luminance of blocks, ``[⌈H / block_px⌉, ⌈W / block_px⌉]``: what :func:`auto_exposure` goes by.

    Args:
        radiance: As there, or rows of it that start with a block.
        block_px: Side of the blocks.
    """
    import torch
    from torch.nn import functional as F

    clean = torch.nan_to_num(torch.from_numpy(radiance), nan=0.0, posinf=0.0, neginf=0.0).clamp_min(0)
    height, width = clean.shape[1:]
    padded = F.pad(clean, (0, -width % block_px, 0, -height % block_px))
    blocks = padded.view(3, padded.shape[1] // block_px, block_px, padded.shape[2] // block_px, block_px)
    channels = blocks.sum(dim=(2, 4), dtype=torch.float64).numpy()
    sums = np.tensordot(np.asarray(REC709_LUMINANCE), channels, axes=1)
    rows, columns = (np.diff([*range(0, side, block_px), side]) for side in (height, width))
    return sums / np.outer(rows, columns)


def exposure_of(means: NDArray[np.float64]) -> float:
    """The exposure of a frame by the mean luminance of all its blocks."""
    typical = float(np.median(means[means > 0])) if (means > 0).any() else 0.0
    return float(np.clip(MIDDLE_EXPOSURE / typical, 1e-12, 1e12)) if typical > 0 else 1.0


def demodulator(albedo: Tensor) -> Tensor:
    """What radiance ``[N, 3, H, W]`` is divided by to take the texture out, in [0.03, 1].

    It is bounded, as black surfaces reflect light too. An albedo of 0 is that of a sky or a lamp, which has no texture
    to take out: divided by 0.03, it would outshine all that it touches.
    """
    import torch

    unknown = albedo.amax(1, keepdim=True) <= 0.5 / 255
    return torch.where(unknown, 1.0, 0.03 + 0.97 * albedo.clamp(0, 1))


def display(radiance: NDArray[np.float32], exposure_ev: float = 0.0) -> NDArray[np.float32]:
    """Linear radiance ``[3, H, W]`` as sRGB in [0, 1] for a screen (IEC 61966-2-1); NaN shows black."""
    v = np.clip(np.nan_to_num(radiance * 2.0**exposure_ev, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.power(v, 1 / 2.4) - 0.055).astype(np.float32)
