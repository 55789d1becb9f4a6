"""Experiments: whole, and there for noise models that nobody wrote one for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rendernoise.errors import InputError
from rendernoise.losses import LOSSES
from rendernoise.networks import NETWORKS
from rendernoise.noise import NOISES
from rendernoise.noise.gaussian import Gaussian
from rendernoise.noise.naming import parse_noise
from rendernoise.sources.masking import MASKINGS
from rendernoise.suite.baselines import BASELINES
from rendernoise.suite.config import parse_range
from rendernoise.suite.experiments import EXPERIMENTS, Check, experiment_names, find_experiment


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_names_what_exists(name: str) -> None:
    experiment = EXPERIMENTS[name]
    labels = [t.label for t in experiment.trainings]
    assert len(labels) == len(set(labels))
    assert len({t.unlabelled for t in experiment.trainings}) == len(labels)
    assert set(experiment.baselines) <= set(BASELINES)
    assert not experiment.like or experiment.like in EXPERIMENTS
    for check in experiment.checks:
        assert {check.first, check.second} <= set(labels)
    for training in experiment.trainings:
        noise = parse_noise(training.noise)
        assert training.network is None or training.network in NETWORKS
        assert training.masking in MASKINGS
        assert 0 < training.share <= 1
        assert 0 < training.images <= 1
        for strength in parse_range(training.strength) or ():
            noise.check(strength)
        if training.target == "noisy":
            # A loss that does not fit is there to show what it does, and says so.
            loss = LOSSES[training.loss or noise.loss]
            assert training.contrast == (loss.estimates != noise.needs)


def test_every_noise_model_has_an_experiment() -> None:
    assert set(NOISES) <= set(experiment_names())
    for noise in NOISES:
        assert noise in {t.noise.partition(":")[0] for t in find_experiment(noise).trainings}


def test_a_noise_model_that_is_only_registered_gets_noisy_and_clean_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOISES, "newcomer", Gaussian)
    experiment = find_experiment("newcomer")
    assert [(t.noise, t.target, t.loss) for t in experiment.trainings] == [
        ("newcomer", "noisy", None),
        ("newcomer", "clean", None),
    ]
    assert "newcomer" in experiment_names()


def test_an_unknown_experiment_is_one_line() -> None:
    with pytest.raises(InputError, match=r"no experiment 'fog'.*gaussian"):
        find_experiment("fog")


def test_the_three_cases_of_finite_data_cost_the_same_captures() -> None:
    assert {t.images * (t.realisations or 0) for t in EXPERIMENTS["finite_data"].trainings} == {2.0}


def test_checks_hold_at_their_bound() -> None:
    least = Check("", "a", "b", 5.0, "at least")
    assert least.holds(5.0)
    assert not least.holds(4.99)
    within = replace(least, bound_db=0.1, kind="within")
    assert within.holds(-0.1)
    assert not within.holds(-0.11)
    assert not within.holds(0.11)
