"""How losses weigh pixels and behave at extremes; what they converge to is law 3 (tests/laws)."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch
from torch import Tensor

from rendernoise.errors import InputError
from rendernoise.losses import EPSILON, LOSSES, BiasControl, get_loss, noise_weights, robust

#: With the one that has a parameter.
ALL = {**LOSSES, robust(1.0).name: robust(1.0)}


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_right_prediction_costs_nothing(name: str) -> None:
    image = torch.rand(2, 3, 5, 4) + 0.1
    right = float(ALL[name](image, image.clone()))
    if ALL[name].annealed is None:
        assert right == 0
    else:  # (0 + 1e-8)^γ: the least that there is, and no slope at 0
        assert right < float(ALL[name](image, image + 1e-4))


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_wrong_prediction_is_pulled_towards_the_target(name: str) -> None:
    for start, target in ((0.5, 2.0), (2.0, 0.5), (-0.5, 0.5), (0.0, 1.0)):
        f = torch.full((1, 3, 2, 2), start, requires_grad=True)
        ALL[name](f, torch.full((1, 3, 2, 2), target)).backward()
        assert f.grad is not None
        assert torch.isfinite(f.grad).all()
        if name == "hdr_without_stop_gradient" and start > 0:
            continue  # its own minimiser is elsewhere: that is its bias
        assert (torch.sign(f.grad) == (1 if start > target else -1)).all()


@pytest.mark.parametrize("name", sorted(ALL))
def test_weights_select_pixels(name: str) -> None:
    f, target = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., :2] = 2.0
    left = ALL[name](f[..., :2], target[..., :2])
    assert torch.allclose(ALL[name](f, target, weight), left)
    assert torch.allclose(ALL[name](f, target, torch.ones(1, 1, 4, 4)), ALL[name](f, target))
    assert float(ALL[name](f, target, torch.zeros(1, 1, 4, 4))) == 0


def test_the_default_loss_is_relative() -> None:
    f, target = torch.tensor([[[[1.0]]]]), torch.tensor([[[[1.5]]]])
    small = float(LOSSES["hdr"](f, target))
    assert float(LOSSES["hdr"](100 * f, 100 * target)) == pytest.approx(small, rel=0.03)


# -- robust losses ----------------------------------------------------------------------------------------------------

DELTAS = (0.25, 1.0, 8.0)


def values_and_slopes(name: float | str, f: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Of L_HDR, or of the robust loss with that delta."""
    loss = LOSSES[name] if isinstance(name, str) else robust(name)
    f = f.clone().requires_grad_()
    values = loss.function(f, target)
    return values.detach(), torch.autograd.grad(values.sum(), f)[0]


@pytest.mark.parametrize("delta", DELTAS)
def test_below_delta_the_robust_loss_is_the_default_one(delta: float) -> None:
    f = torch.tensor([0.0, 0.02, 0.7, 30.0, -0.5]).repeat_interleave(5).double()
    error = torch.tensor([-0.999, -0.4, 0.0, 0.4, 0.999]).repeat(5).double() * delta
    pair = f, f + error * (f.clamp_min(0) + EPSILON)
    for one, other in zip(values_and_slopes(delta, *pair), values_and_slopes("hdr", *pair), strict=True):
        assert torch.allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("delta", DELTAS)
def test_beyond_delta_it_is_linear_with_a_bounded_slope_and_without_a_step(delta: float, sign: int) -> None:
    f = torch.tensor([0.0, 0.02, 0.7, 30.0, -0.5]).double()
    unit = f.clamp_min(0) + EPSILON
    steepest = 2 * delta / unit
    far = [values_and_slopes(delta, f, f + sign * delta * times * unit) for times in (1, 2, 3, 1e4, 1e30)]
    values = [value for value, _ in far]
    assert torch.allclose(values[0], torch.tensor(delta**2).double(), rtol=1e-9), "as L_HDR at delta"
    assert torch.allclose(values[1] - values[0], torch.tensor(2 * delta**2).double(), rtol=1e-9), "on its tangent"
    assert torch.allclose(values[2] - values[1], torch.tensor(2 * delta**2).double(), rtol=1e-9)
    for _, slope in far:
        assert torch.allclose(slope, -sign * steepest, rtol=1e-9)
    near = [values_and_slopes(delta, f, f + sign * delta * times * unit) for times in (1 - 1e-9, 1 + 1e-9)]
    for below, beyond in zip(*near, strict=True):
        assert torch.allclose(below, beyond, rtol=1e-8)


def test_a_firefly_of_float32s_size_has_a_finite_robust_slope() -> None:
    """Its square is infinite, and has no part in the gradient."""
    value, slope = values_and_slopes(1.0, torch.tensor([0.5]), torch.tensor([1e30]))
    assert torch.isfinite(value).all()
    assert torch.allclose(slope, torch.tensor(-2 / 0.51))


def skewed() -> Tensor:
    """Quantiles of a dim lognormal, 1 in 200 of them 100 times as bright: mean 0.3, median about 0.12."""
    levels = (torch.arange(100).double() + 0.5) / 100
    dim = torch.distributions.Normal(0.0, 1.0).icdf(levels).exp()
    dim = dim / dim.mean() * 0.2
    return torch.cat([dim] * 199 + [dim * 100])


def robust_minimiser(delta: float, targets: Tensor) -> float:
    """Where the slope for one f changes its sign; the loss is convex where its normaliser stands still."""
    low, high = 0.0, float(targets.max())
    for _ in range(50):
        middle = (low + high) / 2
        _, slope = values_and_slopes(delta, torch.full_like(targets, middle), targets)
        low, high = (low, middle) if float(slope.sum()) > 0 else (middle, high)
    return low


def test_the_robust_minimiser_goes_from_the_median_to_the_mean_as_delta_grows() -> None:
    targets = skewed()
    mean, median = float(targets.mean()), float(targets.median())
    found = [robust_minimiser(delta, targets) for delta in (1e-3, *DELTAS, 64.0, 1e4)]
    assert found[0] == pytest.approx(median, rel=0.03)
    assert found == sorted(found)
    assert found[2] < 0.8 * mean, "with delta 1 it is dark"
    assert found[3] < 0.97 * mean, "and with 8 still"
    assert found[-1] == pytest.approx(mean, rel=1e-6)


def test_a_robust_loss_does_not_pass_for_one_of_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = robust(8.0)
    assert loss.estimates == "biased"
    assert loss.note.startswith("dark: ")
    monkeypatch.setitem(LOSSES, loss.name, loss)
    with pytest.raises(InputError, match=r"estimates the biased, but this noise needs the mean"):
        get_loss(loss.name, needs="mean")


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


def test_delta_shrinks_to_the_least_where_nothing_is_dark() -> None:
    control, image, weight = BiasControl(), torch.ones(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
    for _ in range(200):
        control.see(image, image, weight)
    assert control.delta == control.LEAST
    for _ in range(1000):
        control.see(0.9 * image, image, weight)
    assert control.delta == control.MOST
    assert control.bias == pytest.approx(-0.1)


def test_one_absurd_sample_is_soon_forgotten() -> None:
    control, image, weight = BiasControl(), torch.ones(1, 3, 64, 64), torch.ones(1, 1, 64, 64)
    absurd = image.clone()
    absurd[0, 0, 0, 0] = 1e30
    control.see(image, absurd, weight)
    for _ in range(600):
        control.see(1.001 * image, image, weight)
    assert abs(control.bias) < 0.01
    assert control.delta == control.LEAST


def test_black_frames_and_held_out_pixels_say_nothing_of_the_bias() -> None:
    control, black, weight = BiasControl(), torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
    control.see(black, black, weight)
    assert control.bias == 0
    control.see(black, black + 5, 0 * weight)
    assert control.bias == 0
