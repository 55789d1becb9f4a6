"""Pairs that a renderer makes while somebody else trains on the earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rendernoise.frame import FramePair
from rendernoise.render.camera import View
from rendernoise.render.process import Rendered, RendererProcess, Request
from rendernoise.seeds import Stream
from rendernoise.sources.store import PairStore


class LivePairs:
    """Renders every view ``passes`` times, frame after frame, pass after pass, into a store.

    Pairs that the store already holds are not rendered again.

    Args:
        start: Makes the renderer; called only when something must be rendered.
        views: The shot.
        passes: Pairs of each frame.
        spp: Samples per pixel of each half.
        run_seed: Root of the seed tree.
        store: Where pairs are kept.
        tell: Called with each new line that the renderer has to say about the scene.
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
    ) -> None:
        self._start, self._views, self._passes = start, views, passes
        self._spp, self._run_seed, self._store, self._tell = spp, run_seed, store, tell
        self._next = 0
        self._told: set[str] = set()
        self.render_s = 0.0
        self._open: list[RendererProcess] = []

    def __len__(self) -> int:
        return len(self._views) * self._passes

    def __iter__(self) -> Iterator[FramePair]:
        """The pairs that are still to come; each is in the store, and visible, when it is yielded."""
        indices = range(self._next, len(self))
        missing = [i for i in indices if not self._store.holds(i)]
        rendered: Iterator[Rendered] | None = None
        if missing:
            renderer = self._start()
            self._open.append(renderer)
            rendered = renderer.map(self._request(i, half) for i in missing for half in ("a", "b"))
        for index in indices:
            if not self._store.holds(index):
                assert rendered is not None
                a, b = next(rendered), next(rendered)
                for note in a.notes:
                    if note not in self._told:
                        self._told.add(note)
                        self._tell(note)
                self._store.put(index, FramePair.of_halves(a.frame, b.frame), render_s=a.render_s + b.render_s)
            self.render_s += float(self._store.show(index).get("render_s", 0.0))
            self._next = index + 1
            yield self._store.pair(index)
        self.close()

    def close(self) -> None:
        """End the renderer."""
        while self._open:
            self._open.pop().close()

    def _request(self, index: int, half: str) -> Request:
        pass_index, view_index = divmod(index, len(self._views))
        view = self._views[view_index]
        return Request(view, self._spp, Stream(self._run_seed, view.frame, pass_index, half).pack())

    def pass_of(self, index: int) -> int:
        """Which pass of its frame pair ``index`` is."""
        return index // len(self._views)

    def state_dict(self) -> dict[str, Any]:
        """How many pairs were handed out."""
        return {"next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Show the pairs that were handed out before, and go on with the next."""
        while self._next < state["next"]:
            self.render_s += float(self._store.show(self._next).get("render_s", 0.0))
            self._next += 1
