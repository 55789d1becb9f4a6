"""Ready-made camera paths: around a point, or along a line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rendernoise.errors import InputError
from rendernoise.render.camera import look_at, rigid
from rendernoise.render.spline import Array, rotation_from_vector, unit

_DEGREES_PER_KEY = 15.0  # an arc of this size leaves its circle by less than 1/1000 of the radius


def orbit(
    center: ArrayLike,
    radius: float,
    height: float,
    *,
    frames: int,
    degrees: float = 360.0,
    fov: float | None = None,
    up: ArrayLike = (0.0, 1.0, 0.0),
) -> dict[str, Any]:
    """A path around ``center`` as JSON data: ``radius`` beside it and ``height`` above it, in scene units.

    The camera always looks at ``center``. With +Y up, the middle frame stands on the +Z side.
    """
    axis = unit(np.asarray(up, dtype=np.float64))
    aside = np.roll(axis, 1)
    aside = unit(aside - axis * (aside @ axis)) if abs(aside @ axis) < 0.9 else unit(np.cross(axis, (1.0, 0.0, 0.0)))
    start = look_at(np.asarray(center) + radius * aside + height * axis, center, axis)
    return orbit_from(start, center, frames=frames, degrees=degrees, fov=fov, axis=axis)


def orbit_from(
    start: ArrayLike, center: ArrayLike, *, frames: int, degrees: float, fov: float | None = None, axis: ArrayLike = ()
) -> dict[str, Any]:
    """A path that turns the camera ``start`` ``[4, 4]`` around ``center`` and meets it in the middle frame.

    ``axis`` is the world axis nearest to the camera's up vector unless given. ``degrees`` is from the first
    frame to the last, so the last frame of a full turn is the first one again.

    Raises:
        InputError: No frames, an angle that is not finite, or a ``start`` that mirrors, stretches or shears.
    """
    matrix, pivot = rigid(np.asarray(start, dtype=np.float64)), np.asarray(center, dtype=np.float64)
    if frames < 1 or not math.isfinite(degrees):
        raise InputError(f"{frames} frames over {degrees} degrees is no orbit", "Give at least one frame")
    up = matrix[:3, 1]
    nearest = np.eye(3)[np.argmax(np.abs(up))] * np.sign(up[np.argmax(np.abs(up))])
    around = unit(np.asarray(axis, dtype=np.float64)) if np.size(axis) else nearest
    depth = float((pivot - matrix[:3, 3]) @ matrix[:3, 2])
    look = _look(matrix, depth if depth > 0 else float(np.linalg.norm(pivot - matrix[:3, 3])))
    middle = (frames + 1) // 2
    parts = max(1, min(frames - 1, math.ceil(abs(degrees) / _DEGREES_PER_KEY)))
    numbers = {middle} | {1 + round((frames - 1) * i / parts) for i in range(parts + 1)}
    keys = []
    for number in sorted(numbers):
        turn = rotation_from_vector(around * math.radians(degrees * (number - middle) / max(frames - 1, 1)))
        points = (look[:2] - pivot) @ turn.T + pivot
        keys.append(_key(number, np.stack([*points, turn @ look[2]]), fov))
    return {"keyframes": keys}


def dolly(
    start: ArrayLike,
    *,
    frames: int,
    distance: float = 0.0,
    offset: ArrayLike = (0.0, 0.0, 0.0),
    focus: float = 1.0,
    fov: float | None = None,
) -> dict[str, Any]:
    """A straight path as JSON data; its first frame is the camera ``start`` ``[4, 4]``.

    It moves ``distance`` along the view and by ``offset`` (world axes), in scene units; ``focus`` is how far ahead the
    target is written.

    Raises:
        InputError: No frames, or a ``start`` that mirrors, stretches or shears.
    """
    matrix = rigid(np.asarray(start, dtype=np.float64))
    if frames < 1:
        raise InputError(f"{frames} frames is no path", "Give at least one frame")
    look = _look(matrix, focus)
    move = matrix[:3, 2] * distance + np.asarray(offset, dtype=np.float64)
    keys = [_key(1, look, fov)]
    if frames > 1:
        keys.append(_key(frames, look + [[1], [1], [0]] * move, fov))
    return {"keyframes": keys}


def _key(frame: int, look: Array, fov: float | None) -> dict[str, Any]:
    # Nine digits hold any float32, which is what scenes store; adding 0.0 turns -0.0 into 0.0.
    rows = [[float(f"{x:.9g}") + 0.0 for x in row] for row in look]
    key = {"frame": frame, "origin": rows[0], "target": rows[1], "up": rows[2]}
    return key if fov is None else {**key, "fov": float(f"{fov:.9g}")}


def _look(matrix: Array, distance: float) -> Array:
    """Origin, target and up ``[3, 3]`` of a camera that looks at a point ``distance`` away."""
    return np.stack([matrix[:3, 3], matrix[:3, 3] + matrix[:3, 2] * distance, matrix[:3, 1]])
