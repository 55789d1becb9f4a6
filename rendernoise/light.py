"""Whether the light on a surface is the same in two frames: lamps move, reflections do, pictures on a screen change."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

#: Over what light is compared: by the side of blocks in px, the largest first, each a multiple of the next, the sides
#: of windows in blocks.
Windows = Mapping[int, tuple[int, ...]]
#: 20 px see the edge of a shadow, 60 px a room that grows a little brighter.
WIDE: Windows = {4: (5, 15)}
#: 6 px see a reflection that moves by its own width, too. Weights that learn what neighbours are worth see that for
#: themselves, and lose more to the chance by which some of many small windows differ than they gain.
FINE: Windows = {**WIDE, 2: (3,)}
#: Standard errors by which light must differ before it counts less, and pixels that a denoiser averages, roughly.
CAUTION, AVERAGED_PX = 2.0, 30


def agreement(difference: Tensor, ratio: Tensor, size: tuple[int, int], windows: Windows) -> Tensor:
    """How much the samples of other frames count where their light is not the same, 0 to 1, ``[H · W]``.

    n samples that are off by b are worth n / (1 + n b² / σ²) of those whose variance is σ². A denoiser averages
    :data:`AVERAGED_PX` pixels, so that b weighs as many times more. b is what the mean difference over some blocks has
    beyond twice its standard error; fireflies enlarge that, so they are no reason to doubt.

    Args:
        difference: The frame's own light less the others', ``[H · W, 3]``.
        ratio: Their samples for each own one, ``[H · W]``; 0 where they see another surface.
        size: (H, W).
        windows: Over which b is looked for; where it is largest counts.
    """
    valid = ratio > 0
    grey = difference.mean(1).mul_(valid)
    images = torch.stack((valid.float(), grey, grey.square(), ratio)).reshape(1, 4, *size)
    blocks_of: dict[int, Tensor] = {}
    finer, finer_px = images, 1
    for px in sorted(windows):  # sums of sums cost less
        finer, finer_px = _summed(finer, px // finer_px), px
        blocks_of[px] = finer
    doubt, coarser_px = None, 0
    for px, sides in windows.items():
        blocks = blocks_of[px]
        doubts = [_doubt(blocks, side) for side in sides]
        if doubt is not None:  # of the larger blocks
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


def _doubt(blocks: Tensor, side: int) -> Tensor:
    """By how much light is off in a window around each block, as :func:`agreement` counts it, ``[1, 1, h, w]``.

    Args:
        blocks: Sums over each block of ones, differences, their squares and ratios of samples, ``[1, 4, h, w]``.
        side: Of the window, in blocks.
    """
    down = F.avg_pool2d(blocks, (side, 1), 1, (side // 2, 0), divisor_override=1)
    sums = F.avg_pool2d(down, (1, side), 1, (0, side // 2), divisor_override=1)
    count = sums[:, :1].clamp_min(1)
    mean, square, ratios = (sums[:, 1:] / count).chunk(3, 1)
    variance = (square - mean.square()).clamp_min_(1e-30)
    off = (mean.square() - CAUTION**2 * variance / count).clamp_min_(0)
    return AVERAGED_PX * ratios * off / variance
