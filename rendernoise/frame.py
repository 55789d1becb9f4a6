"""Frames, pairs of frames, and the order in which a network sees their planes.

A *plane* is one named image of a frame, such as ``radiance`` or ``albedo``. Code asks for planes by
name; the only place that turns names into channel numbers is :class:`Layout`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import ImageError
from rendernoise.projection import Projection

Plane = NDArray[np.float32]

#: Channels of every plane that rendernoise understands. ``radiance`` is scene-linear HDR RGB (one channel for the grey
#: images of the noise suite);
#: ``albedo`` lies in [0, 1]; ``normal`` is the world-space shading normal; ``depth`` and ``position``
#: are in scene units (0 where the camera ray leaves the scene); ``roughness`` goes from 0 (smooth) to 1 (diffuse);
#: ``variance`` is that of the radiance. ``motion`` and ``motion2`` are motion vectors as a file has them;
#: ``to_previous`` and ``to_next`` say, in px to the right and down, where a pixel's surface is in the frame before and
#: after (NaN where nobody knows). ``history`` is what other frames know of the radiance, and ``reliability``
#: on how many times the frame's own samples that rests (0: they know nothing). ``kept`` is no image: in the order of
#: ``numpy.fft.fft2`` the probability with which a frequency of the radiance was measured, 0 where it was not.
PLANE_CHANNELS: Mapping[str, int] = MappingProxyType(
    {
        "radiance": 3,
        "albedo": 3,
        "normal": 3,
        "depth": 1,
        "position": 3,
        "roughness": 1,
        "motion": 2,
        "motion2": 2,
        "to_previous": 2,
        "to_next": 2,
        "variance": 3,
        "history": 3,
        "reliability": 1,
        "kept": 1,
    }
)

#: What other frames say of a frame: known while it is denoised, and never written beside it.
HISTORY_PLANES = ("history", "reliability")

TargetKind = Literal["noisy", "reference"]


@dataclass(frozen=True)
class Frame:
    """One picture of a shot, or one half of it.

    Args:
        planes: Plane name to float32 array ``[C, H, W]``, all of one H×W. ``radiance`` is always there.
        spp: Samples per pixel behind the radiance; 0 when unknown.
        number: Frame number in the shot.
        seed: Seed of the random stream that made the radiance; None when unknown.
        metadata: Whatever the source said about the picture (EXR attributes, say).
        projection: Of the camera; None when unknown, and for a camera that has none.

    Raises:
        ImageError: A plane has the wrong number of channels, type or size, or ``radiance`` is missing.
    """

    planes: Mapping[str, Plane]
    spp: int = 0
    number: int = 1
    seed: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    projection: Projection | None = None

    def __post_init__(self) -> None:
        if "radiance" not in self.planes:
            raise ImageError("a frame has no radiance plane", "Name one with --role radiance=LAYER")
        size = self.planes["radiance"].shape[1:]
        for name, plane in self.planes.items():
            expected = PLANE_CHANNELS.get(name)
            if plane.dtype != np.float32 or plane.ndim != 3:
                raise ImageError(f"plane {name!r} is {plane.dtype} {plane.shape}, not float32 [C, H, W]")
            grey = name == "radiance" and plane.shape[0] == 1
            if expected is not None and plane.shape[0] != expected and not grey:
                raise ImageError(f"plane {name!r} has {plane.shape[0]} channels, not {expected}")
            if plane.shape[1:] != size:
                raise ImageError(f"plane {name!r} is {plane.shape[1:]}, but radiance is {size} (H, W)")
        object.__setattr__(self, "planes", MappingProxyType(dict(self.planes)))

    @property
    def radiance(self) -> Plane:
        """Scene-linear HDR RGB, ``[3, H, W]``; ``[1, H, W]`` for a grey image of the noise suite."""
        return self.planes["radiance"]

    @property
    def height(self) -> int:
        """Rows, px."""
        return self.radiance.shape[1]

    @property
    def width(self) -> int:
        """Columns, px."""
        return self.radiance.shape[2]

    def with_planes(self, **planes: Plane) -> Frame:
        """A copy in which the given planes replace or join the present ones."""
        return replace(self, planes={**self.planes, **planes})


def average(frames: list[Frame]) -> Frame:
    """The sample-weighted mean of several renders of one picture; ``spp`` adds up.

    Frames of unknown spp (0) count equally. Raises ``ImageError`` when sizes or planes differ.
    """
    first = frames[0]
    if any(set(f.planes) != set(first.planes) for f in frames):
        raise ImageError("frames with different planes cannot be averaged")
    weights = np.array([f.spp for f in frames], dtype=np.float64)
    if not weights.all():
        weights = np.ones(len(frames))
    weights /= weights.sum()
    planes = {
        name: np.sum(
            [w * f.planes[name] for w, f in zip(weights, frames, strict=True)], axis=0, dtype=np.float64
        ).astype(np.float32)
        for name in first.planes
    }
    return replace(first, planes=planes, spp=sum(f.spp for f in frames), seed=None)


def average_shared(frames: list[Frame]) -> Frame:
    """:func:`average` over the planes that all frames have."""
    shared = set(frames[0].planes).intersection(*(frame.planes for frame in frames))
    return average([replace(f, planes={n: p for n, p in f.planes.items() if n in shared}) for f in frames])


@dataclass(frozen=True)
class FramePair:
    """An input frame and the target that its denoised version is compared with.

    Args:
        input: What the network sees.
        target: Raw linear values ``[3, H, W]``: never tone-mapped, clipped or quantised (law 2).
        target_kind: ``noisy`` for the other, independent half; ``reference`` for a high-spp render.
        weight: ``[1, H, W]`` weight of each target pixel in the loss; None means 1 everywhere.
        partner: The frame whose radiance is the target, when it may serve as input in its turn.
    """

    input: Frame
    target: Plane
    target_kind: TargetKind = "noisy"
    weight: Plane | None = None
    partner: Frame | None = None

    def __post_init__(self) -> None:
        if self.target.shape != self.input.radiance.shape:
            raise ImageError(
                f"frame {self.input.number}: the target is {self.target.shape}, but the input is "
                f"{self.input.radiance.shape} (C, H, W)",
                "Give both halves one size",
            )

    @classmethod
    def of_halves(cls, a: Frame, b: Frame) -> FramePair:
        """The pair A → B of two independent halves."""
        return cls(a, b.radiance, "noisy", None, b)

    @property
    def number(self) -> int:
        """The frame's number in the shot."""
        return self.input.number

    def swapped(self) -> FramePair:
        """The pair B → A; only for pairs that have a ``partner``."""
        if self.partner is None:
            raise ImageError(f"frame {self.number} has no second half to swap with")
        return FramePair(self.partner, self.input.radiance, self.target_kind, self.weight, self.input)


@dataclass(frozen=True)
class Layout:
    """The planes that a network takes, in order: the one place where names become channel numbers.

    Args:
        names: The planes.
        radiance_channels: 3, or 1 for grey images.
    """

    names: tuple[str, ...] = ("radiance", "albedo", "normal")
    radiance_channels: int = 3

    def __post_init__(self) -> None:
        unknown = [n for n in self.names if n not in PLANE_CHANNELS]
        if unknown or "radiance" not in self.names or len(set(self.names)) != len(self.names):
            raise ImageError(
                f"{','.join(self.names)} is no channel layout",
                f"Use each of {', '.join(PLANE_CHANNELS)} at most once, with radiance among them",
            )

    @property
    def channels(self) -> int:
        """Channels in all."""
        return sum(self._channels_of(n) for n in self.names)

    def _channels_of(self, name: str) -> int:
        return self.radiance_channels if name == "radiance" else PLANE_CHANNELS[name]

    def slices(self) -> Iterator[tuple[str, slice]]:
        """Each plane's name with its channels in a stacked array."""
        start = 0
        for name in self.names:
            stop = start + self._channels_of(name)
            yield name, slice(start, stop)
            start = stop

    def missing(self, frame: Frame) -> list[str]:
        """Names of the layout that the frame does not have."""
        return [n for n in self.names if n not in frame.planes]

    def stack(self, frame: Frame) -> Plane:
        """The frame's planes as one float32 array ``[channels, H, W]``.

        Raises:
            ImageError: The frame lacks a plane of this layout.
        """
        missing = self.missing(frame)
        if missing:
            raise ImageError(
                f"frame {frame.number} has no {', '.join(missing)}, which these weights need",
                "Render with features, name the channels with --role, or use weights trained without them",
            )
        return np.concatenate([frame.planes[n] for n in self.names])

    def __str__(self) -> str:
        return "+".join(self.names)
