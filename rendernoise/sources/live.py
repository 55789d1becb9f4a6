"""Pairs that a renderer makes while somebody else trains on the earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rendernoise.errors import InputError, SceneError
from rendernoise.frame import FramePair
from rendernoise.render.camera import View
from rendernoise.render.process import Rendered, RendererProcess, Request
from rendernoise.seeds import MAX_PASSES, Stream
from rendernoise.sources.store import PairStore

#: Renders that a half is made of at most. Training may exchange them between the halves: other inputs, other targets.
MOST_PARTS = 2


def parts_of(spp: int) -> int:
    """In how many renders of equally many samples a half of ``spp`` is made."""
    return max(parts for parts in range(1, MOST_PARTS + 1) if spp % parts == 0)


class LivePairs:
    """Renders every view ``passes`` times, frame after frame, pass after pass, into a store.

    Each half of a pair is the mean of :func:`parts_of` renders. What the store already holds is not rendered again.
    More passes of some frames may be asked for with :meth:`extend`; the renderer stays until :meth:`close`.

    Args:
        start: Makes the renderer; called only when something must be rendered.
        views: The shot.
        passes: Pairs of each frame.
        spp: Samples per pixel of each half.
        run_seed: Root of the seed tree.
        store: Where pairs are kept.
        tell: Called with each new line that the renderer has to say about the scene.
        shown: Called with the places in the store of each pair that has become visible, also when going on where an
            earlier run stopped.
    """

    def __init__(
        self,
        start: Callable[[], RendererProcess],
        views: tuple[View, ...],
        *,
        passes: int,
        spp: int,
        run_seed: int,
        store: PairStore,
        tell: Callable[[str], None] = lambda line: None,
        shown: Callable[[range], None] = lambda indices: None,
    ) -> None:
        self._start, self._views = start, views
        self._run_seed, self._store, self._tell, self._shown = run_seed, store, tell, shown
        #: Of each pair its place in ``views``, which pass of that frame it is, and how many times ``spp`` it has.
        self._order = [(view, index, 1) for index in range(passes) for view in range(len(views))]
        #: Pairs that were asked for at the start.
        self.usual = len(self._order)
        self._parts = parts_of(spp)
        self._part_spp = spp // self._parts
        #: Pairs that were handed out, or left out because their frame failed.
        self.taken = 0
        self._told: set[str] = set()
        self.render_s = 0.0
        self.failed: dict[int, str] = {}
        self._renderer: RendererProcess | None = None
        self._rendered: Iterator[Rendered] | None = None

    def __len__(self) -> int:
        return len(self._order)

    def extend(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Ask for more, after all that was asked for before.

        Args:
            wanted: Frame numbers, and how many times ``spp`` samples each half of one more pass shall have.

        Raises:
            InputError: A frame would have more passes than the seed tree has streams for.
        """
        places = {view.frame: place for place, view in enumerate(self._views)}
        for number, times in wanted:
            index = sum(view == places[number] for view, _, _ in self._order)
            if index >= MAX_PASSES // self._parts:
                raise InputError(f"frame {number} has {index} passes, and there are no more", "Give more --spp")
            self._order.append((places[number], index, times))
        self._rendered = None  # it ends where the order ended

    def __iter__(self) -> Iterator[FramePair]:
        """The pairs that are still to come; each is in the store, and visible, when it is yielded.

        A frame whose scene is rejected is left out, in this pass and the later ones, and noted in ``failed``.
        """
        while self.taken < len(self):
            index = self.taken
            number = self._number(index)
            try:
                for part in self._missing(index):
                    self._render(part)
            except SceneError as error:
                self.failed[number] = str(error)
                self._rendered = None  # what was asked for behind the rejected frame is asked for again
            self._show_next(left_out=number in self.failed)
            if number not in self.failed:
                yield self._store.pair(*self._parts_of(index))

    def _render(self, part: int) -> None:
        """Take the next part of a pair from the renderer, which works ahead, into the store."""
        if self._renderer is None:
            self._renderer = self._start()
        if self._rendered is None:
            missing = (p for i in range(part // self._parts, len(self)) for p in self._missing(i))
            self._rendered = self._renderer.map(self._request(p, half) for p in missing for half in ("a", "b"))
        a, b = next(self._rendered), next(self._rendered)
        for note in a.notes:
            if note not in self._told:
                self._told.add(note)
                self._tell(note)
        self._store.put(part, FramePair.of_halves(a.frame, b.frame), render_s=a.render_s + b.render_s)

    def _number(self, index: int) -> int:
        """The frame of a pair."""
        return self._views[self._order[index][0]].frame

    def _parts_of(self, index: int) -> range:
        """Where the store has the parts of a pair."""
        return range(index * self._parts, (index + 1) * self._parts)

    def _missing(self, index: int) -> list[int]:
        """The parts of a pair that are still to be rendered."""
        if self._number(index) in self.failed:
            return []
        return [part for part in self._parts_of(index) if not self._store.holds(part)]

    def _show_next(self, *, left_out: bool) -> None:
        for part in self._parts_of(self.taken):
            if left_out:
                self._store.skip()
            else:
                self.render_s += float(self._store.show(part).get("render_s", 0.0))
        if not left_out:
            self._shown(self._parts_of(self.taken))
        self.taken += 1

    def close(self) -> None:
        """End the renderer."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = self._rendered = None

    def _request(self, part: int, half: str) -> Request:
        index, part_of_pair = divmod(part, self._parts)
        place_of_view, pass_index, times = self._order[index]
        view = self._views[place_of_view]
        place = pass_index * self._parts + part_of_pair
        return Request(view, times * self._part_spp, Stream(self._run_seed, view.frame, place, half).pack())

    def pass_of(self, index: int) -> int:
        """Which pass of its frame pair ``index`` is."""
        return self._order[index][1]

    def state_dict(self) -> dict[str, Any]:
        """How many pairs were taken and asked for, which places in the store stayed empty, and which frames failed."""
        asked = [[self._views[view].frame, times] for view, _, times in self._order[self.usual :]]
        return {"taken": self.taken, "asked": asked, "skipped": self._store.skipped, "failed": self.failed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Show the pairs that were handed out before, and go on with the next."""
        self.failed = {int(n): text for n, text in state["failed"].items()}
        self.extend(state["asked"])
        skipped = set(state["skipped"])
        while self.taken < state["taken"]:
            # Not by its frame: one that failed in a later pass keeps its earlier ones.
            self._show_next(left_out=self._parts_of(self.taken)[0] in skipped)
