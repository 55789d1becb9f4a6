from __future__ import annotations

import inspect
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from rendernoise.errors import InputError
from rendernoise.frame import PLANE_CHANNELS
from rendernoise.render import RENDERERS, renderer_class
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import Camera, View, look_at

NOISES = ["gamma", "firefly"]
VIEW = View(3)

# All seeds are fixed, so a test either always passes or always fails. This is the chance that a correct renderer
# would have failed one of them with the seeds that were picked.
FALSE_ALARM = 1e-3


def limit(tests: int) -> float:
    """The |z| that the largest of so many independent normal values exceeds with FALSE_ALARM (Šidák)."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(1 - (1 - (1 - FALSE_ALARM) ** (1 / tests)) / 2)


def z_of(values: NDArray[np.floating], expected: float) -> float:
    """How many standard errors the mean of independent values lies off what is expected."""
    return float((values.mean() - expected) / (values.std(ddof=1) / np.sqrt(values.size)))


def errors(renderer: AnalyticRenderer, spp: int, seeds: range) -> NDArray[np.floating]:
    """Noise in units of the true standard deviation, ``[seeds, 3, H, W]``."""
    reference = renderer.reference(VIEW).astype(np.float64)
    deviation = np.sqrt(renderer.variance(VIEW, spp).astype(np.float64))
    return np.stack([(renderer.render(VIEW, spp=spp, seed=s).radiance - reference) / deviation for s in seeds])


@pytest.mark.parametrize("noise", NOISES)
def test_mean_is_the_reference_in_every_pixel(noise):
    # So many samples that a pixel's mean is normal even with fireflies; a draw costs the same at any spp.
    noisy = errors(AnalyticRenderer((32, 24), noise=noise), spp=2**20, seeds=range(16))
    z = noisy.mean(axis=0) * np.sqrt(len(noisy))
    assert np.abs(z).max() < limit(z.size)
    assert z.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("spp", [1, 2, 16, 256])
def test_mean_and_variance_are_right_at_few_samples(noise, spp):
    noisy = errors(AnalyticRenderer((64, 48), noise=noise), spp=spp, seeds=range(100, 140))
    # Fireflies are shared by the channels, so pixels are what is independent.
    assert abs(z_of(noisy.mean(axis=1), 0)) < limit(16)
    assert abs(z_of((noisy**2).mean(axis=1), 1)) < limit(16)
    assert (noisy**2).mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("seeds", [(0, 1), (1, 2), (0, 2**63), (2**32, 2**32 + 1), (5, 5 + 2**32)])
def test_different_seeds_are_independent(noise, seeds):
    renderer = AnalyticRenderer((128, 96), noise=noise)
    # With few samples, two fireflies meet in too few pixels for the mean of the products to be normal.
    a, b = (errors(renderer, 4096, range(s, s + 1))[0] for s in seeds)
    assert abs(z_of((a * b).mean(axis=0), 0)) < limit(20)
    assert abs(z_of((a[:, :, 1:] * b[:, :, :-1]).mean(axis=0), 0)) < limit(20)


def test_a_half_with_itself_would_fail_the_independence_test():
    (a,) = errors(AnalyticRenderer((128, 96), noise="gamma"), 4096, range(1))
    assert z_of((a * a).mean(axis=0), 0) > 5 * limit(20)


@pytest.mark.parametrize("noise", NOISES)
def test_same_seed_same_frame_other_seed_other_frame(noise):
    renderer = AnalyticRenderer((7, 5), noise=noise)
    once, again = (renderer.render(VIEW, spp=4, seed=2**63) for _ in range(2))
    for name, plane in once.planes.items():
        np.testing.assert_array_equal(plane, again.planes[name])
    assert (once.radiance != renderer.render(VIEW, spp=4, seed=2**63 + 1).radiance).mean() > 0.9
    assert (once.spp, once.number, once.seed) == (4, 3, 2**63)


def test_fireflies_have_a_heavy_tail():
    gamma, firefly = (errors(AnalyticRenderer((64, 48), noise=n), 16, range(4)).ravel() for n in ("gamma", "firefly"))
    assert (firefly > 5).mean() > 3 * (gamma > 5).mean()
    assert np.median(firefly) < 0


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (5, 3), (64, 48)])
@pytest.mark.parametrize("noise", NOISES)
def test_planes_of_any_size(size, noise):
    width, height = size
    renderer = AnalyticRenderer(size, noise=noise)
    frame = renderer.render(VIEW, spp=1, seed=0)
    assert set(frame.planes) == {"radiance", "albedo", "normal", "depth", "position"}
    for name, plane in frame.planes.items():
        assert plane.shape == (PLANE_CHANNELS[name], height, width)
        assert np.isfinite(plane).all()
    assert frame.radiance.min() >= 0
    assert renderer.reference(VIEW).min() > 0
    assert renderer.variance(VIEW, 1).shape == (3, height, width)


def test_features_describe_the_first_hit():
    renderer = AnalyticRenderer((64, 48))
    eye = np.array([1.0, 2.0, 5.0])
    frame = renderer.render(View(1, Camera(look_at(eye, (0, 0.5, 0)), 60.0)), spp=1, seed=0)
    albedo, normal, depth, position = (frame.planes[n] for n in ("albedo", "normal", "depth", "position"))
    hit = depth[0] > 0
    assert 0.1 < hit.mean() < 0.95  # both the sky and the scene are in the picture
    for plane in (albedo, normal, position):
        assert not plane[:, ~hit].any()
    np.testing.assert_allclose(np.linalg.norm(normal[:, hit], axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(position[:, hit] - eye[:, None], axis=0), depth[0, hit], rtol=1e-5)
    assert 0 < albedo[:, hit].min() < 0.3 < 0.7 < albedo[:, hit].max() <= 1
    towards = ((eye[:, None] - position[:, hit]) * normal[:, hit]).sum(axis=0)
    assert (towards > 0).all()


def test_radiance_is_the_same_from_everywhere():
    renderer = AnalyticRenderer((48, 36))
    frame, reference = renderer.render(VIEW, spp=1, seed=0), renderer.reference(VIEW)
    compared = 0
    for row, column in np.random.default_rng(7).integers((0, 0), (36, 48), (60, 2)).tolist():
        point = frame.planes["position"][:, row, column].astype(np.float64)
        if not point.any():
            continue
        view = View(VIEW.frame, Camera(look_at((2.5, 3.5, 5.5), point), 10.0))
        single = AnalyticRenderer((1, 1))
        if np.linalg.norm(single.render(view, spp=1, seed=0).planes["position"][:, 0, 0] - point) < 1e-4:
            compared += 1
            np.testing.assert_allclose(single.reference(view)[:, 0, 0], reference[:, row, column], rtol=2e-2)
    assert compared > 20


def test_only_the_ball_moves_under_a_fixed_camera():
    renderer = AnalyticRenderer((64, 48))
    camera = Camera(look_at((0, 2, 5), (0, 0.5, 0)), 60.0)
    now, later = (renderer.reference(View(f, camera)) for f in (1, 11))
    assert 0.005 < (now != later).any(axis=0).mean() < 0.2
    drifted = renderer.reference(View(1)) != renderer.reference(View(2))
    assert drifted.any(axis=0).mean() > 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": (0, 4)},
        {"noise": "white"},
        {"shape": 0.0},
        {"probability": 0.0},
        {"probability": 0.02, "brightness": 50.0},
        {"brightness": 0.5},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(InputError):
        AnalyticRenderer(**options)


def test_bad_renders_are_refused():
    renderer = AnalyticRenderer()
    with pytest.raises(InputError):
        renderer.render(VIEW, spp=0, seed=0)
    with pytest.raises(InputError):
        renderer.variance(VIEW, 0)
    with pytest.raises(InputError):
        renderer.render(VIEW, spp=1, seed=-1)


@pytest.mark.parametrize("name", RENDERERS)
def test_every_renderer_keeps_the_protocol(name):
    render = inspect.signature(renderer_class(name).render).parameters
    assert list(render) == ["self", "view", "spp", "seed"]
    assert render["spp"].kind is render["seed"].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(inspect.signature(renderer_class(name).close).parameters) == ["self"]


def test_unknown_renderer_names_the_known_ones():
    with pytest.raises(InputError, match="mitsuba, analytic"):
        renderer_class("povray")
    assert set(NOISES) == set(get_args(inspect.get_annotations(AnalyticRenderer, eval_str=True)["noise"]))
