"""The U-Net of Noise2Noise, exactly (Lehtinen et al. 2018, appendix A.1, table 2)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rendernoise.networks.blocks import activate, conv, pad_to_multiple
from rendernoise.networks.network import Network

LEVELS = 5
WIDTH = 48


class UNet(Network):
    """Five poolings, 48 features, skips, leaky ReLU 0.1, linear output; 991,203 parameters for 3→3 channels."""

    #: The paper feeds T(radiance), unscaled.
    transfer: ClassVar[str] = "tonemap"
    exposure: ClassVar[str] = "none"
    #: 2 px at full size, doubling over five levels, down and up again.
    reach_px: ClassVar[int] = 128

    def __init__(self, in_channels: int, out_channels: int = 3) -> None:
        super().__init__(in_channels, out_channels)
        self.entry = conv(in_channels, WIDTH)
        self.encoder = nn.ModuleList(conv(WIDTH, WIDTH) for _ in range(LEVELS))
        self.bottom = conv(WIDTH, WIDTH)
        # Each decoder level sees the level below and the pooled features of its own size; the last sees the input.
        skips = [WIDTH] * (LEVELS - 1)
        self.decoder = nn.ModuleList()
        features = WIDTH
        for skip in skips:
            self.decoder.append(nn.ModuleList((conv(features + skip, 2 * WIDTH), conv(2 * WIDTH, 2 * WIDTH))))
            features = 2 * WIDTH
        self.exit = nn.ModuleList((conv(features + in_channels, 64), conv(64, 32)))
        self.output = conv(32, out_channels)

    def forward(self, planes: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, out_channels, H, W]``, any H, W ≥ 1."""
        height, width = planes.shape[-2:]
        return self.head(self.body(pad_to_multiple(planes, 1 << LEVELS)))[..., :height, :width]

    def body(self, planes: Tensor) -> Tensor:
        """Everything before the output's activation; H and W are multiples of 32."""
        x = activate(self.entry(planes))
        skips = [planes]
        for layer in self.encoder:
            x = F.max_pool2d(activate(layer(x)), 2)
            skips.append(x)
        x = activate(self.bottom(x))
        skips.pop()
        for first, second in self.decoder:  # pyright: ignore[reportGeneralTypeIssues]
            x = torch.cat((F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()), dim=1)
            x = activate(second(activate(first(x))))
        x = torch.cat((F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()), dim=1)
        for layer in self.exit:
            x = activate(layer(x))
        # In float32 even under bf16 autocast: 8 bits of output would band smooth gradients.
        with torch.autocast(x.device.type, enabled=False):
            return self.output(x.float())

    def head(self, z: Tensor) -> Tensor:
        """The output's activation; the paper's is none."""
        return z
