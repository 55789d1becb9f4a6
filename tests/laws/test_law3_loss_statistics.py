"""Law 3: the default loss converges to the mean of its targets, and every loss to what it declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from rendernoise.errors import InputError
from rendernoise.losses import EPSILON, LOSSES, BiasControl, Loss, get_loss, robust


def lognormal(count: int = 20_000) -> Tensor:
    """Quantiles of a lognormal distribution: mean 1.65, median 1, no noise of sampling."""
    levels = (np.arange(count) + 0.5) / count
    return torch.distributions.Normal(0.0, 1.0).icdf(torch.from_numpy(levels)).exp()


def fireflies() -> Tensor:
    """A dim surface, 1 sample in 200 of which is 100 times as bright: mean 0.3, median 0.2."""
    dim = lognormal(100) / lognormal(100).mean() * 0.2
    return torch.cat([dim] * 199 + [dim * 100])


DISTRIBUTIONS = {"lognormal": lognormal(), "fireflies": fireflies()}


def minimiser(loss: Callable[[Tensor, Tensor], Tensor], targets: Tensor, start: float = 0.5) -> float:
    """Where gradient descent on one number comes to rest, in log space so that it stays positive."""

    def slope(z: float) -> float:
        f = torch.tensor(z, dtype=torch.float64).exp().requires_grad_()
        value = loss(f.expand(targets.shape), targets).mean()
        return float(torch.autograd.grad(value, f)[0])

    # The slope changes its sign once, from negative to positive: halve the interval instead of many small steps.
    low, high = np.log(start) - 12, np.log(start) + 12
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(np.exp((low + high) / 2))


def descent(loss: Callable[[Tensor, Tensor], Tensor], targets: Tensor) -> float:
    """The same by Adam on noisy batches, as training does it."""
    generator = torch.Generator().manual_seed(0)
    z = torch.zeros((), dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([z], lr=0.03)
    rest: list[float] = []
    for step in range(1500):
        if step == 750:
            adam.param_groups[0]["lr"] = 0.003
        batch = targets[torch.randint(len(targets), (512,), generator=generator)]
        adam.zero_grad()
        loss(z.exp().expand(512), batch).mean().backward()
        adam.step()
        if step >= 1000:
            rest.append(float(z.detach().exp()))
    return float(np.mean(rest))


#: Most often exactly this; of the other values, more than half of all, none is more likely than another.
TRUTH = 0.2


def replaced(share: float, count: int = 2000) -> Tensor:
    """A value that is replaced in so much of all cases, by one uniform in [-0.5, 0.5] (Noise2Noise, section 3.5)."""
    others = (torch.arange(round(share * count), dtype=torch.float64) + 0.5) / round(share * count) - 0.5
    return torch.cat([torch.full((count - len(others),), TRUTH, dtype=torch.float64), others])


def global_minimiser(loss: Callable[[Tensor, Tensor], Tensor], targets: Tensor) -> float:
    """Where the loss is least of all: a power below 1 has a local minimum at every target."""
    candidates = torch.cat([torch.linspace(-0.6, 0.6, 1201, dtype=torch.float64), targets.unique()])
    values = torch.stack([loss(f.expand(targets.shape), targets).mean() for f in candidates])
    return float(candidates[values.argmin()])


def controlled_descent(targets: Tensor, control: BiasControl | None) -> float:
    """The same with the robust loss, its delta chosen as the trainer does, or left at the least."""
    generator = torch.Generator().manual_seed(0)
    z = torch.zeros((), dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([z], lr=0.003)
    rest: list[float] = []
    for step in range(3000):
        batch = targets[torch.randint(len(targets), (4096,), generator=generator)].reshape(1, 1, 64, 64)
        adam.zero_grad()
        prediction = z.exp().expand(batch.shape)
        robust(control.delta if control else BiasControl.LEAST)(prediction, batch).mean().backward()
        adam.step()
        if control:
            control.see(prediction.detach(), batch, torch.ones_like(batch))
        if step >= 1500:
            rest.append(float(z.detach().exp()))
    return float(np.mean(rest))


@pytest.mark.parametrize("shape", sorted(DISTRIBUTIONS))
def test_made_robust_the_default_loss_has_the_mean_too(shape: str) -> None:
    """Fixed seed. The mean of 1500 batches is known to 0.3 % at most; alone, the least delta is 10 % dark or more."""
    targets = DISTRIBUTIONS[shape]
    mean = float(targets.mean())
    assert controlled_descent(targets, BiasControl()) == pytest.approx(mean, rel=0.015)
    assert controlled_descent(targets, None) < (0.9 if shape == "fireflies" else 0.99) * mean


def check_mean(function: Callable[[Tensor, Tensor], Tensor], targets: Tensor) -> None:
    """The criterion of this law: the minimiser is the mean within 0.1 %."""
    assert minimiser(function, targets) == pytest.approx(float(targets.mean()), rel=1e-3)


@pytest.mark.parametrize("shape", sorted(DISTRIBUTIONS))
@pytest.mark.parametrize("name", sorted(name for name, loss in LOSSES.items() if loss.estimates != "mode"))
def test_every_loss_estimates_what_it_declares(name: str, shape: str) -> None:
    """Those of the mode follow below, on values of which one is the most frequent."""
    loss, targets = LOSSES[name], DISTRIBUTIONS[shape]
    found, mean, median = minimiser(loss.function, targets), float(targets.mean()), float(targets.median())
    if loss.estimates == "mean":
        check_mean(loss.function, targets)
    elif loss.estimates == "median":
        assert found == pytest.approx(median, rel=2e-3)
        assert found < 0.95 * mean
    else:
        assert loss.estimates == "biased"
        assert loss.note, "a biased loss says which way"
        direction = loss.note.split(":")[0]
        assert direction in ("dark", "bright")
        assert found < 0.97 * mean if direction == "dark" else found > 1.03 * mean


@pytest.mark.parametrize("share", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.estimates == "mode"])
def test_losses_of_the_mode_estimate_the_most_frequent_value(name: str, share: float) -> None:
    """The mean is off by the share of the replaced, and where most are, the median is off too."""
    targets = replaced(share)
    assert global_minimiser(LOSSES[name].function, targets) == pytest.approx(TRUTH, abs=1e-3)
    assert global_minimiser(LOSSES["l2"].function, targets) == pytest.approx((1 - share) * TRUTH, abs=2e-3)
    if share > 0.7:
        assert global_minimiser(LOSSES["l1"].function, targets) < TRUTH - 0.01


@pytest.mark.parametrize(("name", "floor"), [("l0", 0.0), ("l0_floor", 0.5)])
def test_the_annealed_loss_is_the_formula(name: str, floor: float) -> None:
    """(|f − y| + 1e-8)^γ with γ from 2 to 0 along a line, but not below the floor."""
    f, y = torch.tensor([0.1, 0.5, -0.3]), torch.tensor([0.1, 0.2, 0.4])
    for progress in (0.0, 0.25, 0.5, 0.8, 0.999):
        gamma = max(2 * (1 - progress), floor)
        expected = ((f - y).abs() + 1e-8) ** gamma
        torch.testing.assert_close(LOSSES[name].at(progress).function(f, y), expected)


@pytest.mark.parametrize("progress", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("name", ["l0", "l0_floor"])
def test_the_annealed_loss_has_a_finite_slope_even_at_its_targets(name: str, progress: float) -> None:
    y = torch.tensor([0.1, 0.2, 0.4, -0.5])
    f = (y + torch.tensor([0.0, 1e-9, -1e-7, 1.0])).requires_grad_()
    LOSSES[name].at(progress)(f, y).backward()
    assert f.grad is not None
    assert bool(torch.isfinite(f.grad).all())


@pytest.mark.parametrize("name", ["l0", "l0_floor"])
def test_annealed_descent_finds_the_mode_that_l2_misses(name: str) -> None:
    """Fixed seed, 70 % replaced, as training does it: Adam, gradients clipped to a norm of 1, the rate ending at 0."""

    def found(loss: Loss) -> float:
        generator = torch.Generator().manual_seed(0)
        targets, steps = replaced(0.7).float(), 1000
        f = torch.zeros((), requires_grad=True)
        adam = torch.optim.Adam([f], lr=0.01, betas=(0.9, 0.99))
        for step in range(steps):
            adam.param_groups[0]["lr"] = 0.01 * min(1.0, (1 - step / steps) / 0.3)
            batch = targets[torch.randint(len(targets), (512,), generator=generator)]
            adam.zero_grad()
            loss.at(step / steps)(f.expand(512), batch).backward()
            torch.nn.utils.clip_grad_norm_([f], 1.0)
            adam.step()
        return float(f.detach())

    assert found(LOSSES[name]) == pytest.approx(TRUTH, abs=0.01)
    assert found(LOSSES["l2"]) == pytest.approx(0.3 * TRUTH, abs=0.02)


@pytest.mark.parametrize("exposure", [1e-4, 0.3, 50.0, 1e5])
@pytest.mark.parametrize("shape", sorted(DISTRIBUTIONS))
def test_a_factor_on_both_sides_leaves_the_minimiser_at_the_mean(shape: str, exposure: float) -> None:
    """The trainer compares in the exposure of the input (test_law2_raw_targets)."""
    check_mean(lambda f, t: LOSSES["hdr"].function(f * exposure, t * exposure), DISTRIBUTIONS[shape])


@pytest.mark.parametrize("shape", sorted(DISTRIBUTIONS))
def test_the_default_loss_rests_at_the_mean_under_stochastic_descent(shape: str) -> None:
    targets = DISTRIBUTIONS[shape]
    assert descent(LOSSES["hdr"].function, targets) == pytest.approx(float(targets.mean()), rel=0.03)


@pytest.mark.parametrize("shape", sorted(DISTRIBUTIONS))
def test_the_noisy_target_in_the_denominator_is_dark(shape: str) -> None:
    targets = DISTRIBUTIONS[shape]
    found = minimiser(LOSSES["hdr_target_denominator"].function, targets)
    assert found < 0.7 * float(targets.mean())
    # In closed form: the mean under the weights 1 / (B + 0.01)².
    weights = (targets + EPSILON) ** -2
    assert found == pytest.approx(float((weights * targets).sum() / weights.sum()), rel=1e-3)


@pytest.mark.parametrize("shape", sorted(DISTRIBUTIONS))
def test_without_the_stop_gradient_it_is_bright(shape: str) -> None:
    targets = DISTRIBUTIONS[shape]
    found = minimiser(LOSSES["hdr_without_stop_gradient"].function, targets)
    assert found > 1.3 * float(targets.mean())
    # In closed form: (E B² + 0.01 E B) / (E B + 0.01).
    mean, square = float(targets.mean()), float(targets.square().mean())
    assert found == pytest.approx((square + EPSILON * mean) / (mean + EPSILON), rel=1e-3)


def test_the_criterion_rejects_a_default_loss_whose_gradient_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    check_mean(LOSSES["hdr"].function, DISTRIBUTIONS["lognormal"])
    monkeypatch.setattr(Tensor, "detach", lambda self: self)
    with pytest.raises(AssertionError):
        check_mean(LOSSES["hdr"].function, DISTRIBUTIONS["lognormal"])


def test_the_criterion_rejects_a_clipped_target() -> None:
    with pytest.raises(AssertionError):
        check_mean(lambda f, t: LOSSES["hdr"].function(f, t.clamp_max(5)), DISTRIBUTIONS["fireflies"])


def test_the_default_loss_is_the_formula() -> None:
    f = torch.tensor([0.5, 0.0, -2.0, 30.0], requires_grad=True)
    target = torch.tensor([1.0, 0.2, -0.1, 1e6])
    values = LOSSES["hdr"].function(f, target)
    divisor = (f.detach().clamp_min(0) + 0.01) ** 2
    assert torch.allclose(values, (f - target) ** 2 / divisor)
    (gradient,) = torch.autograd.grad(values.sum(), f)
    assert torch.allclose(gradient, (2 * (f - target) / divisor).detach())


def test_a_noise_that_needs_another_statistic_is_refused_before_the_first_step() -> None:
    assert get_loss("hdr", needs="mean") is LOSSES["hdr"]
    assert get_loss("l1").estimates == "median"
    with pytest.raises(InputError, match=r"'hdr' estimates the mean, but this noise needs the median.* l1"):
        get_loss("hdr", needs="median")
    with pytest.raises(InputError, match="estimates the biased"):
        get_loss("l2_tonemapped", needs="mean")
    with pytest.raises(InputError, match="no loss 'l3'"):
        get_loss("l3")


def test_registry_names_and_objects_agree() -> None:
    assert all(name == loss.name for name, loss in LOSSES.items())
    assert all(isinstance(loss, Loss) and dataclasses.is_dataclass(loss) for loss in LOSSES.values())
