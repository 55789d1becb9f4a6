"""Cameras, the views of a shot, and camera paths through keyframes.

Matrices are camera-to-world in Mitsuba's convention: the camera looks along its +Z, +Y is up, +X is left.
A path is a JSON file, and ``fov`` is the horizontal field of view in degrees::

    {"keyframes": [{"frame": 1, "origin": [0, 1, 5], "target": [0, 1, 0], "up": [0, 1, 0], "fov": 60}, ...]}

``up`` may be left out (+Y); ``"matrix"`` with four rows may stand for origin, target and up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rendernoise.errors import InputError
from rendernoise.render.spline import Array, interpolate, interpolate_rotation, unit

_KEYS = {"frame", "origin", "target", "up", "matrix", "fov"}
_MAX_FRAMES = 1_000_000
_MAX_NUMBER = 1e15  # beyond it, lengths overflow long before the renderer's float32 does


@dataclass(frozen=True, eq=False)
class Camera:
    """Where a camera stands: ``to_world`` float64 ``[4, 4]``; ``fov_deg`` horizontal, None for the scene's own."""

    to_world: Array
    fov_deg: float | None = None


@dataclass(frozen=True)
class View:
    """What one frame of a shot looks like: its scene file, and a camera (None: the scene's own)."""

    frame: int
    camera: Camera | None = None
    scene: Path | None = None


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A camera at a frame; ``look`` ``[3, 3]`` (origin, target, up) says how to reach the next one, if known."""

    frame: int
    camera: Camera
    look: Array | None = None


def look_at(origin: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 1.0, 0.0)) -> Array:
    """The camera-to-world matrix ``[4, 4]`` of a camera at ``origin`` that looks at ``target``.

    Raises:
        InputError: ``origin`` is ``target``, or ``up`` is zero or parallel to the view.
    """
    eye, aim, above = (np.asarray(v, dtype=np.float64) for v in (origin, target, up))
    if np.linalg.norm(aim - eye) <= 1e-12 * max(1.0, np.linalg.norm(eye)):
        raise InputError("origin and target are the same point", "Move one of them")
    if not np.linalg.norm(above):
        raise InputError("up is zero", "Give a direction, such as [0, 1, 0]")
    forward = unit(aim - eye)
    left = np.cross(unit(above), forward)
    if np.linalg.norm(left) < 1e-6:
        raise InputError("up is parallel to the view", "Choose another up vector")
    left = unit(left)
    matrix = np.eye(4)
    matrix[:3] = np.stack([left, np.cross(forward, left), forward, eye], axis=1)
    return matrix


def rigid(matrix: Array) -> Array:
    """The matrix ``[4, 4]`` without its even scale, its rotation made exactly orthogonal.

    Raises:
        InputError: It is singular, mirrors, stretches or shears.
    """
    u, sizes, v = np.linalg.svd(matrix[:3, :3])
    if not np.allclose(matrix[3], (0, 0, 0, 1)) or sizes[2] <= 1e-6 * sizes[0]:
        raise InputError("the matrix is singular", "Its last row is 0 0 0 1 and its columns are three directions")
    if np.linalg.det(u @ v) < 0:
        raise InputError("the matrix mirrors the picture", "Remove the scale by -1")
    if sizes[0] > 1.002 * sizes[2]:
        raise InputError("the matrix stretches or shears the picture", "Give a rotation and a position only")
    return np.block([[u @ v, matrix[:3, 3:]], [np.zeros((1, 3)), np.ones((1, 1))]])


class CameraPath:
    """A smooth camera motion through keyframes, which it meets exactly; it holds before the first and after the last.

    Origin, target and up (or position and rotation, when a keyframe is a matrix) have a continuous velocity in
    between: non-uniform Catmull-Rom in frame time, and its counterpart for rotations (Kim, Kim and Shin 1995).
    A pose that two keyframes repeat is held, and ``fov`` never leaves the range of its two keyframes.

    Raises:
        InputError: No keyframes, frames that do not increase, ``fov`` in some only, or a motion that takes
            the camera through its target or the view through its up vector.
    """

    def __init__(self, keyframes: Sequence[Keyframe]) -> None:
        numbers = [k.frame for k in keyframes]
        if not numbers:
            raise InputError("the path has no keyframes", "Give at least one")
        for before, after in pairwise(numbers):
            if after <= before:
                what = f"frame {after} stands twice" if after == before else f"frame {after} follows frame {before}"
                raise InputError(what, "List every frame once, in rising order")
        if numbers[-1] - numbers[0] >= _MAX_FRAMES:
            raise InputError(f"the path runs over more than {_MAX_FRAMES} frames", "Check the frame numbers")
        fovs = [k.camera.fov_deg for k in keyframes if k.camera.fov_deg is not None]
        if fovs and len(fovs) != len(keyframes):
            raise InputError("some keyframes have a fov and some have none", "Give it in all of them or in none")
        self.keyframes = tuple(keyframes)
        self._times = np.array(numbers, dtype=np.float64)
        self._fov = np.array(fovs)[:, None] if fovs else None
        looks = [k.look for k in keyframes if k.look is not None]
        self._looks = np.stack(looks) if len(looks) == len(keyframes) else None
        poses = np.stack([k.camera.to_world for k in keyframes])
        self._positions, self._rotations = poses[:, :3, 3], poses[:, :3, :3]
        self._check_looks()

    @property
    def frames(self) -> list[int]:
        """All whole frames from the first keyframe to the last."""
        return list(range(self.keyframes[0].frame, self.keyframes[-1].frame + 1))

    def at(self, frame: float) -> Camera:
        """The camera at a frame, which need not be a whole number."""
        time = float(np.clip(frame, self._times[0], self._times[-1]))
        fov = None if self._fov is None else float(interpolate(self._times, self._fov, time, monotone=True)[0])
        if self._looks is not None:
            return Camera(look_at(*self._look(self._looks, time)), fov)
        matrix = np.eye(4)
        matrix[:3, :3] = interpolate_rotation(self._times, self._rotations, time)
        matrix[:3, 3] = interpolate(self._times, self._positions, time)
        return Camera(matrix, fov)

    def _look(self, looks: Array, time: ArrayLike) -> list[Array]:
        return [interpolate(self._times, looks[:, i], time) for i in range(3)]

    def _check_looks(self) -> None:
        # A bad look-at between keyframes must be found before the first frame is rendered, not in the middle of a shot.
        if self._looks is None:
            return
        frames = np.arange(self._times[0], self._times[-1] + 1)
        origin, target, up = self._look(self._looks, frames)
        sizes = np.linalg.norm(target - origin, axis=1) * np.linalg.norm(up, axis=1)
        bad = np.linalg.norm(np.cross(up, target - origin), axis=1) <= 1e-6 * sizes
        if bad.any():
            frame = int(frames[int(np.argmax(bad))])
            raise InputError(
                f"at frame {frame} the camera meets its target or looks along its up vector", "Add a keyframe there"
            )


def load_path(path: Path) -> CameraPath:
    """Read a camera path from JSON.

    Raises:
        InputError: The file is missing, is no JSON, or holds keyframes that cannot work.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        cure = "Give the JSON file that tools/camera_path.py writes"
        raise InputError(f"{path}: {error.strerror or 'cannot be read'}", cure) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg})", "Correct that line") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON text", "Give a camera path") from error
    return _parse(data, str(path))


def save_path(path: Path, data: Mapping[str, Any]) -> None:
    """Write a camera path, as the moves in ``camera_moves`` make it, with one keyframe a line.

    Raises:
        InputError: The keyframes cannot work.
        OutputError: The file cannot be written.
    """
    from rendernoise.io.atomic import write_text

    _parse(data, str(path))
    lines = ",\n  ".join(json.dumps(key) for key in data["keyframes"])
    write_text(path, f'{{"keyframes": [\n  {lines}\n]}}\n')


def _parse(data: object, where: str) -> CameraPath:
    """A path from JSON data; every error names ``where`` and the keyframe."""
    if not isinstance(data, Mapping) or not isinstance(data.get("keyframes"), list):
        raise InputError(f'{where}: no list of "keyframes"', 'Write {"keyframes": [...]}')
    if extra := sorted(set(data) - {"keyframes"}):
        raise InputError(f"{where}: unknown key {extra[0]!r}", 'Only "keyframes" belongs there')
    keyframes = []
    for index, raw in enumerate(data["keyframes"], 1):
        try:
            keyframes.append(_keyframe(raw))
        except InputError as error:
            raise InputError(f"{where}: keyframe {index}: {error}") from error
    try:
        return CameraPath(keyframes)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _keyframe(raw: object) -> Keyframe:
    if not isinstance(raw, Mapping):
        raise InputError("not an object", 'Write {"frame": 1, ...}')
    if unknown := sorted(set(raw) - _KEYS):
        raise InputError(f"unknown key {unknown[0]!r}", f"Known are {', '.join(sorted(_KEYS))}")
    frame = raw.get("frame")
    if not isinstance(frame, int) or isinstance(frame, bool) or abs(frame) > 2**31:
        raise InputError("no frame number" if frame is None else f"frame {frame!r:.40} is no whole number")
    fov = float(_numbers(raw, "fov", ())) if "fov" in raw else None
    if fov is not None and not 0 < fov < 180:
        raise InputError(f"fov {fov:g} is not between 0 and 180 degrees")
    if "matrix" in raw:
        if clash := [k for k in ("origin", "target", "up") if k in raw]:
            raise InputError(f"matrix and {clash[0]} together", "Give either a matrix, or origin and target")
        return Keyframe(frame, Camera(rigid(_numbers(raw, "matrix", (4, 4))), fov))
    if lacking := [k for k in ("origin", "target") if k not in raw]:
        raise InputError(f"no {lacking[0]}", "Give origin and target, or a matrix")
    up = _numbers(raw, "up", (3,)) if "up" in raw else np.array([0.0, 1.0, 0.0])
    origin, target = _numbers(raw, "origin", (3,)), _numbers(raw, "target", (3,))
    camera = Camera(look_at(origin, target, up), fov)
    return Keyframe(frame, camera, np.stack([origin, target, unit(up)]))


def _numbers(raw: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    def leaves(value: object) -> list[object]:
        return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list) else [value]

    size = "x".join(map(str, shape)) + " finite numbers" if shape else "a finite number"
    problem = InputError(f"{name} is not {size}")
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in leaves(raw[name])):
        raise problem
    try:
        values = np.array(raw[name], dtype=np.float64)
    except (ValueError, OverflowError):
        raise problem from None
    if values.shape != shape or not (np.abs(values) < _MAX_NUMBER).all():
        raise problem
    return values
