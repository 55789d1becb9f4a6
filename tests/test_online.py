"""The online job with the analytic renderer: options, sizes, errors. Laws 5 and 6 are in tests/laws."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise import online
from rendernoise.config import OnlineConfig
from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError, RendererDied, RunError
from rendernoise.frame import Frame, FramePair, average
from rendernoise.guard import merge_halves
from rendernoise.io.exr import read, read_frame
from rendernoise.online import run_online
from rendernoise.recipes import RECIPES
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.process import RendererProcess
from rendernoise.seeds import Stream

Config = Callable[..., OnlineConfig]
Start = Callable[..., Callable[[], RendererProcess]]
SIZE = (24, 16)


def run(config: OnlineConfig, start: Callable[[], RendererProcess]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    summary = run_online(config, events.append, start)
    json.dumps([summary, *events], allow_nan=False)
    return summary, events


def half_of(frame: int, half: str, pass_index: int = 0) -> Frame:
    """What a half of 4 spp must be: the mean of two renders, each with a stream of its own."""
    renderer = AnalyticRenderer(SIZE)
    streams = [Stream(0, frame, 2 * pass_index + part, half).pack() for part in range(2)]
    return average([renderer.render(View(frame), spp=2, seed=stream) for stream in streams])


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_a_run_leaves(online_config: Config, analytic: Start) -> None:
    config = online_config(window=0)
    summary, events = run(config, analytic(resolution=SIZE))
    out = config.out
    assert names(out) == ["config.json", "denoised", "metrics.jsonl", "preview", "summary.json", "weights.safetensors"]
    assert names(out / "denoised") == [f"shot.{n:04d}.exr" for n in (1, 2, 3)]
    assert names(out / "preview") == [f"shot.{n:04d}.png" for n in (1, 2, 3)]
    assert summary == json.loads((out / "summary.json").read_text())
    assert [f["frame"] for f in summary["frames"]] == [1, 2, 3]
    assert summary["steps"] == 6
    assert summary["spp"] == 8
    assert [e["frame"] for e in events if e["event"] == "frame"] == [1, 2, 3]

    picture = read(out / "denoised" / "shot.0002.exr")
    layers = ["R", "G", "B", "noisy.R", "albedo.G", "normal.X", "depth.Z", "error.Y"]
    assert set(layers) <= set(picture.channels)
    assert all(p.dtype == np.float32 and p.shape == (16, 24) for p in picture.channels.values())
    assert picture.attributes["rendernoise.weights"] == Denoiser.load(out / "weights.safetensors", "cpu").fingerprint()

    halves = [half_of(2, h) for h in "ab"]
    loaded = Denoiser.load(out / "weights.safetensors", "cpu")
    denoiser = Denoiser(loaded.model, spins=RECIPES["ours"].spins)
    pair = FramePair.of_halves(*halves)
    expected = merge_halves(pair, denoiser.radiance(halves[0]), denoiser.radiance(halves[1]))[0].radiance
    found = read_frame(out / "denoised" / "shot.0002.exr").radiance
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)
    noisy = np.stack([picture.channels[f"noisy.{c}"] for c in "RGB"])
    assert np.array_equal(noisy, np.float32(0.5) * (halves[0].radiance + halves[1].radiance))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (200, 1)])
@pytest.mark.parametrize("recipe", ["ours", "paper"])
def test_any_size(size: tuple[int, int], recipe: str, online_config: Config, analytic: Start) -> None:
    config = online_config(2, recipe=recipe, steps=1)
    summary, _ = run(config, analytic(resolution=size))
    for number in (1, 2):
        frame = read_frame(config.out / "denoised" / f"shot.{number:04d}.exr")
        assert (frame.width, frame.height) == size
        assert np.isfinite(frame.radiance).all()
    if size != (200, 1):
        # The paper's recipe has its scores at arrival alone, which need two tiles.
        assert (summary["frames"][0]["estimated_relmse"] is None) == (recipe == "paper")


def test_neighbours_help_within_the_window(online_config: Config, analytic: Start) -> None:
    images = {}
    for window in (0, 1, 64):
        config = online_config(4, steps=0, window=window, save_halves=True, overwrite=True)
        run(config, analytic(resolution=(48, 32)))
        images[window] = read_frame(config.out / "denoised" / "shot.0002.exr").radiance
        made = Denoiser.load(config.out / "weights.safetensors", "cpu")
        assert made.provenance["window"] == window
        half = read(config.out / "halves" / "shot.a.0002.exr")
        assert not any("history" in channel or "reliability" in channel for channel in half.channels)
    truth = AnalyticRenderer((48, 32)).reference(View(2))
    errors = {w: float((np.square(i - truth) / (np.square(truth) + 0.01)).mean()) for w, i in images.items()}
    # The same weights on 4 samples of one frame, of three frames, and of all four.
    assert errors[64] < errors[0]
    assert errors[1] < errors[0]
    assert errors[64] != errors[1]


def test_a_still_is_a_shot_of_one_frame(online_config: Config, analytic: Start, tmp_path: Path) -> None:
    still = tmp_path / "still.xml"
    still.write_text("<scene/>")
    config = online_config(scenes=(still,))
    summary, _ = run(config, analytic(resolution=SIZE))
    assert len(summary["frames"]) == 1
    assert names(config.out / "denoised") == ["still.0001.exr"]


def test_passes_add_samples(online_config: Config, analytic: Start) -> None:
    config = online_config(2, passes=3, save_halves=True)
    summary, events = run(config, analytic(resolution=SIZE))
    pairs = [(e["frame"], e["pass"]) for e in events if e["event"] == "pair"]
    assert pairs == [(f, p) for p in range(3) for f in (1, 2)]
    assert summary["spp"] == 24
    assert names(config.out / "halves") == [f"shot.{h}.{n:04d}.exr" for h in "ab" for n in (1, 2)]
    passes = [half_of(1, "a", p).radiance for p in range(3)]
    half = read_frame(config.out / "halves" / "shot.a.0001.exr")
    assert np.allclose(half.radiance, np.mean(passes, axis=0), rtol=1e-6)
    assert half.spp == 12
    assert {"albedo", "normal", "depth"} <= set(half.planes)


def test_saved_halves_are_the_renders(online_config: Config, analytic: Start) -> None:
    config = online_config(save_halves=True)
    run(config, analytic(resolution=SIZE))
    for half in "ab":
        found = read_frame(config.out / "halves" / f"shot.{half}.0003.exr")
        assert np.array_equal(found.radiance, half_of(3, half).radiance)
        assert found.spp == 4


def test_without_a_final_pass_each_frame_is_written_once(online_config: Config, analytic: Start) -> None:
    config = online_config(final_pass=False)
    _, events = run(config, analytic(resolution=SIZE))
    assert [e["event"] for e in events if e["event"] in ("pair", "frame")] == ["pair", "frame"] * 3
    assert len(names(config.out / "denoised")) == 3


def test_the_papers_recipe(online_config: Config, analytic: Start) -> None:
    config = online_config(recipe="paper", steps=None, min_steps=None)
    summary, _ = run(config, analytic(resolution=SIZE))
    assert summary["steps"] == 24, "eight for each frame"
    weights = Denoiser.load(config.out / "weights.safetensors", "cpu")
    assert weights.model.spec.network == "unet"
    assert weights.model.spec.transfer == "tonemap"
    assert weights.provenance["loss"] == "hdr"


def test_a_time_budget_is_kept(online_config: Config, analytic: Start) -> None:
    config = online_config(time=3.0, steps=None, min_steps=None)
    start = time.monotonic()
    summary, events = run(config, analytic(resolution=SIZE))
    assert time.monotonic() - start < 9
    assert summary["steps"] > 3
    assert all(e["steps"] == 0 for e in events if e["event"] in ("pair", "train"))
    assert len(summary["frames"]) == 3


def test_training_goes_on_until_the_least_steps(online_config: Config, analytic: Start) -> None:
    summary, _ = run(online_config(steps=1, min_steps=8), analytic(resolution=SIZE))
    assert summary["steps"] == 8


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    online_config: Config, analytic: Start, tmp_path: Path
) -> None:
    weights = []
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        config = online_config(out=tmp_path / folder, seed=seed)
        run(config, analytic(resolution=SIZE))
        weights.append((config.out / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_an_existing_run_is_kept_replaced_or_found_complete(online_config: Config, analytic: Start) -> None:
    run(online_config(), analytic(resolution=SIZE))
    config = online_config()
    before = (config.out / "weights.safetensors").read_bytes()
    with pytest.raises(RunError, match="already holds a run"):
        run(online_config(), analytic(resolution=SIZE))
    summary, events = run(online_config(resume=True), lambda: pytest.fail("there is nothing to render"))
    assert [e["event"] for e in events] == ["note"]
    assert summary["steps"] == 6
    assert (config.out / "weights.safetensors").read_bytes() == before
    with pytest.raises(RunError, match="has spp = 4, not 8"):
        run(online_config(resume=True, spp=8), analytic(resolution=SIZE))
    run(online_config(overwrite=True, seed=5), analytic(resolution=SIZE))
    assert (config.out / "weights.safetensors").read_bytes() != before


def test_weights_of_another_run_are_a_start(online_config: Config, analytic: Start, tmp_path: Path) -> None:
    first = online_config(out=tmp_path / "first", recipe="paper", steps=1)
    run(first, analytic(resolution=SIZE))
    start = str(first.out / "weights.safetensors")
    second = online_config(out=tmp_path / "second", weights=start, steps=0)
    run(second, analytic(resolution=SIZE))
    one, two = (Denoiser.load(c.out / "weights.safetensors", "cpu").model.state_dict() for c in (first, second))
    assert all(bool((one[k] == two[k]).all()) for k in one)
    with pytest.raises(InputError, match="holds a unet, not a unet_log"):
        run(online_config(out=tmp_path / "third", weights=start, network="unet_log"), analytic(resolution=SIZE))
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_an_out_that_cannot_be_written_is_refused_before_anything_is_rendered(
    kind: str, online_config: Config, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" if kind == "file" else tmp_path / "file" / "out"
    with pytest.raises(InputError, match="cannot write to the folder"):
        run(online_config(out=out), lambda: pytest.fail("rendering started"))
    assert (tmp_path / "file").read_text() == "mine"


def test_a_renderer_that_dies_leaves_a_run_that_can_be_resumed(
    online_config: Config, analytic: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = online_config(out=tmp_path / "undisturbed")
    run(undisturbed, analytic(resolution=SIZE))
    started: list[RendererProcess] = []

    def doomed() -> RendererProcess:
        started.append(analytic(resolution=SIZE)())
        return started[0]

    def kill(self: online.LivePairs, index: int) -> int:
        if index == 1 and started:
            started[0]._process.kill()
            started[0]._process.join()
        return index // 3

    monkeypatch.setattr(online.LivePairs, "pass_of", kill)
    # Only a few requests are ahead of the pair in hand, so the kill must cost a later frame.
    monkeypatch.setattr(RendererProcess.__init__, "__defaults__", (1,))
    with pytest.raises(RendererDied, match="died on frame 3"):
        run(online_config(), doomed)
    monkeypatch.undo()
    run(online_config(resume=True), analytic(resolution=SIZE))
    resumed = online_config().out
    assert (resumed / "weights.safetensors").read_bytes() == (undisturbed.out / "weights.safetensors").read_bytes()
