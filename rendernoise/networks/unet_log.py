"""The paper's U-Net with a positive head in log space, which learns high dynamic range in far fewer steps."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from rendernoise.networks.blocks import CENTER, positive
from rendernoise.networks.unet import UNet


class UNetLog(UNet):
    """The body of :class:`UNet` on log1p(radiance), with f = expm1(softplus(z)) > 0.

    The loss still compares linear radiance, so the minimiser stays the mean; only the steps towards it are better
    scaled, because a step in z changes bright and dark pixels by the same ratio. Inputs are centred: where the camera
    sees nothing all planes are 0, and through zeros only biases could learn that f is 0 there.
    """

    transfer: ClassVar[str] = "log1p"
    exposure: ClassVar[str] = "auto"
    absent: ClassVar[float] = CENTER

    def forward(self, planes: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to positive ``[N, out_channels, H, W]``."""
        return super().forward(planes - CENTER)

    def head(self, z: Tensor) -> Tensor:
        """Positive radiance."""
        return positive(z)
