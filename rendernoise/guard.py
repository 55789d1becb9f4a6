"""What two halves tell without a reference: where the noisy mean is the better image, and how wrong the result is.

For halves A and B, their denoised versions f(A) and f(B), d the mean of the latter and n that of the former, E AB = R²
and E f(A)·B = E f(A) · R, as f(A) does not depend on the noise of B. So products of the two halves stand for what
involves the unknown truth R, without bias (law 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from rendernoise.color import auto_exposure
from rendernoise.frame import Frame, FramePair, Plane
from rendernoise.sources.batching import HOLDOUT_TILE_PX

EPSILON = 0.01
_Z95 = 1.96
#: A pixel of one denoised half is at most so many times as bright as the brightest of the other half's next to it.
AGREEMENT_FACTOR, AGREEMENT_PX = 3.0, 3
#: Windows of the guard, px on each side of a pixel, and how many standard errors its shares are lowered by. Larger
#: windows see less of where the denoiser fails, smaller ones take noise for a failure (docs/denoiser.md).
GUARD_RADIUS_PX = 6
GUARD_CAUTION = 4.0
#: From where on, and where fully, the gains of a window's pixels agree: their sum over the root of their squares' sum.
GUARD_AGREEMENT = (1.5, 3.0)


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
    """The relMSE of the written image (:func:`merge_halves`) against the unknown truth R.

    E[(d − R)²] = E[d² − f(A)·B − f(B)·A + AB], and for the image d + w (n − d) the guard's share w adds
    w² (n − d)² − 2 w (R − d)(n − d), of which :func:`merge_halves` knows the estimate. All is divided by d² + 0.01,
    which shares its noise: a filter that lets fireflies through looks better than it is (a 5×5 blur by 2 % on gamma
    noise, by 30 % on fireflies).

    Args:
        pair: Both halves, whole; B must not have been a target of the weights on the pixels that count.
        from_a: f(A), ``[3, H, W]``.
        from_b: f(B).
        mask: ``[H, W]``, the pixels that count; None for all.

    Returns:
        The estimate, with an interval from the spread over 16 px tiles; it may be slightly negative. NaN
        where fewer than two tiles count.
    """
    judged = _Judgement.of(pair, from_a, from_b)
    counted = judged.counted if mask is None else judged.counted & mask
    return _estimate(tile_means(judged.error, counted), tile_means(judged.noisy_error, counted))


@dataclass(frozen=True)
class TileErrors:
    """The error of one frame tile by tile, where its noise was a target of the weights and where it never was."""

    trained: np.ndarray
    held_out: np.ndarray
    noisy: np.ndarray


def tile_errors(pair: FramePair, from_a: Plane, from_b: Plane, held_out: np.ndarray) -> TileErrors:
    """What :func:`estimate_error` averages, split by the pixels ``[H, W]`` that were held out of training."""
    judged = _Judgement.of(pair, from_a, from_b)
    return TileErrors(
        tile_means(judged.error, judged.counted & ~held_out),
        tile_means(judged.error, judged.counted & held_out),
        tile_means(judged.noisy_error, judged.counted),
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
    judged = _Judgement.of(pair, from_a, from_b)
    total = _window_sums(np.where(judged.counted, judged.error, 0.0), radius_px)
    count = _window_sums(judged.counted.astype(np.float64), radius_px)
    smooth = total / np.maximum(count, 1)
    positive = np.maximum(smooth, 0)
    scale = smooth.mean() / positive.mean() if smooth.mean() > 0 else 1.0
    return (scale * positive).astype(np.float32)[None]


def merge_halves(pair: FramePair, from_a: Plane, from_b: Plane) -> tuple[Frame, Plane]:
    """The image of a frame, with averaged features, and the noisy mean of all samples.

    The image is d + w (n − d). The share w of the noisy mean minimises the squared error over a window, relative to
    d² + 0.01: w = Σ (R − d)(n − d) / Σ (n − d)², less four standard errors, and 0 at least (the positive part of James
    and Stein 1961). The numerator is estimated as in :func:`estimate_error`:
    (R − d)(n − d) = AB − ½ (f(A)·B + f(B)·A) − d·n + d². So the image comes to the truth as samples grow, also where
    the denoiser does not.

    Args:
        pair: Both halves, whole.
        from_a: f(A), ``[3, H, W]``.
        from_b: f(B).
    """
    assert pair.partner is not None
    a, b = pair.input, pair.partner
    half = np.float32(0.5)
    planes = {name: half * (a.planes[name] + b.planes[name]) for name in a.planes if name in b.planes}
    noisy = planes["radiance"]
    planes["radiance"] = _Judgement.of(pair, from_a, from_b).image
    return replace(a, planes=planes, spp=a.spp + b.spp, seed=None), noisy


def agreeing(from_a: Plane, from_b: Plane) -> tuple[Plane, Plane]:
    """Both denoised halves, each without specks that the other knows nothing of.

    A denoiser lets some fireflies through, and those of one half are not in the other. So a pixel becomes no brighter
    than :data:`AGREEMENT_FACTOR` times the brightest of the other half's 3×3 around it, its colour kept. What both
    halves see stays as it is; the mean of an image loses 0.5 % at most (docs/denoiser.md).

    Args:
        from_a: f(A), ``[3, H, W]``.
        from_b: f(B).
    """
    images = torch.from_numpy(np.stack((from_a, from_b)))
    grey = images.mean(1, keepdim=True)
    limit = AGREEMENT_FACTOR * F.max_pool2d(grey, AGREEMENT_PX, 1, AGREEMENT_PX // 2).flip(0)
    limited = (images * (limit / grey.clamp_min(1e-30)).clamp(0, 1)).numpy()
    return limited[0], limited[1]


@dataclass(frozen=True)
class _Judgement:
    """What the halves say of every pixel.

    Args:
        image: What is written, ``[3, H, W]``, float32.
        share: How much of it is the noisy mean, ``[H, W]``.
        error: The estimated squared relative error of the image.
        noisy_error: That of the noisy mean.
        counted: Whether both halves are finite.
    """

    image: Plane
    share: np.ndarray
    error: np.ndarray
    noisy_error: np.ndarray
    counted: np.ndarray

    @classmethod
    def of(cls, pair: FramePair, from_a: Plane, from_b: Plane) -> _Judgement:
        assert pair.partner is not None
        from_a, from_b = agreeing(from_a, from_b)
        # In float64: the square of a firefly may exceed float32.
        a, b = pair.input.radiance.astype(np.float64), pair.partner.radiance.astype(np.float64)
        counted = np.logical_and(np.isfinite(a).all(0), np.isfinite(b).all(0))
        a, b = np.where(counted, a, 0.0), np.where(counted, b, 0.0)
        denoised = 0.5 * (from_a.astype(np.float64) + from_b)
        step = np.where(counted, 0.5 * (a + b) - denoised, 0.0)
        crossed = a * b - 0.5 * (from_a * b + from_b * a)
        # (R − d)(n − d) and (n − d)²
        gain, size = crossed - denoised * step, np.square(step)
        # In one exposure for all scenes, as the loss is: the image of a brighter scene is the brighter image.
        exposed = counted / (np.square(denoised * auto_exposure(0.5 * (from_a + from_b))) + EPSILON)
        share = _cautious_share((exposed * gain).mean(0), (exposed * size).mean(0))
        # Filters with negative lobes leave negative pixels in the noisy mean.
        image = np.maximum(denoised + share * step, 0).astype(np.float32)
        # (d − R)² = d² − 2 d·R + R², and what the guard's step changes.
        error = np.square(denoised) + a * b - (from_a * b + from_b * a)
        error += np.square(share) * size - 2 * share * gain
        scale = counted / (np.square(denoised) + EPSILON)
        return cls(image, share, (scale * error).mean(0), (scale * np.square(a - b)).mean(0) / 4, counted)


def _cautious_share(gain: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Σ gain / Σ size over windows, less some standard errors, within 0 to 1, ``[H, W]``.

    Pixels learn from those of the other colour of a chessboard: a firefly must not speak for itself, and the error
    that is estimated from a pixel stays unbiased.
    """
    colour = np.indices(gain.shape).sum(0) % 2 == 0
    of_one, of_other = (_share(gain * mask, size * mask) for mask in (colour, ~colour))
    return np.where(colour, of_other, of_one)


def _share(gain: np.ndarray, size: np.ndarray) -> np.ndarray:
    """What :func:`_cautious_share` says, for all pixels from all pixels."""

    def sums(values: np.ndarray) -> np.ndarray:
        return _window_sums(values, GUARD_RADIUS_PX)

    tiny = np.finfo(np.float64).tiny
    gained, squares, total = sums(gain), sums(np.square(gain)), np.maximum(sums(size), tiny)
    share = gained / total
    residual = squares - 2 * share * sums(gain * size) + np.square(share) * sums(np.square(size))
    share -= GUARD_CAUTION * np.sqrt(np.maximum(residual, 0)) / total
    # A firefly in both halves makes its own ratio, without a residual. Its gain is as large as the root of the squares.
    low, high = GUARD_AGREEMENT
    agreed = np.clip((gained / np.sqrt(np.maximum(squares, tiny)) - low) / (high - low), 0, 1)
    # Averaged once more: where noise is let through, it must not have an outline.
    return sums(np.clip(np.nan_to_num(share), 0, 1) * agreed) / sums(np.ones_like(share))


def _window_sums(values: np.ndarray, radius: int) -> np.ndarray:
    """Sums over windows of 2·radius + 1 px, cut off at the border.

    Summed areas would be fewer additions, but differences of sums in which a firefly drowns all else.
    """
    image = torch.from_numpy(np.ascontiguousarray(values, np.float64))[None, None]
    side = 2 * radius + 1
    image = F.avg_pool2d(image, (side, 1), 1, (radius, 0), divisor_override=1)
    return F.avg_pool2d(image, (1, side), 1, (0, radius), divisor_override=1)[0, 0].numpy()


def tile_means(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The mean over the counted pixels of every tile that has any."""
    rows = np.arange(0, values.shape[0], HOLDOUT_TILE_PX)
    columns = np.arange(0, values.shape[1], HOLDOUT_TILE_PX)

    def sums(x: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(x, rows, axis=0), columns, axis=1).ravel()

    count = sums(counted.astype(np.float64))
    total = sums(np.where(counted, values, 0.0))
    return total[count > 0] / count[count > 0]
