"""A folder of images in memory, as the noise suite trains and measures on: values in [-0.5, 0.5]."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Plane
from rendernoise.io.exr import read_colours
from rendernoise.io.image import JPEG, PNG, TIFF, read_picture
from rendernoise.io.nifti import read_slices

Emit = Callable[[dict[str, Any]], None]
EXR = (".exr",)
PICTURES = (*PNG, *JPEG, *TIFF, *EXR)
#: Volumes, whose slices are images of so many px, as in Noise2Noise, section 3.4.
VOLUMES, SLICE_PX = (".nii", ".nii.gz"), 255
#: Smaller images than this are left out: the networks halve them five times.
LEAST_PX = 32
#: What makes grey of colours on a screen (ITU-R BT.601-7, section 2.5.1), as in the grey test images of the field.
LUMA = np.array([0.299, 0.587, 0.114], np.float32).reshape(3, 1, 1)


def centred(pixels: NDArray[Any]) -> Plane:
    """Pixels as the suite counts them: 0 to 1 (or all of 8 or 16 bits) becomes -0.5 to 0.5, float32."""
    most = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    return (pixels.astype(np.float32) / np.float32(most) - np.float32(0.5)).astype(np.float32, copy=False)


def uncentred(image: Plane) -> Plane:
    """The inverse of :func:`centred`, to values of 0 to 1."""
    return image + np.float32(0.5)


def recoloured(image: Plane, channels: int) -> Plane:
    """An image of 1 or 3 channels as one of ``channels``: grey is repeated, of colours the luma is taken."""
    if len(image) == channels:
        return image
    return np.repeat(image, 3, axis=0) if channels == 3 else (image * LUMA).sum(0, keepdims=True)


@dataclass(frozen=True)
class ImageFolder:
    """Images of one number of channels and any sizes.

    Args:
        name: Of the folder or file.
        names: Of each image, unique.
        stored: Pixels of each, ``[C, H, W]`` as in the file (uint8, uint16, or float32 of 0 to 1), which is small.
        channels: Of the images that are given: 1 or 3.
        skipped: How many files could not be used.
    """

    name: str
    names: tuple[str, ...]
    stored: tuple[NDArray[Any], ...]
    channels: int
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of one image, px."""
        return self.stored[index].shape[1], self.stored[index].shape[2]

    @property
    def least_side_px(self) -> int:
        """The shortest side of all images."""
        return min(min(self.size(i)) for i in range(len(self)))

    def image(self, index: int) -> Plane:
        """One image, ``[channels, H, W]`` in [-0.5, 0.5]."""
        return recoloured(centred(self.stored[index]), self.channels)

    def crop(self, index: int, top: int, left: int, height: int, width: int) -> Plane:
        """A window of one image, ``[channels, height, width]`` in [-0.5, 0.5]."""
        window = self.stored[index][:, top : top + height, left : left + width]
        return recoloured(centred(window), self.channels)

    def __iter__(self) -> Iterator[tuple[str, Plane]]:
        """Name and image of each."""
        return ((name, self.image(i)) for i, name in enumerate(self.names))

    def digest(self) -> str:
        """16 hex digits that stand for all names and pixels."""
        total = hashlib.sha256(f"{self.channels}".encode())
        for name, pixels in zip(self.names, self.stored, strict=True):
            total.update(f"{name} {pixels.dtype} {pixels.shape}".encode())
            total.update(np.ascontiguousarray(pixels).data)
        return total.hexdigest()[:16]


def read_folder(
    path: Path, *, channels: int | None = None, limit: int | None = None, emit: Emit = lambda event: None
) -> ImageFolder:
    """Read the PNG, JPEG, TIFF and EXR images and the slices of NIfTI volumes of a folder, by name, or of one file.

    Args:
        path: Folder or file.
        channels: 1 for grey (of colours the luma), 3 for colour (grey is repeated), None for colour if any image is.
        limit: Only so many images, the first ones.
        emit: Called with a note for each file that is skipped, and on what was converted.

    Raises:
        InputError: There is no such folder, none of its files is an image that can be used, there are fewer than
            ``limit``, or they do not fit into the memory.
    """
    names: list[str] = []
    stored: list[NDArray[Any]] = []
    skipped = 0
    room = psutil.virtual_memory().available // 2
    for file in image_files(path, (*PICTURES, *VOLUMES)):
        if limit is not None and len(names) >= limit:
            break
        try:
            found = _read(file)
        except ImageError as error:
            skipped += 1
            emit({"event": "note", "text": f"skipped: {error.what}"})
            continue
        for name, pixels, notes in found:
            if min(pixels.shape[1:]) < LEAST_PX:
                skipped += 1
                size = f"{pixels.shape[2]}x{pixels.shape[1]}"
                emit({"event": "note", "text": f"skipped: {name} has {size} px, and {LEAST_PX} are the least"})
                continue
            for note in notes:
                emit({"event": "note", "text": f"{name} {note}"})
            names.append(name)
            stored.append(pixels)
        room -= sum(pixels.nbytes for _, pixels, _ in found)
        if room < 0:
            raise InputError(f"the images in {path} do not fit into half the free memory", "Use fewer with --images")
    names, stored = names[:limit], stored[:limit]
    if not names:
        raise InputError(f"no image in {path} can be used ({skipped} skipped)", "Give a folder of PNG, JPEG or TIFF")
    if limit is not None and len(names) < limit:
        raise InputError(f"{path} has {len(names)} images, not {limit}", "Lower --images")
    if skipped:
        emit({"event": "note", "text": f"{skipped} file(s) of {path} were skipped, {len(names)} images are used"})
    coloured = sum(len(pixels) == 3 for pixels in stored)
    if channels is None and 0 < coloured < len(stored):
        grey = len(stored) - coloured
        emit({"event": "note", "text": f"{grey} grey image(s) among {coloured} of colour: grey is repeated"})
    return ImageFolder(path.name, tuple(names), tuple(stored), channels or (3 if coloured else 1), skipped)


def image_files(path: Path, suffixes: tuple[str, ...] = PICTURES) -> list[Path]:
    """The image files of a folder, by name; the file itself."""
    try:
        if path.is_file():
            return [path]
        known = (p for p in path.iterdir() if p.name.lower().endswith(suffixes) and not p.name.startswith("."))
        found = sorted(known)
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or '').lower()}", "Check the path") from error
    if not found:
        raise InputError(f"there is no image in {path}", f"Give a folder of {', '.join(suffixes)}")
    return found


def _read(file: Path) -> list[tuple[str, NDArray[Any], tuple[str, ...]]]:
    """Name, pixels and notes of each image in a file."""
    if file.name.lower().endswith(VOLUMES):
        slices = read_slices(file, size_px=SLICE_PX)
        return [(f"{file.name}.{i:03d}", uncentred(image), ()) for i, image in enumerate(slices)]
    if file.suffix.lower() in EXR:
        return [(file.name, *_read_exr(file))]
    picture = read_picture(file)
    dropped = ("has alpha, which is left out",) if picture.alpha is not None else ()
    return [(file.name, picture.pixels, (*picture.notes, *dropped))]


def _read_exr(file: Path) -> tuple[Plane, tuple[str, ...]]:
    _, _, radiance = read_colours(file)
    bad = ~np.isfinite(radiance)
    notes = (f"has {int(bad.sum())} values that are no numbers, which become 0",) if bad.any() else ()
    return np.where(bad, np.float32(0), radiance), notes
