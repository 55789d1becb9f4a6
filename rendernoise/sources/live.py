"""Pairs that a renderer makes while somebody else trains on the earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rendernoise.errors import SceneError
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
        self.failed: dict[int, str] = {}
        self._renderer: RendererProcess | None = None
        self._rendered: Iterator[Rendered] | None = None

    def __len__(self) -> int:
        return len(self._views) * self._passes

    def __iter__(self) -> Iterator[FramePair]:
        """The pairs that are still to come; each is in the store, and visible, when it is yielded.

        A frame whose scene is rejected is left out, in this pass and the later ones, and noted in ``failed``.
        """
        while self._next < len(self):
            index = self._next
            number = self._views[index % len(self._views)].frame
            if number not in self.failed and not self._store.holds(index):
                try:
                    self._render(index)
                except SceneError as error:
                    self.failed[number] = str(error)
                    self._rendered = None  # what was asked for behind the rejected frame is asked for again
            self._show_next(number)
            if number not in self.failed:
                yield self._store.pair(index)
        self.close()

    def _render(self, index: int) -> None:
        """Take the next pair from the renderer, which works ahead, into the store."""
        if self._renderer is None:
            self._renderer = self._start()
        if self._rendered is None:
            missing = (i for i in range(index, len(self)) if self._wanted(i))
            self._rendered = self._renderer.map(self._request(i, half) for i in missing for half in ("a", "b"))
        a, b = next(self._rendered), next(self._rendered)
        for note in a.notes:
            if note not in self._told:
                self._told.add(note)
                self._tell(note)
        self._store.put(index, FramePair.of_halves(a.frame, b.frame), render_s=a.render_s + b.render_s)

    def _wanted(self, index: int) -> bool:
        return not self._store.holds(index) and self._views[index % len(self._views)].frame not in self.failed

    def _show_next(self, number: int) -> None:
        if number in self.failed:
            self._store.skip()
        else:
            self.render_s += float(self._store.show(self._next).get("render_s", 0.0))
        self._next += 1

    def close(self) -> None:
        """End the renderer."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = self._rendered = None

    def _request(self, index: int, half: str) -> Request:
        pass_index, view_index = divmod(index, len(self._views))
        view = self._views[view_index]
        return Request(view, self._spp, Stream(self._run_seed, view.frame, pass_index, half).pack())

    def pass_of(self, index: int) -> int:
        """Which pass of its frame pair ``index`` is."""
        return index // len(self._views)

    def state_dict(self) -> dict[str, Any]:
        """How many pairs were handed out, and which frames were left out from which on."""
        return {"next": self._next, "skipped": self._store.skipped, "failed": self.failed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Show the pairs that were handed out before, and go on with the next."""
        self.failed = {int(n): text for n, text in state["failed"].items()}
        skipped = set(state["skipped"])
        while self._next < state["next"]:
            if self._next in skipped:
                self._store.skip()
            else:
                self.render_s += float(self._store.show(self._next).get("render_s", 0.0))
            self._next += 1
