"""How losses weigh pixels and behave at extremes; what they converge to is law 3 (tests/laws)."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch
from torch import Tensor

from rendernoise.losses import LOSSES, noise_weights


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_right_prediction_costs_nothing(name: str) -> None:
    image = torch.rand(2, 3, 5, 4) + 0.1
    assert float(LOSSES[name](image, image.clone())) == 0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_wrong_prediction_is_pulled_towards_the_target(name: str) -> None:
    for start, target in ((0.5, 2.0), (2.0, 0.5), (-0.5, 0.5), (0.0, 1.0)):
        f = torch.full((1, 3, 2, 2), start, requires_grad=True)
        LOSSES[name](f, torch.full((1, 3, 2, 2), target)).backward()
        assert f.grad is not None
        assert torch.isfinite(f.grad).all()
        if name == "hdr_without_stop_gradient" and start > 0:
            continue  # its own minimiser is elsewhere: that is its bias
        assert (torch.sign(f.grad) == (1 if start > target else -1)).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_weights_select_pixels(name: str) -> None:
    f, target = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., :2] = 2.0
    left = LOSSES[name](f[..., :2], target[..., :2])
    assert torch.allclose(LOSSES[name](f, target, weight), left)
    assert torch.allclose(LOSSES[name](f, target, torch.ones(1, 1, 4, 4)), LOSSES[name](f, target))
    assert float(LOSSES[name](f, target, torch.zeros(1, 1, 4, 4))) == 0


def test_the_default_loss_is_relative() -> None:
    f, target = torch.tensor([[[[1.0]]]]), torch.tensor([[[[1.5]]]])
    small = float(LOSSES["hdr"](f, target))
    assert float(LOSSES["hdr"](100 * f, 100 * target)) == pytest.approx(small, rel=0.03)


# -- weights by the noise of the input --------------------------------------------------------------------------------

TRUTH = 0.3


def halves(count: int, seed: int, side: int = 32) -> tuple[Tensor, Tensor]:
    """Independent A and B of a grey wall: a lognormal, and now and then a sample that is 50 times as bright."""
    generator = torch.Generator().manual_seed(seed)

    def half() -> Tensor:
        dim = (torch.randn(count, 1, side, side, generator=generator) - 0.5).exp()
        firefly = 1 + 49 * (torch.rand(count, 1, side, side, generator=generator) < 0.002)
        return (TRUTH * dim * firefly / (1 + 49 * 0.002)).expand(-1, 3, -1, -1)

    return half(), half()


def z_of_the_minimiser(weight: Tensor, target: Tensor) -> float:
    """How far the mean of targets under weights is from the truth, in standard errors over independent images.

    That mean is where sum w (f - B)^2 / (sg(f) + 0.01)^2 has its slope 0, for one f.
    """
    flat, weights = target[:, 0].flatten(1).double(), weight.flatten(1).double()
    means = (weights * (flat - TRUTH)).sum(1) / weights.mean()
    return float(means.mean() / (means.std() / math.sqrt(len(means))))


#: A false alarm in 1000 sets of seeds; the seeds are fixed.
LIMIT = NormalDist().inv_cdf(1 - 1e-3 / 2)


def test_weights_by_the_inputs_noise_leave_the_minimiser_at_the_mean() -> None:
    a, b = halves(600, seed=0)
    weight = noise_weights(torch.full_like(a, TRUTH), a)
    assert float(weight.std() / weight.mean()) > 0.3, "else nothing is weighted"
    assert abs(z_of_the_minimiser(weight, b)) < LIMIT


def test_weights_by_the_targets_noise_would_not() -> None:
    _, b = halves(600, seed=0)
    assert z_of_the_minimiser(noise_weights(torch.full_like(b, TRUTH), b), b) < -5 * LIMIT, "else the above cannot fail"


def test_the_weighted_slope_of_the_loss_is_zero_at_the_mean() -> None:
    """The same by the loss itself, whose slope must change its sign within the spread of the mean."""
    a, b = halves(300, seed=1)
    weight = noise_weights(torch.full_like(a, TRUTH), a)
    spread = 4 * float((weight * (b[:, :1] - TRUTH)).mean((1, 2, 3)).std() / math.sqrt(len(b)) / weight.mean())
    slopes = []
    for value in (TRUTH - spread, TRUTH + spread):
        f = torch.tensor(value, requires_grad=True)
        (slope,) = torch.autograd.grad(LOSSES["hdr"](f.expand_as(b), b, weight), f)
        slopes.append(float(slope))
    assert slopes[0] < 0 < slopes[1]
    assert spread < 0.1 * TRUTH


def test_noise_weights_lie_above_0_and_up_to_1_and_fall_around_fireflies() -> None:
    prediction = torch.rand(2, 3, 40, 50) + 0.1
    assert (noise_weights(prediction, prediction) == 1).all(), "no noise"
    noisy = prediction.clone()
    noisy[0, :, 20, 25] = 1e6
    weight = noise_weights(prediction, noisy)
    assert weight.shape == (2, 1, 40, 50)
    assert ((weight > 0) & (weight <= 1)).all()
    assert (weight[0, 0, 12:29, 17:34] < 1e-6).all(), "17 px around it"
    weight[0, 0, 12:29, 17:34] = 1
    assert (weight == 1).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_lost_samples_count_as_black_in_noise_weights(bad: float) -> None:
    prediction = torch.full((1, 3, 9, 9), 0.5)
    lost, black = prediction.clone(), prediction.clone()
    lost[0, :, 4, 4], black[0, :, 4, 4] = bad, 0
    assert torch.equal(noise_weights(prediction, lost), noise_weights(prediction, black))


@pytest.mark.parametrize("size", [(1, 1), (2, 40)])
def test_noise_weights_of_a_few_pixels(size: tuple[int, int]) -> None:
    weight = noise_weights(torch.zeros(1, 3, *size), torch.ones(1, 3, *size))
    assert torch.allclose(weight, torch.tensor(1 / 10001.0))
