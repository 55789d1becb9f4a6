from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendernoise.errors import InputError
from rendernoise.render.camera import Camera, CameraPath, Keyframe, View, load_path, look_at, save_path
from rendernoise.render.camera_moves import dolly, orbit, orbit_from
from rendernoise.render.spline import interpolate, rotation_from_vector, vector_from_rotation

ROOT = Path(__file__).parents[2]
ORIGINS = [(1, 2, 3), (0, 0, -4), (10.5, -3, 0.25)]

finite = st.floats(-3, 3).map(lambda x: round(x, 3))
vectors = st.tuples(finite, finite, finite)


@st.composite
def paths(draw: st.DrawFn, kinds: tuple[str, ...] = ("look", "matrix")) -> CameraPath:
    gaps = draw(st.lists(st.integers(1, 40), min_size=0, max_size=4))
    numbers = np.cumsum([draw(st.integers(-5, 5)), *gaps])
    keys = []
    for number in numbers.tolist():
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotation_from_vector(np.array(draw(vectors))), draw(vectors)
        look = None
        if draw(st.sampled_from(kinds)) == "look":
            # All look the same way, more or less, so that the path in between is a sane one too.
            origin = np.array(draw(vectors))
            look = np.stack([origin, np.array([0.0, 0.0, 20.0]), np.array([0.0, 1.0, 0.0])])
            matrix = look_at(*look)
        keys.append(Keyframe(number, Camera(matrix, draw(st.floats(10, 100))), look))
    return CameraPath(keys)


def write(tmp_path: Path, keyframes: object) -> Path:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"keyframes": keyframes}))
    return path


def test_camera_and_pixels_are_mitsubas():
    pytest.importorskip("mitsuba")
    code = f"""
import json, numpy as np, mitsuba as mi
mi.set_variant("scalar_rgb")
out = []
for origin in {ORIGINS}:
    to_world = mi.ScalarTransform4f().look_at(list(origin), [0, 0.5, 1], [0, 1, 0.2])
    film = {{"type": "hdrfilm", "width": 4, "height": 3}}
    sensor = mi.load_dict({{"type": "perspective", "to_world": to_world, "fov": 50, "fov_axis": "x", "film": film}})
    corner = mi.Point2f(0.5 / 4, 0.5 / 3)  # the centre of the first pixel
    ray = sensor.sample_ray(0.0, 0.5, corner, mi.Point2f(0.5))[0]
    out.append([np.array(to_world.matrix).tolist(), np.array(ray.d).tolist()])
print(json.dumps(out))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    from rendernoise.render.analytic import AnalyticRenderer

    for origin, (matrix, direction) in zip(ORIGINS, json.loads(done.stdout), strict=True):
        ours = look_at(origin, (0, 0.5, 1), (0, 1, 0.2))
        np.testing.assert_allclose(ours, matrix, atol=2e-6)
        # Look down from high up, so that the first pixel of the analytic renderer surely sees its floor.
        down = ours.copy()
        down[:3, :3] = rotation_from_vector(np.array([np.pi / 2, 0, 0]))
        down[:3, 3] = (0, 10, 0)
        frame = AnalyticRenderer((4, 3)).render(View(1, Camera(down, 50.0)), spp=1, seed=0)
        seen = down[:3, :3].T @ (frame.planes["position"][:, 0, 0] - down[:3, 3])
        np.testing.assert_allclose(seen / np.linalg.norm(seen), ours[:3, :3].T @ direction, atol=1e-5)


def test_look_at_known_values():
    expected = [[-1, 0, 0, 0], [0, 1, 0, 1], [0, 0, -1, 5], [0, 0, 0, 1]]
    np.testing.assert_allclose(look_at((0, 1, 5), (0, 1, 0)), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("target", "up"), [((0, 0, 0), (0, 1, 0)), ((0, 3, 0), (0, 1, 0)), ((0, 0, 1), (0, 0, 0)), ((0, 0, 1), (0, 0, -2))]
)
def test_look_at_refuses_undefined_cameras(target: tuple[int, ...], up: tuple[int, ...]):
    with pytest.raises(InputError):
        look_at((0, 0, 0), target, up)


@given(vectors)
def test_rotation_vectors_round_trip(vector: tuple[float, float, float]):
    rotation = rotation_from_vector(np.array(vector))
    np.testing.assert_allclose(rotation_from_vector(vector_from_rotation(rotation)), rotation, atol=1e-12)
    assert np.linalg.norm(vector_from_rotation(rotation)) <= np.pi + 1e-12


@given(paths())
@settings(max_examples=50, deadline=None)
def test_path_meets_its_keyframes_and_holds_outside(path: CameraPath):
    for key in path.keyframes:
        camera = path.at(key.frame)
        np.testing.assert_allclose(camera.to_world, key.camera.to_world, atol=1e-12)
        assert camera.fov_deg == pytest.approx(key.camera.fov_deg)
    first, last = path.frames[0], path.frames[-1]
    assert path.frames == list(range(path.keyframes[0].frame, path.keyframes[-1].frame + 1))
    np.testing.assert_array_equal(path.at(first - 7.5).to_world, path.at(first).to_world)
    np.testing.assert_array_equal(path.at(last + 100).to_world, path.at(last).to_world)


@given(paths(), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_path_is_rigid_and_fov_stays_between_its_keyframes(path: CameraPath, where: float):
    frame = path.frames[0] + where * (path.frames[-1] - path.frames[0])
    camera = path.at(frame)
    rotation = camera.to_world[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-10)
    assert np.linalg.det(rotation) > 0
    around = [k.camera.fov_deg for k in path.keyframes if k.camera.fov_deg is not None]
    for before, after in zip(path.keyframes, path.keyframes[1:], strict=False):
        if before.frame <= frame <= after.frame:
            around = [c for c in (before.camera.fov_deg, after.camera.fov_deg) if c is not None]
    assert camera.fov_deg is not None
    assert min(around) - 1e-9 <= camera.fov_deg <= max(around) + 1e-9


@pytest.mark.parametrize("kind", ["look", "matrix"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_velocity_is_continuous(kind: str, data: st.DataObject):
    path = data.draw(paths(kinds=(kind,)))
    h = 1e-5
    for key in path.keyframes[1:-1]:
        here = path.at(key.frame).to_world
        before, after = (here - path.at(key.frame - h).to_world) / h, (path.at(key.frame + h).to_world - here) / h
        # A jump in velocity would not shrink with h; accelerations are below about 100 a frame squared here.
        np.testing.assert_allclose(before, after, atol=200 * h)


def test_linear_interpolation_would_fail_the_velocity_test():
    times, values, h = np.array([0.0, 10.0, 20.0]), np.array([[0.0], [1.0], [0.0]]), 1e-5
    jump = (np.interp(10 + h, times, values[:, 0]) + np.interp(10 - h, times, values[:, 0]) - 2) / h
    assert abs(jump) > 200 * h
    smooth = np.ptp(interpolate(times, values, [10 - h, 10, 10 + h])) / h
    assert smooth < 200 * h


@given(st.lists(st.integers(1, 50), min_size=2, max_size=5), vectors, vectors, vectors)
def test_constant_acceleration_is_reproduced_at_uneven_keys(gaps, p, v, a):
    times = np.cumsum([0.0, *gaps])

    def place(t):
        s = np.asarray(t)[:, None] / times[-1]
        return np.array(p) + s * np.array(v) + s**2 * np.array(a)

    steps = np.diff(place(times), axis=0)
    if (np.linalg.norm(steps, axis=1) / np.diff(times) < 1e-9).any():
        return  # a key that repeats its neighbour is a hold, which is no parabola
    fine = np.linspace(0, times[-1], 41)
    np.testing.assert_allclose(interpolate(times, place(times), fine), place(fine), atol=1e-9)


def test_a_long_slow_zoom_before_a_quick_one_does_not_overshoot():
    keys = [Keyframe(n, Camera(np.eye(4), fov)) for n, fov in ((0, 50.0), (100, 51.0), (101, 100.0))]
    fovs = [CameraPath(keys).at(frame).fov_deg for frame in np.linspace(0, 101, 405)]
    assert (np.diff(np.array(fovs, dtype=np.float64)) >= 0).all()


def test_two_matrices_give_an_even_turn():
    turn = np.array([0.3, 2.0, -0.5])
    poses = [np.eye(4), np.eye(4)]
    poses[1][:3, :3] = rotation_from_vector(turn)
    path = CameraPath([Keyframe(n, Camera(m)) for n, m in zip((0, 10), poses, strict=True)])
    for frame in range(11):
        np.testing.assert_allclose(path.at(frame).to_world[:3, :3], rotation_from_vector(turn * frame / 10), atol=1e-12)


def test_steady_rotation_stays_steady_through_uneven_matrices():
    times, spin = (0, 4, 6, 20), np.array([0.02, 0.1, 0.0])
    keys = []
    for time in times:
        pose = np.eye(4)
        pose[:3, :3] = rotation_from_vector(spin * time)
        keys.append(Keyframe(time, Camera(pose)))
    for frame in np.linspace(0, 20, 33):
        np.testing.assert_allclose(
            CameraPath(keys).at(frame).to_world[:3, :3], rotation_from_vector(spin * frame), atol=1e-12
        )


def test_a_repeated_pose_is_held(tmp_path: Path):
    rest = {"origin": [0, 0, 5], "target": [0, 0, 0]}
    keys = [{"frame": 1, **rest}, {"frame": 10, **rest}, {"frame": 20, "origin": [3, 0, 5], "target": [1, 0, 0]}]
    path = load_path(write(tmp_path, keys))
    np.testing.assert_array_equal(path.at(5.5).to_world, path.at(1).to_world)


def test_mixed_kinds_become_matrices(tmp_path: Path):
    matrix = look_at((3, 1, 3), (0, 0, 0))
    keys = [{"frame": 1, "origin": [0, 0, 5], "target": [0, 0, 0]}, {"frame": 9, "matrix": matrix.tolist()}]
    path = load_path(write(tmp_path, keys))
    np.testing.assert_allclose(path.at(1).to_world, look_at((0, 0, 5), (0, 0, 0)), atol=1e-12)
    np.testing.assert_allclose(path.at(9).to_world, matrix, atol=1e-12)
    np.testing.assert_allclose(path.at(5).to_world[:3, 3], (1.5, 0.5, 4), atol=1e-12)
    assert path.at(5).fov_deg is None


def test_even_scale_and_rounding_are_taken_out_of_a_matrix(tmp_path: Path):
    matrix = look_at((3, 1, 3), (0, 0, 0))
    scaled = matrix @ np.diag([2.0, 2.0, 2.0, 1.0])
    path = load_path(write(tmp_path, [{"frame": 1, "matrix": np.round(scaled, 4).tolist()}]))
    np.testing.assert_allclose(path.at(1).to_world, matrix, atol=2e-4)
    rotation = path.at(1).to_world[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-14)


LOOK = {"origin": [0, 0, 5], "target": [0, 0, 0]}
KEY = {"frame": 1, **LOOK}
EYE = np.eye(4).tolist()


@pytest.mark.parametrize(
    ("keyframes", "words"),
    [
        ([], "no keyframes"),
        ("soon", "keyframes"),
        ([3], "keyframe 1: not an object"),
        ([LOOK], "no frame number"),
        ([{**KEY, "frame": 1.5}], "whole number"),
        ([{**KEY, "frame": True}], "whole number"),
        ([{**KEY, "frame": 10**40}], "whole number"),
        ([KEY, KEY], "stands twice"),
        ([{**KEY, "frame": 5}, KEY], "frame 1 follows frame 5"),
        ([KEY, {**KEY, "frame": 2_000_000}], "more than"),
        ([{**KEY, "origin": [0, 0, float("nan")]}], "origin is not 3 finite numbers"),
        ([{**KEY, "origin": [0, 0, 10**400]}], "origin is not 3 finite numbers"),
        ([{**KEY, "origin": [0, 0, "1"]}], "origin is not 3 finite numbers"),
        ([{**KEY, "origin": [0, 0]}], "origin is not 3 finite numbers"),
        ([{**KEY, "target": None}], "target is not"),
        ([{**KEY, "target": [0, 0, 5]}], "same point"),
        ([{**KEY, "up": [0, 0, -2]}], "parallel"),
        ([{**KEY, "up": [0, 0, 0]}], "up is zero"),
        ([{"frame": 1, "origin": [0, 0, 1]}], "no target"),
        ([{"frame": 1}], "no origin"),
        ([{**KEY, "matrix": EYE}], "matrix and origin together"),
        ([{"frame": 1, "matrix": np.diag([1, 1, 0, 1]).tolist()}], "singular"),
        ([{"frame": 1, "matrix": np.zeros((4, 4)).tolist()}], "singular"),
        ([{"frame": 1, "matrix": np.diag([-1, 1, 1, 1]).tolist()}], "mirrors"),
        ([{"frame": 1, "matrix": np.diag([1, 2, 1, 1]).tolist()}], "stretches"),
        ([{"frame": 1, "matrix": EYE[:3]}], "4x4"),
        ([{"frame": 1, "matrix": [[1], [2, 3], [4], [5]]}], "4x4"),
        ([{**KEY, "fov": 180}], "between 0 and 180"),
        ([{**KEY, "fov": 0}], "between 0 and 180"),
        ([{**KEY, "fov": "wide"}], "fov is not a finite number"),
        ([{**KEY, "fov": 50}, {**KEY, "frame": 2}], "some keyframes have a fov"),
        ([{**KEY, "focal": 50}], "unknown key 'focal'"),
        ([KEY, {"frame": 3, "origin": [0, 0, -5], "target": [0, 0, 0]}], "at frame 2"),
    ],
)
def test_bad_keyframes_are_one_clear_line(tmp_path: Path, keyframes: object, words: str):
    path = write(tmp_path, keyframes)
    with pytest.raises(InputError) as caught:
        load_path(path)
    message = str(caught.value)
    assert words in message
    assert str(path) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"keyframes": [\n{"frame": 1,}]}', "line 2"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "keyframes"),
        (b'{"keyframes": [], "loop": true}', "unknown key 'loop'"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "camera.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load_path(path)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.json: No such file"):
        load_path(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match=str(tmp_path)):
        load_path(tmp_path)


@pytest.mark.parametrize("up", [(0, 1, 0), (0, 0, 1), (1, 1, 1)])
def test_orbit_is_a_circle_that_looks_at_its_centre(tmp_path: Path, up: tuple[int, ...]):
    center, axis = np.array([1.0, 2.0, 3.0]), np.array(up) / np.linalg.norm(up)
    path = tmp_path / "camera.json"
    save_path(path, orbit(center, 4.0, 1.5, frames=49, degrees=360, fov=40, up=up))
    loaded = load_path(path)
    assert loaded.frames == list(range(1, 50))
    for frame in np.linspace(1, 49, 97):
        camera = loaded.at(frame)
        offset = camera.to_world[:3, 3] - center
        assert offset @ axis == pytest.approx(1.5, abs=1e-6)
        assert np.linalg.norm(offset - axis * 1.5) == pytest.approx(4, rel=1e-3)
        np.testing.assert_allclose(camera.to_world[:3, 2], -offset / np.linalg.norm(offset), atol=1e-6)
        assert camera.fov_deg == pytest.approx(40)
    np.testing.assert_allclose(loaded.at(1).to_world, loaded.at(49).to_world, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 7, 48])
@pytest.mark.parametrize("center", [(0, 0, 0), (5, 1, -2), (2, 3, 9)])
def test_orbit_from_a_rolled_camera_meets_it_in_the_middle(tmp_path: Path, frames: int, center: tuple[int, ...]):
    start = look_at((2, 3, 6), (0, 0, 0), (0.3, 1, 0))
    path = tmp_path / "camera.json"
    save_path(path, orbit_from(start, center, frames=frames, degrees=-70))
    loaded = load_path(path)
    assert loaded.frames == list(range(1, frames + 1))
    np.testing.assert_allclose(loaded.at((frames + 1) // 2).to_world, start, atol=1e-7)
    for frame in loaded.frames:  # a rigid turn around +Y, the axis nearest to up
        turn = loaded.at(frame).to_world[:3, :3] @ start[:3, :3].T
        angle = np.radians(-70 * (frame - (frames + 1) // 2) / max(frames - 1, 1))
        np.testing.assert_allclose(turn, rotation_from_vector(np.array([0, angle, 0])), atol=2e-3)


def test_dolly_starts_at_the_camera_and_keeps_its_direction(tmp_path: Path):
    start = look_at((2, 3, 6), (0, 0, 0), (0.3, 1, 0))
    path = tmp_path / "camera.json"
    save_path(path, dolly(start, frames=11, distance=2.0, offset=(0, 0.5, 0), focus=7.0, fov=55))
    loaded = load_path(path)
    assert len(loaded.frames) == 11
    np.testing.assert_allclose(loaded.at(1).to_world, start, atol=1e-7)
    for frame in loaded.frames:
        moved = start[:3, 3] + (start[:3, 2] * 2 + [0, 0.5, 0]) * (frame - 1) / 10
        np.testing.assert_allclose(loaded.at(frame).to_world[:3, 3], moved, atol=1e-7)
        np.testing.assert_allclose(loaded.at(frame).to_world[:3, :3], start[:3, :3], atol=1e-7)


def test_moves_refuse_what_cannot_work(tmp_path: Path):
    with pytest.raises(InputError):
        orbit((0, 0, 0), 1, 1, frames=0)
    with pytest.raises(InputError):
        orbit_from(np.eye(4), (0, 0, 1), frames=3, degrees=float("inf"))
    with pytest.raises(InputError):
        dolly(np.eye(4), frames=0)
    with pytest.raises(InputError, match="mirrors"):
        dolly(np.diag([-1, 1, 1, 1]), frames=2)
    with pytest.raises(InputError, match="same point"):
        save_path(tmp_path / "camera.json", dolly(np.eye(4), frames=2, focus=0.0))
    assert not list(tmp_path.iterdir())


def test_importing_cameras_stays_light():
    code = (
        "import sys, rendernoise.render.camera_moves; print(sorted({'mitsuba', 'torch', 'OpenEXR'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
