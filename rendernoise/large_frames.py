"""Denoising a frame that does not fit into the memory: tile by tile, a row of tiles at a time, to the same pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rendernoise.color import block_luminance, exposure_of
from rendernoise.confidence import ErrorEstimate, Evidence, frame_estimates
from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError
from rendernoise.frame import Frame, FramePair, Plane
from rendernoise.guard import Judgement
from rendernoise.io.exr_bands import ExrBands, rewrite
from rendernoise.io.exr_image import Exr, Part, Window, count_bad, replace_radiance, to_frame
from rendernoise.io.exr_look import radiance_window, roles_of, size_text
from rendernoise.sources.decoding import bad_pixels_note
from rendernoise.sources.exr_pairs import same_picture
from rendernoise.sources.shots import Emit, FrameFiles

#: Tiles start on multiples of this, as the network's blocks do.
GRID_PX = 32
#: Rows that are looked at together for the exposure; a multiple of its blocks.
LOOK_ROWS = 256


def margin_px(denoiser: Denoiser) -> int:
    """What a tile needs around it; a block more than the network looks, as placements move its blocks."""
    return denoiser.model.network.reach_px + GRID_PX


@dataclass(frozen=True)
class _Render:
    """One render of a frame.

    Args:
        bands: Its file.
        index: Of the part with the radiance.
        wanted: For each part, the channels that are needed.
        roles: Plane name to layer, where names do not tell.
        planes: What the network takes.
        number: Of the frame.
    """

    bands: ExrBands
    index: int
    wanted: tuple[frozenset[str], ...]
    roles: Mapping[str, str] | None
    planes: tuple[str, ...]
    number: int

    @classmethod
    def open(cls, path: Path, denoiser: Denoiser, roles: Mapping[str, str] | None, number: int) -> _Render:
        bands = ExrBands(path)
        found, places = roles_of(bands.look, path, roles), bands.look.channel_map()
        planes = denoiser.model.layout.names
        if missing := [name for name in denoiser.model.needs if name not in found]:
            raise ImageError(f"{path} has no {', '.join(missing)}, which these weights need", "Render with features")
        needed = [places[name] for role in found if role in planes for name in found[role]]
        wanted = tuple(frozenset(c for part, c in needed if part == i) for i in range(len(bands.look.parts)))
        return cls(bands, places[found["radiance"][0]][0], wanted, roles, planes, number)

    @property
    def window(self) -> Window:
        return radiance_window(self.bands.look, roles_of(self.bands.look, self.bands.path, self.roles))

    def rows(self, first: int, last: int, wanted: tuple[frozenset[str], ...] | None = None) -> Exr:
        """Rows of the radiance's part and what lies beside them; what is not wanted is 0 and takes no memory."""
        band = self.bands.places[self.index].cut(first, last)
        parts = list(self.bands.look.parts)
        for index, names in enumerate(wanted or self.wanted):
            window = self.bands.places[index].window
            top, bottom = max(band[1], window[1]), min(band[3], window[3])
            if names and top <= bottom:
                part = self.bands.rows(index, top - window[1], bottom + 1 - window[1], names)
                size = next(iter(part.channels.values())).shape
                channels = {n: np.broadcast_to(p[0, 0], size) for n, p in parts[index].channels.items()}
                parts[index] = replace(
                    parts[index], channels={**channels, **part.channels}, data_window=part.data_window
                )
        return Exr(tuple(parts))

    def frame(self, band: Exr, left: int, right: int) -> Frame:
        """Columns of a band as a frame."""
        window = band.parts[self.index].data_window
        assert window is not None  # filled in by Part
        tile = (window[0] + left, window[1], window[0] + right - 1, window[3])
        frame = to_frame(Exr(tuple(_cut(part, tile) for part in band.parts)), roles=self.roles, number=self.number)
        return replace(frame, planes={n: p for n, p in frame.planes.items() if n in self.planes}, metadata={})

    def look(self, denoiser: Denoiser) -> tuple[float, Mapping[str, int]]:
        """The exposure of the whole frame, and how many of its pixels are odd."""
        found = roles_of(self.bands.look, self.bands.path, self.roles)["radiance"]
        places = self.bands.look.channel_map()
        own = frozenset(places[name][1] for name in found)
        only = tuple(own if i == self.index else frozenset() for i in range(len(self.wanted)))
        means: list[np.ndarray] = []
        bad: Counter[str] = Counter()
        height, width = self.bands.places[self.index].size
        for first in range(0, height, LOOK_ROWS):
            frame = self.frame(self.rows(first, min(height, first + LOOK_ROWS), only), 0, width)
            means.append(block_luminance(frame.radiance))
            bad.update(count_bad(frame))
        auto = denoiser.model.spec.exposure == "auto"
        return exposure_of(np.concatenate(means)) if auto else 1.0, bad


def _cut(part: Part, window: Window) -> Part:
    """What of a part lies in a window; all of it, where nothing does."""
    own = part.data_window
    assert own is not None  # filled in by Part
    inside = (max(own[0], window[0]), max(own[1], window[1]), min(own[2], window[2]), min(own[3], window[3]))
    if inside[0] > inside[2] or inside[1] > inside[3]:
        return part
    rows = slice(inside[1] - own[1], inside[3] - own[1] + 1)
    columns = slice(inside[0] - own[0], inside[2] - own[0] + 1)
    return replace(part, channels={n: p[rows, columns] for n, p in part.channels.items()}, data_window=inside)


class _Tiles:
    """A frame's result, row of tiles by row of tiles.

    Args:
        denoiser: The weights.
        renders: The frame, or both halves of it.
        exposures: Of each.
        tile_px: Side of a tile with all that it looks at.
    """

    def __init__(self, denoiser: Denoiser, renders: list[_Render], exposures: list[float], tile_px: int) -> None:
        self.denoiser, self.renders, self.exposures = denoiser, renders, exposures
        self.place = renders[0].bands.places[renders[0].index]
        self.step = max(GRID_PX, (tile_px - 2 * margin_px(denoiser)) // GRID_PX * GRID_PX)
        #: Of a row of tiles, in whole chunks.
        self.rows = max(1, self.step // self.place.rows) * self.place.rows
        self.evidence: list[tuple[int, Evidence]] = []
        self.same = len(renders) > 1

    def row(self, first: int, last: int) -> Plane:
        """Denoised radiance ``[3, last - first, W]`` of some rows."""
        height, width = self.place.size
        result = np.empty((3, last - first, width), np.float32)
        top, bottom = self._around(first, last, height)
        bands = [render.rows(top, bottom) for render in self.renders]
        for left in range(0, width, self.step):
            right = min(width, left + self.step)
            start, end = self._around(left, right, width)
            frames = [r.frame(band, start, end) for r, band in zip(self.renders, bands, strict=True)]
            inside = (slice(first - top, last - top), slice(left - start, right - start))
            result[..., left:right] = self._denoised(frames, inside)
        if not np.isfinite(result).all():
            path = self.renders[0].bands.path
            raise ImageError(f"{path}: the result is not finite", "Its radiance is beyond what float32 can scale")
        return result

    def _around(self, first: int, last: int, length: int) -> tuple[int, int]:
        margin = margin_px(self.denoiser)
        return max(0, first // GRID_PX * GRID_PX - margin), min(length, last + margin)

    def _denoised(self, frames: list[Frame], inside: tuple[slice, slice]) -> Plane:
        """The inner part of a tile."""
        if len(frames) == 1:
            return self.denoiser.radiance(frames[0], exposure=self.exposures[0])[(slice(None), *inside)]
        pair = FramePair.of_halves(*frames)
        self.same = self.same and same_picture(pair)
        judged = Judgement.of(pair, *self.denoiser.halves(pair, self.exposures), float(np.mean(self.exposures)))
        names = ("share", "spread", "error", "noisy_error", "counted")
        judged = replace(judged, **{name: getattr(judged, name)[inside] for name in names})
        seen = self.denoiser.trained_on_shot
        found = judged.evidence(np.zeros_like(judged.counted) if seen else None)
        self.evidence.append((judged.counted.size, found))
        return judged.frame.radiance[(slice(None), *inside)]

    def estimate(self) -> ErrorEstimate | None:
        """How wrong the result is; None without two different halves."""
        if not self.evidence or self.same:
            return None
        pixels = np.array([size for size, _ in self.evidence])
        found = [evidence for _, evidence in self.evidence]
        spread, noise, noisy = (
            float(np.average(values, weights=pixels))
            for values in zip(*((e.spread, e.noise, e.noisy) for e in found), strict=True)
        )
        all_ = Evidence(spread, noise, np.concatenate([e.products for e in found]), noisy)
        return frame_estimates([all_], trained=self.denoiser.trained_on_shot)[0]


def denoise_large(
    denoiser: Denoiser,
    files: FrameFiles,
    target: Path,
    tile_px: int,
    *,
    roles: Mapping[str, str] | None,
    keep_noisy: bool,
    attributes: Mapping[str, str | int | float],
    emit: Emit,
) -> ErrorEstimate | None:
    """Denoise a file in tiles; returns how wrong the result is, where there are two halves.

    The trimmed mean of the spread is taken tile by tile, so that estimate differs a little from a whole frame's.

    Args:
        denoiser: The weights.
        files: Of the frame.
        target: Where to write, whole or not at all.
        tile_px: Side of a tile with all that it looks at.
        roles: Plane name to layer, where names do not tell.
        keep_noisy: Add the noisy radiance as ``noisy.R/G/B``.
        attributes: Added to the header.
        emit: Takes notes.

    Raises:
        ImageError: A file cannot be read, lacks a plane, or halves are of unlike sizes; nothing is written.
        OutputError: No room, no permission, no folder.
    """
    paths = [path for path in (files.path, files.half) if path is not None]
    renders = [_Render.open(path, denoiser, roles, files.number) for path in paths]
    if len(renders) == 2 and renders[0].window != renders[1].window:
        sizes = [size_text(render.window) for render in renders]
        raise ImageError(
            f"{files.half} is {sizes[1]}, but {files.path} is {sizes[0]}", "Render both halves at one size"
        )
    looks = [render.look(denoiser) for render in renders]
    for path, (_, bad) in zip(paths, looks, strict=True):
        if text := bad_pixels_note(path, bad):
            emit({"event": "note", "frame": files.number, "text": text})
    tiles = _Tiles(denoiser, renders, [exposure for exposure, _ in looks], tile_px)
    first = renders[0]

    def bands() -> Iterator[Part]:
        for top, bottom in first.bands.pieces(first.index, tiles.rows):
            radiance = tiles.row(top, bottom)
            pieces = range(top, bottom, tiles.place.piece)
            for start in pieces if tiles.place.downwards else reversed(pieces):
                end = min(bottom, start + tiles.place.piece)
                own = first.bands.rows(first.index, start, end)
                parts = [own if i == first.index else p for i, p in enumerate(first.bands.look.parts)]
                whole = replace_radiance(
                    Exr(tuple(parts)), radiance[:, start - top : end - top], roles=roles, keep_noisy=keep_noisy
                )
                yield whole.parts[first.index]

    rewrite(first.bands, target, first.index, bands(), attributes)
    if tiles.same:
        text = f"{files.half} is the same picture as {files.path}: without independent noise there is no estimate"
        emit({"event": "note", "text": text})
    return tiles.estimate()
