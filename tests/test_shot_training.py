"""``denoise --train``: training on the frames at hand, what it leaves behind, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rendernoise.cli import main
from rendernoise.confidence import frame_estimates
from rendernoise.config import DenoiseConfig, parse_duration
from rendernoise.denoiser import TRAINED_ON_SHOT, Denoiser
from rendernoise.errors import InputError
from rendernoise.frame import FramePair
from rendernoise.guard import Judgement
from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part, read_frame, write_layers
from rendernoise.io.renders import write_half
from rendernoise.job import Limit, starting_weights
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.planning import plan_frames
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.sequence import denoise_frames
from rendernoise.shot_training import MOST_FRAMES, RUN_FRAMES, train_on_shot
from tests import ctrl_c

pytestmark = pytest.mark.usefixtures("one_thread")
RENDERER = AnalyticRenderer((48, 32))
FRAMES = (1, 2, 3)
LONG_S = 1e6


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``r.a.####.exr`` and ``r.b.####.exr``, frames 1 to 3."""
    folder = tmp_path_factory.mktemp("shot")
    for n in FRAMES:
        for i, half in enumerate("ab"):
            write_half(folder, "r", half, RENDERER.render(View(n), spp=4, seed=10 * n + i), 0)
    return folder


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that know nothing, of a small network."""
    path = tmp_path_factory.mktemp("weights") / "blank.safetensors"
    torch.manual_seed(1)
    Denoiser(DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo", "normal")))).save(path)
    return path


def train(shot: Path, out: Path, beginning: Path | str, *, half: bool = True, **options: Any) -> Denoiser:
    planned = plan_frames([shot / "r.a.####.exr"], out, half=str(shot / "r.b.####.exr") if half else None)
    start = starting_weights(str(beginning))
    assert start is not None
    return train_on_shot(start, planned, LONG_S, **options)


def error(denoiser: Denoiser, shot: Path) -> float:
    """Mean relative squared error over all first halves."""

    def one(n: int) -> float:
        truth = RENDERER.reference(View(n))
        image = denoiser.radiance(read_frame(shot / f"r.a.{n:04d}.exr"))
        return float(np.mean((image - truth) ** 2 / (truth**2 + 0.01)))

    return float(np.mean([one(n) for n in FRAMES]))


def denoise(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as e:
        main(["denoise", *map(str, arguments), "--device", "cpu"])
    assert isinstance(e.value.code, int)
    return e.value.code


@pytest.mark.parametrize("half", [True, False], ids=["pairs", "blind spots"])
def test_learns_and_keeps_the_weights_alone(tmp_path: Path, shot: Path, blank: Path, half: bool) -> None:
    before = error(Denoiser.load(blank, "cpu"), shot)
    trained = train(shot, tmp_path / "out", blank, half=half, steps=20, weights="blank", window=2)
    assert error(trained, shot) < (0.5 if half else 0.8) * before
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["weights.safetensors"]
    kept = Denoiser.load(tmp_path / "out" / "weights.safetensors", "cpu")
    assert kept.fingerprint() == trained.fingerprint()
    assert (kept.provenance["steps"], kept.provenance["started_from"]) == (20, "blank")
    assert trained.trained_on_shot == half
    assert kept.provenance["trained_by"].startswith(TRAINED_ON_SHOT)


def test_seeds_repeat_and_neighbours_take_part(tmp_path: Path, shot: Path) -> None:
    options = [{"window": 2, "seed": 4}, {"window": 2, "seed": 4}, {"window": 0, "seed": 4}]
    made = [train(shot, tmp_path / str(i), "base", steps=2, **o) for i, o in enumerate(options)]
    assert made[0].fingerprint() == made[1].fingerprint()
    assert [m.provenance["window"] for m in made] == [2, 2, 0]
    assert not torch.equal(*(dict(m.model.named_parameters())["network.trust.weight"] for m in made[1:]))


def test_time_ends_it_and_moves_the_rate() -> None:
    limit = Limit(100, 10.0)
    assert [limit.progress(50, 1.0), limit.progress(10, 8.0), limit.progress(0, 11.0)] == [0.5, 0.8, 1.0]


def test_command_trains_once_and_goes_on(
    tmp_path: Path, shot: Path, blank: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    pair = (shot / "r.a.####.exr", "--half", shot / "r.b.####.exr", "--out", out)
    assert denoise(*pair, "--weights", blank, "--train", "0.5s", "--json") == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert any(f"--weights {out}/weights.safetensors" in e.get("text", "") for e in events)
    assert [e["event"] for e in events if e["event"] == "read"] == ["read"] * 3
    assert sorted(p.name for p in out.iterdir()) == [*(f"r.a.000{n}.exr" for n in FRAMES), "weights.safetensors"]
    kept = (out / "weights.safetensors").read_bytes()
    assert denoise(*pair, "--weights", blank, "--train", "5m") == 2
    assert "exists already" in capfd.readouterr().err
    (out / "r.a.0002.exr").unlink()
    assert denoise(*pair, "--weights", blank, "--train", "5m", "--resume") == 0
    assert "trained already" in capfd.readouterr().out
    assert (out / "r.a.0002.exr").exists()
    assert denoise(*pair, "--weights", blank, "--train", "5m", "--resume") == 0
    assert (out / "weights.safetensors").read_bytes() == kept
    # What a farm's other tasks do.
    assert denoise(*pair[:-1], tmp_path / "other", "--weights", out / "weights.safetensors") == 0
    same = [(folder / "r.a.0002.exr").read_bytes() for folder in (out, tmp_path / "other")]
    assert same[0] == same[1]


def test_errors_and_interruptions_leave_nothing(tmp_path: Path, shot: Path, blank: Path) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "read" and event["pair"] == 3:
            raise KeyboardInterrupt

    out = tmp_path / "some" / "out"
    with pytest.raises(KeyboardInterrupt):
        train(shot, out, blank, emit=stop)
    assert list(tmp_path.iterdir()) == []
    (out / ".training" / "pairs").mkdir(parents=True)
    (out / ".training" / "pairs" / "000000.json").write_text("left by a killed run")
    train(shot, out, blank, steps=1)
    assert [p.name for p in out.iterdir()] == ["weights.safetensors"]


def test_ctrl_c_is_130(tmp_path: Path, shot: Path, blank: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "rendernoise", "denoise", shot / "r.a.####.exr", "--half", shot / "r.b.####.exr"]
    command += ["--weights", blank, "--train", "5m", "--out", out, "--device", "cpu"]
    process = subprocess.Popen(
        [*map(str, command), "--json"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=ctrl_c.heeded,
    )
    assert process.stdout is not None
    assert any('"event": "train"' in line for line in process.stdout)
    assert (out / ".training").exists()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.count("\n") == 1
    assert not out.exists()


def test_long_shots_give_runs_of_frames(tmp_path: Path, blank: Path) -> None:
    for n in range(1, 101):
        plane = np.random.default_rng(n).gamma(2, 1, (3, 32, 32)).astype(np.float32)
        write_layers(tmp_path / f"r.a.{n:04d}.exr", {"": plane, "albedo": plane * 0 + 1, "normal": plane * 0 + 1})
    read: list[dict[str, Any]] = []
    trained = train(tmp_path, tmp_path / "out", blank, half=False, steps=1, emit=read.append)
    assert trained.provenance["frames"] == MOST_FRAMES
    assert sum(e["event"] == "read" for e in read) == MOST_FRAMES
    assert any(f"{MOST_FRAMES} of 100 frame(s)" in e.get("text", "") for e in read)
    assert MOST_FRAMES % RUN_FRAMES == 0


def test_all_beauties_are_trained_on(tmp_path: Path, shot: Path, blank: Path) -> None:
    """Each with its own features; one that lacks some does not take them from the others."""
    for half in "ab":
        for n in (1, 2):
            channels = dict(exr.read(shot / f"r.{half}.{n:04d}.exr").channels)
            layers = ("right", "albedo.right", "normal.right")
            for plane, layer in zip(("", "albedo.", "normal."), layers, strict=True):
                channels |= {f"{layer}.{c}": channels[f"{plane}{c}"] for c in ("XYZ" if "n" in plane else "RGB")}
            channels |= {f"left.{c}": channels[c] for c in "RGB"}
            exr.write(tmp_path / f"r.{half}.{n:04d}.exr", Exr((Part(channels),)))
    read: list[dict[str, Any]] = []
    trained = train(tmp_path, tmp_path / "out", blank, steps=1, emit=read.append)
    assert sum(e["event"] == "read" for e in read) == 4
    assert not any("training without it" in e.get("text", "") for e in read)
    assert any("both halves of 2 of 2 frame(s)" in e.get("text", "") for e in read)
    assert len(trained.provenance["shots"]) == 2
    assert trained.provenance["frames"] == 2


def correlated(folder: Path) -> Path:
    """A frame whose neighbours share noise."""
    noise = np.random.default_rng(1).gamma(2, 1, (3, 65, 65))
    shared = (noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1] + noise[:, :-1, :-1]).astype(np.float32)
    write_layers(folder / "c.0001.exr", {"": shared})
    return folder / "c.0001.exr"


@pytest.mark.parametrize("text", ["0", "-5s", "soon", "1e3", "", "nan", "s", "9999h"])
def test_bad_durations(text: str, tmp_path: Path, shot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert denoise(shot / "r.a.####.exr", f"--train={text}", "--out", tmp_path / "out") == 2
    said = capfd.readouterr().err
    assert "Write it like 60s, 90 or 2m" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_durations() -> None:
    assert [parse_duration(t) for t in (None, "90", "60s", "2m", "1.5M", ".5h")] == [None, 90, 60, 120, 90, 1800]
    assert DenoiseConfig(inputs=("x",), train="2m").train_s == 120
    with pytest.raises(InputError, match="no time"):
        DenoiseConfig(inputs=("x",), train="x")


BAD = {
    "same picture": "both halves are the same picture in all 3 pairs",
    "itself": "is in INPUT and in --half",
    "another size": "but",
    "tiny": "t.0001.exr is 5x3 px, and training needs 32x32 px",
    "no features": "not every frame has albedo, normal",
    "shared noise": "the noise of neighbouring pixels is alike (correlation 0.",
    "damaged": "r.a.0002.exr is truncated",
    "in place": "--in-place has no place for them",
    "weights are there": "weights.safetensors exists already. --weights",
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(
    case: str, tmp_path: Path, shot: Path, blank: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(shot, folder)
    a, b, weights = folder / "r.a.####.exr", folder / "r.b.####.exr", ("--weights", blank)
    arguments: tuple[Any, ...] = (a, "--half", b)
    if case == "same picture":
        for n in FRAMES:
            shutil.copy(folder / f"r.a.{n:04d}.exr", folder / f"r.b.{n:04d}.exr")
    elif case == "itself":
        arguments = (a, "--half", a)
    elif case == "another size":
        write_half(folder, "r", "b", AnalyticRenderer((32, 32)).render(View(2), spp=4, seed=3), 0)
    elif case == "tiny":
        planes = {name: np.ones((3, 3, 5), np.float32) for name in ("", "albedo", "normal")}
        write_layers(folder / "t.0001.exr", planes)
        arguments = (folder / "t.0001.exr",)
    elif case == "no features":
        write_layers(folder / "n.0001.exr", {"": np.ones((3, 40, 40), np.float32)})
        arguments = (folder / "n.0001.exr",)
    elif case == "shared noise":
        arguments, weights = (correlated(folder),), ()
    elif case == "damaged":
        path = folder / "r.a.0002.exr"
        path.write_bytes(path.read_bytes()[:-200])
    elif case == "weights are there":
        out.mkdir()
        shutil.copy(blank, out / "weights.safetensors")
    before = sorted(out.iterdir()) if out.exists() else None
    where = ("--in-place",) if case == "in place" else ("--out", out)
    assert denoise(*arguments, *weights, "--train", "5m", *where) == 2
    said = capfd.readouterr().err
    assert BAD[case] in said, said
    assert said.count("\n") == 1
    assert (sorted(out.iterdir()) if out.exists() else None) == before


def test_estimates_of_weights_that_know_the_halves(tmp_path: Path, shot: Path, blank: Path) -> None:
    """They rest on how far both halves differ: products with halves that were targets are no evidence."""
    out = tmp_path / "out"
    trained = train(shot, out, blank, steps=1)
    events: list[dict[str, Any]] = []
    planned = plan_frames([shot / "r.a.####.exr"], out, half=str(shot / "r.b.####.exr"))
    denoise_frames(trained, planned, emit=events.append)
    pair = FramePair.of_halves(*(read_frame(shot / f"r.{half}.0001.exr") for half in "ab"))
    evidence = Judgement.of(pair, *trained.halves(pair)).evidence(np.zeros((32, 48), dtype=bool))
    (expected,) = frame_estimates([evidence], trained=True)
    written = next(e for e in events if e["event"] == "frame")
    assert written.items() >= expected.to_json().items()
