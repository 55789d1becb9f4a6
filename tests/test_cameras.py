"""Cameras of other renderers: fitted to positions whatever is wrong with some, and read from standard attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendernoise.cameras import HEADER_CAMERAS, distances, fit_to_positions, header_cameras
from rendernoise.io.exr import Exr, Part, read_frame, write
from rendernoise.projection import Array, Projection
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from tests.test_projection import pinhole

H, W = 48, 64


def room(projection: Projection, ball: float = 0.0) -> np.ndarray:
    """World positions in a room of a floor and a wall with a ball in it, and 0 for a window; ``[3, H, W]``."""
    ways = projection.ways(H, W).astype(np.float64)
    eye = projection.eye[:, None, None]
    w = np.minimum((9.0 - eye[2]) / ways[2], np.where(ways[1] > 1e-3, (1.5 - eye[1]) / np.maximum(ways[1], 1e-3), 99))
    offset = eye - np.array([ball, 0.4, 6.0])[:, None, None]
    a, b, c = (ways**2).sum(0), (offset * ways).sum(0), (offset**2).sum(0) - 1
    inside = b * b - a * c
    w = np.where(inside > 0, np.minimum(w, (-b - np.sqrt(np.maximum(inside, 0))) / a), w)
    points = eye + ways * w
    points[:, 4:14, 45:58] = 0
    return points


def shown(projection: Projection, points: Array) -> Array:
    x, y, w = projection.matrix[:, :3] @ points + projection.matrix[:, 3:]
    return np.stack([x / w, y / w])


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
def test_a_camera_is_fitted_to_what_it_sees(scale: float) -> None:
    true = Projection(pinhole((0.4, -0.3, 0.2), 0.2))
    found = fit_to_positions((room(true) * scale).astype(np.float32))
    assert found is not None
    assert np.allclose(found.eye / scale, true.eye, atol=1e-3)
    points = room(true)[:, 20:, :].reshape(3, -1)
    assert np.abs((shown(found, points * scale) - shown(true, points)) * W).max() < 0.01


def spoiled(positions: np.ndarray, seed: int) -> np.ndarray:
    """What renderers do: means over edges and with nothing, NaN, a mirror, positions of any place in the pixel."""
    rng = np.random.default_rng(seed)
    spoiled = positions.copy()
    edge = np.zeros((H, W), bool)
    edge[:, 1:] |= np.abs(np.diff(positions, axis=2)).max(0) > 0.3
    edge[:, :-1] |= edge[:, 1:]
    mean = (positions + np.roll(positions, 1, 2) + np.roll(positions, -1, 2)) / 3
    spoiled[:, edge] = mean[:, edge]
    spoiled[:, 30:33, 3:20] = np.nan
    spoiled[:, 20:32, 6:20] = rng.normal(0, 5, (3, 12, 14))  # whatever a mirror shows
    dy, dx = rng.uniform(-0.5, 0.5, (2, H, W))
    right, down = (np.gradient(positions, axis=axis) for axis in (2, 1))
    calm = np.abs(right).max(0) + np.abs(down).max(0) < 0.8
    return np.where(calm, spoiled + right * dx + down * dy, spoiled)


def test_averaged_edges_mirrors_and_nothing_do_not_matter() -> None:
    """20 seeds, no failure: fewer than one in six would be a chance of 5 %."""
    true = Projection(pinhole((0.4, -0.3, 0.2), 0.2))
    for seed in range(20):
        found = fit_to_positions(spoiled(room(true), seed).astype(np.float32))
        assert found is not None
        points = room(true)[:, 20:, :].reshape(3, -1)
        off = np.linalg.norm((shown(found, points) - shown(true, points)) * [[W], [H]], axis=0)
        assert np.median(off) < 0.1
        assert off.max() < 0.7


def test_moving_objects_do_not_matter() -> None:
    true = Projection(pinhole((0.1, 0.0, 0.0)))
    here, there = (fit_to_positions(room(true, ball).astype(np.float32)) for ball in (-0.8, 0.9))
    assert here is not None
    assert there is not None
    assert np.allclose(here.eye, there.eye, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.floats(-2, 2), st.floats(-0.5, 1.0), st.floats(-0.6, 0.6), st.floats(0.7, 3.0))
def test_any_pinhole_is_found(x: float, y: float, turn: float, focal: float) -> None:
    true = Projection(pinhole((x, y, 0.0), turn, focal))
    found = fit_to_positions(room(true).astype(np.float32))
    assert found is not None
    points = room(true)[:, ::3, ::3].reshape(3, -1)
    points = points[:, points.any(0)]
    assert np.abs((shown(found, points) - shown(true, points)) * W).max() < 0.05
    depth = distances(found, room(true).astype(np.float32))[0]
    seen = room(true).any(0)
    assert np.allclose(depth[seen], np.linalg.norm(room(true) - true.eye[:, None, None], axis=0)[seen], rtol=2e-3)
    assert not depth[~seen].any()


@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_a_plane_alone_is_enough_to_warp_by(turn: float) -> None:
    """No camera is the only one that shows a plane so, but each shows it alike."""
    true = Projection(pinhole((0.2, 0.1, 0.0), turn))
    ways = true.ways(H, W)
    points = (true.eye[:, None, None] + ways * ((5 - true.eye[2]) / ways[2])).astype(np.float32)
    found = fit_to_positions(points)
    assert found is not None
    assert np.abs((shown(found, points.reshape(3, -1)) - shown(true, points.reshape(3, -1))) * W).max() < 0.02


def test_what_no_pinhole_shows_is_refused() -> None:
    y, x = np.mgrid[0:H, 0:W] + 0.5
    longitude, latitude = 2 * np.pi * x / W, np.pi * (y / H - 0.5)
    sphere = np.stack([np.sin(longitude) * np.cos(latitude), np.sin(latitude), np.cos(longitude) * np.cos(latitude)])
    distance = 3 + np.sin(3 * longitude) * np.cos(2 * latitude)
    assert fit_to_positions((sphere * distance).astype(np.float32)) is None, "a panorama"
    parallel = np.stack([x / W, y / H, 3 + np.sin(x / 5) * np.cos(y / 7)])
    assert fit_to_positions(parallel.astype(np.float32)) is None, "no eye"
    rng = np.random.default_rng(0)
    assert fit_to_positions(rng.normal(0, 1, (3, H, W)).astype(np.float32)) is None
    assert fit_to_positions(np.zeros((3, H, W), np.float32)) is None
    assert fit_to_positions(np.full((3, H, W), np.nan, np.float32)) is None
    assert fit_to_positions(np.ones((3, 1, 1), np.float32)) is None
    mirrored = room(Projection(pinhole((0.1, 0.0, 0.0))))
    mirrored[:, :, :24] = rng.normal(0, 5, (3, H, 24))
    assert fit_to_positions(mirrored.astype(np.float32)) is None, "hardly more than half of the pixels agree"


RENDERER = AnalyticRenderer((48, 32))


def attributes(projection: Projection, kind: str) -> dict[str, Any]:
    """A camera as a header tells it, with Imath's row vectors."""
    x, y, w = projection.matrix
    if kind == "screen":
        x, y = 2 * x - w, w - 2 * y
    elif kind == "camera":  # x right, y up, z ahead, as wide as the screen window at a distance of 1
        x, y = x - w / 2, w / 2 - y
        wide, high = np.linalg.norm(x[:3]), np.linalg.norm(y[:3])
        camera = np.stack([x / wide, y / high, w, [0, 0, 0, 1]]).T
        window = {"screenWindowWidth": float(1 / wide), "screenWindowCenter": np.zeros(2, np.float32)}
        return {"worldToCamera": np.ascontiguousarray(camera, np.float32), **window}
    return {"worldToNDC": np.ascontiguousarray(np.stack([x, y, 0.3 * w, w]).T, np.float32)}


@pytest.mark.parametrize("kind", ["film", "screen", "camera"])
@pytest.mark.parametrize("crop", [(0, 0, 47, 31), (5, 3, 40, 29), (-4, -2, 51, 35)])
def test_standard_attributes_make_the_round_trip_through_a_file(
    tmp_path: Path, kind: str, crop: tuple[int, int, int, int]
) -> None:
    frame = RENDERER.render(View(1), spp=4, seed=1)
    assert frame.projection is not None
    x0, y0, x1, y1 = crop
    size = (y1 - y0 + 1, x1 - x0 + 1)
    channels = {c: np.ones(size, np.float32) for c in "RGB"}
    part = Part(channels, attributes(frame.projection, kind), data_window=crop, display_window=(0, 0, 47, 31))
    write(tmp_path / "a.exr", Exr((part,)))
    cameras = read_frame(tmp_path / "a.exr").metadata[HEADER_CAMERAS]
    points = frame.planes["position"][:, 20:, ::5].reshape(3, -1).astype(np.float64)
    pixels = shown(frame.projection, points) * [[48], [32]]
    expected = (pixels - np.array([[x0], [y0]])) / [[size[1]], [size[0]]]
    assert np.abs(shown(cameras[0].projection, points) - expected).max() < 1e-4
    assert np.allclose(cameras[0].projection.eye, frame.projection.eye, atol=1e-3)


@pytest.mark.parametrize(
    "value", [None, "text", np.zeros((3, 3)), np.full((4, 4), np.nan), np.eye(4), np.zeros((4, 4))]
)
def test_matrices_that_are_no_camera_are_none(value: Any) -> None:
    assert header_cameras({"worldToNDC": value}, (0, 0, 9, 9), (0, 0, 9, 9)) == ()
