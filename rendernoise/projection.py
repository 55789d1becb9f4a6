"""Where a camera's film sees a point of the world: what neighbouring frames are warped by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Box = tuple[int, int, int, int]

#: The header attribute that holds a projection as JSON.
ATTRIBUTE = "rendernoise.projection"
#: With more points than these, squares are summed.
_MANY = 500
#: How many times as badly the next best matrix must fit, squared; where points lie on one plane, four fit alike.
_ONE_PLANE = 25.0
#: How far off the film's side a fitted point may fall: float32 rays of a camera far from the origin reach 1e-5.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Projection:
    """A pinhole camera, or the pinhole in the middle of a lens.

    With (x, y, w) = matrix · (X, Y, Z, 1), the film shows the world's point (X, Y, Z) at (x / w, y / w), (0, 0) being
    its upper left and (1, 1) its lower right corner, where w > 0, its distance along the viewing direction in scene
    units (Hartley and Zisserman 2003, section 6.1).

    Args:
        matrix: ``[3, 4]``, of which ``[:, :3]`` can be inverted.
        near: The w from which depth counts: that of the near clip plane in Mitsuba.
    """

    matrix: Array
    near: float = 0.0

    @property
    def eye(self) -> Array:
        """Where the camera stands, ``[3]``."""
        return -np.linalg.inv(self.matrix[:, :3]) @ self.matrix[:, 3]

    def ways(self, height: int, width: int) -> NDArray[np.float32]:
        """The way from the eye to each pixel's centre as far as w = 1, ``[3, H, W]``."""
        right, down, start = np.linalg.inv(self.matrix[:, :3]).T[:, :, None, None]
        u = (np.arange(width) + 0.5)[None, None, :] / width
        v = (np.arange(height) + 0.5)[None, :, None] / height
        # Sums of a row and a column: only their sum is as large as the film.
        return (right * u).astype(np.float32) + (down * v + start).astype(np.float32)

    def within(self, display: Box, data: Box) -> Projection:
        """The same camera for a film of which a file holds another part than the display window.

        Args:
            display: Inclusive x_min, y_min, x_max, y_max of the film that this projection is of, px.
            data: Those of the pixels that there are.
        """
        if display == data:
            return self
        matrix = self.matrix.copy()
        for axis in (0, 1):
            whole, part = (box[axis + 2] - box[axis] + 1 for box in (display, data))
            matrix[axis] = (whole * matrix[axis] + (display[axis] - data[axis]) * matrix[2]) / part
        return Projection(matrix, self.near)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, which keep every bit."""
        return {"matrix": self.matrix.tolist(), "near": self.near}

    def to_attribute(self) -> dict[str, str]:
        """As an attribute of an image file's header."""
        return {ATTRIBUTE: json.dumps(self.to_json())}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Projection | None:
        """The projection among a header's attributes; None where there is none, or one that makes no sense."""
        try:
            found = cls.from_json(json.loads(attributes[ATTRIBUTE]))
        except (KeyError, TypeError, ValueError):
            return None
        usable = np.isfinite(found.matrix).all() and np.isfinite(found.near) and np.linalg.det(found.matrix[:, :3])
        return found if usable else None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Projection:
        """What :meth:`to_json` gave."""
        return cls(np.array(values["matrix"], np.float64).reshape(3, 4), float(values["near"]))


def fit_projection(points: Array, film: Array, near: float = 0.0) -> Projection | None:
    """The projection that takes world points ``[N, 3]`` to film positions ``[N, 2]``; None if none does.

    Panoramas and lenses that bend lines have none; parallel projections have none with an eye.

    Args:
        points: All before the camera.
        film: Where the film shows them.
        near: As in :class:`Projection`.
    """
    found = direct(points, film) if np.isfinite(points).all() else None
    if found is None:
        return None
    x, y, w = found.matrix[:, :3] @ points.T + found.matrix[:, 3:]
    if np.abs(w).min() <= 1e-9 * np.abs(w).max() or (w > 0).any() != (w > 0).all():
        return None
    if np.abs(np.stack([x / w, y / w], axis=1) - film).max() > TOLERANCE:
        return None
    # A parallel projection has the same w everywhere, and no eye.
    if np.ptp(w) <= 1e-6 * np.abs(w).max():
        return None
    return Projection(found.matrix * np.sign(w[0]) / np.linalg.norm(found.matrix[2, :3]), near)


class Solution(NamedTuple):
    """What the direct linear transform finds: a matrix ``[3, 4]`` up to a factor, and whether no other does as well."""

    matrix: Array
    spans: bool


def direct(points: Array, film: Array) -> Solution | None:
    """The direct linear transform (Hartley and Zisserman 2003, section 7.1), in coordinates of unit spread.

    Args:
        points: ``[N, 3]``, N ≥ 6, finite.
        film: ``[N, 2]``.

    Returns:
        The matrix with the least algebraic error; None where all points are one.
    """
    center = points.mean(0)
    spread = float(np.abs(points - center).max())
    if not spread:
        return None
    known = np.concatenate([(points - center) / spread, np.ones((len(points), 1))], axis=1)
    rows = projective_rows(known, film)
    # The singular vectors of the rows are the eigenvectors of a matrix of 12×12, however many rows there are.
    values, vectors = np.linalg.eigh(rows.T @ rows) if len(points) > _MANY else _singular(rows)
    world = np.eye(4)
    world[:3, :3] /= spread
    world[:3, 3] = -center / spread
    spans = values[1] > _ONE_PLANE * max(values[0], 1e-15 * values[-1])
    return Solution(vectors[:, 0].reshape(3, 4) @ world, bool(spans))


def projective_rows(known: Array, film: Array) -> Array:
    """The equations ``[2 N, 3 D]`` of a matrix ``[3, D]`` that takes homogeneous points to film positions.

    Args:
        known: ``[N, D]``: 4 columns for points of space, 3 for those of a plane.
        film: ``[N, 2]``.
    """
    zero = np.zeros_like(known)
    return np.concatenate(
        [
            np.concatenate([known, zero, -film[:, :1] * known], axis=1),
            np.concatenate([zero, known, -film[:, 1:] * known], axis=1),
        ]
    )


def _singular(rows: Array) -> tuple[Array, Array]:
    """Squared singular values in ascending order, and their vectors as columns: exact where squares would not be."""
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    return np.square(values[::-1]), vectors[::-1].T
