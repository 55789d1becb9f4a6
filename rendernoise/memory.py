"""How much memory denoising a sequence takes, and what is left out where there is less.

Figures are of the CPU, measured (`tools/measure.py memory`), and on the safe side.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isqrt

from rendernoise.denoiser import TILE_PX, WHOLE_FRAME_PX, Denoiser
from rendernoise.errors import ImageError, InputError
from rendernoise.io.exr_image import Exr
from rendernoise.io.exr_look import look, roles_of
from rendernoise.large_frames import GRID_PX, margin_px
from rendernoise.sources.decoding import WAITING, waiting
from rendernoise.sources.shots import FrameFiles

MIB = 2**20
#: Python, torch and the weights.
BASE_BYTES = 330 * MIB
#: The network's own for each pixel of what goes through it at once, with its input and its result.
NETWORK_BYTES = 560
#: For each pixel of a whole frame: its input and its result where the network sees tiles of it; float32 planes of a
#: render; what neighbours are known by; and what judging two halves takes.
STACK_BYTES, PLANES_BYTES, SURFACE_BYTES, JUDGING_BYTES = 130, 60, 60, 420
#: What encoding and decoding some rows takes.
PIECE_BYTES = 200 * MIB
_M_MMAP_THRESHOLD = -3  # of malloc.h
#: Side of the largest tile: beyond, they hardly save time.
MOST_TILE_PX = 3072


@dataclass(frozen=True)
class Needs:
    """What the memory depends on.

    Args:
        pixels: Of a frame.
        width: Of a frame, px.
        file_bytes: Of all channels of a frame's files, decoded.
        kept_bytes: Of the channels that the network needs, for one pixel of all files.
        halves: Renders of a frame: of each beauty 1 or 2.
        window: Neighbours on each side.
        waiting: Frames that are read ahead, and as many that wait to be written.
    """

    pixels: int
    width: int
    file_bytes: int
    kept_bytes: int
    halves: int
    window: int
    waiting: int

    def whole_bytes(self) -> int:
        """The most that denoising whole frames takes."""
        decoded = self.file_bytes + self.halves * self.pixels * PLANES_BYTES
        held = (1 + self.waiting + self.window) * decoded + 2 * self.waiting * self.file_bytes
        surfaces = (2 * self.window + 1) * self.halves * SURFACE_BYTES * self.pixels if self.window else 0
        at_once = self.pixels if self.pixels <= WHOLE_FRAME_PX else (TILE_PX + 2 * 288) ** 2
        network = NETWORK_BYTES * at_once + (STACK_BYTES * self.pixels if self.pixels > WHOLE_FRAME_PX else 0)
        judging = JUDGING_BYTES * self.pixels if self.halves > 1 else 0
        return BASE_BYTES + held + surfaces + max(network, judging)

    def tile_px(self, budget: int, margin: int) -> int:
        """The side of the largest tile that takes no more than a budget in bytes; 0 where none does."""
        left = budget - BASE_BYTES - PIECE_BYTES
        # tile² · network + tile · width · (kept + result) = left
        row = self.width * (self.kept_bytes + 12)
        each = NETWORK_BYTES + (self.halves - 1) * 100
        side = (isqrt(row * row + 4 * each * left) - row) // (2 * each) if left > 0 else 0
        side = min(MOST_TILE_PX, side // GRID_PX * GRID_PX)
        return side if side >= 2 * margin + GRID_PX else 0


@dataclass(frozen=True)
class Fit:
    """What a run may do within its memory.

    Args:
        window: Neighbours on each side.
        waiting: Frames that are read ahead, and as many that wait to be written.
        tile_px: Side of the tiles that frames are read and denoised by; None for whole frames.
        notes: What was left out.
    """

    window: int
    waiting: int
    tile_px: int | None = None
    notes: tuple[str, ...] = ()


def needs_of(files: FrameFiles, exr: Exr, planes: Iterable[str], roles: dict[str, tuple[str, ...]]) -> Needs:
    """What a frame needs, alone and with nothing waiting.

    Args:
        files: Of the frame.
        exr: A look at its first file.
        planes: What the network takes.
        roles: Where planes are found.
    """
    halves, places = 1 if files.half is None else 2, exr.channel_map()
    main = exr.parts[places[roles["radiance"][0]][0]]
    height, width = next(iter(main.channels.values())).shape
    size = exr.decoded_bytes
    names = [name for plane in planes for name in roles.get(plane, ())]
    kept = sum(exr.parts[part].channels[channel].itemsize for part, channel in map(places.__getitem__, names))
    return Needs(height * width, width, halves * size, halves * kept, halves, 0, 0)


def fit(needs: Needs, denoiser: Denoiser, memory_mib: int, *, whole: bool) -> Fit:
    """The most that can be done within a memory: first fewer frames wait, then fewer neighbours help, then tiles.

    Args:
        needs: What the largest frame needs, with the window and the waiting that are wanted.
        denoiser: The weights.
        memory_mib: How much there is.
        whole: Whether frames must be whole, as AOVs, alpha and several beauties ask for.

    Raises:
        InputError: It is too little for anything.
    """
    budget = memory_mib * MIB
    for frames in range(needs.waiting, 0, -1):
        if replace(needs, waiting=frames).whole_bytes() <= budget:
            return Fit(needs.window, frames)
    frame = f"frames of {needs.width}x{needs.pixels // needs.width} px"
    for window in range(needs.window - 1, -1, -1):
        if replace(needs, window=window, waiting=1).whole_bytes() <= budget:
            text = (
                f"--memory {memory_mib} has room for {window} neighbour(s) on each side of {frame}, not {needs.window}"
            )
            return Fit(window, 1, None, (text,))
    alone = replace(needs, window=0, waiting=1).whole_bytes() // MIB
    if whole:
        raise InputError(
            f"--aov, --alpha denoise and several beauties take whole {frame}, and --memory {memory_mib} is too little",
            f"Give {alone}, or leave them out (--role radiance=LAYER takes one beauty)",
        )
    tile = needs.tile_px(budget, margin_px(denoiser))
    if not tile:
        least = next(m for m in range(256, 2**20, 64) if needs.tile_px(m * MIB, margin_px(denoiser)))
        raise InputError(f"--memory {memory_mib} is too little for {frame}", f"Give {min(least, alone + 1)} or more")
    neighbours = ", without neighbours" if needs.window else ""
    text = f"whole {frame} would take {alone} MiB: they go through in tiles of {tile} px{neighbours}"
    return Fit(0, 0, tile, (text,))


def return_freed_memory() -> None:
    """Have glibc return freed blocks of 8 MiB and more to the system at once, in this process, from now on.

    It keeps those of up to 32 MiB else, as many as half a GiB here. Takes a fifth more time.
    """
    with suppress(OSError, AttributeError):  # other C libraries have no such thing
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 8 * MIB)


def _largest(planned: Iterable[FrameFiles]) -> tuple[FrameFiles, Exr] | None:
    """The frame with the largest file that can be read, by what it takes when decoded."""
    found: tuple[FrameFiles, Exr] | None = None
    most = 0
    for files in planned:
        with suppress(ImageError):
            exr = look(files.path)
            if exr.decoded_bytes > most:
                found, most = (files, exr), exr.decoded_bytes
    return found


def room_for(
    denoiser: Denoiser,
    planned: Sequence[FrameFiles],
    roles: Mapping[str, str] | None,
    window: int,
    memory_mib: int | None,
    *,
    beauties: int,
    layers: bool,
) -> Fit:
    """What a run may do within its memory; without a limit, all.

    Args:
        denoiser: The weights.
        planned: The frames.
        roles: Plane name to layer, where names do not tell.
        window: Neighbours on each side that are wanted.
        memory_mib: How much memory there is.
        beauties: How many a frame has.
        layers: Whether AOVs or alpha are denoised too.

    Raises:
        InputError: It is too little for anything; or a role that was given does not exist.
        ImageError: There is no radiance.
    """
    found = _largest(planned) if memory_mib is not None else None
    if memory_mib is None or found is None:
        return Fit(window, waiting(planned))
    return_freed_memory()
    files, exr = found
    needs = needs_of(files, exr, denoiser.model.layout.names, roles_of(exr, files.path, roles))
    needs = replace(needs, window=window if files.sequence else 0, waiting=WAITING, halves=needs.halves * beauties)
    return fit(needs, denoiser, memory_mib, whole=layers or beauties > 1)
