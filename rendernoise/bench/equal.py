"""What an error is worth in samples: "as good as plain rendering at 800 spp"."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rendernoise.bench.config import OUR_METHODS

#: Metrics that are errors on a scale where ratios mean something.
COMPARED = ("trimmed_relmse", "relmse", "smape", "flip")
#: Squared errors of a mean of independent samples fall as 1/spp, so plain rendering can be carried further.
_LAWFUL = ("trimmed_relmse", "relmse")
#: How far from -1 the slope of the last piece of a curve may be.
SLOPE_TOLERANCE = 0.3


def samples_needed(
    curve: Sequence[tuple[int, float]], error: float, *, inverse_law: bool = False
) -> tuple[float | None, str]:
    """The samples at which a curve comes down to an error, by straight lines in the log-log plot.

    Args:
        curve: (samples per pixel, error), ascending in samples.
        error: What is to be reached.
        inverse_law: Whether the error should fall as 1/spp; beyond the last point it is taken to, unless the last two
            points show that it does not yet (fireflies that few samples have missed).

    Returns:
        The samples, and ``interpolated``, ``extrapolated``, ``below`` (the first point is better already: None) or
        ``not reached`` (None).
    """
    if error >= curve[0][1]:
        return None, "below"
    for (n0, e0), (n1, e1) in pairwise(curve):
        if e1 <= error < e0:
            share = (math.log(e0) - math.log(error)) / (math.log(e0) - math.log(e1)) if e1 > 0 else 1.0
            return n0 * (n1 / n0) ** share, "interpolated"
    last_n, last_e = curve[-1]
    if not inverse_law or not _falls_as_one_over_n(curve):
        return None, "not reached"
    return last_n * last_e / error, "extrapolated"


def _falls_as_one_over_n(curve: Sequence[tuple[int, float]]) -> bool:
    """Whether the last two points agree with it; a single point cannot contradict."""
    if len(curve) < 2:
        return True
    (n0, e0), (n1, e1) = curve[-2:]
    return abs(math.log(e1 / e0) / math.log(n1 / n0) + 1) <= SLOPE_TOLERANCE


def equal_quality(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every method of ours and sample count, how many samples each other method needs for the same error.

    Errors are means over frames and seeds. What is within the noise of the references, or not above 0 once that is
    taken off, says nothing; nor does a comparison that would have to go beyond such a point of the other's curve.
    """
    values: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
    unknown: set[tuple[str, str, str, int]] = set()
    for row in rows:
        key = (row["scene"], row["metric"], row["method"], row["spp"])
        if row["value"] is None or row["within_reference_noise"] or not row["spp"]:
            unknown.add(key)
        else:
            values[key].append(row["value"])
    unknown |= {key for key, found in values.items() if sum(found) <= 0}
    means = {key: sum(found) / len(found) for key, found in values.items() if key not in unknown}
    curves: dict[tuple[str, str, str], list[tuple[int, float]]] = defaultdict(list)
    for (scene, metric, method, spp), error in sorted(means.items()):
        curves[scene, metric, method].append((spp, error))
    found: list[dict[str, Any]] = []
    for (scene, metric, method), curve in curves.items():
        if metric not in COMPARED or method not in OUR_METHODS:
            continue
        for (other_scene, other_metric, other), other_curve in curves.items():
            if (other_scene, other_metric) != (scene, metric) or other in OUR_METHODS:
                continue
            lawful = other == "noisy" and metric in _LAWFUL
            vague = [n for *place, n in unknown if place == [scene, metric, other]]
            for spp, error in curve:
                needs, how = samples_needed(other_curve, error, inverse_law=lawful)
                beyond = how in ("extrapolated", "not reached") and max(vague, default=0) > other_curve[-1][0]
                if beyond or (how == "below" and min(vague, default=math.inf) < other_curve[0][0]):
                    continue
                found.append(
                    {
                        "scene": scene,
                        "metric": metric,
                        "method": method,
                        "spp": spp,
                        "baseline": other,
                        "needs_spp": None if needs is None else float(f"{needs:.4g}"),
                        "how": how,
                    }
                )
    return found
