"""The plan of ``suite reproduce``: made once by timing a few steps, kept as ``plan.json``, followed from then on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rendernoise.errors import InputError
from rendernoise.io.atomic import write_text
from rendernoise.job import Emit
from rendernoise.suite.allotment import (
    ENOUGH_STEPS,
    LIMITS,
    PAPERS,
    Cost,
    EvaluationSize,
    Group,
    Limits,
    Shape,
    allot,
    too_short,
)
from rendernoise.suite.experiments import Training
from rendernoise.suite.reproduce_config import SuiteReproduceConfig
from rendernoise.suite.trials import Trials

FILE = "plan.json"


@dataclass(frozen=True)
class Plan:
    """All that the figures of a run depend on, besides its images.

    Args:
        budget: As it was given, or the steps that were.
        limits: Of crops and batches.
        size: How much is tested.
        steps: Of each group's trainings, times their share.
        seeds: Of the runs of each training.
        measured: The seconds that it was made by, for whoever reads the file.
    """

    budget: str
    limits: Limits
    size: EvaluationSize
    steps: Mapping[str, int]
    seeds: list[int]
    measured: Sequence[Mapping[str, Any]] = ()

    def write(self, folder: Path) -> None:
        """Write ``plan.json``."""
        write_text(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")


def read_plan(path: Path, groups: Mapping[str, Group]) -> Plan:
    """The plan in a file.

    Args:
        path: A ``plan.json``.
        groups: What it must have steps for.

    Raises:
        InputError: No such file, not a plan, or one that lacks a group.
    """
    try:
        found = json.loads(path.read_text())
        limits, size = Limits(**found["limits"]), EvaluationSize(**found["size"])
        plan = Plan(found["budget"], limits, size, found["steps"], found["seeds"], found["measured"])
        missing = [name for name in groups if not plan.steps.get(name, 0) > 0]
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror})", "Give the plan.json of a finished run") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is no plan of this version", "Give the plan.json of a suite reproduce") from None
    if missing:
        raise InputError(f"{path} has no steps for {', '.join(missing)}", "Name the experiments that it was made for")
    return plan


def given_plan(config: SuiteReproduceConfig, groups: Mapping[str, Group]) -> Plan | None:
    """That of an earlier part of the run, or of another run by ``--plan``, with the seeds of this; or None."""
    own = config.out / FILE
    if own.exists():
        return read_plan(own, groups)
    if config.plan is None:
        return None
    return replace(read_plan(config.plan, groups), seeds=config.seed_list)


def make_plan(
    config: SuiteReproduceConfig,
    groups: Mapping[str, Group],
    trials: Trials,
    started: float,
    emit: Emit,
    begin: Callable[[str], None],
) -> Plan:
    """As many steps as were given, as the papers took, or as the budget allows.

    Args:
        config: The options.
        groups: What is trained.
        trials: They time a few steps.
        started: ``time.monotonic()`` at the beginning of the budget.
        emit: Called with notes.
        begin: Called with what is timed next.

    Raises:
        InputError: The budget is too short.
    """
    seconds, seeds = config.seconds, config.seed_list
    if config.steps is not None or seconds is None:
        limits = PAPERS if seconds is None else LIMITS[0]
        steps = {name: config.steps or group.first.steps for name, group in groups.items()}
        budget = config.budget if config.steps is None else f"{config.steps} steps"
        return Plan(budget, limits, trials.size, steps, seeds)
    plan: Plan | None = None
    for limits in LIMITS:
        trials.limits = limits
        costs = _costs(groups, trials, started + seconds, begin)
        steps, count = allot(groups, costs, started + seconds - time.monotonic(), len(seeds))
        fewest = min(steps.values())
        if plan is None or fewest >= ENOUGH_STEPS:
            plan = Plan(config.budget, limits, trials.size, steps, seeds[:count], _measured(costs))
        # The next crops are four times as large: timing what cannot be enough would waste the budget.
        if fewest < 2 * ENOUGH_STEPS:
            break
    assert plan is not None
    if len(plan.seeds) < len(seeds):
        emit({"event": "note", "text": f"the budget is enough for {len(plan.seeds)} of {len(seeds)} seeds"})
    return plan


def _costs(
    groups: Mapping[str, Group], trials: Trials, end: float, begin: Callable[[str], None]
) -> dict[tuple[str, Training], Cost]:
    """What each training takes, measured once for those that are alike."""
    costs: dict[tuple[str, Training], Cost] = {}
    alike: dict[tuple[Training, str, bool, Shape], Cost] = {}
    for name, group in groups.items():
        for training in group.trainings:
            if time.monotonic() > end:
                raise too_short(sum(len(g.trainings) for g in groups.values()))
            first = group.first
            key = (training.timed_as, first.data, first.grey, Shape.of(first, trials.limits))
            if key not in alike:
                begin(f"timing {name}, {training.noise}")
                alike[key] = trials.cost(name, training)
            costs[name, training] = alike[key]
    return costs


def _measured(costs: Mapping[tuple[str, Training], Cost]) -> list[dict[str, Any]]:
    return [
        {"experiment": group, "training": asdict(training), **{k: round(v, 5) for k, v in asdict(cost).items()}}
        for (group, training), cost in costs.items()
    ]
