"""How wrong a denoised frame is, with an interval, from its two halves alone.

Two sources, weighed by how sure each is. The **spread**: f(A) and f(B) come of independent samples, so their squared
difference over 4 is the variance of their mean; a denoiser that minimises its squared error leaves about as much bias
as variance, so the error is a multiple of the spread that hardly depends on the scene (docs/denoiser.md). And the
**products** of both halves, unbiased (``guard.py``) but loud: at 16 spp they say next to nothing, at hundreds more
than the spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rendernoise.metrics.relative import TRIMMED_SHARE
from rendernoise.sources.batching import HOLDOUT_TILE_PX

_Z95 = 1.96
#: relMSE over the trimmed mean spread, and by how much its logarithm differs between shots and between frames of one.
#: Weights that were trained on the very shot have learned how much to smooth; others may have not.
TRAINED_MULTIPLE, TRAINED_DOUBT = 3.0, 0.25
FOREIGN_MULTIPLE, FOREIGN_DOUBT = 2.2, 0.6
FRAME_DOUBT = 0.15
#: The products know nothing of light that neither half has met: so much of the noise's relMSE is their doubt at least,
#: and so much of themselves, as they are divided by the denoised image, which is brighter where the error is.
UNSEEN_SHARE, DIVISOR_DOUBT = 0.01, 0.2


@dataclass(frozen=True)
class ErrorEstimate:
    """An estimated relMSE with its 95 % interval, and the relMSE of the noisy mean of both halves."""

    relmse: float
    low: float
    high: float
    noisy_relmse: float

    def to_json(self) -> dict[str, object]:
        """As plain JSON values; not a number becomes null."""

        def known(x: float) -> float | None:
            return float(f"{x:.6g}") if np.isfinite(x) else None

        return {
            "estimated_relmse": known(self.relmse),
            "interval": [known(self.low), known(self.high)],
            "noisy_relmse": known(self.noisy_relmse),
        }


@dataclass(frozen=True)
class Evidence:
    """What a frame's halves say of its error.

    Args:
        spread: The trimmed mean of the written halves' squared relative difference over 4.
        noise: The part of it that is noise of the guard's share, and so no more than itself.
        products: The unbiased error of each tile that the weights have not seen; may be none.
        noisy: The relMSE of the noisy mean.
    """

    spread: float
    noise: float
    products: np.ndarray
    noisy: float


def frame_estimates(frames: Sequence[Evidence], *, trained: bool) -> list[ErrorEstimate]:
    """The relMSE of each frame of a shot, worst pixels included."""
    return _estimates(frames, trained)[0]


def shot_estimate(frames: Sequence[Evidence], *, trained: bool) -> ErrorEstimate:
    """The mean relMSE of the frames of a shot, one at least."""
    return _estimates(frames, trained)[1]


def _estimates(frames: Sequence[Evidence], trained: bool) -> tuple[list[ErrorEstimate], ErrorEstimate]:
    """Of each frame, and of their mean.

    Args:
        frames: In any order; what their products say is said of all together.
        trained: Whether the weights were trained on this shot.
    """
    doubt = TRAINED_DOUBT if trained else FOREIGN_DOUBT
    spread, noise = np.array([[f.spread, f.noise] for f in frames]).reshape(-1, 2).T
    expected = expected_error(spread, noise, trained=trained)
    factor, doubt = _corrected(float(expected.mean()), doubt, frames)

    def made(relmse: float, frame_doubt: float, noisy: float) -> ErrorEstimate:
        margin = float(np.exp(_Z95 * np.hypot(doubt, frame_doubt)))
        return ErrorEstimate(relmse, relmse / margin, relmse * margin, noisy)

    each = [made(factor * float(e), FRAME_DOUBT, f.noisy) for e, f in zip(expected, frames, strict=True)]
    noisy = float(np.mean([f.noisy for f in frames]))
    return each, made(factor * float(expected.mean()), FRAME_DOUBT / len(frames) ** 0.5, noisy)


def expected_error(spread: np.ndarray, noise: np.ndarray, *, trained: bool) -> np.ndarray:
    """The squared error that comes with a spread, of which ``noise`` is the guard's: that has no bias."""
    return (TRAINED_MULTIPLE if trained else FOREIGN_MULTIPLE) * (spread - noise) + noise


def _corrected(expected: float, doubt: float, frames: Sequence[Evidence]) -> tuple[float, float]:
    """By what the products correct the mean that was expected of the spread, and the relative doubt that is left."""
    tiles = np.concatenate([f.products for f in frames])
    if len(tiles) < 2 or not expected > 0:
        return 1.0, doubt
    found = float(tiles.mean())
    unseen = UNSEEN_SHARE * float(np.mean([f.noisy for f in frames]))
    variance = float(tiles.var(ddof=1)) / len(tiles) + unseen**2 + (DIVISOR_DOUBT * found) ** 2
    prior = (doubt * expected) ** 2
    if not variance > 0:
        return 1.0, doubt
    # Never below a tenth: an unbiased estimate may be negative, an error may not.
    mean = max(0.1 * expected, (expected * variance + found * prior) / (variance + prior))
    return mean / expected, float(np.sqrt(variance * prior / (variance + prior))) / mean


def tile_estimate(tiles: np.ndarray, noisy: float) -> ErrorEstimate:
    """Mean and 95 % interval of independent tiles, unbiased; NaN where there are fewer than two."""
    if len(tiles) < 2:
        return ErrorEstimate(np.nan, np.nan, np.nan, noisy)
    mean = float(tiles.mean())
    margin = _t95(len(tiles) - 1) * float(tiles.std(ddof=1)) / np.sqrt(len(tiles))
    return ErrorEstimate(mean, mean - margin, mean + margin, noisy)


def _t95(degrees: int) -> float:
    """The 97.5 % point of Student's t, by its expansion around the normal (Abramowitz and Stegun 26.7.5)."""
    z = _Z95
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def kept_pixels(spread: np.ndarray) -> np.ndarray:
    """All pixels but those of the largest spread, which decide its mean else; as many as trimmed metrics leave out."""
    kept = max(1, round(spread.size * (1 - TRIMMED_SHARE)))
    return spread <= np.partition(spread.ravel(), kept - 1)[kept - 1]


def tile_means(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The mean over the counted pixels of every tile that has any."""
    rows = np.arange(0, values.shape[0], HOLDOUT_TILE_PX)
    columns = np.arange(0, values.shape[1], HOLDOUT_TILE_PX)

    def sums(x: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(x, rows, axis=0), columns, axis=1).ravel()

    count = sums(counted.astype(np.float64))
    total = sums(np.where(counted, values, 0.0))
    return total[count > 0] / count[count > 0]
