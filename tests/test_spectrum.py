"""Measured frequencies stay as they were measured: in the function, in models, and in whole images alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rendernoise import denoiser as denoiser_module
from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame, FramePair
from rendernoise.losses import LOSSES
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.noise.mri import Mri
from rendernoise.sources.batching import batch_of
from rendernoise.spectrum import keep_measured
from rendernoise.trainer import Trainer, TrainerOptions

SIZES = [(8, 8), (9, 9), (7, 10), (12, 5), (1, 6), (1, 1), (63, 64)]
every_size = pytest.mark.parametrize("size", SIZES, ids=str)
pytestmark = pytest.mark.usefixtures("one_thread")


def measured(size: tuple[int, int], channels: int = 2, batch: int = 3, share: float = 0.3) -> tuple[Tensor, ...]:
    """Clean images, what was measured of them, and which frequencies: other ones for each image of the batch."""
    rng = np.random.default_rng(0)
    clean = rng.random((batch, channels, *size), dtype=np.float32) - np.float32(0.5)
    noisy = [Mri().corrupt(image, share, rng) for image in clean]
    kept = np.stack([n.kept for n in noisy if n.kept is not None])
    return torch.from_numpy(clean), torch.from_numpy(np.stack([n.image for n in noisy])), torch.from_numpy(kept)


@every_size
def test_each_frequency_is_the_measured_or_the_predicted_one(size: tuple[int, int]) -> None:
    clean, noisy, kept = measured(size)
    prediction = torch.rand(clean.shape, generator=torch.Generator().manual_seed(1))
    result = keep_measured(prediction, noisy, kept)
    assert result.dtype == torch.float32
    assert result.shape == clean.shape
    expected = torch.where(kept > 0, torch.fft.fft2(clean.double()), torch.fft.fft2(prediction.double()))
    assert torch.allclose(torch.fft.fft2(result.double()), expected, atol=1e-5 * float(expected.abs().max()))


@every_size
def test_what_is_known_makes_nothing_worse(size: tuple[int, int]) -> None:
    """The clean image stays itself, a wrong one comes nearer, and everything measured is the clean image."""
    clean, noisy, kept = measured(size)
    assert torch.allclose(keep_measured(clean, noisy, kept), clean, atol=1e-5)
    wrong = clean + 1
    assert (keep_measured(wrong, noisy, kept) - clean).square().sum() <= (wrong - clean).square().sum()
    clean, noisy, kept = measured(size, share=1.0)
    assert torch.allclose(keep_measured(torch.zeros_like(clean), noisy, kept), clean, atol=1e-5)


@every_size
def test_gradients_are_those_of_what_was_not_measured(size: tuple[int, int]) -> None:
    """The function is linear, and symmetric as a projection: the gradient of <w, result> is w without what was kept."""
    clean, noisy, kept = measured(size)
    prediction = torch.zeros_like(clean, requires_grad=True)
    w = torch.rand(clean.shape, generator=torch.Generator().manual_seed(2))
    (keep_measured(prediction, noisy, kept) * w).sum().backward()
    assert prediction.grad is not None
    expected = torch.fft.ifft2(torch.where(kept > 0, 0, torch.fft.fft2(w))).real
    assert torch.allclose(prediction.grad, expected, atol=1e-5)


def test_it_computes_in_float32_under_autocast() -> None:
    clean, noisy, kept = measured((16, 15))
    with torch.autocast("cpu", torch.bfloat16):
        low = keep_measured(clean.bfloat16(), noisy, kept)
    assert low.dtype == torch.float32
    expected = keep_measured(clean.bfloat16().float(), noisy, kept)
    assert torch.equal(low, expected)


SPEC = ModelSpec("unet", ("radiance", "kept"), "linear", "none", channels=1)


def frame(height: int, width: int, seed: int = 0) -> Frame:
    rng = np.random.default_rng(seed)
    noisy = Mri().corrupt(rng.random((1, height, width), dtype=np.float32) - np.float32(0.5), 0.1, rng)
    assert noisy.kept is not None
    return Frame({"radiance": noisy.image, "kept": noisy.kept})


def spectrum(image: np.ndarray) -> np.ndarray:
    return np.fft.fft2(image.astype(np.float64))


def denoised_spectrum_is_kept(frame: Frame, image: np.ndarray) -> bool:
    kept = frame.planes["kept"]
    wanted = (spectrum(frame.radiance) * kept)[kept > 0]
    found = spectrum(image)[kept > 0]
    return bool(np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("planes", [("radiance", "kept"), ("kept", "radiance")], ids="+".join)
def test_the_network_sees_the_radiance_alone(planes: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model = DenoisingModel(ModelSpec("unet", planes, "linear", "none", channels=1))
    assert model.network.in_channels == 1
    stacked, exposure = model.input_of(frame(33, 31), torch.device("cpu"))
    inputs = model.preprocess(stacked, exposure)
    assert torch.equal(inputs, torch.from_numpy(frame(33, 31).radiance)[None])
    with torch.no_grad():
        result = model(stacked, exposure).numpy()[0]
        direct = model.network(inputs).numpy()[0]
    assert denoised_spectrum_is_kept(frame(33, 31), result)
    assert not denoised_spectrum_is_kept(frame(33, 31), direct), "else the test would show nothing"


def test_weights_remember_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = Denoiser(DenoisingModel(SPEC), autocast=True)
    made.save(tmp_path / "mri.safetensors")
    loaded = Denoiser.load(tmp_path / "mri.safetensors", "cpu")
    loaded.autocast = True
    image = loaded.radiance(frame(40, 37))
    assert np.array_equal(image, made.radiance(frame(40, 37)))
    assert denoised_spectrum_is_kept(frame(40, 37), image), "also under autocast"
    with pytest.raises(ImageError, match="has no kept, which these weights need"):
        loaded.radiance(Frame({"radiance": frame(40, 37).radiance}))


def test_images_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tiles nor placements: of a part or of a moved image, other frequencies were measured."""
    torch.manual_seed(0)
    model, scan = DenoisingModel(SPEC), frame(96, 80)
    expected = Denoiser(model).radiance(scan)
    monkeypatch.setattr(denoiser_module, "WHOLE_FRAME_PX", 32 * 32)
    monkeypatch.setattr(denoiser_module, "TILE_PX", 32)
    monkeypatch.setattr(type(model.network), "reach_px", 8)
    assert np.array_equal(Denoiser(model).radiance(scan), expected)
    assert np.array_equal(Denoiser(model).radiance(scan, first=1), expected)
    with pytest.raises(InputError, match="Use 1 spin"):
        Denoiser(model, spins=2)


def test_training_learns_through_it() -> None:
    """Noisy targets of one image: the loss is that of the result with its measured frequencies, and it falls."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    clean = np.zeros((1, 32, 32), np.float32)
    clean[:, 8:24, 8:24] = 0.5
    options = TrainerOptions(optimizer="adam", warmup_steps=0, tail=0, ema=0, weigh_noise=False)
    trainer = Trainer(DenoisingModel(SPEC), LOSSES["l2"], options, torch.device("cpu"))

    def batch() -> tuple[Frame, np.ndarray]:
        noisy, target = Mri().corrupt(clean, 0.3, rng), Mri().corrupt(clean, 0.3, rng)
        assert noisy.kept is not None
        return Frame({"radiance": noisy.image, "kept": noisy.kept}), target.image

    def error() -> float:
        model = trainer.model
        stacked, exposure = model.input_of(scan, torch.device("cpu"))
        with torch.no_grad():
            return float((model(stacked, exposure)[0] - torch.from_numpy(clean)).square().mean())

    scan, _ = batch()
    before = error()
    for _ in range(30):
        pair = FramePair(*batch())
        trainer.step(batch_of(pair, np.ones((1, 32, 32), np.float32), 1.0, trainer.model))
    assert error() < 0.8 * before
