"""The files of a frame as the denoiser takes them: what it needs of them in memory, and what is odd in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rendernoise.errors import ImageError
from rendernoise.frame import Frame
from rendernoise.history import NEEDS
from rendernoise.io.exr import Exr, count_bad, read, to_frame
from rendernoise.io.exr_look import look, roles_of
from rendernoise.sources.shots import FrameFiles, Shots

#: Frames that are read before they are asked for, and as many that wait to be written; one of each if they are large.
WAITING, LARGE_BYTES = 2, 2**28

_BAD = {"nan": "NaN", "inf": "infinite", "negative": "negative"}


@dataclass(frozen=True)
class Decoded:
    """The files of one frame, its own and its other half if any: whole, as renders, and what is odd in them."""

    exrs: list[Exr]
    renders: list[Frame]
    notes: list[str]


def decode(files: FrameFiles, planes: Iterable[str], roles: Mapping[str, str] | None, shots: Shots) -> Decoded:
    """Read the files of a frame.

    Args:
        files: Of the frame.
        planes: What its renders keep, beside what neighbours are found by.
        roles: Plane name to layer, where names do not tell.
        shots: Whose sequences say how frames are warped.

    Raises:
        ImageError: A file cannot be read or has no radiance.
        InputError: A role that was given does not exist.
    """
    exrs, renders, notes = [], [], []
    wanted = (*planes, *NEEDS)
    for path in (files.path, files.half):
        if path is None:
            continue
        exr = read(path)
        roles_of(exr, path, roles)
        frame = shots.warped(files, to_frame(exr, roles=roles, number=files.number))
        if text := bad_pixels_note(path, count_bad(frame)):
            notes.append(text)
        kept = {name: frame.planes[name] for name in wanted if name in frame.planes}
        renders.append(replace(frame, planes=kept, metadata={}))
        exrs.append(exr)
    return Decoded(exrs, renders, notes)


def bad_pixels_note(path: Path, bad: Mapping[str, int]) -> str:
    """What is odd in a file's radiance, by ``count_bad``; empty where nothing is."""
    counts = ", ".join(f"{count} {_BAD[kind]}" for kind, count in bad.items() if count)
    return f"warning: {path} has {counts} pixel(s), read as 0" if counts else ""


def waiting(left: Iterable[FrameFiles]) -> int:
    """How many frames may wait to be taken, and how many to be written, by the size of the first that can be read."""
    for files in left:
        with suppress(ImageError):
            parts = look(files.path).parts
            size = sum(pixels.size * pixels.itemsize for part in parts for pixels in part.channels.values())
            return 1 if size > LARGE_BYTES else WAITING
    return 1
