"""Where the images of a reproduction come from, and that none is trained on and tested at once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.errors import InputError
from rendernoise.io.image import write_png
from rendernoise.suite.allotment import WHOLE_SETS, EvaluationSize
from rendernoise.suite.material import head_slices, photographs, subset

needs_skimage = pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed")


def _silent(event: dict[str, Any]) -> None:
    pass


def _folder(path: Path, count: int, channels: int = 1, side_px: int = 40) -> Path:
    path.mkdir()
    rng = np.random.default_rng(count)
    for i in range(count):
        write_png(path / f"{i:02d}.png", rng.random((channels, side_px, side_px)))
    return path


def test_one_image_of_ten_is_kept_for_the_test(tmp_path: Path) -> None:
    found = photographs(_folder(tmp_path / "birds", 21), (), _silent)
    (test,) = found.tests
    assert test.names == ("00.png", "10.png", "20.png")
    assert len(found.train) == 18
    assert not set(found.train.names) & set(test.names)
    assert test.name == "birds (kept)"


def test_test_folders_keep_their_names_and_follow_the_training_images_into_grey(tmp_path: Path) -> None:
    train, colour = _folder(tmp_path / "train", 3), _folder(tmp_path / "kodak", 2, channels=3)
    found = photographs(train, (colour,), _silent)
    assert [(t.name, t.channels) for t in found.tests] == [("kodak (grey)", 1)]
    found = photographs(colour, (train,), _silent)
    assert [(t.name, t.channels) for t in found.tests] == [("train", 3)]
    assert [(t.name, t.channels) for t in found.in_grey().tests] == [("train (grey)", 1)]


def test_the_scale_takes_images_from_all_over_the_set_and_their_middle(tmp_path: Path) -> None:
    found = photographs(_folder(tmp_path / "a", 3), (_folder(tmp_path / "b", 8),), _silent)
    (test,) = found.tested(EvaluationSize(4, 36)).tests
    assert test.names == ("00.png", "02.png", "04.png", "06.png")
    assert test.size(0) == (36, 36)
    whole = found.tests[0].image(0)
    assert np.array_equal(test.image(0), whole[:, 2:38, 2:38])
    assert found.tested(WHOLE_SETS).tests[0].digest() == found.tests[0].digest()


def test_a_single_image_cannot_be_trained_on_and_tested(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--test DIR"):
        photographs(_folder(tmp_path / "one", 1), (), _silent)


def test_a_subset_keeps_pixels_and_names(tmp_path: Path) -> None:
    folder = photographs(_folder(tmp_path / "a", 5), (), _silent).train
    chosen = subset(folder, [2, 0], "other")
    assert chosen.names == (folder.names[2], folder.names[0])
    assert np.array_equal(chosen.image(0), folder.image(2))
    assert chosen.name == "other"


@needs_skimage
def test_without_data_the_images_of_scikit_image_are_used() -> None:
    found = photographs(None, (), _silent)
    assert found.train.channels == 3
    assert len(found.train) >= 5
    assert not set(found.train.names) & set(found.tests[0].names)
    assert "scikit-image" in found.about


def test_without_data_and_scikit_image_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="scikit-image"):
        photographs(None, (), _silent)
    with pytest.raises(InputError, match="nilearn"):
        head_slices(None, _silent)


@pytest.mark.skipif(
    importlib.util.find_spec("nilearn") is None or importlib.util.find_spec("nibabel") is None,
    reason="nilearn or nibabel is not installed",
)
def test_tested_slices_of_a_head_are_not_close_to_trained_ones(tmp_path: Path) -> None:
    said: list[dict[str, Any]] = []
    found = head_slices(tmp_path, said.append)
    assert "no NIfTI volume" in said[0]["text"]
    numbers = [[int(n.rpartition(".")[2]) for n in part.names] for part in (found.train, found.tests[0])]
    assert min(abs(a - b) for a in numbers[0] for b in numbers[1]) > 5
    assert found.train.size(0) == (255, 255)
    values = found.train.image(len(found.train) // 2)
    assert values.min() >= -0.5
    assert values.max() <= 0.5


@pytest.mark.skipif(importlib.util.find_spec("nibabel") is None, reason="nibabel is not installed")
def test_volumes_of_a_folder_are_kept_apart_whole(tmp_path: Path) -> None:
    import nibabel

    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        volume = nibabel.Nifti1Image(rng.random((40, 40, 3)).astype(np.float32), np.eye(4))
        nibabel.save(volume, tmp_path / f"{name}.nii.gz")
    found = head_slices(tmp_path, _silent)
    assert {n.partition(".")[0] for n in found.tests[0].names} == {"a"}
    assert {n.partition(".")[0] for n in found.train.names} == {"b", "c"}
