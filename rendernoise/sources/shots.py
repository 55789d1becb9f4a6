"""The sequences that frames on disk belong to, and what the frames around each of them know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame
from rendernoise.history import Surface
from rendernoise.io.exr import read_frame
from rendernoise.io.exr_look import look, roles_of
from rendernoise.io.sequence import format_frames
from rendernoise.light import WIDE, Windows
from rendernoise.neighbours import Neighbours, informed
from rendernoise.sources.warping import Warping, find_warping

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class FrameFiles:
    """One frame's number, input, output, the other half where there is one, and the name of its sequence if any."""

    number: int
    path: Path
    out: Path
    half: Path | None = None
    sequence: str = ""


class Shots:
    """The sequences that frames belong to: what they are warped by, and what surfaces lie around a frame.

    Args:
        known: All frames that may help.
        window: Frames on each side that may help; 0 for none.
        asked: Whether the user asked for that window.
        roles: Plane name to layer, where names do not tell.
        emit: Takes notes.
        light: Windows over which light is compared.
        beauty: The radiance's layer, where files have several; None for the first one.
    """

    def __init__(
        self,
        known: list[FrameFiles],
        window: int,
        roles: Mapping[str, str] | None,
        emit: Emit,
        *,
        asked: bool = False,
        light: Windows = WIDE,
        beauty: str | None = None,
    ) -> None:
        self.roles, self.beauty = roles, beauty
        self._light = light
        self._emit = emit
        self._asked = window if asked else 0
        self._files = {files.path: files for files in known}
        self._order: dict[str, list[Path]] = {}
        for files in known if window else []:
            if files.sequence:
                self._order.setdefault(files.sequence, []).append(files.path)
        self._warpings: dict[str, Warping] = {}
        self._window = window
        self._neighbours: Neighbours[Path] | None = None
        self._said: set[str] = set()

    def near(self, files: FrameFiles) -> list[FrameFiles]:
        """The frame and those of its window, in order; itself alone where it has no neighbours."""
        order = self._order.get(files.sequence, [])
        if files.path not in order:
            return [files]
        place = order.index(files.path)
        return [self._files[path] for path in order[max(0, place - self._window) : place + 1 + self._window]]

    def helped(self, files: FrameFiles) -> bool:
        """Whether the frames of its sequence can be warped onto each other."""
        return files.sequence in self._warpings

    def read_by(self, read: Callable[[FrameFiles], Sequence[Frame]]) -> None:
        """Have the renders of neighbours read by this; before, frames have none."""

        def renders(path: Path) -> Sequence[Frame]:
            return read(self._files[path])

        self._neighbours = Neighbours(self._window, renders)

    def look(self, files: FrameFiles, renders: Sequence[Frame]) -> None:
        """Remember what the renders of a frame show, which are at hand; they need not be read again."""
        if self.helped(files) and self._neighbours is not None:
            self._neighbours.look(files.path, renders)

    def prepare(self, planned: Iterable[FrameFiles]) -> None:
        """Find what the sequences of some frames are warped by, and say it."""
        for name in dict.fromkeys(files.sequence for files in planned if files.sequence in self._order):
            by_number = {self._files[path].number: path for path in self._order[name]}
            if len(by_number) < 2:
                self._note(f"{name} is one frame, which has no neighbours")
                continue
            if self._asked >= len(by_number):
                self._note(f"{name} has {len(by_number)} frames, fewer than --window {self._asked} reaches: all help")
            lost = sorted(set(range(min(by_number), max(by_number))) - set(by_number))
            warping = find_warping(
                lambda n, paths=by_number: self._read(paths[n]), list(by_number), self._channels(by_number.values())
            )
            if lost and warping.conventions and len(lost) < len(by_number):
                self._note(f"{name} lacks frame(s) {format_frames(lost)}: motion vectors do not lead across")
            self._warpings[name] = warping
            for note in warping.notes:
                self._note(note)

    def warped(self, files: FrameFiles, frame: Frame) -> Frame:
        """A frame as its sequence is to be read."""
        warping = self._warpings.get(files.sequence)
        return warping(frame) if warping else frame

    def around(self, files: FrameFiles) -> list[list[Surface]]:
        """What the frames around one show, for each of its renders."""
        if not self.helped(files) or self._neighbours is None:
            return []
        return self._neighbours.around(files.path, self._order[files.sequence])

    def informed(self, files: FrameFiles, renders: list[Frame], around: list[list[Surface]]) -> list[Frame]:
        """The renders of a frame with what their neighbours know of them."""
        if not self.helped(files):
            return renders
        own = (renders[0].height, renders[0].width)
        if any(surface.size != own for surface in around[0] if around):
            self._note(f"frames of {files.sequence} are not of one size: those of another size know nothing")
        cuts: set[int] = set()
        found = informed(renders, around, windows=self._light, cuts=cuts)
        for number in sorted(cuts & {files.number - 1, files.number + 1}):
            first = min(number, files.number)
            self._note(f"frames {first} and {first + 1} show nothing in common (a cut?): neither helps the other")
        return found

    def end(self) -> None:
        """What is known only when all is done."""
        for warping in self._warpings.values():
            if text := warping.lost_vectors():
                self._note(text)

    def _read(self, path: Path) -> Frame:
        return read_frame(path, roles=self.roles, number=self._files[path].number, beauty=self.beauty)

    def _channels(self, paths: Iterable[Path]) -> dict[str, tuple[str, ...]]:
        for path in paths:
            try:
                return roles_of(look(path), path, self.roles, self.beauty)
            except (ImageError, InputError):
                continue  # said when its own turn comes
        return {}

    def _note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._emit({"event": "note", "text": f"{self.beauty}: {text}" if self.beauty else text})
