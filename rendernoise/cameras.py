"""Cameras of other renderers: fitted to a plane of world positions, or read from EXR's standard attributes.

A plane of positions says all: where each pixel's surface is, and so where the camera must be that shows it there. It is
not exact. At edges it may be the mean of two surfaces (which still lies before the pixel) or of a surface and nothing
(which does not), and behind mirrors it may be anything. So the fit takes most pixels' word and leaves the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rendernoise.frame import Plane
from rendernoise.projection import Array, Box, Projection, direct, projective_rows

#: The standard attributes (ImfStandardAttributes.h): Imath matrices, which are multiplied from the right of a row.
WORLD_TO_NDC, WORLD_TO_CAMERA = "worldToNDC", "worldToCamera"
#: Where the metadata of a frame keeps what those say (:func:`header_cameras`).
HEADER_CAMERAS = "header cameras"
#: Pixels that a camera is fitted to, and random few of them that a fit is tried from.
FITTED_PX, STARTS, START_PX = 4000, 40, 8
#: Pixels whose position the camera shows within this distance agree with it; less than this share of them: no camera.
NEAR_PX, MOST = 1.5, 0.7
#: A camera needs at least so many pixels with a position.
LEAST_PX = 24
#: The focal length of a camera that cannot be told from one farther off with another lens, in widths of the film.
ANY_FOCAL = 1.2


def fit_to_positions(position: Plane) -> Projection | None:
    """The camera that shows the points of a position plane where they are.

    Args:
        position: World coordinates, ``[3, H, W]``; 0 in all three, NaN or infinite where the camera sees nothing.

    Returns:
        None where no pinhole shows :data:`MOST` of the points within :data:`NEAR_PX`, as for a panorama or for object
        coordinates, or where there are hardly any.
    """
    height, width = position.shape[1:]
    known = known_positions(position)
    chosen = np.flatnonzero(known)
    if len(chosen) < LEAST_PX:
        return None
    rng = np.random.default_rng(0)  # the same pixels in every run
    chosen = rng.permutation(chosen)[:FITTED_PX]
    points = position.reshape(3, -1).T[chosen].astype(np.float64)
    film = np.stack([(chosen % width + 0.5) / width, (chosen // width + 0.5) / height], axis=1)
    size = np.array([width, height])
    best, least = None, np.inf
    for subset in (slice(None), *(rng.choice(len(points), START_PX, replace=False) for _ in range(STARTS))):
        found = _camera(points[subset], film[subset], size)
        typical = np.quantile(_misses(found, points, film, size), MOST) if found is not None else np.inf
        if typical < least:
            best, least = found, typical
        if least < NEAR_PX / 3:
            break
    for _ in range(8):  # trimmed refits: on the better half, then on all that agree
        if best is None:
            return None
        misses = _misses(best, points, film, size)
        agree = misses <= np.clip(3 * np.median(misses), 1e-6, NEAR_PX)
        found = _camera(points[agree], film[agree], size) if agree.sum() >= LEAST_PX else None
        typical = np.quantile(_misses(found, points, film, size), MOST) if found is not None else np.inf
        if typical >= least:
            break
        best, least = found, typical
    if best is None or least > NEAR_PX:
        return None
    # A parallel projection has the same w everywhere, and no eye.
    turn = np.linalg.norm(best[2, :3])
    if turn * np.abs(points - points.mean(0)).max() <= 1e-4 * abs(best[2] @ np.append(points.mean(0), 1)):
        return None
    return Projection(best / turn) if abs(np.linalg.det(best[:, :3] / turn)) > 1e-12 else None


def known_positions(position: Plane) -> NDArray[np.bool_]:
    """Where a position plane says something, ``[H, W]``."""
    return np.isfinite(position).all(0) & (position != 0).any(0) & (np.abs(position) < 1e18).all(0)


def _misses(matrix: Array, points: Array, film: Array, size: NDArray[np.int_]) -> Array:
    """How far from its pixel's centre each point is shown, px; very far behind the camera."""
    x, y, w = matrix[:, :3] @ points.T + matrix[:, 3:]
    before = w > 0
    w = np.where(before, w, 1)
    offsets = np.stack([x / w, y / w], axis=1) - film
    return np.where(before, np.linalg.norm(offsets * size, axis=1), 1e9)


def _camera(points: Array, film: Array, size: NDArray[np.int_]) -> Array | None:
    """The matrix ``[3, 4]`` that shows points nearest to their film positions, with w > 0 for most of them."""
    found = direct(points, film)
    if found is None or not np.isfinite(found.matrix).all():
        return None
    matrix = found.matrix if found.spans else _before_a_plane(points, film, size)
    if matrix is None:
        return None
    w = points @ matrix[2, :3] + matrix[2, 3]
    return matrix if np.median(w) > 0 else -matrix


def _before_a_plane(points: Array, film: Array, size: NDArray[np.int_]) -> Array | None:
    """The same where all points lie on one plane: square pixels, and an axis through the middle of the film.

    A plane's image is a homography, of which two such cameras' share tells the focal length (Zhang 2000, section 2.3).
    Where the camera looks straight at the plane, any focal length shows it alike.
    """
    center = points.mean(0)
    spread = np.abs(points - center).max()
    axes = np.linalg.svd((points - center) / spread, full_matrices=False)[2]
    if np.linalg.det(axes) < 0:
        axes[2] *= -1
    on_plane = (points - center) @ axes[:2].T / spread
    image = (film - 0.5) * size / size[0]
    known = np.concatenate([on_plane, np.ones((len(points), 1))], axis=1)
    rows = projective_rows(known, image)
    homography = np.linalg.eigh(rows.T @ rows)[1][:, 0].reshape(3, 3)
    homography *= np.sign(homography[2, 2]) or 1.0
    one, other, start = homography.T
    measured = np.array([one[:2] @ other[:2], one[:2] @ one[:2] - other[:2] @ other[:2]])
    wanted = -np.array([one[2] * other[2], one[2] ** 2 - other[2] ** 2])
    inverse = measured @ wanted / max(measured @ measured, 1e-300)
    focal = float(1 / np.sqrt(inverse)) if inverse > 0 else ANY_FOCAL
    focal = focal if 0.2 <= focal <= 30 else ANY_FOCAL
    lens = np.diag([1 / focal, 1 / focal, 1])
    one, other, start = (lens @ column for column in (one, other, start))
    size_of = 2 / (np.linalg.norm(one) + np.linalg.norm(other))
    one, other, start = one * size_of, other * size_of, start * size_of
    turned = np.stack([one, other, np.cross(one, other)], axis=1) @ axes / spread
    seen = np.concatenate([turned, (start - turned @ center)[:, None]], axis=1)
    film_of = np.array([[focal, 0, 0.5], [0, focal * size[0] / size[1], 0.5], [0, 0, 1]])
    found = film_of @ seen
    return found if np.isfinite(found).all() else None


class HeaderCamera(NamedTuple):
    """A camera as a header may mean it, and that meaning in words."""

    projection: Projection
    meaning: str


def header_cameras(attributes: Mapping[str, Any], display: Box, data: Box) -> tuple[HeaderCamera, ...]:
    """What a header's standard attributes may say of the camera, the likeliest first; empty where they say nothing.

    By the standard, (0, 0) of NDC is the display window's upper left corner and (1, 1) its lower right one. Houdini,
    RenderMan (``NP``) and others write screen coordinates, from -1 to 1 with y up: they are told by where the axis of
    the lens meets the film. ``worldToCamera`` alone tells no field of view but by ``screenWindowWidth``.

    Args:
        attributes: Of the EXR header.
        display: The display window: inclusive x_min, y_min, x_max, y_max, px.
        data: That of the pixels.
    """
    found: list[tuple[Array, str]] = []
    ndc = _matrix(attributes.get(WORLD_TO_NDC, attributes.get("NP")))
    camera = _matrix(attributes.get(WORLD_TO_CAMERA, attributes.get("Nl")))
    if ndc is not None:
        x, y, w = ndc[:, 0], ndc[:, 1], ndc[:, 3]
        film, screen = np.stack([x, y, w]), np.stack([(x + w) / 2, (w - y) / 2, w])
        center = film[:2, :3] @ w[:3] / max(float(w[:3] @ w[:3]), 1e-300)
        found = [(film, f"{WORLD_TO_NDC} from 0 to 1, y down"), (screen, f"{WORLD_TO_NDC} from -1 to 1, y up")]
        if np.abs(center).sum() < np.abs(center - 0.5).sum():
            found.reverse()
    elif camera is not None:
        wide = float(attributes.get("screenWindowWidth", 1.0))
        middle = np.ravel(attributes.get("screenWindowCenter", (0.0, 0.0))).astype(np.float64)
        columns, lines = (display[i + 2] - display[i] + 1 for i in (0, 1))
        high = wide * lines / columns / float(attributes.get("pixelAspectRatio", 1.0) or 1.0)
        for sign, meaning in ((1.0, "looking along z"), (-1.0, "looking along -z")):
            x, y, w = camera[:, 0], camera[:, 1], sign * camera[:, 2]
            matrix = np.stack([0.5 * w + (x - middle[0] * w) / wide, 0.5 * w - (y - middle[1] * w) / high, w])
            found.append((matrix, f"{WORLD_TO_CAMERA} {meaning}, screen {wide:g} wide"))
    return tuple(_usable(found, display, data))


def _usable(found: list[tuple[Array, str]], display: Box, data: Box) -> Iterator[HeaderCamera]:
    for matrix, meaning in found:
        length = np.linalg.norm(matrix[2, :3])
        if np.isfinite(matrix).all() and length > 0 and np.linalg.det(matrix[:, :3] / length):
            yield HeaderCamera(Projection(matrix / length).within(display, data), meaning)


def _matrix(value: Any) -> Array | None:
    matrix = np.asarray(value, np.float64) if value is not None and np.size(value) == 16 else None
    return matrix.reshape(4, 4) if matrix is not None else None


def distances(projection: Projection, position: Plane) -> Plane:
    """Depth along the ray ``[1, H, W]`` of a position plane under its camera; 0 where it says nothing."""
    known = known_positions(position)
    points = np.where(known, position, 0).astype(np.float64)
    w = np.tensordot(projection.matrix[2, :3], points, 1) + projection.matrix[2, 3] - projection.near
    return (np.where(known & (w > 0), w, 0) * way_lengths(projection, *known.shape))[None].astype(np.float32)


def way_lengths(projection: Projection, height: int, width: int) -> NDArray[np.float32]:
    """How long the way through each pixel is while w grows by 1, ``[H, W]``."""
    return np.linalg.norm(projection.ways(height, width), axis=0)


#: How a header's camera and the depth beside it may be meant.
DEPTH_KINDS = ("along the viewing axis", "along the ray")


def readings(cameras: tuple[HeaderCamera, ...]) -> list[tuple[int, str]]:
    """Every camera with every kind of depth: its index, and the kind."""
    return list(product(range(len(cameras)), DEPTH_KINDS))
