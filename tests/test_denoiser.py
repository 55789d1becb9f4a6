"""The denoiser on frames of every size; that it is what was trained is law 4, and its file law 7 (tests/laws)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from rendernoise import denoiser as module
from rendernoise.denoiser import TILE_PX, Denoiser, merge_halves, pick_device
from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame, FramePair
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import NETWORKS

PLANES = ("radiance", "albedo", "normal")


def denoiser(network: str = "fast") -> Denoiser:
    torch.manual_seed(3)
    return Denoiser(DenoisingModel(ModelSpec.default(network, PLANES)))


def same_picture(one: np.ndarray, other: np.ndarray) -> bool:
    """Within 1e-4 of each value; where a linear head gives about 0, of the mean."""
    return bool(np.allclose(one, other, rtol=1e-4, atol=1e-4 * float(np.abs(other).mean())))


@pytest.mark.parametrize(
    ("network", "size"),
    [*((n, s) for n in sorted(NETWORKS) for s in ((60, 683), (689, 33))), ("fast", (470, 435))],
)
def test_tiles_give_the_picture_of_the_whole_frame(
    network: str, size: tuple[int, int], random_pair: Callable[..., FramePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = random_pair(*size).input
    made = denoiser(network)
    whole = made.radiance(frame)
    monkeypatch.setattr(module, "WHOLE_FRAME_PX", 1)
    monkeypatch.setattr(module, "TILE_PX", 160)
    assert same_picture(made.radiance(frame), whole)
    monkeypatch.setattr(type(made.model.network), "reach_px", 32)
    assert not same_picture(made.radiance(frame), whole), "else this test could not fail"


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_tiles_start_where_pooling_windows_do(
    network: str, random_pair: Callable[..., FramePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = random_pair(33, 720).input
    made = denoiser(network)
    assert TILE_PX % 32 == 0
    assert made.model.network.reach_px % 32 == 0
    whole = made.radiance(frame)
    monkeypatch.setattr(module, "WHOLE_FRAME_PX", 1)
    monkeypatch.setattr(module, "TILE_PX", 150)
    assert not same_picture(made.radiance(frame), whole), "else this test could not fail"


def test_no_tile_is_larger_than_a_frame_that_is_taken_whole() -> None:
    assert all((TILE_PX + 2 * kind.reach_px) ** 2 <= module.WHOLE_FRAME_PX for kind in NETWORKS.values())


def test_tiles_bear_absence_too(random_pair: Callable[..., FramePair], monkeypatch: pytest.MonkeyPatch) -> None:
    frame = random_pair(40, 700).input
    frame = replace(frame, planes={"radiance": frame.radiance})
    made = denoiser()
    whole = made.radiance(frame)
    monkeypatch.setattr(module, "WHOLE_FRAME_PX", 1)
    monkeypatch.setattr(module, "TILE_PX", 160)
    assert same_picture(made.radiance(frame), whole)


@pytest.mark.parametrize("network", sorted(NETWORKS))
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 5), (33, 31)])
def test_frames_of_any_size(size: tuple[int, int], network: str, random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair(*size).input
    result = denoiser(network)(frame)
    assert result.radiance.shape == (3, *size)
    assert result.radiance.dtype == np.float32
    assert np.isfinite(result.radiance).all()
    assert result.planes["albedo"] is frame.planes["albedo"]
    assert (result.number, result.spp) == (frame.number, frame.spp)


def test_a_black_frame_and_a_very_bright_one() -> None:
    flat = {n: np.zeros((3, 8, 8), np.float32) for n in PLANES}
    for value in (0.0, 1e6):
        result = denoiser().radiance(Frame({**flat, "radiance": np.full((3, 8, 8), value, np.float32)}))
        assert np.isfinite(result).all()
        assert (result >= 0).all()


@pytest.mark.parametrize("network", [n for n in sorted(NETWORKS) if NETWORKS[n].exposure == "auto"])
def test_exposure_makes_the_result_follow_the_scale(network: str, random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair().input
    made = denoiser(network)
    one, other = made.radiance(frame), made.radiance(frame.with_planes(radiance=frame.radiance * np.float32(64)))
    assert np.allclose(other, 64 * one, rtol=1e-4)


def test_missing_planes_are_named() -> None:
    with pytest.raises(ImageError, match="frame 7 has no albedo, normal"):
        denoiser("unet_log")(Frame({"radiance": np.zeros((3, 4, 4), np.float32)}, number=7))


def test_the_same_frame_gives_the_same_bits(random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair().input
    assert np.array_equal(denoiser().radiance(frame), denoiser().radiance(frame))


def test_halves_are_merged_evenly(random_pair: Callable[..., FramePair]) -> None:
    pair = random_pair(4, 4)
    assert pair.partner is not None
    a, b = np.full((3, 4, 4), 1, np.float32), np.full((3, 4, 4), 2, np.float32)
    merged, noisy = merge_halves(pair, a, b)
    assert (merged.radiance == 1.5).all()
    assert np.allclose(noisy, (pair.input.radiance + pair.target) / 2)
    assert np.allclose(merged.planes["albedo"], pair.input.planes["albedo"])
    assert merged.spp == pair.input.spp + pair.partner.spp


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="no device 'tpu'"):
        pick_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device answers"):
            pick_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_cuda_gives_the_picture_of_the_cpu(network: str, random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair(64, 96).input
    expected = denoiser(network).radiance(frame)
    model = denoiser(network).model
    assert np.allclose(Denoiser(model, device=torch.device("cuda")).radiance(frame), expected, rtol=2e-2, atol=2e-3)
