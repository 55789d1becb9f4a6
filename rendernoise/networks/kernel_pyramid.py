"""The default network: per-pixel kernels on a pyramid of demodulated radiance, with a learned correction."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rendernoise.color import demodulator
from rendernoise.errors import InputError
from rendernoise.frame import PLANE_CHANNELS
from rendernoise.networks.blocks import MAX_LOG, bounded, positive
from rendernoise.networks.shuffled_unet import BLOCK_PX, ShuffledUNet

#: How much a correction may brighten or darken, in powers of e.
MAX_CORRECTION = 5.0
#: Where the additive part starts: expm1(softplus(-5)) = 0.007, out of the way until it is needed.
START = -5.0


class KernelPyramid(ShuffledUNet):
    """A U-Net that says how to average, and what the average lacks.

    The radiance is divided by the albedo and averaged over 2×2 pixels again and again. On every level of that pyramid
    each pixel gets a softmax kernel (Bako et al. 2017; over scales, Vogels et al. 2018), whose weights also fall with a
    neighbour's brightness: a firefly is seen by every kernel that would spread it. From the coarsest level up, the
    filtered level and the enlarged coarser one are blended by a learned share. The result
    f = (e^r · filtered + g) · albedo has a factor and an addition g > 0 from the same features, for the energy that
    dimmed fireflies lost and for what no neighbour holds. Kernels give sharp edges within a hundred steps where a
    direct prediction is blurred for thousands (docs/denoiser.md).
    """

    #: Sides of the kernels at the full resolution, 1/2, 1/4, …
    kernels: ClassVar[tuple[int, ...]] = (3, 3, 3, 5, 5, 5)
    #: The U-Net's: a coarse pixel's kernel looks as far as its features do, and enlarging it replaces the way up.
    reach_px: ClassVar[int] = 192

    def __init__(self, in_channels: int, out_channels: int = 3) -> None:
        if in_channels != sum(PLANE_CHANNELS[name] for name in self.planes):
            raise InputError(f"this network takes {', '.join(self.planes)}", "Leave its planes as they are")
        super().__init__(in_channels, out_channels)
        finest = _head_channels(self.kernels[0]) + 2 * out_channels
        self.output = nn.Conv2d(self.widths[0], finest * BLOCK_PX**2, 3, padding=1)
        self.heads = nn.ModuleList(
            nn.Conv2d(width, _head_channels(side), 1) for width, side in zip(self.widths, self.kernels[1:], strict=True)
        )
        for head in (self.output, *self.heads):
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            nn.init.normal_(head.weight, std=0.01)  # even kernels, even shares, no correction
            nn.init.zeros_(head.bias)

    def forward(self, planes: Tensor) -> Tensor:
        """``[N, in_channels, H, W]``, log1p radiance and albedo first, to positive ``[N, 3, H, W]``; any H, W ≥ 1."""
        height, width = planes.shape[-2:]
        padded = self.pad(planes)
        albedo = demodulator(padded[:, 3:6].float())
        features = self.trunk(padded)
        finest = F.pixel_shuffle(self.output(features[0]).float(), BLOCK_PX)
        maps = [finest, *(head(x).float() for head, x in zip(self.heads, features, strict=True))]
        levels = [padded[:, :3].float().clamp(0, MAX_LOG).expm1() / albedo]
        for _ in features:
            levels.append(F.avg_pool2d(levels[-1], 2))
        filtered = averaged(levels[-1], maps[-1], self.kernels[-1])
        for level, chosen, side in list(zip(levels, maps, self.kernels, strict=True))[-2::-1]:
            share = torch.sigmoid(chosen[:, :1])
            coarser = F.interpolate(filtered, scale_factor=2, mode="bilinear", align_corners=False)
            filtered = torch.lerp(coarser, averaged(level, chosen, side), share)
        factor, addition = finest[:, -6:-3], finest[:, -3:]
        result = filtered * bounded(factor, MAX_CORRECTION).exp() + positive(addition + START)
        return (result * albedo)[..., :height, :width]


class FastKernelPyramid(KernelPyramid):
    """:class:`KernelPyramid` with two thirds of the channels."""

    widths: ClassVar[tuple[int, ...]] = (24, 32, 48, 64, 64)


def _head_channels(side: int) -> int:
    """The share of this level, how much brightness counts against a neighbour, and the kernel."""
    return 2 + side * side


def averaged(radiance: Tensor, maps: Tensor, side: int) -> Tensor:
    """Radiance ``[N, 3, H, W]`` under the kernels of a head's maps ``[N, 2 + side², …, H, W]``.

    The weight of neighbour i is softmax(logit_i − s·log(1 + mean radiance_i)), with s = softplus(maps[:, 1]) ≥ 0.
    """
    height, width = radiance.shape[-2:]
    reach = side // 2
    brightness = radiance.mean(1, keepdim=True).log1p()
    around = F.pad(torch.cat((radiance, brightness), 1), (reach,) * 4, mode="replicate")
    neighbours = [around[..., y : y + height, x : x + width] for y in range(side) for x in range(side)]
    against = F.softplus(maps[:, 1:2])
    logits = maps[:, 2 : 2 + side * side] - against * torch.cat([n[:, 3:] for n in neighbours], 1)
    weights = torch.softmax(logits, 1)
    # One neighbour after the other: unfolding would hold side² copies of the image.
    total = weights[:, :1] * neighbours[0][:, :3]
    for i, neighbour in enumerate(neighbours[1:], 1):
        total = total + weights[:, i : i + 1] * neighbour[:, :3]
    return total
