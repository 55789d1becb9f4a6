"""The project's own scenes load, render, keep their cameras inside, and come out of their generator unchanged."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from rendernoise.io.exr import read_frame
from rendernoise.metrics.relative import reference_noise
from rendernoise.render.camera import load_path

ROOT = Path(__file__).resolve().parent.parent
SCENES = ROOT / "scenes"
NAMES = ("glassware", "room", "caustics", "terrace", "fog")
PATHS = {"glassware": (1, 24), "room": (1, 48), "terrace": (1, 24)}

# Runs in a process of its own, so that the variant does not leak into other tests. Prints one JSON object.
RENDER = """
import json, sys
import mitsuba as mi
import numpy as np
mi.set_variant("scalar_rgb")
mi.set_log_level(mi.LogLevel.Error)
report = {}
for path in sys.argv[1:]:
    image = np.array(mi.render(mi.load_file(path, resx=16, resy=9, spp=1), seed=1))
    report[path] = {
        "shape": image.shape, "finite": bool(np.isfinite(image).all()),
        "lit": float((image.max(axis=-1) > 0).mean()), "mean": float(image.mean()),
    }
print(json.dumps(report))
"""

# Distance to the nearest thing in 400 directions, for each camera position read from stdin.
CLEARANCE = """
import json, sys
import mitsuba as mi
import numpy as np
mi.set_variant("scalar_rgb")
mi.set_log_level(mi.LogLevel.Error)
scene = mi.load_file(sys.argv[1])
rays = np.random.default_rng(5).normal(size=(400, 3))
rays /= np.linalg.norm(rays, axis=1, keepdims=True)
nearest = []
for origin in json.load(sys.stdin):
    hits = [scene.ray_intersect_preliminary(mi.Ray3f(origin, ray.tolist())).t for ray in rays]
    nearest.append(float(min(hits)))
print(json.dumps(nearest))
"""

needs_mitsuba = pytest.mark.skipif(importlib.util.find_spec("mitsuba") is None, reason="mitsuba is not installed")


def _python(code: str, *arguments: str, stdin: str = "") -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@needs_mitsuba
def test_every_scene_renders() -> None:
    paths = [str(SCENES / name / "scene.xml") for name in NAMES]
    report = json.loads(_python(RENDER, *paths).splitlines()[-1])
    assert list(report) == paths
    for path, image in report.items():
        assert image["shape"] == [9, 16, 3], path
        assert image["finite"], path
        assert image["lit"] > 0.5, f"{path}: {image['lit']:.0%} of the pixels are not black"
        assert 0.02 < image["mean"] < 5, path


@pytest.mark.parametrize("name", NAMES)
def test_scene_file_follows_the_protocol(name: str) -> None:
    root = ET.parse(SCENES / name / "scene.xml").getroot()
    assert root.get("version") == "3.0.0"
    kinds = {node.tag: node.get("type") for node in root.iter() if node.tag in {"sampler", "rfilter", "film"}}
    assert kinds == {"sampler": "independent", "rfilter": "box", "film": "hdrfilm"}
    files = [str(node.get("value")) for node in root.iter("string") if node.get("name") == "filename"]
    assert files
    assert [file for file in files if not (SCENES / name / file).is_file()] == []
    folder = {p.relative_to(SCENES / name).as_posix() for p in (SCENES / name).glob("*/*")}
    assert folder == set(files), "files that no scene uses, or the other way round"


@pytest.mark.parametrize("name", PATHS)
def test_camera_paths(name: str) -> None:
    data = json.loads((SCENES / name / "camera.json").read_text(encoding="utf-8"))
    frames = [key["frame"] for key in data["keyframes"]]
    assert all(a < b for a, b in pairwise(frames))
    assert (frames[0], frames[-1]) == PATHS[name]
    path = load_path(SCENES / name / "camera.json")
    matrices = np.stack([path.at(frame).to_world for frame in range(frames[0], frames[-1] + 1)])
    forward, origin = matrices[:, :3, 2], matrices[:, :3, 3]
    turn = np.degrees(np.arccos(np.clip((forward[1:] * forward[:-1]).sum(1), -1, 1)))
    step = np.linalg.norm(np.diff(origin, axis=0), axis=1)
    assert turn.max() < 7, "the camera turns too fast to look smooth"
    assert step.min() > 0
    assert step.max() < 3 * np.median(step)


def test_scene_starts_where_its_path_starts() -> None:
    for name in PATHS:
        key = json.loads((SCENES / name / "camera.json").read_text(encoding="utf-8"))["keyframes"][0]
        sensor = ET.parse(SCENES / name / "scene.xml").getroot().find("sensor")
        assert sensor is not None
        look = sensor.find("transform/lookat")
        fov = sensor.find("float[@name='fov']")
        assert look is not None
        assert fov is not None
        for word in ("origin", "target"):
            numbers = [float(number) for number in look.get(word, "").split(",")]
            np.testing.assert_allclose(numbers, key[word], atol=2e-4, err_msg=f"{name} {word}")
        assert float(fov.get("value", "0")) == key["fov"]


@needs_mitsuba
@pytest.mark.parametrize(("name", "numbers"), [("camera", range(1, 49)), ("flythrough", range(1, 1001, 4))])
def test_flythroughs_keep_clear_of_walls_and_furniture(name: str, numbers: range) -> None:
    path = load_path(SCENES / "room" / f"{name}.json")
    origins = [path.at(frame).to_world[:3, 3].tolist() for frame in numbers]
    low, high = np.min(origins, axis=0), np.max(origins, axis=0)
    assert (low > [-3, 0, -2.5]).all()
    assert (high < [3, 2.7, 2.5]).all()
    nearest = json.loads(_python(CLEARANCE, str(SCENES / "room" / "scene.xml"), stdin=json.dumps(origins)))
    assert len(nearest) == len(numbers)
    assert min(nearest) > 0.25, "the camera comes closer than 25 cm to something"


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenes")
    command = [sys.executable, str(ROOT / "tools" / "make_scenes.py"), "--out", str(out)]
    subprocess.run(command, check=True, timeout=120)
    return out


def _generated(folder: Path) -> list[str]:
    # Scenes are written by hand, references are rendered.
    files = (p for p in folder.glob("*/**/*") if p.is_file() and p.name != "scene.xml" and p.suffix != ".exr")
    return sorted(p.relative_to(folder).as_posix() for p in files)


def test_the_shot_of_changes_follows_the_protocol() -> None:
    folder = SCENES / "changes"
    frames = sorted(folder.glob("shot.*.xml"))
    assert len(frames) == 12
    used: set[str] = set()
    for path in frames:
        root = ET.parse(path).getroot()
        kinds = {node.tag: node.get("type") for node in root.iter() if node.tag in {"sampler", "rfilter", "film"}}
        assert kinds == {"sampler": "independent", "rfilter": "box", "film": "hdrfilm"}
        used |= {str(node.get("value")) for node in root.iter("string") if node.get("name") == "filename"}
    assert used == {p.relative_to(folder).as_posix() for p in folder.glob("textures/*")}
    for number in (4, 5, 9):
        frame = read_frame(folder / f"reference.{number:04d}.exr")
        assert frame.spp >= 1024
        assert 0 < reference_noise(frame.radiance, frame.planes["variance"]) < 0.002


@pytest.mark.parametrize("name", NAMES)
def test_references_are_clean_and_know_their_noise(name: str) -> None:
    """At least 3072 spp, and an own share of relMSE that leaves room to rank denoisers at 16 spp."""
    paths = sorted((SCENES / name).glob("reference.*.exr"))
    assert paths
    for path in paths:
        frame = read_frame(path)
        assert frame.spp >= 3072
        assert np.isfinite(frame.radiance).all()
        assert 0 < reference_noise(frame.radiance, frame.planes["variance"]) < 0.005


def test_generator_reproduces_the_files(rewritten: Path) -> None:
    assert _generated(rewritten) == _generated(SCENES)
    for name in _generated(SCENES):
        old, new = SCENES / name, rewritten / name
        if old.read_bytes() == new.read_bytes():
            continue
        # Another zlib packs the same pixels differently, and another libm may round a last digit the other way.
        if old.suffix == ".png":
            difference = np.abs(iio.imread(old).astype(int) - iio.imread(new).astype(int))
            assert (difference > 0).mean() < 1e-3, name
        elif old.suffix in {".ply", ".hdr"}:
            assert len(old.read_bytes()) == len(new.read_bytes()), name
            a, b = (np.frombuffer(p.read_bytes(), np.uint8) for p in (old, new))
            assert (a != b).mean() < 1e-3, name
        elif old.suffix == ".xml":  # where cameras stand and textures lie
            assert old.read_text() == new.read_text(), name
        else:
            assert old.suffix == ".txt", name
            np.testing.assert_allclose(np.loadtxt(old), np.loadtxt(new), atol=2e-4, err_msg=name)


def test_generator_is_deterministic(rewritten: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_scenes.py"), "--out", str(tmp_path), "fog", "terrace"]
    subprocess.run(command, check=True, timeout=120)
    assert _generated(tmp_path)
    for name in _generated(tmp_path):
        assert (tmp_path / name).read_bytes() == (rewritten / name).read_bytes(), name


def test_generator_names_an_unknown_scene(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_scenes.py"), "--out", str(tmp_path), "kitchen"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no scene kitchen" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_scenes_stay_small() -> None:
    files = [p for p in SCENES.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files if p.suffix != ".exr") < 3_100_000
    assert sum(p.stat().st_size for p in files if p.suffix == ".exr") < 6_000_000
