"""What is measured: noisy frames with their halves, and the references that they are measured against."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame, Plane, average, average_shared
from rendernoise.io.exr import read_frame
from rendernoise.io.exr_image import count_bad
from rendernoise.io.exr_look import look, radiance_window, roles_of, size_text
from rendernoise.io.sequence import Sequence, find, format_frames
from rendernoise.metrics.relative import reference_noise
from rendernoise.render.camera import View

#: Frames that are measured when nobody says which: references are dear, and temporal error needs neighbours.
DEFAULT_FRAMES = 2


@dataclass(frozen=True)
class NoisyFrame:
    """One noisy frame.

    Args:
        number: The frame's number.
        paths: The file, or those of both halves.
        spp: Samples per pixel of all halves together; 0 when unknown.
        render_s: Seconds that rendering took; None when unknown.
        view: What it shows; None when unknown.
        roles: Plane name to layer, where names do not tell.
    """

    number: int
    paths: tuple[Path, ...]
    spp: int
    render_s: float | None = None
    view: View | None = None
    roles: Mapping[str, str] | None = None

    def halves(self) -> list[Frame]:
        """The frames in the files, two or one. Raises ``ImageError``."""
        frames = [read_frame(path, number=self.number, roles=self.roles) for path in self.paths]
        if len({frame.radiance.shape for frame in frames}) > 1:
            raise ImageError(f"{self.paths[0]} and {self.paths[1]} differ in size", "Render both halves at one size")
        return frames

    def identity(self) -> list[list[str | int]]:
        """Which files these are: they may be written anew between two runs."""
        return [[str(path), (stat := path.stat()).st_size, stat.st_mtime_ns] for path in self.paths]

    def mean(self) -> Frame:
        """The mean of all samples, features too. Raises ``ImageError``."""
        return average_shared(self.halves())


@dataclass(frozen=True)
class ReferenceFrame:
    """A reference in memory.

    Args:
        number: The frame's number.
        radiance: ``[3, H, W]``, finite.
        variance: Variance of the radiance, ``[3, H, W]``; None when unknown.
        spp: Samples per pixel; 0 when unknown.
        noise: What its own noise adds to the relMSE of any image; None when unknown.
        negative_px: Pixels with a negative channel, which some filters leave.
    """

    number: int
    radiance: Plane
    variance: Plane | None
    spp: int
    noise: float | None
    negative_px: int

    @functools.cached_property
    def identity(self) -> str:
        """A digest of its pixels, which every cell is kept with."""
        return hashlib.sha256(self.radiance.tobytes()).hexdigest()


def read_reference(number: int, path: Path, half: Path | None = None) -> ReferenceFrame:
    """A reference from its file, or from the files of its two halves, whose difference tells its variance.

    Raises:
        ImageError: It cannot be read, its halves differ in size, or it has NaN or infinite pixels.
    """
    frame = read_frame(path, number=number)
    variance = frame.planes.get("variance")
    if half is not None:
        other = read_frame(half, number=number)
        if other.radiance.shape != frame.radiance.shape:
            raise ImageError(f"{half} and {path} differ in size", "Give two halves of one reference")
        # With variances of σ²/n_a and σ²/n_b, E(a − b)² times this share is the σ²/(n_a + n_b) of the weighted mean.
        share = frame.spp * other.spp / (frame.spp + other.spp) ** 2 if frame.spp and other.spp else 0.25
        variance = np.float32(share) * np.square(frame.radiance - other.radiance)
        frame = average([Frame({"radiance": f.radiance}, f.spp, number) for f in (frame, other)])
    bad = count_bad(frame)
    if bad["nan"] or bad["inf"]:
        count = bad["nan"] + bad["inf"]
        raise ImageError(f"the reference {path} has {count} NaN or infinite pixel(s)", "Render it again")
    if variance is not None and not np.isfinite(variance).all():
        raise ImageError(f"the variance in {path} has NaN or infinite pixels", "Render it again")
    noise = None if variance is None else float(reference_noise(frame.radiance, variance))
    return ReferenceFrame(number, frame.radiance, variance, frame.spp, noise, bad["negative"])


def one_sequence(pattern: str | Path) -> Sequence:
    """The one sequence of EXR files behind a pattern. Raises ``InputError``."""
    found = find([pattern], extension="exr")
    if len(found) != 1:
        names = ", ".join(s.name for s in found)
        raise InputError(f"{pattern} is {len(found)} sequences ({names})", "Give a pattern such as shot.####.exr")
    return found[0]


def shared_frames(what: Mapping[str, list[int]], wanted: list[int] | None, notes: list[str]) -> list[int]:
    """The frame numbers that every list has; which others there are goes to ``notes``.

    Args:
        what: What a list is of (``noisy frames``, ``references``) to its numbers.
        wanted: Frames that were asked for; they must be everywhere.
        notes: Gets one line for each list that has frames which others lack.

    Raises:
        InputError: A frame that was asked for is missing, or nothing is everywhere.
    """
    shared = sorted(set.intersection(*(set(numbers) for numbers in what.values())))
    for name, numbers in what.items():
        lost = sorted(set(wanted or ()) - set(numbers))
        if lost:
            raise InputError(f"frame {format_frames(lost)} is not among the {name}", "Check --measure and --frames")
    if wanted is not None:
        return sorted(set(wanted))
    if not shared:
        has = "; ".join(f"{name} {format_frames(numbers)}" for name, numbers in what.items())
        raise InputError(f"no frame is on both sides ({has})", "Give frames with the same numbers")
    for name, numbers in what.items():
        extra = sorted(set(numbers) - set(shared))
        if extra:
            others = " and ".join(other for other in what if other != name)
            notes.append(f"frame {format_frames(extra)} of the {name} left out: not among the {others}")
    return shared


def check_sizes(
    noisy: Mapping[int, tuple[Path, ...]],
    references: Mapping[int, tuple[Path, ...]],
    roles: Mapping[str, str] | None = None,
) -> None:
    """Raise ``ImageError`` when a frame's files differ in size; only headers are read."""
    for number, paths in references.items():
        windows = {path: _window(path, roles) for path in noisy.get(number, ())}
        windows |= {path: _window(path) for path in paths}
        first, *others = windows
        for other in others:
            if _size(windows[other]) != _size(windows[first]):
                raise ImageError(
                    f"{other} is {size_text(windows[other])}, but {first} is {size_text(windows[first])}",
                    "Give images of one size",
                )


def _window(path: Path, roles: Mapping[str, str] | None = None) -> tuple[int, int, int, int]:
    exr = look(path)
    return radiance_window(exr, roles_of(exr, path, roles))


def _size(window: tuple[int, int, int, int]) -> tuple[int, int]:
    return window[2] - window[0], window[3] - window[1]


def frames_to_measure(shot: list[int]) -> list[int]:
    """Two frames in the middle of a shot."""
    start = max(0, (len(shot) - DEFAULT_FRAMES) // 2)
    return shot[start : start + DEFAULT_FRAMES]
