"""How wrong a denoised frame is, estimated from its two halves alone; no reference is needed (law 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rendernoise.frame import FramePair, Plane
from rendernoise.sources.batching import HOLDOUT_TILE_PX

EPSILON = 0.01
_Z95 = 1.96


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


def estimate_error(pair: FramePair, from_a: Plane, from_b: Plane, mask: np.ndarray | None = None) -> ErrorEstimate:
    """The relMSE of denoised halves against the unknown truth R.

    As f(A) does not depend on the noise of B, E(f(A) − B)² = (f(A) − R)² + Var B, and E(A − B)²/2 is the mean of both
    variances. So ½[(f(A) − B)² + (f(B) − A)²] − ½(A − B)² estimates the mean squared error of the two directions
    without bias, which the error of their average cannot exceed (Jensen). It is divided by the denoised mean squared
    + 0.01, which shares its noise: a filter that lets fireflies through looks better than it is (a 5×5 blur by 2 % on
    gamma noise, by 30 % on fireflies).

    Args:
        pair: Both halves, whole; B must not have been a target of the weights on the pixels that count.
        from_a: f(A), ``[3, H, W]``.
        from_b: f(B).
        mask: ``[H, W]``, the pixels that count; None for all.

    Returns:
        The estimate, with an interval from the spread over 16 px tiles; it may be slightly negative. NaN
        where fewer than two tiles count.
    """
    error, noisy_error, counted = _per_pixel(pair, from_a, from_b)
    if mask is not None:
        counted &= mask
    return _estimate(tile_means(error, counted), tile_means(noisy_error, counted))


@dataclass(frozen=True)
class TileErrors:
    """The error of one frame tile by tile, where its noise was a target of the weights and where it never was."""

    trained: np.ndarray
    held_out: np.ndarray
    noisy: np.ndarray


def tile_errors(pair: FramePair, from_a: Plane, from_b: Plane, held_out: np.ndarray) -> TileErrors:
    """What :func:`estimate_error` averages, split by the pixels ``[H, W]`` that were held out of training."""
    error, noisy_error, counted = _per_pixel(pair, from_a, from_b)
    return TileErrors(
        tile_means(error, counted & ~held_out),
        tile_means(error, counted & held_out),
        tile_means(noisy_error, counted),
    )


def pooled_estimate(frames: Sequence[TileErrors]) -> ErrorEstimate:
    """The error over the held-out tiles of all frames; NaN where there are fewer than two."""
    return _estimate(np.concatenate([f.held_out for f in frames]), np.concatenate([f.noisy for f in frames]))


def shot_estimates(frames: Sequence[TileErrors]) -> list[ErrorEstimate]:
    """Each frame's error after training on the whole shot.

    A frame's few held-out tiles alone say little. All its other tiles say more, but flatter weights that learned their
    noise; by how much, the held-out tiles of all frames tell together. So a frame's estimate is that over its trained
    tiles plus the shot's mean difference between held-out and trained; for a still that is its held-out tiles alone.
    """
    held = pooled_estimate(frames)
    flattery = held.relmse - float(np.mean([f.trained.mean() for f in frames if len(f.trained)] or [np.nan]))
    estimates = []
    for frame in frames:
        own = _estimate(frame.trained, frame.noisy)
        mean = own.relmse + flattery
        margin = float(np.hypot(own.high - own.relmse, held.high - held.relmse))
        estimates.append(ErrorEstimate(mean, mean - margin, mean + margin, own.noisy_relmse))
    return estimates


def _estimate(tiles: np.ndarray, noisy: np.ndarray) -> ErrorEstimate:
    """Mean and 95 % interval of independent tiles."""
    if len(tiles) < 2:
        return ErrorEstimate(np.nan, np.nan, np.nan, float(noisy.mean()) if len(noisy) else np.nan)
    mean = float(tiles.mean())
    margin = _t95(len(tiles) - 1) * float(tiles.std(ddof=1)) / np.sqrt(len(tiles))
    return ErrorEstimate(mean, mean - margin, mean + margin, float(noisy.mean()))


def _t95(degrees: int) -> float:
    """The 97.5 % point of Student's t, by its expansion around the normal (Abramowitz and Stegun 26.7.5)."""
    z = _Z95
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def error_map(pair: FramePair, from_a: Plane, from_b: Plane, radius_px: int = 16) -> Plane:
    """The same estimate for every pixel, ``[1, H, W]``: averaged over a window, as one pixel's is mostly noise.

    Negative estimates become 0 and the others are scaled so that the frame's mean stays what it was; where that mean
    is itself negative they stay as they are, since too much is a better guess than none.
    """
    error, _, counted = _per_pixel(pair, from_a, from_b)
    total = _window_sums(np.where(counted, error, 0.0), radius_px)
    count = _window_sums(counted.astype(np.float64), radius_px)
    smooth = total / np.maximum(count, 1)
    positive = np.maximum(smooth, 0)
    scale = smooth.mean() / positive.mean() if smooth.mean() > 0 else 1.0
    return (scale * positive).astype(np.float32)[None]


def _per_pixel(pair: FramePair, from_a: Plane, from_b: Plane) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every pixel: the error of the denoised, that of the noisy mean, and whether both halves are finite."""
    assert pair.partner is not None
    a, b = pair.input.radiance.astype(np.float64), pair.partner.radiance.astype(np.float64)
    counted = np.logical_and(np.isfinite(a).all(0), np.isfinite(b).all(0))
    a, b = np.where(counted, a, 0.0), np.where(counted, b, 0.0)
    scale = np.square(0.5 * (from_a + from_b)) + EPSILON
    difference = np.square(a - b)
    error = 0.5 * (np.square(from_a - b) + np.square(from_b - a)) - 0.5 * difference
    return (error / scale).mean(0), (difference / (4 * scale)).mean(0), counted


def _window_sums(values: np.ndarray, radius: int) -> np.ndarray:
    """Sums over windows of 2·radius + 1 px, cut off at the border, by summed areas (Crow 1984)."""
    height, width = values.shape
    table = np.zeros((height + 1, width + 1))
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    top, bottom = np.clip(np.arange(height) - radius, 0, height), np.clip(np.arange(height) + radius + 1, 0, height)
    left, right = np.clip(np.arange(width) - radius, 0, width), np.clip(np.arange(width) + radius + 1, 0, width)
    rows = table[bottom] - table[top]
    return rows[:, right] - rows[:, left]


def tile_means(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The mean over the counted pixels of every tile that has any."""
    rows = np.arange(0, values.shape[0], HOLDOUT_TILE_PX)
    columns = np.arange(0, values.shape[1], HOLDOUT_TILE_PX)

    def sums(x: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(x, rows, axis=0), columns, axis=1).ravel()

    count = sums(counted.astype(np.float64))
    total = sums(np.where(counted, values, 0.0))
    return total[count > 0] / count[count > 0]
