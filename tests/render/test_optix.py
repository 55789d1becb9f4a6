"""OptiX through Mitsuba: what can be checked without a GPU, and the real thing where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rendernoise.errors import InputError, SceneError
from rendernoise.frame import Frame
from rendernoise.render.camera import Camera, View, look_at
from rendernoise.render.optix import VARIANT, MitsubaOptix, in_sensor_space, view_to_world
from rendernoise.render.probe import probe_variant

Write = Callable[..., Path]

gpu = pytest.mark.skipif(not probe_variant(VARIANT).works, reason="no CUDA device renders here")


def flat(value: tuple[float, float, float], height: int = 2, width: int = 3) -> np.ndarray:
    return np.broadcast_to(np.array(value, np.float32)[:, None, None], (3, height, width))


@pytest.mark.skipif(probe_variant(VARIANT).works, reason="there is a CUDA device here")
def test_without_cuda_it_refuses_in_one_line() -> None:
    with pytest.raises(InputError, match="needs a CUDA device, and none answers") as caught:
        MitsubaOptix()
    line = str(caught.value)
    assert "\n" not in line
    assert line.endswith("Leave mitsuba-optix out, or see rendernoise doctor")


def test_what_faces_the_camera_points_backward_in_its_space() -> None:
    to_world = look_at([3, 2, 5], [1, 0, 0], [0.3, 1, 0])
    towards = np.array([2, 2, 5]) / np.linalg.norm([2, 2, 5])
    np.testing.assert_allclose(in_sensor_space(flat(tuple(towards)), to_world), flat((0, 0, -1)), atol=1e-6)


def test_a_normal_keeps_its_length_and_zero_stays_zero() -> None:
    normal = np.random.default_rng(0).standard_normal((3, 5, 7)).astype(np.float32)
    normal[:, 2, 3] = 0
    turned = in_sensor_space(normal, look_at([3, 2, 5], [1, 0, 0]))
    assert turned.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(turned, axis=0), np.linalg.norm(normal, axis=0), rtol=1e-5)
    assert not turned[:, 2, 3].any()


def test_the_sensor_of_a_scene_is_found_without_loading_it(tmp_path: Path, write_scene: Write, run_python) -> None:
    scene = write_scene(tmp_path / "scene.xml", origin="0, 1.2, 4.5")
    code = """
import sys, json
from pathlib import Path
from rendernoise.render.camera import View
from rendernoise.render.mitsuba import start_variant
from rendernoise.render.optix import view_to_world
mi = start_variant("scalar_rgb")
print(json.dumps(view_to_world(mi, "scalar_rgb", View(1, None, Path(sys.argv[1]))).tolist()))
"""
    done = run_python(code, scene)
    assert done.returncode == 0, done.stderr
    found = np.array(json.loads(done.stdout))
    np.testing.assert_allclose(found, look_at([0, 1.2, 4.5], [0, 0.8, 0]), atol=1e-6)


def test_a_view_with_a_camera_needs_no_scene() -> None:
    camera = Camera(look_at([3, 2, 5], [1, 0, 0]))
    assert view_to_world(None, VARIANT, View(1, camera)) is camera.to_world
    with pytest.raises(SceneError, match="names neither a camera nor a scene"):
        view_to_world(None, VARIANT, View(1))


@gpu
@pytest.mark.gpu
def test_noise_goes_down_with_and_without_guides() -> None:
    rng = np.random.default_rng(0)
    truth = np.where(np.arange(96) < 48, np.float32(0.2), np.float32(3.0)) * np.ones((3, 64, 1), np.float32)
    noisy = (truth * rng.gamma(2, 0.5, truth.shape)).astype(np.float32)
    frame = Frame({"radiance": noisy})
    guided = frame.with_planes(albedo=(truth / 4).astype(np.float32), normal=flat((0, 0, 1), 64, 96).copy())
    view = View(1, Camera(look_at([0, 0, 5], [0, 0, 0])))
    optix = MitsubaOptix()

    def error(image: np.ndarray) -> float:
        assert image.shape == truth.shape
        assert image.dtype == np.float32
        return float(np.mean((image - truth) ** 2 / (truth**2 + 0.01)))

    noise = error(noisy)
    for given, seen in ((frame, None), (guided, None), (guided, view)):
        assert error(optix(given, seen)) < 0.2 * noise
        assert optix.execute_s > 0
    first, again = (optix(guided, view) for _ in range(2))
    np.testing.assert_allclose(first, again, rtol=1e-3, atol=1e-4)
    assert optix(Frame({"radiance": noisy[:, :33, :47].copy()})).shape == (3, 33, 47)
    optix.close()
    optix.close()
