from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rendernoise.render.camera import View, load_path

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools/random_scenes.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    done = run("--out", folder, "--count", 6, "--seed", 40, "--views", 4)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_seed_gives_the_same_bytes_whatever_comes_before_it(scenes: Path, tmp_path: Path):
    assert run("--out", tmp_path, "--count", 1, "--seed", 42, "--views", 4).returncode == 0
    assert digest(tmp_path / "000042") == digest(scenes / "000042")


def test_seeds_differ(scenes: Path):
    folders = sorted(scenes.iterdir())
    assert len({(f / "scene.xml").read_bytes() for f in folders}) == len(folders) == 6


def test_views_are_a_camera_path_with_one_keyframe_each(scenes: Path):
    for folder in scenes.iterdir():
        assert load_path(folder / "views.json").frames == [1, 2, 3, 4]


@pytest.mark.skipif(find_spec("mitsuba") is None, reason="mitsuba is not installed")
def test_scenes_render_finite_and_lit(scenes: Path):
    from rendernoise.render.mitsuba import MitsubaRenderer, SceneOptions

    renderer = MitsubaRenderer(SceneOptions("scalar_rgb", (16, 16), threads=1))
    lit = 0
    for folder in sorted(scenes.iterdir()):
        camera = load_path(folder / "views.json").at(4)
        frame = renderer.render(View(4, camera, folder / "scene.xml"), spp=2, seed=3)
        radiance = frame.planes["radiance"]
        assert np.isfinite(radiance).mean() > 0.99
        lit += np.mean(radiance.max(axis=0) > 0) > 0.5
    assert lit >= 5


@pytest.mark.parametrize("arguments", [("--count", 0), ("--seed", -1), ("--views", 0)])
def test_bad_numbers_are_named_in_one_line(tmp_path: Path, arguments: tuple[str, int]):
    done = run("--out", tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert arguments[0] in done.stderr


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("")
    done = run("--out", file, "--count", 1)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(file) in done.stderr
