"""The U-Nets of Noise2Void and N2V2, with batch norm, for images with values about 0."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rendernoise.networks.blocks import pad_to_multiple
from rendernoise.networks.network import Network

WIDTH = 32
POOLINGS = 2


class N2VUNet(Network):
    """Two poolings, 32 features that double with each, two 3×3 convolutions a level with batch norm and ReLU.

    The result is a 1×1 convolution of these features plus the image itself (Krull et al. 2019, section 4, and the
    authors' script for BSD68, which has 96 features). 333,185 parameters for 1→1 channels. In training mode the
    batch norm looks at the batch; in evaluation mode, at what it saw on average.
    """

    transfer: ClassVar[str] = "linear"
    exposure: ClassVar[str] = "none"
    planes: ClassVar[tuple[str, ...]] = ("radiance",)
    #: 20 px of convolutions, and the block of 4×4 px that is pooled to one.
    reach_px: ClassVar[int] = 32
    #: Whether the result is added to the image, and whether the decoder sees features of the image's own size.
    residual: ClassVar[bool] = True
    top_skip: ClassVar[bool] = True

    def __init__(self, in_channels: int, out_channels: int = 3) -> None:
        super().__init__(in_channels, out_channels)
        wide, bottom = 2 * WIDTH, 4 * WIDTH
        self.entry = _convolution(in_channels, WIDTH)
        self.encoder = nn.ModuleList(
            (
                nn.Sequential(*_activation(WIDTH), *_layer(WIDTH, WIDTH)),
                nn.Sequential(*_layer(WIDTH, wide), *_layer(wide, wide)),
            )
        )
        self.bottom = nn.Sequential(*_layer(wide, bottom), *_layer(bottom, wide))
        self.decoder = nn.ModuleList(
            (
                nn.Sequential(*_layer(2 * wide, wide), *_layer(wide, WIDTH)),
                nn.Sequential(*_layer(2 * WIDTH if self.top_skip else WIDTH, WIDTH), *_layer(WIDTH, WIDTH)),
            )
        )
        self.output = nn.Conv2d(WIDTH, out_channels, 1)

    def forward(self, planes: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, out_channels, H, W]``, any H, W ≥ 1; radiance is first of the planes."""
        height, width = planes.shape[-2:]
        padded = pad_to_multiple(planes, 1 << POOLINGS)
        x = self.entry(padded)
        skips: list[Tensor] = []
        for layers in self.encoder:
            x = layers(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for layers in self.decoder:
            x, skip = F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()
            x = layers(torch.cat((x, skip), dim=1) if skips or self.top_skip else x)
        # In float32 even under bf16 autocast: 8 bits of output would band smooth gradients.
        with torch.autocast(x.device.type, enabled=False):
            result = self.output(x.float())
        if self.residual:
            result = result + padded[:, : self.out_channels].float()
        return result[..., :height, :width]

    def pool(self, x: Tensor) -> Tensor:
        """Half the height and width."""
        return F.max_pool2d(x, 2)


class N2V2UNet(N2VUNet):
    """The U-Net of N2V2 (Höck et al. 2022, section 3.1), which leaves no checkerboards.

    It blurs what it pools (max-blur-pool, Zhang 2019), adds nothing to the image, and its decoder does not see the
    features of the image's own size: nothing lets single noisy pixels through.
    """

    residual: ClassVar[bool] = False
    top_skip: ClassVar[bool] = False

    def pool(self, x: Tensor) -> Tensor:
        """The largest of 2×2 px at every pixel, blurred by [1 2 1] / 4 both ways, of which every second is kept."""
        largest = F.max_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 2, stride=1)
        # [1 2 1] is [1 1] twice; with 1 px at each side the blur lies centered on the 2×2 px that become one.
        return F.avg_pool2d(F.avg_pool2d(largest, 2, stride=1), 2)


def _layer(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [_convolution(in_channels, out_channels), *_activation(out_channels)]


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3×3 convolution, He-initialised for the ReLU behind it; the batch norm between them brings the bias."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def _activation(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
