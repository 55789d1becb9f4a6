"""From a budget to steps: fair, within it, and the same again from what was written down."""

from __future__ import annotations

import pytest

from rendernoise.errors import InputError
from rendernoise.suite.allotment import LIMITS, PAPERS, WHOLE_SETS, Cost, Shape, allot, evaluation_size, grouped
from rendernoise.suite.experiments import EXPERIMENTS


def _groups(*names: str, foreign: int = 0):
    return grouped({name: EXPERIMENTS[name] for name in names}, lambda e: foreign)


def _costs(groups, step_s: float = 0.1, fixed_s: float = 0.5):
    return {(name, t): Cost(step_s, fixed_s) for name, group in groups.items() for t in group.trainings}


def _planned_s(groups, costs, steps, seeds: int) -> float:
    return seeds * sum(c.fixed_s + c.step_s * t.share * steps[name] for (name, t), c in costs.items())


def test_convergence_trains_what_gaussian_trains_only_once() -> None:
    groups = _groups("gaussian", "convergence")
    assert list(groups) == ["gaussian"]
    assert len(groups["gaussian"].trainings) == 8
    assert set(_groups("gaussian")["gaussian"].trainings) <= set(groups["gaussian"].trainings)


def test_the_plan_stays_within_the_budget_and_uses_most_of_it() -> None:
    groups = _groups(*EXPERIMENTS)
    costs = _costs(groups)
    steps, seeds = allot(groups, costs, 7200.0, 3)
    assert seeds == 3
    assert 0.8 * 7200 < _planned_s(groups, costs, steps, 3) <= 7200


def test_groups_get_time_by_their_trainings_and_steps_by_what_these_cost() -> None:
    groups = _groups("gaussian", "text")
    costs = _costs(groups, fixed_s=0.0) | {("text", t): Cost(0.2, 0.0) for t in groups["text"].trainings}
    steps, _ = allot(groups, costs, 1000.0, 1)
    # 2 and 3 trainings: 2/5 and 3/5 of the time, so each training has the same, at half the pace.
    assert steps["gaussian"] == pytest.approx(2 * steps["text"], abs=2)


def test_a_baseline_that_is_trained_takes_its_share() -> None:
    alone, beside = (_groups("n2v", foreign=n) for n in (0, 1))
    few, many = (allot(g, _costs(g, fixed_s=0.0), 1000.0, 1)[0]["n2v"] for g in (beside, alone))
    assert few == pytest.approx(many * 6 / 7, abs=1)


def test_more_than_the_papers_steps_are_never_taken() -> None:
    groups = _groups("gaussian")
    assert allot(groups, _costs(groups, 1e-6, 0.0), 1e6, 1)[0]["gaussian"] == EXPERIMENTS["gaussian"].steps


def test_a_budget_that_leaves_nothing_is_one_line() -> None:
    groups = _groups(*EXPERIMENTS)
    with pytest.raises(InputError, match="Raise --budget"):
        allot(groups, _costs(groups), 20.0, 3)


def test_seeds_are_given_up_before_steps() -> None:
    groups = _groups("gaussian")
    # Each of two trainings takes 0.5 s and 0.1 s a step: three seeds would have 3 steps each in 5 s.
    steps, seeds = allot(groups, _costs(groups), 5.0, 3)
    assert seeds == 1
    assert steps["gaussian"] == 18


def test_the_test_grows_with_the_time_of_a_training() -> None:
    short, longer = evaluation_size(600.0, 100), evaluation_size(7200.0, 100)
    assert short.images is not None
    assert longer.images is not None
    assert short.images < longer.images
    assert evaluation_size(None, 100) == WHOLE_SETS


def test_crops_are_the_papers_or_within_limits() -> None:
    assert Shape.of(EXPERIMENTS["n2v"], PAPERS) == Shape(64, 128)
    assert Shape.of(EXPERIMENTS["gaussian"], PAPERS) == Shape(256, 4)
    assert Shape.of(EXPERIMENTS["gaussian"], LIMITS[0]) == Shape(64, 4)
    assert Shape.of(EXPERIMENTS["n2v"], LIMITS[0]) == Shape(64, 8)
