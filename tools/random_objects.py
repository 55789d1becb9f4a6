"""Things that stand in the random scenes: random primitives, vessels, furniture, plants and walls with openings."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scene_meshes import Array, Mesh, box, curve, cushion, lathe, leaf, merge, place, surface, torus, tube, turned
from scene_objects import chair, cloth, fruit

#: Vessels and lenses as pairs of (radius, height), closed so that they can be glass; equal pairs make a crease.
TUMBLER = [0, 0, 0.42, 0, 0.42, 0, 0.46, 0.05, 0.54, 1.1, 0.54, 1.1, 0.51, 1.12, 0.49, 1.1, 0.49, 1.1]
TUMBLER += [0.42, 0.16, 0.42, 0.16, 0, 0.16]
GOBLET = [0, 0, 0.4, 0, 0.4, 0, 0.42, 0.04, 0.08, 0.12, 0.06, 0.7, 0.4, 1.0, 0.44, 1.5, 0.44, 1.5, 0.42, 1.5, 0.42, 1.5]
GOBLET += [0.38, 1.02, 0, 0.8]
BOWL = [0, 0, 0.34, 0, 0.34, 0, 0.3, 0.06, 0.7, 0.28, 0.92, 0.58, 0.92, 0.58, 0.88, 0.59, 0.88, 0.59]
BOWL += [0.66, 0.32, 0.3, 0.15, 0, 0.14]
GEM = [0, 0, 0.6, 0.46, 0.6, 0.46, 0.6, 0.52, 0.6, 0.52, 0.34, 0.74, 0.34, 0.74, 0, 0.74]
LENS = [0, 0, 0.5, 0, 0.5, 0, 0.53, 0.04, 0.5, 0.08, 0.5, 0.08, 0.28, 0.2, 0, 0.26]


def ball(rng: Generator) -> Mesh:
    """A sphere, sometimes dented."""
    angle = np.linspace(0, np.pi, 17)
    bump = 1 + rng.choice([0, 0.06]) * np.sin(angle * rng.integers(2, 9))
    line = np.stack([np.sin(angle) * bump, 1 - np.cos(angle)], -1) / 2
    return lathe(line.tolist(), segments=28, steps=1)


def bottle(rng: Generator) -> Mesh:
    """A closed vessel with an inside, of a random profile."""
    heights = np.array([0.04, 0.3, 0.6, 0.8, 1.0])
    radii = np.array([1, *rng.uniform(0.6, 1.2, 2), *rng.uniform(0.3, 0.6, 2)]) * rng.uniform(0.18, 0.4)
    thick = 0.025
    inner = np.stack([radii - thick, np.maximum(heights, 0.08)], -1)[::-1]
    outside = curve(np.stack([radii, heights], -1).tolist(), 3)
    inside = curve(inner.tolist(), 3)
    profiles = [[(0.0, 0.0), (radii[0], 0.0)], [(radii[0], 0.0), *outside.tolist()]]
    profiles += [[outside[-1].tolist(), inside[0].tolist()], inside.tolist(), [inside[-1].tolist(), (0.0, 0.08)]]
    return lathe(*profiles, segments=28, steps=1)


def vase(rng: Generator) -> Mesh:
    """A solid turned body of a random smooth or stepped profile."""
    n = int(rng.integers(3, 7))
    radii, heights = rng.uniform(0.08, 0.45, n), np.linspace(0, 1, n)
    middle = list(zip(radii.tolist(), heights.tolist(), strict=True))
    if rng.random() < 0.4:
        middle = [p for r, y in middle for p in ((r, y), (r, min(y + 0.8 / n, 1.0)))]
        edges = [middle[i : i + 2] for i in range(len(middle) - 1) if middle[i] != middle[i + 1]]
        return lathe([(0, 0), middle[0]], *edges, [middle[-1], (0, middle[-1][1])], segments=24, steps=1)
    return lathe([(0, 0), middle[0]], middle, [middle[-1], (0, middle[-1][1])], segments=28, steps=4)


def brick(rng: Generator) -> Mesh:
    """A box with random sides, its longest 1."""
    size = rng.uniform(0.15, 1.0, 3) ** rng.uniform(0.5, 2)
    size /= size.max()
    return box(size.tolist(), (0, float(size[1]) / 2, 0), float(rng.choice([0.002, 0.02, 0.05])), uv=0.5)


def cone(rng: Generator) -> Mesh:
    """A cone, prism, cylinder or pyramid."""
    low, high, sides = rng.uniform(0.2, 0.5), rng.uniform(0, 0.5), int(rng.choice([3, 4, 6, 32]))
    profiles = [[(0, 0), (low, 0)], [(low, 0), (high, 1)], [(high, 1), (0, 1)]]
    mesh = lathe(*profiles, segments=sides, steps=1)
    return mesh if sides == 32 else faceted(mesh)


def faceted(mesh: Mesh) -> Mesh:
    """The mesh with flat faces."""
    corners = mesh.positions[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    faces = np.arange(3 * len(mesh.faces)).reshape(-1, 3)
    return Mesh(corners.reshape(-1, 3), np.repeat(normal, 3, 0), mesh.uvs[mesh.faces].reshape(-1, 2), faces)


def ring(rng: Generator) -> Mesh:
    """A torus that lies or stands."""
    thick = rng.uniform(0.04, 0.2)
    mesh = torus(0.5 - thick, thick, 36, 10)
    return place(mesh, (0, thick, 0)) if rng.random() < 0.5 else place(mesh, (0, 0.5, 0), tilt=90)


def knot(rng: Generator) -> Mesh:
    """A tube along a random closed-looking path."""
    t = np.linspace(0, 2 * np.pi, 12)
    p, q = rng.choice([(2, 3), (3, 2), (1, 2), (3, 4)])
    radius = 0.3 + 0.13 * np.cos(q * t)
    points = np.stack([radius * np.cos(p * t), 0.45 + 0.3 * np.sin(q * t), radius * np.sin(p * t)], -1)
    return tube(points.tolist(), [float(rng.uniform(0.025, 0.08))] * 12, 10, 6)


def crystal(rng: Generator) -> Mesh:
    """A gem, a lens or a jagged rock."""
    pick = int(rng.integers(3))
    if pick == 0:
        return faceted(turned(GEM, segments=int(rng.choice([6, 8, 12])), steps=1))
    if pick == 1:
        return place(turned(LENS, segments=36), (0, 0.53, 0), tilt=90)
    mesh = ball(rng)
    grain = np.round(mesh.positions * rng.uniform(4, 8)) @ rng.standard_normal((3, 3))
    return faceted(mesh._replace(positions=mesh.positions * (1 + 0.13 * np.sin(grain * 3))))


def vessel(rng: Generator) -> Mesh:
    """A glass, goblet or bowl."""
    profile, scale = ((TUMBLER, 0.9), (GOBLET, 0.65), (BOWL, 0.6))[int(rng.integers(3))]
    return place(turned(profile, segments=32), size=scale)


def apple(rng: Generator) -> Mesh:
    """A fruit."""
    return fruit(0.4, rng, rng.uniform(0.8, 1.2))


#: Solid things, about 1 high and on y = 0.
SOLIDS = (ball, ball, bottle, vase, brick, brick, cone, ring, knot, crystal, vessel, vessel, apple)


def plant(rng: Generator) -> Mesh:
    """A tuft of leaves, 1 high."""
    parts = []
    for _ in range(int(rng.integers(12, 45))):
        blade = leaf(rng.uniform(0.3, 0.7), rng.uniform(0.06, 0.2), rng.uniform(0, 0.9))
        parts.append(place(blade, (0, rng.uniform(0, 0.4), 0), rng.uniform(0, 360), -rng.uniform(0, 70)))
    return merge(*parts)


def drape(rng: Generator) -> Mesh:
    """A crumpled cloth, 1 wide, on y = 0."""
    return cloth(1.0, rng.uniform(0.6, 1.0), 36, rng, rng.uniform(0.05, 0.4))


def curtain(width: float, height: float, rng: Generator) -> Mesh:
    """A pleated sheet in the plane z = 0 with its foot on y = 0."""
    u = np.linspace(0, 1, 72)
    v = np.linspace(0, 1, 6)[:, None]
    fold = 0.04 * np.sin(2 * np.pi * u * rng.integers(5, 11) + 2 * np.sin(9 * u)) * (0.5 + 0.5 * (1 - v))
    return surface(np.stack([(u - 0.5) * width + 0 * v, v * height + 0 * u, fold], -1), (3, 3))


def table(width: float, depth: float, height: float, rng: Generator) -> Mesh:
    """A table with four legs or a turned foot."""
    top = box((width, 0.04, depth), (0, height - 0.02, 0), 0.01, uv=1.0)
    if rng.random() < 0.3:
        foot = turned([0.25, 0, 0.22, 0.04, 0.05, 0.1, 0.05, height - 0.05, 0.15, height - 0.04], segments=20, steps=2)
        return merge(top, foot)
    x, z = width / 2 - 0.06, depth / 2 - 0.06
    legs = [box((0.05, height, 0.05), (a, height / 2 - 0.01, b), 0.006, uv=0.5) for a in (-x, x) for b in (-z, z)]
    return merge(top, *legs)


def shelf(width: float, height: float, rng: Generator) -> tuple[Mesh, Mesh]:
    """An open shelf against z = 0, and what stands in it."""
    rows = int(rng.integers(2, 6))
    frame = [box((0.03, height, 0.3), (x, height / 2, 0.15), 0.003) for x in (-width / 2, width / 2)]
    frame += [box((width, 0.03, 0.3), (0, y, 0.15), 0.003) for y in np.linspace(0.05, height - 0.02, rows + 1)]
    books = []
    for y in np.linspace(0.05, height - 0.02, rows + 1)[:-1]:
        x = -width / 2 + 0.06
        while x < width / 2 - 0.1:
            wide, tall = rng.uniform(0.02, 0.07), rng.uniform(0.4, 0.85) * height / (rows + 1)
            if rng.random() < 0.8:
                deep = rng.uniform(0.15, 0.24)
                books.append(box((wide, tall, deep), (x + wide / 2, y + 0.02 + tall / 2, 0.15), 0.003, fit=True))
            x += wide + (0.2 * rng.random() if rng.random() < 0.1 else 0.003)
    return merge(*frame), merge(*books)


def sofa(rng: Generator) -> tuple[Mesh, Mesh]:
    """A sofa that faces +z: its frame and its cushions."""
    width = float(rng.uniform(0.9, 2.2))
    frame = [box((width, 0.2, 0.8), (0, 0.2, 0), 0.04), box((width, 0.55, 0.18), (0, 0.5, -0.38), 0.07, 4)]
    frame += [box((0.18, 0.45, 0.85), (x, 0.32, 0), 0.07, 4) for x in (-width / 2, width / 2)]
    seats = max(1, round(width / 0.7))
    each = width / seats
    soft = [cushion((each, 0.22, 0.7), (-width / 2 + each * (i + 0.5), 0.38, 0.05)) for i in range(seats)]
    soft += [place(cushion((0.45, 0.2, 0.45)), (rng.uniform(-0.4, 0.4) * width, 0.6, -0.2), rng.uniform(-30, 30), 70)]
    return merge(*frame), merge(*soft)


def stairs(width: float, count: int) -> Mesh:
    """Steps that climb towards -z."""
    return merge(*[box((width, 0.17 * (i + 1), 0.28), (0, 0.085 * (i + 1), -0.28 * i), 0.01) for i in range(count)])


def column(height: float, radius: float, rng: Generator) -> Mesh:
    """A round column with mouldings, or a square pillar."""
    if rng.random() < 0.4:
        return box((1.6 * radius, height, 1.6 * radius), (0, height / 2, 0), 0.02, uv=1.0)
    r, top = radius, height
    profile = [1.4 * r, 0, 1.4 * r, 0.1, 1.4 * r, 0.1, 1.1 * r, 0.18, r, 0.25, 0.9 * r, top - 0.25, 1.1 * r, top - 0.16]
    return turned([*profile, 1.4 * r, top - 0.1, 1.4 * r, top - 0.1, 1.4 * r, top], segments=24, steps=2)


def wall(width: float, height: float, holes: list[tuple[float, float, float, float]], thick: float = 0.12) -> Mesh:
    """A wall in z = [-thick, 0] about x = 0 with rectangular openings (left, right, bottom, top) in rising order."""
    parts, x = [], -width / 2

    def slab(x0: float, x1: float, y0: float, y1: float) -> None:
        if x1 - x0 > 1e-3 and y1 - y0 > 1e-3:
            at = ((x0 + x1) / 2, (y0 + y1) / 2, -thick / 2)
            mesh = box((x1 - x0, y1 - y0, thick), at, 0.001, uv=2.0)
            # One picture across all slabs, so that the pattern goes on around the openings.
            parts.append(mesh._replace(uvs=(mesh.positions[:, :2] + mesh.positions[:, 2:] * (1.0, 0.5)) / 2.0))

    for left, right, low, high in holes:
        slab(x, left, 0, height)
        slab(left, right, 0, low)
        slab(left, right, high, height)
        x = right
    slab(x, width / 2, 0, height)
    return merge(*parts)


def frame(width: float, height: float, bar: float, crosses: int) -> Mesh:
    """A frame with bars about the origin in the plane z = 0."""
    parts = [box((bar, height, bar), (x, 0, 0), 0.004) for x in np.linspace(-width / 2, width / 2, crosses + 2)]
    parts += [box((width, bar, bar), (0, y, 0), 0.004) for y in np.linspace(-height / 2, height / 2, crosses + 2)]
    return merge(*parts)


def seat() -> Mesh:
    """A chair."""
    return chair()


def bounds(mesh: Mesh) -> Array:
    """The corners of the mesh's bounding box `[2, 3]`."""
    return np.stack([mesh.positions.min(axis=0), mesh.positions.max(axis=0)])
