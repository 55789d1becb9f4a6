"""``suite denoise``: each image keeps its name, format, bits and alpha; what fails is named, others are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError
from rendernoise.io.deep_image import deep_png, deep_tiff
from rendernoise.io.exr import Exr, Part, read, write
from rendernoise.io.image import read_picture
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.suite.config import SuiteDenoiseConfig
from rendernoise.suite.denoising import run_suite_denoise

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = 0.5


def weights(path: Path, channels: int, planes: tuple[str, ...] = ("radiance",)) -> Path:
    """Weights whose result is 0 everywhere, which is middle grey: the file shows that, and what was left alone."""
    model = DenoisingModel(ModelSpec("unet", planes, "linear", "none", channels=channels))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    Denoiser(model, {"noise": "gaussian"}).save(path)
    return path


def denoise(tmp_path: Path, *inputs: Path, channels: int = 3, **options: Any) -> tuple[dict[str, Any], list[str]]:
    events: list[dict[str, Any]] = []
    config = SuiteDenoiseConfig(
        inputs=inputs, weights=weights(tmp_path / "w.safetensors", channels), out=tmp_path / "out", **options
    )
    return run_suite_denoise(config, events.append), [e["text"] for e in events if e["event"] == "note"]


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(suffix, mode) for suffix in (".png", ".tif") for mode in ("L", "LA", "RGB", "RGBA")]
    + [(".jpg", "L"), (".jpg", "RGB")],
)
def test_formats_and_alpha_of_8_bits(tmp_path: Path, suffix: str, mode: str) -> None:
    rng = np.random.default_rng(0)
    image = Image.frombytes(mode, (37, 33), rng.integers(256, size=33 * 37 * len(mode), dtype=np.uint8).tobytes())
    file = tmp_path / f"a{suffix}"
    image.save(file)
    result, _ = denoise(tmp_path, file, channels=1 if mode[0] == "L" else 3)
    assert result == {"written": 1, "failed": []}
    with Image.open(tmp_path / "out" / f"a{suffix}") as written:
        assert written.mode == mode
        assert written.format == {".png": "PNG", ".tif": "TIFF", ".jpg": "JPEG"}[suffix]
        values = np.asarray(written).reshape(33, 37, -1)
    assert set(np.unique(values[..., 0])) <= {127, 128}
    if mode.endswith("A"):
        np.testing.assert_array_equal(values[..., -1], np.asarray(image)[..., -1])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_stay_16_bits(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(65536, size=(33, 37, 4), dtype=np.uint16)
    (tmp_path / f"a{suffix}").write_bytes(deep_png(pixels) if suffix == ".png" else deep_tiff(pixels))
    denoise(tmp_path, tmp_path / f"a{suffix}")
    written = read_picture(tmp_path / "out" / f"a{suffix}")
    assert set(np.unique(written.pixels)) <= {32767, 32768}
    np.testing.assert_array_equal(written.alpha, pixels[..., 3])


def test_exr_files_keep_all_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    channels = {name: rng.random((33, 37)).astype(np.float16) for name in "RGBA"}
    channels["depth.Z"] = rng.random((33, 37)).astype(np.float32)
    write(tmp_path / "a.exr", Exr((Part(channels, {"owner": "me"}),)))
    denoise(tmp_path, tmp_path / "a.exr")
    written = read(tmp_path / "out" / "a.exr")
    assert written.attributes["owner"] == "me"
    for name, pixels in channels.items():
        assert written.channels[name].dtype == pixels.dtype
        np.testing.assert_array_equal(written.channels[name], HALF if name in "RGB" else pixels)


@pytest.mark.parametrize(("mode", "channels", "part"), [("L", 3, "is grey"), ("RGB", 1, "has colours")])
def test_weights_of_other_channels_do_with_a_note(tmp_path: Path, mode: str, channels: int, part: str) -> None:
    Image.new(mode, (40, 40)).save(tmp_path / "a.png")
    _, notes = denoise(tmp_path, tmp_path / "a.png", channels=channels)
    assert part in notes[0]
    assert Image.open(tmp_path / "out" / "a.png").mode == mode


def test_what_fails_is_named_and_the_others_are_written(tmp_path: Path, folder_of: Callable[..., Path]) -> None:
    data = folder_of(2)
    (data / "00b.png").write_bytes((data / "00.png").read_bytes()[:200])
    write(data / "nan.exr", Exr((Part({n: np.full((8, 8), np.nan, np.float32) for n in "RGB"}),)))
    result, _ = denoise(tmp_path, data)
    assert result["written"] == 2
    assert [Path(f["image"]).name for f in result["failed"]] == ["00b.png", "nan.exr"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["00.png", "01.png"]


def test_a_photograph_is_turned_as_it_is_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    denoise(tmp_path, tmp_path / "a.jpg")
    with Image.open(tmp_path / "out" / "a.jpg") as written:
        assert written.size == (40, 60)
        assert 0x0112 not in written.getexif()


def test_existing_files_are_left_replaced_or_refused(tmp_path: Path, folder_of: Callable[..., Path]) -> None:
    data = folder_of(2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "00.png").write_text("mine")
    with pytest.raises(InputError, match=r"00\.png exists"):
        denoise(tmp_path, data)
    assert denoise(tmp_path, data, resume=True)[0]["written"] == 1
    assert (tmp_path / "out" / "00.png").read_text() == "mine"
    assert denoise(tmp_path, data, overwrite=True)[0]["written"] == 2
    assert read_picture(tmp_path / "out" / "00.png").pixels.shape == (1, 48, 48)


def test_what_would_lose_an_image_is_refused(tmp_path: Path, folder_of: Callable[..., Path]) -> None:
    one, two = folder_of(1, name="one"), folder_of(1, name="two")
    with pytest.raises(InputError, match="would both become"):
        denoise(tmp_path, one, two)
    own = folder_of(1, name="out")
    with pytest.raises(InputError, match="would replace its input"):
        denoise(tmp_path, own, overwrite=True)
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match="no image that can be written"):
        denoise(tmp_path, tmp_path / "a.gif")


def test_weights_for_spectra_are_refused(tmp_path: Path, folder_of: Callable[..., Path]) -> None:
    file = weights(tmp_path / "mri.safetensors", 1, ("radiance", "kept"))
    config = SuiteDenoiseConfig(inputs=(folder_of(1),), weights=file, out=tmp_path / "out")
    with pytest.raises(InputError, match="which frequencies were measured"):
        run_suite_denoise(config)
    assert not (tmp_path / "out").exists()
