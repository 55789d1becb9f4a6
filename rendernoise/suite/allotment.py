"""How a budget of time becomes steps, crops and tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rendernoise.errors import InputError
from rendernoise.suite.experiments import Experiment, Training

#: Share of the time that is left unplanned, as machines have other work.
_RESERVE = 0.08
#: Fewer steps than these say nothing.
LEAST_STEPS = 8


@dataclass(frozen=True)
class EvaluationSize:
    """How much is tested, which follows from the seconds that a training has.

    Args:
        images: Most images of a set; None for all.
        side_px: Largest side of an image, of which the middle is taken; None for whole ones.
    """

    images: int | None
    side_px: int | None


WHOLE_SETS = EvaluationSize(None, None)
#: Seconds of a training, and the test of those that have less.
_TESTS = ((30.0, EvaluationSize(4, 128)), (1200.0, EvaluationSize(12, 320)))


def evaluation_size(seconds: float | None, trainings: int) -> EvaluationSize:
    """The test of so many trainings in so many seconds; None for the papers' own steps."""
    if seconds is None:
        return WHOLE_SETS
    return next((size for limit, size in _TESTS if seconds / max(1, trainings) < limit), WHOLE_SETS)


@dataclass(frozen=True)
class Limits:
    """What the steps of a budget hold at most.

    Args:
        crop_px: Largest side of the crops; None for the papers' own.
        batch: Most crops in a step; None for the papers' own.
    """

    crop_px: int | None
    batch: int | None


PAPERS = Limits(None, None)
#: From the quickest steps on.
LIMITS = (Limits(64, 8), Limits(128, 32), PAPERS)
#: Larger crops are for trainings that still get so many steps with them: of a short one, more steps bring more.
ENOUGH_STEPS = 10_000


@dataclass(frozen=True)
class Shape:
    """Crops in a step, and their side in px."""

    crop_px: int
    batch: int

    @classmethod
    def of(cls, experiment: Experiment, limits: Limits) -> Shape:
        """Of an experiment within limits."""
        return cls(
            min(experiment.crop_px, limits.crop_px or experiment.crop_px),
            min(experiment.batch, limits.batch or experiment.batch),
        )


@dataclass(frozen=True)
class Cost:
    """What a training takes.

    Args:
        step_s: Of each step.
        fixed_s: Of all that is not training: reading, writing, measuring on the test images.
    """

    step_s: float
    fixed_s: float


@dataclass(frozen=True)
class Group:
    """Experiments that share their steps, and what they train, each once.

    Args:
        experiments: Name to experiment.
        foreign: Baselines that must be trained, which count as one training each.
    """

    experiments: Mapping[str, Experiment]
    foreign: int = 0

    @property
    def trainings(self) -> tuple[Training, ...]:
        """What is trained, without labels; what several experiments want is trained once."""
        return tuple(dict.fromkeys(t.unlabelled for e in self.experiments.values() for t in e.trainings))

    @property
    def first(self) -> Experiment:
        """The experiment whose images, crops and steps all of them have."""
        return next(iter(self.experiments.values()))


def grouped(experiments: Mapping[str, Experiment], foreign: Callable[[Experiment], int]) -> dict[str, Group]:
    """Experiments by whose steps they share; ``foreign`` counts the baselines of one that must be trained."""
    names: dict[str, list[str]] = {}
    for name, experiment in experiments.items():
        names.setdefault(experiment.like or name, []).append(name)
    return {
        group: Group({n: experiments[n] for n in members}, sum(foreign(experiments[n]) for n in members))
        for group, members in names.items()
    }


def allot(
    groups: Mapping[str, Group], costs: Mapping[tuple[str, Training], Cost], seconds: float, seeds: int
) -> tuple[dict[str, int], int]:
    """Steps of each group's trainings (times their share) that fit into ``seconds``, and how many seeds do.

    Every training gets the same time on average over its group, and every training of a group the same steps. Where
    that is next to none, there are fewer seeds.

    Args:
        groups: Name to group.
        costs: Of each group's name and training.
        seconds: What is left.
        seeds: Wanted runs of each training.

    Raises:
        InputError: Some group would get next to none with one seed.
    """
    for count in range(seeds, 0, -1):
        steps = _allotted(groups, costs, seconds / count)
        if min(steps.values()) >= LEAST_STEPS:
            return steps, count
    raise too_short(sum(len(g.trainings) for g in groups.values()))


def _allotted(
    groups: Mapping[str, Group], costs: Mapping[tuple[str, Training], Cost], seconds: float
) -> dict[str, int]:
    """Steps of each group within the seconds of one seed; less than 0 where not even the rest fits."""
    free = (seconds - sum(cost.fixed_s for cost in costs.values())) * (1 - _RESERVE)
    weights = {name: sum(t.share for t in g.trainings) + g.foreign for name, g in groups.items()}
    steps: dict[str, int] = {}
    for name, group in groups.items():
        per_step = sum(t.share * costs[name, t].step_s for t in group.trainings)
        per_step += group.foreign * max(costs[name, t].step_s for t in group.trainings)
        mine = free * weights[name] / sum(weights.values())
        steps[name] = min(group.first.steps, math.floor(mine / per_step))
    return steps


def too_short(trainings: int) -> InputError:
    """The error of a budget that so many trainings do not fit into."""
    return InputError(
        f"the budget leaves less than {LEAST_STEPS} steps to some of {trainings} trainings",
        "Raise --budget, name fewer noises, or lower --seeds",
    )
