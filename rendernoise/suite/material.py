"""The images of ``suite reproduce``: of ``--data``, or those that installed packages carry; nothing is downloaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rendernoise.errors import InputError
from rendernoise.frame import Plane
from rendernoise.io.image_folder import ImageFolder, read_folder
from rendernoise.io.nifti import read_slices
from rendernoise.job import Emit
from rendernoise.suite.allotment import EvaluationSize

#: Photographs in the wheel of scikit-image (others are fetched when they are asked for, which we do not).
_TEST_PHOTOGRAPHS = ("astronaut.png", "coffee.png", "rocket.jpg")
_TRAIN_PHOTOGRAPHS = (
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
)
#: A head in the wheel of nilearn.
_HEAD = Path("datasets", "data", "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
_VOLUMES = ("*.nii", "*.nii.gz")
#: One of so many images is kept for the test where no --test is given.
_HELD_OUT = 10
#: Slices on both sides of a tested one that nothing is trained on: neighbours look alike.
_GAP_SLICES = 5
#: Of the side of slices, as in Noise2Noise, section 3.4.
SLICE_PX = 255


@dataclass(frozen=True)
class Material:
    """What an experiment trains and measures on.

    Args:
        train: Training images.
        tests: Sets of test images, none of them trained on.
        about: Where they come from, in one line.
    """

    train: ImageFolder
    tests: tuple[ImageFolder, ...]
    about: str

    def tested(self, size: EvaluationSize) -> Material:
        """With so many and so large test images."""
        return replace(self, tests=tuple(_cut(folder, size) for folder in self.tests))

    def in_grey(self) -> Material:
        """All of it in grey, colour sets under a name that says so."""
        return replace(self, train=_grey(self.train), tests=tuple(_grey(folder) for folder in self.tests))


def subset(folder: ImageFolder, indices: Iterable[int], name: str | None = None) -> ImageFolder:
    """Some images of a folder."""
    chosen = list(indices)
    names, stored = (tuple(values[i] for i in chosen) for values in (folder.names, folder.stored))
    return replace(folder, name=name or folder.name, names=names, stored=stored)


def photographs(data: Path | None, tests: Sequence[Path], emit: Emit) -> Material:
    """Images of folders, or of scikit-image.

    Args:
        data: Training images; None for those that scikit-image carries.
        tests: Folders of test images; where there are none, one image of ten in ``data``.
        emit: Called with a note for each file that is skipped.

    Raises:
        InputError: No images there, too few to keep any for the test, or no scikit-image.
    """
    if data is None:
        return _packaged_photographs(emit)
    folder = read_folder(data, emit=emit)
    if tests:
        sets = tuple(_like(read_folder(test, emit=emit), folder.channels) for test in tests)
        return Material(folder, sets, f"{data.name}, {len(folder)} images")
    if len(folder) < 2:
        raise InputError(f"{data} has one image, of which none can be kept for the test", "Give --test DIR")
    held = range(0, len(folder), _HELD_OUT)
    rest = subset(folder, (i for i in range(len(folder)) if i not in held))
    about = f"{data.name}, {len(rest)} images, {len(held)} others kept for the test"
    return Material(rest, (subset(folder, held, f"{data.name} (kept)"),), about)


def _packaged_photographs(emit: Emit) -> Material:
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise InputError("without --data the images of scikit-image are used, which is not installed", _GET_SKIMAGE)
    place = Path(found.submodule_search_locations[0]) / "data"
    train, test = (
        _joined(f"scikit-image{suffix}", [place / name for name in names if (place / name).exists()], emit)
        for names, suffix in ((_TRAIN_PHOTOGRAPHS, ""), (_TEST_PHOTOGRAPHS, " (kept)"))
    )
    return Material(train, (test,), f"scikit-image's own images, {len(train)}, and {len(test)} others for the test")


_GET_SKIMAGE = "pip install scikit-image, or give --data DIR"


def _joined(name: str, files: Sequence[Path], emit: Emit) -> ImageFolder:
    if not files:
        raise InputError("this version of scikit-image carries none of the images that are used", "Give --data DIR")
    parts = [read_folder(file, channels=3, emit=emit) for file in files]
    names = tuple(n for part in parts for n in part.names)
    return ImageFolder(name, names, tuple(pixels for part in parts for pixels in part.stored), 3)


def head_slices(data: Path | None, emit: Emit) -> Material:
    """Slices of the NIfTI volumes in a folder, or of the head that nilearn carries.

    Args:
        data: Folder of volumes; one without any, or None, for nilearn's.
        emit: Called with notes.

    Raises:
        InputError: There are neither volumes nor nilearn, or nibabel is missing.
    """
    volumes = sorted(file for pattern in _VOLUMES for file in data.glob(pattern)) if data and data.is_dir() else []
    if len(volumes) > 1:
        held = volumes[:: max(_HELD_OUT, 2)]
        train = _slices("ixi" if "ixi" in str(data).lower() else data.name, [v for v in volumes if v not in held])  # pyright: ignore[reportOptionalMemberAccess]
        test = _slices(train.name, held)
        return Material(train, (test,), f"{len(volumes) - len(held)} volumes of {data}, {len(held)} for the test")
    if volumes:
        return _one_head(_slices(volumes[0].name.split(".")[0], volumes), volumes[0].name)
    if data is not None:
        emit({"event": "note", "text": f"no NIfTI volume in {data}: mri takes the head that nilearn carries"})
    found = importlib.util.find_spec("nilearn")
    if found is None or not found.submodule_search_locations:
        raise InputError("mri needs a head, and nilearn, which carries one, is not installed", _GET_NILEARN)
    file = Path(found.submodule_search_locations[0]) / _HEAD
    if not file.exists():
        raise InputError("this version of nilearn carries no T1 template", "Give --data DIR of NIfTI volumes")
    return _one_head(_slices("nilearn's T1 template", [file]), "nilearn's T1 template")


_GET_NILEARN = "pip install nilearn, or give --data DIR of NIfTI volumes"


def _one_head(head: ImageFolder, name: str) -> Material:
    """Train and test on slices of one head that are not close to each other."""
    tested = range(_GAP_SLICES, len(head), 4 * _GAP_SLICES)
    far = (i for i in range(len(head)) if all(abs(i - t) > _GAP_SLICES for t in tested))
    train = subset(head, far)
    about = f"{name}, {len(train)} slices, {len(tested)} others of the same head for the test"
    return Material(train, (subset(head, tested, f"{name} (kept)"),), about)


def _slices(name: str, volumes: Sequence[Path]) -> ImageFolder:
    listed: list[tuple[str, Plane]] = []
    for file in volumes:
        stem = file.name.split(".")[0]
        listed += [(f"{stem}.{i:03d}", image) for i, image in enumerate(read_slices(file, size_px=SLICE_PX))]
    stored = tuple(image + np.float32(0.5) for _, image in listed)
    return ImageFolder(name, tuple(n for n, _ in listed), stored, 1)


def _also(name: str, word: str) -> str:
    """A name with one more word in parentheses at its end."""
    return f"{name[:-1]}, {word})" if name.endswith(")") else f"{name} ({word})"


def _cut(folder: ImageFolder, size: EvaluationSize) -> ImageFolder:
    count = min(len(folder), size.images or len(folder))
    # Spread over the names: neighbours in a set are often alike.
    chosen = [i * len(folder) // count for i in range(count)]
    smaller = subset(folder, chosen)
    return (
        smaller
        if size.side_px is None
        else replace(smaller, stored=tuple(_middle(p, size.side_px) for p in smaller.stored))
    )


def _middle(pixels: Plane, side_px: int) -> Plane:
    top, left = (max(0, (n - side_px) // 2) for n in pixels.shape[1:])
    return pixels[:, top : top + side_px, left : left + side_px]


def _like(folder: ImageFolder, channels: int) -> ImageFolder:
    return replace(folder, channels=3) if channels == 3 else _grey(folder)


def _grey(folder: ImageFolder) -> ImageFolder:
    """In grey; the papers' figures of colour sets are not of these."""
    return folder if folder.channels == 1 else replace(folder, channels=1, name=_also(folder.name, "grey"))
