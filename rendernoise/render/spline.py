"""Curves through points and rotations that a camera can follow: velocities at keys, cubics in between."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def interpolate(times: Array, values: Array, t: ArrayLike, *, monotone: bool = False) -> Array:
    """The cubic with continuous velocity through ``values`` ``[n, d]``, at the times ``t``: ``[..., d]``.

    The times ``[n]`` rise but need not be even (non-uniform Catmull-Rom); ``t`` lies between the first and the last.
    """
    time = np.asarray(t, dtype=np.float64)
    if len(times) == 1:
        return np.broadcast_to(values[0], (*time.shape, values.shape[1]))
    steps = np.diff(times)[:, None]
    velocity = tangents(steps, np.diff(values, axis=0) / steps, monotone=monotone)
    i = np.clip(np.searchsorted(times, time, "right") - 1, 0, len(times) - 2)
    u, step = ((time - times[i])[..., None] / steps[i]), steps[i]
    ends = (1 + 2 * u) * (1 - u) ** 2 * values[i] + u**2 * (3 - 2 * u) * values[i + 1]
    return ends + step * (u * (1 - u) ** 2 * velocity[i] - u**2 * (1 - u) * velocity[i + 1])


def interpolate_rotation(times: Array, rotations: Array, time: float) -> Array:
    """The rotation ``[3, 3]`` at a time between the first and the last of ``rotations`` ``[n, 3, 3]``.

    Angular velocity is continuous, and two keys alone give the shortest turn at an even speed: the cumulative
    Bezier curve of Kim, Kim and Shin 1995, section 5.
    """
    i = int(np.clip(np.searchsorted(times, time, "right") - 1, 0, max(len(times) - 2, 0)))
    if time == times[i]:
        return rotations[i]
    # A rotation vector is the same in the frames of both its ends, so neighbouring turns can be averaged at a key.
    steps = np.diff(times)[:, None]
    turns = np.array([vector_from_rotation(a.T @ b) for a, b in pairwise(rotations)])
    spin = tangents(steps, turns / steps)
    step = steps[i, 0]
    u = (time - times[i]) / step
    first, last = spin[i] * step / 3, spin[i + 1] * step / 3
    middle = vector_from_rotation(
        rotation_from_vector(-first) @ rotations[i].T @ rotations[i + 1] @ rotation_from_vector(-last)
    )
    turn = rotation_from_vector(first * (1 - (1 - u) ** 3)) @ rotation_from_vector(middle * (u * u * (3 - 2 * u)))
    return rotations[i] @ turn @ rotation_from_vector(last * u**3)


def tangents(steps: Array, slopes: Array, *, monotone: bool = False) -> Array:
    """Velocities ``[n, d]`` at the keys from ``steps`` ``[n-1, 1]`` and slopes ``[n-1, d]`` between them.

    They are those of a parabola through each three keys, and zero where a key repeats its neighbour. With
    ``monotone`` they are limited so that no value overshoots (Fritsch and Butland 1984).
    """
    if len(slopes) < 2:
        return np.repeat(slopes, 2, axis=0)
    before, after, h0, h1 = slopes[:-1], slopes[1:], steps[:-1], steps[1:]
    if monotone:
        moving = before * after > 0
        weights = np.where(moving, (2 * h1 + h0) * after + (h1 + 2 * h0) * before, 1.0)
        inner = np.where(moving, 3 * (h0 + h1) * before * after / weights, 0.0)
    else:
        moving = (np.linalg.norm(before, axis=1) > 1e-12) & (np.linalg.norm(after, axis=1) > 1e-12)
        inner = np.where(moving[:, None], (h1 * before + h0 * after) / (h0 + h1), 0.0)
    outer = slopes[[0, -1]]
    ends = 2 * outer - inner[[0, -1]]
    if monotone:
        ends = np.where(ends * outer > 0, ends, 0.0)
    return np.concatenate([ends[:1], inner, ends[1:]])


def rotation_from_vector(vector: Array) -> Array:
    """The rotation matrix around ``vector`` by its length, rad (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle if angle else vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def vector_from_rotation(matrix: Array) -> Array:
    """The shortest rotation vector of a matrix, through its quaternion (w, x, y, z); safe near 0 and 180 degrees."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    outer = np.array(
        [
            [1 + a + e + i, h - f, c - g, d - b],
            [h - f, 1 + a - e - i, b + d, c + g],
            [c - g, b + d, 1 - a + e - i, f + h],
            [d - b, c + g, f + h, 1 - a - e + i],
        ]
    )
    quaternion = outer[np.argmax(np.diag(outer))]
    quaternion = unit(quaternion if quaternion[0] >= 0 else -quaternion)
    sine = float(np.linalg.norm(quaternion[1:]))
    return quaternion[1:] * (2 * math.atan2(sine, quaternion[0]) / sine if sine else 2.0)


def unit(vector: Array) -> Array:
    """The vector divided by its length."""
    return vector / np.linalg.norm(vector)
