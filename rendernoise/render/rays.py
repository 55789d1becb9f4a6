"""The projection of a Mitsuba sensor, measured on the rays that it sends."""

from __future__ import annotations

from typing import Any

import numpy as np

from rendernoise.projection import Array, Projection, fit_projection

#: Film positions along each axis at which rays are taken, and how far along them, in units of the scene's size.
_FILM = (0.1, 0.3, 0.5, 0.7, 0.9)
_DISTANCES = (0.1, 0.3, 1.0)


def projection_of(mi: Any, scene: Any, sensor: Any) -> Projection | None:
    """Where the sensor's film sees the world; None for a sensor without perspective, such as a panorama.

    A thin lens has that of the ray through its centre.

    Args:
        mi: The ``mitsuba`` module with a variant set.
        scene: The loaded scene; its size sets how far rays are followed.
        sensor: The loaded sensor.
    """
    box = scene.bbox()
    size = float(np.linalg.norm(np.array(box.max).ravel() - np.array(box.min).ravel()))
    film = np.array([(u, v) for u in _FILM for v in _FILM])
    origins, directions = _rays(mi, sensor, film)
    points = [origins + size * distance * directions for distance in _DISTANCES]
    found = fit_projection(np.concatenate(points), np.concatenate([film] * len(_DISTANCES)))
    if found is None:
        return None
    # Rays start on the near clip plane, and depth counts from there.
    near = origins @ found.matrix[2, :3] + found.matrix[2, 3]
    return Projection(found.matrix, float(np.median(near)))


def _rays(mi: Any, sensor: Any, film: Array) -> tuple[Array, Array]:
    """Origins and directions ``[N, 3]`` of the rays through film positions ``[N, 2]`` and the middle of the lens."""
    if mi.variant().startswith("scalar"):
        rays = [sensor.sample_ray(0.0, 0.5, mi.Point2f(u, v), mi.Point2f(0.5, 0.5))[0] for u, v in film.tolist()]
        return _rows([ray.o for ray in rays]), _rows([ray.d for ray in rays])
    ray = sensor.sample_ray(0.0, 0.5, mi.Point2f(*film.T.astype(np.float32)), mi.Point2f(0.5, 0.5))[0]
    size = (len(film), 3)  # what is the same for all comes once
    return np.broadcast_to(np.array(ray.o, np.float64).T, size), np.broadcast_to(np.array(ray.d, np.float64).T, size)


def _rows(vectors: list[Any]) -> Array:
    return np.array([np.array(vector).ravel() for vector in vectors], np.float64)
