"""Projections: fitted to what a camera sees, and what they say of points and pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rendernoise.projection import Array, Projection, fit_projection


def pinhole(eye: tuple[float, float, float], turn: float = 0.0, focal: float = 1.2) -> Array:
    """A camera at ``eye`` that looks along +z, turned about y by ``turn`` radians; its film is 1 wide and high."""
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    lens = np.array([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]])
    return lens @ np.concatenate([rotation, -rotation @ np.array(eye)[:, None]], axis=1)


def seen(matrix: Array, points: Array) -> Array:
    """Film positions ``[N, 2]`` of world points ``[N, 3]``."""
    x, y, w = matrix[:, :3] @ points.T + matrix[:, 3:]
    return np.stack([x / w, y / w], axis=1)


def before(matrix: Array, count: int = 60) -> Array:
    """Points before a camera, from 2 to 9 units away."""
    rng = np.random.default_rng(3)
    film = rng.uniform(0.1, 0.9, (count, 2))
    rays = np.concatenate([film, np.ones((count, 1))], axis=1) * rng.uniform(2, 9, (count, 1))
    return (np.linalg.inv(matrix[:, :3]) @ (rays.T - matrix[:, 3:])).T


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_a_pinhole_is_found_again(scale: float) -> None:
    true = pinhole((2.0, -1.0, 0.5), 0.4)
    points = before(true)
    found = fit_projection(points * scale, seen(true, points))
    assert found is not None
    assert np.allclose(found.eye, np.array((2.0, -1.0, 0.5)) * scale, rtol=1e-6)
    # The third row has unit length, so that w is a distance in scene units.
    true_w = (true[2, :3] @ points.T + true[2, 3]) * scale
    assert np.allclose(points * scale @ found.matrix[2, :3] + found.matrix[2, 3], true_w, rtol=1e-6)


def test_ways_lead_from_the_eye_to_what_a_pixel_shows() -> None:
    projection = Projection(pinhole((1.0, 2.0, 3.0), -0.3))
    ways = projection.ways(6, 8)
    points = projection.eye[:, None] + 4.5 * ways.reshape(3, -1)
    v, u = np.mgrid[0:6, 0:8]
    expected = np.stack([(u.ravel() + 0.5) / 8, (v.ravel() + 0.5) / 6], axis=1)
    assert np.allclose(seen(projection.matrix, points.T), expected)
    assert np.allclose(projection.matrix[2, :3] @ points + projection.matrix[2, 3], 4.5)


def test_what_is_no_perspective_has_no_projection() -> None:
    true = pinhole((0.0, 0.0, 0.0))
    points = before(true)
    film = seen(true, points)
    parallel = points[:, :2] * 0.1 + 0.5
    fisheye = 0.5 + (film - 0.5) * (1 + 0.3 * np.square(film - 0.5).sum(1, keepdims=True))
    assert fit_projection(points, film) is not None, "else this test could not fail"
    assert fit_projection(points, parallel) is None
    assert fit_projection(points, fisheye) is None
    assert fit_projection(np.where(points > 1, np.nan, points), film) is None
    assert fit_projection(np.zeros_like(points), film) is None


def test_json_keeps_every_bit() -> None:
    projection = Projection(pinhole((1 / 3, 2e5, 3e-7), 0.123), near=0.1 + 0.2)
    again = Projection.from_json(json.loads(json.dumps(projection.to_json())))
    assert np.array_equal(again.matrix, projection.matrix)
    assert again.near == projection.near
