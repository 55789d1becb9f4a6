"""Real EXR files: what goes in comes out bit for bit, and damaged files are one line."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rendernoise.errors import ImageError, InputError, OutputError
from rendernoise.frame import Frame
from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part

H, W = 7, 11
LOSSY = ["DWAA", "DWAB", "PXR24", "B44", "B44A"]
SHARED = Path(__file__).parents[2].parent / "shared"


def noise(seed: int = 0, dtype: Any = np.float32, shape: tuple[int, ...] = (H, W)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == np.uint32:
        return rng.integers(0, 2**32, shape, dtype=np.uint32)
    return rng.normal(0, 10, shape).astype(dtype)


def bits(channels: Mapping[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in channels.items()}


def save(path: Path, channels: dict[str, Any], **header: Any) -> Path:
    """A file as another program would write it, without our code."""
    base = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File({**base, **header}, dict(channels)).write(str(path))
    return path


def box(x0: int, y0: int, x1: int, y1: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([x0, y0], np.int32), np.array([x1, y1], np.int32)


MIXED = {
    "B": noise(1, np.float16),
    "G": noise(2),
    "R": noise(3, np.float16),
    "crypto00.R": noise(4).view(np.uint32).view(np.float32),
    "id": noise(5, np.uint32),
    "odd name.with.dots": noise(6),
}


def attributes() -> dict[str, Any]:
    return {
        "i": -7,
        "f": 0.5,
        "d": np.array([0.1]),
        "text": "höhe",
        "texts": ["a", "b"],
        "floats": [1.0, 2.0, 3.0],
        "v2i": np.array([1, 2], np.int32),
        "v3d": np.array([1, 2, 3], np.float64),
        "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
        "box2f": (np.array([1, 2], np.float32), np.array([3, 4], np.float32)),
        "framesPerSecond": Fraction(24000, 1001),
        "chromaticities": (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329),
        "pixelAspectRatio": 2.0,
        "cryptomatte/1234567/manifest": '{"cube": "0a0b0c0d"}',
        "a.name.longer.than.thirty.one.characters": 3,
    }


def same_attributes(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return set(a) == set(b) and all(repr(a[k]) == repr(b[k]) for k in a)


def test_everything_survives_reading_and_writing(tmp_path: Path) -> None:
    windows = {"dataWindow": box(-3, 4, W - 4, H + 3), "displayWindow": box(0, 0, 99, 49)}
    opaque = OpenEXR.OpaqueAttribute(b"\x00\x01\xff", "theirType")
    path = save(tmp_path / "a.exr", MIXED, opaque=opaque, **windows, **attributes())
    first = exr.read(path)
    exr.write(tmp_path / "b.exr", first)
    second = exr.read(tmp_path / "b.exr")
    assert bits(first.channels) == bits(second.channels) == bits(dict(sorted(MIXED.items())))
    assert first.data_window == second.data_window == (-3, 4, W - 4, H + 3)
    assert first.display_window == second.display_window == (0, 0, 99, 49)
    assert set(attributes()) <= set(first.attributes)
    assert first.attributes["chromaticities"] == pytest.approx(attributes()["chromaticities"])
    assert first.attributes["d"][0] == 0.1
    assert second.attributes["opaque"] == opaque
    assert same_attributes(first.attributes, second.attributes)


def test_nan_payloads_survive(tmp_path: Path) -> None:
    payload = np.arange(0x7F800001, 0x7F800001 + H * W, dtype=np.uint32).reshape(H, W).view(np.float32)
    exr.write(tmp_path / "a.exr", exr.read(save(tmp_path / "a.exr", {"R": payload})))
    assert exr.read(tmp_path / "a.exr").channels["R"].tobytes() == payload.tobytes()


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", *LOSSY])
def test_data_layers_survive_every_codec(tmp_path: Path, compression: str) -> None:
    image = Exr((Part(MIXED, compression=compression),))
    exr.write(tmp_path / "a.exr", image)
    back = exr.read(tmp_path / "a.exr")
    assert bits(back.channels) == bits(dict(sorted(MIXED.items())))
    assert back.parts[0].compression == ("ZIP" if compression in LOSSY else compression)
    exr.write(tmp_path / "b.exr", image, compression=compression.lower())
    assert bits(exr.read(tmp_path / "b.exr").channels) == bits(back.channels)


@pytest.mark.parametrize(
    ("channels", "compression", "expected"),
    [
        ("RGB", "DWAA", "DWAA"),
        ("RGBA", "DWAB", "DWAB"),
        ("RGB", "B44", "B44"),
        ("RGBA", "B44", "ZIP"),
        ("RGBZ", "DWAA", "ZIP"),
        (("crypto.R", "crypto.G", "crypto.B"), "DWAA", "ZIP"),
        (("R", "G", "B", "albedo.R"), "PXR24", "ZIP"),
    ],
)
def test_lossy_only_for_plain_colour(tmp_path: Path, channels: Any, compression: str, expected: str) -> None:
    arrays = {name: noise(i, np.float16) for i, name in enumerate(channels)}
    exr.write(tmp_path / "a.exr", Exr((Part(arrays),)), compression=compression)
    back = exr.read(tmp_path / "a.exr")
    assert back.parts[0].compression == expected
    if "A" in arrays:
        assert back.channels["A"].tobytes() == arrays["A"].tobytes()


def test_lossy_is_refused_for_a_multi_part_file(tmp_path: Path) -> None:
    colour = {name: noise(i, np.float16) for i, name in enumerate("RGB")}
    exr.write(tmp_path / "a.exr", Exr((Part(colour, name="a", compression="DWAA"), Part({"Z": noise()}, name="b"))))
    assert [part.compression for part in exr.read(tmp_path / "a.exr").parts] == ["ZIP", "ZIP"]


def test_unknown_compression(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'GZIP' is no EXR compression"):
        exr.write(tmp_path / "a.exr", Exr((Part(MIXED),)), compression="GZIP")
    assert os.listdir(tmp_path) == []


def test_tiles_long_names_and_line_order_survive(tmp_path: Path) -> None:
    tiles = OpenEXR.TileDescription()
    tiles.xSize, tiles.ySize = 4, 3
    long = "layer" * 20 + ".R"
    path = save(tmp_path / "a.exr", {long: noise()}, type=OpenEXR.tiledimage, tiles=tiles)
    exr.write(path, exr.read(path))
    assert exr.read(path).parts[0].tile_px == (4, 3)
    assert bits(exr.read(path).channels) == bits({long: noise()})
    path = save(tmp_path / "b.exr", {"R": noise()}, lineOrder=OpenEXR.DECREASING_Y)
    exr.write(path, exr.read(path))
    assert exr.read(path).attributes["lineOrder"] == OpenEXR.DECREASING_Y
    assert bits(exr.read(path).channels) == bits({"R": noise()})


def test_empty_lists_and_foreign_encodings_survive(tmp_path: Path) -> None:
    path = save(tmp_path / "a.exr", MIXED, note="naiv", none=OpenEXR.OpaqueAttribute(b"", "stringvector"))
    path.write_bytes(path.read_bytes().replace(b"naiv", b"na\xefv"))  # Latin-1
    exr.write(tmp_path / "b.exr", exr.read(path))
    again = exr.read(tmp_path / "b.exr")
    assert again.attributes["none"] == []
    assert b"note\0string\0\x04\0\0\0na\xefv" in (tmp_path / "b.exr").read_bytes()
    assert bits(again.channels) == bits(exr.read(path).channels)


def multi_part(path: Path) -> Path:
    window = box(0, 0, W - 1, H - 1)
    parts = [
        OpenEXR.Part(
            {"type": OpenEXR.scanlineimage, "displayWindow": window, "dataWindow": box(2, 1, W + 1, H)},
            {"Z": noise(9)},
            "depth",
        ),
        OpenEXR.Part(
            {"type": OpenEXR.scanlineimage, "displayWindow": window, "spp": 32},
            {c: noise(i, np.float16) for i, c in enumerate("RGBA")},
            "rgba",
        ),
        OpenEXR.Part({"type": OpenEXR.scanlineimage}, {c: noise(i + 4) for i, c in enumerate("RGB")}, "albedo"),
        OpenEXR.Part({"type": OpenEXR.scanlineimage}, {"id": noise(8, np.uint32)}, "ids"),
    ]
    OpenEXR.File(parts).write(str(path))
    return path


def test_multi_part(tmp_path: Path) -> None:
    image = exr.read(multi_part(tmp_path / "a.exr"))
    assert [part.name for part in image.parts] == ["depth", "rgba", "albedo", "ids"]
    names = "A B G R albedo.B albedo.G albedo.R depth.Z ids.id"
    assert sorted(image.channel_map()) == names.split()
    frame = exr.read_frame(tmp_path / "a.exr")
    assert sorted(frame.planes) == ["albedo", "depth", "radiance"]
    assert frame.spp == 32
    np.testing.assert_array_equal(frame.radiance, [noise(i, np.float16) for i in range(3)])
    np.testing.assert_array_equal(frame.planes["albedo"], [noise(i + 4) for i in range(3)])
    # The depth part lies 2 px to the right and 1 px below.
    np.testing.assert_array_equal(frame.planes["depth"][0, 1:, 2:], noise(9)[:-1, :-2])
    assert not frame.planes["depth"][0, 0].any()

    new = noise(11, shape=(3, H, W)) ** 2
    exr.write(tmp_path / "b.exr", exr.replace_radiance(image, new))
    back = exr.read(tmp_path / "b.exr")
    for index in (0, 2, 3):
        assert bits(back.parts[index].channels) == bits(image.parts[index].channels)
        assert back.parts[index].data_window == image.parts[index].data_window
    np.testing.assert_array_equal(back.parts[1].channels["G"], new[1].astype(np.float16))
    assert back.parts[1].channels["A"].tobytes() == image.parts[1].channels["A"].tobytes()


# Damaged and foreign files


def damage_cases(path: Path) -> dict[str, Path]:
    tiles = OpenEXR.TileDescription()
    tiles.xSize, tiles.ySize = 4, 4
    return {
        "zip": save(path / "zip.exr", MIXED),
        "raw": save(path / "raw.exr", MIXED, compression=OpenEXR.NO_COMPRESSION),
        "tiled": save(path / "tiled.exr", MIXED, type=OpenEXR.tiledimage, tiles=tiles),
        "multi": multi_part(path / "multi.exr"),
    }


@pytest.mark.parametrize("kind", ["zip", "raw", "tiled", "multi"])
def test_every_truncation_is_one_line(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = damage_cases(tmp_path)[kind].read_bytes()
    cut = tmp_path / "cut.exr"
    for length in [*range(0, len(whole), 13), *range(len(whole) - 20, len(whole))]:
        cut.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"cut\.exr") as e:
            exr.read(cut)
        assert "\n" not in str(e.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["zip", "tiled", "multi"])
def test_flipped_bytes_never_crash(tmp_path: Path, kind: str) -> None:
    """In a process of its own, since a crash in C++ would take the tests along."""
    code = """
import random, sys
from pathlib import Path
from rendernoise.errors import ImageError
from rendernoise.io import exr
whole, bad = Path(sys.argv[1]).read_bytes(), Path(sys.argv[1]).with_name("bad.exr")
random.seed(1)
refused = 0
for _ in range(300):
    data = bytearray(whole)
    for _ in range(random.choice((1, 1, 4))):
        data[random.randrange(8, len(data))] = random.randrange(256)
    bad.write_bytes(data)
    try:
        exr.read(bad)
    except ImageError as error:
        assert chr(10) not in str(error), error
        refused += 1
print(refused)
"""
    path = damage_cases(tmp_path)[kind]
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    # Only our number is on standard output: OpenEXR's own prints would break --json.
    assert 0 < int(done.stdout) < 300


def test_a_lost_part_is_an_error_and_not_a_smaller_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.exr"
    exr.write(path, Exr((Part({"R": noise()}, name="a"), Part({"Z": np.ones((H, W), np.float32)}, name="b"))))
    data = bytearray(path.read_bytes())
    data[-8:] = b"\xff" * 8  # of the last chunk's zlib stream
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.exr is damaged: 1 of 2 parts cannot be decoded"):
        exr.read(path)
    assert capfd.readouterr().out == ""


def test_other_threads_may_print_while_a_file_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with exr._quiet_prints():
        print("mine")
        thread = threading.Thread(target=print, args=("theirs",))
        thread.start()
        thread.join()
    assert capsys.readouterr().out == "theirs\n"


def test_unfinished_files_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.exr", {"R": noise()}, compression=OpenEXR.ZIPS_COMPRESSION)
    data = bytearray(path.read_bytes())
    table = data.index(struct.pack("<Q", len(data) - sum(8 + n for n in chunk_sizes(bytes(data)))))
    data[table + 8 : table + 16] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(ImageError, match=f"was never finished: 1 of {H} chunks are missing"):
        exr.read(path)


def chunk_sizes(data: bytes) -> list[int]:
    """Sizes of the chunks of a one-row-per-chunk file, walked from its end of header."""
    header_end = data.index(b"\0\0", data.index(b"screenWindowWidth\0float")) + 1
    while True:
        header_end += 1
        offsets = struct.unpack_from(f"<{H}Q", data, header_end)
        if offsets[0] == header_end + 8 * H:
            return [struct.unpack_from("<I", data, o + 4)[0] for o in offsets]


def test_foreign_files(tmp_path: Path) -> None:
    cases: dict[str, bytes] = {
        "text": b"hello",
        "png": b"\x89PNG\r\n\x1a\n" + bytes(99),
        "zeros": bytes(999),
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match="is not an EXR file"):
            exr.read(tmp_path / name)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(ImageError, match="is empty"):
        exr.read(tmp_path / "empty")
    with pytest.raises(ImageError, match=r"cannot read .*gone\.exr: no such file"):
        exr.read(tmp_path / "gone.exr")
    with pytest.raises(ImageError, match="is a directory"):
        exr.read(tmp_path)


def test_deep_and_subsampled_are_refused(tmp_path: Path) -> None:
    deep = np.empty((H, W), dtype=object)
    for index in np.ndindex(H, W):
        deep[index] = np.array([1, 2], np.float32)
    header = {"type": OpenEXR.deepscanline, "compression": OpenEXR.ZIPS_COMPRESSION}
    OpenEXR.File(header, {"Z": deep}).write(str(tmp_path / "deep.exr"))
    with pytest.raises(ImageError, match="deep images are refused"):
        exr.read(tmp_path / "deep.exr")
    path = save(tmp_path / "luma.exr", {"Y": noise(), "RY": noise()})
    data = path.read_bytes()
    channel = b"RY\0" + struct.pack("<i4xii", 2, 1, 1)
    assert channel in data
    path.write_bytes(data.replace(channel, b"RY\0" + struct.pack("<i4xii", 2, 2, 2)))
    with pytest.raises(ImageError, match="channels RY are subsampled"):
        exr.read(path)


def test_no_channels(tmp_path: Path) -> None:
    data = save(tmp_path / "a.exr", {"R": noise()}).read_bytes()
    entry = b"R\0" + struct.pack("<i4xii", 2, 1, 1)
    size = b"chlist\0" + struct.pack("<i", len(entry) + 1)
    (tmp_path / "a.exr").write_bytes(data.replace(size + entry, b"chlist\0" + struct.pack("<i", 1)))
    with pytest.raises(ImageError, match="has no channels"):
        exr.read(tmp_path / "a.exr")


# Frames


def test_read_frame_of_a_foreign_file(tmp_path: Path) -> None:
    # The alphabetical order of the file is not the order of the components, and types are mixed.
    normal = {f"N.{c}": noise(i + 10, np.float16) for i, c in enumerate("XYZ")}
    path = save(
        tmp_path / "a.exr", {**MIXED, **normal, "Z": noise(20)}, spp=64, seed=0, dataWindow=box(5, 6, W + 4, H + 5)
    )
    frame = exr.read_frame(path, number=12)
    assert sorted(frame.planes) == ["depth", "normal", "radiance"]
    assert all(p.dtype == np.float32 for p in frame.planes.values())
    for i, c in enumerate("RGB"):
        np.testing.assert_array_equal(frame.radiance[i], MIXED[c].astype(np.float32))
    for i, c in enumerate("XYZ"):
        np.testing.assert_array_equal(frame.planes["normal"][i], normal[f"N.{c}"].astype(np.float32))
    np.testing.assert_array_equal(frame.planes["depth"][0], noise(20))
    assert (frame.number, frame.spp, frame.seed) == (12, 64, 0)
    assert frame.metadata["spp"] == 64


def test_spp_and_seed_of_others(tmp_path: Path) -> None:
    grey = {"Y": noise()}
    frame = exr.read_frame(save(tmp_path / "a.exr", grey, **{"cycles.ViewLayer.samples": "128"}))
    assert (frame.spp, frame.seed) == (128, None)
    np.testing.assert_array_equal(frame.radiance, [noise()] * 3)
    assert exr.read_frame(save(tmp_path / "b.exr", grey, spp=16.0)).spp == 16
    assert exr.read_frame(save(tmp_path / "c.exr", grey, spp="many")).spp == 0


def test_beauty_and_roles(tmp_path: Path) -> None:
    planes = {name: noise(i, shape=(3, H, W)) for i, name in enumerate(["", "noisy", "alb2"])}
    exr.write_layers(tmp_path / "a.exr", planes)
    np.testing.assert_array_equal(exr.read_frame(tmp_path / "a.exr").radiance, planes[""])
    np.testing.assert_array_equal(exr.read_frame(tmp_path / "a.exr", beauty="noisy").radiance, planes["noisy"])
    frame = exr.read_frame(tmp_path / "a.exr", roles={"albedo": "alb2"})
    np.testing.assert_array_equal(frame.planes["albedo"], planes["alb2"])
    with pytest.raises(InputError, match=r"Candidates: .*alb2"):
        exr.read_frame(tmp_path / "a.exr", roles={"albedo": "nope"})


def test_no_radiance_lists_the_channels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.exr", {"G": noise(), "foo.X": noise()})
    with pytest.raises(ImageError) as e:
        exr.read_frame(path)
    assert str(e.value) == f"{path}: no radiance among the channels G, foo.X. Name the layer with --role radiance=LAYER"


def test_bad_pixels_are_counted_and_kept(tmp_path: Path) -> None:
    pixels = np.ones((3, H, W), np.float32)
    pixels[0, 0, 0] = pixels[1, 0, 0] = pixels[2, 1, 1] = np.nan
    pixels[0, 2, 2], pixels[1, 2, 3], pixels[0, 3, :4] = np.inf, -np.inf, -1
    exr.write_layers(tmp_path / "a.exr", {"": pixels, "depth": np.full((1, H, W), np.inf)})
    frame = exr.read_frame(tmp_path / "a.exr")
    np.testing.assert_array_equal(frame.radiance, pixels)
    assert exr.count_bad(frame) == {"nan": 2, "inf": 2, "negative": 5}
    assert exr.count_bad(frame, "depth") == {"nan": 0, "inf": H * W, "negative": 0}
    assert exr.count_bad(Frame({"radiance": np.zeros((3, H, W), np.float32)})) == {"nan": 0, "inf": 0, "negative": 0}


def test_our_channel_names(tmp_path: Path) -> None:
    counts = {
        "": 3,
        "noisy": 3,
        "albedo": 3,
        "normal": 3,
        "position": 3,
        "depth": 1,
        "error": 1,
        "variance": 3,
        "motion": 2,
    }
    layers = {name: np.ones((count, H, W)) for name, count in counts.items()}
    exr.write_layers(tmp_path / "a.exr", layers, {"spp": 4})
    image = exr.read(tmp_path / "a.exr")
    expected = (
        "R G B noisy.R noisy.G noisy.B albedo.R albedo.G albedo.B normal.X normal.Y normal.Z position.X position.Y "
        "position.Z depth.Z error.Y variance.R variance.G variance.B motion.X motion.Y"
    )
    assert sorted(image.channels) == sorted(expected.split())
    assert {a.dtype for a in image.channels.values()} == {np.dtype(np.float32)}
    assert image.parts[0].compression == "ZIP"


elements = st.floats(width=32, allow_nan=True, allow_infinity=True)
values = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
)


@settings(max_examples=40, deadline=None)
@given(
    st.data(),
    st.integers(1, 6),
    st.integers(1, 6),
    st.dictionaries(st.from_regex(r"my\.[a-z]{1,40}", fullmatch=True), values, max_size=3),
)
def test_layers_round_trip(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, height: int, width: int, header: dict[str, Any]
) -> None:
    counts = {"radiance": 3, "albedo": 3, "normal": 3, "position": 3, "depth": 1, "variance": 3, "motion": 2}
    chosen = data.draw(st.sets(st.sampled_from(sorted(counts)))) | {"radiance"}
    planes = {n: data.draw(npst.arrays(np.float32, (counts[n], height, width), elements=elements)) for n in chosen}
    spp, seed = data.draw(st.integers(1, 10**6)), data.draw(st.integers(0, 2**64 - 1))
    path = tmp_path_factory.mktemp("h") / "a.exr"
    exr.write_layers(path, planes, {**header, "spp": spp, "seed": seed, "rendernoise.version": "1.0"})
    frame = exr.read_frame(path, number=3)
    assert set(frame.planes) == chosen
    for name in chosen:
        np.testing.assert_array_equal(frame.planes[name].view(np.uint32), planes[name].view(np.uint32))
    assert (frame.spp, frame.seed, frame.number) == (spp, seed, 3)
    for key, value in header.items():
        fits = not isinstance(value, int) or -(2**31) <= value < 2**31
        assert frame.metadata[key] == (value if fits else str(value))


def test_wrong_layers(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"layer 'depth' has the shape \(3, 7, 11\)"):
        exr.write_layers(tmp_path / "a.exr", {"depth": np.zeros((3, H, W))})
    with pytest.raises(ImageError, match="of one size"):
        exr.write_layers(tmp_path / "a.exr", {"": np.zeros((3, H, W)), "depth": np.zeros((1, W, H))})
    with pytest.raises(InputError, match="compression: EXR itself"):
        exr.write_layers(tmp_path / "a.exr", {"": np.zeros((3, H, W))}, {"compression": 3})
    with pytest.raises(OutputError, match="no such file"):
        exr.write_layers(tmp_path / "gone" / "a.exr", {"": np.zeros((3, H, W))})
    assert os.listdir(tmp_path) == []


def test_arrays_of_the_caller_are_untouched(tmp_path: Path) -> None:
    wide = noise(shape=(3, H, 2 * W))
    layers = {"": wide[:, :, ::2], "albedo": wide[::-1, ::-1, ::2]}
    before = {k: v.copy() for k, v in layers.items()}
    exr.write_layers(tmp_path / "a.exr", layers)
    frame = exr.read_frame(tmp_path / "a.exr")
    for name, plane in (("", "radiance"), ("albedo", "albedo")):
        np.testing.assert_array_equal(layers[name], before[name])
        np.testing.assert_array_equal(frame.planes[plane], before[name])


# The denoised layer in the place of the noisy one


def test_replace_radiance_keeps_the_names_and_the_rest(tmp_path: Path) -> None:
    combined = {f"ViewLayer.Combined.{c}": noise(i, np.float16) for i, c in enumerate("RGBA")}
    others = {"ViewLayer.CryptoObject00.R": noise(7), "ViewLayer.IndexOB.X": noise(8, np.uint32)}
    path = save(tmp_path / "a.exr", {**combined, **others}, dataWindow=box(5, 6, W + 4, H + 5), **attributes())
    image = exr.read(path)
    new = np.stack([np.full((H, W), v, np.float32) for v in (0.25, 1e9, 3)])
    result = exr.replace_radiance(
        image, new, keep_noisy=True, extra={"error.Y": np.ones((H, W))}, attributes={"rendernoise.version": "1"}
    )
    exr.write(tmp_path / "b.exr", result)
    back = exr.read(tmp_path / "b.exr")
    for name in (*others, "ViewLayer.Combined.A"):
        assert bits(back.channels)[name] == bits(image.channels)[name]
    for i, c in enumerate("RGB"):
        assert bits(back.channels)[f"noisy.{c}"] == bits(image.channels)[f"ViewLayer.Combined.{c}"]
        expected = np.float16(min(new[i, 0, 0], 65504))  # beyond half's range: its largest value, not Inf
        assert back.channels[f"ViewLayer.Combined.{c}"].dtype == np.float16
        assert (back.channels[f"ViewLayer.Combined.{c}"] == expected).all()
    assert set(back.channels) == {*combined, *others, "noisy.R", "noisy.G", "noisy.B", "error.Y"}
    assert back.data_window == (5, 6, W + 4, H + 5)
    expected_header = {**image.attributes, "rendernoise.version": "1"}
    assert same_attributes(dict(sorted(expected_header.items())), back.attributes)
    assert set(image.channels) == {*combined, *others}


def test_replace_radiance_of_a_grey_and_an_own_file(tmp_path: Path) -> None:
    new = np.stack([np.full((H, W), v, np.float32) for v in (1, 2, 3)])
    grey = exr.replace_radiance(exr.read(save(tmp_path / "a.exr", {"Y": noise()})), new)
    np.testing.assert_allclose(grey.channels["Y"], 0.2126 + 2 * 0.7152 + 3 * 0.0722, rtol=1e-6)
    exr.write_layers(tmp_path / "b.exr", {"": new, "noisy": -new})
    ours = exr.replace_radiance(exr.read(tmp_path / "b.exr"), 2 * new, keep_noisy=True)
    np.testing.assert_array_equal(ours.channels["noisy.R"], -new[0])
    with pytest.raises(ImageError, match="the new radiance is"):
        exr.replace_radiance(ours, new[:, 1:])


def test_writing_is_atomic(tmp_path: Path) -> None:
    exr.write_layers(tmp_path / "a.exr", {"": noise(shape=(3, H, W))})
    before = (tmp_path / "a.exr").read_bytes()
    bad = Part({"R": noise()}, {"strange": object()})
    with pytest.raises(ImageError, match=r"cannot write .*a\.exr"):
        exr.write(tmp_path / "a.exr", Exr((bad,)))
    assert (tmp_path / "a.exr").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.exr"]


def test_openexr_loads_only_when_needed() -> None:
    code = "import sys, rendernoise.io.exr; print('OpenEXR' in sys.modules, 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared scenes are not here")
@pytest.mark.parametrize("path", sorted(SHARED.glob("scenes/*/reference.0012.exr")), ids=lambda p: p.parent.name)
def test_shared_references(path: Path, tmp_path: Path) -> None:
    frame = exr.read_frame(path, number=12)
    assert set(frame.planes) == {"radiance", "variance"}
    assert frame.spp in (3072, 24576)
    assert not any(exr.count_bad(frame).values())
    exr.write(tmp_path / "a.exr", exr.read(path))
    assert bits(exr.read(tmp_path / "a.exr").channels) == bits(exr.read(path).channels)
