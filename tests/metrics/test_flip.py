from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rendernoise.errors import InputError
from rendernoise.metrics.flip import FlipExposures, flip, flip_exposures

Images = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def package() -> Any:
    return pytest.importorskip("flip_evaluator", reason="HDR-FLIP needs the package flip-evaluator")


def interleaved(plane: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(plane.transpose(1, 2, 0))


def aces(x: np.ndarray) -> np.ndarray:
    """Narkowicz 2015 with the exposure of 0.6 that FLIP puts before it, clipped."""
    x = 0.6 * x
    return np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)


# Half of the pixels and more are black in the last; the even count asks which of two middle pixels is the median.
REFERENCES = {"plain": (1.0, 0.0), "dim": (1e-3, 0.0), "bright": (50.0, 0.0), "half black": (1.0, 0.75)}


def reference_of(kind: str, noisy_pair: Images, shape: tuple[int, ...] = (3, 20, 25)) -> np.ndarray:
    scale, black = REFERENCES[kind]
    reference = noisy_pair(shape)[1] * np.float32(scale)
    reference[:, : int(shape[1] * black)] = 0
    return reference


@pytest.mark.parametrize("kind", REFERENCES)
def test_one_reference_gets_the_exposures_of_the_package(package: Any, noisy_pair: Images, kind: str) -> None:
    for shape in ((3, 20, 25), (3, 5, 7), (3, 1, 1)):
        reference = reference_of(kind, noisy_pair, shape)
        if not reference.any():
            continue
        hwc = interleaved(reference)
        _, _, chosen = package.evaluate(hwc, hwc, "HDR", applyMagma=False)
        ours = flip_exposures([reference])
        assert ours.start == pytest.approx(chosen["startExposure"], abs=1e-5)
        assert ours.stop == pytest.approx(chosen["stopExposure"], abs=1e-5)
        assert ours.count == chosen["numExposures"]


@pytest.mark.parametrize("kind", REFERENCES)
def test_against_the_package_with_its_defaults(package: Any, noisy_pair: Images, kind: str) -> None:
    """Within 1e-4: exposures differ by up to 1e-5 EV, and its mean is taken in single precision."""
    reference = reference_of(kind, noisy_pair)
    image = reference * noisy_pair(seed=8)[0]
    _, theirs, _ = package.evaluate(interleaved(reference), interleaved(image), "HDR", applyMagma=False)
    assert flip(image, reference) == pytest.approx(theirs, abs=1e-4)
    assert flip(image, reference, flip_exposures([reference])) == flip(image, reference)


def test_figure_of_the_package(package: Any, firefly_pair: tuple[np.ndarray, np.ndarray]) -> None:
    """What flip-evaluator 1.7 gave for this pair: a change of its defaults must not pass unseen."""
    assert flip(*firefly_pair) == pytest.approx(0.14600728452205658, abs=1e-4)


def test_it_is_the_worst_error_over_the_exposures(package: Any, noisy_pair: Images) -> None:
    """Exposed and tone-mapped here, compared as screen images, the maximum taken per pixel. Single precision: 1e-4."""
    image, reference = noisy_pair()
    exposures = FlipExposures(-2.0, 1.0, 4)
    errors = []
    for ev in (-2.0, -1.0, 0.0, 1.0):
        x, r = (interleaved(aces(v.astype(np.float64) * 2**ev)).astype(np.float32) for v in (image, reference))
        errors.append(package.evaluate(r, x, "LDR", inputsRGB=False, applyMagma=False)[0])
    assert flip(image, reference, exposures) == pytest.approx(float(np.max(errors, axis=0).mean()), abs=1e-4)


def test_exposures_by_hand() -> None:
    # ACES shows 2.11887 as 0.85: 1 + 0.0833 EV above 1, so 4 is brought there by -0.9167 EV.
    x = 2.0**1.0832970
    assert aces(np.array(x)) == pytest.approx(0.85, abs=1e-6)
    white, grey = np.full((3, 2, 2), 4, np.float32), np.full((3, 3, 3), 0.5, np.float32)
    together = flip_exposures([white, grey])
    assert together.start == pytest.approx(math.log2(x / 4), abs=1e-5)
    assert together.stop == pytest.approx(math.log2(x / 0.5), abs=1e-5)
    assert together.count == 3
    assert flip_exposures(iter([white, grey])) == together
    alone = flip_exposures([white])
    assert alone.start == alone.stop == together.start
    assert alone.count == 2


def test_the_exposures_of_many_are_those_of_one_strip(noisy_pair: Images) -> None:
    frames = [noisy_pair((3, 6, w), seed=w)[1] * np.float32(w) for w in (1, 5, 30)]
    assert flip_exposures(frames) == flip_exposures([np.concatenate(frames, axis=2)])


def test_black_references_are_looked_at_as_they_are() -> None:
    black = np.zeros((3, 4, 4), np.float32)
    assert flip_exposures([black, -black]) == flip_exposures([black - 1]) == FlipExposures(0.0, 0.0, 2)


def test_a_run_in_which_most_is_black_or_next_to_it_keeps_its_order() -> None:
    """The package ends the whole process when the start lies above the stop, as it would choose here."""
    for value in (1e-38, 1e-10, 1e-7, 1e-6):
        exposures = flip_exposures([np.full((3, 2, 2), value, np.float32)])
        assert exposures.start <= exposures.stop <= 24.1


@pytest.mark.parametrize("bad", [(1.0, 0.0, 2), (0.0, 1.0, 1), (0.0, math.inf, 2), (math.nan, 0.0, 2)])
def test_exposures_that_the_package_cannot_use_are_refused(bad: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="series of exposures"):
        FlipExposures(*bad)


def test_why_exposures_are_pinned(package: Any) -> None:
    """The dark part of a picture, alone, is exposed higher: the same pixels get another error. Pinned, they keep it."""
    rng = np.random.default_rng(2)
    reference = rng.gamma(4.0, 0.25, (3, 48, 96)).astype(np.float32)
    reference[:, :, :48] *= 0.02
    image = reference * rng.gamma(4.0, 0.25, reference.shape).astype(np.float32)
    dark = (slice(None), slice(None), slice(0, 48))

    pinned = flip_exposures([reference])
    own = flip_exposures([reference[dark]])
    assert own.start > pinned.start + 3

    _, automatic, _ = package.evaluate(
        interleaved(reference[dark]), interleaved(image[dark]), "HDR", applyMagma=False, computeMeanError=True
    )
    errors, _, _ = package.evaluate(interleaved(reference), interleaved(image), "HDR", applyMagma=False)
    # FLIP sees a few pixels around each: the seam is left out of the comparison.
    in_place = float(errors[:, :36].mean())
    crop = flip(image[dark], reference[dark], pinned)
    assert crop == pytest.approx(in_place, rel=0.03)
    assert abs(automatic - in_place) > 0.2 * in_place


def test_negative_values_count_as_black(package: Any, noisy_pair: Images) -> None:
    image, reference = (v - np.float32(0.7) for v in noisy_pair())
    assert (reference < 0).any()
    assert flip(image, reference) == flip(np.maximum(image, 0), np.maximum(reference, 0))


def test_exposed_to_the_limit_it_stays_finite(package: Any, noisy_pair: Images) -> None:
    """A firefly at 24 EV would be squared to infinity in single precision, and come back as NaN or as no error."""
    image, reference = noisy_pair()
    image[:, 3, 3] = 1e38
    exposures = FlipExposures(1.0, 24.0, 5)
    brighter = image.copy()
    brighter[:, 3, 3] = 1e9
    assert flip(image, reference, exposures) == pytest.approx(flip(brighter, reference, exposures), abs=1e-6)


def test_it_is_silent(package: Any, noisy_pair: Images, capfd: pytest.CaptureFixture[str]) -> None:
    """Stdout carries events with ``--json``; the package writes from C++, past ``sys.stdout``."""
    image, reference = noisy_pair()
    flip(image, reference)
    flip(np.zeros_like(image), np.zeros_like(image))
    assert capfd.readouterr() == ("", "")


def test_the_number_of_threads_changes_nothing(
    package: Any, run_python: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import numpy as np
from rendernoise.metrics.flip import flip
rng = np.random.default_rng(0)
r = rng.gamma(1, 1, (3, 60, 90)).astype(np.float32)
print(flip(r * rng.gamma(2, 0.5, r.shape).astype(np.float32), r).hex())
"""
    figures = set()
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        figures.add(run_python(code).stdout)
    assert len(figures) == 1
    assert figures.pop().startswith("0x")


def test_without_the_package_the_cure_is_named(monkeypatch: pytest.MonkeyPatch, noisy_pair: Images) -> None:
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(InputError, match=r'flip-evaluator.*pip install "rendernoise\[bench\]"'):
        flip(*noisy_pair())
    flip_exposures([noisy_pair()[1]])  # needs no package


def test_non_finite_pixels_are_the_callers_business(noisy_pair: Images) -> None:
    image, reference = noisy_pair()
    image[0, 0, 0] = np.nan
    with pytest.raises(AssertionError, match="NaN"):
        flip(image, reference)
