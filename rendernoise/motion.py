"""Motion vectors: what they mean, found by warping one frame onto the next, and where they lead over several frames.

Renderers agree on neither direction, signs nor unit, and files do not say. Here a vector is a displacement in px, x to
the right and y down, from a pixel to where its surface is in the frame before or after. The spelling of the channels
says what a renderer is known to write; that is left only where another meaning warps clearly better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rendernoise.color import REC709_LUMINANCE
from rendernoise.frame import Frame, Plane

Toward = Literal["previous", "next"]
Unit = Literal["px", "px over half a frame", "screens of -1 to 1", "screens of 0 to 1"]

_UNITS: tuple[Unit, ...] = ("px", "px over half a frame", "screens of -1 to 1", "screens of 0 to 1")
#: A meaning is clearly better than another, or than that nothing moves, with less than this share of its error. Noise
#: of the guides alone makes a fetch between pixels look better than one of a pixel: by 5 % after smoothing.
CLEARLY = 0.8
#: Meanings within this factor of the best are as good as it: of them, the one nearest to what the spelling says.
AS_GOOD = 1.05
#: Fewer moving pixels than these tell nothing; more are not looked at; and which px count as moving, in shares of the
#: vector that is longer than 95 % of those that are not 0.
LEAST_PX, LOOKED_AT_PX, MOVING = 150, 20_000, 0.25
#: Differences count as this at most, and guides that differ by less on average show no motion.
CAP, FLAT = 0.3, 0.004
#: There and back again, a vector must end this near to where it started: px, and in shares of its length.
ROUND_TRIP_PX, ROUND_TRIP = 1.0, 0.05


@dataclass(frozen=True)
class Convention:
    """What motion vectors mean.

    Args:
        toward: The frame that they point to.
        right: 1 where the first component grows to the right, -1 where to the left.
        down: 1 where the second one grows downwards, -1 where upwards.
        unit: What they are measured in.
    """

    toward: Toward
    right: int = 1
    down: int = 1
    unit: Unit = "px"

    def __str__(self) -> str:
        left = "" if self.right > 0 else ", x left"
        return f"to the {self.toward} frame{left}, y {'down' if self.down > 0 else 'up'}, {self.unit}"

    def in_px(self, vectors: Plane) -> Plane:
        """Vectors ``[2, ...]`` of a plane ``[2, H, W]`` as px to the right and down."""
        return vectors * self._scale(*vectors.shape[1:])

    def _scale(self, height: int, width: int) -> Plane:
        x, y = {
            "px": (1.0, 1.0),
            "px over half a frame": (2.0, 2.0),
            "screens of -1 to 1": (width / 2, height / 2),
            "screens of 0 to 1": (width, height),
        }[self.unit]
        return np.array([self.right * x, self.down * y], np.float32).reshape(2, 1, 1)

    def changes(self, other: Convention) -> int:
        """In how many respects another one differs."""
        return sum(getattr(self, name) != getattr(other, name) for name in ("toward", "right", "down", "unit"))


#: Every meaning that is tried.
CANDIDATES: tuple[Convention, ...] = tuple(
    Convention(toward, right, down, unit)
    for toward, right, down, unit in product(("previous", "next"), (1, -1), (1, -1), _UNITS)
)

# By the layer's last name, lower case, without spaces, underscores and dashes; Z and W are a second pair.
_KNOWN: Mapping[tuple[str, str], Convention] = {
    ("vector", "xy"): Convention("previous", 1, -1),  # Blender 5.0, measured to 0.001 px
    ("vector", "zw"): Convention("next", -1, 1),  # the same; these point from the next frame to this one
    ("motionvector", "rg"): Convention("next", 1, -1, "px over half a frame"),  # Arnold: over the shutter
    ("motionfore", "*"): Convention("next"),  # RenderMan
    ("forwardmotion", "*"): Convention("next"),
    ("motionforward", "*"): Convention("next"),
    ("motionvec", "*"): Convention("next", 1, -1, "screens of -1 to 1"),  # MoonRay
    ("vrayvelocity", "*"): Convention("next", 1, -1),
    ("velocity", "*"): Convention("next", 1, -1),
}


def spelled(channels: Sequence[str]) -> Convention:
    """What the names of two channels say about their meaning; ``motion.X`` and the like point to the previous frame."""
    layer, _, first = channels[0].lower().rpartition(".")
    name = layer.rpartition(".")[2].translate({ord(c): None for c in " _-"})
    components = first + channels[1].lower().rpartition(".")[2]
    known = _KNOWN.get((name, components), _KNOWN.get((name, "*")))
    return known or Convention("next" if components in ("zw", "ba") else "previous")


@dataclass(frozen=True)
class Verdict:
    """What vectors of a sequence were found to mean.

    Args:
        convention: None where they are to be ignored.
        text: The reason in words.
    """

    convention: Convention | None
    text: str


def detect(frames: Mapping[int, Frame], plane: str, default: Convention) -> Verdict:
    """Find what motion vectors mean by warping the frames around each frame onto it.

    Args:
        frames: A few frames by number, some of them consecutive.
        plane: ``motion`` or ``motion2``.
        default: What the spelling says.
    """
    errors = np.zeros(len(CANDIDATES))
    still = {"previous": 0.0, "next": 0.0}
    looked_at = {"previous": 0, "next": 0}
    with_plane = [n for n in frames if plane in frames[n].planes]
    inner = [n for n in with_plane if n - 1 in frames and n + 1 in frames] or with_plane
    for number in inner:
        vectors = frames[number].planes[plane]
        chosen = _moving(vectors)
        if len(chosen) < LEAST_PX:
            continue
        for toward, other in (("previous", number - 1), ("next", number + 1)):
            if other not in frames or frames[other].radiance.shape != frames[number].radiance.shape:
                continue
            comparison = _Comparison.of(frames[number], frames[other], chosen)
            still[toward] += float(comparison.unmoved.sum())
            looked_at[toward] += len(chosen)
            for index, candidate in enumerate(CANDIDATES):
                if candidate.toward == toward:
                    moved = candidate.in_px(vectors).reshape(2, -1)[:, chosen]
                    errors[index] += comparison.error(moved)
    known = np.array([looked_at[c.toward] > 0 for c in CANDIDATES])
    if not known.any():
        in_a_row = any(n + 1 in frames for n in frames)
        why = "hardly anything moves in the frames looked at" if in_a_row else "as spelled: no two frames are in a row"
        return Verdict(default, f"{default} ({why})")
    count = np.array([max(looked_at[c.toward], 1) for c in CANDIDATES])
    unmoved = np.array([still[c.toward] for c in CANDIDATES]) / count
    errors = np.where(known, errors / count, np.inf)
    shares = errors / np.maximum(unmoved, 1e-12)
    best = int(np.argmin(shares))
    if unmoved[best] < FLAT / 4:
        return Verdict(default, f"{default} (the frames looked at show no motion)")
    if shares[best] > CLEARLY:
        text = f"ignored, as none of their meanings shows the next frame (warping error {errors[best]:.3g}"
        return Verdict(None, f"{text}; not moved {unmoved[best]:.3g})")
    place = CANDIDATES.index(default)
    if shares[place] * CLEARLY <= shares[best]:
        return Verdict(default, f"{default} (warping error {errors[place]:.3g}; not moved {unmoved[place]:.3g})")
    alike = [i for i in range(len(CANDIDATES)) if shares[i] <= AS_GOOD * shares[best]]
    taken = min(alike, key=lambda i: (CANDIDATES[i].changes(default), shares[i]))
    told = f"{errors[place]:.3g}" if known[place] else "unknown"
    return Verdict(CANDIDATES[taken], f"{CANDIDATES[taken]} (warping error {errors[taken]:.3g}; as spelled {told})")


def _moving(vectors: Plane) -> np.ndarray:
    """Indices of the pixels whose vectors are long for this frame."""
    length = np.hypot(*vectors.reshape(2, -1))
    length = np.where(np.isfinite(length) & (length < 1e6), length, 0)
    some = length[length > 1e-6 * max(float(length.max()), 1e-30)]
    if not len(some):
        return np.empty(0, np.int64)
    chosen = np.flatnonzero(length >= MOVING * np.quantile(some, 0.95))
    return np.random.default_rng(0).permutation(chosen)[:LOOKED_AT_PX]


@dataclass(frozen=True)
class _Comparison:
    """How well pixels of a frame agree with another frame's, at places that vectors name."""

    own: Tensor
    other: Tensor
    places: Tensor
    unmoved: Tensor
    size: tuple[int, int]

    @classmethod
    def of(cls, frame: Frame, other: Frame, chosen: np.ndarray) -> _Comparison:
        """By normals and albedo; by the logarithm of the radiance where these are missing or show nothing."""
        names = [n for n in ("albedo", "normal") if n in frame.planes and n in other.planes]
        found = cls._by(frame, other, chosen, names) if names else None
        if found is None or float(found.unmoved.mean()) < FLAT:
            found = cls._by(frame, other, chosen, [])
        return found

    @classmethod
    def _by(cls, frame: Frame, other: Frame, chosen: np.ndarray, names: list[str]) -> _Comparison:
        one, two = (_guides(f, names) for f in (frame, other))
        size = (frame.height, frame.width)
        index = torch.from_numpy(chosen)
        places = torch.stack((index % size[1] + 0.5, index // size[1] + 0.5))
        own = one.flatten(1)[:, index]
        unmoved = (own - two.flatten(1)[:, index]).abs().mean(0).clamp_max(CAP)
        return cls(own, two, places, unmoved, size)

    def error(self, moved: np.ndarray) -> float:
        """The sum over pixels whose vectors ``[2, N]``, px, are those; one that leaves the image says nothing."""
        height, width = self.size
        x, y = self.places + torch.from_numpy(moved)
        inside = (x >= 0.5) & (y >= 0.5) & (x <= width - 0.5) & (y <= height - 0.5)
        grid = torch.stack((2 * x / width - 1, 2 * y / height - 1), -1).nan_to_num(2.0)
        found = F.grid_sample(self.other[None], grid[None, None], align_corners=False)[0, :, 0]
        difference = (self.own - found).abs().mean(0).clamp_max(CAP)
        return float(torch.where(inside, difference, self.unmoved).sum())


def _guides(frame: Frame, names: list[str]) -> Tensor:
    """What frames are compared by, ``[C, H, W]``, smoothed so that places between pixels are not favoured by noise."""
    if names:
        planes = np.concatenate([frame.planes[name] for name in names])
        return _smoothed(torch.from_numpy(np.nan_to_num(planes, posinf=0.0, neginf=0.0).clip(-1, 1)), 1)
    light = np.nan_to_num(frame.radiance, posinf=0.0).clip(0, None)
    grey = torch.from_numpy(np.tensordot(np.asarray(REC709_LUMINANCE, np.float32), light, 1))[None]
    # Before the logarithm against fireflies, and after it against what is left of them.
    return _smoothed((_smoothed(grey, 2) + 1e-3).log(), 2)


def _smoothed(image: Tensor, times: int) -> Tensor:
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    count = len(image)
    for _ in range(times):
        rimmed = F.pad(image[None], (2, 2, 2, 2), mode="replicate")
        across = F.conv2d(rimmed, kernel.view(1, 1, 1, 5).expand(count, 1, 1, 5), groups=count)
        image = F.conv2d(across, kernel.view(1, 1, 5, 1).expand(count, 1, 5, 1), groups=count)[0]
    return image


def usable(vectors: Plane) -> tuple[Plane, int]:
    """Vectors in px ``[2, H, W]``, NaN for those that lead nowhere (not finite, longer than the image); how many."""
    with np.errstate(over="ignore", invalid="ignore"):
        bad = ~(np.hypot(*vectors) <= np.hypot(*vectors.shape[1:]))
    return np.where(bad, np.float32(np.nan), vectors).astype(np.float32), int(bad.sum())


def centers(size: tuple[int, int]) -> Tensor:
    """The centre (x, y) of each pixel of an image (H, W), px from its upper left corner, ``[H · W, 2]``."""
    index = torch.arange(size[0] * size[1])
    return torch.stack((index % size[1] + 0.5, index // size[1] + 0.5), 1)


def pixels(places: Tensor, size: tuple[int, int]) -> Tensor:
    """The index of the pixel of an image (H, W) that holds each place ``[N, 2]``; -1 outside, and for NaN."""
    x, y = places.unbind(1)
    inside = (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
    index = y.where(inside, 0).long().mul_(size[1]).add_(x.where(inside, 0).long())
    return index.masked_fill_(~inside, -1)


def reversed_vectors(vectors: Tensor, distance: Tensor, size: tuple[int, int]) -> Tensor:
    """From the vectors of a frame to another, those of the other to it: each pixel is thrown to where it leads.

    Where several fall on one pixel, the nearest surface wins; where distances are not known, and those that fall
    there do not move alike, nobody does. Where none falls there is NaN.

    Args:
        vectors: px, ``[H · W, 2]``; NaN where not known.
        distance: Of the surfaces, ``[H · W]``; 0 where not known.
        size: (H, W).
    """
    target = pixels(centers(size) + vectors, size)
    source = (target >= 0).nonzero()[:, 0]
    target = target[source]
    result = torch.full_like(vectors, torch.nan)
    if bool((distance > 0).any()):
        far = torch.where(distance > 0, distance, torch.inf)[source]
        nearest = torch.full((len(vectors),), torch.inf).scatter_reduce_(0, target, far, "amin")
        ahead = far == nearest[target]
        target, source = target[ahead], source[ahead]
        first = torch.full((len(vectors),), len(vectors)).scatter_reduce_(0, target, source, "amin")
        hit = first < len(vectors)
        result[hit] = -vectors[first[hit]]
        return result
    index = target[:, None].expand(-1, 2)
    least = torch.full_like(vectors, torch.inf).scatter_reduce_(0, index, vectors[source], "amin")
    most = torch.full_like(vectors, -torch.inf).scatter_reduce_(0, index, vectors[source], "amax")
    alike = ((most - least) <= ROUND_TRIP_PX).all(1)
    result[alike] = -(least[alike] + most[alike]) / 2
    return result


class Places(NamedTuple):
    """Places in an image, (x, y) in px ``[N, 2]``, and the pixel that each lies in, ``[N]``; NaN and -1 for nowhere."""

    xy: Tensor
    pixel: Tensor

    @classmethod
    def start(cls, size: tuple[int, int]) -> Places:
        """The centres of all pixels of an image (H, W)."""
        return cls(centers(size), torch.arange(size[0] * size[1]))


def follow(places: Places, there: Tensor, back: Tensor, size: tuple[int, int]) -> Places:
    """Places of one frame in the next one of a chain; nowhere if vectors end, leave the image, or do not lead back.

    Args:
        places: In the one frame.
        there: Vectors of that frame, ``[H · W, 2]``.
        back: Vectors of the other frame to this one.
        size: (H, W).
    """
    vectors = _at(there, places.pixel)
    arrived = places.xy + vectors
    pixel = pixels(arrived, size)
    returned = _at(back, pixel)
    lost = ~(length(vectors + returned) <= ROUND_TRIP_PX + ROUND_TRIP * length(vectors))
    return Places(arrived.masked_fill_(lost[:, None], torch.nan), pixel.masked_fill_(lost, -1))


def length(vectors: Tensor) -> Tensor:
    """Of each vector ``[N, 2]``; torch's own norm takes many times as long along this axis."""
    return torch.hypot(vectors[:, 0], vectors[:, 1])


def _at(vectors: Tensor, index: Tensor) -> Tensor:
    return vectors.index_select(0, index.clamp_min(0)).masked_fill_((index < 0)[:, None], torch.nan)
