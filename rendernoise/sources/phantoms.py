"""Made-up scans: ellipses in an ellipse, for MRI without a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import InputError
from rendernoise.frame import Plane

#: Width of an edge, px: a pixel on it shows both sides, each by its share.
_EDGE_PX = 1.0
#: Ellipses in a brain: from, to.
_DETAILS = (8, 20)


def phantoms(count: int, size_px: int, rng: np.random.Generator) -> list[Plane]:
    """Heads after Shepp and Logan (1974), drawn at random: a skull, a brain, and ellipses of other brightness in it.

    Args:
        count: How many.
        size_px: Side of the square images.
        rng: All chance comes from it.

    Returns:
        ``[1, size_px, size_px]`` each, with values in [-0.5, 0.5] and the background at -0.5.

    Raises:
        InputError: A negative count, or no size.
    """
    if count < 0 or size_px < 1:
        raise InputError(f"{count} phantoms of {size_px} px cannot be", "Ask for 0 or more, of 1 px or more")
    return [_phantom(size_px, rng) for _ in range(count)]


def _phantom(size_px: int, rng: np.random.Generator) -> Plane:
    axis = ((np.arange(size_px) + 0.5) / size_px * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    edge = np.float32(2 * _EDGE_PX / size_px)

    def inside(centre: tuple[float, float], radii: tuple[float, float], angle: float) -> NDArray[np.float32]:
        """1 inside the ellipse, 0 outside, with a soft edge; lengths in half sides of the image."""
        down, right = y - np.float32(centre[0]), x - np.float32(centre[1])
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u, v = (cos * down + sin * right) / np.float32(radii[0]), (cos * right - sin * down) / np.float32(radii[1])
        distance = (np.hypot(u, v) - 1) * np.float32(min(radii))
        return np.clip(np.float32(0.5) - distance / edge, 0, 1)

    height, width, angle = rng.uniform(0.75, 0.92), rng.uniform(0.55, 0.75), rng.uniform(-0.3, 0.3)
    centre = (rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05))
    skull = rng.uniform(0.03, 0.07)
    brain = inside(centre, (height - skull, width - skull), angle)
    tissue = np.full_like(y, rng.uniform(0.25, 0.5))
    for _ in range(int(rng.integers(_DETAILS[0], _DETAILS[1] + 1))):
        at, turn = rng.uniform(0, 0.8), rng.uniform(0, 2 * np.pi)
        spot = (centre[0] + at * height * np.sin(turn), centre[1] + at * width * np.cos(turn))
        # Large ones are few, as in a brain.
        radii = 0.03 + 0.25 * rng.random(2) ** 2
        tissue += np.float32(rng.uniform(-0.3, 0.3)) * inside(spot, (radii[0], radii[1]), rng.uniform(0, np.pi))
    # What coils receive grows towards one side.
    slope = rng.uniform(-0.15, 0.15, 2).astype(np.float32)
    shading = 1 + slope[0] * y + slope[1] * x
    head = inside(centre, (height, width), angle) * np.float32(rng.uniform(0.7, 0.9))
    image = head * (1 - brain) + brain * np.clip(tissue * shading, 0.02, 1)
    return np.clip(image - np.float32(0.5), -0.5, 0.5)[None].astype(np.float32)
