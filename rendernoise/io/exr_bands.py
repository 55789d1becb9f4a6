"""Rows of an EXR file at a time: pictures that do not fit into the memory, read and written with all that is in them.

OpenEXR's Python module knows whole files alone. An EXR file is a header, a table and chunks of rows or tiles, each
compressed by itself (openexr.com, "OpenEXR File Layout"), so some chunks under a header of their height are a file too.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rendernoise.errors import ImageError
from rendernoise.io.atomic import atomic_path
from rendernoise.io.exr import codec_for, decode, encode
from rendernoise.io.exr_header import (
    MAGIC,
    TILED,
    PartHeader,
    chunk_rows,
    inspect,
    is_multipart,
    listed_channels,
    map_file,
    value_of,
    window_of,
)
from rendernoise.io.exr_image import Exr, Part, Window, header_value
from rendernoise.io.exr_look import look

#: Names of the codecs by their numbers in a file.
CODECS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB", "HTJ2K256", "HTJ2K32")
CODECS += ("LJ2K", "ZSTD")
#: Bytes that are decoded or encoded at once, all channels together; a chunk at least.
PIECE_BYTES = 2**26
_LONG_NAMES, _DECREASING = 0x400, 1
#: What a reader must know to decode chunks, and an encoder to make the like.
_STRUCTURE = ("channels", "compression", "dataWindow", "displayWindow", "lineOrder", "pixelAspectRatio")
_STRUCTURE += ("screenWindowCenter", "screenWindowWidth", "tiles", "dwaCompressionLevel")

_AGAIN = "Copy or render it again"

Attribute = tuple[str, bytes]


@dataclass(frozen=True)
class Place:
    """Where the rows of a part lie.

    Args:
        window: The part's data window.
        rows: Rows of a chunk.
        across: Chunks beside each other.
        downwards: Whether the file has its rows from the top to the bottom.
        pixel_bytes: Of one pixel, all channels together.
    """

    window: Window
    rows: int
    across: int
    downwards: bool
    pixel_bytes: int

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), px."""
        return self.window[3] - self.window[1] + 1, self.window[2] - self.window[0] + 1

    @property
    def piece(self) -> int:
        """Rows that are decoded or encoded at once: whole chunks."""
        return max(1, PIECE_BYTES // (self.size[1] * self.pixel_bytes * self.rows)) * self.rows

    def cut(self, first: int, last: int) -> Window:
        """The window of some rows."""
        return self.window[0], self.window[1] + first, self.window[2], self.window[1] + last - 1


class ExrBands:
    """An EXR file whose rows are decoded when they are asked for.

    Args:
        path: The file.

    Raises:
        ImageError: As ``exr.read``; or its codec is one whose chunks nobody but OpenEXR knows.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.data = Path(path), map_file(Path(path))
        self.headers = inspect(self.data, self.path)
        self.multipart = is_multipart(self.data)
        exr = look(self.path)
        try:
            numbers = [value_of(self.data, header, "compression", 1)[0] for header in self.headers]
            if any(number >= len(CODECS) for number in numbers):
                raise ImageError(
                    f"{path} has a codec that cannot be read in bands", "Raise --memory, or store it as ZIP"
                )
            self.places = [self._place(header, part) for header, part in zip(self.headers, exr.parts, strict=True)]
        except (struct.error, ValueError, LookupError) as error:
            raise ImageError(f"{path} is damaged in its header ({error})", _AGAIN) from error
        named = zip(exr.parts, numbers, strict=True)
        #: Parts, channels, types and windows; every pixel is 0 and takes no memory.
        self.look = Exr(tuple(replace(part, compression=CODECS[number]) for part, number in named))

    def _place(self, header: PartHeader, part: Part) -> Place:
        window = window_of(self.data, header)
        across = 1
        if header.tiled:
            tile_width = struct.unpack_from("<I", value_of(self.data, header, "tiles", 9))[0]
            across = -(-(window[2] - window[0] + 1) // tile_width)
        downwards = value_of(self.data, header, "lineOrder", 1)[0] != _DECREASING
        pixel_bytes = sum(pixels.itemsize for pixels in part.channels.values())
        return Place(window, chunk_rows(self.data, header), across, downwards, pixel_bytes)

    def rows(self, index: int, first: int, last: int, names: Collection[str] | None = None) -> Part:
        """Some rows of a part, the first of the data window being 0.

        Args:
            index: Of the part.
            first: The first row.
            last: The row behind the last.
            names: The channels to keep; None for all.

        Raises:
            ImageError: The pixels are damaged.
        """
        place = self.places[index]
        start, step = first // place.rows * place.rows, place.piece
        kept: dict[str, np.ndarray] = {}
        part: Part | None = None
        for top in range(start, last, step):
            part = self._decoded(index, top, min(top + step, place.size[0]))
            for name, pixels in part.channels.items():
                if names is None or name in names:
                    whole = kept.setdefault(name, np.empty((last - first, place.size[1]), pixels.dtype))
                    low, high = max(top, first), min(top + step, last)
                    whole[low - first : high - first] = pixels[low - top : high - top]
        assert part is not None
        return replace(part, channels=kept, data_window=place.cut(first, last))

    def _decoded(self, index: int, first: int, last: int) -> Part:
        place, header = self.places[index], self.headers[index]
        attributes = {
            name: (kind, bytes(self.data[start : start + size]))
            for name, (kind, start, size) in header.attributes.items()
            if name in _STRUCTURE
        }
        attributes["dataWindow"] = ("box2i", struct.pack("<4i", *place.cut(first, last)))
        attributes["lineOrder"] = ("lineOrder", b"\0")
        chunks = range(first // place.rows * place.across, -(-last // place.rows) * place.across)
        moved = [_moved(self.chunk(index, i), header.tiled, -(first // place.rows)) for i in chunks]
        head = _head([attributes], TILED if header.tiled else 0)
        try:
            (part,) = decode(b"".join((head, _table(len(head) + 8 * len(moved), moved), *moved)))
        except ImageError as error:
            raise ImageError(f"{self.path} is damaged: {error.what}", error.cure) from error
        return part

    def chunk(self, index: int, number: int) -> bytes:
        """A chunk as it lies in the file, without the number of its part."""
        header = self.headers[index]
        if number >= header.chunks:
            raise ImageError(f"{self.path} is damaged: it has no chunk {number}", _AGAIN)
        (offset,) = struct.unpack_from("<Q", self.data, header.table + 8 * number)
        leader = 16 if header.tiled else 4
        # Read, not mapped: mapped pages count as memory for as long as the system likes.
        with open(self.path, "rb") as file:
            start = offset + (4 if self.multipart else 0)
            file.seek(min(start, len(self.data)))
            head = file.read(leader + 4)
            size = struct.unpack_from("<I", head, leader)[0] if len(head) == leader + 4 else len(self.data)
            if start + len(head) + size > len(self.data):
                raise ImageError(f"{self.path} is damaged: chunk {number} reaches beyond its end", _AGAIN)
            return head + file.read(size)

    def pieces(self, index: int, step: int) -> Iterator[tuple[int, int]]:
        """Bands of so many rows, whole chunks, in the file's order: the first row, and the one behind the last."""
        place = self.places[index]
        tops = range(0, place.size[0], step)
        for top in tops if place.downwards else reversed(tops):
            yield top, min(top + step, place.size[0])


def rewrite(
    source: ExrBands,
    target: Path,
    index: int,
    bands: Iterator[Part],
    attributes: Mapping[str, str | int | float],
) -> None:
    """Write a copy of a file in which one part has other pixels, whole or not at all.

    All other parts, and the attributes of all, are the bytes that they were; unless a lossy codec is replaced.

    Args:
        source: The file.
        target: Where.
        index: Of the part.
        bands: That part from one end to the other, as ``ExrBands.pieces`` has it, all with the same channels.
        attributes: Added to the header of that part.

    Raises:
        OutputError: No room, no permission, no folder.
        ImageError: OpenEXR refuses the content.
    """
    codecs = [codec_for(part.compression, source.look) for part in source.look.parts]
    first = next(bands)
    streams: list[Iterator[Part] | None] = [
        chain([first], bands) if i == index else None if codec == part.compression else _all_of(source, i)
        for i, (codec, part) in enumerate(zip(codecs, source.look.parts, strict=True))
    ]
    headers = [_attributes(source, i) for i in range(len(codecs))]
    added = {name: _value(header_value(value)) for name, value in attributes.items()}
    headers[index] |= {"channels": _channel_list(first), **added}
    for header, codec in zip(headers, codecs, strict=True):
        header["compression"] = ("compression", bytes([CODECS.index(codec)]))
    counts = [_chunk_count(source, i, codec) for i, codec in enumerate(codecs)]
    for header, count in zip(headers, counts, strict=True):
        if "chunkCount" in header:
            header["chunkCount"] = ("int", struct.pack("<i", count))
    flags = struct.unpack_from("<I", source.data, 4)[0] & ~0xFF & ~_LONG_NAMES
    head = _head(headers, flags, multipart=source.multipart)
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        file.write(head + bytes(8 * sum(counts)))
        tables = [
            _append(file, source, i, count, stream, codec)
            for i, (count, stream, codec) in enumerate(zip(counts, streams, codecs, strict=True))
        ]
        file.seek(len(head))
        file.write(np.concatenate(tables).tobytes())


def _append(
    file: BinaryIO, source: ExrBands, index: int, count: int, bands: Iterator[Part] | None, codec: str
) -> np.ndarray:
    """Append the chunks of a part, encoded anew where bands are given; returns where they lie."""
    place, prefix = source.places[index], struct.pack("<i", index) if source.multipart else b""
    offsets = np.zeros(count, "<u8")
    if bands is None:
        for number in range(count) if place.downwards else reversed(range(count)):
            offsets[number] = file.tell()
            file.write(prefix + source.chunk(index, number))
        return offsets
    for band in bands:
        assert band.data_window is not None  # filled in by Part
        first = band.data_window[1] - place.window[1]
        encoded = encode(band, codec)
        (header,) = inspect(encoded, source.path)
        rows = chunk_rows(encoded, header)
        numbers = range(header.chunks) if place.downwards else reversed(range(header.chunks))
        for number in numbers:
            (start,) = struct.unpack_from("<Q", encoded, header.table + 8 * number)
            leader = 16 if header.tiled else 4
            (size,) = struct.unpack_from("<I", encoded, start + leader)
            chunk = encoded[start : start + leader + 4 + size]
            offsets[first // rows * place.across + number] = file.tell()
            file.write(prefix + _moved(chunk, header.tiled, first // rows))
    return offsets


def _all_of(source: ExrBands, index: int) -> Iterator[Part]:
    for first, last in source.pieces(index, source.places[index].piece):
        yield source.rows(index, first, last)


def _attributes(source: ExrBands, index: int) -> dict[str, Attribute]:
    found = source.headers[index].attributes.items()
    return {name: (kind, bytes(source.data[start : start + size])) for name, (kind, start, size) in found}


def _chunk_count(source: ExrBands, index: int, codec: str) -> int:
    header, place = source.headers[index], source.places[index]
    if header.tiled or codec == source.look.parts[index].compression:
        return header.chunks
    return -(-place.size[0] // _rows_of(codec))


def _rows_of(codec: str) -> int:
    """Rows of a chunk, asked of OpenEXR itself."""
    encoded = encode(Part({"Y": np.zeros((1, 1), np.float32)}), codec)
    (header,) = inspect(encoded, Path(codec))
    return chunk_rows(encoded, header)


def _channel_list(part: Part) -> Attribute:
    """The list of a part's channels, as OpenEXR writes it."""
    dot = {name: np.zeros((1, 1), pixels.dtype) for name, pixels in part.channels.items()}
    encoded = encode(Part(dot, linear=part.linear), "NO")
    (header,) = inspect(encoded, Path("channels"))
    return "chlist", value_of(encoded, header, "channels")


def _value(value: Any) -> Attribute:
    if isinstance(value, np.ndarray):
        return "double", struct.pack("<d", float(value[0]))
    return ("int", struct.pack("<i", value)) if isinstance(value, int) else ("string", value.encode())


def _moved(chunk: bytes, tiled: bool, rows: int) -> bytes:
    """A tile under the number of another row of tiles; rows say where they are in the picture itself."""
    if not tiled:
        return chunk
    x, y = struct.unpack_from("<ii", chunk)
    return struct.pack("<ii", x, y + rows) + chunk[8:]


def _head(parts: Sequence[Mapping[str, Attribute]], flags: int, *, multipart: bool = False) -> bytes:
    """Everything before the tables of chunks."""
    names = [text for part in parts for name, (kind, _) in part.items() for text in (name, kind)]
    names += [name for part in parts for name, *_ in listed_channels(part["channels"][1])]
    long = any(len(name.encode("utf-8", "surrogateescape")) > 31 for name in names)
    pieces = [MAGIC, struct.pack("<I", 2 | flags | (_LONG_NAMES if long else 0))]
    for part in parts:
        for name, (kind, value) in part.items():
            called = b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in (name, kind))
            pieces += [called, struct.pack("<i", len(value)), value]
        pieces.append(b"\0")
    return b"".join([*pieces, b"\0"] if multipart else pieces)


def _table(start: int, chunks: list[bytes]) -> bytes:
    sizes = np.array([0, *map(len, chunks)], "<u8").cumsum()[:-1]
    return (sizes + np.uint64(start)).astype("<u8").tobytes()
