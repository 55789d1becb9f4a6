"""Folders of images: every kind of file, damaged ones, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rendernoise.errors import InputError
from rendernoise.io.deep_image import deep_png
from rendernoise.io.exr import write_layers
from rendernoise.io.image_folder import LEAST_PX, centred, read_folder, recoloured, uncentred
from rendernoise.io.nifti import read_slices


def save(path: Path, mode: str = "L", size: tuple[int, int] = (40, 36), **options: Any) -> None:
    rng = np.random.default_rng(len(path.name))
    samples = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    pixels = rng.integers(256, size=(size[1], size[0], samples), dtype=np.uint8)
    # As raw bytes: Pillow's own guess would take four channels for RGBA.
    Image.frombytes(mode, size, pixels.tobytes()).save(path, **options)


def test_every_kind_of_file_in_the_order_of_names(tmp_path: Path) -> None:
    save(tmp_path / "a.png", "L")
    save(tmp_path / "b.jpg", "RGB")
    save(tmp_path / "c.png", "LA")
    save(tmp_path / "d.tif", "RGBA", compression="tiff_lzw")
    save(tmp_path / "e.jpg", "CMYK")
    Image.open(tmp_path / "b.jpg").convert("P").save(tmp_path / "f.png")
    deep = np.random.default_rng(0).integers(65536, size=(36, 40, 3), dtype=np.uint16)
    (tmp_path / "g.png").write_bytes(deep_png(deep))
    linear = np.random.default_rng(1).random((3, 36, 40), dtype=np.float32) * 3
    write_layers(tmp_path / "h.exr", {"radiance": linear})
    write_layers(tmp_path / "i.EXR", {"depth": linear[:1]})
    (tmp_path / "readme.txt").write_text("no image")
    save(tmp_path / ".hidden.png")
    events: list[dict[str, Any]] = []
    folder = read_folder(tmp_path, emit=events.append)
    assert folder.names == ("a.png", "b.jpg", "c.png", "d.tif", "e.jpg", "f.png", "g.png", "h.exr")
    assert (folder.channels, folder.skipped) == (3, 1)
    notes = " | ".join(e["text"] for e in events)
    for part in (
        "c.png has alpha",
        "d.tif has alpha",
        "e.jpg is CMYK",
        "i.EXR",
        "1 file(s)",
        "2 grey image(s) among 6",
    ):
        assert part in notes, part
    assert all(image.shape == (3, 36, 40) and image.dtype == np.float32 for _, image in folder)
    np.testing.assert_allclose(folder.image(6), deep.transpose(2, 0, 1) / 65535 - 0.5, atol=1e-6)
    np.testing.assert_allclose(folder.image(7), linear - 0.5, atol=1e-6)
    grey = read_folder(tmp_path, channels=1)
    np.testing.assert_allclose(grey.image(7)[0], np.tensordot([0.299, 0.587, 0.114], linear, 1) - 0.5, atol=1e-5)
    np.testing.assert_array_equal(folder.crop(3, 2, 5, 20, 10), folder.image(3)[:, 2:22, 5:15])


def test_grey_stays_grey_and_the_digest_knows_every_pixel(tmp_path: Path) -> None:
    for name in ("a.png", "bb.png"):
        save(tmp_path / name)
    folder = read_folder(tmp_path)
    assert folder.channels == 1
    assert folder.digest() == read_folder(tmp_path).digest()
    assert folder.digest() != read_folder(tmp_path, limit=1).digest()
    assert read_folder(tmp_path / "a.png").names == ("a.png",)
    assert len(read_folder(tmp_path, limit=1)) == 1


def test_values_are_centred_and_back() -> None:
    for kind in (np.uint8, np.uint16):
        most = np.iinfo(kind).max
        values = np.arange(most + 1).astype(kind)[None, None]
        image = centred(values)
        assert (float(image.min()), float(image.max())) == (-0.5, 0.5)
        np.testing.assert_array_equal(np.rint(uncentred(image).astype(np.float64) * most), values)


def test_grey_of_grey_colours_is_the_grey() -> None:
    grey = np.random.default_rng(0).random((1, 4, 4), dtype=np.float32)
    np.testing.assert_allclose(recoloured(recoloured(grey, 3), 1), grey, atol=1e-6)


def test_damaged_and_small_files_are_skipped_with_a_line_each(tmp_path: Path) -> None:
    save(tmp_path / "good.png", size=(50, 70))
    save(tmp_path / "small.png", size=(LEAST_PX - 1, 90))
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:500])
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes(b"II*\0\xff\xff")
    (tmp_path / "none.exr").write_bytes(b"v/1\1")
    events: list[dict[str, Any]] = []
    folder = read_folder(tmp_path, emit=events.append)
    assert (folder.names, folder.skipped, folder.least_side_px) == (("good.png",), 6, 50)
    lines = [e["text"] for e in events]
    assert sum(line.startswith("skipped: ") for line in lines) == 6
    assert lines[-1].startswith("6 file(s)")
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda folder: None, "no such file"),
        (lambda folder: folder.mkdir(), "there is no image in"),
        (lambda folder: (folder.mkdir(), (folder / "a.png").write_text("x")), "can be used .1 skipped"),
        (lambda folder: (folder.mkdir(), save(folder / "a.png", size=(8, 8))), "can be used .1 skipped"),
    ],
)
def test_nothing_to_read_is_one_error(tmp_path: Path, make: Any, part: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(InputError, match=part) as error:
        read_folder(tmp_path / "data")
    assert "\n" not in str(error.value)


def test_fewer_images_than_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(InputError, match="has 1 images, not 4"):
        read_folder(tmp_path, limit=4)


def test_images_that_do_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png")

    class Little:
        available = 1000

    monkeypatch.setattr("psutil.virtual_memory", Little)
    with pytest.raises(InputError, match="do not fit into half the free memory"):
        read_folder(tmp_path)


def test_slices_of_a_volume_are_images(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.default_rng(0).random((60, 50, 4), dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "head.nii.gz")
    folder = read_folder(tmp_path)
    assert folder.names == tuple(f"head.nii.gz.{i:03d}" for i in range(4))
    assert (folder.channels, folder.least_side_px) == (1, 255)
    for (_, image), expected in zip(folder, read_slices(tmp_path / "head.nii.gz", size_px=255), strict=True):
        np.testing.assert_allclose(image, expected, atol=1e-6)
    (tmp_path / "bad.nii").write_bytes(b"no volume")
    assert read_folder(tmp_path).skipped == 1
