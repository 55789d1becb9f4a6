"""HDR-FLIP (Andersson et al. 2021) by the ``flip-evaluator`` package, with exposures that hold for a whole run.

FLIP looks at an image at several exposures and keeps the worst error of each pixel. Left alone it picks the exposures
from each reference anew, so that two frames, or two crops, are measured with different rulers. Here they are picked
once, from all references of a run together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from rendernoise.color import REC709_LUMINANCE
from rendernoise.errors import InputError
from rendernoise.frame import Plane
from rendernoise.metrics.batch import batched

#: Where FLIP's tone map, ACES as fitted by Narkowicz 2015, reaches 0.85:
#: (0.9036 x² + 0.018 x) / (0.8748 x² + 0.354 x + 0.14) = 0.85, solved for x.
BRIGHT = 2.1188723
#: FLIP 1.7 takes this for the median luminance when more than half of the pixels are black.
DARKEST = 2.0**-23
#: The tone map squares its input in single precision; beyond this that is not finite.
EXPOSED_LIMIT = 1e18


@dataclass(frozen=True)
class FlipExposures:
    """The exposures at which HDR-FLIP looks: ``count`` of them, evenly from ``start`` to ``stop``, in EV.

    Raises:
        ValueError: They are not finite, in falling order (the package would end the process), or fewer than two (it
            would find no error anywhere).
    """

    start: float
    stop: float
    count: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.stop) and self.start <= self.stop and self.count >= 2):
            raise ValueError(f"{self} is no series of exposures")


def flip_exposures(references: Iterable[Plane]) -> FlipExposures:
    """FLIP's own choice of exposures (Andersson et al. 2021), over the pixels of all references together.

    From the one that shows the brightest pixel as 0.85 to the one that does so with the median pixel, in steps
    of about 1 EV. Where more than half of the pixels are black, the longest exposure is 24 EV, and there are many.

    Args:
        references: Linear radiance ``[3, H, W]`` each, of any sizes; negative values count as black.

    Returns:
        The exposures; 0 EV twice when every reference is black.
    """
    luminances = [
        np.tensordot(np.asarray(REC709_LUMINANCE), np.maximum(r, 0), axes=1).ravel().astype(np.float32)
        for r in references
    ]
    luminance = np.concatenate(luminances)
    peak, middle = luminance.max(), luminance.size // 2
    if peak == 0:
        return FlipExposures(0.0, 0.0, 2)
    median = np.partition(luminance, middle)[middle]
    # Single precision as in the package: steps are counted alike where the range is a whole number of EV.
    start, stop = (np.float32(math.log2(BRIGHT / max(float(v), DARKEST))) for v in (peak, median))
    return FlipExposures(float(start), float(stop), max(2, math.ceil(stop - start)))


@batched
def flip(image: Plane, reference: Plane, exposures: FlipExposures | None = None) -> float:
    """Mean HDR-FLIP error, in [0, 1], at 67 pixels per degree with the ACES tone map, which are FLIP's defaults.

    The same on any number of threads.

    Args:
        image: Linear radiance, ``[3, H, W]``, finite; negative values count as black.
        reference: What it should be, same shape.
        exposures: Where to look; None leaves it to this one reference.

    Raises:
        InputError: The package ``flip-evaluator`` is not installed.
    """
    assert np.isfinite(image).all(), "FLIP of an image with NaN or infinity"
    assert np.isfinite(reference).all(), "FLIP against a reference with NaN or infinity"
    exposures = exposures or flip_exposures([reference])
    limit = min(EXPOSED_LIMIT * 2.0**-exposures.stop, float(np.finfo(np.float32).max))
    x, r = (np.ascontiguousarray(np.clip(v, 0, limit).transpose(1, 2, 0), np.float32) for v in (image, reference))
    errors, _, _ = load_evaluator().evaluate(
        r,
        x,
        "HDR",
        applyMagma=False,
        computeMeanError=False,
        parameters={
            "startExposure": exposures.start,
            "stopExposure": exposures.stop,
            "numExposures": exposures.count,
        },
    )
    # The package's own mean adds up in single precision.
    return float(np.mean(errors, dtype=np.float64))


def load_evaluator() -> ModuleType:
    """The package ``flip_evaluator``; a run calls this first, to learn before the work starts that it is missing.

    Raises:
        InputError: It is not installed.
    """
    try:
        import flip_evaluator
    except ImportError as error:
        raise InputError(
            "HDR-FLIP needs the package flip-evaluator, which is not installed", 'pip install "rendernoise[bench]"'
        ) from error
    return flip_evaluator
