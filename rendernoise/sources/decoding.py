"""The files of a frame as the denoiser takes them: what it needs of them in memory, and what is odd in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rendernoise.errors import ImageError
from rendernoise.frame import Frame
from rendernoise.history import NEEDS
from rendernoise.io.exr import Exr, count_bad, read, to_frame
from rendernoise.io.exr_look import look
from rendernoise.sources.beauties import check_beauties
from rendernoise.sources.shots import FrameFiles, Shots

#: Frames that are read before they are asked for, and as many that wait to be written; one of each if they are large.
WAITING, LARGE_BYTES = 2, 2**28

_BAD = {"nan": "NaN", "inf": "infinite", "negative": "negative"}


@dataclass(frozen=True)
class Decoded:
    """The files of one frame, its own and its other half if any: whole, as renders of each beauty, and what is odd."""

    exrs: list[Exr]
    renders: dict[str | None, list[Frame]]
    notes: list[str]


def decode(files: FrameFiles, planes: Iterable[str], shots: Sequence[Shots]) -> Decoded:
    """Read the files of a frame, each once.

    Args:
        files: Of the frame.
        planes: What its renders keep, beside what neighbours are found by.
        shots: Of each of its beauties: what it is called, and how its frames are warped.

    Raises:
        ImageError: A file cannot be read, has no radiance or lacks a beauty.
        InputError: A role that was given does not exist.
    """
    exrs: list[Exr] = []
    renders: dict[str | None, list[Frame]] = {each.beauty: [] for each in shots}
    notes: list[str] = []
    wanted = (*planes, *NEEDS)
    for path in (files.path, files.half):
        if path is None:
            continue
        exr = read(path)
        check_beauties(exr, path, shots[0].roles, renders)
        for each in shots:
            frame = to_frame(exr, roles=each.roles, number=files.number, beauty=each.beauty)
            frame = each.warped(files, frame)
            if text := bad_pixels_note(path, count_bad(frame), each.beauty):
                notes.append(text)
            kept = {name: frame.planes[name] for name in wanted if name in frame.planes}
            renders[each.beauty].append(replace(frame, planes=kept, metadata={}))
        exrs.append(exr)
    return Decoded(exrs, renders, notes)


def bad_pixels_note(path: Path, bad: Mapping[str, int], beauty: str | None = None) -> str:
    """What is odd in a file's radiance, by ``count_bad``; empty where nothing is."""
    counts = ", ".join(f"{count} {_BAD[kind]}" for kind, count in bad.items() if count)
    where = f" in {beauty}" if beauty else ""
    return f"warning: {path} has {counts} pixel(s){where}, read as 0" if counts else ""


def waiting(left: Iterable[FrameFiles]) -> int:
    """How many frames may wait to be taken, and how many to be written, by the size of the first that can be read."""
    for files in left:
        with suppress(ImageError):
            return 1 if look(files.path).decoded_bytes > LARGE_BYTES else WAITING
    return 1
