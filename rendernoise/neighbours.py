"""What the frames around a frame know of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from rendernoise.errors import ImageError, InputError, SceneError
from rendernoise.frame import Frame, average_shared
from rendernoise.history import Surface, history

Key = TypeVar("Key", bound=Hashable)


class Neighbours(Generic[Key]):
    """Finds the surfaces around frames; keeps the last few, so that memory does not grow with the shot.

    Args:
        window: Frames on each side that a frame may know of.
        read: Reads the renders of one frame. A frame that cannot be read knows nothing.
    """

    def __init__(self, window: int, read: Callable[[Key], Sequence[Frame]]) -> None:
        self.window, self._read = window, read
        self._surfaces: dict[Key, Surface | None] = {}

    def around(self, key: Key, order: Sequence[Key]) -> list[Surface]:
        """What the frames next to one in ``order`` show, with all their samples."""
        place = order.index(key)
        near = [*order[max(0, place - self.window) : place], *order[place + 1 : place + 1 + self.window]]
        return [surface for other in near if (surface := self._surface(other)) is not None]

    def forget(self, key: Key) -> None:
        """The renders of a frame have become others."""
        self._surfaces.pop(key, None)

    def _surface(self, key: Key) -> Surface | None:
        if key not in self._surfaces:
            self._surfaces[key] = self._made(key)
            while len(self._surfaces) > 2 * self.window + 1:
                self._surfaces.pop(next(iter(self._surfaces)))
        return self._surfaces[key]

    def _made(self, key: Key) -> Surface | None:
        try:
            renders = list(self._read(key))
            merged = average_shared(renders)
        except (ImageError, InputError, SceneError, ValueError):
            return None  # said when its own turn comes
        return Surface.of(replace(merged, spp=sum(map(counted_spp, renders))))


def counted_spp(render: Frame) -> int:
    """Samples per pixel of a render; those that do not tell count alike."""
    return render.spp or 1


def informed(renders: Sequence[Frame], others: Sequence[Surface]) -> list[Frame]:
    """The renders of a frame, each with the history and reliability that other frames give it."""
    found: list[Frame] = []
    for render in renders:
        mean, reliability = history(render, others, counted_spp(render))
        found.append(render.with_planes(history=mean, reliability=reliability))
    return found
