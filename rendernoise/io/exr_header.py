"""A look at an EXR file's structure before any pixel is decoded.

OpenEXR's Python module drops damaged parts with nothing but a printed warning, and prints more lines
for every broken chunk. Truncated, unfinished, deep and subsampled files are therefore found here, from the
header and the chunk offset tables alone (openexr.com, "OpenEXR File Layout").
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rendernoise.errors import ImageError

MAGIC, TILED = b"\x76\x2f\x31\x01", 0x200
_DEEP, _MULTIPART = 0x800, 0x1000
# Rows per chunk by the number of the compression in the file: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA,
# DWAB, HTJ2K256, HTJ2K32, LJ2K, ZSTD. Newer codecs are left to OpenEXR.
_ROWS_PER_CHUNK = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256, 256, 32, 256, 1)
# OpenEXR allocates a whole tile before it looks at the data: a damaged size would fill the memory.
_MAX_TILE_PX = 2**22  # unless the picture itself is larger
# No codec shrinks even black any further (HTJ2K: 91,000 to 1).
_MAX_RATIO = 200_000
_RANDOM_Y = 2
# What would break a line, or is not UTF-8 (bytes that cannot be decoded stand as surrogates).
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Bytes of a value by its type. OpenEXR takes as many, whatever the size that the header gives.
_SIZES = {
    **{
        "box2f": 16,
        "box2i": 16,
        "chromaticities": 32,
        "compression": 1,
        "double": 8,
        "envmap": 1,
        "float": 4,
        "int": 4,
    },
    **{"keycode": 28, "lineOrder": 1, "m33d": 72, "m33f": 36, "m44d": 128, "m44f": 64, "rational": 8, "tiledesc": 9},
    **{"timecode": 8, "v2d": 16, "v2f": 8, "v2i": 8, "v3d": 24, "v3f": 12, "v3i": 12},
}
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
    """Where the pieces of one part lie.

    Args:
        attributes: Name to (type, offset of the value, size in bytes).
        tiled: Whether its chunks are tiles, not rows.
        table: Offset of its table of chunks.
        chunks: How many these are; 0 where only OpenEXR can tell (new codecs).
    """

    attributes: dict[str, tuple[str, int, int]]
    tiled: bool = False
    table: int = 0
    chunks: int = 0


def inspect(data: Buffer, path: Path) -> list[PartHeader]:
    """The headers of all parts of a whole, flat EXR file.

    Raises:
        ImageError: Not an EXR file, truncated, unfinished, deep, subsampled, without channels, with several levels, or
            with names that are no text.
    """
    if not len(data):
        raise ImageError(f"{path} is empty", _AGAIN)
    if data[:4] != MAGIC:
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
        for index, part in enumerate(parts):
            parts[index] = part = _with_chunks(data, part, flags, position, path)
            position = part.table + 8 * part.chunks
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
        if size != _SIZES.get(kind, size):
            raise ValueError(f"{size} bytes are no {kind}")
        found[name] = (kind, position, size)
        position += size


def _string(data: Buffer, position: int) -> tuple[str, int]:
    end = data.find(b"\0", position, position + 256)
    if end < 0:
        raise ValueError("a name does not end")
    return data[position:end].decode("utf-8", "surrogateescape"), end + 1


def value_of(data: Buffer, part: PartHeader, name: str, size: int | None = None) -> bytes:
    """The bytes of an attribute, empty where it is not there.

    Raises:
        ValueError: It is not of the size in bytes that it must have.
    """
    _, start, length = part.attributes.get(name, ("", 0, 0))
    if size not in (None, length):
        raise ValueError(f"{name} has {length} bytes, not {size}")
    return bytes(data[start : start + length])


def window_of(data: Buffer, part: PartHeader) -> tuple[int, int, int, int]:
    """The data window: inclusive x_min, y_min, x_max, y_max, px."""
    return struct.unpack("<4i", value_of(data, part, "dataWindow", 16))


def channels_of(data: Buffer, part: PartHeader) -> Iterator[tuple[str, int, int, int]]:
    """What :func:`listed_channels` says of a part."""
    return listed_channels(value_of(data, part, "channels"))


def listed_channels(block: Buffer) -> Iterator[tuple[str, int, int, int]]:
    """Name, type (0 uint, 1 half, 2 float), and the steps of subsampling in x and y of each channel of a list."""
    position = 0
    while position < len(block) - 1:
        name, position = _string(block, position)
        yield (name, *struct.unpack_from("<i4xii", block, position))
        position += 16


def _check_kind(data: Buffer, part: PartHeader, flags: int, path: Path) -> None:
    if flags & _DEEP or value_of(data, part, "type").startswith(b"deep"):
        raise ImageError(f"{path}: deep images are refused", "Flatten it first")
    channels = list(channels_of(data, part))
    if not channels:
        raise ImageError(f"{path} has no channels", "Render it again with at least R, G and B")
    names = [name for name, *_ in channels]
    _check_text(part, [*names, value_of(data, part, "name").decode("utf-8", "surrogateescape")], path)
    if "" in names or len(set(names)) < len(names):
        raise ValueError("channels without a name, or two of one name")
    subsampled = [name for name, _, x, y in channels if x != 1 or y != 1]
    if subsampled:
        raise ImageError(
            f"{path}: the channels {', '.join(subsampled)} are subsampled (luma/chroma)",
            "Convert it to plain RGB first",
        )


def _check_text(part: PartHeader, names: list[str], path: Path) -> None:
    kinds = [kind for kind, _, _ in part.attributes.values()]
    if foreign := [text for text in (*names, *part.attributes, *kinds) if _NO_TEXT.search(text)]:
        raise ImageError(
            f"{path} has the name {foreign[0][:40]!a}, which is no UTF-8 text", "Rename it where it was written"
        )


def _check_levels(data: Buffer, part: PartHeader, path: Path) -> None:
    if value_of(data, part, "tiles", 9)[8] & 0xF:
        raise ImageError(f"{path} has several levels (mipmaps)", "Convert it to one level: the others would be lost")


def _tile_size(data: Buffer, part: PartHeader, most: int) -> tuple[int, int]:
    width, height = struct.unpack_from("<II", value_of(data, part, "tiles", 9))
    if not 0 < width * height <= max(_MAX_TILE_PX, most):
        raise ValueError("an impossible tile size")
    return width, height


def _chunk_count(data: Buffer, part: PartHeader, tiled: bool) -> int | None:
    """How many chunks the part has; None where only OpenEXR can tell (new codecs)."""
    x_min, y_min, x_max, y_max = window_of(data, part)
    width, height = x_max - x_min + 1, y_max - y_min + 1
    if width < 1 or height < 1:
        raise ValueError("an empty data window")
    pixel_bytes = sum(2 if kind == 1 else 4 for _, kind, _, _ in channels_of(data, part))
    if width * height * pixel_bytes > _MAX_RATIO * len(data):
        raise ValueError("more pixels than the file can hold")
    # Rows may have a size of tiles too, which means nothing, but is kept.
    tiles = _tile_size(data, part, 4 * width * height) if tiled or "tiles" in part.attributes else None
    if tiled and tiles:
        return -(-width // tiles[0]) * -(-height // tiles[1])
    if value_of(data, part, "lineOrder", 1)[0] == _RANDOM_Y:
        raise ValueError("rows in an order that only tiles can have")
    codec = value_of(data, part, "compression", 1)[0]
    if codec < len(_ROWS_PER_CHUNK):
        return -(-height // _ROWS_PER_CHUNK[codec])
    listed = value_of(data, part, "chunkCount")
    return struct.unpack("<i", listed)[0] if listed else None


def _with_chunks(data: Buffer, part: PartHeader, flags: int, table: int, path: Path) -> PartHeader:
    """The part with its table of chunks, each of which lies in the file."""
    tiled = value_of(data, part, "type") == b"tiledimage" if flags & _MULTIPART else bool(flags & TILED)
    if tiled:
        _check_levels(data, part, path)
    count = _chunk_count(data, part, tiled)
    if count is None:
        return replace(part, tiled=tiled, table=table)
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
    return replace(part, tiled=tiled, table=table, chunks=count)


def is_multipart(data: Buffer) -> bool:
    """Whether the chunks of a file say which part they are of."""
    return bool(struct.unpack_from("<I", data, 4)[0] & _MULTIPART)


def chunk_rows(data: Buffer, part: PartHeader) -> int:
    """Rows that one chunk covers: those of its codec, or of a tile."""
    if part.tiled:
        return struct.unpack_from("<II", value_of(data, part, "tiles", 9))[1]
    return _ROWS_PER_CHUNK[value_of(data, part, "compression", 1)[0]]
