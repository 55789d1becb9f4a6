"""Slices of NIfTI volumes, by nibabel (extra ``suite``)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Plane

#: A slice that is darker than this share of the volume's range everywhere is empty.
_EMPTY = 1 / 255
#: Slices this much larger than asked for are cropped; larger ones are scaled down.
_CROPPED = 1.05
_BACKGROUND = np.float32(-0.5)

Volume = NDArray[np.float32]


def read_slices(path: Path, *, size_px: int | None = None, along: Literal["axial", "stored"] = "axial") -> list[Plane]:
    """Two-dimensional slices of a volume, ``[1, H, W]`` each.

    Values are brought to [-0.5, 0.5] over the whole volume, from its least to its greatest; what is not finite counts
    as 0. Pixels are made square where voxels are not. Empty slices before the first and behind the last with anything
    in it are left out.

    Args:
        path: A ``.nii`` or ``.nii.gz`` file (or ``.mgz``, and what else nibabel reads) with one volume.
        size_px: Side of square images that slices are padded to with the background, or cropped to about their middle;
            those that are more than 5 % larger are scaled down first. None leaves each volume its size. The paper has
            255.
        along: ``axial`` cuts across the axis from feet to head, the front of the head up, as far as the header says
            where that is. ``stored`` cuts along the last axis of the file and turns nothing, as the authors' tool does.

    Raises:
        InputError: nibabel is not installed.
        ImageError: The file is missing, damaged, no volume of three axes, or the same everywhere.
    """
    path = Path(path)
    volume, spacing = _read(path, along)
    low, high = float(volume.min()), float(volume.max())
    if not high > low:
        raise ImageError(f"{path} has no image: it is {low:g} everywhere", "Give a volume of an anatomy")
    slices = np.moveaxis((volume - low) / (high - low), 2, 0)
    filled = np.flatnonzero(slices.max(axis=(1, 2)) > _EMPTY)
    chosen = slices[filled[0] : filled[-1] + 1] - np.float32(0.5)
    return [_framed(_square(image, spacing), size_px)[None] for image in chosen]


def _read(path: Path, along: Literal["axial", "stored"]) -> tuple[Volume, tuple[float, float]]:
    """The volume with slices along its last axis, and the spacing of a slice's rows and columns."""
    try:
        import nibabel
        from nibabel.spatialimages import SpatialImage
    except ImportError as error:
        raise InputError(f"reading {path} needs nibabel", "pip install 'rendernoise[suite]'") from error
    cure = "Give a NIfTI volume (.nii, .nii.gz)"
    if not path.is_file():
        raise ImageError(f"there is no volume at {path}", cure)
    try:
        file = nibabel.load(path)
        if not isinstance(file, SpatialImage):
            raise TypeError("it has no voxels")
        file = nibabel.as_closest_canonical(file) if along == "axial" else file
        volume = np.asarray(file.get_fdata(dtype=np.float32, caching="unchanged"))
        zooms = [float(z) for z in file.header.get_zooms()[:2]]
    except Exception as error:  # nibabel, gzip and zlib each have errors of their own for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"cannot read {path}: {reason}", cure) from error
    while volume.ndim > 3 and volume.shape[-1] == 1:
        volume = volume[..., 0]
    if volume.ndim != 3 or 0 in volume.shape:
        raise ImageError(f"{path} is {volume.shape}, not one volume of three axes", "Split a series into its volumes")
    if not np.isfinite(volume).all():
        volume = np.nan_to_num(volume, nan=0.0, posinf=0.0, neginf=0.0)
    if along == "axial":
        # Canonical axes go right, to the front, up: rows from front to back, columns from left to right.
        volume, zooms = volume.transpose(1, 0, 2)[::-1], zooms[::-1]
    return volume, (zooms[0], zooms[1])


def _square(image: Volume, spacing: tuple[float, float]) -> Volume:
    """The slice with the finer of both spacings in rows and columns."""
    finest = min(spacing)
    if not finest > 0 or max(spacing) < 1.01 * finest:
        return image
    return _resized(image, *(round(n * s / finest) for n, s in zip(image.shape, spacing, strict=True)))


def _framed(image: Volume, size_px: int | None) -> Plane:
    """The slice in the middle of a square of that side."""
    if size_px is None:
        return np.ascontiguousarray(image)
    longest = max(image.shape)
    if longest > _CROPPED * size_px:
        image = _resized(image, *(max(1, round(n * size_px / longest)) for n in image.shape))
    result = np.full((size_px, size_px), _BACKGROUND)
    spans = [_overlap(n, size_px) for n in image.shape]
    result[spans[0][1], spans[1][1]] = image[spans[0][0], spans[1][0]]
    return result


def _overlap(length: int, size: int) -> tuple[slice, slice]:
    """Where a length and a size have a common middle, in each of them."""
    shared, skipped, before = min(length, size), max(0, length - size) // 2, max(0, size - length) // 2
    return slice(skipped, skipped + shared), slice(before, before + shared)


def _resized(image: Volume, height: int, width: int) -> Volume:
    """By averages where it shrinks and linearly where it grows, so that no value leaves the range."""
    from PIL import Image

    resized = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32)
