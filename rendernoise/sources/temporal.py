"""The history of every render of a shot: what its neighbours in the shot know of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from rendernoise.frame import Frame, average_shared
from rendernoise.history import Surface, history
from rendernoise.sources.store import PairStore


class ShotHistory:
    """Gives the pairs of a store their history as they come, and anew from both sides when all are there.

    Args:
        store: Where pairs are.
        window: Frames on each side of a frame that it may know of, 1 or more.
        shot_of: Which shot a frame number belongs to; frames of two shots know nothing of each other.
    """

    def __init__(self, store: PairStore, window: int, shot_of: Callable[[int], Hashable] = lambda number: None) -> None:
        self.store, self.window, self.shot_of = store, window, shot_of
        self._surfaces: dict[int, Surface | None] = {}

    def shown(self, indices: Iterable[int]) -> None:
        """Some pairs of one frame have become visible: what do the frames before them, and those seen so far, know?"""
        for index in indices:
            self._surfaces.pop(self.store.number(index), None)
            self._renew(index)

    def complete(self) -> None:
        """All pairs are there: each learns from both sides."""
        for number in sorted(self.store.frames):
            for index in self.store.indices(number):
                self._renew(index)

    def _renew(self, index: int) -> None:
        """Compute the history of one pair from what is visible."""
        number = self.store.number(index)
        a, b = self.store.renders(index)
        others = [surface for n in self._near(number) if (surface := self._surface(n)) is not None]
        spp = self.store.half_spp(number)
        self.store.put_history(index, (history(a, others, spp), history(b, others, spp)))

    def _near(self, number: int) -> list[int]:
        """The visible frames next to a frame, on both sides."""
        shot = self.shot_of(number)
        numbers = sorted(n for n in self.store.frames if self.shot_of(n) == shot)
        place = numbers.index(number)
        return numbers[max(0, place - self.window) : place] + numbers[place + 1 : place + 1 + self.window]

    def _surface(self, number: int) -> Surface | None:
        """What a frame shows, with all its samples; the last few are kept."""
        if number not in self._surfaces:
            self._surfaces[number] = Surface.of(self._all_samples(number))
            while len(self._surfaces) > 2 * self.window + 2:
                self._surfaces.pop(next(iter(self._surfaces)))
        return self._surfaces[number]

    def _all_samples(self, number: int) -> Frame:
        """Both halves of all visible pairs of a frame."""
        return average_shared([render for index in self.store.indices(number) for render in self.store.renders(index)])
