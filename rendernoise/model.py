"""The denoising model: planes in, radiance out. Training and inference both run this (law 4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rendernoise.color import TRANSFERS, auto_exposure
from rendernoise.errors import InputError
from rendernoise.frame import Frame, Layout
from rendernoise.networks import network_class

EXPOSURE_RULES = ("none", "auto")


@dataclass(frozen=True)
class ModelSpec:
    """What must be known beside the weights to run them; travels in their header.

    Args:
        network: A name in ``networks.NETWORKS``.
        planes: The input planes, in order.
        transfer: A name in ``color.TRANSFERS``, applied to exposed radiance.
        exposure: ``none``, or ``auto`` for :func:`rendernoise.color.auto_exposure` of each frame.
    """

    network: str
    planes: tuple[str, ...]
    transfer: str
    exposure: str

    @classmethod
    def default(cls, network: str, planes: tuple[str, ...]) -> ModelSpec:
        """The spec with the transfer and exposure that the network was made for."""
        kind = network_class(network)
        return cls(network, planes, kind.transfer, kind.exposure)

    def __post_init__(self) -> None:
        unsupported = [p for p in self.planes if p not in _COMPRESS]
        if unsupported:
            raise InputError(f"no network takes the plane {unsupported[0]!r}", f"Use {', '.join(_COMPRESS)}")
        if self.transfer not in TRANSFERS or self.exposure not in EXPOSURE_RULES:
            raise InputError(f"unknown transfer {self.transfer!r} or exposure {self.exposure!r}")

    @property
    def layout(self) -> Layout:
        """The input planes as channels."""
        return Layout(self.planes)

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return asdict(self)


def _finite(x: Tensor) -> Tensor:
    # A renderer's NaN must not spread over the receptive field; 0 is what a lost sample contributes.
    return torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)


# How each plane is brought to the range that networks like; radiance goes through exposure and transfer instead.
_COMPRESS = {
    "radiance": lambda x: x,
    "albedo": lambda x: x.clamp(0, 1),
    "normal": lambda x: x.clamp(-1, 1),
    "depth": lambda x: x.clamp_min(0).log1p(),
}


class DenoisingModel(nn.Module):
    """Preprocessing and network in one: raw planes to scene-linear radiance.

    Args:
        spec: Network, planes, transfer and exposure.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layout = spec.layout
        self.network = network_class(spec.network)(self.layout.channels)

    def exposure_of(self, frame: Frame) -> float:
        """The factor by which this model scales the frame's radiance before the transfer."""
        return auto_exposure(frame.radiance) if self.spec.exposure == "auto" else 1.0

    def preprocess(self, planes: Tensor, exposure: Tensor) -> Tensor:
        """Raw planes ``[N, C, H, W]`` in layout order to network inputs; exposure is ``[N, 1, 1, 1]``."""
        transfer = TRANSFERS[self.spec.transfer].forward
        parts: list[Tensor] = []
        for name, channels in self.layout.slices():
            plane = _finite(planes[:, channels])
            parts.append(transfer(plane * exposure) if name == "radiance" else _COMPRESS[name](plane))
        return torch.cat(parts, dim=1)

    def forward(self, planes: Tensor, exposure: Tensor) -> Tensor:
        """Denoised radiance ``[N, 3, H, W]`` in the input's own scale, float32."""
        return self.network(self.preprocess(planes, exposure)).float() / exposure

    def input_of(self, frame: Frame, device: torch.device) -> tuple[Tensor, Tensor]:
        """A whole frame as the two arguments of :meth:`forward`."""
        planes = torch.from_numpy(np.ascontiguousarray(self.layout.stack(frame)))[None]
        exposure = torch.full((1, 1, 1, 1), self.exposure_of(frame))
        return planes.to(device), exposure.to(device)
