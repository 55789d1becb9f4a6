"""``rendernoise train``: it learns, a killed run ends with the same weights, and bad input is one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rendernoise.cli import main
from rendernoise.config import TrainConfig
from rendernoise.denoiser import Denoiser
from rendernoise.errors import RunError
from rendernoise.guard import merge_halves
from rendernoise.io.exr import read_frame
from rendernoise.io.renders import write_half
from rendernoise.losses import LOSSES, get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.offline import loss_note, measure_held_out, run_train
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.sources.batching import held_out
from rendernoise.sources.exr_pairs import ExrPairs
from rendernoise.sources.store import PairStore
from rendernoise.weights import base_path

pytestmark = pytest.mark.usefixtures("one_thread")
FRAMES = (1, 2, 3, 4)
SMALL = AnalyticRenderer((48, 32))


def write_shot(folder: Path, renderer: AnalyticRenderer = SMALL, frames: tuple[int, ...] = FRAMES) -> Path:
    """Halves of 4 spp and the exact reference of each frame, as EXR."""
    folder.mkdir()
    for n in frames:
        a, b = (renderer.render(View(n), spp=4, seed=10 * n + i) for i in range(2))
        write_half(folder, "shot", "a", a, 0)
        write_half(folder, "shot", "b", b, 0)
        write_half(folder, "shot", "", a.with_planes(radiance=renderer.reference(View(n))), 0)
    return folder


def rel_error(radiance: np.ndarray, reference: np.ndarray) -> float:
    return float(np.mean((radiance - reference) ** 2 / (reference**2 + 0.01)))


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shot(tmp_path_factory.mktemp("train") / "shot")


@pytest.fixture(scope="module")
def trained(shot: Path) -> Path:
    """The run directory of 80 steps by the command itself."""
    command = [sys.executable, "-m", "rendernoise", "train", shot, "--out", shot.parent / "run", "--steps", "80"]
    done = subprocess.run(
        [*map(str, command), "--device", "cpu", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["pair"] for e in events if e["event"] == "read"] == [1, 2, 3, 4]
    assert events[-1]["event"] == "done"
    return shot.parent / "run"


def test_learns_to_denoise(shot: Path, trained: Path) -> None:
    denoiser = Denoiser.load(trained / "weights.safetensors", "cpu")
    assert denoiser.provenance["trained_by"] == "train --target noisy"
    assert denoiser.provenance["steps"] == 80
    for n in FRAMES:
        noisy = read_frame(shot / f"shot.a.{n:04d}.exr")
        reference = SMALL.reference(View(n))
        assert rel_error(denoiser.radiance(noisy), reference) < 0.35 * rel_error(noisy.radiance, reference)


def test_files_and_summary(trained: Path) -> None:
    assert sorted(p.name for p in trained.iterdir()) == [
        "config.json",
        "metrics.jsonl",
        "summary.json",
        "weights.safetensors",
    ]
    summary = json.loads((trained / "summary.json").read_text())
    expected = {"steps": 80, "skipped_steps": 0, "pairs": 4, "frames": 4, "target": "noisy", "loss": "hdr"}
    assert expected.items() <= summary.items()
    assert 0 < summary["train_s"] <= summary["wall_s"]
    assert summary["held_out"]["estimated_relmse"] is None  # six tiles are too few to hold one out
    events = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [e["step"] for e in events if e["event"] == "train"] == [25, 50, 75]


def test_learns_from_references_and_measures_held_out_pixels(tmp_path: Path) -> None:
    renderer = AnalyticRenderer((96, 96))
    shot = write_shot(tmp_path / "shot", renderer, (1, 2))
    notes: list[str] = []
    config = TrainConfig(pairs=(shot,), out=tmp_path / "run", steps=12, target="reference", loss="l2", device="cpu")
    summary = run_train(config, lambda e: notes.append(e.get("text", "")))
    assert (summary["pairs"], summary["frames"], summary["target"]) == (4, 2, "reference")
    assert any("training on 4 pairs of radiance, albedo, normal" in note for note in notes)
    held_out = summary["held_out"]
    low, high = held_out["interval"]
    assert low < held_out["estimated_relmse"] < high
    # Noise of 4 spp and shape 0.5 has the relative variance 1 / (4 · 0.5) = 0.5; the mean of both halves a half of it.
    assert 0 < held_out["noisy_relmse"] < 1


def test_held_out_estimate_is_true(tmp_path: Path) -> None:
    """Against the exact reference, on frames whose last tiles are cut off."""
    renderer = AnalyticRenderer((120, 100))
    frames = (1, 2, 3, 4, 5, 6)
    source = ExrPairs([write_shot(tmp_path / "shot", renderer, frames)])
    store = PairStore(tmp_path / "store")
    for index, pair in enumerate(source):
        store.put(index, pair)
        store.show(index)
    torch.manual_seed(0)
    denoiser = Denoiser(DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo"))))
    true: list[np.ndarray] = []
    for number, frame in enumerate(frames, 1):
        pair = store.frame_pair(number)
        from_a, from_b = denoiser.halves(pair)
        reference = renderer.reference(View(frame))
        error = (merge_halves(pair, from_a, from_b)[0].radiance - reference) ** 2
        relative = error / (((from_a + from_b) / 2) ** 2 + 0.01)
        mask = held_out(pair.input.height, pair.input.width, number)
        assert mask.any()
        true.append(relative.mean(0)[mask])
    measured = measure_held_out(denoiser, store)
    assert measured.low < np.concatenate(true).mean() < measured.high
    assert measured.high - measured.low < 1.5 * measured.relmse


def test_too_many_steps_are_told(tmp_path: Path) -> None:
    shot = write_shot(tmp_path / "shot", AnalyticRenderer((3, 2)), (1,))
    notes: list[str] = []
    config = TrainConfig(pairs=(shot,), out=tmp_path / "run", steps=500, device="cpu")

    def stop(event: dict[str, Any]) -> None:
        notes.append(event.get("text", ""))
        if event["event"] == "train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_train(config, stop)
    assert any("by heart" in note for note in notes)


def test_killed_run_ends_with_the_same_weights(
    tmp_path: Path, shot: Path, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    whole = TrainConfig(pairs=(shot,), out=tmp_path / "whole", steps=30, seed=5, device="cpu")
    run_train(whole)
    code = """
import os, signal, sys
from pathlib import Path
from rendernoise import job
from rendernoise.config import TrainConfig
from rendernoise.offline import run_train

job.CHECKPOINT_EVERY_S = 0.0

def kill(event):
    if event["event"] == "train":
        os.kill(os.getpid(), signal.SIGKILL)

run_train(TrainConfig(pairs=(Path(sys.argv[1]),), out=Path(sys.argv[2]), steps=30, seed=5, device="cpu"), kill)
"""
    done = run_python(code, shot, tmp_path / "killed")
    assert done.returncode == -signal.SIGKILL, done.stderr
    config = replace(whole, out=tmp_path / "killed", resume=True)
    notes: list[str] = []
    run_train(config, lambda e: notes.append(e.get("text", "")))
    assert "resumed at step 24" in notes
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    events = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert [e["step"] for e in events] == [25]
    run_train(config, lambda e: notes.append(e.get("text", "")))
    assert "complete already" in notes[-1]
    with pytest.raises(RunError, match="seed = 5, not 6"):
        run_train(replace(config, seed=6))


def test_pairs_that_changed_since_are_noticed(tmp_path: Path, shot: Path) -> None:
    folder = tmp_path / "shot"
    shutil.copytree(shot, folder)

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "read" and event["pair"] == 3:
            raise KeyboardInterrupt

    config = TrainConfig(pairs=(folder,), out=tmp_path / "run", steps=1, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        run_train(config, stop)
    for half in "ab":
        os.rename(folder / f"shot.{half}.0001.exr", folder / f"shot.{half}.0007.exr")
    with pytest.raises(RunError, match="changed since"):
        run_train(replace(config, resume=True))


def test_starts_from_weights(tmp_path: Path, shot: Path, trained: Path) -> None:
    weights = str(trained / "weights.safetensors")
    config = TrainConfig(pairs=(shot,), out=tmp_path / "run", steps=1, weights=weights, device="cpu")
    run_train(config)
    before, after = Denoiser.load(weights, "cpu"), Denoiser.load(tmp_path / "run" / "weights.safetensors", "cpu")
    assert after.provenance["started_from"] == weights
    frame = read_frame(shot / "shot.a.0001.exr")
    reference = SMALL.reference(View(1))
    assert rel_error(after.radiance(frame), reference) < 2 * rel_error(before.radiance(frame), reference)
    assert before.fingerprint() != after.fingerprint()


def test_transfer_and_planes_travel_with_the_weights(tmp_path: Path, shot: Path) -> None:
    config = TrainConfig(
        pairs=(shot,), out=tmp_path / "run", steps=1, network="unet", transfer="linear", loss="l1", device="cpu"
    )
    notes: list[str] = []
    summary = run_train(config, lambda e: notes.append(e.get("text", "")))
    spec = Denoiser.load(tmp_path / "run" / "weights.safetensors", "cpu").model.spec
    assert (spec.network, spec.transfer, spec.exposure) == ("unet", "linear", "none")
    assert (summary["network"], summary["transfer"], summary["planes"]) == ("unet", "linear", list(spec.planes))
    assert any("estimates the median" in note for note in notes)


def test_biased_losses_say_which_way() -> None:
    for name, loss in LOSSES.items():
        noisy, clean = loss_note(get_loss(name), "noisy"), loss_note(get_loss(name), "reference")
        assert bool(noisy) == (loss.estimates != "mean")
        assert bool(clean) == (loss.estimates == "biased")
        assert not noisy or "dark" in noisy or "bright" in noisy


BAD = {
    "no pairs": ([], "the pairs are unclear"),
    "half a pattern": (["--a", "x.####.exr"], "the pairs are unclear"),
    "no folder": (["nowhere"], "nowhere is not there"),
    "unknown loss": (["shot", "--loss", "l3"], "there is no loss 'l3'"),
    "unknown network": (["shot", "--network", "resnet"], "there is no network 'resnet'"),
    "no base weights": (["shot", "--weights", "base", "--network", "unet"], "there are no base weights of unet"),
    "no weights": (["shot", "--weights", "w.safetensors"], "no weights at w.safetensors"),
    "other transfer": (["shot", "--weights", "WEIGHTS", "--transfer", "linear"], "transfer log1p"),
    "other network": (["shot", "--weights", "WEIGHTS", "--network", "unet"], "holds a kernel_pyramid, not a unet"),
    "missing frame": (["shot", "--frames", "3-5"], "frame 5 of shot has no a half"),
    "damaged": (["damaged"], "shot.b.0002.exr is truncated"),
    "no pattern": (["--a", "shot/x.####.exr", "--b", "shot/y.####.exr"], "no file matches"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(
    case: str,
    tmp_path: Path,
    shot: Path,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(shot.parent)
    if case == "damaged":
        shutil.copytree(shot, tmp_path / "damaged")
        half = tmp_path / "damaged" / "shot.b.0002.exr"
        half.write_bytes(half.read_bytes()[:-40])
        monkeypatch.chdir(tmp_path)
    arguments = [str(trained / "weights.safetensors") if a == "WEIGHTS" else a for a in arguments]
    with pytest.raises(SystemExit) as e:
        main(["train", *arguments, "--out", str(tmp_path / "out"), "--steps", "1", "--device", "cpu"])
    assert e.value.code == 2
    said = capfd.readouterr().err
    assert message in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_features_that_the_weights_need(tmp_path: Path, shot: Path) -> None:
    needy = tmp_path / "needy.safetensors"
    Denoiser(DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo", "normal")))).save(needy)
    folder = tmp_path / "plain"
    folder.mkdir()
    for pair in ExrPairs([shot], frames=[1, 2]):
        assert pair.partner is not None
        for half, frame in (("a", pair.input), ("b", pair.partner)):
            plain = replace(frame, planes={"radiance": frame.radiance})
            write_half(folder, "shot", half, plain, 0)
    command = [sys.executable, "-m", "rendernoise", "train", folder, "--out", tmp_path / "out", "--weights", needy]
    done = subprocess.run([*map(str, command), "--steps", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not every frame has albedo, normal" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_base_weights_are_a_start_even_for_colour_alone(tmp_path: Path, shot: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for pair in ExrPairs([shot], frames=[1]):
        assert pair.partner is not None
        for half, frame in (("a", pair.input), ("b", pair.partner)):
            write_half(folder, "shot", half, replace(frame, planes={"radiance": frame.radiance}), 0)
    config = TrainConfig(pairs=(folder,), out=tmp_path / "run", steps=1, weights="base", device="cpu")
    run_train(config)
    made = Denoiser.load(tmp_path / "run" / "weights.safetensors", "cpu")
    assert made.provenance["started_from"] == "base"
    assert made.model.spec == Denoiser.load(base_path("kernel_pyramid"), "cpu").model.spec
    assert np.isfinite(made.radiance(read_frame(shot / "shot.a.0001.exr"))).all()


def test_a_run_is_not_replaced_by_accident(tmp_path: Path, shot: Path, trained: Path) -> None:
    config = TrainConfig(pairs=(shot,), out=trained, steps=1, device="cpu")
    before = (trained / "weights.safetensors").read_bytes()
    with pytest.raises(RunError, match="--overwrite"):
        run_train(config)
    assert (trained / "weights.safetensors").read_bytes() == before


def test_neighbours_are_part_of_the_inputs(shot: Path, tmp_path: Path) -> None:
    """The halves' headers tell the cameras; what neighbours know changes what is learned."""
    measured = {}
    for window in (0, 2):
        out = tmp_path / f"out{window}"
        config = TrainConfig(pairs=(shot,), out=out, steps=2, weights="base", device="cpu", window=window)
        run_train(config)
        kept = sorted(p.name for p in (out / ".work" / "pairs").glob("*.history.npy")) if window else []
        measured[window] = (out / "weights.safetensors").read_bytes()
        if kept:
            assert len(kept) == 2 * len(FRAMES)
    assert measured[0] != measured[2]
