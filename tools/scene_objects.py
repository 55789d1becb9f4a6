"""Things that several scenes use: chairs, fruit, cloth, fur and grass."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scene_meshes import Mesh, box, lathe, merge, surface
from scene_textures import fractal, grid


def cloth(width: float, depth: float, n: int, rng: Generator, height: float) -> Mesh:
    """A crumpled cloth that lies on y = 0 and faces up."""
    u, v = grid(n)
    rise = height * fractal(u * 0.9, v * 0.9, 3, 3, rng, 3) ** 1.5
    ripple = 0.03 * width * (fractal(u, v, 2, 2, rng, 2) - 0.5)
    points = np.stack([(u - 0.5) * width + ripple, rise + 0.01, (0.5 - v) * depth + ripple], -1)
    return surface(points)


def fruit(radius: float, rng: Generator, squash: float = 0.94, points: int = 16) -> Mesh:
    """A slightly dented round fruit with a dimple on top, resting on y = 0."""
    theta = np.linspace(0, np.pi, points)
    bump = 1 + 0.02 * rng.standard_normal(points).cumsum() / 4
    dimple = 1 - 0.22 * np.exp(-(((np.pi - theta) / 0.28) ** 2))
    profile = np.stack([np.sin(theta) * bump, squash * (1 - np.cos(theta) * dimple)], -1) * radius
    return lathe(profile.tolist(), segments=20, steps=1)


def chair() -> Mesh:
    """A dining chair that faces +z, its seat 0.46 m high."""
    legs = [box((0.04, 0.45, 0.04), (x, 0.225, z), 0.008, uv=0.6) for x in (-0.19, 0.19) for z in (-0.19, 0.19)]
    posts = [box((0.035, 0.5, 0.035), (x, 0.68, -0.2), 0.008, uv=0.6) for x in (-0.18, 0.18)]
    slats = [box((0.36, 0.07, 0.02), (0, y, -0.2), 0.008, uv=0.6) for y in (0.62, 0.74, 0.88)]
    return merge(*legs, *posts, *slats, box((0.44, 0.04, 0.44), (0, 0.455, 0), 0.015, uv=0.6))


def fur(count: int, radius: float, length: float, rng: Generator) -> NDArray[np.float64]:
    """Hairs of 4 control points over a ball at the origin, combed down and a little curly."""
    i = np.arange(count) + 0.5
    y, turn = 1 - 2 * i / count, np.pi * (1 + 5**0.5) * i
    ring = np.sqrt(1 - y * y)
    normal = np.stack([ring * np.cos(turn), y, ring * np.sin(turn)], -1)
    down = np.array([0, -1.0, 0]) - normal * -normal[:, 1:2]
    jitter = 0.45 * rng.standard_normal((count, 3))
    reach = length * rng.uniform(0.7, 1.15, (count, 1))
    strand = []
    for t in np.linspace(-0.2, 1, 4):
        bend = normal * t + (0.75 * down + jitter) * max(t, 0) ** 2 * 0.7
        width = np.full((count, 1), 0.010 * (1.15 - max(t, 0)))
        strand.append(np.concatenate([normal * radius + reach * bend, width], 1))
    return np.stack(strand, 1)


def grass(count: int, rng: Generator) -> NDArray[np.float64]:
    """Blades of 4 control points on y = 0 around the origin, denser near it."""
    r, a = 6.5 * rng.random(count) ** 0.75, 2 * np.pi * rng.random(count)
    root = np.stack([r * np.cos(a), 0 * r, r * np.sin(a)], -1)
    lean = 0.35 * rng.standard_normal((count, 3)) * (1, 0, 1)
    tall = rng.uniform(0.15, 0.5, (count, 1))
    strand = [
        np.concatenate([root + tall * (np.array([0, t, 0]) + lean * t * t), np.full((count, 1), 0.016 * (1.1 - t))], 1)
        for t in (-0.1, 0.3, 0.7, 1.0)
    ]
    return np.stack(strand, 1)
