"""``suite train``: it learns, resumes to the same bits, and refuses what cannot work before the first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError
from rendernoise.io.image import write_png
from rendernoise.job import TrainingJob
from rendernoise.noise.naming import parse_noise
from rendernoise.suite.config import SuiteTrainConfig
from rendernoise.suite.evaluation import restorer, score
from rendernoise.suite.training import run_suite_train

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, Any] = {"crop_px": 32, "batch": 2, "steps": 3, "device": "cpu"}


def train(data: Path, out: Path, noise: str = "gaussian", **options: Any) -> dict[str, Any]:
    return run_suite_train(SuiteTrainConfig(noise=noise, data=data, out=out, **{**SMALL, **options}))


def test_noisy_targets_alone_teach_to_denoise(folder_of: Callable[..., Path], images: Any, tmp_path: Path) -> None:
    """60 steps on noisy pairs take 3 dB and more off noise of σ = 50 on the images that were trained on."""
    train(folder_of(), tmp_path / "run", steps=60, batch=4, strength="50")
    denoiser = Denoiser.load(tmp_path / "run" / "weights.safetensors", "cpu")
    for one in score(restorer(denoiser), images(), parse_noise("gaussian"), 50, seed=1):
        assert one.psnr_db > one.noisy_psnr_db + 3


def test_weights_know_where_they_come_from(folder_of: Callable[..., Path], tmp_path: Path) -> None:
    summary = train(folder_of(channels=3), tmp_path / "run", seed=7, strength="10-20")
    denoiser = Denoiser.load(tmp_path / "run" / "weights.safetensors", "cpu")
    assert denoiser.fingerprint() == summary["weights"]
    spec, made = denoiser.model.spec, denoiser.provenance
    assert (spec.network, spec.planes, spec.transfer, spec.exposure) == ("unet", ("radiance",), "linear", "none")
    assert spec.channels == 3
    for key, value in {"noise": "gaussian", "strength": [10, 20], "target": "noisy", "loss": "l2", "seed": 7}.items():
        assert made[key] == value
    assert (made["data"], made["images"], made["steps"], len(made["data_digest"])) == ("data", 3, 3, 16)
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary


def test_muon_is_another_training_at_its_own_rate(folder_of: Callable[..., Path], tmp_path: Path) -> None:
    data, weights = folder_of(), list[str]()
    for optimizer in ("adam", "muon"):
        out = tmp_path / optimizer
        weights.append(train(data, out, target="blind", optimizer=optimizer)["weights"])
        made = Denoiser.load(out / "weights.safetensors", "cpu").provenance
        assert (made["optimizer"], made["learning_rate"]) == (optimizer, {"adam": 4e-4, "muon": 1e-3}[optimizer])
    assert weights[0] != weights[1]


@pytest.mark.parametrize(
    "options",
    [{}, {"target": "blind"}, {"noise": "impulse"}, {"realisations": 3}, {"optimizer": "muon"}],
    ids=str,
)
def test_a_killed_run_goes_on_to_the_same_weights(
    options: dict[str, Any], folder_of: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder_of()
    train(data, tmp_path / "whole", steps=4, **options)
    with monkeypatch.context() as patch:
        stepped = TrainingJob.stepped

        def killed(self: Any) -> None:
            stepped(self)
            if self.trainer.step_count == 2:
                self.checkpoint()
            if self.trainer.step_count == 3:
                raise KeyboardInterrupt

        patch.setattr(TrainingJob, "stepped", killed)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "killed", steps=4, **options)
    train(data, tmp_path / "killed", steps=4, resume=True, **options)
    whole, killed_ = (load_file(tmp_path / n / "weights.safetensors") for n in ("whole", "killed"))
    assert all(np.array_equal(whole[name], killed_[name]) for name in whole)
    # What is complete is left as it is.
    assert train(data, tmp_path / "killed", steps=4, resume=True, **options)["steps"] == 4


@pytest.mark.parametrize(
    ("noise", "options", "loss"),
    [
        ("gaussian", {}, "l2"),
        ("brown_gaussian:bandwidth_px=3", {"target": "clean"}, "l2"),
        ("poisson", {}, "l2"),
        ("bernoulli", {}, "l2"),
        ("text", {}, "l1"),
        ("text", {"loss": "l2", "contrast": True}, "l2"),
        ("text", {"target": "clean", "loss": "l2"}, "l2"),
        ("impulse", {}, "l0"),
        ("impulse", {"loss": "l0_floor"}, "l0_floor"),
        ("impulse", {"loss": "l1", "contrast": True}, "l1"),
        ("mri", {}, "l2"),
        ("gaussian", {"target": "blind"}, "l2"),
        ("gaussian", {"target": "blind", "masking": "n2v2", "network": "n2v2"}, "l2"),
        ("gaussian", {"target": "average", "realisations": 4}, "l2"),
    ],
    ids=str,
)
def test_every_noise_trains(
    noise: str, options: dict[str, Any], loss: str, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    summary = train(folder_of(), tmp_path / "run", noise, **options)
    assert (summary["steps"], summary["skipped_batches"], summary["loss"]) == (3, 0, loss)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"noise": "fog"}, "there is no noise 'fog'"),
        ({"noise": "gaussian:sigma=3"}, "no option 'sigma=3'"),
        ({"noise": "brown_gaussian:bandwidth_px=wide"}, "'wide', which is no float"),
        ({"noise": "brown_gaussian:bandwidth_px=0"}, "a blur of 0 px cannot be"),
        ({"noise": "text", "loss": "l2"}, "'l2' estimates the mean, but this noise needs the median.*--contrast"),
        ({"noise": "impulse", "target": "blind"}, "needs the mode"),
        ({"target": "blind", "loss": "l1"}, "'l1' estimates the median"),
        ({"target": "clean", "loss": "l2_tonemapped"}, "estimates the biased"),
        ({"loss": "l7"}, "there is no loss 'l7'"),
        ({"network": "resnet"}, "there is no network 'resnet'"),
        ({"target": "blind", "masking": "tape"}, "there is no masking 'tape'"),
        ({"strength": "0-300"}, "cannot be 300"),
        ({"strength": "9-3"}, "is no range"),
        ({"strength": "much"}, "is no range"),
        ({"steps": 0}, "--steps 0 is out of range"),
        ({"crop_px": 8}, "--crop-px 8 is out of range"),
        ({"batch": 0}, "--batch 0 is out of range"),
        ({"learning_rate": 0.0}, "--learning-rate 0.0 is out of range"),
        ({"realisations": 1}, "--realisations 1 is out of range"),
        ({"target": "average"}, "needs --realisations"),
        ({"realisations": 2, "strength": "3"}, "have the strength that is tested"),
        ({"noise": "mri", "target": "blind"}, "samples frequencies"),
        ({"noise": "bernoulli", "target": "average", "realisations": 3}, "loses pixels"),
        ({"images": 9}, "has 3 images, not 9"),
        ({"data": Path("nowhere")}, "cannot read nowhere"),
    ],
    ids=str,
)
def test_what_cannot_work_ends_before_anything_is_written(
    options: dict[str, Any], part: str, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    data = folder_of()
    with pytest.raises(InputError, match=part) as error:
        train(options.pop("data", data), tmp_path / "run", **options)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_crop_larger_than_the_images_shrinks_with_a_note(folder_of: Callable[..., Path], tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    config = SuiteTrainConfig(
        noise="gaussian", data=folder_of(height=40), out=tmp_path / "o", **{**SMALL, "crop_px": 64}
    )
    run_suite_train(config, events.append)
    assert "crops of 40 px, as the smallest image has no more" in [e.get("text") for e in events]
    assert Denoiser.load(tmp_path / "o" / "weights.safetensors", "cpu").provenance["crop_px"] == 40


def test_blind_training_has_the_options_of_noise2void(tmp_path: Path) -> None:
    blind = SuiteTrainConfig(noise="gaussian", data=tmp_path, out=tmp_path, target="blind")
    assert (blind.crop, blind.crops, blind.rate) == (64, 128, 4e-4)
    noisy = SuiteTrainConfig(noise="gaussian", data=tmp_path, out=tmp_path)
    assert (noisy.crop, noisy.crops, noisy.rate) == (256, 4, 1e-3)


@pytest.mark.parametrize(("noise", "warned"), [("gaussian", False), ("brown_gaussian:bandwidth_px=2", True)])
def test_blind_training_warns_of_noise_that_neighbours_share(noise: str, warned: bool, tmp_path: Path) -> None:
    """Of smooth images: stripes in all of a small image would pass for noise that neighbours share."""
    events: list[dict[str, Any]] = []
    options = {**SMALL, "target": "blind", "steps": 1}
    data = tmp_path / "data"
    data.mkdir()
    for i in range(4):
        write_png(data / f"{i}.png", np.linspace(0.2, 0.3 + 0.1 * i, 96 * 96).reshape(1, 96, 96))
    run_suite_train(SuiteTrainConfig(noise=noise, data=data, out=tmp_path / "o", **options), events.append)
    assert any("blind spots teach it" in e.get("text", "") for e in events) == warned
