"""A look at an EXR file's structure before any pixel is decoded.

OpenEXR's Python module drops damaged parts with nothing but a printed warning, and prints more lines
for every broken chunk. Truncated, unfinished, deep and subsampled files are therefore found here, from the
header and the chunk offset tables alone (openexr.com, "OpenEXR File Layout").
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rendernoise.errors import ImageError

_MAGIC = b"\x76\x2f\x31\x01"
_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000
# Rows per chunk by the number of the compression in the file: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA,
# DWAB, HTJ2K256, HTJ2K32. Newer codecs are left to OpenEXR.
_ROWS_PER_CHUNK = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256, 256, 32)
# OpenEXR allocates a whole tile before it looks at the data: a damaged size would fill the memory.
_MAX_TILE_PX = 2**22  # unless the picture itself is larger
_AGAIN = "Copy or render it again"

Buffer = bytes  # or an mmap, which offers the same slices and find()


def map_file(path: Path) -> Any:
    """The bytes of a file, read where they are looked at.

    Raises:
        ImageError: The file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            # An empty file cannot be mapped.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.seek(0, 2) else b""
    except OSError as error:
        raise ImageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}", "Check the path") from error


@dataclass(frozen=True)
class PartHeader:
    """Where the attributes of one part lie: name to (type, offset of the value, size in bytes)."""

    attributes: dict[str, tuple[str, int, int]]


def inspect(data: Buffer, path: Path) -> list[PartHeader]:
    """The headers of all parts of a whole, flat EXR file.

    Raises:
        ImageError: Not an EXR file, truncated, unfinished, deep, subsampled, or without channels.
    """
    if data[:4] != _MAGIC:
        raise ImageError(f"{path} is not an EXR file", "Check the name, or convert it to EXR")
    try:
        flags, position = struct.unpack_from("<I", data, 4)[0], 8
        parts: list[PartHeader] = []
        while True:
            attributes, position = _attributes(data, position)
            if attributes:
                parts.append(PartHeader(attributes))
            if not attributes or not flags & _MULTIPART:
                break
        for part in parts:
            _check_kind(data, part, flags, path)
        for part in parts:
            position = _check_chunks(data, part, flags, position, path)
    except (struct.error, ValueError, LookupError) as error:
        raise ImageError(f"{path} is truncated or damaged in its header ({len(data)} bytes)", _AGAIN) from error
    return parts


def _attributes(data: Buffer, position: int) -> tuple[dict[str, tuple[str, int, int]], int]:
    found: dict[str, tuple[str, int, int]] = {}
    while True:
        name, position = _string(data, position)
        if not name:
            return found, position
        kind, position = _string(data, position)
        size = struct.unpack_from("<i", data, position)[0]
        position += 4
        if size < 0 or position + size > len(data):
            raise ValueError("an attribute is longer than the file")
        found[name] = (kind, position, size)
        position += size


def _string(data: Buffer, position: int) -> tuple[str, int]:
    end = data.find(b"\0", position, position + 256)
    if end < 0:
        raise ValueError("a name does not end")
    return data[position:end].decode("utf-8", "surrogateescape"), end + 1


def _channels(data: Buffer, part: PartHeader) -> Iterator[tuple[str, int, int]]:
    _, position, size = part.attributes.get("channels", ("", 0, 0))
    end = position + size
    while position < end - 1:
        name, position = _string(data, position)
        yield (name, *struct.unpack_from("<8xii", data, position))
        position += 16


def _check_kind(data: Buffer, part: PartHeader, flags: int, path: Path) -> None:
    _, start, size = part.attributes.get("type", ("", 0, 0))
    if flags & _DEEP or data[start : start + size].startswith(b"deep"):
        raise ImageError(f"{path}: deep images are refused", "Flatten it first")
    channels = list(_channels(data, part))
    if not channels:
        raise ImageError(f"{path} has no channels", "Render it again with at least R, G and B")
    subsampled = [name for name, x, y in channels if x != 1 or y != 1]
    if subsampled:
        raise ImageError(
            f"{path}: the channels {', '.join(subsampled)} are subsampled (luma/chroma)",
            "Convert it to plain RGB first",
        )


def _chunk_count(data: Buffer, part: PartHeader, tiled: bool) -> int | None:
    """How many chunks the part has; None where only OpenEXR can tell (mipmaps, new codecs)."""
    x_min, y_min, x_max, y_max = struct.unpack_from("<4i", data, part.attributes["dataWindow"][1])
    width, height = x_max - x_min + 1, y_max - y_min + 1
    if width < 1 or height < 1:
        raise ValueError("an empty data window")
    listed = part.attributes.get("chunkCount")
    if tiled:
        tile_width, tile_height, mode = struct.unpack_from("<IIB", data, part.attributes["tiles"][1])
        if not 0 < tile_width * tile_height <= max(_MAX_TILE_PX, 4 * width * height):
            raise ValueError("an impossible tile size")
        if mode & 0xF:
            return struct.unpack_from("<i", data, listed[1])[0] if listed else None
        return -(-width // tile_width) * -(-height // tile_height)
    codec = data[part.attributes["compression"][1]]
    if codec < len(_ROWS_PER_CHUNK):
        return -(-height // _ROWS_PER_CHUNK[codec])
    return struct.unpack_from("<i", data, listed[1])[0] if listed else None


def _check_chunks(data: Buffer, part: PartHeader, flags: int, table: int, path: Path) -> int:
    """Every chunk of the part lies in the file; returns where the next part's table starts."""
    if missing := {"compression", "dataWindow", "channels"} - set(part.attributes):
        raise ValueError(f"no {missing}")
    if flags & _MULTIPART:
        _, start, size = part.attributes["type"]
        tiled = data[start : start + size] == b"tiledimage"
    else:
        tiled = bool(flags & _TILED)
    count = _chunk_count(data, part, tiled)
    if count is None:
        return table
    if count < 1 or table + 8 * count > len(data):
        raise ImageError(f"{path} is truncated: {len(data)} bytes do not even hold its table of contents", _AGAIN)
    offsets = struct.unpack_from(f"<{count}Q", data, table)
    if unwritten := offsets.count(0):
        raise ImageError(f"{path} was never finished: {unwritten} of {count} chunks are missing", "Render it again")
    last = max(offsets)
    leader = (4 if flags & _MULTIPART else 0) + (16 if tiled else 4)
    end = last + leader + 4
    if end <= len(data):
        end += struct.unpack_from("<I", data, last + leader)[0]
    if end > len(data):
        raise ImageError(f"{path} is truncated: {len(data)} bytes of at least {end}", _AGAIN)
    return table + 8 * count
