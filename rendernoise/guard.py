"""What two halves tell without a reference: where the noisy mean is the better image, and how wrong the result is.

For halves A and B, their denoised versions f(A) and f(B), d the mean of the latter and n that of the former, E AB = R²
and E f(A)·B = E f(A) · R, as f(A) does not depend on the noise of B. So products of the two halves stand for what
involves the unknown truth R, without bias (law 5). What :mod:`rendernoise.confidence` makes of it is less exact, and
surer.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from rendernoise.color import auto_exposure
from rendernoise.confidence import ErrorEstimate, Evidence, expected_error, kept_pixels, tile_estimate, tile_means
from rendernoise.frame import Frame, FramePair, Plane

EPSILON = 0.01
#: A pixel of one denoised half is at most so many times as bright as the brightest of the other half's next to it.
AGREEMENT_FACTOR, AGREEMENT_PX = 3.0, 3
#: Windows of the guard, px on each side of a pixel, and how many standard errors its shares are lowered by. Larger
#: windows see less of where the denoiser fails, smaller ones take noise for a failure (docs/denoiser.md).
GUARD_RADIUS_PX = 6
GUARD_CAUTION = 4.0
#: From where on, and where fully, the gains of a window's pixels agree: their sum over the root of their squares' sum.
GUARD_AGREEMENT = (1.5, 3.0)
#: How far the error map averages spread and products, px on each side, and the standard errors that products must be
#: beyond: a pixel's own spread is one draw, and its products are mostly noise.
MAP_RADII_PX, MAP_CAUTION = (3, 16), 4.0


@dataclass(frozen=True)
class Judgement:
    """What the halves say of a frame.

    Args:
        frame: What is written, with averaged features.
        noisy: The noisy mean of all samples, ``[3, H, W]``.
        share: How much of the image is the noisy mean, ``[H, W]``.
        spread: A quarter of the squared relative difference of both halves as they would be written, ``[H, W]``.
        error: The estimated squared relative error of the image, unbiased.
        noisy_error: That of the noisy mean.
        counted: Whether both halves are finite.
    """

    frame: Frame
    noisy: Plane
    share: np.ndarray
    spread: np.ndarray
    error: np.ndarray
    noisy_error: np.ndarray
    counted: np.ndarray

    @classmethod
    def of(cls, pair: FramePair, from_a: Plane, from_b: Plane, exposure: float | None = None) -> Judgement:
        """Judge a frame.

        The image is d + w (n − d), d without specks (:func:`agreeing`). The share w of the noisy mean minimises the
        squared error over a window, relative to d² + 0.01: w = Σ (R − d)(n − d) / Σ (n − d)², less four standard
        errors, and 0 at least (the positive part of James and Stein 1961). The numerator is estimated as
        (R − d)(n − d) = AB − ½ (f(A)·B + f(B)·A) − d·n + d². So the image comes to the truth as samples grow, also
        where the denoiser does not.

        Its squared error is E[(d − R)²] = E[d² − f(A)·B − f(B)·A + AB], and w adds w² (n − d)² − 2 w (R − d)(n − d).
        All is divided by d² + 0.01, which shares its noise: a filter that lets fireflies through looks better than it
        is (a 5×5 blur by 2 % on gamma noise, by 30 % on fireflies).

        Args:
            pair: Both halves, whole.
            from_a: f(A), ``[3, H, W]``.
            from_b: f(B).
            exposure: That of the whole frame, where the pair is a part; None for that of the images.
        """
        assert pair.partner is not None
        one, other, half = pair.input, pair.partner, np.float32(0.5)
        planes = {name: half * (one.planes[name] + other.planes[name]) for name in one.planes if name in other.planes}
        noisy = planes["radiance"]
        from_a, from_b = agreeing(from_a, from_b)
        # In float64: the square of a firefly may exceed float32.
        a, b = one.radiance.astype(np.float64), other.radiance.astype(np.float64)
        counted = np.logical_and(np.isfinite(a).all(0), np.isfinite(b).all(0))
        a, b = np.where(counted, a, 0.0), np.where(counted, b, 0.0)
        denoised = 0.5 * (from_a.astype(np.float64) + from_b)
        step = np.where(counted, 0.5 * (a + b) - denoised, 0.0)
        crossed = a * b - 0.5 * (from_a * b + from_b * a)
        # (R − d)(n − d) and (n − d)²
        gain, size = crossed - denoised * step, np.square(step)
        # In one exposure for all scenes, as the loss is: the image of a brighter scene is the brighter image.
        exposure = auto_exposure(0.5 * (from_a + from_b)) if exposure is None else exposure
        exposed = counted / (np.square(denoised * exposure) + EPSILON)
        share = _cautious_share((exposed * gain).mean(0), (exposed * size).mean(0))
        # Filters with negative lobes leave negative pixels in the noisy mean.
        planes["radiance"] = np.maximum(denoised + share * step, 0).astype(np.float32)
        # (d − R)² = d² − 2 d·R + R², and what the guard's step changes.
        error = np.square(denoised) + a * b - (from_a * b + from_b * a)
        error += np.square(share) * size - 2 * share * gain
        scale = counted / (np.square(denoised) + EPSILON)
        return cls(
            replace(one, planes=planes, spp=one.spp + other.spp, seed=None),
            noisy,
            share,
            _spread(from_a, from_b, share * np.where(counted, a - b - (from_a - from_b), 0.0)),
            (scale * error).mean(0),
            (scale * np.square(a - b)).mean(0) / 4,
            counted,
        )

    def score(self, mask: np.ndarray | None = None) -> ErrorEstimate:
        """The unbiased estimate of the image's relMSE (law 5).

        Args:
            mask: ``[H, W]``, the pixels that count; None for all. None of them may have been a target of the weights.

        Returns:
            The estimate, with an interval from the spread over 16 px tiles; it may be slightly negative. NaN
            where fewer than two tiles count.
        """
        return tile_estimate(self.products(mask), self.noisy_relmse(mask))

    def products(self, mask: np.ndarray | None = None) -> np.ndarray:
        """What :meth:`score` averages: the unbiased error of each tile that has pixels that count."""
        return self._tiles(self.error, mask)

    def noisy_relmse(self, mask: np.ndarray | None = None) -> float:
        """The relMSE of the noisy mean, over the same tiles; NaN where there are none."""
        tiles = self._tiles(self.noisy_error, mask)
        return float(tiles.mean()) if len(tiles) else np.nan

    def _tiles(self, values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        return tile_means(values, self.counted if mask is None else self.counted & mask)

    def evidence(self, unseen: np.ndarray | None = None) -> Evidence:
        """What :func:`rendernoise.confidence.frame_estimates` makes an estimate of.

        Args:
            unseen: ``[H, W]``, the pixels that were never targets of the weights; None for all.
        """
        kept = kept_pixels(self.spread)
        spread, noise = (float(x[kept].mean()) for x in (self.spread, self.share * self.spread))
        return Evidence(spread, noise, self.products(unseen), self.noisy_relmse())

    def error_map(self, *, trained: bool) -> Plane:
        """The expected squared relative error of every pixel, ``[1, H, W]``.

        It is that of the spread, averaged twice over 7×7 px, and what the products of larger windows surely have
        beyond it: errors that both halves share have no spread.

        Args:
            trained: Whether the weights were trained on this shot.
        """
        expected = expected_error(self.spread, self.share * self.spread, trained=trained)
        near, far = (functools.partial(_window_means, radius=radius) for radius in MAP_RADII_PX)
        beyond = np.where(self.counted, self.error - expected, 0.0)
        variance = far(np.square(beyond)) / _window_px(beyond.shape, MAP_RADII_PX[1])
        excess = far(beyond) - MAP_CAUTION * np.sqrt(variance)
        return (near(near(expected)) + np.maximum(excess, 0)).astype(np.float32)[None]


def _spread(from_a: Plane, from_b: Plane, guarded: np.ndarray) -> np.ndarray:
    """(f(A) − f(B))² / 4 relative to the darker of both, ``[H, W]``, with what the guard adds to the difference.

    The darker, since a speck in one of them would else divide itself.
    """
    difference = from_a.astype(np.float64) - from_b + guarded
    darker = np.minimum(from_a, from_b).astype(np.float64)
    return (np.square(difference) / 4 / (np.square(darker) + EPSILON)).mean(0)


def merge_halves(pair: FramePair, from_a: Plane, from_b: Plane) -> tuple[Frame, Plane]:
    """The image of a frame with averaged features, and the noisy mean of all samples (:meth:`Judgement.of`)."""
    judged = Judgement.of(pair, from_a, from_b)
    return judged.frame, judged.noisy


def estimate_error(pair: FramePair, from_a: Plane, from_b: Plane, mask: np.ndarray | None = None) -> ErrorEstimate:
    """The unbiased estimate of the image's relMSE (:meth:`Judgement.score`)."""
    return Judgement.of(pair, from_a, from_b).score(mask)


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
    return _window_means(np.clip(np.nan_to_num(share), 0, 1) * agreed, GUARD_RADIUS_PX)


def _window_means(values: np.ndarray, radius: int) -> np.ndarray:
    """Means over the windows of :func:`_window_sums`."""
    return _window_sums(values, radius) / _window_px(values.shape, radius)


def _window_px(size: tuple[int, ...], radius: int) -> np.ndarray:
    """How many pixels of an image of (H, W) are in the window of each."""
    places = (np.arange(length) for length in size)
    return np.outer(*(np.minimum(at + radius, at[-1]) - np.maximum(at - radius, 0) + 1 for at in places))


def _window_sums(values: np.ndarray, radius: int) -> np.ndarray:
    """Sums over windows of 2·radius + 1 px, cut off at the border.

    Summed areas would be fewer additions, but differences of sums in which a firefly drowns all else.
    """
    image = torch.from_numpy(np.ascontiguousarray(values, np.float64))[None, None]
    side = 2 * radius + 1
    image = F.avg_pool2d(image, (side, 1), 1, (radius, 0), divisor_override=1)
    return F.avg_pool2d(image, (1, side), 1, (0, radius), divisor_override=1)[0, 0].numpy()
