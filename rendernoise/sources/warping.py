"""What the frames of a sequence are warped onto each other by: found once, told in a line, applied to each frame.

Files of other renderers say where their surfaces are in several ways, and not always what they mean by it. A few frames
of the sequence are read beforehand and warped onto each other, which tells. Afterwards every frame has ``depth`` along
the ray beside a ``projection``, and ``to_previous`` and ``to_next`` in px, as far as its file tells them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from rendernoise.cameras import (
    DEPTH_KINDS,
    HEADER_CAMERAS,
    HeaderCamera,
    distances,
    fit_to_positions,
    readings,
    way_lengths,
)
from rendernoise.errors import RendernoiseError
from rendernoise.frame import Frame, Plane
from rendernoise.history import CUT_SHARE, Surface, disagreement, seen_share
from rendernoise.io.sequence import format_frames
from rendernoise.motion import Convention, detect, spelled, usable

#: A header and depth are taken for something else than the likeliest where distances then differ by less than this
#: share of what they would; those that differ by no more than the second are exact, as before a camera at rest.
CLEARLY, EXACT = 0.7, 1e-5
_MOTION = ("motion", "motion2")
_DIRECTIONS = {"previous": "to_previous", "next": "to_next"}
NOTHING = (
    "each frame is denoised alone, as nothing tells where its surfaces are in other frames: render world positions"
    " (Position, P) or motion vectors (Vector, motionvector), or name them with --role position=LAYER, motion=LAYER"
)


@dataclass
class Warping:
    """How frames of one sequence are to be read.

    Args:
        header: Which of a header's cameras, and the kind of depth beside it; None where these are not to be used.
        conventions: What ``motion`` and ``motion2`` mean; without those that are ignored.
        notes: One line for each thing that was found.
    """

    header: tuple[int, str] | None = None
    conventions: dict[str, Convention] = field(default_factory=dict[str, Convention])
    notes: list[str] = field(default_factory=list[str])
    _lost: dict[int, int] = field(default_factory=dict[int, int])

    def __call__(self, frame: Frame) -> Frame:
        """The frame with what it is warped by, and without what that was made of."""
        return self._with_vectors(located(frame, self.header))

    def _with_vectors(self, frame: Frame) -> Frame:
        planes = {name: plane for name, plane in frame.planes.items() if name not in _MOTION}
        lost = 0
        for name, convention in self.conventions.items():
            if name in frame.planes:
                with np.errstate(over="ignore", invalid="ignore"):
                    vectors, bad = usable(convention.in_px(frame.planes[name]))
                planes[_DIRECTIONS[convention.toward]] = vectors
                lost = max(lost, bad)
        if lost:
            self._lost[frame.number] = lost
        return replace(frame, planes=planes)

    def lost_vectors(self) -> str:
        """A line on pixels whose vectors lead nowhere, in the frames so far; empty where all do."""
        if not self._lost:
            return ""
        total, most = sum(self._lost.values()), max(self._lost, key=lambda n: self._lost[n])
        text = f"motion vectors of {total} pixel(s) in frames {format_frames(self._lost)} lead nowhere"
        return f"{text} (NaN, infinite, or longer than the image; most in frame {most}): no history by them"


def located(frame: Frame, header: tuple[int, str] | None = None) -> Frame:
    """The frame with the camera that its positions or its header tell, and depth along the ray; as it is without.

    Our own camera comes with a depth that follows mirrors, so that comes first.
    """
    planes = {name: plane for name, plane in frame.planes.items() if name != "position"}
    position = frame.planes.get("position")
    projection = frame.projection
    if projection is not None:
        if "depth" not in planes and position is not None:
            planes["depth"] = distances(projection, position)
        return replace(frame, planes=planes)
    if position is not None:
        projection = fit_to_positions(position)
        if projection is not None:
            return replace(frame, planes={**planes, "depth": distances(projection, position)}, projection=projection)
    if header is not None:
        index, kind = header
        cameras: Sequence[HeaderCamera] = frame.metadata.get(HEADER_CAMERAS, ())
        if index < len(cameras):
            projection = cameras[index].projection
            if "depth" in planes:
                planes["depth"] = _along_the_ray(planes["depth"], kind, cameras[index])
            elif position is not None:
                planes["depth"] = distances(projection, position)
    return replace(frame, planes=planes, projection=projection)


def _along_the_ray(depth: Plane, kind: str, camera: HeaderCamera) -> Plane:
    if kind == DEPTH_KINDS[1]:
        return depth
    return depth * way_lengths(camera.projection, *depth.shape[1:])


def find_warping(
    read: Callable[[int], Frame], numbers: Sequence[int], channels: Mapping[str, tuple[str, ...]]
) -> Warping:
    """Find how the frames of a sequence are to be warped.

    Args:
        read: Reads a frame by its number, with ``position``, ``motion`` and ``motion2`` as the file has them. One that
            cannot be read is not looked at.
        numbers: The sequence, in order.
        channels: Where planes were found, by which motion vectors have a meaning beforehand.
    """
    frames: dict[int, Frame] = {}
    for number in _looked_at(numbers):
        try:
            frames[number] = read(number)
        except (RendernoiseError, ValueError):
            continue  # said when its own turn comes
    warping = Warping()
    if len(frames) < 2:
        return warping
    located_by = _find_cameras(warping, frames, channels)
    for plane in _MOTION:
        if any(plane in frame.planes for frame in frames.values()):
            names = channels.get(plane, (f"{plane}.X", f"{plane}.Y"))
            verdict = detect(frames, plane, spelled(names))
            if verdict.convention is not None:
                warping.conventions[plane] = verdict.convention
            warping.notes.append(f"motion vectors: {_names(names)}, {verdict.text}")
    if not located_by and not warping.conventions:
        warping.notes.append(NOTHING)
        return warping
    every = set.intersection(*(set(frame.planes) for frame in frames.values()))
    lacking = [what for name, what in _FOR.items() if name not in every]
    if lacking:
        warping.notes.append("; ".join(lacking))
    return warping


_FOR = {
    "albedo": "no albedo: textures are compared and averaged with their light",
    "normal": "no normal: surfaces are told apart by distance and light alone",
}


def _looked_at(numbers: Sequence[int]) -> list[int]:
    """Some frames in a row from the middle of the sequence and its beginning, where possible consecutive ones."""
    order = sorted(numbers)
    rows = [order[i : i + 3] for i in range(max(1, len(order) - 2))]
    shortest = min(row[-1] - row[0] + 3 - len(row) for row in rows)
    rows = [row for row in rows if row[-1] - row[0] + 3 - len(row) == shortest]
    return sorted({*rows[len(rows) // 2], *rows[0]})


def _find_cameras(warping: Warping, frames: dict[int, Frame], channels: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether cameras were found; what they are is noted, and set where a header must be read in a certain way."""
    if any(f.projection is not None and {"depth", "position"} & set(f.planes) for f in frames.values()):
        return True
    if any("position" in frame.planes for frame in frames.values()):
        names = _names(channels.get("position", ("position",)))
        fitted = [located(frame) for frame in frames.values()]
        if any(frame.projection is not None for frame in fitted):
            warping.notes.append(f"cameras: fitted to the positions in {names} ({_percent(_share(fitted))})")
            return True
        warping.notes.append(f"cameras: no pinhole shows the positions in {names} where they are, so they are not used")
    first = next(iter(frames.values()))
    cameras: tuple[HeaderCamera, ...] = first.metadata.get(HEADER_CAMERAS, ())
    if not cameras:
        return False
    if not all({"depth", "position"} & set(frame.planes) for frame in frames.values()):
        warping.notes.append(f"cameras: {cameras[0].meaning}, but no depth tells where surfaces are: not used")
        return False
    surfaces = {way: [located(frame, way) for frame in frames.values()] for way in readings(cameras)}
    off = {way: _disagreement(read) for way, read in surfaces.items()}
    likeliest = next(iter(off))
    best = min(off, key=lambda way: off[way])
    if off[best] > CLEARLY * off[likeliest] or off[likeliest] < EXACT:
        best = likeliest
    share = _share(surfaces[best])
    if share < CUT_SHARE:
        text = f"cameras: {cameras[0].meaning}, and no kind of depth shows the surfaces of one frame in the next"
        warping.notes.append(f"{text}: not used")
        return False
    warping.header = best
    text = f"cameras: {cameras[best[0]].meaning}, depth {best[1]} (distances differ by {100 * off[best]:.2g} %"
    other = min((way for way in off if way[1] != best[1]), key=lambda way: off[way])
    warping.notes.append(f"{text}; {other[1]} {100 * off[other]:.2g} %; {_percent(share)})")
    return True


def _share(frames: Sequence[Frame]) -> float:
    """The share of surfaces that cameras show in the frames beside them."""
    shares = [seen_share(*pair) for pair in _pairs(frames)]
    return float(np.mean(shares)) if shares else 0.0


def _pairs(frames: Sequence[Frame]) -> list[tuple[Surface, Surface]]:
    surfaces = [Surface.of(frame) for frame in frames]
    return [pair for a, b in pairwise(surfaces) if a and b for pair in ((a, b), (b, a))]


def _disagreement(frames: Sequence[Frame]) -> float:
    """How far apart distances of one surface are in frames beside each other."""
    found = [disagreement(*pair) for pair in _pairs(frames)]
    known = [value for value in found if np.isfinite(value)]
    return float(np.mean(known)) if known else 1.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} % of the surfaces are found again in the next frame"


def _names(channels: Sequence[str]) -> str:
    layer = channels[0].rpartition(".")[0]
    return f"{layer}.{','.join(name.rpartition('.')[2] for name in channels)}" if layer else ",".join(channels)
