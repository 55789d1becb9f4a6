"""What the frames around a frame know of it.

Where frames are pairs of halves, a half learns from the same half of the others: a shot is then denoised twice, from
independent samples throughout, and how far both results differ tells their noise (``guard.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from rendernoise.errors import ImageError, InputError, SceneError
from rendernoise.frame import Frame
from rendernoise.history import Surface, history
from rendernoise.light import WIDE, Windows

Key = TypeVar("Key", bound=Hashable)


class Neighbours(Generic[Key]):
    """Finds the surfaces around frames; keeps the last few, so that memory does not grow with the shot.

    Args:
        window: Frames on each side that a frame may know of.
        read: Reads the renders of one frame: its halves in order, or all samples as one. A frame that cannot be read
            knows nothing.
    """

    def __init__(self, window: int, read: Callable[[Key], Sequence[Frame]]) -> None:
        self.window, self._read = window, read
        self._surfaces: dict[Key, list[Surface | None]] = {}

    def around(self, key: Key, order: Sequence[Key]) -> list[list[Surface]]:
        """What the frames next to one in ``order`` show, for each of their renders."""
        place = order.index(key)
        near = order[max(0, place - self.window) : place + 1 + self.window]
        # The own one too, and in order: the next frames ask for it, and files are then read as they lie.
        found = {other: self._of(other) for other in near}
        del found[key]
        renders = max(map(len, found.values()), default=0)
        return [[surface for s in found.values() for surface in s[i : i + 1] if surface] for i in range(renders)]

    def look(self, key: Key, renders: Sequence[Frame]) -> None:
        """Remember what the renders of a frame show, if nothing is known of it."""
        if key not in self._surfaces:
            self._keep(key, [Surface.of(render) for render in renders])

    def forget(self, key: Key) -> None:
        """The renders of a frame have become others."""
        self._surfaces.pop(key, None)

    def _of(self, key: Key) -> list[Surface | None]:
        if key not in self._surfaces:
            try:
                self._keep(key, [Surface.of(render) for render in self._read(key)])
            except (ImageError, InputError, SceneError, ValueError):
                self._keep(key, [])  # said when its own turn comes
        return self._surfaces[key]

    def _keep(self, key: Key, surfaces: list[Surface | None]) -> None:
        self._surfaces[key] = surfaces
        while len(self._surfaces) > 2 * self.window + 1:
            self._surfaces.pop(next(iter(self._surfaces)))


def informed(
    renders: Sequence[Frame],
    around: Sequence[Sequence[Surface]],
    *,
    windows: Windows = WIDE,
    cuts: set[int] | None = None,
) -> list[Frame]:
    """The renders of a frame, each with the history and reliability that the like renders around it give.

    Args:
        renders: The halves of the frame in order, or all samples as one.
        around: For each of them, what the frames around it show.
        windows: Over which light is compared.
        cuts: Takes the numbers of the frames that lie behind a cut.
    """
    found: list[Frame] = []
    for index, render in enumerate(renders):
        mean, reliability = history(render, around[index] if index < len(around) else (), windows=windows, cuts=cuts)
        found.append(render.with_planes(history=mean, reliability=reliability))
    return found
