"""Frames in tiles: the pixels of whole frames, the same files, and no more memory than was given."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from rendernoise.cli import main
from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError, InputError, OutputError
from rendernoise.io.exr import read, write
from rendernoise.io.exr_image import Exr, Part
from rendernoise.large_frames import denoise_large, margin_px
from rendernoise.memory import MIB, Needs, fit
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.sequence import denoise_frames
from rendernoise.sources.shots import FrameFiles

Channels = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser.load(None, "cpu")


@pytest.fixture(scope="module")
def small() -> Denoiser:
    """A network that looks less far, and knows nothing."""
    torch.manual_seed(1)
    return Denoiser(DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo", "normal"))))


def channels(height: int, width: int, seed: int) -> Channels:
    """A noisy picture that grows brighter to the right, with features and an ID."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = (0.5 + x / width + 0.3 * np.sin(y / 9)) * rng.gamma(2.0, 0.5, (3, height, width))
    made = {c: plane.astype(np.float16) for c, plane in zip("RGB", light, strict=True)}
    made |= {f"albedo.{c}": np.full((height, width), 0.3, np.float16) for c in "RGB"}
    made |= {f"normal.{c}": np.full((height, width), v, np.float32) for c, v in zip("XYZ", (0, 0.6, 0.8), strict=True)}
    return made | {"id": rng.integers(0, 2**32, (height, width), np.uint32)}


def made(path: Path, height: int, width: int, seed: int = 0, **part: Any) -> Path:
    write(path, Exr((Part(channels(height, width, seed), {"owner": "me"}, **part),)))
    return path


def in_tiles(denoiser: Denoiser, files: FrameFiles, target: Path, tile_px: int, **options: Any) -> Any:
    given: dict[str, Any] = {"roles": None, "keep_noisy": False, "attributes": {}, "emit": lambda event: None}
    return denoise_large(denoiser, files, target, tile_px, **(given | options))


def radiance(path: Path) -> np.ndarray:
    return np.stack([read(path).channels[c] for c in "RGB"]).astype(np.float32)


def check_close(tiles: np.ndarray, whole: np.ndarray) -> None:
    """Equal but for the last bits of a convolution, which may round half floats the other way."""
    assert (tiles == whole).mean() > 0.99
    np.testing.assert_allclose(tiles, whole, rtol=2.0**-9)


@pytest.mark.parametrize("size", [(40, 1100), (1100, 40)])
def test_base_weights_give_the_pixels_of_whole_frames(
    tmp_path: Path, denoiser: Denoiser, size: tuple[int, int]
) -> None:
    files = FrameFiles(1, made(tmp_path / "a.exr", *size), tmp_path / "whole.exr")
    denoise_frames(denoiser, [files])
    in_tiles(denoiser, files, tmp_path / "tiles.exr", 2 * margin_px(denoiser) + 256)
    check_close(radiance(tmp_path / "tiles.exr"), radiance(files.out))


@pytest.mark.parametrize(
    ("part", "spins"),
    [({}, 2), ({"compression": "PIZ"}, 1), ({"tile_px": (50, 70)}, 1), ({"data_window": (-9, 5, 390, 214)}, 1)],
    ids=["ZIP", "PIZ", "tiled", "crop"],
)
def test_rows_of_tiles_too(tmp_path: Path, small: Denoiser, part: dict[str, Any], spins: int) -> None:
    small.spins = spins
    files = FrameFiles(1, made(tmp_path / "a.exr", 210, 400, **part), tmp_path / "whole.exr")
    denoise_frames(small, [files])
    in_tiles(small, files, tmp_path / "tiles.exr", 2 * margin_px(small) + 128)
    small.spins = 1
    check_close(radiance(tmp_path / "tiles.exr"), radiance(files.out))
    # A margin that is too small would show: the network does look as far.
    assert not np.array_equal(radiance(files.out), radiance(files.path))


def test_two_halves(tmp_path: Path, denoiser: Denoiser) -> None:
    half = made(tmp_path / "b.exr", 40, 1000, 1)
    files = FrameFiles(1, made(tmp_path / "a.exr", 40, 1000), tmp_path / "whole.exr", half)
    events: list[dict[str, Any]] = []
    denoise_frames(denoiser, [files], emit=events.append)
    found = in_tiles(denoiser, files, tmp_path / "tiles.exr", 2 * margin_px(denoiser) + 256)
    # The guard weighs errors in the noisy frame's exposure, not in the denoised one's.
    np.testing.assert_allclose(radiance(tmp_path / "tiles.exr"), radiance(files.out), rtol=0.01, atol=0.001)
    whole = next(event for event in events if event["event"] == "frame")
    assert found.relmse == pytest.approx(whole["estimated_relmse"], rel=0.1)
    assert found.noisy_relmse == pytest.approx(whole["noisy_relmse"], rel=0.1)


def test_halves_that_are_one_picture_have_no_estimate(tmp_path: Path, small: Denoiser) -> None:
    path = made(tmp_path / "a.exr", 60, 400)
    said: list[dict[str, Any]] = []
    files = FrameFiles(1, path, tmp_path / "o.exr", made(tmp_path / "b.exr", 60, 400))
    assert in_tiles(small, files, files.out, 2 * margin_px(small) + 96, emit=said.append) is None
    assert "is the same picture" in said[0]["text"]


def test_the_noisy_radiance_can_be_kept_and_bad_pixels_are_told(tmp_path: Path, small: Denoiser) -> None:
    image = channels(60, 400, 0)
    image["R"][7, 300], image["G"][59, 0] = np.nan, -1
    write(tmp_path / "a.exr", Exr((Part(image),)))
    said: list[dict[str, Any]] = []
    files = FrameFiles(1, tmp_path / "a.exr", tmp_path / "o.exr")
    in_tiles(small, files, files.out, 352, keep_noisy=True, attributes={"n": 3, "x": 0.5, "who": "é"}, emit=said.append)
    assert "has 1 NaN, 1 negative pixel(s)" in said[0]["text"]
    written = read(files.out)
    for c in "RGB":
        assert written.channels[f"noisy.{c}"].tobytes() == image[c].tobytes()
        assert np.isfinite(written.channels[c]).all()
    assert written.channels["id"].tobytes() == image["id"].tobytes()
    assert written.attributes["n"] == 3
    assert float(written.attributes["x"][0]) == 0.5
    assert written.attributes["who"] == "é"


def test_halves_of_unlike_sizes_and_missing_planes(tmp_path: Path, denoiser: Denoiser, small: Denoiser) -> None:
    path = made(tmp_path / "a.exr", 20, 40)
    target = tmp_path / "o.exr"
    with pytest.raises(ImageError, match=r"b.exr is 41x20 px, but .*a.exr is 40x20 px"):
        in_tiles(denoiser, FrameFiles(1, path, target, made(tmp_path / "b.exr", 20, 41)), target, 704)
    write(path, Exr((Part({c: np.ones((20, 40), np.float16) for c in "RGB"}),)))
    with pytest.raises(ImageError, match=r"a.exr has no albedo, normal"):
        in_tiles(small, FrameFiles(1, path, target), target, 704)
    assert not target.exists()


def test_a_damaged_chunk_leaves_nothing_behind(tmp_path: Path, small: Denoiser) -> None:
    path = made(tmp_path / "a.exr", 230, 40)
    data = bytearray(path.read_bytes())
    data[-200:] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a.exr is damaged"):
        in_tiles(small, FrameFiles(1, path, tmp_path / "o.exr"), tmp_path / "o.exr", 352)
    assert [p.name for p in tmp_path.iterdir()] == ["a.exr"]


def test_no_folder_to_write_to(tmp_path: Path, small: Denoiser) -> None:
    files = FrameFiles(1, made(tmp_path / "a.exr", 20, 40), tmp_path / "gone" / "o.exr")
    with pytest.raises(OutputError, match="cannot write"):
        in_tiles(small, files, files.out, 352)


HD = Needs(1280 * 720, 1280, 64 * 1280 * 720, 20, 1, 3, 2)


def test_what_is_left_out_first(denoiser: Denoiser) -> None:
    """Waiting, then neighbours, then whole frames; never more than fits, and no less than could be."""
    found = [fit(HD, denoiser, mib, whole=False) for mib in range(900, 3000, 20)]
    ranks = [(f.tile_px is None, f.window, f.waiting) for f in found]
    assert ranks == sorted(ranks)
    assert ranks[-1] == (True, 3, 2)
    assert ranks[0][0] is False
    assert {window for _, window, _ in ranks} == {0, 1, 2, 3}
    for mib, one in zip(range(900, 3000, 20), found, strict=True):
        if one.tile_px is None:
            assert replace(HD, window=one.window, waiting=one.waiting).whole_bytes() <= mib * MIB
        assert bool(one.notes) == (one.window < 3)


def test_every_large_frame_fits_into_2_gib(denoiser: Denoiser) -> None:
    for width, height in ((3840, 2160), (7680, 4320), (15360, 8640)):
        needs = Needs(width * height, width, 60 * width * height, 20, 1, 0, 2)
        found = fit(needs, denoiser, 2048, whole=False)
        assert found.tile_px is not None
        assert found.tile_px > 2 * margin_px(denoiser)


def test_too_little_for_anything(denoiser: Denoiser) -> None:
    with pytest.raises(InputError, match=r"--memory 600 is too little .* Give [0-9]+ or more") as e:
        fit(HD, denoiser, 600, whole=False)
    least = int(str(e.value).split("Give ")[1].split()[0])
    assert fit(HD, denoiser, least, whole=False).tile_px
    with pytest.raises(InputError, match="take whole frames of 1280x720"):
        fit(HD, denoiser, 900, whole=True)


def test_the_command_says_what_it_does_and_stays_within(
    tmp_path: Path, small: Denoiser, run_python: Callable[..., Any]
) -> None:
    """The peak is the system's own figure, of this program alone: ``getrusage`` counts what called it too."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc to measure by")
    small.save(tmp_path / "small.safetensors")
    made(tmp_path / "a.0001.exr", 500, 900)
    code = r"""
import re, sys, torch
torch.set_num_threads(1)
from rendernoise.cli import main
try:
    main(sys.argv[1:])
finally:
    print(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) // 1024)
"""
    arguments = ["denoise", tmp_path / "a.####.exr", "--weights", tmp_path / "small.safetensors", "--device", "cpu"]
    arguments += ["--out", tmp_path / "out", "--memory", "650", "--json"]
    done = run_python(code, *arguments)
    *lines, peak = done.stdout.splitlines()
    notes = [event["text"] for event in map(json.loads, lines) if event["event"] == "note"]
    assert any("go through in tiles of" in text for text in notes), notes
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.0001.exr"]
    assert int(peak) <= 1.1 * 650


@pytest.mark.parametrize("value", ["0", "-1", "255", "x"])
def test_a_memory_that_is_none(tmp_path: Path, value: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as e:
        main(["denoise", str(made(tmp_path / "a.exr", 20, 40)), "--memory", value, "--out", str(tmp_path / "o")])
    assert e.value.code == 2
    said = capfd.readouterr().err
    assert said.startswith("error: ")
    assert "memory" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_every_flavour_is_rewritten(tmp_path: Path, import_tool: Callable[[str], ModuleType]) -> None:
    """Rows of all parts are those of the whole file, also where a chunk is decoded at a time."""
    from rendernoise.io.exr_bands import ExrBands

    samples = import_tool("exr_samples")
    for flavour in (*samples.FLAVOURS, *samples.SPLICED):
        path = samples.write(tmp_path / "a.exr", flavour)
        whole, bands = read(path), ExrBands(path)
        for index, part in enumerate(whole.parts):
            height = bands.places[index].size[0]
            for first, last in ((0, height), (height // 3, height // 2 + 1), (height - 1, height)):
                rows = bands.rows(index, first, last)
                for name, pixels in part.channels.items():
                    assert rows.channels[name].tobytes() == pixels[first:last].tobytes(), (flavour, name)
