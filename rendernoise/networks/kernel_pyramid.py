"""The default network: kernels that look at features, on a pyramid of demodulated radiance."""

from __future__ import annotations

from itertools import product
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rendernoise.color import demodulator
from rendernoise.errors import InputError
from rendernoise.frame import HISTORY_PLANES, PLANE_CHANNELS
from rendernoise.networks.blocks import CENTER, MAX_LOG, bounded, positive
from rendernoise.networks.shuffled_unet import BLOCK_PX, ShuffledUNet

#: History and reliability, behind all others.
HISTORY_CHANNELS = sum(PLANE_CHANNELS[name] for name in HISTORY_PLANES)
#: How much more or less than its samples the history may count, in powers of e.
MAX_TRUST = 6.0
#: How much the correction may brighten or darken, in powers of e.
MAX_CORRECTION = 5.0
#: Where the additive part starts: expm1(softplus(-5)) = 0.007, out of the way until it is needed.
START_ADDITION = -5.0


class Guide(NamedTuple):
    """Feature channels of one meaning, and the sharpness that a difference in them starts with.

    Args:
        channels: Where they are among the features.
        log_sharpness: ln of the factor of the squared distance: with 4.4, an albedo 0.11 away counts 1/e.
    """

    channels: slice
    log_sharpness: float


#: Of albedo, normal and roughness, as they follow the radiance.
GUIDES = (Guide(slice(0, 3), 4.4), Guide(slice(3, 6), 3.3), Guide(slice(6, 7), 3.3))
MAX_LOG_SHARPNESS = 9.0
#: Where the softplus of brightness starts, 0.13: fireflies count less, and walls in soft light lose little.
START_BRIGHTNESS = -2.0
#: Where the logits of coarser pixels start, above those of neighbours: smooth unless the features are against it.
START_PARENTS = 1.0
#: What a head says beside the kernel: how bright neighbours count, and how sharp each guide is.
KERNEL_MAPS = 1 + len(GUIDES)
#: What it says about pooling: a logit, and how bright pixels count.
POOL_MAPS = 2
#: Rows that are filtered together on a CPU, where no gradient is wanted: 30 % faster than the whole image.
BAND_PX = 32
#: Offsets of the four nearest coarser pixels, in a coarser image that was enlarged and given a rim of 1 px.
PARENTS = tuple(product((0, 2), (0, 2)))


class Level(NamedTuple):
    """One level of the pyramid.

    Args:
        radiance: Demodulated, ``[N, 3, H, W]``.
        guide: Its features, ``[N, 7, H, W]``, without gradient.
    """

    radiance: Tensor
    guide: Tensor

    @property
    def brightness(self) -> Tensor:
        """log(1 + mean radiance) ``[N, 1, H, W]``, without gradient: it steers weights, and is not to be learned."""
        return self.radiance.detach().mean(1, keepdim=True).log1p()


class Prior(NamedTuple):
    """The input's radiance and what other frames know of it.

    Args:
        own: Exposed radiance of the frame itself, ``[N, 3, H, W]``.
        history: That of other frames.
        reliability: On how many times the own samples that rests, ``[N, 1, H, W]``.
    """

    own: Tensor
    history: Tensor
    reliability: Tensor

    def mean(self, trust: Tensor | None = None) -> Tensor:
        """The mean of both by their samples, those of the history counted ``trust`` times."""
        share = self.reliability if trust is None else self.reliability * trust
        return (self.own + share * self.history) / (1 + share)


class KernelPyramid(ShuffledUNet):
    """A U-Net that says how to average.

    What other frames know, the history, is averaged with the frame's radiance A by the samples n times A's behind it:
    (A + n·t·history) / (1 + n·t), with the trust t from the U-Net. The result is divided by the albedo and averaged
    over 2×2 pixels again and again, by learned weights. From the coarsest level up, each pixel becomes a weighted mean
    of its neighbours and of the four nearest pixels of the filtered coarser level (joint bilateral upsampling, Kopf et
    al. 2007). The logit of neighbour j of pixel i is

        z_ij − s_i · log(1 + mean radiance_j) − Σ_g b_gi · ‖g_i − g_j‖²

    with z, s and b from the U-Net (kernel prediction, Bako et al. 2017; over scales, Vogels et al. 2018; bandwidths of
    features g, Kalantari et al. 2015). The distances know edges before anything is learned, and the brightness lets
    fireflies go, when pixels are averaged over 2×2 too. The result f = (e^r · filtered + a) · albedo has a factor and
    an addition a > 0 from the same U-Net, for the energy that fireflies held and for what no neighbour holds.
    """

    planes: ClassVar[tuple[str, ...]] = ("radiance", "albedo", "normal", "roughness", "history", "reliability")
    #: Sides of the kernels at the full resolution, 1/2, 1/4, …
    kernels: ClassVar[tuple[int, ...]] = (3, 3, 3, 3, 5, 5)
    #: The U-Net's, and up to three of its coarsest pixels: a parent's 5×5 kernel has neighbours that features pooled.
    reach_px: ClassVar[int] = 288

    def __init__(self, in_channels: int, out_channels: int = 3) -> None:
        if in_channels != sum(PLANE_CHANNELS[name] for name in self.planes):
            raise InputError(f"this network takes {', '.join(self.planes)}", "Leave its planes as they are")
        super().__init__(in_channels, out_channels)
        last = len(self.kernels) - 1
        starts = [_start(side, coarsest=level == last) for level, side in enumerate(self.kernels)]
        self.output = nn.Conv2d(self.widths[0], len(starts[0]) * BLOCK_PX**2, 3, padding=1)
        self.heads = nn.ModuleList(
            nn.Conv2d(width, len(start), 1) for width, start in zip(self.widths, starts[1:], strict=True)
        )
        self.correction = nn.Conv2d(self.widths[0], 2 * out_channels * BLOCK_PX**2, 3, padding=1)
        self.trust = nn.Conv2d(self.widths[0], BLOCK_PX**2, 3, padding=1)
        biases = (starts[0].repeat_interleave(BLOCK_PX**2), *starts[1:], torch.zeros(2 * out_channels * BLOCK_PX**2))
        for head, bias in zip((self.output, *self.heads, self.correction), biases, strict=True):
            assert isinstance(head, nn.Conv2d)
            nn.init.normal_(head.weight, std=0.01)  # kernels of features alone, no correction
            head.bias = nn.Parameter(bias)
        # A history is worth its samples until something else is learned.
        for weight in (self.trust.weight, self.trust.bias, self.entry.weight[:, -(BLOCK_PX**2) * HISTORY_CHANNELS :]):
            assert weight is not None
            nn.init.zeros_(weight)

    def forward(self, planes: Tensor) -> Tensor:
        """``[N, in_channels, H, W]``, compressed planes in order, to positive ``[N, 3, H, W]``; any H, W ≥ 1."""
        height, width = planes.shape[-2:]
        padded = self.pad(planes)
        own, guide, reliability = padded[:, :3], padded[:, 3:10].float(), padded[:, 13:]
        albedo = demodulator(guide[:, :3])
        prior = Prior(*(_linear(plane) for plane in (own, padded[:, 10:13], reliability)))
        known = prior.mean().log1p()
        # Without a history the last four are what the trunk takes for nothing.
        features = self.trunk(torch.cat((known, guide, own - known + CENTER, reliability + CENTER), 1))
        finest = F.pixel_shuffle(_plain(self.output(features[0])), BLOCK_PX)
        maps = [finest, *(_plain(head(x)) for head, x in zip(self.heads, features, strict=True))]
        trust = bounded(F.pixel_shuffle(_plain(self.trust(features[0])), BLOCK_PX), MAX_TRUST).exp()
        levels = [Level(prior.mean(trust) / albedo, guide)]
        for chosen in maps[:-1]:
            levels.append(pooled(levels[-1], chosen[:, :POOL_MAPS]))
        filtered = Level(averaged(levels[-1], maps[-1], self.kernels[-1]), levels[-1].guide)
        for level, chosen, side in list(zip(levels, maps, self.kernels, strict=True))[-2::-1]:
            filtered = Level(averaged(level, chosen[:, POOL_MAPS:], side, filtered), level.guide)
        factor, addition = F.pixel_shuffle(_plain(self.correction(features[0])), BLOCK_PX).chunk(2, 1)
        result = filtered.radiance * bounded(factor, MAX_CORRECTION).exp() + positive(addition + START_ADDITION)
        return (result * albedo)[..., :height, :width]


def _linear(compressed: Tensor) -> Tensor:
    """What log1p had compressed."""
    return compressed.float().clamp(0, MAX_LOG).expm1()


def _start(side: int, *, coarsest: bool) -> Tensor:
    """What a head says at first: of pooling, of brightness and sharpness in its kernel, and the logits."""
    kernel = [START_BRIGHTNESS, *[0.0] * (len(GUIDES) + side * side)]
    return torch.tensor(kernel if coarsest else [0.0, START_BRIGHTNESS, *kernel, *[START_PARENTS] * len(PARENTS)])


class FastKernelPyramid(KernelPyramid):
    """:class:`KernelPyramid` with two thirds of the channels, and no neighbours at the full resolution."""

    widths: ClassVar[tuple[int, ...]] = (24, 32, 48, 64, 64)
    kernels: ClassVar[tuple[int, ...]] = (1, 3, 3, 3, 5, 5)


def pooled(level: Level, maps: Tensor) -> Level:
    """The next coarser level.

    Args:
        level: Of even height and width.
        maps: A logit and how much brightness counts against a pixel, before softplus, ``[N, 2, H, W]``.
    """
    logits = maps[:, :1] - F.softplus(maps[:, 1:2]) * level.brightness
    weights = torch.softmax(F.pixel_unshuffle(logits, 2), 1)

    def mean(image: Tensor) -> Tensor:
        parts = (image[..., y::2, x::2] for y, x in product((0, 1), (0, 1)))
        total, *others = (weights[:, i : i + 1] * part for i, part in enumerate(parts))
        return sum(others, total)

    radiance = mean(level.radiance)
    with torch.no_grad():
        return Level(radiance, mean(level.guide))


def averaged(level: Level, maps: Tensor, side: int, coarser: Level | None = None) -> Tensor:
    """Radiance ``[N, 3, H, W]`` under the kernels of a head.

    Args:
        level: What to filter.
        maps: How much brightness counts against a neighbour, the logarithms of the guides' sharpness, and a logit for
            each neighbour, ``[N, 4 + side² (+ 4), H, W]``.
        side: Of the kernel.
        coarser: The coarser level, filtered already, of half the size; None for the coarsest.
    """
    images = [Neighbours(_rimmed(level, side // 2), tuple(product(range(side), range(side))))]
    if coarser is not None:
        enlarged = Level(*(F.interpolate(image, scale_factor=2, mode="nearest") for image in coarser))
        images.append(Neighbours(_rimmed(enlarged, 1), PARENTS))
    if torch.is_grad_enabled() or maps.device.type != "cpu":
        return _weighted_mean(level.guide, maps, images)
    # In bands, which stay in the CPU's cache.
    height = level.guide.shape[-2]
    bands = (slice(top, min(height, top + BAND_PX)) for top in range(0, height, BAND_PX))
    parts = [_weighted_mean(level.guide[..., y, :], maps[..., y, :], [near.rows(y) for near in images]) for y in bands]
    return torch.cat(parts, -2)


class Neighbours(NamedTuple):
    """Pixels that a kernel takes from one level.

    Args:
        image: The level with a rim.
        offsets: (y, x) of each neighbour's pixel in that image from the pixel's own place, from 0 to twice the rim.
    """

    image: Level
    offsets: tuple[tuple[int, int], ...]

    def rows(self, y: slice) -> Neighbours:
        """Those that the pixels of some rows have."""
        reach = self.offsets[-1][0]
        return Neighbours(Level(*(part[..., y.start : y.stop + reach, :] for part in self.image)), self.offsets)


def _weighted_mean(guide: Tensor, maps: Tensor, images: list[Neighbours]) -> Tensor:
    """What :func:`averaged` says, for the pixels of ``guide``."""
    brightness = [part for image, offsets in images for part in _shifted(image.brightness, offsets, maps)]
    logits = maps[:, KERNEL_MAPS:] - F.softplus(maps[:, :1]) * torch.cat(brightness, 1)
    for i, kind in enumerate(GUIDES):
        sharpness = (maps[:, 1 + i : 2 + i] + kind.log_sharpness).clamp(max=MAX_LOG_SHARPNESS).exp()
        distance = [_distances(guide, image.guide, offsets, kind) for image, offsets in images]
        logits = torch.addcmul(logits, sharpness, torch.cat(distance, 1), value=-1)
    weights = torch.softmax(logits, 1).split([len(offsets) for _, offsets in images], 1)
    total, *others = (
        _WeightedSum.apply(image.radiance, share, offsets)
        for (image, offsets), share in zip(images, weights, strict=True)
    )
    return sum(others, total)


class _WeightedSum(torch.autograd.Function):
    """Σ_i w_i · (image shifted by offset i), without a copy of the image for each offset, forward or backward."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weights: Tensor, offsets: tuple[tuple[int, int], ...]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(image, weights)
        ctx.offsets = offsets
        total = torch.zeros_like(image[..., : weights.shape[-2], : weights.shape[-1]])
        for i, part in enumerate(_shifted(image, offsets, weights)):
            total.addcmul_(part, weights[:, i : i + 1])
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        image, weights = ctx.saved_tensors
        of_weights = torch.empty_like(weights)
        for i, part in enumerate(_shifted(image, ctx.offsets, weights)):
            torch.sum(part * gradient, 1, out=of_weights[:, i])
        of_image = None
        if ctx.needs_input_grad[0]:
            of_image = torch.zeros_like(image)
            for i, part in enumerate(_shifted(of_image, ctx.offsets, weights)):
                part.addcmul_(gradient, weights[:, i : i + 1])
        return of_image, of_weights, None


@torch.no_grad()
def _distances(center: Tensor, image: Tensor, offsets: tuple[tuple[int, int], ...], guide: Guide) -> Tensor:
    """Squared distances ``[N, offsets, H, W]`` of the center's features from those of the image at each offset."""
    center, image = center[:, guide.channels], image[:, guide.channels]
    parts = [(part - center).square_().sum(1) for part in _shifted(image, offsets, center)]
    return torch.stack(parts, 1)


def _shifted(image: Tensor, offsets: tuple[tuple[int, int], ...], like: Tensor) -> list[Tensor]:
    """Views of the image at each offset, of the height and width of ``like``."""
    height, width = like.shape[-2:]
    return [image[..., y : y + height, x : x + width] for y, x in offsets]


def _rimmed(level: Level, px: int) -> Level:
    """The level with its border repeated outwards."""
    return Level(*(F.pad(image, (px,) * 4, mode="replicate") for image in level)) if px else level


def _plain(maps: Tensor) -> Tensor:
    """In float32 and channels first, as the radiance is: mixed layouts would cost twice the time."""
    return maps.float().contiguous(memory_format=torch.contiguous_format)
