"""``rendernoise denoise`` keeps what it does not denoise bit for bit, whatever the file is like.

Files are written by OpenEXR, and results read by it: pixels as they are, headers byte by byte.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import OpenEXR
import pytest

from rendernoise.cli import main
from rendernoise.denoiser import Denoiser
from rendernoise.io import exr_bands
from rendernoise.large_frames import denoise_large
from rendernoise.sources.shots import FrameFiles

CODECS = [name.removesuffix("_COMPRESSION") for name in OpenEXR.Compression.__members__ if not name.startswith("NUM")]
LOSSY = {"PXR24", "B44", "B44A", "DWAA", "DWAB", "LJ2K"}
FLAVOURS = [
    *("scanlines", "tiled", "tiled random", "decreasing", "multi-part", "one part of many", "views", "parts of views"),
    *("overscan", "crop", "far away", "one pixel", "one row", "one column", "long names", "200 channels"),
    *("cryptomatte", "grey", "linear", "attributes", "attributes of tiles", "attributes of parts"),
    *(f"{tiled}{codec}_COMPRESSION" for codec in CODECS for tiled in ("", "tiled ")),
]
ADDED = {b"rendernoise.version", b"rendernoise.weights", b"rendernoise.stamp"}


@pytest.fixture(scope="module")
def samples(import_tool: Callable[[str], ModuleType]) -> ModuleType:
    """``tools/exr_samples.py``."""
    return import_tool("exr_samples")


def denoise(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as e:
        main(["denoise", *map(str, arguments), "--device", "cpu"])
    assert isinstance(e.value.code, int)
    return e.value.code


def hashes(samples: ModuleType, path: Path) -> dict[tuple[int, str], tuple[Any, ...]]:
    """What each channel of each part holds: type, size, flag and a digest of its pixels.

    Read without the attributes that OpenEXR's Python module refuses.
    """
    file = samples.Split.of(path.read_bytes())
    refused = {b"bytesLatin1", b"deepImageState", b"idManifest", b"keycodeZero", b"latin1", b"rationalNone", b"views"}
    for attributes in file.parts:
        for name in refused.intersection(attributes):
            del attributes[name]
    return {
        (index, name): (
            channel.type(),
            channel.pixels.shape,
            channel.pLinear,
            hashlib.sha256(channel.pixels.tobytes()).hexdigest(),
        )
        for index, part in enumerate(OpenEXR.File(io.BytesIO(file.join()), separate_channels=True).parts)
        for name, channel in part.channels.items()
    }


def same_but(samples: ModuleType, before: Path, after: Path, denoised: set[tuple[int, str]]) -> None:
    """Asserts that two files differ in these channels, a lossy compression and our own attributes alone."""
    old, new = hashes(samples, before), hashes(samples, after)
    assert list(old) == list(new)
    assert {key for key in old if old[key] != new[key]} == denoised
    assert all(old[key][:3] == new[key][:3] for key in denoised)
    first, second = (samples.Split.of(path.read_bytes()) for path in (before, after))
    assert (first.flags, len(first.parts)) == (second.flags, len(second.parts))
    main_part = min(denoised)[0]
    for index, (was, now) in enumerate(zip(first.parts, second.parts, strict=True)):
        assert set(now) - set(was) == (ADDED if index == main_part else set())
        codec = OpenEXR.Compression(was[b"compression"][1][0]).name.removesuffix("_COMPRESSION")
        changed = {name for name in was if was[name] != now.get(name)}
        assert changed == ({b"compression"} if codec in LOSSY else set())
        if codec in LOSSY:
            assert now[b"compression"] == (b"compression", bytes([OpenEXR.ZIP_COMPRESSION.value]))


def test_every_sample_is_tested(samples: ModuleType) -> None:
    assert {*samples.FLAVOURS, *samples.SPLICED} == set(FLAVOURS)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_all_else_stays_bit_for_bit(tmp_path: Path, samples: ModuleType, flavour: str) -> None:
    source = samples.write(tmp_path / "a.0001.exr", flavour)
    assert denoise(source, "--out", tmp_path / "out") == 0
    part = 1 if flavour == "multi-part" else 0
    denoised = {(part, name) for name in ("Y" if flavour == "grey" else "RGB")}
    denoised |= {(0, f"right.{c}") for c in "RGB" if flavour == "views"}
    denoised |= {(1, c) for c in "RGB" if flavour in ("parts of views", "attributes of parts")}
    same_but(samples, source, tmp_path / "out" / source.name, denoised)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_all_else_stays_bit_for_bit_in_bands(
    tmp_path: Path, samples: ModuleType, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where a file goes through in bands, of a chunk each."""
    monkeypatch.setattr(exr_bands, "PIECE_BYTES", 1)
    source = samples.write(tmp_path / "a.0001.exr", flavour)
    target = tmp_path / "b.0001.exr"
    added = {name.decode(): "x" for name in ADDED}
    kept = {"roles": None, "keep_noisy": False, "attributes": added, "emit": lambda event: None}
    denoise_large(Denoiser.load(None, "cpu"), FrameFiles(1, source, target), target, 704, **kept)
    part = 1 if flavour == "multi-part" else 0
    same_but(samples, source, target, {(part, name) for name in ("Y" if flavour == "grey" else "RGB")})


@pytest.mark.parametrize("flavour", ["deep", "subsampled", "mipmaps"])
def test_what_would_lose_something_is_refused(
    tmp_path: Path, samples: ModuleType, flavour: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = samples.write(tmp_path / "a.0001.exr", flavour)
    assert denoise(source, "--out", tmp_path / "out") == 2
    said = capfd.readouterr().err
    assert said.startswith(f"error: {source}")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_plain_colour_stays_lossy_and_its_alpha_as_it_was(tmp_path: Path, samples: ModuleType) -> None:
    colour = {c: samples.pixels(i, np.float16) for i, c in enumerate("RGBA")}
    source = tmp_path / "a.0001.exr"
    OpenEXR.File([samples.part(colour, compression=OpenEXR.DWAA_COMPRESSION)]).write(str(source))
    assert denoise(source, "--out", tmp_path / "out") == 0
    old, new = hashes(samples, source), hashes(samples, tmp_path / "out" / source.name)
    assert old[0, "A"] == new[0, "A"]
    compression = samples.Split.of((tmp_path / "out" / source.name).read_bytes()).parts[0][b"compression"]
    assert compression[1][0] == OpenEXR.DWAA_COMPRESSION.value
    # A grey channel beside the colour is data.
    OpenEXR.File([samples.part(colour | {"Y": colour["A"]}, compression=OpenEXR.DWAA_COMPRESSION)]).write(str(source))
    assert denoise(source, "--out", tmp_path / "out", "--overwrite") == 0
    same_but(samples, source, tmp_path / "out" / source.name, {(0, c) for c in "RGB"})


def test_bad_pixels_are_mended_in_the_denoised_layer_alone(
    tmp_path: Path, samples: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    channels = samples.render()
    bad = np.array([np.nan, np.inf, -np.inf, -1, 65504, 0], np.float16)
    channels["R"][3, :6], channels["G"][8, 8], channels["A"][0, 0] = bad, np.nan, np.nan
    channels["N.X"][0, 0], channels["crypto00.G"][1, 1] = -np.inf, np.inf
    source = tmp_path / "a.0001.exr"
    OpenEXR.File([samples.part(channels)]).write(str(source))
    assert denoise(source, "--out", tmp_path / "out", "--keep-noisy") == 0
    after = OpenEXR.File(str(tmp_path / "out" / source.name), separate_channels=True).parts[0].channels
    for c in "RGB":
        assert np.isfinite(after[c].pixels).all()
        assert (after[c].pixels >= 0).all()
        assert after[f"noisy.{c}"].pixels.tobytes() == channels[c].tobytes()
    for name in set(channels) - set("RGB"):
        assert after[name].pixels.tobytes() == channels[name].tobytes(), name
    said = capfd.readouterr()
    assert "2 NaN, 2 infinite, 2 negative pixel(s)" in said.out + said.err


def test_a_result_beyond_half_is_the_largest_half(tmp_path: Path, samples: ModuleType) -> None:
    bright = {c: np.full((8, 8), 65504, np.float16) for c in "RGB"}
    source = tmp_path / "a.0001.exr"
    OpenEXR.File([samples.part(bright)]).write(str(source))
    assert denoise(source, "--out", tmp_path / "out") == 0
    after = OpenEXR.File(str(tmp_path / "out" / source.name), separate_channels=True).parts[0].channels
    assert all(np.isfinite(after[c].pixels).all() for c in "RGB")
