"""PNG and TIFF files of 16 bits per channel, which Pillow would cut to 8 where they have more than one channel."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Samples of a pixel by the colour type of a PNG's header; palettes never have 16 bits.
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}
_COLOUR_TYPES = {samples: kind for kind, samples in _SAMPLES.items()}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: First column and row, and steps between them, of the passes of an interlaced PNG (ISO/IEC 15948, section 8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def is_deep_png(data: bytes) -> bool:
    """Whether these are the bytes of a PNG of 16 bits."""
    return data[:8] == _SIGNATURE and len(data) > 25 and data[24] == 16


def read_deep_png(data: bytes) -> NDArray[np.uint16]:
    """The pixels ``[H, W, samples]`` of a PNG of 16 bits.

    PNG filters act on each byte of a pixel alone. So the high bytes and the low bytes are two images of 8 bits with the
    same filters, which Pillow decodes.

    Raises:
        ValueError: The file is damaged or truncated.
    """
    from PIL import Image

    chunks = list(_chunks(data))
    header = chunks[0][1]
    width, height, _, kind, compression, filtering, interlaced = struct.unpack(">IIBBBBB", header)
    samples = _SAMPLES.get(kind)
    if samples is None or compression or filtering or interlaced > 1:
        raise ValueError("it has a header that no PNG has")
    lines = [2 * samples * w + 1 for w, h in _passes(width, height, interlaced) for _ in range(h)]
    inflater = zlib.decompressobj()
    try:
        rows = inflater.decompress(b"".join(body for name, body in chunks if name == b"IDAT"), sum(lines))
    except zlib.error as error:
        raise ValueError("its pixels are damaged") from error
    if len(rows) != sum(lines):
        raise ValueError("it is truncated")
    halves = []
    for first in (1, 2):
        parts, start = [], 0
        for length in lines:
            parts += [rows[start : start + 1], rows[start + first : start + length : 2]]
            start += length
        shallow = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, interlaced)
        with Image.open(io.BytesIO(_png(shallow, b"".join(parts)))) as image:
            halves.append(np.asarray(image).astype(np.uint16).reshape(height, width, samples))
    return halves[0] << np.uint16(8) | halves[1]


def deep_png(pixels: NDArray[np.uint16], profile: bytes = b"") -> bytes:
    """The bytes of a PNG with the pixels ``[H, W, samples]``, 1 to 4 samples: grey, grey and alpha, RGB, RGBA."""
    height, width, samples = pixels.shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    # The difference to the row above packs better than the values, and numpy makes it of all rows at once.
    up = np.concatenate([rows[:1], rows[1:] - rows[:-1]])
    marked = np.concatenate([np.full((height, 1), 2, np.uint8), up], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[samples], 0, 0, 0)
    return _png(header, marked.tobytes(), profile)


def read_deep_tiff(data: bytes) -> tuple[NDArray[np.uint16], bytes] | None:
    """The pixels ``[H, W, samples]`` of the first page of a TIFF of 16 bits, and its colour profile.

    None for any other file.

    Raises:
        ValueError: The file is damaged, or packed in a way that needs more than this package's dependencies.
    """
    if data[:4] not in _TIFF_SIGNATURES:
        return None
    import tifffile

    # What it has to say of a damaged file is in the error, too.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            if page.bitspersample != 16 or page.dtype != np.uint16:
                return None
            if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
                raise ValueError("it is CMYK of 16 bits; make it RGB")
            pixels: NDArray[np.uint16] = page.asarray()
            # A file may hold each channel as a plane.
            pixels = np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 and pixels.ndim == 3 else pixels
            pixels = pixels if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE else 65535 - pixels
            profile = bytes(page.iccprofile or b"")
    except (tifffile.TiffFileError, LookupError, TypeError, ArithmeticError, struct.error, zlib.error) as error:
        raise ValueError(f"it is a damaged TIFF ({' '.join(str(error).split())})") from error
    if pixels.ndim not in (2, 3):
        raise ValueError(f"it has {pixels.ndim} dimensions")
    return (pixels[..., None] if pixels.ndim == 2 else pixels), profile


def deep_tiff(pixels: NDArray[np.uint16], profile: bytes = b"") -> bytes:
    """The bytes of a deflated TIFF with the pixels ``[H, W, samples]``; the 2nd or 4th sample is alpha."""
    import tifffile

    samples = pixels.shape[2]
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        pixels if samples > 1 else pixels[..., 0],
        photometric="rgb" if samples > 2 else "minisblack",
        planarconfig="contig" if samples > 1 else None,
        extrasamples=["unassalpha"] if samples in (2, 4) else None,
        compression="zlib",
        iccprofile=profile or None,
        metadata=None,
    )
    return stream.getvalue()


def _passes(width: int, height: int, interlaced: int) -> list[tuple[int, int]]:
    """Width and height of each pass that has pixels."""
    if not interlaced:
        return [(width, height)]
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _ADAM7]
    return [(w, h) for w, h in sizes if w > 0 and h > 0]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of each chunk, up to the end."""
    start = len(_SIGNATURE)
    while start + 8 <= len(data):
        (length,) = struct.unpack(">I", data[start : start + 4])
        name, body = data[start + 4 : start + 8], data[start + 8 : start + 8 + length]
        end = data[start + 8 + length : start + 12 + length]
        if len(end) < 4 or struct.unpack(">I", end)[0] != zlib.crc32(name + body):
            raise ValueError("it is truncated or damaged")
        yield name, body
        if name == b"IEND":
            return
        start += 12 + length
    raise ValueError("it is truncated")


def _png(header: bytes, rows: bytes, profile: bytes = b"") -> bytes:
    colours = [(b"iCCP", b"icc\0\0" + zlib.compress(profile))] if profile else []
    chunks = [(b"IHDR", header), *colours, (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b"")]
    packed = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return _SIGNATURE + b"".join(packed)
