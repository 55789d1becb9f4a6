"""What other frames know of a frame: their radiance, warped by camera or motion vectors, where it is the same surface.

A pixel's first surface that scatters, or its mirror image where mirrors and glass lie before it, is taken as a point of
the world. Another frame's camera says where its film shows that point; what its pixel there sees counts where it lies
at the same distance and has the same normal, and less the surer it is that light has changed. Motion vectors lead to
surfaces that have moved in the world, and where there is no camera to all. Radiance travels divided by the albedo, so
that textures stay sharp.

All that is used of the frame itself is the one render whose history it is, so that a half's history knows nothing of
its partner (law 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rendernoise.color import demodulator
from rendernoise.frame import Frame, Plane
from rendernoise.light import WIDE, Windows, agreement
from rendernoise.motion import Places, follow, length, reversed_vectors
from rendernoise.projection import Projection

#: The planes that neighbours are found and told apart by; each that is missing leaves out what it is for.
NEEDS = ("albedo", "normal", "depth", "to_previous", "to_next")
#: How far the distance of a surface may differ, beyond what its slope makes of half a pixel.
DISTANCE_TOLERANCE = 0.01
#: The same under motion vectors: both the surface and the camera may have come nearer.
MOVED_TOLERANCE = 0.1
#: Vectors longer than this that lead farther than this from where the camera shows a point say that it moved, px.
MOVED_PX = 1.0
#: The least cosine between two normals of one surface.
NORMAL_COSINE = 0.9
#: Less than this share of what lies in another frame's view is seen there: it is behind a cut, and knows nothing.
CUT_SHARE = 0.3


@dataclass(frozen=True)
class Surface:
    """What the pixels of a frame see, as another frame must know it.

    Args:
        projection: Of the frame's camera; None where motion vectors alone lead to it.
        distance: w of each pixel's point (:class:`rendernoise.projection.Projection`), ``[H, W]``; 0 where none is.
        taps: Distance, how far it may differ (-1 where the radiance is not finite), unit normal (0 where not known) and
            demodulated radiance, ``[H · W, 8]``.
        samples: Samples per pixel behind the radiance; 1 where nobody says.
        number: The frame's number in the shot.
        vectors: Motion to the previous and to the next frame, px, ``[H · W, 2]`` each; None where not known.
    """

    projection: Projection | None
    distance: Tensor
    taps: Tensor
    samples: int
    number: int = 1
    vectors: tuple[Tensor | None, Tensor | None] = (None, None)

    @classmethod
    def of(cls, frame: Frame) -> Surface | None:
        """The frame's surface; None where neither camera and depth nor motion vectors lead to it."""
        size = (frame.height, frame.width)
        vectors = tuple(_flat(frame.planes.get(name)) for name in ("to_previous", "to_next"))
        located = frame.projection is not None and "depth" in frame.planes
        if not located and vectors == (None, None):
            return None
        radiance = _tensor(frame.planes["radiance"])
        known = torch.ones(size, dtype=torch.bool)
        normal = torch.zeros(3, *size)
        if "normal" in frame.planes:
            given = _tensor(frame.planes["normal"])
            known &= given.isfinite().all(0)
            given = torch.nan_to_num(given)
            normal = given / _length(given).clamp_min(1e-12)
        distance = torch.zeros(size)
        if "depth" in frame.planes:
            depth = _tensor(frame.planes["depth"])[0]
            if frame.projection is None:
                w = depth
            else:
                w = depth / _length(torch.from_numpy(frame.projection.ways(*size))) + frame.projection.near
            distance = torch.where(known & depth.isfinite() & (depth > 0), w, 0)
        light = radiance / _demodulator(frame)
        allowed = DISTANCE_TOLERANCE * distance + _slope(distance)
        allowed = torch.where(light.isfinite().all(0), allowed, -1)
        taps = torch.cat((distance[None], allowed[None], normal, torch.nan_to_num(light, posinf=0.0)))
        return cls(
            frame.projection if located else None,
            distance,
            taps.flatten(1).T.contiguous(),
            frame.spp or 1,
            int(frame.metadata.get("source_frame", frame.number)),
            (vectors[0], vectors[1]),
        )

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), px."""
        return int(self.distance.shape[0]), int(self.distance.shape[1])

    @cached_property
    def has_distances(self) -> bool:
        """Whether the distance of any pixel is known."""
        return bool((self.distance > 0).any())

    @cached_property
    def has_normals(self) -> bool:
        """Whether the normal of any pixel is known."""
        return bool(self.taps[:, 2:5].any())

    @cached_property
    def from_neighbours(self) -> tuple[Tensor | None, Tensor | None]:
        """Motion from the previous and from the next frame to this one, made of this one's, px, ``[H · W, 2]`` each."""
        made = [v if v is None else reversed_vectors(v, self.taps[:, 0], self.size) for v in self.vectors]
        return made[0], made[1]


def _demodulator(frame: Frame) -> Tensor:
    """What a frame's radiance is divided by, ``[3, H, W]``; 1 without an albedo."""
    albedo = frame.planes.get("albedo")
    return torch.ones(1) if albedo is None else demodulator(torch.nan_to_num(_tensor(albedo))[None])[0]


def _flat(vectors: Plane | None) -> Tensor | None:
    return None if vectors is None else _tensor(vectors).flatten(1).T.contiguous()


def _tensor(plane: Plane) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(plane))


def _length(vectors: Tensor) -> Tensor:
    """Of each vector ``[3, ...]``; torch's own norm takes twenty times as long along this axis."""
    return vectors.square().sum(0).sqrt_()


def _slope(distance: Tensor) -> Tensor:
    """How much the distance changes from a pixel to the nearer of its neighbours in either direction, ``[H, W]``."""
    total = torch.zeros_like(distance)
    for axis in (0, 1):
        if distance.shape[axis] > 1:
            step = distance.diff(dim=axis).abs()
            ends = torch.full_like(distance.narrow(axis, 0, 1), torch.inf)
            total += torch.minimum(torch.cat((ends, step), axis), torch.cat((step, ends), axis))
    return total


def history(
    frame: Frame,
    others: Iterable[Surface],
    samples: int | None = None,
    *,
    windows: Windows = WIDE,
    cuts: set[int] | None = None,
) -> tuple[Plane, Plane]:
    """What other frames know of one render of a frame.

    Args:
        frame: The render.
        others: Surfaces of other frames.
        samples: What the reliability counts by, spp; None for the frame's own.
        windows: Over which light is compared.
        cuts: Takes the numbers of the frames that lie behind a cut.

    Returns:
        ``history``, the mean radiance ``[3, H, W]`` of the others' samples where they see the same surface, and
        ``reliability`` ``[1, H, W]``, how many times ``samples`` they are; 0 where none does.
    """
    size = (frame.height, frame.width)
    near = list(others)
    own = Surface.of(frame) if near else None
    if own is None:
        return np.zeros((3, *size), np.float32), np.zeros((1, *size), np.float32)
    near = [other for other in near if other.size == size]
    total = torch.zeros(frame.height * frame.width, 3)
    weight = torch.zeros(frame.height * frame.width)
    light = own.taps[:, 5:]
    arrived = _arrivals(own, near)
    for other in near:
        radiance, valid, cut = _found(own, other, arrived.get(other.number))
        if cut and cuts is not None:
            cuts.add(other.number)
        share = valid * float(other.samples)
        share *= agreement(light - radiance, share / own.samples, size, windows)
        total.addcmul_(share[:, None], radiance)
        weight += share
    mean = total.div_(weight.clamp_min(1e-30)[:, None])
    # Where light changes a little with every frame, none of them shows it for itself, but their mean does.
    weight *= agreement(light - mean, weight / own.samples, size, windows)
    radiance = mean.T.reshape(3, *size) * _demodulator(frame)
    reliability = weight.reshape(1, *size) / (samples or frame.spp or 1)
    return radiance.numpy(), reliability.numpy()


def seen_share(one: Surface, other: Surface) -> float:
    """The share of a frame's points that another frame's camera sees where both cameras say; 0 without cameras."""
    if one.projection is None or other.projection is None or one.size != other.size:
        return 0.0
    valid = _in_view(one, other, one.projection, other.projection).valid
    return float(valid.sum()) / max(int((one.distance > 0).sum()), 1)


def disagreement(one: Surface, other: Surface) -> float:
    """How far apart two frames' distances of one point typically are, as a share; NaN without cameras.

    Between pixels, 1 / w is interpolated, which is exact on planes.
    """
    if one.projection is None or other.projection is None or one.size != other.size:
        return float("nan")
    x, y, w = _projected(one, one.projection, other.projection)
    known = (other.distance > 0).float()
    images = torch.stack((known, known / other.distance.clamp_min(1e-30)))[None]
    grid = torch.stack((2 * x / w - 1, 2 * y / w - 1), -1)[None].nan_to_num(9.0)
    sure, nearness = F.grid_sample(images, grid, align_corners=False)[0]
    inside = (one.distance > 0) & (w > 0) & (sure > 0.999)
    off = (w * nearness - 1).abs()[inside]
    return float(off.median()) if len(off) else float("nan")


class _Sight(NamedTuple):
    """Which pixel of another frame shows each point (-1: none), its demodulated radiance, if it sees that surface."""

    place: Tensor
    light: Tensor
    valid: Tensor


def _found(own: Surface, other: Surface, arrived: Places | None) -> tuple[Tensor, Tensor, bool]:
    """The other frame's demodulated radiance ``[H · W, 3]`` at each pixel's surface, where that is, and if it is cut.

    Cameras come first. Where vectors say that a surface went elsewhere than a thing at rest would, or where cameras
    find none, the vectors count.
    """
    sights: list[_Sight] = []
    if own.projection is not None and other.projection is not None:
        sights.append(_in_view(own, other, own.projection, other.projection))
    if arrived is not None:
        sights.append(_arrived(own, other, arrived))
    cut = bool(sights) and (own.has_distances or arrived is not None)
    for index, (place, light, valid) in enumerate(sights):
        seen = int(valid.sum())
        if seen < CUT_SHARE * int((place >= 0).sum()) or not seen:
            sights[index] = _Sight(place, light, torch.zeros_like(valid))
        else:
            cut = False
    if not sights:
        return torch.zeros_like(own.taps[:, 5:]), torch.zeros(len(own.taps), dtype=torch.bool), False
    place, light, valid = sights[0]
    if arrived is not None and len(sights) == 2 and sights[1].valid.any():
        moved = _moved(place, arrived, own.size)
        elsewhere = (sights[1].valid & (moved | ~valid)).nonzero()[:, 0]
        light[elsewhere] = sights[1].light[elsewhere]
        valid = (valid & ~moved) | sights[1].valid
    return light, valid, cut


def _in_view(own: Surface, other: Surface, here: Projection, there: Projection) -> _Sight:
    """By both cameras: each pixel's point must lie at the distance of what the other one sees there."""
    height, width = own.size
    x, y, w = _projected(own, here, there)
    column, row = x.mul_(width).div_(w).floor_(), y.mul_(height).div_(w).floor_()
    inside = (own.distance > 0) & (w > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.where(inside, 0).long().mul_(width).add_(column.where(inside, 0).long()).flatten()
    taps = other.taps.index_select(0, place)
    inside, w = inside.flatten(), w.flatten()
    valid = inside & (taps[:, 0] > 0) & ((w - taps[:, 0]).abs_() <= taps[:, 1])
    valid = valid & _same_normals(own, other, taps)
    return _Sight(place.masked_fill_(~inside, -1), taps[:, 5:], valid)


def _projected(own: Surface, here: Projection, there: Projection) -> tuple[Tensor, Tensor, Tensor]:
    """(x, y, w) of each pixel's point under another camera, ``[H, W]`` each."""
    height, width = own.size
    # All in one: film position of this camera → way to the point → film position of the other one.
    turned = there.matrix[:, :3] @ np.linalg.inv(here.matrix[:, :3])
    moved = there.matrix[:, :3] @ here.eye + there.matrix[:, 3]
    v = torch.arange(0.5, height)[:, None] / height
    u = torch.arange(0.5, width)[None, :] / width
    x, y, w = (
        (float(a) * u + (float(b) * v + float(c))).mul_(own.distance).add_(float(d))
        for (a, b, c), d in zip(turned, moved, strict=True)
    )
    return x, y, w


def _arrived(own: Surface, other: Surface, arrived: Places) -> _Sight:
    """By motion vectors, which lead to places of the other frame."""
    place = arrived.pixel
    taps = other.taps.index_select(0, place.clamp_min(0))
    valid = (place >= 0) & (taps[:, 1] >= 0) & _same_normals(own, other, taps)
    here, there = own.taps[:, 0], taps[:, 0]
    if own.has_distances and other.has_distances:
        limit = MOVED_TOLERANCE * torch.maximum(here, there) + own.taps[:, 1].clamp_min(0) + taps[:, 1]
        valid &= ((here > 0) == (there > 0)) & ((here - there).abs() <= limit)
    return _Sight(place, taps[:, 5:], valid)


def _same_normals(own: Surface, other: Surface, taps: Tensor) -> Tensor | bool:
    """Whether normals are those of the other frame's ``taps``; true where one of both frames has none."""
    if not (own.has_normals and other.has_normals):
        return True
    return (own.taps[:, 2:5] * taps[:, 2:5]).sum(1) >= NORMAL_COSINE


def _moved(place: Tensor, arrived: Places, size: tuple[int, int]) -> Tensor:
    """Which pixels' vectors lead elsewhere than a thing at rest would be seen by the other camera."""
    x, y = arrived.xy.unbind(1)
    # At rest it is somewhere in that pixel.
    off = torch.maximum((x - 0.5 - place % size[1]).abs_(), (y - 0.5 - place // size[1]).abs_())
    moved = (off > MOVED_PX + 0.5) & (place >= 0)
    index = moved.nonzero()[:, 0]
    start = torch.stack((index % size[1] + 0.5, index // size[1] + 0.5), 1)
    moved[index] = length(arrived.xy[index] - start) > MOVED_PX
    return moved


def _arrivals(own: Surface, others: list[Surface]) -> dict[int, Places]:
    """Where chains of motion vectors lead from each pixel in the frames around, by their numbers.

    A chain goes from frame to frame, and ends where one is missing.
    """
    by_number = {other.number: other for other in others}
    found: dict[int, Places] = {}
    start = Places.start(own.size)
    for step in (-1, 1):
        here, places = own, start
        while (there := by_number.get(here.number + step)) is not None:
            ways = _link(here, there)
            if ways is None:
                break
            places = follow(places, *ways, own.size)
            found[there.number] = places
            here = there
    return found


def _link(here: Surface, there: Surface) -> tuple[Tensor, Tensor] | None:
    """Vectors from a frame to the one beside it, and back; those that no file has are made of the others."""
    later = int(there.number > here.number)
    forth, back = here.vectors[later], there.vectors[1 - later]
    if forth is None:
        forth = there.from_neighbours[1 - later]
    elif back is None:
        back = here.from_neighbours[later]
    return None if forth is None or back is None else (forth, back)
