"""Volumes that nibabel writes, the template that nilearn carries, and files that are neither."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rendernoise.errors import ImageError, InputError
from rendernoise.io.nifti import read_slices
from tests.t1_template import t1_template

nibabel = pytest.importorskip("nibabel")
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a volume whose axes go right, to the front and up, unless the affine says otherwise."""

    def write(volume: np.ndarray, affine: np.ndarray | None = None, name: str = "scan.nii.gz") -> Path:
        path = tmp_path / name
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4) if affine is None else affine), path)
        return path

    return write


def head() -> np.ndarray:
    """``[right, front, up]`` with two empty slices below, one in the middle and one above."""
    volume = np.random.default_rng(0).integers(100, 1000, (7, 9, 8)).astype(np.int16)
    volume[..., [0, 1, 4, 7]] = 0
    volume[2, 3, 3] = 1200
    return volume


def test_axial_slices_have_the_front_up_and_lie_in_the_range_of_the_volume(write: Write) -> None:
    slices = read_slices(write(head()))
    assert len(slices) == 5, "two empty ones below and one above are left out, the one in the middle stays"
    assert {image.shape for image in slices} == {(1, 9, 7)}
    assert {image.dtype for image in slices} == {np.dtype(np.float32)}
    for image, number in zip(slices, range(2, 7), strict=True):
        expected = head()[:, ::-1, number].T / 1200 - 0.5
        assert np.allclose(image[0], expected, atol=1e-6)
    assert slices[1].max() == 0.5
    assert (slices[2] == -0.5).all()


@pytest.mark.parametrize("axes", ["LPS", "RAI", "PSR", "ASL", "SAL"])
def test_however_the_file_stores_it(write: Write, axes: str) -> None:
    """The same head under other orders and directions of its axes; PSR is that of IXI."""
    wanted = nibabel.orientations.axcodes2ornt(tuple(axes))
    image = nibabel.Nifti1Image(head(), np.eye(4))
    turned = image.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(image.affine), wanted)
    )
    assert nibabel.aff2axcodes(turned.affine) == tuple(axes)
    found = read_slices(write(np.asarray(turned.dataobj), turned.affine, "turned.nii"))
    expected = read_slices(write(head()))
    assert np.array_equal(np.stack(found), np.stack(expected))


def test_stored_slices_are_those_of_the_last_axis(write: Write) -> None:
    slices = read_slices(write(head(), np.diag([-1, 1, -1, 1])), along="stored")
    assert np.allclose(np.stack(slices)[:, 0], np.moveaxis(head() / 1200 - 0.5, 2, 0)[2:7], atol=1e-6)


def test_pixels_become_square(write: Write) -> None:
    """Voxels of 1 × 2 × 5 mm: rows go to the front, so that there are twice as many, and values stay in range."""
    slices = read_slices(write(head(), np.diag([1.0, 2.0, 5.0, 1.0])))
    assert slices[0].shape == (1, 18, 7)
    assert min(image.min() for image in slices) >= -0.5
    assert max(image.max() for image in slices) <= 0.5


@pytest.mark.parametrize(("size_px", "rows", "columns"), [(12, 9, 7), (9, 9, 7), (255, 9, 7), (5, 5, 4)])
def test_squares_hold_the_slice_in_their_middle(write: Write, size_px: int, rows: int, columns: int) -> None:
    volume = np.full((7, 9, 2), 100, np.uint8)
    volume[0, 0, 0] = 0
    for image in read_slices(write(volume), size_px=size_px):
        assert image.shape == (1, size_px, size_px)
        filled = np.argwhere(image[0] > -0.4)
        extent = np.ptp(filled, axis=0) + 1
        assert tuple(extent) == (rows, columns)
        assert np.abs(filled.mean(axis=0) - (size_px - 1) / 2).max() <= 0.6
    assert read_slices(write(volume))[0].shape == (1, 9, 7)


def test_a_pixel_too_many_is_cropped_not_scaled(write: Write) -> None:
    volume = np.random.default_rng(0).random((40, 40, 1)).astype(np.float32)
    whole, cropped = read_slices(write(volume))[0], read_slices(write(volume), size_px=39)[0]
    assert np.array_equal(cropped, whole[:, :39, :39])


def test_a_lone_fourth_axis_and_lost_voxels_do_no_harm(write: Write) -> None:
    volume = head().astype(np.float32)
    expected = read_slices(write(volume))
    assert np.array_equal(read_slices(write(volume[..., None])), expected)
    volume[0, 0, 0], volume[1, 0, 0] = np.nan, np.inf
    assert np.array_equal(read_slices(write(volume)), expected)


def test_what_is_no_volume_is_refused_in_one_line(write: Write, tmp_path: Path) -> None:
    whole = write(head()).read_bytes()
    damaged = tmp_path / "damaged.nii.gz"
    for content in (b"", b"nonsense", whole[:200], whole[: len(whole) // 2], gzip.compress(b"no header" * 90)):
        damaged.write_bytes(content)
        with pytest.raises(ImageError, match=r"cannot read .*damaged.nii.gz.*Give a NIfTI volume") as caught:
            read_slices(damaged)
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match="there is no volume at"):
        read_slices(tmp_path / "nowhere.nii")
    with pytest.raises(ImageError, match="not one volume of three axes"):
        read_slices(write(np.zeros((3, 3, 3, 2), np.float32)))
    for flat in (np.full((3, 3, 3), 7, np.int16), np.full((3, 3, 3), np.nan, np.float32)):
        with pytest.raises(ImageError, match="everywhere"):
            read_slices(write(flat))


def test_a_missing_nibabel_is_said_with_its_cure(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(head())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match=r"needs nibabel. pip install 'rendernoise\[suite\]'"):
        read_slices(path)


def test_the_template_becomes_slices_of_the_size_of_the_paper() -> None:
    slices = read_slices(t1_template(), size_px=255)
    assert 140 < len(slices) < 189
    assert {image.shape for image in slices} == {(1, 255, 255)}
    assert min(image.min() for image in slices) == -0.5
    assert max(image.max() for image in slices) == 0.5
    middle = slices[len(slices) // 2][0]
    rows, columns = np.ptp(np.argwhere(middle > -0.4), axis=0) + 1
    assert 150 < rows < 200, "from front to back a brain is longer than it is wide"
    assert 120 < columns < 160
