"""A U-Net on blocks of 2×2 pixels, so that every layer has a fourth of the work."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rendernoise.networks.blocks import CENTER, activate, conv, limited, pad_to_multiple, positive
from rendernoise.networks.network import Network

BLOCK_PX = 2


class ShuffledUNet(Network):
    """Pixel-unshuffled (Shi et al. 2016) U-Net on log1p(radiance) with a positive head in log space.

    The 2×2 pixels of a block become channels of one and go through a U-Net of five levels and two convolutions a level;
    12 channels come out: RGB of the four pixels. Full resolution costs nothing but the sorting.
    The head f = expm1(softplus(z)) is positive; the loss compares linear radiance, so the minimiser stays the mean.
    """

    transfer: ClassVar[str] = "log1p"
    exposure: ClassVar[str] = "auto"
    planes: ClassVar[tuple[str, ...]] = ("radiance", "albedo", "normal", "roughness")
    bears_absence: ClassVar[bool] = True
    absent: ClassVar[float] = CENTER
    #: Channels at 1/2, 1/4, … of the resolution.
    widths: ClassVar[tuple[int, ...]] = (32, 48, 64, 80, 96)
    #: Two convolutions reach 2·2ˡ px on the way down and again on the way up.
    reach_px: ClassVar[int] = 192

    def __init__(self, in_channels: int, out_channels: int = 3) -> None:
        super().__init__(in_channels, out_channels)
        widths = self.widths
        before = (widths[0], *widths[:-1])
        self.entry = conv(in_channels * BLOCK_PX**2, widths[0])
        self.encoder = nn.ModuleList(
            nn.ModuleList((conv(wide, width), conv(width, width))) for wide, width in zip(before, widths, strict=True)
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList((conv(below + width, width), conv(width, width)))
            for below, width in zip(reversed(widths), reversed(widths[:-1]), strict=False)
        )
        self.output = conv(widths[0], out_channels * BLOCK_PX**2)

    def forward(self, planes: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to positive ``[N, out_channels, H, W]``, any H, W ≥ 1."""
        height, width = planes.shape[-2:]
        finest = self.trunk(self.pad(planes))[0]
        # In float32 even under bf16 autocast: 8 bits of output would band smooth gradients.
        with torch.autocast(finest.device.type, enabled=False):
            z = self.output(finest.float())
        return F.pixel_shuffle(positive(z), BLOCK_PX)[..., :height, :width]

    def pad(self, planes: Tensor) -> Tensor:
        """The planes with H and W rounded up to whole pixels of the coarsest level."""
        return pad_to_multiple(planes, BLOCK_PX << (len(self.widths) - 1))

    def trunk(self, padded: Tensor) -> list[Tensor]:
        """Features of every level, from half the resolution down to the coarsest."""
        kind = padded.device.type
        # Sorting bf16 moves half the bytes, and the first layer would convert them anyway.
        centred = (padded - CENTER).to(torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None)
        blocks = F.pixel_unshuffle(centred, BLOCK_PX).contiguous(memory_format=torch.channels_last)
        x = activate(self.entry(blocks))
        skips: list[Tensor] = []
        for level, (first, second) in enumerate(self.encoder):  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType]
            if level:
                x = F.max_pool2d(x, 2)
            x = activate(limited(second(activate(first(x)))))
            skips.append(x)
        features = [skips.pop()]
        for first, second in self.decoder:  # pyright: ignore[reportGeneralTypeIssues]
            x = torch.cat((F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()), dim=1)
            x = activate(limited(second(activate(first(x)))))
            features.append(x)
        return features[::-1]
