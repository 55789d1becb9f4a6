"""``rendernoise bench`` as a user runs it: Mitsuba, OIDN, the page, Ctrl-C, and scenes that are rejected."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rendernoise.render.probe import probe_variant
from tests import ctrl_c

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "scenes"
pytestmark = pytest.mark.skipif(not probe_variant("scalar_rgb").works, reason="Mitsuba does not render here")
needs_oidn = pytest.mark.skipif(find_spec("pyoidn") is None, reason='pyoidn is not installed ("rendernoise[oidn]")')


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "rendernoise", "bench", *map(str, arguments)]


def bench(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@needs_oidn
def test_a_scene_of_ours(tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ["--resolution", "32x24", "--spp", "2,8", "--reference-spp", 64, "--cache", tmp_path / "cache"]
    absent = [] if torch.cuda.is_available() else ["mitsuba-optix"]
    methods = ",".join(["noisy", "oidn", "oidn-prefiltered@8", "base@8", *absent])
    scene = [ROOT / "scenes/caustics/scene.xml", "--methods", methods, *options]
    done = bench(*scene, "--out", out, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(isinstance(event, dict) and "event" in event for event in events)
    assert done.stderr == ""
    assert events[-1] == {"event": "done"}
    cells = [("noisy", 2), ("oidn", 2), ("noisy", 8), ("oidn", 8), ("oidn-prefiltered", 8), ("base", 8)]
    assert [(e["method"], e["spp"]) for e in events if e["event"] == "scored"] == cells
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json",
        "images",
        "index.html",
        "metrics.jsonl",
        "results.json",
    ]
    results = json.loads((out / "results.json").read_text(), parse_constant=pytest.fail)
    assert results["scenes"] == ["caustics"]
    assert results["command"].startswith("rendernoise bench ")
    assert [s["method"] for s in results["skipped"]] == absent
    assert results["versions"]["oidn"]
    assert results["versions"]["variant"].endswith("_rgb")
    error = {(r["method"], r["spp"]): r["value"] for r in results["rows"] if r["metric"] == "smape"}
    assert set(error) == set(cells)
    assert error["noisy", 2] > error["noisy", 8] > 0
    assert error["oidn", 2] < error["noisy", 2] / 2
    seconds = {(t["method"], t["spp"]): t for t in results["timings"]}
    assert seconds["oidn", 8]["wall_s"] > seconds["noisy", 8]["wall_s"] > 0
    assert seconds["oidn", 8]["render_s"] == seconds["noisy", 8]["render_s"]
    page = (out / "index.html").read_text()
    assert "caustics" in page
    assert page.count('type="application/octet-stream"') == 7  # the reference and six images

    # The next one finds all renders, and shows a table.
    assert run(*scene, "--methods", "noisy", "--out", tmp_path / "again") == 0
    again = capsys.readouterr().out
    assert "rendering with Mitsuba" not in again
    assert "trimmed relMSE" in again
    assert str(tmp_path / "again/index.html") in again
    second = json.loads((tmp_path / "again/results.json").read_text())
    values = [[r["value"] for r in rs["rows"] if r["method"] == "noisy"] for rs in (results, second)]
    assert values[0] == values[1]


def test_interrupted_and_resumed(
    write_scene: Callable[..., Path], tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    scene, out = write_scene(tmp_path / "box.xml"), tmp_path / "out"
    options = ["--methods", "noisy", "--spp", "2,4", "--reference-spp", 2560, "--variant", "scalar_rgb", "--json"]
    arguments = [scene, *options, "--cache", tmp_path / "cache", "--out", out]
    running = subprocess.Popen(
        command(*arguments),
        preexec_fn=ctrl_c.heeded,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    reached = 0
    for line in running.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and "reference" in event["text"] and event["done"] >= 3:
            reached = event["done"]
            running.send_signal(signal.SIGINT)
            break
    _, complaint = running.communicate(timeout=60)
    assert running.returncode == 130
    assert complaint == "error: interrupted; run the same command with --resume to go on\n"
    assert reached
    assert run(*arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    events = [json.loads(line) for line in bench(*arguments, "--resume").stdout.splitlines()]
    passes = [e["done"] for e in events if e["event"] == "progress" and "reference" in e["text"]]
    assert all(done > reached for done in passes)  # those before were kept
    assert run(scene, *options, "--cache", tmp_path / "cache2", "--out", tmp_path / "whole") == 0
    rows = [json.loads((o / "results.json").read_text())["rows"] for o in (out, tmp_path / "whole")]
    assert [{**r, "wall_s": 0} for r in rows[0]] == [{**r, "wall_s": 0} for r in rows[1]]


def one_line(done: subprocess.CompletedProcess[str], *says: str) -> None:
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(text in done.stderr for text in says), done.stderr


@pytest.mark.parametrize(("name", "says"), [("living-room", "high_quality_edges"), ("veach-bidir", "path_guiding")])
def test_scenes_that_mitsuba_rejects(name: str, says: str, tmp_path: Path) -> None:
    scene = SHARED / name / "scene.xml"
    if not scene.exists():
        pytest.skip(f"{scene} is not here")
    arguments = [scene, "--methods", "noisy", "--resolution", "16x9", "--variant", "scalar_rgb"]
    done = bench(*arguments, "--cache", tmp_path / "cache", "--out", tmp_path / "out", code=2)
    one_line(done, f"{name}/scene.xml", says)
    assert list(tmp_path.iterdir()) == []


def test_scenes_and_references_that_cannot_be_measured(
    write_scene: Callable[..., Path],
    write_exr: Callable[..., Path],
    tmp_path: Path,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(*arguments: object) -> subprocess.CompletedProcess[str]:
        assert run(*arguments) == 2
        return subprocess.CompletedProcess(arguments, 2, stderr=capsys.readouterr().err)

    place = ["--out", tmp_path / "out", "--cache", tmp_path / "cache", "--variant", "scalar_rgb", "--methods", "noisy"]
    one_line(refused(tmp_path / "gone.xml", *place), "gone.xml")
    broken = tmp_path / "broken.xml"
    broken.write_text("<scene")
    one_line(refused(broken, *place), "broken.xml")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache").exists()

    for n in (1, 2):
        write_scene(tmp_path / f"box.{n:04d}.xml")
        write_exr(tmp_path / f"ref.{n:04d}.exr", np.ones((3, 16, 25), np.float32))
    shot = [tmp_path / "box.####.xml", "--spp", 2, *place, "--reference", tmp_path / "ref.####.exr"]
    one_line(refused(*shot), "24x16 px", "25x16 px")
    one_line(refused(*shot, "--measure", 3), "frame 3 is not among the frames of the shot")
    (tmp_path / "ref.0002.exr").unlink()
    one_line(refused(*shot, "--measure", "1-2"), "frame 2 is not among the references")
    assert not (tmp_path / "out").exists()

    write_exr(tmp_path / "ref.0001.exr", np.ones((3, 16, 24), np.float32), 512)
    assert run(*shot) == 0
    assert "measuring frame 1 of 2 (those with a reference)" in capsys.readouterr().out
    results: dict[str, Any] = json.loads((tmp_path / "out/results.json").read_text())
    assert results["references"] == [{"scene": results["scenes"][0], "frame": 1, "spp": 512, "noise": None}]
    assert os.listdir(tmp_path / "out/images/2spp-seed0") == ["noisy"]
