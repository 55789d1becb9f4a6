"""The denoiser on frames of every size; that it is what was trained is law 4, and its file law 7 (tests/laws)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from rendernoise import denoiser as module
from rendernoise.denoiser import OVERLAP_PX, TILE_PX, Denoiser, merge_halves, pick_device
from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame, FramePair
from rendernoise.model import DenoisingModel, ModelSpec

PLANES = ("radiance", "albedo", "normal")


def denoiser(network: str = "unet_log") -> Denoiser:
    torch.manual_seed(3)
    return Denoiser(DenoisingModel(ModelSpec.default(network, PLANES)))


@pytest.mark.parametrize("network", ["unet", "unet_log"])
@pytest.mark.parametrize("size", [(290, 350), (100, 421)])
def test_tiles_give_the_picture_of_the_whole_frame(
    network: str, size: tuple[int, int], random_pair: Callable[..., FramePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = random_pair(*size).input
    made = denoiser(network)
    whole = made.radiance(frame)
    monkeypatch.setattr(module, "WHOLE_FRAME_PX", 1)
    monkeypatch.setattr(module, "TILE_PX", 160)
    tiled = made.radiance(frame)
    assert np.allclose(tiled, whole, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(module, "OVERLAP_PX", 32)
    assert not np.allclose(made.radiance(frame), whole, rtol=1e-4, atol=1e-4), "else this test could not fail"


def test_tiles_start_where_pooling_windows_do() -> None:
    assert TILE_PX % 32 == 0
    assert OVERLAP_PX % 32 == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 5), (33, 31)])
def test_frames_of_any_size(size: tuple[int, int], random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair(*size).input
    result = denoiser()(frame)
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


def test_exposure_makes_the_result_follow_the_scale(random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair().input
    made = denoiser("unet_log")
    one, other = made.radiance(frame), made.radiance(frame.with_planes(radiance=frame.radiance * np.float32(64)))
    assert np.allclose(other, 64 * one, rtol=1e-4)


def test_missing_planes_are_named() -> None:
    with pytest.raises(ImageError, match="frame 7 has no albedo, normal"):
        denoiser()(Frame({"radiance": np.zeros((3, 4, 4), np.float32)}, number=7))


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
def test_cuda_gives_the_picture_of_the_cpu(random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair(64, 96).input
    expected = denoiser().radiance(frame)
    model = denoiser().model
    assert np.allclose(Denoiser(model, device=torch.device("cuda")).radiance(frame), expected, rtol=2e-2, atol=2e-3)
