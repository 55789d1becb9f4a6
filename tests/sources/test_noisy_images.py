"""Crops of images that are given noise: independent, unclipped, repeatable, and alike where targets differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rendernoise.io.image_folder import ImageFolder
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.noise import NoiseModel, noise_class
from rendernoise.noise.gaussian import Gaussian
from rendernoise.sources.batching import Batch
from rendernoise.sources.masking import get_masking
from rendernoise.sources.noisy_images import NoisyBatcher, NoisyPlan

pytestmark = pytest.mark.usefixtures("one_thread")


def folder(
    count: int = 3, height: int = 40, width: int = 52, channels: int = 1, level: int | None = None
) -> ImageFolder:
    rng = np.random.default_rng(5)
    stored = tuple(
        np.full((channels, height, width), level, np.uint8)
        if level is not None
        else rng.integers(256, size=(channels, height, width), dtype=np.uint8)
        for _ in range(count)
    )
    return ImageFolder("some", tuple(str(i) for i in range(count)), stored, channels)


def batcher(
    images: ImageFolder | None = None, noise: NoiseModel | None = None, seed: int = 3, **plan: Any
) -> NoisyBatcher:
    images = images or folder()
    planes = ("radiance", "kept") if type(noise).__name__ == "Mri" else ("radiance",)
    model = DenoisingModel(ModelSpec("unet", planes, "linear", "none", channels=images.channels))
    hide = get_masking("n2v").hide if plan.get("target") == "blind" else None
    return NoisyBatcher(images, noise or Gaussian(), model, NoisyPlan(**{"crop_px": 32, **plan}), seed, hide)


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("planes", "exposure", "target", "weight"))


def test_input_and_target_have_noise_of_their_own() -> None:
    """Fixed seed. Of 40 crops of 1024 values the noise of input and target correlates by less than 5 standard errors
    (1/√40960); a false alarm has a chance of 6e-7."""
    flat = batcher(folder(level=128), between=(25, 25), batch=40)
    drawn = flat.draw()
    clean = 128 / 255 - 0.5
    a, b = (drawn.planes - clean).flatten().numpy(), (drawn.target - clean).flatten().numpy()
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size)
    # σ̂ of n normal values is off by σ/√(2n).
    for noise in (a, b):
        assert noise.std() == pytest.approx(25 / 255, rel=5 / np.sqrt(2 * a.size))


def test_strengths_of_input_and_target_are_drawn_independently() -> None:
    drawn = batcher(folder(level=128), batch=60).draw()
    a, b = drawn.planes.std((1, 2, 3)).numpy() * 255, drawn.target.std((1, 2, 3)).numpy() * 255
    # 60 pairs of uniform numbers: |r| below 0.5 but for one run in 20,000.
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.5
    assert a.min() < 10
    assert a.max() > 40


@pytest.mark.parametrize("target", ["clean", "blind"])
def test_targets_change_neither_crops_nor_the_noise_of_the_input(target: str) -> None:
    noisy, other = batcher(), batcher(target=target)
    for _ in range(3):
        a, b = noisy.draw(), other.draw()
        seen = b.weight.bool() if target == "blind" else torch.zeros_like(b.weight).bool()
        assert torch.equal(a.planes[~seen], b.planes[~seen])
        assert not torch.equal(a.target, b.target)


def test_a_clean_target_is_the_crop_that_the_noise_was_added_to() -> None:
    """With noise of strength 0 the input is the crop itself."""
    drawn = batcher(target="clean", between=(0, 0)).draw()
    assert torch.equal(drawn.planes, drawn.target)
    assert bool((drawn.weight == 1).all())


def test_noise_is_never_clipped_or_quantised() -> None:
    """White pixels with noise lie above white as often as below, and hardly two values are alike."""
    drawn = batcher(folder(level=255), between=(25, 25), batch=8).draw()
    for values in (drawn.planes, drawn.target):
        above = float((values > 0.5).float().mean())
        assert above == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(values.numel()))
        assert len(torch.unique(values)) > 0.95 * values.numel()


def test_blind_targets_are_the_hidden_values_of_the_input() -> None:
    drawn = batcher(target="blind", batch=6).draw()
    hidden = drawn.weight.bool()
    assert 0 < float(drawn.weight.mean()) < 0.05
    assert torch.equal(drawn.planes[~hidden], drawn.target[~hidden])
    assert not bool((drawn.planes[hidden] == drawn.target[hidden]).any())


@pytest.mark.parametrize("target", ["noisy", "blind"])
def test_lost_pixels_are_no_targets(target: str) -> None:
    drawn = batcher(noise=noise_class("bernoulli")(), target=target, between=(0.5, 0.5), batch=8).draw()
    share = float(drawn.weight.mean())
    expected = 0.5 if target == "noisy" else 0.5 / 64
    deviation = np.sqrt(expected * (1 - expected) / drawn.weight.numel())
    assert share == pytest.approx(expected, abs=5 * deviation)


def test_measured_frequencies_are_a_plane_of_the_input() -> None:
    drawn = batcher(noise=noise_class("mri")(), batch=2).draw()
    assert drawn.planes.shape == (2, 2, 32, 32)
    assert 0 < float((drawn.planes[:, 1] > 0).float().mean()) < 0.3


@pytest.mark.parametrize("channels", [1, 3])
def test_crops_come_from_everywhere_and_in_all_eight_ways(channels: int) -> None:
    images = folder(1, 33, 33, channels)
    drawn = batcher(images, target="clean", between=(0, 0), batch=200).draw()
    kinds = {crop.numpy().tobytes() for crop in drawn.target}
    assert len(kinds) == 4 * 8  # places by ways


def test_the_smallest_image_limits_the_crop() -> None:
    small, large = folder(1, 36, 70), folder(1, 90, 80)
    mixed = ImageFolder("mixed", ("a", "b"), (*small.stored, *large.stored), 1)
    assert batcher(mixed, crop_px=64).draw().planes.shape == (4, 1, 36, 36)


@pytest.mark.parametrize("plan", [{}, {"target": "blind"}, {"realisations": 3}])
def test_goes_on_with_the_same_bits(plan: dict[str, Any]) -> None:
    whole, first, second = batcher(**plan), batcher(**plan), batcher(**plan)
    drawn = [whole.draw() for _ in range(4)]
    for _ in range(2):
        first.draw()
    second.load_state_dict(first.state_dict())
    assert same(second.draw(), drawn[2])
    assert same(second.draw(), drawn[3])
    assert not same(drawn[0], drawn[1])
    assert not same(batcher(**plan, seed=4).draw(), drawn[0])


def test_fixed_noise_comes_again_and_pairs_are_of_two_versions() -> None:
    """One image of one place: with 3 versions there are 3 inputs in 8 ways, and never one that is its own target."""
    images = folder(1, 32, 32)
    drawn = batcher(images, realisations=3, batch=300).draw()
    assert len({crop.numpy().tobytes() for crop in drawn.planes}) == 3 * 8
    assert len({crop.numpy().tobytes() for crop in drawn.target}) == 3 * 8
    assert not any(torch.equal(a, b) for a, b in zip(drawn.planes, drawn.target, strict=True))
    pairs = {(a.numpy().tobytes(), b.numpy().tobytes()) for a, b in zip(drawn.planes, drawn.target, strict=True)}
    assert len(pairs) == 3 * 2 * 8


def test_an_average_is_of_all_versions_but_the_input() -> None:
    """16 versions: the error of 15 of them together is 25/255/√15, and independent of the input's."""
    drawn = batcher(folder(1, 64, 64, level=128), target="average", realisations=16, crop_px=64, batch=1).draw()
    clean = 128 / 255 - 0.5
    a, b = (drawn.planes - clean).flatten().numpy(), (drawn.target - clean).flatten().numpy()
    assert a.std() == pytest.approx(25 / 255, rel=5 / np.sqrt(2 * a.size))
    assert b.std() == pytest.approx(25 / 255 / np.sqrt(15), rel=5 / np.sqrt(2 * a.size))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(a.size)


def test_fixed_noise_that_does_not_fit_into_memory_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [x for b in [batcher(realisations=4)] for x in (b.draw(), b.draw())]
    monkeypatch.setattr("rendernoise.sources.noisy_images.KEPT_BYTES", 1)
    again = batcher(realisations=4)
    assert all(same(again.draw(), one) for one in expected)
