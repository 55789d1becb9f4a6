"""From images to rows: every metric of every frame, with what must be said beside the figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rendernoise.bench.inputs import ReferenceFrame
from rendernoise.bench.methods import Output, Seconds
from rendernoise.errors import ImageError, RendernoiseError
from rendernoise.frame import Plane
from rendernoise.metrics import METRICS, TEMPORAL_METRICS, Reference
from rendernoise.metrics.flip import FlipExposures

#: An error within this many times the reference's own noise is not ranked: the reference cannot tell more.
NOISE_FACTOR = 3.0
_DIGITS = 7


class Scorer:
    """Measures images against references.

    Args:
        references: By frame number.
        metrics: Names of those to compute.
        exposures: Where FLIP looks.
    """

    def __init__(
        self, references: Mapping[int, ReferenceFrame], metrics: Iterable[str], exposures: FlipExposures | None
    ) -> None:
        self._found = references
        self._metrics = [name for name in METRICS if name in set(metrics)]
        self._references = {number: Reference(r.radiance, r.variance, exposures) for number, r in references.items()}

    def rows(self, outputs: Iterable[Output], facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows of one method's images in frame order; the last row of a frame carries its image as ``_image``.

        Non-finite pixels are scored as black and counted in ``nonfinite_px``. A frame that has no image, or one of
        another size, becomes a row with ``error`` alone.
        """
        before: tuple[int, Plane] | None = None
        for output in outputs:
            try:
                image, bad = _scorable(output, self._references[output.number].radiance)
            except RendernoiseError as error:
                yield {**facts, "frame": output.number, "error": str(error)}
                continue
            common = {
                **facts,
                "frame": output.number,
                "nonfinite_px": bad,
                "seconds": output.seconds,
                "estimate": output.estimate,
            }
            values = {n: METRICS[n].compute(image, self._references[output.number]) for n in self._metrics}
            if before is not None and before[0] == output.number - 1:
                pair = self._references[output.number], self._references[before[0]]
                values |= {n: m.compute(image, before[1], *pair) for n, m in TEMPORAL_METRICS.items()}
            yield {
                **common,
                "values": {n: _number(v) for n, v in values.items()},
                "_image": output.radiance,
            }
            before = output.number, image

    def within_noise(self, number: int, values: Mapping[str, float | None]) -> bool:
        """Whether an error is so near the reference's own noise that the reference cannot rank it."""
        noise, error = self._found[number].noise, values.get("relmse")
        return noise is not None and error is not None and error < NOISE_FACTOR * noise


def long_rows(score: Mapping[str, Any], within: bool) -> Iterator[dict[str, Any]]:
    """One row for each metric, as ``results.json`` holds them."""
    seconds: Seconds = score["seconds"]
    for name, value in score["values"].items():
        yield {
            "scene": score["scene"],
            "frame": score["frame"],
            "method": score["method"],
            "spp": score["spp"],
            "metric": name,
            "value": value,
            "seed": score["seed"],
            "wall_s": seconds.wall_s,
            "nonfinite_px": score["nonfinite_px"],
            "within_reference_noise": within,
        }


def _scorable(output: Output, reference: Plane) -> tuple[Plane, int]:
    if output.radiance is None:
        raise ImageError(output.error or "there is no image")
    if output.radiance.shape != reference.shape:
        (_, h, w), (_, rh, rw) = output.radiance.shape, reference.shape
        raise ImageError(f"the image is {w}x{h} px, but the reference is {rw}x{rh} px", "Give images of one size")
    finite = np.isfinite(output.radiance).all(axis=0)
    if finite.all():
        return output.radiance, 0
    return np.where(finite, output.radiance, np.float32(0)), int((~finite).sum())


def _number(value: Any) -> float | None:
    """As JSON can hold it; infinite and undefined values become null."""
    value = float(value)
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
