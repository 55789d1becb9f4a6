"""Small procedural meshes for the project's scenes: rounded boxes, lathes, tori, tubes, cloth, leaves.

A `Mesh` has float64 positions, unit normals `[n, 3]`, texture coordinates `[n, 2]` and integer faces `[m, 3]` that
run counter-clockwise seen from outside. Lengths are in scene units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = Sequence[float]


class Mesh(NamedTuple):
    """Triangles with normals and texture coordinates."""

    positions: Array
    normals: Array
    uvs: Array
    faces: NDArray[np.int64]


def merge(*meshes: Mesh) -> Mesh:
    """One mesh of several."""
    offsets = np.cumsum([0] + [len(m.positions) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.positions for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uvs for m in meshes]),
        np.concatenate([m.faces + offset for m, offset in zip(meshes, offsets, strict=True)]),
    )


def place(mesh: Mesh, at: Point = (0, 0, 0), turn: float = 0.0, tilt: float = 0.0, size: float = 1.0) -> Mesh:
    """Scale, tilt about x, turn about y (both in degrees), then move."""
    a, b = np.radians(turn), np.radians(tilt)
    yaw = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    pitch = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    rotation = (yaw @ pitch).T
    return mesh._replace(positions=size * mesh.positions @ rotation + np.asarray(at), normals=mesh.normals @ rotation)


def quads(rows: int, columns: int) -> NDArray[np.int64]:
    """Faces of a grid of rows x columns vertices."""
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    first = np.stack([i, i + 1, i + columns + 1], -1)
    second = np.stack([i, i + columns + 1, i + columns], -1)
    return np.stack([first, second], 1).reshape(-1, 3)


def surface(points: Array, uv_scale: Point = (1, 1)) -> Mesh:
    """A smooth sheet through a grid of points `[rows, columns, 3]`; it faces d/dcolumn x d/drow."""
    rows, columns, _ = points.shape
    normals = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0)).reshape(-1, 3)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    v, u = np.meshgrid(np.linspace(0, uv_scale[1], rows), np.linspace(0, uv_scale[0], columns), indexing="ij")
    return Mesh(points.reshape(-1, 3), normals, np.stack([u, v], -1).reshape(-1, 2), quads(rows, columns))


def box(
    size: Point, at: Point = (0, 0, 0), bevel: float = 0.01, steps: int = 2, uv: float = 1.0, fit: bool = False
) -> Mesh:
    """A box with rounded edges, centred at `at`; texture in units of `uv`, or once per face with `fit`."""
    half = np.asarray(size, float) / 2
    r = min(bevel, 0.499 * float(half.min()) * 2)
    parts = []
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        for sign in (1.0, -1.0):
            bend = np.linspace(0, 1, steps)
            a, b = (np.concatenate([-half[d] + r * bend, half[d] - r * bend[::-1]]) for d in (j, k))
            points = np.zeros((len(b), len(a), 3))
            points[..., j], points[..., k], points[..., axis] = a[None, :], b[:, None], sign * half[axis]
            core = np.clip(points, -half + r, half - r)
            out = points - core
            # A cube's face seen from the corner's centre: the tangent map keeps the steps of the bend even.
            out[..., j], out[..., k] = (r * np.tan(np.pi / 4 * out[..., d] / r) for d in (j, k))
            normals = out / np.linalg.norm(out, axis=-1, keepdims=True)
            # Textures hang upright on walls: v follows y, grain (u) follows the longer side of lying faces.
            first, second = (j, k) if axis == 2 else (k, j)
            if axis == 1 and half[0] > half[2]:
                first, second = second, first
            flat = np.stack([points[..., first], points[..., second]], -1)
            extent = np.asarray([half[first], half[second]])
            uvs = flat / (2 * extent) + 0.5 if fit else (flat + extent) / uv
            faces = quads(len(b), len(a))
            if sign < 0:
                faces = faces[:, ::-1]
            parts.append(Mesh((core + r * normals).reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2), faces))
    whole = merge(*parts)
    return whole._replace(positions=whole.positions + np.asarray(at))


def curve(points: Sequence[Point], steps: int) -> Array:
    """Catmull-Rom spline through points, `steps` pieces for each span."""
    p = np.asarray(points, float)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = (np.arange(steps) / steps)[:, None]
    spans = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        spans.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - 3 * c + d - a) * t**3))
    return np.concatenate([*spans, p[-2:-1]])


def lathe(*profiles: Sequence[Point], segments: int = 40, steps: int = 4) -> Mesh:
    """Turn profiles of (radius, height) about y; each is smooth, a crease lies between two of them.

    Outside is on the right of the direction of travel: upwards on the outer side, downwards on the inner one.
    """
    parts = []
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    for profile in profiles:
        line = curve(profile, steps) if len(profile) > 2 else np.asarray(profile, float)
        line[:, 0] = np.maximum(line[:, 0], 0)
        tangent = np.gradient(line, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        ring = np.stack([np.cos(angle), np.sin(angle)], -1)
        points = np.stack(
            [line[:, 0, None] * ring[:, 0], line[:, 1, None] + 0 * angle, line[:, 0, None] * ring[:, 1]], -1
        )
        normals = np.stack(
            [tangent[:, 1, None] * ring[:, 0], -tangent[:, 0, None] + 0 * angle, tangent[:, 1, None] * ring[:, 1]], -1
        )
        rows = len(line)
        v, u = np.meshgrid(np.linspace(0, 1, rows), angle / (2 * np.pi), indexing="ij")
        faces = quads(rows, segments + 1)[:, ::-1]
        corners = points.reshape(-1, 3)[faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        parts.append(
            Mesh(
                points.reshape(-1, 3), normals.reshape(-1, 3), np.stack([u, v], -1).reshape(-1, 2), faces[area > 1e-12]
            )
        )
    return merge(*parts)


def turned(pairs: Sequence[float], segments: int = 36, steps: int = 4) -> Mesh:
    """A lathe of (radius, height) pairs in a row; a pair that stands there twice in succession is a crease."""
    points = list(zip(pairs[::2], pairs[1::2], strict=True))
    cuts = [i for i in range(1, len(points)) if points[i] == points[i - 1]]
    profiles = [points[a:b] for a, b in zip([0, *cuts], [*cuts, len(points)], strict=True)]
    return lathe(*profiles, segments=segments, steps=steps)


def tube(points: Sequence[Point], radii: Sequence[float], segments: int = 10, steps: int = 4) -> Mesh:
    """A round tube along a spline, with a radius at each point."""
    line = curve(points, steps)
    radius = np.interp(np.arange(len(line)), np.arange(len(radii)) * steps, radii)
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    start = np.eye(3)[np.argmin(np.abs(tangent).max(axis=0))]
    side = np.cross(tangent, start)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(tangent, side)
    angle = np.linspace(0, 2 * np.pi, segments + 1)[:, None]
    out = np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None]
    sheet = surface(line[:, None] + radius[:, None, None] * out, (1, float(steps)))
    return sheet._replace(normals=out.reshape(-1, 3))


def torus(radius: float, thickness: float, segments: int = 48, sides: int = 16, flat: float = 1.0) -> Mesh:
    """A ring in the plane y = 0; `flat` scales its height."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    profile = np.stack([radius + thickness * np.cos(angle), flat * thickness * np.sin(angle)], -1)
    mesh = lathe(*[profile[i : i + 2].tolist() for i in range(sides)], segments=segments)
    normals = mesh.positions - radius * _unit(mesh.positions * (1, 0, 1))
    return mesh._replace(normals=_unit(normals * (1, 1 / flat**2, 1)))


def cushion(size: Point, at: Point = (0, 0, 0), n: int = 12) -> Mesh:
    """A stuffed cushion: width, thickness and depth along x, y and z; the seam lies in the plane y = 0."""
    s = np.sin(np.linspace(-np.pi / 2, np.pi / 2, n))
    x, z = np.meshgrid(s, s, indexing="xy")
    swell = ((1 - x**4) * (1 - z**4)) ** 0.4
    pull = 1 - 0.07 * np.stack([1 - z**2, 0 * x, 1 - x**2], -1) * np.abs(np.stack([x, x, z], -1)) ** 3
    parts = []
    for sign in (-1, 1):
        points = np.stack([x, sign * swell, z], -1) * pull * np.asarray(size) / 2
        sheet = surface(points)
        flipped = sheet._replace(normals=-sheet.normals, faces=sheet.faces[:, ::-1])
        parts.append(sheet if sign < 0 else flipped)
    whole = merge(*parts)
    return whole._replace(positions=whole.positions + np.asarray(at))


def leaf(length: float, width: float, droop: float, n: int = 7) -> Mesh:
    """A leaf from the origin along +z that bends down by `droop` of its length and folds along its rib."""
    t, s = np.meshgrid(np.linspace(0, 1, n), np.linspace(-1, 1, 5), indexing="ij")
    half = width / 2 * np.sin(np.pi * np.clip(t, 0.02, 0.98) ** 0.8)
    points = np.stack([s * half, length * (0.35 * t - droop * t**2) + 0.3 * half * np.abs(s), length * t], -1)
    return surface(points)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
