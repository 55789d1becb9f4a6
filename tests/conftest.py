"""What several test files need: a tiny Mitsuba scene, analytic shots, and Python in a process of its own."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does; before torch is loaded
if "PYTEST_XDIST_WORKER" in os.environ:
    # Small pictures gain little from threads, and those of several workers wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from rendernoise.config import OnlineConfig
from rendernoise.frame import Frame, FramePair
from rendernoise.render.process import RendererProcess, RendererSpec

_SENSOR = """
  <sensor type="{type}">
    <float name="fov" value="{fov}"/>
    <transform name="to_world"><lookat origin="{origin}" target="0, 0.8, 0" up="0, 1, 0"/></transform>
    {extra}
    {sampler}
    <film type="{film}">
      <integer name="width" value="{width}"/><integer name="height" value="{height}"/>
      {rfilter}
    </film>
  </sensor>"""

_BOX = """
  <bsdf type="diffuse" id="grey"><rgb name="reflectance" value="0.6, 0.55, 0.5"/></bsdf>
  <shape type="rectangle" id="floor">
    <transform name="to_world"><rotate x="1" angle="-90"/><scale value="3"/></transform><ref id="grey"/>
  </shape>
  <shape type="rectangle" id="wall">
    <transform name="to_world"><scale value="3"/><translate z="-2"/></transform>
    <bsdf type="diffuse"><rgb name="reflectance" value="{wall}"/></bsdf>
  </shape>
  <shape type="cube" id="box">
    <transform name="to_world"><scale value="0.5"/><rotate y="1" angle="30"/><translate y="0.5"/></transform>
    <ref id="grey"/>
  </shape>
  <shape type="rectangle" id="light">
    <transform name="to_world">
      <rotate x="1" angle="90"/><scale value="0.7"/><translate y="2.9"/>
    </transform>
    <emitter type="area"><rgb name="radiance" value="12, 11, 9"/></emitter>
  </shape>"""


def _write_scene(
    path: Path,
    *,
    width: int = 24,
    height: int = 16,
    origin: str = "0, 1.2, 4.5",
    wall: str = "0.7, 0.3, 0.2",
    sensor: str = "perspective",
    sampler: str | None = "independent",
    rfilter: str | None = "box",
    film: str = "hdrfilm",
    integrator: str = '<integrator type="path"><integer name="max_depth" value="4"/></integrator>',
    extra: str = "",
) -> Path:
    parts = {
        "type": sensor,
        "origin": origin,
        "fov": 45,
        "film": film,
        "width": width,
        "height": height,
        "sampler": f'<sampler type="{sampler}"/>' if sampler else "",
        "rfilter": f'<rfilter type="{rfilter}"/>' if rfilter else "",
        "extra": '<float name="aperture_radius" value="0.1"/><float name="focus_distance" value="4"/>'
        if sensor == "thinlens"
        else "",
    }
    body = integrator + _SENSOR.format(**parts) + _BOX.format(wall=wall) + extra
    path.write_text(f'<scene version="3.0.0">\n{body}\n</scene>\n')
    return path


@pytest.fixture(scope="session")
def write_scene() -> Callable[..., Path]:
    """Writes a diffuse box under an area light as Mitsuba XML: ``write_scene(path, width=…, sampler=…, …)``."""
    return _write_scene


@pytest.fixture
def shot_files(tmp_path: Path) -> Callable[..., tuple[Path, ...]]:
    """Writes scene files for the analytic renderer, which needs their names alone."""

    def write(frames: int = 3) -> tuple[Path, ...]:
        files = tuple(tmp_path / f"shot.{n:04d}.xml" for n in range(1, frames + 1))
        for file in files:
            file.write_text("<scene version='3.0.0'/>")
        return files

    return write


@pytest.fixture
def analytic() -> Callable[..., Callable[[], RendererProcess]]:
    """``analytic(resolution=(w, h), …)()`` starts the analytic renderer in a process of its own."""

    def make(**arguments: Any) -> Callable[[], RendererProcess]:
        return lambda: RendererProcess(RendererSpec("analytic", arguments))

    return make


@pytest.fixture
def online_config(tmp_path: Path, shot_files: Callable[..., tuple[Path, ...]]) -> Callable[..., OnlineConfig]:
    """Options of a small online run on CPU into ``tmp_path/out``; keywords change them."""

    def make(frames_in_shot: int = 3, **changes: Any) -> OnlineConfig:
        defaults: dict[str, Any] = {
            "scenes": shot_files(frames_in_shot),
            "out": tmp_path / "out",
            "steps": 2,
            "min_steps": 0,
            "spp": 4,
            "device": "cpu",
        }
        return OnlineConfig(**{**defaults, **changes})

    return make


def _run_python(code: str, *arguments: object, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *(str(a) for a in arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment, start_new_session=True
    )


@pytest.fixture(scope="session")
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python code in a process of its own: a Mitsuba variant set there does not reach other tests."""
    return _run_python


@pytest.fixture(scope="module")
def import_tool() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a file of ``tools/`` by its name, as it is when it runs: beside the others there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "tools")
        yield importlib.import_module


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small pictures gain nothing from two threads, and a busy machine makes them wait for each other."""
    import torch  # here, as many tests get by without it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def random_pair() -> Callable[..., FramePair]:
    """A pair of heavy-tailed halves with features: ``random_pair(height, width, number=1, seed=0)``."""

    def make(height: int = 40, width: int = 56, number: int = 1, seed: int = 0) -> FramePair:
        rng = np.random.default_rng([seed, number])
        features = {
            "albedo": rng.random((3, height, width), dtype=np.float32),
            "normal": rng.standard_normal((3, height, width)).astype(np.float32),
            "depth": rng.random((1, height, width), dtype=np.float32) * 10,
        }
        halves = [rng.lognormal(-0.5, 1, (3, height, width)).astype(np.float32) for _ in "ab"]
        a, b = (Frame({"radiance": h, **features}, spp=4, number=number, seed=i) for i, h in enumerate(halves))
        return FramePair.of_halves(a, b)

    return make
