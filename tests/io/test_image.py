"""8-bit images in and out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from rendernoise.errors import ImageError, OutputError
from rendernoise.io.image import read_image, write_png


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_of_all_bytes(tmp_path: Path, channels: int) -> None:
    image = (np.arange(256 * channels).reshape(channels, 16, 16) % 256).astype(np.float32) / 255
    write_png(tmp_path / "a.png", image)
    back = read_image(tmp_path / "a.png")
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, image)
    assert os.listdir(tmp_path) == ["a.png"]


@given(npst.arrays(np.float32, (3, 3, 5), elements=st.floats(0, 1, width=32)))
def test_quantisation_error_is_half_a_step(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("q") / "a.png"
    write_png(path, image)
    assert np.abs(read_image(path) - image).max() <= 0.5 / 255 + 1e-6


def test_values_outside_are_clipped(tmp_path: Path) -> None:
    image = np.zeros((3, 1, 4), np.float64)
    image[:, 0] = [np.nan, np.inf, -np.inf, 7]
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, 0], [0, 1, 0, 1])


def test_orientation_and_channel_order(tmp_path: Path) -> None:
    image = np.zeros((3, 2, 3), np.float32)
    image[0, 0, 2] = 1  # red, top right
    write_png(tmp_path / "a.png", image)
    assert Image.open(tmp_path / "a.png").getpixel((2, 0)) == (255, 0, 0)


def test_other_modes(tmp_path: Path) -> None:
    rgba = Image.new("RGBA", (2, 2), (255, 0, 51, 7))
    rgba.save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png")[:, 0, 0], [1, 0, 0.2])
    rgba.convert("RGB").convert("P").save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").shape == (3, 2, 2)
    Image.fromarray(np.array([[0, 65535]], np.uint16)).save(tmp_path / "g16.png")
    np.testing.assert_array_equal(read_image(tmp_path / "g16.png"), [[[0, 1]]])
    Image.new("L", (8, 8), 128).save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (1, 8, 8)


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    write_png(tmp_path / "whole.png", np.random.default_rng(0).random((3, 20, 20)))
    whole = (tmp_path / "whole.png").read_bytes()
    bad = tmp_path / "bad.png"
    for length in range(0, len(whole) - 12, 50):  # the last 12 bytes only say that the file ends
        bad.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"cannot read .*bad\.png") as e:
            read_image(bad)
        assert "\n" not in str(e.value)
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="is a directory"):
        read_image(tmp_path)


def test_bad_output(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"not \(2, 3, 3\)"):
        write_png(tmp_path / "a.png", np.zeros((2, 3, 3)))
    with pytest.raises(OutputError, match="no such file"):
        write_png(tmp_path / "gone" / "a.png", np.zeros((3, 3, 3)))
    assert os.listdir(tmp_path) == []
