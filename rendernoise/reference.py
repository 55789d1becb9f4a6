"""Rendering a shot to files: pairs of halves, or references with the variance of their mean.

A frame is the mean of its passes. Its sums are kept in ``.work`` while it is rendered, so a run that is interrupted,
even by kill -9, ends with the pixels of an undisturbed one. No pixel of a frame depends on which other frames are asked
for, so several machines can share a shot and its folder.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from rendernoise.config import RenderConfig, parse_resolution
from rendernoise.errors import OutputError, RendererDied, RendernoiseError
from rendernoise.io.renders import making_fact, write_half
from rendernoise.render.probe import usable_cores
from rendernoise.render.process import Rendered, RenderQueue, Request, start_mitsuba
from rendernoise.render.shot import Shot, find_shot
from rendernoise.seeds import Stream
from rendernoise.sources.passes import PassFolder, PassSums

Emit = Callable[[dict[str, Any]], None]
SAVE_EVERY_S = 2.0
#: At most this share of the time goes into saving sums: those of a large frame are large.
SAVE_SHARE = 0.1


def stream_of(half: str, frame: int, index: int, run_seed: int) -> Stream:
    """The random stream of one pass; the passes of a reference (``half`` is ``""``) alternate between its halves."""
    if half:
        return Stream(run_seed, frame, index, half)
    return Stream(run_seed, frame, index // 2, ("reference_a", "reference_b")[index % 2])


def render_shot(
    config: RenderConfig,
    emit: Emit = lambda event: None,
    start_renderer: Callable[[], RenderQueue] | None = None,
) -> dict[str, Any]:
    """Run ``rendernoise render``; returns ``frames``, ``failed`` (a list of ``{frame, error}``) and times in s.

    Args:
        config: The options.
        emit: Called with every event: notes, passes, written frames, failed frames.
        start_renderer: Makes the renderer; None for Mitsuba as the options say.

    Raises:
        RendernoiseError: Bad input, or not one frame could be rendered; nothing is written then.
        RunError: The files are there already, or were made otherwise.
        OutputError: A file cannot be written; the run stays resumable.
    """
    shot = find_shot(config.scenes, config.frame_list, config.camera)
    return _Job(config, shot, emit, start_renderer).run()


class _Job:
    """One run of ``render``: the frames that are still to come, and what became of the others."""

    def __init__(
        self, config: RenderConfig, shot: Shot, emit: Emit, start_renderer: Callable[[], RenderQueue] | None
    ) -> None:
        self.config, self.shot, self.emit = config, shot, emit
        self.halves = ("",) if config.reference else ("a", "b")
        self.span = shot.span
        self.folder = PassFolder(
            config.out,
            shot,
            self.halves,
            {
                "spp": config.spp,
                "passes": config.passes,
                "seed": config.seed,
                "resolution": list(parse_resolution(config.resolution) or ()),
                "variant": config.variant,
                "span": list(self.span),
            },
        )
        self.start_renderer = start_renderer
        self.written: list[dict[str, Any]] = []
        self.failed: list[tuple[int, RendernoiseError]] = []
        self.told: set[str] = set()
        self.per_frame = len(self.halves) * config.passes
        self.ready, self.total = 0, self.per_frame * len(shot.views)
        self.began = self.steady = False
        self.saved = self.started = time.monotonic()
        self.save_s = self.render_s = 0.0

    def run(self) -> dict[str, Any]:
        """Find out what is missing, render it, and say what became of every frame."""
        config, folder = self.config, self.folder
        folder.check(resume=config.resume, overwrite=config.overwrite)
        with folder:
            todo = deque(self._missing())
            present = len(self.shot.views) - len(todo) - len(self.written)
            if config.resume and (present or any(sums.taken for sums in todo)):
                self.emit({"event": "note", "text": f"resumed: {present} of {len(self.shot.views)} frames are there"})
            self._render(todo)
        if self.failed and not self.written and not present:
            raise self.failed[0][1]
        summary = {
            "kind": "reference" if config.reference else "pairs",
            "spp": config.spp * config.passes,
            "frames": self.written,
            "present": present,
            "failed": [{"frame": number, "error": str(error)} for number, error in self.failed],
            "render_s": round(self.render_s, 3),
            "wall_s": round(time.monotonic() - self.started, 3),
        }
        self.emit({"event": "done", **summary})
        return summary

    def _missing(self) -> list[PassSums]:
        """The frames that are not complete, each with the sums of the passes that are known."""
        missing: list[PassSums] = []
        for view in self.shot.views:
            if self.config.resume and self.folder.complete(view):
                self.ready += self.per_frame
                continue
            kept = self.folder.load(view) if self.config.resume else None
            sums = kept or PassSums(view, spread=self.config.reference)
            self.ready += sums.taken
            if sums.taken == self.per_frame:  # all that was missing was the file
                self._write(sums)
            else:
                missing.append(sums)
        return missing

    # -- rendering ----------------------------------------------------------------------------------------------

    def _render(self, todo: deque[PassSums]) -> None:
        """Render frame after frame; a frame that fails is noted, and the others go on."""
        renderer: RenderQueue | None = None
        # The first render of the run, and the first after a failure, is waited for before others are queued behind
        # it: what is queued behind a rejected scene is lost together with the process.
        careful, deaths = True, 0
        try:
            while todo:
                renderer = renderer or self._start()
                try:
                    requests = self._requests(list(todo))
                    for rendered in renderer.map([next(requests)] if careful else requests):
                        careful = False
                        if self._take(todo[0], rendered):
                            todo.popleft()
                            deaths = 0
                except OutputError:
                    raise
                except RendernoiseError as error:
                    died = isinstance(error, RendererDied)
                    self._fail(todo.popleft(), error)
                    if died or not careful:
                        renderer.close()
                        renderer = None
                    careful = True
                    deaths += died
                    if deaths == 2:  # it dies on whatever it is given
                        while todo:
                            self._fail(todo.popleft(), error)
        except KeyboardInterrupt:
            if todo and self.steady:
                self.folder.save(todo[0])
            raise
        finally:
            if renderer is not None:
                renderer.close()

    def _requests(self, todo: list[PassSums]) -> Iterator[Request]:
        for sums in todo:
            for taken in range(sums.taken, self.per_frame):
                yield Request(sums.view, self.config.spp, self._place(sums, taken)[1].pack())

    def _place(self, sums: PassSums, taken: int) -> tuple[str, Stream]:
        """Half and stream of the render that follows ``taken`` others of its frame."""
        index, which = divmod(taken, len(self.halves))
        half = self.halves[which]
        return half, stream_of(half, sums.view.frame, index, self.config.seed)

    def _take(self, sums: PassSums, rendered: Rendered) -> bool:
        """Add one render to its frame; True when the frame is complete and written."""
        self.steady = False  # an interruption in here would leave half-added sums
        if not self.began:
            self.folder.begin(self.shot.views if self.config.overwrite and not self.config.resume else ())
            self.began = True
        sums.add(self._place(sums, sums.taken)[0], rendered.frame, rendered.render_s)
        self.steady = True
        self.ready += 1
        self.render_s += rendered.render_s
        for note in rendered.notes:
            self._tell_once(note)
        frame, index = sums.view.frame, (sums.taken - 1) // len(self.halves)
        self.emit({"event": "pass", "frame": frame, "pass": index, "done": self.ready, "total": self.total})
        if sums.taken == self.per_frame:
            self._write(sums)
            return True
        now = time.monotonic()
        if now - self.saved > max(SAVE_EVERY_S, self.save_s / SAVE_SHARE):
            self.folder.save(sums)
            self.saved = time.monotonic()
            self.save_s = self.saved - now
        return False

    def _write(self, sums: PassSums) -> None:
        config, number = self.config, sums.view.frame
        facts = {k: v for k, v in sums.metadata.items() if k in ("scene", "variant", "mitsuba")}
        facts |= {"passes": config.passes, **making_fact(self.folder.making(sums.view))}
        frames = {half: sums.frame(half, config.spp) for half in self.halves}
        paths = [write_half(config.out, self.shot.name, h, f, config.seed, **facts) for h, f in frames.items()]
        self.folder.forget(sums.view)
        self.steady = False
        entry = {"frame": number, "path": str(paths[0]), "render_s": round(sums.render_s, 3)}
        if len(paths) == 2:
            entry["path_b"] = str(paths[1])
        self.written.append(entry)
        self.emit({"event": "frame", **entry})

    def _fail(self, sums: PassSums, error: RendernoiseError) -> None:
        if sums.taken:
            self.folder.save(sums)
        self.failed.append((sums.view.frame, error))
        self.emit({"event": "failed", "frame": sums.view.frame, "error": str(error)})

    def _start(self) -> RenderQueue:
        if self.start_renderer is not None:
            self.folder.set_variant("")
            return self.start_renderer()
        cores = usable_cores()
        options = {"resolution": parse_resolution(self.config.resolution), "threads": cores, "frames": self.span}
        process, variant = start_mitsuba(self.folder.variant, options, self._tell_once)
        self.folder.set_variant(variant)
        self._tell_once(f"rendering with Mitsuba {variant}, {cores} thread(s)")
        return process

    def _tell_once(self, line: str) -> None:
        if line not in self.told:
            self.told.add(line)
            self.emit({"event": "note", "text": line})
