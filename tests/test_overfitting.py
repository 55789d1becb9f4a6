"""Training stops once pixels that are never targets get worse, and not before."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rendernoise import job, online
from rendernoise.config import OnlineConfig
from rendernoise.denoiser import Denoiser
from rendernoise.frame import FramePair
from rendernoise.losses import LOSSES
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.online import run_online
from rendernoise.overfitting import OverfitWatch
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.process import RendererProcess
from rendernoise.sources.batching import held_out
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer, TrainerOptions

SIZE = (96, 96)
Change = Callable[[np.ndarray, int], None]


def store_of(folder: Path, size: tuple[int, int] = SIZE, frames: int = 3, change: Change | None = None) -> PairStore:
    store, renderer = PairStore(folder), AnalyticRenderer(size, noise="firefly")
    for number in range(1, frames + 1):
        halves = [renderer.render(View(number), spp=4, seed=10 * number + i) for i in range(2)]
        if change is not None:
            change(halves[1].radiance, number)
        store.put(number - 1, FramePair.of_halves(*halves))
        store.show(number - 1)
    return store


def trainer_of() -> Trainer:
    torch.manual_seed(0)
    return Trainer(DenoisingModel(ModelSpec.default("fast")), LOSSES["hdr"], TrainerOptions(), torch.device("cpu"))


def changed(weights: list[Tensor], trainer: Trainer, addition: float) -> list[Tensor]:
    """The weights with so much more on what they add to every pixel."""
    names = [name for name, _ in trainer.model.named_parameters()]
    copies = [w.clone() for w in weights]
    copies[names.index("network.correction.bias")][-3 * 4 :] += addition
    return copies


def look(watch: OverfitWatch, trainer: Trainer, weights: list[Tensor], store: PairStore) -> bool:
    trainer.adopt(weights)
    return watch.still_helps(trainer, store)


def test_worse_weights_are_noticed_and_the_best_are_kept(tmp_path: Path) -> None:
    store, trainer, watch = store_of(tmp_path), trainer_of(), OverfitWatch()
    good = trainer.copy_of_average()
    assert look(watch, trainer, good, store), "there is nothing to compare with at first"
    before = watch.errors.copy()
    assert len(before) == 3 * 2, "two tiles of each frame"
    assert not look(watch, trainer, changed(good, trainer, 6.0), store)
    assert np.array_equal(watch.errors, before)
    assert all(torch.equal(b, g) for b, g in zip(watch.best, good, strict=True))


def test_better_weights_become_the_best(tmp_path: Path) -> None:
    store, trainer, watch = store_of(tmp_path), trainer_of(), OverfitWatch()
    good = trainer.copy_of_average()
    means: list[float] = []
    for addition in (7.0, 6.0, 5.0, 0.0):
        assert look(watch, trainer, changed(good, trainer, addition), store)
        means.append(float(watch.errors.mean()))
    assert all(b < a for a, b in itertools.pairwise(means))
    assert all(torch.equal(b, g) for b, g in zip(watch.best, good, strict=True))


def test_a_difference_that_may_be_chance_stops_nothing(tmp_path: Path) -> None:
    """The same weights again, and a change that helps some tiles and harms others."""
    store, trainer, watch = store_of(tmp_path), trainer_of(), OverfitWatch()
    good = trainer.copy_of_average()
    assert look(watch, trainer, good, store)
    assert look(watch, trainer, good, store)
    mixed = watch.errors * np.array([1.0, 1.0, 0.9, 0.95, 1.0, 1.05])
    watch.errors = mixed
    assert look(watch, trainer, good, store)


@pytest.mark.parametrize(("size", "frames"), [((40, 40), 2), ((64, 64), 1), ((3, 2), 1)])
def test_without_enough_held_out_tiles_nothing_is_said(tmp_path: Path, size: tuple[int, int], frames: int) -> None:
    store, trainer, watch = store_of(tmp_path, size, frames), trainer_of(), OverfitWatch()
    good = trainer.copy_of_average()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for addition in (0.0, 6.0, 9.0):
            assert look(watch, trainer, changed(good, trainer, addition), store)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_lost_samples_and_fireflies_in_held_out_tiles_do_not_stop_training(tmp_path: Path, value: float) -> None:
    def spoil(radiance: np.ndarray, number: int) -> None:
        y, x = np.argwhere(held_out(radiance.shape[1], radiance.shape[2], number))[7]
        radiance[:, y, x] = value

    store, trainer, watch = store_of(tmp_path, change=spoil), trainer_of(), OverfitWatch()
    good = trainer.copy_of_average()
    assert look(watch, trainer, good, store)
    assert np.isfinite(watch.errors).all()
    assert look(watch, trainer, good, store)
    if value != 3e38:
        assert not look(watch, trainer, changed(good, trainer, 6.0), store)


def test_a_shot_is_watched_by_a_few_frames_from_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, trainer, watch = store_of(tmp_path, frames=9), trainer_of(), OverfitWatch()
    seen: list[int] = []
    halves = Denoiser.halves

    def spy(self: Denoiser, pair: FramePair) -> Any:
        seen.append(pair.number)
        return halves(self, pair)

    monkeypatch.setattr(Denoiser, "halves", spy)
    watch.still_helps(trainer, store)
    assert seen == [1, 3, 5, 7]


# -- within a run of online -------------------------------------------------------------------------------------------

STILL = (64, 48)
MIN_STEPS = 64


class Scripted(OverfitWatch):
    """Calls the second look the best, and the fourth and all later ones worse."""

    def still_helps(self, trainer: Trainer, store: PairStore) -> bool:
        self.errors = np.append(self.errors, float(trainer.step_count))
        if len(self.errors) == 2:
            self.best = trainer.copy_of_average()
        return len(self.errors) < 4


@pytest.fixture
def still(
    online_config: Callable[..., OnlineConfig],
    analytic: Callable[..., Callable[[], RendererProcess]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """``still(name)`` runs a still that is watched every eight steps; the run's folder."""
    monkeypatch.setattr(online, "OverfitWatch", Scripted)
    monkeypatch.setattr(online, "LOOK_EVERY_STEPS", 8)
    monkeypatch.setattr(job, "CHECKPOINT_EVERY_S", 0.0)

    def run(name: str, **changes: Any) -> Path:
        options = {"network": "fast", "weights": "none", "steps": 1, "min_steps": MIN_STEPS, "out": tmp_path / name}
        run_online(online_config(1, **{**options, **changes}), lambda event: None, analytic(resolution=STILL))
        return tmp_path / name

    return run


def log_of(out: Path) -> list[dict[str, Any]]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.endswith("_s")} for line in lines]


def dies_at(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int) -> None:
    original, calls = getattr(owner, name), [0]

    def deadly(self: Any, *arguments: Any, **keywords: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise KeyboardInterrupt
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(owner, name, deadly)


def test_a_run_settles_from_the_best_weights_and_resumes_to_the_same(still: Callable[..., Path]) -> None:
    rates: list[float] = []
    step = Trainer.step

    def spy(self: Trainer, *arguments: Any) -> Any:
        report = step(self, *arguments)
        rates.append(report.learning_rate)
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", spy)
        whole = still("whole")
    settling = rates[32:]
    assert len(settling) == 5
    assert settling == sorted(settling, reverse=True)
    assert settling[0] < rates[31]
    assert settling[-1] < 0.2 * rates[31]
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["steps"] == 37, "the fourth look, at 32, and 15 % more"
    notes = [e["text"] for e in log_of(whole) if e["event"] == "note"]
    assert notes == ["held-out pixels got worse by step 32: from the best weights so far the rate falls to 0"]
    moments = [(Trainer, "step", 20), (Scripted, "still_helps", 2), (Trainer, "step", 3), (Denoiser, "save", 1)]
    for i, moment in enumerate(moments):
        with pytest.MonkeyPatch.context() as patch:
            dies_at(patch, *moment)
            with pytest.raises(KeyboardInterrupt):
                still("broken", resume=i > 0)
    broken = still("broken", resume=True)
    assert (broken / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert log_of(broken) == log_of(whole)


def test_frames_that_come_up_rarely_are_not_watched(still: Callable[..., Path]) -> None:
    short = still("short", min_steps=20)
    assert json.loads((short / "summary.json").read_text())["steps"] == 20
    assert not [e for e in log_of(short) if e["event"] == "note"]
