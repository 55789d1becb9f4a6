"""What a command is to render: scene files, frames and a camera path, as a list of views."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rendernoise.errors import InputError
from rendernoise.io.sequence import expand, find, format_frames
from rendernoise.render.camera import View, load_path
from rendernoise.seeds import check_shot


@dataclass(frozen=True)
class Shot:
    """A name and its views in frame order. A still is a shot of one frame.

    Args:
        name: What its files are called.
        views: The frames that were asked for.
        span: First and last frame of all that the shot has, asked for or not: scalar variants count their
            seeds over them, so that a frame has the same noise in every command.
    """

    name: str
    views: tuple[View, ...]
    span: tuple[int, int]


def find_shot(scenes: Iterable[Path], frames: list[int] | None, camera: Path | None) -> Shot:
    """The shot behind scene files: one XML, one XML for each frame, or one XML with a camera path.

    Raises:
        InputError: Nothing is there, frames are missing, or the inputs are more than one shot.
    """
    path = load_path(camera) if camera is not None else None
    wanted = frames if frames is not None or path is None else path.frames
    sequences = find(scenes, extension="xml", frames=wanted, still_repeats=path is not None)
    if len(sequences) != 1:
        names = ", ".join(s.name for s in sequences)
        raise InputError(f"the scenes are {len(sequences)} shots ({names})", "Run the command once for each")
    sequence = sequences[0]
    if path is None:
        views = tuple(View(number, None, file) for number, file in sequence.files)
    else:
        outside = [n for n, _ in sequence.files if not path.frames[0] <= n <= path.frames[-1]]
        if outside:
            raise InputError(
                f"frames {format_frames(outside)} lie outside the camera path in {camera}",
                f"It covers {path.frames[0]} to {path.frames[-1]}",
            )
        views = tuple(View(number, path.at(number), file) for number, file in sequence.files)
    numbers = [v.frame for v in views] + (path.frames if path is not None else _siblings(views, sequence.name))
    check_shot(numbers)
    return Shot(sequence.name, views, (min(numbers), max(numbers)))


def _siblings(views: tuple[View, ...], name: str) -> list[int]:
    """Numbers of all frames beside the given ones that belong to the same shot."""
    numbers: list[int] = []
    for folder in {view.scene.parent for view in views if view.scene is not None}:
        with suppress(InputError):  # whatever is wrong with files that nobody asked for
            numbers += [n for s in expand(folder, extension="xml") if s.name == name for n in s.frames]
    return numbers
