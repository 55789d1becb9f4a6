"""Which frames get more samples: until each is good enough, or where seconds help most.

Errors fall as spp^-α with α about 0.65 (0.5 to 0.85, docs/denoiser.md), so half the error costs three times the
samples. Plans are made of estimates that were there before any of the samples that they ask for.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

#: How the error of a denoised frame falls with its samples.
FALL = 0.65
#: A frame gets at most so many times the samples that it has, before it is looked at again; for less than this share of
#: all samples more, another round does not pay.
MOST_GROWTH, LEAST_GROWTH = 4, 0.1


def affordable(units: Mapping[int, int], render_s: float, left_s: float) -> int:
    """Units of samples that the seconds which are left allow for, where all that there are took ``render_s``."""
    there = sum(units.values())
    more = int(left_s * there / max(1e-9, render_s))
    return more if more >= LEAST_GROWTH * there else 0


def until_good(
    upper: Mapping[int, float], units: Mapping[int, int], target: float, budget: int | None = None
) -> dict[int, int]:
    """What the frames need whose error may lie above a target.

    Args:
        upper: Upper bounds of the frames' estimated relMSE.
        units: Samples that each has, in any unit.
        target: The relMSE that every frame shall be below.
        budget: Units to spend at most, on all these frames alike; None for as many as they need.

    Returns:
        Units to add; frames that are good enough, or for which no unit is left, are not in it.
    """
    wanted: dict[int, int] = {}
    for number, bound in upper.items():
        if bound > target:
            factor = min(MOST_GROWTH, (bound / target) ** (1 / FALL))
            wanted[number] = max(1, round((factor - 1) * units[number]))
    share = 1.0 if budget is None else min(1.0, budget / max(1, sum(wanted.values())))
    return {number: int(share * more) for number, more in wanted.items() if int(share * more)}


def by_gain(errors: Mapping[int, float], units: Mapping[int, int], budget: int) -> dict[int, int]:
    """Where units of samples lower the mean error most: each goes where the next one gains most.

    Gains fall with every unit, so this is the best split there is.

    Args:
        errors: The frames' estimated relMSE.
        units: Samples that each has.
        budget: Units to spend.

    Returns:
        Units to add, no more than the budget in all; frames that get none are not in it.
    """
    added = dict.fromkeys(errors, 0)

    def gain(number: int) -> float:
        before, after = ((1 + (added[number] + more) / units[number]) ** -FALL for more in (0, 1))
        return errors[number] * (before - after)

    gains = [(-gain(number), number) for number, error in errors.items() if error > 0]
    heapq.heapify(gains)
    for _ in range(budget):
        if not gains:
            break
        _, number = heapq.heappop(gains)
        added[number] += 1
        if added[number] < (MOST_GROWTH - 1) * units[number]:
            heapq.heappush(gains, (-gain(number), number))
    return {number: more for number, more in added.items() if more}
