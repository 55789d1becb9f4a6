"""16 bits per channel, which Pillow cuts to 8."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rendernoise.errors import ImageError
from rendernoise.io.deep_image import deep_png, deep_tiff, is_deep_png, read_deep_png, read_deep_tiff
from rendernoise.io.image import read_picture, write_picture


@given(npst.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))))
def test_every_bit_comes_back(pixels: np.ndarray) -> None:
    data = deep_png(pixels)
    assert is_deep_png(data)
    np.testing.assert_array_equal(read_deep_png(data), pixels)
    found = read_deep_tiff(deep_tiff(pixels))
    assert found is not None
    np.testing.assert_array_equal(found[0], pixels)


def filtered(rows: np.ndarray, bpp: int, kinds: list[int]) -> bytes:
    """Rows ``[H, bytes]`` under the five filters of PNG, written out byte by byte from ISO/IEC 15948, section 9.2."""
    out = bytearray()
    for y, kind in enumerate(kinds):
        out.append(kind)
        for x in range(rows.shape[1]):
            left = int(rows[y, x - bpp]) if x >= bpp else 0
            up = int(rows[y - 1, x]) if y else 0
            corner = int(rows[y - 1, x - bpp]) if y and x >= bpp else 0
            guess = left + up - corner
            paeth = min((abs(guess - v), i, v) for i, v in enumerate((left, up, corner)))[2]
            out.append((int(rows[y, x]) - (0, left, up, (left + up) // 2, paeth)[kind]) % 256)
    return bytes(out)


@pytest.mark.parametrize(("kind", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_all_filters_of_other_writers(kind: int, samples: int) -> None:
    pixels = np.random.default_rng(kind).integers(65536, size=(10, 7, samples), dtype=np.uint16)
    rows = pixels.astype(">u2").reshape(10, -1).view(np.uint8)
    body = filtered(rows, 2 * samples, [0, 1, 2, 3, 4] * 2)
    header = struct.pack(">IIBBBBB", 7, 10, 16, kind, 0, 0, 0)
    np.testing.assert_array_equal(read_deep_png(png(header, body)), pixels)


def test_interlaced() -> None:
    pixels = np.random.default_rng(1).integers(65536, size=(11, 6, 3), dtype=np.uint16)
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    body = b""
    for x, y, dx, dy in starts:
        part = pixels[y::dy, x::dx]
        if part.size:
            rows = part.astype(">u2").reshape(len(part), -1).view(np.uint8)
            body += filtered(rows, 6, [(y + i) % 5 for i in range(len(part))])
    np.testing.assert_array_equal(read_deep_png(png(struct.pack(">IIBBBBB", 6, 11, 16, 2, 0, 0, 1), body)), pixels)


def png(header: bytes, body: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"gAMA", b"\0\0\xb1\x8f"), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    packed = [struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_files_are_written_as_they_were_read(tmp_path: Path, suffix: str, samples: int) -> None:
    pixels = np.random.default_rng(2).integers(65536, size=(9, 8, samples), dtype=np.uint16)
    file = tmp_path / f"a{suffix}"
    file.write_bytes(deep_png(pixels) if suffix == ".png" else deep_tiff(pixels))
    picture = read_picture(file)
    assert picture.pixels.shape == (1 if samples < 3 else 3, 9, 8)
    assert (picture.alpha is not None) == (samples in (2, 4))
    assert picture.unit.dtype == np.float32
    write_picture(tmp_path / f"b{suffix}", picture.unit, replace(picture, profile=b"of a colour space"))
    again = read_picture(tmp_path / f"b{suffix}")
    assert again.profile == b"of a colour space"
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    assert picture.alpha is None or np.array_equal(again.alpha, picture.alpha)


def test_tiffs_of_other_writers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(65536, size=(3, 9, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "planes.tif", pixels, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_picture(tmp_path / "planes.tif").pixels, pixels)
    tifffile.imwrite(tmp_path / "white.tif", pixels[0], photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "white.tif").pixels[0], 65535 - pixels[0])
    tifffile.imwrite(tmp_path / "inks.tif", np.zeros((9, 8, 4), np.uint16), photometric="separated")
    with pytest.raises(ImageError, match="CMYK of 16 bits"):
        read_picture(tmp_path / "inks.tif")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((9, 8), np.float32))
    with pytest.raises(ImageError, match="floating-point numbers; save it as EXR"):
        read_picture(tmp_path / "float.tif")
    tifffile.imwrite(tmp_path / "big.tif", pixels.transpose(1, 2, 0), photometric="rgb", byteorder=">")
    np.testing.assert_array_equal(read_picture(tmp_path / "big.tif").pixels, pixels)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(65536, size=(20, 20, 3), dtype=np.uint16)
    for name, whole in (("a.png", deep_png(pixels)), ("a.tif", deep_tiff(pixels))):
        for length in range(20, len(whole) - 12, 97):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(ImageError, match="cannot read") as error:
                read_picture(tmp_path / name)
            assert "\n" not in str(error.value)
    broken = bytearray(deep_png(pixels))
    broken[200] ^= 1
    (tmp_path / "b.png").write_bytes(broken)
    with pytest.raises(ImageError, match="damaged"):
        read_picture(tmp_path / "b.png")
