from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rendernoise.render.camera import load_path, look_at

pytestmark = pytest.mark.skipif(find_spec("mitsuba") is None, reason="mitsuba is not installed")

ROOT = Path(__file__).parents[1]
EYE, TARGET, UP = (2.0, 3.0, 6.0), (0.0, 0.0, 0.0), (0.2, 1.0, 0.0)
SENSOR = """<sensor type="perspective"><float name="fov" value="40"/><string name="fov_axis" value="x"/>
  <transform name="to_world">{transform}</transform></sensor>"""
LOOK = '<lookat origin="2,3,6" target="{target}" up="0.2,1,0"/>'
BALL = '<shape type="sphere"/>'


def scene(tmp_path: Path, *parts: str) -> Path:
    path = tmp_path / "scene.xml"
    path.write_text(f'<scene version="3.0.0">{"".join(parts)}</scene>')
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools/camera_path.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_orbit_turns_around_what_the_camera_sees(tmp_path: Path):
    out = tmp_path / "camera.json"
    source = scene(tmp_path, SENSOR.format(transform=LOOK.format(target="0,0,0")), BALL)
    done = run("orbit", source, "--out", out, "--degrees", 40, "--frames", 48)
    assert done.returncode == 0, done.stderr
    path = load_path(out)
    assert path.frames == list(range(1, 49))
    np.testing.assert_allclose(path.at(24).to_world, look_at(EYE, TARGET, UP), atol=1e-5)
    surface = np.array(EYE) / np.linalg.norm(EYE)  # where the centre ray meets the unit ball
    for frame in path.frames:
        camera = path.at(frame)
        assert camera.fov_deg == pytest.approx(40, abs=1e-4)
        to_center = surface - camera.to_world[:3, 3]
        np.testing.assert_allclose(camera.to_world[:3, 2], to_center / np.linalg.norm(to_center), atol=1e-5)
    ends = [path.at(f).to_world[:3, 3] - surface for f in (1, 48)]
    turned = np.diff([np.arctan2(x, z) for x, _, z in ends])
    assert np.degrees(turned)[0] == pytest.approx(40, abs=0.01)


def test_dolly_by_a_share_of_the_way(tmp_path: Path):
    out = tmp_path / "camera.json"
    source = scene(tmp_path, SENSOR.format(transform=LOOK.format(target="0,0,0")), BALL)
    done = run("dolly", source, "--out", out, "--distance", "50%", "--frames", 5)
    assert done.returncode == 0, done.stderr
    path = load_path(out)
    np.testing.assert_allclose(path.at(1).to_world, look_at(EYE, TARGET, UP), atol=1e-5)
    travelled = path.at(5).to_world[:3, 3] - EYE
    assert np.linalg.norm(travelled) == pytest.approx((7 - 1) / 2, rel=1e-5)
    assert travelled @ look_at(EYE, TARGET, UP)[:3, 2] == pytest.approx(3, rel=1e-5)


def test_a_ray_that_misses_orbits_the_middle_of_the_scene_and_existing_files_stay(tmp_path: Path):
    out = tmp_path / "camera.json"
    source = scene(tmp_path, SENSOR.format(transform=LOOK.format(target="5,0,0")), BALL)
    assert run("orbit", source, "--out", out, "--frames", 9).returncode == 0
    path = load_path(out)
    distances = [np.linalg.norm(path.at(f).to_world[:3, 3]) for f in path.frames]
    np.testing.assert_allclose(distances, 7, rtol=1e-3)
    np.testing.assert_allclose(path.at(5).to_world, look_at(EYE, (5, 0, 0), UP), atol=1e-5)
    before = out.read_bytes()
    refused = run("dolly", source, "--out", out)
    assert (refused.returncode, out.read_bytes()) == (2, before)
    assert "--overwrite" in refused.stderr


@pytest.mark.parametrize(
    ("parts", "arguments", "words"),
    [
        (["<shape"], ["orbit"], "scene.xml"),
        (['<shape type="nonsense"/>'], ["orbit"], "nonsense"),
        ([BALL], ["orbit"], "no camera"),
        ([SENSOR.format(transform='<scale x="-1"/>'), BALL], ["orbit"], "mirrors"),
        (
            [SENSOR.format(transform=LOOK.format(target="0,0,0")), BALL],
            ["dolly", "--distance", "far"],
            "--distance far",
        ),
        ([SENSOR.format(transform=LOOK.format(target="0,0,0")), BALL], ["dolly", "--frames", "0"], "0 frames"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, parts: list[str], arguments: list[str], words: str):
    out = tmp_path / "camera.json"
    done = run(arguments[0], scene(tmp_path, *parts), "--out", out, *arguments[1:])
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_missing_scene(tmp_path: Path):
    done = run("orbit", tmp_path / "none.xml", "--out", tmp_path / "camera.json")
    assert done.returncode == 2
    assert "no such file" in done.stderr
