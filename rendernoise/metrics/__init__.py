"""Image metrics: a dict from name to function of (image, reference), both linear radiance ``[3, H, W]``."""

from __future__ import annotations

from collections.abc import Callable

from rendernoise.frame import Plane
from rendernoise.metrics.relative import bias, relmse, smape, trimmed_relmse

METRICS: dict[str, Callable[[Plane, Plane], float]] = {
    "relmse": relmse,
    "trimmed_relmse": trimmed_relmse,
    "smape": smape,
    "bias": bias,
}
