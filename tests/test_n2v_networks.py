"""The networks with batch norm: what they compute, and that their averages are kept, saved, resumed and left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rendernoise.denoiser import Denoiser
from rendernoise.frame import Frame
from rendernoise.losses import get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks.n2v_unet import N2V2UNet, N2VUNet
from rendernoise.sources.batching import Batch
from rendernoise.sources.masking import Masking
from rendernoise.trainer import Trainer, TrainerOptions

NAMES = ("n2v", "n2v2")
OPTIONS = TrainerOptions("adam", learning_rate=2e-3, warmup_steps=5, ema=0.9, robust=False, weigh_noise=False)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trainer_of(name: str, seed: int = 0, channels: int = 1) -> Trainer:
    torch.manual_seed(seed)
    model = DenoisingModel(ModelSpec(name, ("radiance",), "linear", "none", channels=channels))
    return Trainer(model, get_loss("l2"), OPTIONS, CPU)


def batch_of(seed: int, scale: float = 0.3) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    planes = scale * torch.randn(4, 1, 24, 20, generator=rng)
    return Batch(planes, torch.ones(4, 1, 1, 1), planes.roll(1, 0), torch.ones(4, 1, 24, 20))


def frame_of(seed: int) -> Frame:
    return Frame({"radiance": np.random.default_rng(seed).normal(0, 0.3, (1, 37, 42)).astype(np.float32)})


def trained(name: str, steps: int = 4) -> Trainer:
    trainer = trainer_of(name)
    for step in range(steps):
        trainer.step(batch_of(step), step / steps)
    return trainer


def buffers(trainer: Trainer) -> list[torch.Tensor]:
    return [buffer.clone() for buffer in trainer.model.buffers()]


def test_n2v_adds_to_the_image_and_n2v2_does_not() -> None:
    planes = torch.rand(2, 3, 21, 30) - 0.5
    for kind, expected in ((N2VUNet, planes + 0.25), (N2V2UNet, torch.full_like(planes, 0.25))):
        network = kind(3).eval()
        with torch.no_grad():
            network.output.weight.zero_()
            network.output.bias.fill_(0.25)  # pyright: ignore[reportOptionalMemberAccess]
            assert torch.allclose(network(planes), expected)


def test_n2v2_pools_the_largest_of_each_block_blurred() -> None:
    pool = N2V2UNet(1).pool
    assert torch.allclose(pool(torch.full((1, 2, 6, 4), 3.0)), torch.full((1, 2, 3, 2), 3.0))
    single = torch.zeros(1, 1, 12, 12)
    single[..., 4, 4] = 16.0
    # The largest is 16 where a window of 2×2 holds the pixel: at 3 and 4. Blurs at 2 and 4 see it in 1 and in 3 of 4.
    assert torch.allclose(pool(single)[0, 0, 1:4, 1:4], torch.tensor([[1.0, 3, 0], [3, 9, 0], [0, 0, 0]]))
    image = torch.randn(1, 2, 12, 8)
    assert torch.allclose(pool(image.flip(-1)), pool(image).flip(-1))
    assert torch.allclose(pool(image.flip(-2)), pool(image).flip(-2))


@pytest.mark.parametrize("name", NAMES)
def test_inference_leaves_the_averages_and_knows_one_image_alone(name: str) -> None:
    trainer = trained(name)
    before = buffers(trainer)
    denoiser = Denoiser(trainer.model, device=CPU, autocast=False)
    frame = frame_of(1)
    first = denoiser.radiance(frame)
    denoiser.radiance(frame_of(2))
    assert np.array_equal(first, denoiser.radiance(frame)), "the same, whatever came between"
    assert all(torch.equal(a, b) for a, b in zip(before, buffers(trainer), strict=True))
    planes = torch.cat([torch.from_numpy(frame.radiance)[None], 50 * torch.randn(3, 1, 37, 42)])
    with torch.inference_mode():
        beside = trainer.model(planes, torch.ones(4, 1, 1, 1))[0].numpy()
    assert np.allclose(first, beside, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_training_looks_at_the_batch_and_remembers(name: str) -> None:
    trainer = trained(name, 1)
    after = buffers(trainer)
    fresh = [buffer.clone() for buffer in trainer_of(name).model.buffers()]
    assert not any(torch.equal(a, b) for a, b in zip(after, fresh, strict=True))
    Denoiser(trainer.model, device=CPU).radiance(frame_of(1))
    assert not trainer.model.training
    trainer.step(batch_of(7), 0.5)
    assert trainer.model.training, "though an image was denoised between"


@pytest.mark.parametrize("name", NAMES)
def test_saved_weights_bring_the_averages(name: str, tmp_path: Path) -> None:
    trainer = trained(name)
    denoiser = Denoiser(trainer.model, device=CPU, autocast=False)
    with trainer.averaged():
        expected = denoiser.radiance(frame_of(1))
        denoiser.save(tmp_path / "w.safetensors")
    loaded = Denoiser.load(tmp_path / "w.safetensors", "cpu")
    loaded.autocast = False
    # The trainer lays weights out in another order, which costs last bits; loading the same file twice does not.
    assert np.allclose(loaded.radiance(frame_of(1)), expected, atol=1e-5)
    assert loaded.to_bytes() == Denoiser.load(tmp_path / "w.safetensors", "cpu").to_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_ends_with_the_same_bits(name: str) -> None:
    straight = trained(name, 6)
    half = trainer_of(name)
    for step in range(3):
        half.step(batch_of(step), step / 6)
    tensors, state = half.state_dict()
    resumed = trainer_of(name, seed=5)
    resumed.load_state_dict({k: t.clone() for k, t in tensors.items()}, state)
    for step in range(3, 6):
        resumed.step(batch_of(step), step / 6)
    expected, found = straight.state_dict()[0], resumed.state_dict()[0]
    assert expected.keys() == found.keys()
    assert any(key.startswith("buffer.") and key.endswith("running_var") for key in found)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_skipped_batch_leaves_no_trace(name: str) -> None:
    """Values whose squares no float32 holds make the variance of the batch infinite."""
    trainer = trained(name)
    before = buffers(trainer)
    report = trainer.step(batch_of(9, scale=1e25), 0.5)
    assert report.loss is None
    assert trainer.skipped == 1
    assert all(torch.equal(a, b) for a, b in zip(before, buffers(trainer), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_bf16_differs_little(name: str) -> None:
    model, frame = trained(name).model, frame_of(1)
    exact, rounded = (Denoiser(model, device=CPU, autocast=a).radiance(frame) for a in (False, True))
    assert rounded.dtype == np.float32
    assert np.sqrt(np.mean((exact - rounded) ** 2)) < 0.02 * np.sqrt(np.mean(exact**2))


def left_of_noise(masking: Masking | None) -> np.ndarray:
    """Errors on flat images with noise of 0.2, after training on others like them whose own pixels are the targets."""
    trainer, rng, steps = trainer_of("n2v"), np.random.default_rng(3), 80
    for step in range(steps):
        noisy = rng.uniform(-0.4, 0.4, (8, 1, 1, 1)) + rng.normal(0, 0.2, (8, 1, 16, 16))
        noisy = noisy.astype(np.float32)
        shown, targets = noisy, np.ones((8, 16, 16), dtype=bool)
        if masking:
            shown, targets = (np.stack(a) for a in zip(*(masking.hide(image, rng) for image in noisy), strict=True))
        planes, target = torch.from_numpy(shown), torch.from_numpy(noisy)
        trainer.step(
            Batch(planes, torch.ones(8, 1, 1, 1), target, torch.from_numpy(targets)[:, None].float()), step / steps
        )
    levels = np.linspace(-0.3, 0.3, 7)
    denoiser = Denoiser(trainer.model, device=CPU, autocast=False)
    frames = [(level + rng.normal(0, 0.2, (1, 40, 40))).astype(np.float32) for level in levels]
    return np.stack([denoiser.radiance(Frame({"radiance": f})) for f in frames]) - levels[:, None, None, None]


def test_blind_spots_teach_the_mean_of_the_noise() -> None:
    """Of noise of 0.2, less than 0.12 is left, and levels are met within 0.05 on average, from noisy pixels alone."""
    error = left_of_noise(Masking(cell_px=4))
    assert np.sqrt(np.mean(error**2)) < 0.12
    assert np.abs(error.mean((1, 2, 3))).max() < 0.05


def test_without_blind_spots_the_noise_itself_is_learned() -> None:
    assert np.sqrt(np.mean(left_of_noise(None) ** 2)) > 0.15
