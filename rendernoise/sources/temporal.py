"""The history of every render of a shot: what its neighbours in the shot know of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace

from rendernoise.frame import Frame, average_shared
from rendernoise.history import history
from rendernoise.neighbours import Neighbours
from rendernoise.sources.store import PairStore


class ShotHistory:
    """Gives the pairs of a store their history as they come, and anew from both sides when all are there.

    Args:
        store: Where pairs are.
        window: Frames on each side of a frame that it may know of, 1 or more.
        shot_of: Which shot a frame number belongs to; frames of two shots know nothing of each other.
    """

    def __init__(self, store: PairStore, window: int, shot_of: Callable[[int], Hashable] = lambda number: None) -> None:
        self.store, self.shot_of = store, shot_of
        self._neighbours: Neighbours[int] = Neighbours(window, self._renders)
        #: Frames that know all that there is on both sides.
        self._complete: set[int] = set()

    def shown(self, indices: Iterable[int]) -> None:
        """Some pairs of one frame have become visible: what do the frames before them, and those seen so far, know?"""
        for index in indices:
            number = self.store.number(index)
            self._neighbours.forget(number)
            self._renew(index)
            shot = self._shot(number)
            place, window = shot.index(number), self._neighbours.window
            self._complete.difference_update(shot[max(0, place - window) : place + window + 1])

    def complete(self) -> None:
        """All pairs are there: each learns from both sides, where something has come since the last time."""
        for number in sorted({*self.store.frames} - self._complete):
            for index in self.store.indices(number):
                self._renew(index)
            self._complete.add(number)

    def _renew(self, index: int) -> None:
        """Compute the history of one pair from what is visible."""
        number = self.store.number(index)
        around = self._neighbours.around(number, self._shot(number)) or [[], []]
        # Passes are averaged when they are read, and so are their reliabilities: they count by all of them.
        spp = self.store.half_spp(number)
        a, b = (history(half, others, spp) for half, others in zip(self.store.renders(index), around, strict=True))
        self.store.put_history(index, (a, b))

    def _shot(self, number: int) -> list[int]:
        """The visible frames of a frame's shot, in order."""
        shot = self.shot_of(number)
        return sorted(n for n in self.store.frames if self.shot_of(n) == shot)

    def _renders(self, number: int) -> list[Frame]:
        """Both halves of a frame, over all its visible pairs."""
        halves = zip(*(self.store.renders(index) for index in self.store.indices(number)), strict=True)
        spp = self.store.half_spp(number)
        return [replace(average_shared(list(passes)), spp=spp) for passes in halves]
