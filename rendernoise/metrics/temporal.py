"""Flicker: the error of the change from one frame to the next."""

from __future__ import annotations

from rendernoise.frame import Plane
from rendernoise.metrics.batch import batched
from rendernoise.metrics.relative import relmse


@batched
def temporal_error(
    image: Plane,
    before: Plane,
    reference: Plane,
    reference_before: Plane,
    variance: Plane | None = None,
    variance_before: Plane | None = None,
) -> float:
    """Error of frame differences: :func:`relmse` of xₜ − xₜ₋₁ against rₜ − rₜ₋₁, pixel by pixel, without motion.

    An error that stays the same from frame to frame costs nothing; one that flickers does. Independent noise of equal
    strength counts twice, once per frame.

    Args:
        image: Frame t, linear radiance ``[3, H, W]`` or ``[N, 3, H, W]``, finite.
        before: Frame t − 1, same shape.
        reference: What frame t should be, same shape.
        reference_before: What frame t − 1 should be, same shape.
        variance: Variance of ``reference``'s own noise; None when unknown.
        variance_before: Likewise of ``reference_before``. Noise of independent references adds up; where either is
            unknown nothing is subtracted.
    """
    known = None if variance is None or variance_before is None else variance + variance_before
    return relmse(image - before, reference - reference_before, known)
