"""How many steps a run of ``online`` trains for, and how much of that is done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from rendernoise.recipes import MIN_STEPS, Recipe, steps_that_pixels_bear, steps_to_fill, wants_symmetries

#: Once training overfits, the steps over which the rate falls to 0, as a share of those before.
SETTLING_SHARE = 0.15
#: Steps for each round of samples that were asked for later, as a share of those before the first.
GOING_ON_SHARE = 0.25


@dataclass
class StepBudget:
    """The steps of a run; they follow from the options and the size of the pairs, and never from the clock.

    Args:
        recipe: Whether training goes on after the last pair, and on which crops.
        pairs: Pairs of the whole run.
        per_pair: Steps for each pair; None for as many as fill the renderer's nominal time.
        least: Steps at least (``--min-steps``); None for the recipe's.
        visits: How often a pixel may be a target.
        usual: Steps at least where nobody says otherwise, if pixels bear them.
    """

    recipe: Recipe
    pairs: int
    per_pair: int | None
    least: int | None
    visits: int
    usual: int = MIN_STEPS
    #: Steps of the whole run that pixels bear without being learned by heart; 0 before the first pair.
    bearable: int = 0
    #: Where training ends once it overfits; 0 before.
    last_step: int = 0
    #: Steps for samples that were asked for later.
    added: int = 0

    def for_pair(self, pixels: int, spp: int, device: torch.device) -> int:
        """Steps for a pair of so many pixels and samples per half, which has just arrived."""
        self.bearable = steps_that_pixels_bear(pixels, self.recipe.crops, self.visits) * self.pairs
        if self.per_pair is None:
            self.per_pair = min(steps_to_fill(pixels, spp, device), self.bearable // self.pairs)
        return self.per_pair

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.added + (self.last_step or self._planned)

    @property
    def _planned(self) -> int:
        total = (self.per_pair or 0) * self.pairs
        if not self.recipe.finish:
            return total
        if self.least is not None:
            return max(total, self.least)
        return max(total, min(self.usual, self.bearable))

    @property
    def wants_symmetries(self) -> bool:
        """Whether pixels come up so often that crops should be flipped and turned."""
        return wants_symmetries(self.total, self.bearable, self.visits)

    def settle(self, step: int) -> None:
        """Training overfits by this step: let the rate fall to 0 from here, or end here if it did so before."""
        end = step if self.last_step else min(self.total, math.ceil(step * (1 + SETTLING_SHARE)))
        self.last_step = end - self.added

    def go_on(self) -> None:
        """Some more steps, as frames have got more samples."""
        self.added += math.ceil(GOING_ON_SHARE * (self.total - self.added))

    def state_dict(self) -> dict[str, Any]:
        """What was found out on the way, as JSON values."""
        return {name: getattr(self, name) for name in ("per_pair", "bearable", "last_step", "added")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        for name, value in state.items():
            setattr(self, name, value)
