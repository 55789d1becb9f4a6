"""What the frames around a frame know of it, where all of them are files."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from rendernoise.errors import ImageError, InputError, SceneError
from rendernoise.frame import Frame, average_shared
from rendernoise.history import Surface, history

Key = TypeVar("Key", bound=Hashable)


class Neighbours(Generic[Key]):
    """Gives frames their history; keeps the surfaces of the last few, so that memory does not grow with the shot.

    Args:
        order: The keys of a shot's frames, in order.
        window: Frames on each side that a frame may know of.
        read: Reads the renders of one frame. A frame that cannot be read knows nothing.
    """

    def __init__(self, order: Sequence[Key], window: int, read: Callable[[Key], Sequence[Frame]]) -> None:
        self.window = window
        self._order = list(order)
        self._places = {key: place for place, key in enumerate(self._order)}
        self._read = read
        self._surfaces: dict[Key, Surface | None] = {}

    def inform(self, key: Key, renders: Sequence[Frame]) -> list[Frame]:
        """The renders of a frame, each with its history and reliability."""
        place = self._places[key]
        near = self._order[max(0, place - self.window) : place + 1 + self.window]
        others = [surface for other in near if other != key and (surface := self._surface(other)) is not None]
        informed: list[Frame] = []
        for render in renders:
            mean, reliability = history(render, others, render.spp or 1)
            informed.append(render.with_planes(history=mean, reliability=reliability))
        return informed

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
        # Renders that do not tell their samples count alike.
        return Surface.of(merged if merged.spp else replace(merged, spp=len(renders)))
