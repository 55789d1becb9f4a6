"""Headers that make no sense are refused before a pixel is decoded, by looking and by reading alike."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rendernoise.errors import ImageError
from rendernoise.io import exr
from rendernoise.io.exr_look import look


@pytest.fixture(scope="module")
def samples(import_tool: Callable[[str], ModuleType]) -> ModuleType:
    """``tools/exr_samples.py``."""
    return import_tool("exr_samples")


def channel_list(*names: bytes) -> tuple[bytes, bytes]:
    return b"chlist", b"".join(name + b"\0" + struct.pack("<4i", 2, 0, 1, 1) for name in names) + b"\0"


HEADERS: dict[str, tuple[bytes, tuple[bytes, bytes], str]] = {
    "a short window": (b"dataWindow", (b"box2i", struct.pack("<3i", 0, 0, 9)), "damaged in its header"),
    "a window inside out": (b"dataWindow", (b"box2i", struct.pack("<4i", 5, 5, 0, 0)), "damaged in its header"),
    "more than it can hold": (b"dataWindow", (b"box2i", struct.pack("<4i", 0, 0, 2**30, 15)), "damaged in its header"),
    "rows at random": (b"lineOrder", (b"lineOrder", b"\2"), "damaged in its header"),
    "a short value": (b"envmap", (b"box2i", b"\1"), "damaged in its header"),
    "tiles of rows": (b"tiles", (b"tiledesc", b"\xff" * 8 + b"\0"), "damaged in its header"),
    "no compression": (b"compression", (b"compression", b""), "damaged in its header"),
    "two channels of one name": (b"channels", channel_list(b"B", b"R", b"R"), "damaged in its header"),
    "a channel without a name": (b"channels", channel_list(b"B", b""), "damaged in its header"),
    "a Latin-1 channel": (b"channels", channel_list(b"B", b"h\xf6he.R"), r"has the name 'h\\udcf6he\.R', which is no"),
    "a channel of two lines": (b"channels", channel_list(b"B", b"a\nb.R"), r"has the name 'a\\nb\.R', which is no"),
    "a Latin-1 attribute": (b"h\xf6he", (b"int", bytes(4)), r"has the name 'h\\udcf6he', which is no"),
    "a Latin-1 type": (b"theirs", (b"h\xf6he", bytes(4)), r"has the name 'h\\udcf6he', which is no"),
}


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("how", [look, exr.read], ids=["look", "read"])
def test_headers_that_make_no_sense(tmp_path: Path, samples: ModuleType, case: str, how: Callable[[Path], Any]) -> None:
    path = samples.write(tmp_path / "a.exr", "scanlines")
    file = samples.Split.of(path.read_bytes())
    name, attribute, said = HEADERS[case]
    file.parts[0][name] = attribute
    path.write_bytes(file.join())
    with pytest.raises(ImageError, match=said) as e:
        how(path)
    assert str(path) in str(e.value)
    assert "\n" not in str(e.value)


def test_black_that_shrinks_most_is_read(tmp_path: Path, samples: ModuleType) -> None:
    import OpenEXR

    path = tmp_path / "a.exr"
    black = {c: np.zeros((1024, 1024), np.float32) for c in "RGBA"}
    part = samples.part(black, compression=OpenEXR.HTJ2K256_COMPRESSION, **samples.tiles(1024, 1024))
    OpenEXR.File([part]).write(str(path))
    assert path.stat().st_size * 10_000 < 4 * black["R"].nbytes
    assert not exr.read(path).channels["G"].any()


@pytest.mark.parametrize(
    "name", ["worldToCamera", "worldToNDC", "screenWindowWidth", "screenWindowCenter", "spp", "rendernoise.projection"]
)
@pytest.mark.parametrize("value", [["a"] * 16, "9" * 9000, "[1]", np.zeros((4, 4), np.float32), np.zeros(2, np.int32)])
def test_metadata_of_another_kind_means_nothing(tmp_path: Path, name: str, value: Any) -> None:
    camera = {"worldToCamera": np.eye(4, dtype=np.float32), name: value}
    part = exr.Part({c: np.ones((4, 5), np.float32) for c in "RGB"}, camera)
    frame = exr.to_frame(exr.Exr((part,)))
    assert frame.radiance.shape == (3, 4, 5)
