"""Plans: crops that grow with the speed of a machine, and a file that others can follow."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest

from rendernoise.errors import InputError
from rendernoise.suite.allotment import LIMITS, PAPERS, WHOLE_SETS, Cost, Limits, Shape, grouped
from rendernoise.suite.experiments import EXPERIMENTS, Training
from rendernoise.suite.plan import FILE, Plan, given_plan, make_plan, read_plan
from rendernoise.suite.reproduce_config import SuiteReproduceConfig
from rendernoise.suite.trials import Trials

GROUPS = grouped({"gaussian": EXPERIMENTS["gaussian"]}, lambda e: 0)


class _Machine:
    """What a machine of so many crop pixels a second would measure."""

    def __init__(self, px_per_s: float) -> None:
        self.px_per_s, self.limits, self.size, self.timed = px_per_s, PAPERS, WHOLE_SETS, list[Limits]()

    def cost(self, group: str, training: Training) -> Cost:
        self.timed.append(self.limits)
        shape = Shape.of(GROUPS[group].first, self.limits)
        return Cost(shape.batch * shape.crop_px**2 / self.px_per_s, 0.1)


def _config(out: Path, **options: Any) -> SuiteReproduceConfig:
    return SuiteReproduceConfig(noises=("gaussian",), out=out, **options)


def _plan(out: Path, px_per_s: float, **options: Any) -> tuple[Plan, list[Limits]]:
    machine = _Machine(px_per_s)
    plan = make_plan(
        _config(out, **options), GROUPS, cast(Trials, machine), time.monotonic(), lambda event: None, lambda text: None
    )
    return plan, machine.timed


def test_a_slow_machine_takes_small_crops_and_times_no_others(tmp_path: Path) -> None:
    plan, timed = _plan(tmp_path, 1e5, budget="2h")
    assert plan.limits == LIMITS[0]
    assert set(timed) == {LIMITS[0]}
    # 6 trainings in 7200 s, less the reserve; 0.16384 s a step.
    assert plan.steps["gaussian"] == pytest.approx(7200 * 0.92 / 6 / 0.16384, rel=0.01)


def test_a_fast_machine_takes_the_largest_crops_that_leave_enough_steps(tmp_path: Path) -> None:
    plan, _ = _plan(tmp_path, 2e6, budget="2h")
    assert plan.limits == LIMITS[1]
    assert _plan(tmp_path, 4e7, budget="2h")[0].limits == PAPERS


def test_steps_that_were_given_are_not_timed(tmp_path: Path) -> None:
    plan, timed = _plan(tmp_path, 1e5, steps=7, seeds=2)
    assert (plan.steps, plan.seeds, plan.limits, timed) == ({"gaussian": 7}, [0, 1], LIMITS[0], [])
    assert plan.budget == "7 steps"
    paper, timed = _plan(tmp_path, 1e5, budget="paper")
    assert (paper.steps["gaussian"], paper.limits, timed) == (EXPERIMENTS["gaussian"].steps, PAPERS, [])


def test_a_plan_is_the_same_when_it_is_read_back(tmp_path: Path) -> None:
    plan, _ = _plan(tmp_path, 1e5, budget="2h")
    plan.write(tmp_path)
    again = read_plan(tmp_path / FILE, GROUPS)
    assert asdict(again) == asdict(plan)
    assert [m["training"]["target"] for m in again.measured] == ["noisy", "clean"]


def test_the_plan_of_another_run_is_followed_with_own_seeds(tmp_path: Path) -> None:
    made, _ = _plan(tmp_path, 1e5, budget="2h")
    made.write(tmp_path)
    assert given_plan(_config(tmp_path / "new"), GROUPS) is None
    followed = given_plan(_config(tmp_path / "new", plan=tmp_path / FILE, seed=5, seeds=2), GROUPS)
    assert followed is not None
    assert (followed.steps, followed.limits, followed.size) == (made.steps, made.limits, made.size)
    assert followed.seeds == [5, 6]


def test_what_is_no_plan_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with pytest.raises(InputError, match="cannot read"):
        read_plan(path, GROUPS)
    for text in ("{", "[]", "{}", '{"budget": "10m", "limits": 3}'):
        path.write_text(text)
        with pytest.raises(InputError, match="no plan of this version"):
            read_plan(path, GROUPS)
    made, _ = _plan(tmp_path, 1e5, budget="2h")
    for steps in ({"text": 5}, {"gaussian": 0}):
        path.write_text(json.dumps(asdict(made) | {"steps": steps}))
        with pytest.raises(InputError, match="no steps for gaussian"):
            read_plan(path, GROUPS)
    path.write_text(json.dumps(asdict(made) | {"steps": {"gaussian": "many"}}))
    with pytest.raises(InputError, match="no plan of this version"):
        read_plan(path, GROUPS)
    with pytest.raises(InputError, match="--steps and --plan"):
        _config(tmp_path, plan=path, steps=3)
