"""Renders of a shot for the benchmark, kept for the next time.

A kept render is found by what decides its pixels: the content of the scene and its files, the camera, resolution,
samples, seed, variant and Mitsuba's version. Each frame is an entry of its own, so asking for more frames renders only
those.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rendernoise.bench.config import BenchConfig
from rendernoise.config import RenderConfig, parse_resolution
from rendernoise.errors import ImageError, InputError, RendernoiseError
from rendernoise.io.atomic import make_directory, write_text
from rendernoise.io.exr_look import look
from rendernoise.io.renders import render_path
from rendernoise.job import Emit
from rendernoise.reference import render_shot
from rendernoise.render.camera import View
from rendernoise.render.content import view_digest
from rendernoise.render.mitsuba import VARIANTS
from rendernoise.render.probe import probe_variant, usable_cores
from rendernoise.render.process import Rendered, RendererProcess, RenderQueue, Request, start_mitsuba
from rendernoise.render.shot import Shot
from rendernoise.sources.live import parts_of

SCHEMA = 4
#: Samples of one pass of a reference; the spread between passes tells its variance.
REFERENCE_PASS_SPP = 64


@dataclass(frozen=True)
class Pair:
    """Both halves of a frame as files, and the seconds that rendering them took, scene loading left out."""

    a: Path
    b: Path
    render_s: float


def cache_folder(chosen: Path | None) -> Path:
    """Where renders are kept: as chosen, or under ``XDG_CACHE_HOME`` (by default ``~/.cache``)."""
    if chosen is not None:
        return chosen
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rendernoise" / "bench"


def pick_variant(variant: str, tell: Callable[[str], None]) -> str:
    """The variant to render in: as chosen, or the first that renders here.

    Raises:
        InputError: None does.
    """
    if variant != "auto":
        return variant
    for candidate in VARIANTS:
        probe = probe_variant(candidate)
        if probe.works:
            return candidate
        if candidate != "cuda_ad_rgb":
            tell(f"{candidate} does not render here ({probe.message}); trying the next (see rendernoise doctor)")
    raise InputError("Mitsuba does not render here", "See rendernoise doctor")


def reference_passes(spp: int) -> tuple[int, int]:
    """Samples of a pass and an even number of passes that make at least ``spp`` samples."""
    each = min(REFERENCE_PASS_SPP, max(1, spp // 2))
    passes = -(-spp // each)
    return each, passes + passes % 2


class _Kept:
    """A renderer's process that outlives one call of ``render_shot``, unless it failed in it; times every render."""

    def __init__(self, start: Callable[[], RendererProcess]) -> None:
        self._start = start
        self._process: RendererProcess | None = None
        self.seconds: list[float] = []

    def __call__(self) -> RenderQueue:
        if self._process is None:
            self._process = self._start()
        return self

    def map(self, requests: Iterable[Request]) -> Iterator[Rendered]:
        assert self._process is not None
        try:
            for rendered in self._process.map(requests):
                self.seconds.append(rendered.render_s)
                yield rendered
        except RendernoiseError:
            self.end()
            raise

    def close(self) -> None:
        """The caller is done; the next one goes on with the same process."""

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None


class RenderCache:
    """Renders frames of one shot, or finds that they are there.

    Args:
        config: Scene, camera, resolution and where to keep renders.
        shot: The shot.
        emit: Called with notes and progress of passes.
        start_renderer: Makes the renderer; None for Mitsuba.

    Raises:
        InputError: The folder cannot be written, or no variant renders.
    """

    def __init__(
        self, config: BenchConfig, shot: Shot, emit: Emit, start_renderer: Callable[[], RendererProcess] | None = None
    ) -> None:
        self._config, self._shot, self._emit = config, shot, emit
        self._told: set[str] = set()
        self.folder = cache_folder(config.cache)
        self._made = [f for f in (self.folder, *self.folder.absolute().parents) if not f.exists()]
        try:
            make_directory(self.folder)
        except InputError as error:
            what = str(error).split(". ")[0]
            raise InputError(what, "Choose another --cache") from error
        self.variant = "analytic" if start_renderer else pick_variant(config.variant, self._tell)
        self._renderer = _Kept(start_renderer or self._start_mitsuba)

    def pair(self, view: View, spp: int, seed: int) -> Pair:
        """Two halves of ``spp / 2`` samples each, as ``online`` with the same seed renders them.

        Raises:
            RendernoiseError: The renderer rejects the scene or dies.
        """
        entry = self._entry(view, "pairs", spp, seed)
        name = self._shot.name
        a, b = (render_path(entry, name, half, view.frame) for half in "ab")
        known = _facts(entry, a, b)
        if known is None:
            earlier = len(self._renderer.seconds)
            parts = parts_of(spp // 2)
            render_s = self._render(view, entry, spp=spp // 2 // parts, passes=parts, pairs=True, seed=seed)
            # The first render after a scene was loaded compiles kernels too; the last one shows what samples cost.
            # There is none when an interrupted run had rendered both and lacked their files alone.
            latest = self._renderer.seconds[earlier:]
            known = {"render_s": round(2 * parts * latest[-1] if latest else render_s, 4)}
            self._finish(entry, known)
        return Pair(a, b, known["render_s"])

    def reference(self, view: View, spp: int) -> Path:
        """A reference of at least ``spp`` samples, with the variance of its mean.

        Raises:
            RendernoiseError: The renderer rejects the scene or dies.
        """
        entry = self._entry(view, "reference", spp, 0)
        path = render_path(entry, self._shot.name, "", view.frame)
        if _facts(entry, path) is None:
            each, passes = reference_passes(spp)
            self._render(view, entry, spp=each, passes=passes, reference=True, seed=0)
            self._finish(entry, {})
        return path

    def release(self) -> None:
        """End the renderer's process, so that others have its memory and cores; it starts again when needed."""
        self._renderer.end()

    def close(self) -> None:
        """End the renderer's process, and leave no folder in which nothing was kept."""
        self.release()
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _entry(self, view: View, kind: str, spp: int, seed: int) -> Path:
        """The folder of one frame, named by what decides its pixels."""
        facts = {
            "schema": SCHEMA,
            "kind": kind,
            "scene": view_digest(view),
            "name": self._shot.name,
            "frame": view.frame,
            "spp": spp,
            "seed": seed,
            "resolution": self._config.resolution,
            "variant": self.variant,
            "mitsuba": metadata.version("mitsuba"),
            "span": self._shot.span if self.variant.startswith("scalar") else None,
        }
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        return self.folder / f"{self._shot.name}.{view.frame:04d}.{kind}-{spp}spp-seed{seed}-{key}"

    def _render(self, view: View, entry: Path, **options: Any) -> float:
        """Render one entry; returns the seconds that its renders took."""
        config = RenderConfig(
            scenes=self._config.scenes,
            camera=self._config.camera,
            resolution=self._config.resolution,
            frames=str(view.frame),
            out=entry,
            # Files without the record beside them were left by a run that was killed between the two, or are damaged.
            resume=not any(entry.glob("*.exr")),
            overwrite=any(entry.glob("*.exr")),
            **options,
        )
        # The entry's name holds the variant; the folder itself need not settle one.
        summary = render_shot(config, self._event, self._renderer)
        return summary["frames"][0]["render_s"]

    def _finish(self, entry: Path, facts: dict[str, Any]) -> None:
        write_text(entry / "bench.json", json.dumps(facts) + "\n")
        shutil.rmtree(entry / ".work", ignore_errors=True)

    def _start_mitsuba(self) -> RendererProcess:
        cores = usable_cores()
        options = {
            "resolution": parse_resolution(self._config.resolution),
            "threads": cores,
            "frames": self._shot.span,
        }
        process, variant = start_mitsuba(self.variant, options)
        self._tell(f"rendering with Mitsuba {variant}, {cores} thread(s)")
        return process

    def _event(self, event: dict[str, Any]) -> None:
        if event["event"] == "note":
            self._tell(event["text"])
        elif event["event"] == "pass":
            self._emit(event)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._emit({"event": "note", "text": line})


def _facts(entry: Path, *files: Path) -> dict[str, Any] | None:
    """What is known of a finished entry; None when there is none, or when one of its files is not whole."""
    try:
        facts = json.loads((entry / "bench.json").read_text())
        for file in files:
            look(file)
    except (OSError, ValueError, ImageError):
        return None
    return facts
