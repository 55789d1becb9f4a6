"""What every network has beside its layers."""

from __future__ import annotations

from typing import ClassVar

from torch import nn


class Network(nn.Module):
    """Maps compressed planes ``[N, channels, H, W]`` to linear radiance ``[N, 3, H, W]``, for any H, W ≥ 1.

    Args:
        in_channels: Channels of the compressed planes.
        out_channels: Channels of the prediction.
    """

    #: The transfer (``color.TRANSFERS``) and the exposure rule (``model.EXPOSURE_RULES``) that it was made for.
    transfer: ClassVar[str]
    exposure: ClassVar[str]
    #: The planes that it is made for.
    planes: ClassVar[tuple[str, ...]] = ("radiance", "albedo", "normal")
    #: Whether it takes all of them always, and any but radiance may be unknown.
    bears_absence: ClassVar[bool] = False
    #: What stands for a plane that a frame lacks, after compression: the value that the network takes for nothing.
    absent: ClassVar[float] = 0.0
    #: How far beyond its own block of 32 px an output looks, px: what tiles, which start on such blocks, must overlap.
    reach_px: ClassVar[int]

    def __init__(self, in_channels: int, out_channels: int = 3) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
