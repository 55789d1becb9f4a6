"""Base training: noisy parts against other noisy parts, resumed to the byte."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from rendernoise import job
from rendernoise.augment import SYMMETRIES, turn
from rendernoise.denoiser import Denoiser
from rendernoise.frame import HISTORY_PLANES
from rendernoise.job import TrainingJob
from rendernoise.losses import robust
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.run import RunDirectory
from rendernoise.sources.batching import Batch
from rendernoise.trainer import Trainer, TrainerOptions

ROOT = Path(__file__).parents[1]
SIDE = 132
PARTS_SPP = (1, 1, 2, 4, 8, 16)
STEPS = 3


@pytest.fixture(scope="module")
def tool(import_tool: Callable[[str], ModuleType]) -> ModuleType:
    """``tools/train_base.py``, imported as it is when it runs."""
    return import_tool("train_base")


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two views whose part i has the radiance 2^i · (1 + a little noise), so that a mean tells what is in it."""
    folder = tmp_path_factory.mktemp("views")
    for index in range(2):
        rng = np.random.default_rng(index)
        size = (len(PARTS_SPP), 1, SIDE, SIDE)
        radiance = 2.0 ** np.arange(6).reshape(6, 1, 1, 1) * rng.uniform(0.99, 1.01, size).repeat(3, 1)
        features = rng.random((6, 8, SIDE, SIDE)).astype(np.float16)
        arrays = {"radiance": radiance.astype(np.float32), "features": features, "spp": np.array(PARTS_SPP, np.int32)}
        np.savez(folder / f"{index:06d}.1.npz", **arrays)
    return folder


def check_equal(one: Batch, two: Batch) -> None:
    for name in ("planes", "exposure", "target", "weight"):
        assert torch.equal(getattr(one, name).nan_to_num(-7), getattr(two, name).nan_to_num(-7)), name


def test_draws_are_repeatable_and_go_on_after_a_restart(tool: ModuleType, views: Path) -> None:
    one, two, other = (tool.ViewBatcher(views, 2, seed) for seed in (5, 5, 6))
    for _ in range(4):
        check_equal(one.draw(), two.draw())
    again = tool.ViewBatcher(views, 2, 99)
    again.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for _ in range(4):
        check_equal(one.draw(), again.draw())
    assert not torch.equal(one.draw().target, other.draw().target)


def test_the_shape_of_a_batch_is_that_of_the_model(tool: ModuleType, views: Path) -> None:
    batch = tool.ViewBatcher(views, 3, 0).draw()
    spec = ModelSpec.default("kernel_pyramid")
    assert spec.planes == tool.PLANES
    assert batch.planes.shape == (3, spec.layout.channels, tool.CROP_PX, tool.CROP_PX)
    assert batch.target.shape == (3, 3, tool.CROP_PX, tool.CROP_PX)
    assert batch.exposure.shape == (3, 1, 1, 1)
    assert (batch.weight == 1).all()
    assert all(tensor.dtype == torch.float32 for tensor in (batch.planes, batch.exposure, batch.target, batch.weight))


def mean_without_noise(parts: set[int]) -> float:
    samples = sum(PARTS_SPP[i] for i in parts)
    return sum(PARTS_SPP[i] * 2.0**i for i in parts) / samples


def test_no_sample_is_input_and_target_at_once(tool: ModuleType, views: Path) -> None:
    """The tint hides the level of either, but not their ratio, which tells the parts that went into them."""
    everything = set(range(len(PARTS_SPP)))
    splits = [set(parts) for parts in tool.INPUTS]
    assert all(0 < len(split) < len(everything) for split in splits)
    ratios = {frozenset(s): mean_without_noise(s) / mean_without_noise(everything - s) for s in splits}
    batcher = tool.ViewBatcher(views, 1, 3)
    seen: set[frozenset[int]] = set()
    for _ in range(80):
        batch = batcher.draw()
        if not batch.target.any():
            assert not batch.planes[:, :3].any()
            continue
        ratio = float(batch.planes[:, :3].mean() / batch.target.mean())
        fitting = [split for split, expected in ratios.items() if abs(ratio / expected - 1) < 0.005]
        assert len(fitting) == 1, f"input over target is {ratio}: no split into parts has that"
        seen.add(fitting[0])
    assert len(seen) >= 6


def test_absent_planes_are_nan_and_whole_planes_only(tool: ModuleType, views: Path) -> None:
    batcher, absent = tool.ViewBatcher(views, 1, 1), set()
    slices = dict(ModelSpec.default("kernel_pyramid").layout.slices())
    for _ in range(60):
        batch = batcher.draw()
        unknown = tuple(name for name, channels in slices.items() if batch.planes[:, channels].isnan().any())
        for name in unknown:
            assert batch.planes[:, slices[name]].isnan().all()
        assert torch.isfinite(batch.target).all()
        absent.add(unknown)
    assert absent == {tuple(p for p in tool.PLANES if p in (*names, *HISTORY_PLANES)) for names in tool.ABSENT}
    assert not any("radiance" in names for names in absent)


def test_input_and_target_are_turned_tinted_and_exchanged_alike(tool: ModuleType, tmp_path: Path) -> None:
    """A view of one part's content in all of them: the target is then the input, whatever was done to both."""
    rng = np.random.default_rng(0)
    radiance = np.broadcast_to(rng.random((1, 3, SIDE, SIDE)), (6, 3, SIDE, SIDE)).astype(np.float32)
    features = np.zeros((6, 8, SIDE, SIDE), np.float16)
    features[:, :3] = radiance
    np.savez(tmp_path / "a.npz", radiance=radiance, features=features, spp=np.array(PARTS_SPP))
    batcher = tool.ViewBatcher(tmp_path, 2, 0)
    for _ in range(10):
        batch = batcher.draw()
        assert torch.allclose(batch.planes[:, :3], batch.target, rtol=1e-5)
        for crop, target in zip(batch.planes[:, 3:6], batch.target, strict=True):
            if torch.isfinite(crop).all() and target.any():
                tint = (target / crop.clamp_min(1e-3)).flatten(1).median(1).values
                assert torch.allclose(crop * tint[:, None, None], target, atol=5e-3)


@pytest.mark.parametrize("symmetry", range(SYMMETRIES))
def test_turns_are_exact(symmetry: int) -> None:
    image = torch.rand(3, 6, 6)
    assert sorted(turn(image, symmetry).flatten().tolist()) == sorted(image.flatten().tolist())


def train(tool: ModuleType, views: Path, out: Path, *, resume: bool = False) -> bytes:
    torch.manual_seed(0)
    run = RunDirectory(out, {"steps": STEPS}, resume=resume, overwrite=False)
    model = DenoisingModel(ModelSpec.default("fast"))
    trainer = Trainer(model, robust(tool.DELTA), TrainerOptions(weight_decay=0.4), torch.device("cpu"))
    try:
        tool.BaseJob(run, trainer, tool.ViewBatcher(views, 1, 0), lambda event: None).run(STEPS, {"seed": 0})
    finally:
        run.close()
    loaded = Denoiser.load(out / "weights.safetensors", "cpu")
    assert loaded.provenance["views"] == 2
    # All but how long it took.
    loaded.provenance = {}
    return loaded.to_bytes()


def test_fireflies_count_more_and_more_towards_the_end(tool: ModuleType) -> None:
    assert [tool.delta_at(progress) for progress in (0.0, 0.35, 0.7)] == [1.0, 1.0, 1.0]
    late = [tool.delta_at(0.7 + 0.01 * i) for i in range(31)]
    assert all(earlier < later for earlier, later in itertools.pairwise(late))
    assert tool.delta_at(0.85) == pytest.approx(8**0.5), "by the same factor in the same time"
    assert tool.delta_at(1.0) == pytest.approx(8.0)


def test_every_step_has_the_delta_of_its_progress(
    tool: ModuleType, views: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "ROBUST_SHARE", 0.2)
    step, seen = TrainingJob.train_step, []

    def watched(self: TrainingJob, progress: float, total: int) -> Any:
        seen.append(float(self.trainer.loss(torch.zeros(1), torch.ones(1))))
        return step(self, progress, total)

    monkeypatch.setattr(TrainingJob, "train_step", watched)
    train(tool, views, tmp_path / "watched")
    expected = [robust(tool.delta_at(i / STEPS))(torch.zeros(1), torch.ones(1)) for i in range(STEPS)]
    assert seen == [float(value) for value in expected]
    assert seen[0] < seen[1] < seen[2]


def test_an_interrupted_training_ends_with_the_same_weights(
    tool: ModuleType, views: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "CHECKPOINT_EVERY_S", 0.0)
    whole = train(tool, views, tmp_path / "whole")
    step = TrainingJob.train_step

    def deadly(self: TrainingJob, progress: float, total: int) -> Any:
        if self.trainer.step_count == 2:
            raise KeyboardInterrupt
        return step(self, progress, total)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingJob, "train_step", deadly)
        with pytest.raises(KeyboardInterrupt):
            train(tool, views, tmp_path / "broken")
    assert not (tmp_path / "broken" / "weights.safetensors").exists()
    assert train(tool, views, tmp_path / "broken", resume=True) == whole


def test_the_command(views: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "tools/train_base.py", "--renders", views, "--out", tmp_path / "run"]
    options = ["--network", "fast", "--steps", STEPS, "--batch", 1, "--threads", 1, "--device", "cpu"]
    done = subprocess.run([str(c) for c in command + options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    made = Denoiser.load(tmp_path / "run" / "weights.safetensors", "cpu")
    assert made.model.spec == ModelSpec.default("fast")
    expected = {"training": "Noise2Noise", "network": "fast", "steps": STEPS, "batch": 1, "seed": 0, "views": 2}
    assert expected.items() <= made.provenance.items()
