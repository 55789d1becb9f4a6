"""What the noise suite has."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rendernoise.noise import NOISES
from rendernoise.suite.experiments import experiment_names, find_experiment


def noises() -> list[dict[str, Any]]:
    """Each noise model with what it says of itself, as JSON values."""
    return [
        {
            "name": name,
            "about": (kind.__doc__ or "").partition("\n")[0],
            "strength": kind.strength,
            "trained": list(kind.trained),
            "tested": kind.tested,
            "needs": kind.needs,
            "loss": kind.loss,
            "options": {f.name: f.default for f in fields(kind)},
            "source": kind.source,
        }
        for name, kind in NOISES.items()
    ]


def experiments() -> list[dict[str, Any]]:
    """Each experiment of ``suite reproduce`` with what it trains, as JSON values."""
    found = {name: find_experiment(name) for name in experiment_names()}
    return [
        {
            "name": name,
            "about": experiment.about,
            "trainings": [training.label for training in experiment.trainings],
            "baselines": list(experiment.baselines),
            "source": experiment.source,
        }
        for name, experiment in found.items()
    ]
