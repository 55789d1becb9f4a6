from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from rendernoise.config import RenderConfig
from rendernoise.errors import RendererDied, RunError
from rendernoise.io.exr import read
from rendernoise.reference import render_shot, stream_of
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.probe import probe_variant
from rendernoise.render.process import RendererProcess, RendererSpec
from tests import ctrl_c

# All seeds are fixed, so a test either always passes or always fails. This is the chance that correct code would have
# failed one statistical test with the seeds that were picked.
FALSE_ALARM = 1e-3
Z = NormalDist().inv_cdf(1 - FALSE_ALARM / 2)

_SCENE = """<scene version="3.0.0">
  <integrator type="path"><integer name="max_depth" value="4"/></integrator>
  <sensor type="perspective">
    <float name="fov" value="50"/>
    <transform name="to_world"><lookat origin="0,1,4" target="0,0.3,0" up="0,1,0"/></transform>
    <film type="hdrfilm"><integer name="width" value="16"/><integer name="height" value="12"/></film>
  </sensor>
  <shape type="rectangle">
    <transform name="to_world"><scale value="5"/><rotate x="1" angle="-90"/></transform>
    <bsdf type="diffuse"><rgb name="reflectance" value="0.6,0.4,0.2"/></bsdf>
  </shape>
  <shape type="sphere"><point name="center" x="{x}" y="0.6" z="0"/><float name="radius" value="0.6"/></shape>
  <emitter type="constant"><rgb name="radiance" value="0.3,0.4,0.5"/></emitter>
</scene>
"""

VARIANTS = [
    pytest.param(v, marks=pytest.mark.skipif(not probe_variant(v).works, reason=f"{v} does not render here"))
    for v in ("scalar_rgb", "llvm_ad_rgb")
]


def shot(folder: Path, frames: int = 1, name: str = "box") -> Path:
    """Scene files of a shot whose ball rolls; returns their pattern."""
    for number in range(1, frames + 1):
        (folder / f"{name}.{number:04d}.xml").write_text(_SCENE.format(x=0.1 * number))
    return folder / f"{name}.####.xml"


def config(scenes: Path, out: Path, **options: Any) -> RenderConfig:
    return RenderConfig(scenes=(scenes,), out=out, **{"spp": 2, **options})


def analytic(**arguments: Any) -> RendererProcess:
    return RendererProcess(RendererSpec("analytic", {"resolution": (16, 12), **arguments}))


def pixels(folder: Path) -> dict[str, bytes]:
    """Every channel of every EXR file of a folder."""
    return {
        f"{path.name}:{name}": np.ascontiguousarray(channel).tobytes()
        for path in sorted(folder.glob("*.exr"))
        for name, channel in read(path).parts[0].channels.items()
    }


def layer(path: Path, name: str = "") -> np.ndarray:
    channels = read(path).parts[0].channels
    return np.stack([channels[f"{name}.{c}" if name else c] for c in "RGB"])


def rendernoise(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rendernoise", "render", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


# -- what is rendered ------------------------------------------------------------------------------------------------


def test_no_two_renders_share_a_stream():
    places = [(h, f, i) for h in ("a", "b", "") for f in (1, 2, 3) for i in range(20)]
    packed = {stream_of(half, frame, index, 0).pack() for half, frame, index in places}
    assert len(packed) == len(places)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pairs_have_independent_halves_and_features(tmp_path, variant):
    summary = render_shot(config(shot(tmp_path), tmp_path / "out", passes=3, variant=variant))
    (entry,) = summary["frames"]
    a, b = read(Path(entry["path"])), read(Path(entry["path_b"]))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["box.a.0001.exr", "box.b.0001.exr"]
    for image in (a, b):
        names = set(image.parts[0].channels)
        assert names >= {"R", "albedo.R", "normal.X", "depth.Z", "position.Z"}
        facts = {k: image.attributes[k] for k in ("spp", "passes", "seed", "frame", "variant")}
        assert facts == {"spp": 6, "passes": 3, "seed": 0, "frame": 1, "variant": variant}
    # The first half differs from the second wherever there is noise at all.
    different = layer(Path(entry["path"])) != layer(Path(entry["path_b"]))
    assert different.mean() > 0.5


def test_a_half_is_the_mean_of_its_passes(tmp_path):
    options = {"passes": 5, "seed": 3}
    render_shot(config(shot(tmp_path), tmp_path / "out", **options), start_renderer=analytic)
    renderer, view = AnalyticRenderer((16, 12)), View(1)
    for half in "ab":
        seeds = [stream_of(half, 1, index, 3).pack() for index in range(5)]
        passes = np.stack([renderer.render(view, spp=2, seed=s).radiance for s in seeds]).astype(np.float64)
        np.testing.assert_allclose(layer(tmp_path / f"out/box.{half}.0001.exr"), passes.mean(0), rtol=1e-6)


def test_noise_of_the_halves_is_uncorrelated(tmp_path):
    pattern = shot(tmp_path, 8)
    render_shot(config(pattern, tmp_path / "out", spp=64), start_renderer=analytic)
    products = []
    for frame in range(1, 9):
        truth = AnalyticRenderer((16, 12)).reference(View(frame)).astype(np.float64)
        a, b = (layer(tmp_path / f"out/box.{half}.{frame:04d}.exr") for half in "ab")
        products.append((a / truth - 1) * (b / truth - 1))
    products = np.stack(products)
    assert abs(products.mean() / (products.std() / np.sqrt(products.size))) < Z


def test_reference_is_the_truth_and_knows_its_own_variance(tmp_path):
    # So many samples that a pixel's mean is normal. Then (mean - truth)² / variance follows F(1, passes - 1) in every
    # pixel and channel: its tail must be as frequent as Student's t says, and the variance itself unbiased.
    passes, spp = 8, 4096
    options = {"passes": passes, "spp": spp, "reference": True}
    render_shot(config(shot(tmp_path), tmp_path / "out", **options), start_renderer=_large_analytic)
    renderer, path = AnalyticRenderer((96, 72)), tmp_path / "out/box.0001.exr"
    truth = renderer.reference(View(1)).astype(np.float64)
    true_variance = renderer.variance(View(1), spp).astype(np.float64) / passes
    mean, variance = layer(path), layer(path, "variance")
    z = (mean - truth) / np.sqrt(true_variance)
    assert abs(z.mean() * np.sqrt(z.size)) < Z
    # The variance of a variance ratio with n - 1 degrees of freedom is 2 / (n - 1).
    ratio = variance / true_variance
    assert abs((ratio.mean() - 1) / np.sqrt(2 / (passes - 1) / ratio.size)) < Z
    assert ratio.var() == pytest.approx(2 / (passes - 1), rel=0.1)
    # 95 % of |t| with 7 degrees of freedom stay below 2.3646.
    outside = np.abs(mean - truth) / np.sqrt(variance) > 2.3646
    assert abs((outside.mean() - 0.05) / np.sqrt(0.05 * 0.95 / outside.size)) < Z


def _large_analytic() -> RendererProcess:
    return analytic(resolution=(96, 72))


@pytest.mark.parametrize("variant", VARIANTS)
def test_reference_of_mitsuba(tmp_path, variant):
    options = {"spp": 4, "passes": 4, "seed": 5, "reference": True, "variant": variant}
    summary = render_shot(config(shot(tmp_path), tmp_path / "out", **options))
    path = tmp_path / "out/box.0001.exr"
    assert summary["frames"][0]["path"] == str(path)
    image = read(path)
    wanted = {"spp": 16, "passes": 4, "seed": 5, "frame": 1, "variant": variant}
    assert {name: image.attributes[name] for name in wanted} == wanted
    assert "rendernoise.version" in image.attributes
    assert (layer(path, "variance") > 0).mean() > 0.5
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["box.0001.exr"]


def test_pixels_do_not_depend_on_the_frames_asked_for(tmp_path):
    pattern = shot(tmp_path, 3)
    options = {"variant": "scalar_rgb"}
    render_shot(config(pattern, tmp_path / "all", **options))
    render_shot(config(pattern, tmp_path / "one", frames="3", **options))
    render_shot(config(tmp_path / "box.0002.xml", tmp_path / "one", **options))
    assert {k: v for k, v in pixels(tmp_path / "all").items() if ".0001." not in k} == pixels(tmp_path / "one")


# -- going on -------------------------------------------------------------------------------------------------------

#: The command as a user runs it, but sums are saved after every pass to a slow disk, so that the kill meets it at work.
_EAGER = """
import sys, time
import rendernoise.reference as reference
from rendernoise.cli import main

reference.SAVE_EVERY_S, reference.SAVE_SHARE = 0, 1e9
save = reference.PassFolder.save


def slowly(folder, sums):
    save(folder, sums)
    time.sleep(0.1 if sums.view.frame == 2 else 0)


reference.PassFolder.save = slowly
main(["render", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("variant", "kind", "how", "code"),
    [
        pytest.param("scalar_rgb", "--reference", signal.SIGKILL, -9, marks=VARIANTS[0].marks),
        pytest.param("llvm_ad_rgb", "--pairs", signal.SIGINT, 130, marks=VARIANTS[1].marks),
    ],
)
def test_a_killed_run_goes_on_to_the_same_pixels(tmp_path, variant, kind, how, code):
    passes, pattern, out = 20, shot(tmp_path, 2), tmp_path / "out"
    command = [pattern, kind, "--passes", passes, "--spp", 32, "--variant", variant, "--json", "--out", out]
    killed = subprocess.Popen(
        preexec_fn=ctrl_c.heeded,
        args=[sys.executable, "-c", _EAGER, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    for line in killed.stdout:
        event = json.loads(line)
        if event["event"] == "pass" and event["frame"] == 2 and event["pass"] == 5:
            killed.send_signal(how)
            break
    _, complaint = killed.communicate(timeout=60)
    assert killed.returncode == code
    if how == signal.SIGINT:
        assert complaint == "error: interrupted; run the same command with --resume to go on\n"
    assert (out / f".work/box.{kind[2:]}.0002.npz").exists()
    assert all(".0001.exr" in name for name in pixels(out))

    options = {"reference": kind == "--reference", "passes": passes, "spp": 32, "variant": variant}
    with pytest.raises(RunError, match="--resume"):
        render_shot(config(pattern, out, **options))
    events: list[dict[str, Any]] = []
    render_shot(config(pattern, out, resume=True, **options), events.append)
    again = [event for event in events if event["event"] == "pass"]
    assert {event["frame"] for event in again} == {2}
    assert len(again) < passes * (1 if kind == "--reference" else 2)
    assert not (out / ".work").exists()
    render_shot(config(pattern, tmp_path / "whole", **options))
    assert pixels(out) == pixels(tmp_path / "whole")


def test_resume_renders_only_missing_files_and_checks_how_the_others_were_made(tmp_path):
    pattern, out = shot(tmp_path, 3), tmp_path / "out"
    render_shot(config(pattern, out), start_renderer=analytic)
    whole = pixels(out)
    (out / "box.b.0002.exr").unlink()
    summary = render_shot(config(pattern, out, resume=True), start_renderer=analytic)
    assert [entry["frame"] for entry in summary["frames"]] == [2]
    assert summary["present"] == 2
    assert pixels(out) == whole

    def start() -> RendererProcess:
        pytest.fail("a renderer was started though nothing was missing")

    assert render_shot(config(pattern, out, resume=True), start_renderer=start)["frames"] == []
    with pytest.raises(RunError, match=r"seed = 0, not 1"):
        render_shot(config(pattern, out, resume=True, seed=1), start_renderer=start)
    with pytest.raises(RunError, match=r"spp = 2, not 4"):
        render_shot(config(pattern, out, resume=True, spp=4), start_renderer=start)
    (tmp_path / "box.0002.xml").write_text(_SCENE.format(x=1))
    with pytest.raises(RunError, match=r"scene or its camera is not the one"):
        render_shot(config(pattern, out, resume=True), start_renderer=start)


def test_resume_keeps_to_the_variant_of_the_run(tmp_path):
    pattern, out = shot(tmp_path, 2), tmp_path / "out"
    render_shot(config(pattern, out, frames="1", variant="scalar_rgb"))
    with pytest.raises(RunError, match="variant"):
        render_shot(config(pattern, out, resume=True, variant="llvm_ad_rgb"))
    render_shot(config(pattern, out, resume=True))
    assert read(out / "box.a.0002.exr").attributes["variant"] == "scalar_rgb"


def test_pairs_and_references_share_a_folder(tmp_path):
    pattern, out = shot(tmp_path), tmp_path / "out"
    render_shot(config(pattern, out), start_renderer=analytic)
    render_shot(config(pattern, out, reference=True, passes=2), start_renderer=analytic)
    assert sorted(p.name for p in out.iterdir()) == ["box.0001.exr", "box.a.0001.exr", "box.b.0001.exr"]


def test_overwrite_replaces_these_frames_and_leaves_the_rest(tmp_path):
    pattern, out = shot(tmp_path, 2), tmp_path / "out"
    render_shot(config(pattern, out), start_renderer=analytic)
    (out / "notes.txt").write_text("mine")
    before = pixels(out)
    render_shot(config(pattern, out, frames="2", seed=1, overwrite=True), start_renderer=analytic)
    after = pixels(out)
    assert {name for name in before if after[name] != before[name] and name.endswith(":R")} == {
        "box.a.0002.exr:R",
        "box.b.0002.exr:R",
    }
    assert (out / "notes.txt").read_text() == "mine"


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_rejected_frame_does_not_stop_the_others(tmp_path):
    pattern, out = shot(tmp_path, 4), tmp_path / "out"
    mended = (tmp_path / "box.0002.xml").read_text()
    for number in (2, 3):
        (tmp_path / f"box.{number:04d}.xml").write_text(mended.replace("path", "no_such_plugin", 1))
    done = rendernoise(pattern, "--out", out, "--variant", "scalar_rgb", "--passes", 2, "--spp", 2)
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(
        f"error: frame {n} failed" in line and f"box.{n:04d}.xml" in line for n, line in zip((2, 3), lines, strict=True)
    )
    assert [p.name for p in sorted(out.iterdir())] == [f"box.{h}.{n:04d}.exr" for h in "ab" for n in (1, 4)]
    (tmp_path / "box.0002.xml").write_text(mended)
    (tmp_path / "box.0003.xml").write_text(mended)
    done = rendernoise(pattern, "--out", out, "--variant", "scalar_rgb", "--passes", 2, "--spp", 2, "--resume")
    assert done.returncode == 0, done.stderr
    assert len(list(out.iterdir())) == 8


def test_when_every_frame_is_rejected_nothing_is_written(tmp_path):
    pattern = shot(tmp_path, 2)
    for file in tmp_path.glob("*.xml"):
        file.write_text(file.read_text().replace("</scene>", ""))
    done = rendernoise(pattern, "--out", tmp_path / "new/out", "--variant", "scalar_rgb")
    assert done.returncode == 2
    assert "box.0001.xml" in one_line(done)
    assert not (tmp_path / "new").exists()


def test_overwrite_keeps_the_old_files_until_a_render_succeeds(tmp_path):
    pattern, out = shot(tmp_path), tmp_path / "out"
    render_shot(config(pattern, out), start_renderer=analytic)
    before = pixels(out)
    (tmp_path / "box.0001.xml").write_text("<scene")
    done = rendernoise(pattern, "--out", out, "--variant", "scalar_rgb", "--overwrite")
    assert done.returncode == 2
    one_line(done)
    assert pixels(out) == before


def _kill_renderer() -> None:
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)


def test_a_dead_renderer_costs_one_frame(tmp_path):
    pattern, out = shot(tmp_path, 4), tmp_path / "out"

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "pass" and event["frame"] == 2 and event["pass"] == 3:
            _kill_renderer()

    summary = render_shot(config(pattern, out, passes=40), emit, analytic)
    assert [entry["frame"] for entry in summary["frames"]] == [1, 3, 4]
    (failure,) = summary["failed"]
    assert failure["frame"] == 2
    assert "SIGKILL" in failure["error"]
    # Its passes are kept.
    taken: list[dict[str, Any]] = []
    render_shot(config(pattern, out, passes=40, resume=True), taken.append, analytic)
    assert 0 < sum(event["event"] == "pass" for event in taken) < 80
    render_shot(config(pattern, tmp_path / "whole", passes=40), start_renderer=analytic)
    assert pixels(out) == pixels(tmp_path / "whole")


def test_a_renderer_that_always_dies_is_given_up(tmp_path):
    starts = []

    def start() -> RendererProcess:
        starts.append(1)
        return analytic()

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "pass":
            _kill_renderer()

    with pytest.raises(RendererDied, match="frame 1"):
        render_shot(config(shot(tmp_path, 5), tmp_path / "out", passes=40), emit, start)
    assert len(starts) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.xml"], "missing.xml"),
        (["box.0001.xml", "--pairs", "--reference"], "exclude"),
        (["box.0001.xml", "--reference"], "--passes 2"),
        (["box.0001.xml", "--frames", "5"], "frame 5"),
        (["box.0001.xml", "--spp", "0"], "--spp"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, arguments, says):
    shot(tmp_path)
    done = rendernoise(tmp_path / arguments[0], *arguments[1:], "--out", tmp_path / "out")
    assert done.returncode == 2
    assert says in one_line(done)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_named(tmp_path):
    pattern = shot(tmp_path)
    (tmp_path / "out").write_text("")
    done = rendernoise(pattern, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "out" in one_line(done)
