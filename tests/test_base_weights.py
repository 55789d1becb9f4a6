"""The base weights: there, whole, and better than nothing on frames of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rendernoise
from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError
from rendernoise.frame import Frame, FramePair
from rendernoise.guard import merge_halves
from rendernoise.job import starting_weights
from rendernoise.networks import DEFAULT_NETWORK, NETWORKS
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.weights import BASE, base_path

FOLDER = Path(rendernoise.__file__).parent / "weights"


@pytest.fixture(scope="module", params=BASE)
def base(request: pytest.FixtureRequest) -> Denoiser:
    return Denoiser.load(base_path(request.param), "cpu")


def relmse(image: np.ndarray, truth: np.ndarray) -> float:
    return float((np.square(image.astype(np.float64) - truth) / (np.square(truth) + 0.01)).mean())


def test_the_default_network_has_base_weights_and_all_are_listed() -> None:
    assert DEFAULT_NETWORK in BASE
    assert set(BASE) <= set(NETWORKS)
    assert sorted(p.stem for p in FOLDER.glob("*.safetensors")) == sorted(BASE)
    assert sum(p.stat().st_size for p in FOLDER.glob("*.safetensors")) <= 10e6


def test_they_are_what_they_are_called(base: Denoiser) -> None:
    spec = base.model.spec
    assert spec.network in BASE
    assert spec.bears_absence
    assert spec == replace(spec, planes=NETWORKS[spec.network].planes)
    assert base.provenance["training"] == "Noise2Noise"


def test_networks_without_are_told_apart() -> None:
    for network in sorted(set(NETWORKS) - set(BASE)):
        with pytest.raises(InputError, match=f"there are no base weights of {network}. Use --network {BASE[0]}"):
            base_path(network)
        assert starting_weights(None, network) is None
        with pytest.raises(InputError, match="no base weights"):
            starting_weights("base", network)


def test_they_are_where_training_starts_unless_told_otherwise() -> None:
    for weights, network in ((None, None), ("base", None), (None, DEFAULT_NETWORK), ("base", DEFAULT_NETWORK)):
        loaded = starting_weights(weights, network)
        assert loaded is not None
        assert loaded.model.spec.network == DEFAULT_NETWORK
    assert starting_weights("none", DEFAULT_NETWORK) is None
    with pytest.raises(InputError, match=f"holds a {DEFAULT_NETWORK}, not a unet"):
        starting_weights(str(base_path(DEFAULT_NETWORK)), "unet")


def lit_sky(frame: Frame) -> Frame:
    """The sky's albedo is 1 as far as it is bright in our renders; the analytic renderer has 0 there."""
    albedo = frame.planes["albedo"].copy()
    albedo[:, (albedo == 0).all(0)] = 1
    return frame.with_planes(albedo=albedo)


@pytest.mark.parametrize("noise", ["gamma", "firefly"])
def test_they_denoise_what_they_never_saw(base: Denoiser, noise: str) -> None:
    renderer = AnalyticRenderer((192, 128), noise=noise)  # pyright: ignore[reportArgumentType]
    pair = FramePair.of_halves(*(lit_sky(renderer.render(View(1), spp=4, seed=i)) for i in range(2)))
    denoised, noisy = merge_halves(pair, *base.halves(pair))
    truth = renderer.reference(View(1))
    assert relmse(denoised.radiance, truth) < 0.7 * relmse(noisy, truth)


BAD: dict[str, Callable[[Frame], Frame]] = {
    "black": lambda f: f.with_planes(radiance=np.zeros_like(f.radiance)),
    "constant": lambda f: f.with_planes(radiance=np.full_like(f.radiance, 0.7)),
    "colour alone": lambda f: replace(f, planes={"radiance": f.radiance}),
    "no albedo": lambda f: replace(f, planes={n: f.planes[n] for n in ("radiance", "normal")}),
    "black albedo": lambda f: f.with_planes(albedo=np.zeros_like(f.planes["albedo"])),
    "wild features": lambda f: f.with_planes(albedo=f.planes["albedo"] * 1e9, normal=f.planes["normal"] * -1e9),
    "features that are lost": lambda f: f.with_planes(albedo=np.full_like(f.planes["albedo"], np.nan)),
    "fireflies": lambda f: f.with_planes(radiance=spoilt(f.radiance, 1e6)),
    "the largest floats": lambda f: f.with_planes(radiance=spoilt(f.radiance, 3.4e38)),
    "negative samples": lambda f: f.with_planes(radiance=spoilt(f.radiance, -5.0)),
    "lost samples": lambda f: f.with_planes(radiance=spoilt(f.radiance, np.nan)),
    "infinite samples": lambda f: f.with_planes(radiance=spoilt(f.radiance, np.inf)),
    "nothing but lost samples": lambda f: f.with_planes(radiance=np.full_like(f.radiance, np.nan)),
}


def spoilt(radiance: np.ndarray, value: float) -> np.ndarray:
    copy = radiance.copy()
    copy[:, ::7, ::5] = value
    return copy


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (50, 41)])
@pytest.mark.parametrize("case", BAD)
def test_whatever_a_frame_holds_the_result_is_finite_and_positive(
    base: Denoiser, case: str, size: tuple[int, int]
) -> None:
    frame = BAD[case](AnalyticRenderer(size).render(View(1), spp=1, seed=0))
    result = base.radiance(frame)
    assert result.shape == frame.radiance.shape
    assert np.isfinite(result).all()
    assert (result >= 0).all()


def test_black_stays_black_and_a_constant_stays_one(base: Denoiser) -> None:
    frame = AnalyticRenderer((64, 48)).render(View(1), spp=1, seed=0)
    assert float(base.radiance(BAD["black"](frame)).max()) < 0.05
    flat = base.radiance(BAD["constant"](frame))
    assert float(flat.mean()) == pytest.approx(0.7, rel=0.3)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_result_scales_with_the_exposure(base: Denoiser, scale: float) -> None:
    frame = AnalyticRenderer((64, 48), noise="firefly").render(View(1), spp=2, seed=0)
    exact = Denoiser(base.model, autocast=False)
    one, other = (exact.radiance(f) for f in (frame, frame.with_planes(radiance=frame.radiance * np.float32(scale))))
    assert np.allclose(other, one * np.float32(scale), rtol=2e-3, atol=0)
