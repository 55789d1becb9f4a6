"""What other frames know of a frame: their radiance, warped by position and camera, where it is the same surface.

A pixel's first surface that scatters, or its mirror image where mirrors and glass lie before it, is taken as a point of
the world. Another frame's camera says where its film shows that point; what its pixel there sees counts where it lies
at the same distance and has the same normal, and less the surer it is that light has changed. Radiance travels divided
by the albedo, so that textures stay sharp.

All that is used of the frame itself is the one render whose history it is, so that a half's history knows nothing of
its partner (law 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rendernoise.color import demodulator
from rendernoise.frame import Frame, Plane
from rendernoise.projection import Projection

#: The planes that a frame must have to be warped, beside its projection.
NEEDS = ("albedo", "normal", "depth")
#: How far the distance of a surface may differ, beyond what its slope makes of half a pixel.
DISTANCE_TOLERANCE = 0.01
#: The least cosine between two normals of one surface.
NORMAL_COSINE = 0.9
#: Light is compared over windows of so many blocks, by the side of the blocks in px: small ones see a reflection that
#: moves, middle ones the edge of a shadow, large ones a room that grows a little brighter. With each, by how many
#: standard errors light must differ before it counts less: of many small windows some always differ by chance.
WINDOWS = {2: ((3, 3.0),), 4: ((5, 2.0), (15, 2.0))}
#: Pixels that a denoiser averages, roughly.
AVERAGED_PX = 30
#: Less than this share of what lies in another frame's view is seen there: it is behind a cut, and knows nothing.
CUT_SHARE = 0.3


@dataclass(frozen=True)
class Surface:
    """What the pixels of a frame see, as another frame must know it.

    Args:
        projection: Of the frame's camera.
        distance: w of each pixel's point (:class:`rendernoise.projection.Projection`), ``[H, W]``; 0 where none is.
        taps: Distance (0 also where the radiance is not finite), how far it may differ, unit normal and demodulated
            radiance, ``[H · W, 8]``.
        samples: Samples per pixel behind the radiance; 1 where nobody says.
    """

    projection: Projection
    distance: Tensor
    taps: Tensor
    samples: int

    @classmethod
    def of(cls, frame: Frame) -> Surface | None:
        """The frame's surface; None where it has no projection or lacks a plane of :data:`NEEDS`."""
        if frame.projection is None or any(name not in frame.planes for name in NEEDS):
            return None
        radiance, albedo, normal, depth = (_tensor(frame.planes[name]) for name in ("radiance", *NEEDS))
        ways = frame.projection.ways(frame.height, frame.width)
        lengths = _length(torch.from_numpy(ways))
        known = depth[0].isfinite() & (depth[0] > 0) & normal.isfinite().all(0)
        distance = torch.where(known, depth[0] / lengths + frame.projection.near, 0)
        normal = torch.nan_to_num(normal)
        normal = normal / _length(normal).clamp_min(1e-12)
        light = radiance / demodulator(torch.nan_to_num(albedo)[None])[0]
        seen = torch.where(light.isfinite().all(0), distance, 0)
        allowed = DISTANCE_TOLERANCE * distance + _slope(distance)
        taps = torch.cat((seen[None], allowed[None], normal, torch.nan_to_num(light, posinf=0.0)))
        return cls(frame.projection, distance, taps.flatten(1).T.contiguous(), frame.spp or 1)


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


def history(frame: Frame, others: Iterable[Surface], samples: int | None = None) -> tuple[Plane, Plane]:
    """What other frames know of one render of a frame.

    Args:
        frame: The render.
        others: Surfaces of other frames.
        samples: What the reliability counts by, spp; None for the frame's own.

    Returns:
        ``history``, the mean radiance ``[3, H, W]`` of the others' samples where they see the same surface, and
        ``reliability`` ``[1, H, W]``, how many times ``samples`` they are; 0 where none does.
    """
    size = (frame.height, frame.width)
    near = list(others)
    own = Surface.of(frame) if near else None
    if own is None:
        return np.zeros((3, *size), np.float32), np.zeros((1, *size), np.float32)
    total = torch.zeros(frame.height * frame.width, 3)
    weight = torch.zeros(frame.height * frame.width)
    light = own.taps[:, 5:]
    for other in near:
        radiance, valid = _seen(own, other)
        share = valid * float(other.samples)
        share *= _agreement(light - radiance, share / own.samples, size)
        total.addcmul_(share[:, None], radiance)
        weight += share
    mean = total.div_(weight.clamp_min(1e-30)[:, None])
    # Where light changes a little with every frame, none of them shows it for itself, but their mean does.
    weight *= _agreement(light - mean, weight / own.samples, size)
    radiance = mean.T.reshape(3, *size) * demodulator(torch.nan_to_num(_tensor(frame.planes["albedo"]))[None])[0]
    reliability = weight.reshape(1, *size) / (samples or frame.spp or 1)
    return radiance.numpy(), reliability.numpy()


def _seen(own: Surface, other: Surface) -> tuple[Tensor, Tensor]:
    """The other frame's demodulated radiance ``[H · W, 3]`` at each pixel's point, and whether that is its surface."""
    height, width = own.distance.shape
    if other.distance.shape != own.distance.shape:
        return torch.zeros(height * width, 3), torch.zeros(height * width, dtype=torch.bool)
    # All in one: film position of this camera → way to the point → film position of the other one.
    turned = other.projection.matrix[:, :3] @ np.linalg.inv(own.projection.matrix[:, :3])
    moved = other.projection.matrix[:, :3] @ own.projection.eye + other.projection.matrix[:, 3]
    v = torch.arange(0.5, height)[:, None] / height
    u = torch.arange(0.5, width)[None, :] / width
    x, y, w = (
        (float(a) * u + (float(b) * v + float(c))).mul_(own.distance).add_(float(d))
        for (a, b, c), d in zip(turned, moved, strict=True)
    )
    column, row = x.mul_(width).div_(w).floor_(), y.mul_(height).div_(w).floor_()
    inside = (own.distance > 0) & (w > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.where(inside, 0).long().mul_(width).add_(column.where(inside, 0).long()).flatten()
    taps = other.taps.index_select(0, place)
    inside, w = inside.flatten(), w.flatten()
    valid = inside & (taps[:, 0] > 0) & ((w - taps[:, 0]).abs_() <= taps[:, 1])
    valid &= (own.taps[:, 2:5] * taps[:, 2:5]).sum(1) >= NORMAL_COSINE
    if valid.sum() < CUT_SHARE * inside.sum():
        valid = torch.zeros_like(valid)
    return taps[:, 5:], valid


def _agreement(difference: Tensor, ratio: Tensor, size: tuple[int, int]) -> Tensor:
    """How much the samples of other frames count where their light is not the same, 0 to 1, ``[H · W]``.

    n samples that are off by b are worth n / (1 + n b² / σ²) of those whose variance is σ². A denoiser averages
    :data:`AVERAGED_PX` pixels, so that b weighs as many times more. b is what the mean difference over some blocks has
    beyond some standard errors; fireflies enlarge that, so they are no reason to doubt.

    Args:
        difference: The frame's own light less the others', ``[H · W, 3]``.
        ratio: Their samples for each own one, ``[H · W]``; 0 where they see another surface.
        size: (H, W).
    """
    valid = ratio > 0
    grey = difference.mean(1).mul_(valid)
    images = torch.stack((valid.float(), grey, grey.square(), ratio)).reshape(1, 4, *size)
    doubt, coarser_px = None, 0
    for px, windows in reversed(WINDOWS.items()):  # the coarsest blocks first, each then enlarged onto the next
        blocks = _summed(images, px)
        doubts = [_doubt(blocks, side, caution) for side, caution in windows]
        if doubt is not None:
            doubts.append(_enlarged(doubt, coarser_px // px, blocks))
        doubt, coarser_px = torch.stack(doubts).amax(0), px
    assert doubt is not None
    return _enlarged(1 / (1 + doubt), coarser_px, images).flatten()


def _enlarged(image: Tensor, factor: int, like: Tensor) -> Tensor:
    """Each pixel repeated so many times on each side, cut to the height and width of ``like``."""
    return F.interpolate(image, scale_factor=factor, mode="nearest")[..., : like.shape[-2], : like.shape[-1]]


def _summed(images: Tensor, side: int) -> Tensor:
    """Sums over blocks of so many pixels on each side; beyond the last row and column is nothing."""
    height, width = images.shape[-2:]
    return F.avg_pool2d(F.pad(images, (0, -width % side, 0, -height % side)), side, divisor_override=1)


def _doubt(blocks: Tensor, side: int, caution: float) -> Tensor:
    """By how much light is off in a window around each block, as :func:`_agreement` counts it, ``[1, 1, h, w]``.

    Args:
        blocks: Sums over each block of ones, differences, their squares and ratios of samples, ``[1, 4, h, w]``.
        side: Of the window, in blocks.
        caution: Standard errors by which it may be off.
    """
    sums = F.avg_pool2d(blocks, side, 1, side // 2, divisor_override=1)
    count = sums[:, :1].clamp_min(1)
    mean, square, ratios = (sums[:, 1:] / count).chunk(3, 1)
    variance = (square - mean.square()).clamp_min_(1e-30)
    off = (mean.square() - caution**2 * variance / count).clamp_min_(0)
    return AVERAGED_PX * ratios * off / variance
