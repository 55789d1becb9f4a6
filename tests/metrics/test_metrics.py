"""Laws of every entry of METRICS and TEMPORAL_METRICS: a newcomer is covered by its line in the dict."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rendernoise.errors import ImageError
from rendernoise.metrics import METRICS, TEMPORAL_METRICS, Metric, Reference
from rendernoise.metrics.flip import FlipExposures, flip_exposures

#: Metrics that leave the rule that every pair of finite images has a finite value, with where they do.
UNDEFINED = {("bias", "black reference"): math.isnan, ("bias", "both black"): math.isnan}
#: Metrics that do not care which of the two images is the reference.
SYMMETRIC = ("smape", "psnr", "ssim")

Images = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(params=[pytest.param(m, id=name) for name, m in METRICS.items()])
def metric(request: pytest.FixtureRequest) -> Metric:
    if request.param is METRICS["flip"]:
        pytest.importorskip("flip_evaluator", reason="HDR-FLIP needs the package flip-evaluator")
    return request.param


def is_worse(metric: Metric, value: float, than: float) -> bool:
    return value < than if metric.better == "higher" else abs(value) > abs(than)


def test_the_order_is_that_of_the_tables() -> None:
    assert list(METRICS) == ["trimmed_relmse", "relmse", "smape", "psnr", "ssim", "flip", "bias"]
    assert list(TEMPORAL_METRICS) == ["temporal"]


@pytest.mark.parametrize("name", METRICS | TEMPORAL_METRICS)
def test_a_description_is_one_line(name: str) -> None:
    described = (METRICS | TEMPORAL_METRICS)[name]
    assert described.label
    assert "\n" not in described.about
    assert 20 < len(described.about) < 130


@pytest.mark.parametrize("shape", [(3, 20, 25), (3, 1, 1), (3, 5, 30)])
def test_an_image_equals_itself(metric: Metric, noisy_pair: Images, shape: tuple[int, ...]) -> None:
    _, reference = noisy_pair(shape)
    assert metric.compute(reference, Reference(reference)) == metric.perfect


def test_noise_is_worse_than_none(metric: Metric, noisy_pair: Images) -> None:
    image, reference = noisy_pair()
    assert is_worse(metric, metric.compute(image, Reference(reference)), metric.perfect)


def test_more_noise_is_worse(metric: Metric, noisy_pair: Images) -> None:
    if metric.better == "zero":
        pytest.skip("the mean brightness does not grow with noise")
    image, reference = noisy_pair((3, 48, 64))
    values = [
        metric.compute(reference + np.float32(s) * (image - reference), Reference(reference))
        for s in (0.03, 0.1, 0.3, 1.0)
    ]
    assert all(is_worse(metric, b, a) for a, b in pairwise(values)), values


@pytest.mark.parametrize("exposures", [None, FlipExposures(-2.0, 1.5, 4)])
@pytest.mark.parametrize("known", [True, False])
def test_batching_does_not_change_a_value(
    metric: Metric, noisy_pair: Images, exposures: FlipExposures | None, known: bool
) -> None:
    image, reference = noisy_pair((4, 3, 13, 17))
    # The images of a batch differ in brightness, which must not leak from one to the other.
    scale = np.float32([1, 0.01, 30, 0]).reshape(4, 1, 1, 1) + np.float32(1e-3)
    image, reference = image * scale, reference * scale
    variance = reference * np.float32(0.01) if known else None
    together = metric.compute(image, Reference(reference, variance, exposures))
    alone = [
        metric.compute(image[n], Reference(reference[n], None if variance is None else variance[n], exposures))
        for n in range(len(image))
    ]
    assert all(isinstance(value, float) for value in alone)
    assert isinstance(together, np.ndarray)
    np.testing.assert_array_equal(together, alone, strict=True)


@pytest.mark.parametrize("case", ["black image", "black reference", "both black"])
@pytest.mark.parametrize("own", [True, False], ids=["own exposures", "exposures of the run"])
def test_black_images_have_a_finite_value(metric: Metric, noisy_pair: Images, case: str, own: bool) -> None:
    lit, other = noisy_pair()
    black = np.zeros_like(lit)
    image = lit if case == "black reference" else black
    reference = other if case == "black image" else black
    value = metric.compute(image, Reference(reference, flip=None if own else flip_exposures([reference, other])))
    name = next(n for n, m in METRICS.items() if m is metric)
    if (name, case) in UNDEFINED:
        assert UNDEFINED[name, case](value)
    elif case == "both black":
        assert value == metric.perfect
    else:
        assert math.isfinite(value)
        assert is_worse(metric, value, metric.perfect)


def test_negative_values_have_a_finite_value(metric: Metric, noisy_pair: Images) -> None:
    image, reference = noisy_pair()
    assert math.isfinite(metric.compute(image - 0.5, Reference(reference - np.float32(0.2))))


@pytest.mark.parametrize("peak", [1e-30, 1e4, 1e15, 3e37])
def test_any_brightness_has_a_value(metric: Metric, noisy_pair: Images, peak: float) -> None:
    """Finite, unless both are so bright that they are shown alike, which is the perfect value of PSNR."""
    image, reference = noisy_pair()
    scale = np.float32(peak / 10)
    with np.errstate(over="raise"):
        both = metric.compute(image * scale, Reference(reference * scale))
        assert math.isfinite(both) or both == metric.perfect
        assert math.isfinite(metric.compute(image * scale, Reference(reference)))


@pytest.mark.parametrize("name", ["relmse", "trimmed_relmse"])
def test_squared_errors_are_charged_less_where_the_reference_is_known_to_be_noisy(
    name: str, noisy_pair: Images
) -> None:
    image, reference = noisy_pair()
    variance = np.square(reference) * np.float32(0.01)
    unknown = METRICS[name].compute(image, Reference(reference))
    assert METRICS[name].compute(image, Reference(reference, variance)) < unknown


def test_flip_looks_where_the_reference_says(noisy_pair: Images) -> None:
    pytest.importorskip("flip_evaluator", reason="HDR-FLIP needs the package flip-evaluator")
    image, reference = noisy_pair()
    in_the_dark = METRICS["flip"].compute(image, Reference(reference, flip=FlipExposures(-9.0, -8.0, 2)))
    assert in_the_dark < 0.5 * METRICS["flip"].compute(image, Reference(reference))


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetry(name: str, noisy_pair: Images) -> None:
    image, reference = noisy_pair()
    forth = METRICS[name].compute(image, Reference(reference))
    assert METRICS[name].compute(reference, Reference(image)) == pytest.approx(forth, rel=1e-12)


def test_images_of_two_sizes_are_refused_rather_than_stretched(metric: Metric, noisy_pair: Images) -> None:
    image, reference = noisy_pair()
    with pytest.raises(ImageError, match=r"\(3, 1, 1\).*\(3, 20, 25\)"):
        metric.compute(image[:, :1, :1], Reference(reference))
    with pytest.raises(ImageError):
        metric.compute(image[None], Reference(reference))


def test_inputs_are_left_as_they_are(metric: Metric, noisy_pair: Images) -> None:
    image, reference = (v - np.float32(0.1) for v in noisy_pair())
    before = image.copy(), reference.copy()
    metric.compute(image, Reference(reference))
    np.testing.assert_array_equal((image, reference), before)


def test_the_description_costs_no_heavy_import(run_python: Callable[..., Any]) -> None:
    """``--help`` and the page ask for names and labels; they must not wait for torch."""
    heavy = ("torch", "scipy", "skimage", "flip_evaluator", "mitsuba")
    done = run_python(f"import sys, rendernoise.metrics; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr
