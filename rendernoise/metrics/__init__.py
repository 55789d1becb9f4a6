"""Image metrics, by name: of linear radiance ``[3, H, W]``, giving a float, or ``[N, 3, H, W]``, giving ``[N]``.

The dicts carry what a table or a page needs to know of each; the functions behind them can be called as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rendernoise.frame import Plane
from rendernoise.metrics.display import psnr, ssim
from rendernoise.metrics.flip import FlipExposures, flip
from rendernoise.metrics.relative import bias, relmse, smape, trimmed_relmse
from rendernoise.metrics.temporal import temporal_error


@dataclass(frozen=True)
class Reference:
    """What an image is measured against.

    Args:
        radiance: Linear radiance ``[3, H, W]`` or ``[N, 3, H, W]``, finite.
        variance: Variance of its own noise, same shape; None when unknown.
        flip: Exposures of FLIP, one choice for the whole run; None leaves them to each reference.
    """

    radiance: Plane
    variance: Plane | None = None
    flip: FlipExposures | None = None


@dataclass(frozen=True)
class Description:
    """How a metric is shown.

    Args:
        label: Its name in tables and axes.
        better: Which end is good; ``zero`` for a signed error.
        about: One line that says what it measures.
        perfect: Its value for an image that equals the reference (of unknown variance).
    """

    label: str
    better: Literal["lower", "higher", "zero"]
    about: str
    perfect: float


@dataclass(frozen=True)
class Metric(Description):
    """A metric of one image: ``compute(image, reference)``."""

    compute: Callable[[Plane, Reference], Any]


@dataclass(frozen=True)
class TemporalMetric(Description):
    """A metric of two frames in a row: ``compute(image, before, reference, reference_before)``."""

    compute: Callable[[Plane, Plane, Reference, Reference], Any]


METRICS: dict[str, Metric] = {
    "trimmed_relmse": Metric(
        "trimmed relMSE",
        "lower",
        "relMSE without the worst 0.1 % of pixels, so that single fireflies do not decide",
        0,
        lambda x, r: trimmed_relmse(x, r.radiance, r.variance),
    ),
    "relmse": Metric(
        "relMSE",
        "lower",
        "Squared error relative to the reference's brightness, over all pixels; one firefly can dominate it",
        0,
        lambda x, r: relmse(x, r.radiance, r.variance),
    ),
    "smape": Metric(
        "SMAPE",
        "lower",
        "Absolute error relative to the brightness of image and reference, from 0 to 1; hardly moved by fireflies",
        0,
        lambda x, r: smape(x, r.radiance),
    ),
    "psnr": Metric(
        "PSNR (dB)",
        "higher",
        "Peak signal-to-noise ratio of the tone-mapped images",
        math.inf,
        lambda x, r: psnr(x, r.radiance),
    ),
    "ssim": Metric(
        "SSIM",
        "higher",
        "Structural similarity of the tone-mapped images; 1 means equal",
        1,
        lambda x, r: ssim(x, r.radiance),
    ),
    "flip": Metric(
        "HDR-FLIP",
        "lower",
        "Difference that a viewer perceives when flipping between the images, worst over exposures, from 0 to 1",
        0,
        lambda x, r: flip(x, r.radiance, r.flip),
    ),
    "bias": Metric(
        "bias",
        "zero",
        "Difference of mean brightness relative to the reference; below 0 is too dark",
        0,
        lambda x, r: bias(x, r.radiance),
    ),
}

TEMPORAL_METRICS: dict[str, TemporalMetric] = {
    "temporal": TemporalMetric(
        "temporal error",
        "lower",
        "relMSE of the change from the frame before: what flickers, not what is wrong but steady",
        0,
        lambda x, before, r, r_before: temporal_error(
            x, before, r.radiance, r_before.radiance, r.variance, r_before.variance
        ),
    ),
}
