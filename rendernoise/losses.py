"""Losses. Each says which statistic of noisy targets its minimiser is; a mismatch is an error, not a surprise.

Noise2Noise works because a noisy target has the right *mean*; a loss whose minimiser is another statistic, or that
passes targets through a curve, learns another image. The biased ones stay for the ablation of the paper's Figure 6,
under names of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from rendernoise.color import GAMMA, tonemap
from rendernoise.errors import InputError

Statistic = Literal["mean", "median", "mode", "biased"]

#: Keeps the relative loss finite in the dark (Noise2Noise, section 3.3.1).
EPSILON = 0.01


@dataclass(frozen=True)
class Loss:
    """A per-pixel loss of prediction and target, both linear radiance ``[N, 3, H, W]``.

    Args:
        name: Its key in :data:`LOSSES`.
        estimates: What its minimiser is over random targets.
        function: (prediction, target) to the loss of every value, unreduced.
        note: For a biased loss, which way and why.
        annealed: For a loss that changes while training goes on: how much of the run is done, 0 to 1, to its function
            then. ``function`` is that of the end, where ``estimates`` holds.
    """

    name: str
    estimates: Statistic
    function: Callable[[Tensor, Tensor], Tensor]
    note: str = ""
    annealed: Callable[[float], Callable[[Tensor, Tensor], Tensor]] | None = None

    def at(self, progress: float) -> Loss:
        """The loss when so much of the run is done, 0 to 1."""
        return replace(self, function=self.annealed(progress)) if self.annealed else self

    def __call__(self, prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean loss; pixels are averaged by ``weight`` ``[N, 1, H, W]`` where one is given."""
        values = self.function(prediction, target)
        if weight is None:
            return values.mean()
        weight = weight.expand_as(values)
        return (values * weight).sum() / weight.sum().clamp_min(1e-8)


def _hdr(f: Tensor, target: Tensor) -> Tensor:
    return (f - target).square() / (f.detach().clamp_min(0) + EPSILON).square()


def _hdr_without_stop_gradient(f: Tensor, target: Tensor) -> Tensor:
    return (f - target).square() / (f.clamp_min(0) + EPSILON).square()


def _hdr_target_denominator(f: Tensor, target: Tensor) -> Tensor:
    return (f - target).square() / (target.clamp_min(0) + EPSILON).square()


def _tonemapped(f: Tensor, knee: float = 1e-3) -> Tensor:
    """T(f) with its tangent below ``knee``: T's slope is infinite at 0, and flat below would end learning there."""
    bright = f.clamp_min(knee)
    at_knee = (knee / (1 + knee)) ** (1 / GAMMA)
    slope = at_knee / (GAMMA * knee * (1 + knee))
    return tonemap(bright) + slope * (f - bright)


def _power(gamma: float) -> Callable[[Tensor, Tensor], Tensor]:
    """(|f − y| + 1e-8)^γ: the square for 2, the absolute for 1, and towards 0 the count of values that differ."""
    return lambda f, t: ((f - t).abs() + 1e-8).pow(gamma)


def _annealed_power(floor: float) -> Callable[[float], Callable[[Tensor, Tensor], Tensor]]:
    """γ from 2 at the beginning of a run down to ``floor`` along a line that would reach 0 at its end."""
    return lambda progress: _power(max(2 - 2 * progress, floor))


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        # L_HDR of the paper (eq. 6 and section 3.3.1): sg(f) as normaliser leaves the minimiser at E[target].
        Loss("hdr", "mean", _hdr),
        Loss("l2", "mean", lambda f, t: (f - t).square()),
        Loss("l1", "median", lambda f, t: (f - t).abs()),
        Loss(
            "hdr_without_stop_gradient",
            "biased",
            _hdr_without_stop_gradient,
            "bright: a larger prediction shrinks the denominator's share",
        ),
        Loss(
            "hdr_target_denominator",
            "biased",
            _hdr_target_denominator,
            "dark: bright noise is divided by itself and hardly counts",
        ),
        Loss(
            "l2_tonemapped",
            "biased",
            lambda f, t: (_tonemapped(f) - _tonemapped(t)).square(),
            "dark: the mean of T(target) is below T of the mean (Jensen)",
        ),
        Loss(
            "l1_tonemapped",
            "median",
            lambda f, t: (_tonemapped(f) - _tonemapped(t)).abs(),
            "the median commutes with T, but a skewed distribution's median is below its mean: dark",
        ),
        # The annealed L0 of Noise2Noise, section 3.5. At γ = 0 itself nothing has a slope; a run ends just before.
        Loss("l0", "mode", _power(0.01), annealed=_annealed_power(0.0)),
        # The same as the authors' later code has it; the cusp at the mode is deepest for γ = 0.5 already.
        Loss("l0_floor", "mode", _power(0.5), annealed=_annealed_power(0.5)),
    )
}


def _relative_error(f: Tensor, noisy: Tensor) -> Tensor:
    """(f − noisy) / (sg(f) + 0.01), the root of L_HDR."""
    return (f - noisy) / (f.detach().clamp_min(0) + EPSILON)


def noise_weights(prediction: Tensor, noisy: Tensor, window_px: int = 17) -> Tensor:
    """Weights ``[N, 1, H, W]`` in (0, 1] for the loss: 1 / (1 + the noise around a pixel).

    Least squares does best when samples count by their inverse variance (Aitken 1935), and L_HDR takes that
    to grow with brightness alone. The noise of the *input* around a pixel, ((A − f) / (f + 0.01))² averaged over a
    window, tells where it is larger: below fireflies, say. As no target has a part in it, the minimiser stays the mean.

    Args:
        prediction: f(A), ``[N, 3, H, W]``, exposed and without gradient.
        noisy: A, exposed; what is not finite counts as 0.
        window_px: Side of the window, odd.
    """
    noisy = torch.nan_to_num(noisy, nan=0.0, posinf=0.0, neginf=0.0)
    relative = _relative_error(prediction, noisy).square().mean(1, keepdim=True)
    around = F.avg_pool2d(relative, window_px, 1, window_px // 2, count_include_pad=False)
    return 1 / (1 + around)


def robust(delta: float) -> Loss:
    """L_HDR, but linear beyond a relative error of ``delta`` (Huber 1964): a firefly then pulls no harder than others.

    Alone it is dark, as its minimiser lies between median and mean. Under :class:`BiasControl` it is not.
    """

    def huber(f: Tensor, target: Tensor) -> Tensor:
        error = _relative_error(f, target).abs()
        return torch.where(error < delta, error.square(), 2 * delta * error - delta**2)

    return Loss("hdr_huber", "biased", huber, "dark: by 30 % with delta 8 where 1 sample in 200 is 100 times as bright")


class BiasControl:
    """Chooses ``delta`` of :func:`robust`, as small as the mean allows.

    Fireflies in targets are most of the gradient's noise, and often little of the image's energy. Targets are unbiased,
    so that predictions and targets of the last hundred batches tell whether images come out dark; while they do, delta
    grows towards L_HDR, otherwise it shrinks. What it settles at has the mean of the targets: over all pixels, where
    L_HDR has it for each pixel.
    """

    START, LEAST, MOST = 8.0, 3.0, 1e4
    #: Growth and decay of delta a step, how much of the sums is kept, and the batches to wait for.
    GROWTH, DECAY, MEMORY, PATIENCE = 0.02, 0.01, 0.98, 20

    def __init__(self) -> None:
        self.delta = self.START
        self._excess = self._light = 0.0
        self._batches = 0

    @property
    def bias(self) -> float:
        """Mean of the predictions over that of the targets, minus 1."""
        return self._excess / self._light if self._light > 0 else 0.0

    def see(self, prediction: Tensor, target: Tensor, weight: Tensor) -> None:
        """Take in a batch: ``[N, 3, H, W]`` twice, without gradient, and the weights ``[N, 1, H, W]`` of pixels."""
        # One absurd sample would be all that the sums hold for thousands of batches.
        target = torch.minimum(target, self.MOST * (prediction.clamp_min(0) + EPSILON))
        self._excess = self.MEMORY * self._excess + float((weight * (prediction - target)).sum())
        self._light = self.MEMORY * self._light + float((weight * target).sum())
        self._batches += 1
        if self._batches > self.PATIENCE:
            factor = math.exp(self.GROWTH if self.bias < 0 else -self.DECAY)
            self.delta = min(self.MOST, max(self.LEAST, self.delta * factor))

    def state_dict(self) -> dict[str, float]:
        """As JSON values."""
        return {"delta": self.delta, "excess": self._excess, "light": self._light, "batches": self._batches}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on where ``state`` was taken."""
        self.delta, self._excess, self._light = state["delta"], state["excess"], state["light"]
        self._batches = int(state["batches"])


def get_loss(name: str, needs: Statistic | None = None) -> Loss:
    """The loss called ``name``; with ``needs``, only if that is what it estimates.

    Raises:
        InputError: Unknown name, or a loss that estimates another statistic than the noise model needs.
    """
    if name not in LOSSES:
        raise InputError(f"there is no loss {name!r}", f"Choose one of {', '.join(LOSSES)}")
    loss = LOSSES[name]
    if needs is not None and loss.estimates != needs:
        fitting = ", ".join(n for n, known in LOSSES.items() if known.estimates == needs)
        raise InputError(f"loss {name!r} estimates the {loss.estimates}, but this noise needs the {needs}", fitting)
    return loss
