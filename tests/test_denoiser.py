"""The denoiser on frames of every size; that it is what was trained is law 4, and its file law 7 (tests/laws)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from rendernoise import denoiser as module
from rendernoise.config import MAX_SPINS
from rendernoise.denoiser import PLACEMENTS, TILE_PX, Denoiser, pick_device
from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame, FramePair
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import NETWORKS

PLANES = ("radiance", "albedo", "normal")


def denoiser(network: str = "fast", spins: int = 1) -> Denoiser:
    torch.manual_seed(3)
    return Denoiser(DenoisingModel(ModelSpec.default(network, PLANES)), spins=spins)


def same_picture(one: np.ndarray, other: np.ndarray) -> bool:
    """Within 1e-4 of each value; where a linear head gives about 0, of the mean."""
    return bool(np.allclose(one, other, rtol=1e-4, atol=1e-4 * float(np.abs(other).mean())))


def check_tiles(made: Denoiser, frame: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 160 px give the whole frame's picture, and with too little overlap they do not."""
    whole = made.radiance(frame)
    monkeypatch.setattr(module, "WHOLE_FRAME_PX", 1)
    monkeypatch.setattr(module, "TILE_PX", 160)
    assert same_picture(made.radiance(frame), whole)
    monkeypatch.setattr(type(made.model.network), "reach_px", min(32, made.model.network.reach_px - 32))
    assert not same_picture(made.radiance(frame), whole), "else this test could not fail"


@pytest.mark.parametrize(
    ("network", "size"),
    [*((n, s) for n in sorted(NETWORKS) for s in ((60, 683), (689, 33))), ("fast", (470, 435))],
)
def test_tiles_give_the_picture_of_the_whole_frame(
    network: str, size: tuple[int, int], random_pair: Callable[..., FramePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_tiles(denoiser(network), random_pair(*size).input, monkeypatch)


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


# -- cycle spinning ---------------------------------------------------------------------------------------------------


def placed(made: Denoiser, frame: Frame, *chosen: int) -> np.ndarray:
    """By hand: the mean of the results of frames that got rows and columns before their first, in one exposure."""
    results: list[np.ndarray] = []
    for down, right in (PLACEMENTS[i] for i in chosen):
        moved = np.pad(made.model.stack(frame), ((0, 0), (down, 0), (right, 0)), "edge")
        exposure = torch.full((1, 1, 1, 1), made.model.exposure_of(frame))
        with torch.inference_mode():
            result = made.model(torch.from_numpy(moved)[None], exposure)[0]
        results.append(result.numpy()[:, down:, right:])
    return np.mean(results, 0)


def test_placements_are_all_that_a_block_has() -> None:
    assert set(PLACEMENTS) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(PLACEMENTS) == MAX_SPINS
    assert PLACEMENTS[:2] == ((0, 0), (1, 1)), "one spin is the plain network, and a partner differs most from it"


@pytest.mark.parametrize("network", sorted(NETWORKS))
@pytest.mark.parametrize("spins", range(1, MAX_SPINS + 1))
def test_spins_are_the_mean_of_so_many_placements(
    spins: int, network: str, random_pair: Callable[..., FramePair]
) -> None:
    frame = random_pair(37, 50).input
    made = denoiser(network, spins)
    made.autocast = False
    result = made.radiance(frame)
    assert result.shape == (3, 37, 50)
    assert result.dtype == np.float32
    assert same_picture(result, placed(made, frame, *range(spins)))
    plain = placed(made, frame, 0)
    assert same_picture(result, plain) == (spins == 1), "else this test could not fail"


@pytest.mark.parametrize("spins", range(1, MAX_SPINS + 1))
def test_the_halves_have_placements_of_their_own(spins: int, random_pair: Callable[..., FramePair]) -> None:
    """As many as there are: with one spin A has the first and B the second, with four both have all."""
    pair = random_pair(37, 50)
    assert pair.partner is not None
    made = denoiser(spins=spins)
    made.autocast = False
    from_a, from_b = made.halves(pair)
    of_b = {1: (1,), 2: (2, 3), 3: (3, 0, 1), 4: (0, 1, 2, 3)}[spins]
    assert same_picture(from_a, placed(made, pair.input, *range(spins)))
    assert same_picture(from_b, placed(made, pair.partner, *of_b))
    assert np.array_equal(from_a, made.radiance(pair.input))
    assert np.array_equal(from_b, made.radiance(pair.partner)) == (spins == 4)


@pytest.mark.parametrize("spins", range(1, MAX_SPINS + 1))
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 40)])
def test_spins_leave_constant_frames_as_they_are(spins: int, size: tuple[int, int]) -> None:
    """With kernels that differ from pixel to pixel, and no correction."""
    made = denoiser("kernel_pyramid", spins)
    with torch.no_grad():
        for name, tensor in made.model.network.named_parameters():
            if name.startswith("correction"):
                tensor.zero_()
    features = {"albedo": np.full((3, *size), 0.5, np.float32), "normal": np.ones((3, *size), np.float32)}
    frame = Frame({"radiance": np.full((3, *size), 2.5, np.float32), **features})
    addition = np.expm1(np.log1p(np.exp(-5.0))) * (0.03 + 0.97 * 0.5) / made.model.exposure_of(frame)
    assert np.allclose(made.radiance(frame), 2.5 + addition, rtol=1e-5)


@pytest.mark.parametrize("network", ["fast", "kernel_pyramid"])
def test_tiles_bear_spins_too(
    network: str, random_pair: Callable[..., FramePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 480 px, tiles leave nothing over, but the moved frame has a row and a column more."""
    check_tiles(denoiser(network, MAX_SPINS), random_pair(33, 480).input, monkeypatch)


@pytest.mark.parametrize("spins", [-1, 0, MAX_SPINS + 1])
def test_there_are_no_more_spins_than_placements(spins: int) -> None:
    with pytest.raises(InputError, match=f"1 to 4 spins, not {spins}"):
        denoiser(spins=spins)


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
