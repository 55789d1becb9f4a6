from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from rendernoise.budget import StepBudget
from rendernoise.recipes import CORE_SAMPLES_PER_S, CORE_STEP_S, MAX_VISITS_FROM_BASE, MIN_STEPS, RECIPES

CPU = torch.device("cpu")
#: 256×144: 2.25 crops of 128², so that 50 visits both ways are 112 steps of two crops.
PIXELS, SPP = 256 * 144, 8
STEPS_PER_FRAME = 112


def budget_of(pairs: int, **changes: Any) -> StepBudget:
    options = {"per_pair": None, "least": None, "visits": MAX_VISITS_FROM_BASE}
    return StepBudget(RECIPES["ours"], pairs, **{**options, **changes})


def test_steps_of_a_pair_fill_the_time_that_its_render_takes() -> None:
    nominal = 2 * SPP * PIXELS / CORE_SAMPLES_PER_S / CORE_STEP_S
    assert budget_of(24).for_pair(PIXELS, SPP, CPU) == round(nominal) == 17


def test_steps_of_a_pair_end_where_its_pixels_come_up_too_often() -> None:
    assert budget_of(24).for_pair(PIXELS, 1024, CPU) == STEPS_PER_FRAME


@pytest.mark.parametrize(
    ("pairs", "changes", "total"),
    [
        (24, {}, MIN_STEPS),
        (200, {}, 200 * 17),
        (1, {}, STEPS_PER_FRAME),
        (1, {"per_pair": 7}, STEPS_PER_FRAME),
        (1, {"least": 500}, 500),
        (24, {"least": 100}, 24 * 17),
        (24, {"usual": 600}, 600),
        (1, {"visits": 2 * MAX_VISITS_FROM_BASE}, 2 * STEPS_PER_FRAME + 1),
        (24, {"recipe": RECIPES["paper"], "per_pair": 8}, 24 * 8),
    ],
)
def test_a_run_has_the_steps_of_its_pairs_or_the_least_within_what_pixels_bear(
    pairs: int, changes: dict[str, Any], total: int
) -> None:
    budget = replace(budget_of(pairs), **changes)
    budget.for_pair(PIXELS, SPP, CPU)
    assert budget.total == total


@pytest.mark.parametrize(("pairs", "wanted"), [(1, True), (4, True), (24, False)])
def test_crops_are_turned_where_pixels_come_up_often(pairs: int, wanted: bool) -> None:
    budget = budget_of(pairs)
    budget.for_pair(PIXELS, SPP, CPU)
    assert budget.wants_symmetries == wanted


def test_overfitting_ends_the_run_soon_and_once_more_at_once() -> None:
    budget = budget_of(24, least=5000)
    budget.for_pair(PIXELS, SPP, CPU)
    budget.settle(2000)
    assert budget.total == 2300
    budget.settle(2100)
    assert budget.total == 2100


def test_overfitting_never_makes_a_run_longer() -> None:
    budget = budget_of(24)
    budget.for_pair(PIXELS, SPP, CPU)
    budget.settle(MIN_STEPS - 10)
    assert budget.total == MIN_STEPS


def test_a_budget_goes_on_from_its_state() -> None:
    budget = budget_of(24)
    budget.for_pair(PIXELS, SPP, CPU)
    budget.settle(500)
    other = budget_of(24)
    other.load_state_dict(budget.state_dict())
    assert other == budget
