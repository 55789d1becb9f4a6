"""Muon: steepest descent in the spectral norm, which learns in about half the steps of Adam here (docs/denoiser.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Coefficients and count of the Newton–Schulz iteration of Jordan et al. 2024: singular values go to about 1, fast.
_A, _B, _C = 3.4445, -4.7750, 2.0315
NEWTON_SCHULZ_STEPS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """``[N, rows, columns]`` with all singular values brought near 1, their directions kept.

    Args:
        matrices: Any scale; in bf16 where that is native, since no digit matters.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for weights, Adam for biases.

    A convolution's weight ``[out, in, k, k]`` is taken as the matrix ``[out, in·k·k]``. Its step has the momentum's
    singular vectors and singular values near 1, so that rare directions are learned as fast as common ones.

    Args:
        parameters: Weights and biases.
        lr: The rate of Adam; weights move by ``weight_scale`` times as much.
        betas: Adam's decay rates.
        momentum: Decay of Muon's (Nesterov) momentum.
        weight_scale: Step of a weight's singular values over ``lr``.
        weight_decay: What share of a weight each step takes off, over the step's length. As steps have one length
            whatever the gradient, weights grow in a long training, and large weights hardly move when trained further.
        dtype: What the iteration computes in.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        momentum: float = 0.95,
        weight_scale: float = 10.0,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        options = {"lr": lr, "betas": betas, "momentum": momentum, "weight_scale": weight_scale}
        super().__init__(parameters, {**options, "weight_decay": weight_decay, "dtype": dtype})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step along ``.grad``."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.ndim < 2:
                    self._adam(p, group)
                else:
                    alike[p.shape].append(p)
            for parameters in alike.values():
                self._muon(parameters, group)

    def _muon(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Weights of one shape, in one batch of matrices."""
        looks: list[Tensor] = []
        for p in parameters:
            assert p.grad is not None
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            momentum = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            looks.append(p.grad.lerp(momentum, group["momentum"]).flatten(1))
        rows, columns = looks[0].shape
        steps = orthogonalised(torch.stack(looks).to(group["dtype"]))
        length = group["lr"] * group["weight_scale"]
        for p, step in zip(parameters, steps, strict=True):
            p.mul_(1 - length * group["weight_decay"])
            p.add_(step.to(p.dtype).reshape(p.shape), alpha=-length * max(1.0, rows / columns) ** 0.5)

    def _adam(self, p: nn.Parameter, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
        assert p.grad is not None
        state["step"] += 1
        count, (first, second) = float(state["step"]), group["betas"]
        state["exp_avg"].lerp_(p.grad, 1 - first)
        state["exp_avg_sq"].lerp_(p.grad.square(), 1 - second)
        scale = (state["exp_avg_sq"] / (1 - second**count)).sqrt_().add_(1e-8)
        p.addcdiv_(state["exp_avg"], scale, value=-group["lr"] / (1 - first**count))
