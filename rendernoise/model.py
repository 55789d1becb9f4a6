"""The denoising model: planes in, radiance out. Training and inference both run this (law 4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rendernoise.color import TRANSFERS, auto_exposure
from rendernoise.errors import InputError
from rendernoise.frame import PLANE_CHANNELS, Frame, Layout, Plane
from rendernoise.networks import network_class
from rendernoise.spectrum import keep_measured

EXPOSURE_RULES = ("none", "auto")


@dataclass(frozen=True)
class ModelSpec:
    """What must be known beside the weights to run them; travels in their header.

    Args:
        network: A name in ``networks.NETWORKS``.
        planes: The planes of a frame that it takes, in order. All but ``kept`` are inputs of the network.
        transfer: A name in ``color.TRANSFERS``, applied to exposed radiance.
        exposure: ``none``, or ``auto`` for :func:`rendernoise.color.auto_exposure` of each frame.
        bears_absence: Whether the weights were trained with planes left out, so that a frame may lack any but radiance.
        channels: Of the radiance, in and out: 3, or 1 for grey images.
    """

    network: str
    planes: tuple[str, ...]
    transfer: str
    exposure: str
    bears_absence: bool = False
    channels: int = 3

    @classmethod
    def default(cls, network: str, planes: tuple[str, ...] | None = None) -> ModelSpec:
        """The spec that the network was made for; ``planes`` are for those that can do with fewer or others."""
        kind = network_class(network)
        taken = kind.planes if kind.bears_absence else planes or kind.planes
        return cls(network, taken, kind.transfer, kind.exposure, kind.bears_absence)

    def __post_init__(self) -> None:
        supported = (*_COMPRESS, _MEASURED)
        unsupported = [p for p in self.planes if p not in supported]
        if unsupported:
            raise InputError(f"no network takes the plane {unsupported[0]!r}", f"Use {', '.join(supported)}")
        if self.transfer not in TRANSFERS or self.exposure not in EXPOSURE_RULES:
            raise InputError(f"unknown transfer {self.transfer!r} or exposure {self.exposure!r}")
        if not isinstance(self.bears_absence, bool):
            raise InputError(f"bears_absence is {self.bears_absence!r}, not true or false")
        if self.channels not in (1, 3):
            raise InputError(f"an image of {self.channels} channels is neither grey nor RGB")

    @property
    def layout(self) -> Layout:
        """The input planes as channels."""
        return Layout(self.planes, self.channels)

    @property
    def inputs(self) -> Layout:
        """Those of them that the network sees."""
        return Layout(tuple(p for p in self.planes if p != _MEASURED), self.channels)

    @property
    def whole_images(self) -> bool:
        """Whether only whole images make sense: the frequencies of a part are not those that were measured."""
        return _MEASURED in self.planes

    def to_json(self) -> dict[str, object]:
        """As plain JSON values, the channels only where they are not 3: weights keep the bytes that name them."""
        values = asdict(self)
        return values if self.channels != 3 else {k: v for k, v in values.items() if k != "channels"}


#: The plane that says which frequencies were measured.
_MEASURED = "kept"
#: Planes of radiance, which go through exposure and transfer.
_RADIANCES = ("radiance", "history")
# How each plane is brought to the range that networks like.
_COMPRESS = {
    "radiance": lambda x: x,
    "albedo": lambda x: x.clamp(0, 1),
    "normal": lambda x: x.clamp(-1, 1),
    "roughness": lambda x: x.clamp(0, 1),
    "depth": lambda x: x.clamp_min(0).log1p(),
    "history": lambda x: x,
    "reliability": lambda x: x.clamp_min(0).log1p(),
}


class DenoisingModel(nn.Module):
    """Preprocessing and network in one: raw planes to scene-linear radiance.

    Where a frame says which of its frequencies were measured, the result has those as they are.

    Args:
        spec: Network, planes, transfer and exposure.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layout = spec.layout
        self.network = network_class(spec.network)(spec.inputs.channels, spec.channels)

    @property
    def needs(self) -> tuple[str, ...]:
        """The planes that a frame must have."""
        return ("radiance",) if self.spec.bears_absence else self.layout.names

    def exposure_of(self, frame: Frame) -> float:
        """The factor by which this model scales the frame's radiance before the transfer."""
        return auto_exposure(frame.radiance) if self.spec.exposure == "auto" else 1.0

    def radiance_of(self, planes: Tensor) -> Tensor:
        """The radiance ``[N, 3, H, W]`` among raw planes in layout order."""
        return planes[:, dict(self.layout.slices())["radiance"]]

    def stack(self, frame: Frame) -> Plane:
        """The frame's planes ``[C, H, W]`` in layout order, NaN for one that it lacks where the weights bear that.

        Raises:
            ImageError: The frame lacks a plane that the weights need.
        """
        if self.spec.bears_absence:
            unknown = {
                name: np.full((PLANE_CHANNELS[name], frame.height, frame.width), np.nan, np.float32)
                for name in self.layout.missing(frame)
            }
            frame = frame.with_planes(**unknown) if unknown else frame
        return np.ascontiguousarray(self.layout.stack(frame))

    def preprocess(self, planes: Tensor, exposure: Tensor) -> Tensor:
        """Raw planes ``[N, C, H, W]`` in layout order to network inputs; exposure is ``[N, 1, 1, 1]``."""
        transfer = TRANSFERS[self.spec.transfer].forward
        inputs = torch.empty_like(planes[:, : self.spec.inputs.channels])
        where = dict(self.layout.slices())
        for name, channels in self.spec.inputs.slices():
            plane = planes[:, where[name]]
            # A renderer's NaN must not spread over the receptive field. A lost sample adds no radiance; a lost feature
            # is one that the frame does not have.
            if name in _RADIANCES:
                kept = torch.nan_to_num(plane, nan=0.0, posinf=0.0, neginf=0.0)
                # Again, for what only the exposure makes infinite: that is the largest float, and no lost sample.
                inputs[:, channels] = transfer(torch.nan_to_num(kept * exposure))
            else:
                # A history that is not there rests on no samples.
                absent = 0.0 if name == "reliability" else self.network.absent
                inputs[:, channels] = torch.where(plane.isfinite(), _COMPRESS[name](plane), absent)
        return inputs

    def forward(self, planes: Tensor, exposure: Tensor) -> Tensor:
        """Denoised radiance ``[N, 3, H, W]`` in the input's own scale, float32."""
        result = self.network(self.preprocess(planes, exposure)).float() / exposure
        if not self.spec.whole_images:
            return result
        return keep_measured(result, self.radiance_of(planes), planes[:, dict(self.layout.slices())[_MEASURED]])

    def input_of(self, frame: Frame, device: torch.device, exposure: float | None = None) -> tuple[Tensor, Tensor]:
        """A whole frame as the two arguments of :meth:`forward`; or a part of one, in the exposure of the whole."""
        planes = torch.from_numpy(self.stack(frame))[None]
        exposed = torch.full((1, 1, 1, 1), self.exposure_of(frame) if exposure is None else exposure)
        return planes.to(device), exposed.to(device)
