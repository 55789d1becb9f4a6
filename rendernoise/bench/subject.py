"""What a benchmark is about: a scene that is rendered, or EXR files that are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rendernoise.bench.config import BenchConfig
from rendernoise.bench.inputs import (
    NoisyFrame,
    ReferenceFrame,
    check_sizes,
    frames_to_measure,
    one_sequence,
    read_reference,
    shared_frames,
)
from rendernoise.bench.renders import RenderCache, reference_passes
from rendernoise.errors import InputError
from rendernoise.io.exr import read_frame
from rendernoise.io.exr_look import look, roles_of
from rendernoise.io.sequence import format_frames, parse_frames
from rendernoise.job import Emit
from rendernoise.render.process import RendererProcess
from rendernoise.render.shot import Shot, find_shot

#: File names that say nothing about the scene; its folder does.
_PLAIN_NAMES = ("scene", "shot", "noisy", "frame", "beauty")


class Subject(Protocol):
    """Where noisy frames and references come from.

    ``name`` of the scene; ``shot`` (None: no scene); ``variant`` of Mitsuba; ``counts`` of samples per pixel (0:
    unknown); ``frames`` to measure; ``numbers`` of all frames that there are, in order.
    """

    name: str
    shot: Shot | None
    variant: str
    counts: list[int]
    frames: list[int]
    numbers: list[int]

    def reference(self, number: int) -> ReferenceFrame:
        """The reference of one frame; raises ``RendernoiseError``."""
        ...

    def noisy(self, number: int, spp: int, seed: int) -> NoisyFrame:
        """A noisy frame; raises ``RendernoiseError``."""
        ...

    def rest(self) -> None:
        """Hold no memory and no cores for now."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class SceneSubject:
    """A shot that is rendered, with references that are rendered or given."""

    def __init__(
        self, config: BenchConfig, emit: Emit, start_renderer: Callable[[], RendererProcess] | None = None
    ) -> None:
        self._config, self._emit = config, emit
        self.shot: Shot | None = find_shot(config.scenes, config.frame_list, config.camera)
        self._views = {view.frame: view for view in self.shot.views}
        self.counts = config.spp_list
        scene = self.shot.views[0].scene
        self.name = config.name or _scene_name(self.shot.name, scene)
        self._given: dict[int, tuple[Path, ...]] = {}
        numbers = self.numbers = sorted(self._views)
        wanted = _measured(config, numbers)
        if config.reference:
            self._given = _paths(config.reference, config.reference_half)
            lists = {"frames of the shot": numbers, "references": sorted(self._given)}
            self.frames = shared_frames(lists, wanted, [])
        else:
            self.frames = shared_frames({"frames of the shot": numbers}, wanted or frames_to_measure(numbers), [])
        self._cache = RenderCache(config, self.shot, self._event, start_renderer)
        self.variant = self._cache.variant
        self._passes = (0, 0)
        if len(self.frames) < len(numbers):
            which = f"frame {format_frames(self.frames)} of {len(numbers)}"
            how = "those with a reference" if config.reference else "--measure all for every one"
            emit({"event": "note", "text": f"measuring {which} ({how})"})

    def reference(self, number: int) -> ReferenceFrame:
        """The reference of one frame, rendered if it is neither given nor kept."""
        if self._given:
            return read_reference(number, *self._given[number])
        _, passes = reference_passes(self._config.reference_spp)
        self._passes = (self.frames.index(number) * passes, len(self.frames) * passes)
        path = self._cache.reference(self._views[number], self._config.reference_spp)
        return read_reference(number, path)

    def noisy(self, number: int, spp: int, seed: int) -> NoisyFrame:
        """Both halves of a frame, rendered if they are not kept."""
        self._passes = (0, 0)
        pair = self._cache.pair(self._views[number], spp, seed)
        if number in self._given:  # neighbours need no reference
            check_sizes({number: (pair.a,)}, {number: self._given[number]})
        return NoisyFrame(number, (pair.a, pair.b), spp, pair.render_s, self._views[number])

    def rest(self) -> None:
        """End the renderer's process; it starts again when something is to be rendered."""
        self._cache.release()

    def close(self) -> None:
        """End the renderer's process."""
        self._cache.close()

    def _event(self, event: dict[str, Any]) -> None:
        before, total = self._passes
        if event["event"] == "pass" and total:
            done = before + event["done"]
            text = f"reference of frame {event['frame']}, {self._config.reference_spp} spp"
            self._emit({"event": "progress", "done": done, "total": total, "text": text})
        elif event["event"] == "note":
            self._emit(event)


class ExrSubject:
    """Noisy frames and references that any renderer wrote."""

    def __init__(self, config: BenchConfig, emit: Emit) -> None:
        assert config.noisy is not None
        assert config.reference is not None
        self.shot: Shot | None = None
        self.variant = ""
        noisy = one_sequence(config.noisy)
        self._noisy = _paths(config.noisy, config.half)
        self._references = _paths(config.reference, config.reference_half)
        wanted = config.frame_list if config.measure in (None, "all") else parse_frames(config.measure)
        notes: list[str] = []
        lists = {"noisy frames": sorted(self._noisy), "references": sorted(self._references)}
        self.frames = shared_frames(lists, wanted, notes)
        for text in notes:
            emit({"event": "note", "text": text})
        self._roles = config.roles
        check_sizes(self._noisy, {n: self._references[n] for n in self.frames}, self._roles)
        self.name = config.name or _scene_name(noisy.name, noisy.files[0][1])
        self.numbers = sorted(self._noisy)
        first = self._noisy[self.frames[0]]
        found = roles_of(look(first[0]), first[0], self._roles)
        planes = ", ".join(f"{role} = {' '.join(names)}" for role, names in found.items())
        emit({"event": "note", "text": f"{first[0]}: {planes}"})
        counts = [read_frame(path, roles=self._roles).spp for path in first]
        self.counts = [sum(counts) if all(counts) else 0]

    def reference(self, number: int) -> ReferenceFrame:
        """The reference in the files."""
        return read_reference(number, *self._references[number])

    def noisy(self, number: int, spp: int, seed: int) -> NoisyFrame:
        """The frame in the files."""
        return NoisyFrame(number, self._noisy[number], spp, roles=self._roles)

    def rest(self) -> None:
        """It holds nothing."""

    def close(self) -> None:
        """It holds nothing."""


def _measured(config: BenchConfig, numbers: list[int]) -> list[int] | None:
    if config.measure == "all":
        return None if config.reference else numbers
    return None if config.measure is None else parse_frames(config.measure)


def _paths(pattern: str, half: str | None) -> dict[int, tuple[Path, ...]]:
    """Frame number to its file, or to those of both halves. Raises ``InputError`` when a half is missing."""
    files = dict(one_sequence(pattern).files)
    if half is None:
        return {number: (path,) for number, path in files.items()}
    others = dict(one_sequence(half).files)
    lost = sorted(set(files) ^ set(others))
    if lost:
        raise InputError(f"frame {format_frames(lost)} has only one half ({pattern}, {half})", "Give both")
    return {number: (path, others[number]) for number, path in files.items()}


def _scene_name(name: str, path: Path | None) -> str:
    if path is not None and name.split(".")[0].lower() in _PLAIN_NAMES:
        return path.resolve().parent.name or name
    return name
