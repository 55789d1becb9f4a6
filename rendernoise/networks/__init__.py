"""Networks: a dict from name to class. Each file holds one; blocks that they share are in ``blocks.py``.

A network maps ``[N, channels, H, W]`` of compressed planes to linear radiance ``[N, 3, H, W]`` for any
H, W ≥ 1, and names the transfer that its radiance input wants.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor, nn

from rendernoise.errors import InputError
from rendernoise.networks.unet import UNet
from rendernoise.networks.unet_log import UNetLog


class Network(Protocol):
    """What every network class offers beside ``nn.Module``."""

    transfer: ClassVar[str]
    exposure: ClassVar[str]

    def __init__(self, in_channels: int, out_channels: int = 3) -> None: ...

    def __call__(self, planes: Tensor) -> Tensor: ...


NETWORKS: dict[str, type[UNet]] = {"unet": UNet, "unet_log": UNetLog}
DEFAULT_NETWORK = "unet_log"


def build(name: str, in_channels: int) -> nn.Module:
    """A freshly initialised network; raises ``InputError`` for an unknown name."""
    if name not in NETWORKS:
        raise InputError(f"there is no network {name!r}", f"Choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name](in_channels)
