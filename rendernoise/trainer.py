"""The training loop. It knows batches, a model and a loss; no mode, no renderer, no command."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from rendernoise.denoiser import pays_bf16
from rendernoise.losses import BiasControl, Loss, noise_weights, robust
from rendernoise.model import DenoisingModel
from rendernoise.muon import Muon
from rendernoise.sources.batching import Batch


@dataclass(frozen=True)
class TrainerOptions:
    """How the weights move.

    Args:
        optimizer: ``muon`` or ``adam``.
        learning_rate: Peak rate.
        betas: Adam's decay rates (the paper's are 0.9 and 0.99).
        warmup_steps: Steps over which the rate rises linearly.
        tail: Share of the run, at its end, over which the rate falls to 0 along a cosine.
        ema: Decay of the averaged weights that are used for images; 0 for none.
        clip_norm: Largest gradient norm; 0 for none. Gradients may be clipped, targets never.
        momentum: Of Muon.
        weight_decay: Of Muon.
        robust: Whether L_HDR is made robust against fireflies as far as the mean allows
            (:class:`rendernoise.losses.BiasControl`).
        weigh_noise: Whether noisy surroundings count less (:func:`rendernoise.losses.noise_weights`).
    """

    optimizer: Literal["muon", "adam"] = "muon"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    warmup_steps: int = 20
    tail: float = 0.4
    ema: float = 0.99
    clip_norm: float = 1.0
    momentum: float = 0.95
    weight_decay: float = 0.05
    robust: bool = True
    weigh_noise: bool = True


@dataclass(frozen=True)
class StepReport:
    """What one step did; ``loss`` is None when the batch was skipped as not finite."""

    step: int
    loss: float | None
    learning_rate: float


def _optimizer(model: DenoisingModel, options: TrainerOptions, dtype: torch.dtype) -> torch.optim.Optimizer:
    if options.optimizer == "muon":
        return Muon(
            model.parameters(),
            lr=options.learning_rate,
            betas=options.betas,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            dtype=dtype,
        )
    return torch.optim.Adam(model.parameters(), lr=options.learning_rate, betas=options.betas)


class Trainer:
    """One loss, with warm-up, tail, averaged weights and a guard against non-finite steps.

    Args:
        model: Trained in place.
        loss: Declared statistic and all. ``hdr`` is made robust if the options say so.
        options: How the weights move.
        device: Where to compute.
    """

    def __init__(self, model: DenoisingModel, loss: Loss, options: TrainerOptions, device: torch.device) -> None:
        self.model = model.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.loss, self.options, self.device = loss, options, device
        self.step_count = 0
        self.skipped = 0
        self.control = BiasControl() if options.robust and loss.name == "hdr" else None
        self.autocast = pays_bf16(device)
        self._optimizer = _optimizer(model, options, torch.bfloat16 if self.autocast else torch.float32)
        self._average = [p.detach().clone() for p in model.parameters()] if options.ema else []

    def rate(self, progress: float) -> float:
        """The learning rate of the next step when ``progress`` of the run, 0 to 1, is done."""
        o = self.options
        warm = min(1.0, (self.step_count + 1) / max(1, o.warmup_steps))
        left = (1 - progress) / o.tail if o.tail else 1.0
        tail = 1.0 if left >= 1 else 0.5 - 0.5 * math.cos(math.pi * max(left, 0.0))
        return o.learning_rate * warm * tail

    def step(self, batch: Batch, progress: float = 0.0) -> StepReport:
        """One optimisation step; a batch whose loss or gradient is not finite is skipped, counted and reported."""
        rate = self.rate(progress)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(self.device)
        self.step_count += 1
        self.model.train()
        # What a batch norm has seen on average: a skipped batch must leave no trace there either.
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            prediction = self.model(batch.planes, batch.exposure)
        # Both in the exposure of the input: the loss is relative above 0.01, which must not mean another brightness
        # in every scene. A factor is no curve: the minimiser stays the mean.
        prediction, weight = prediction * batch.exposure, batch.weight
        if self.options.weigh_noise:
            weight = weight * noise_weights(prediction.detach(), self.model.radiance_of(batch.planes) * batch.exposure)
        target = batch.target * batch.exposure
        loss = (robust(self.control.delta) if self.control else self.loss.at(progress))(prediction, target, weight)
        loss.backward()
        limit = self.options.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            self._optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, before in zip(self.model.buffers(), buffers, strict=True):
                    buffer.copy_(before)
            self.skipped += 1
            return StepReport(self.step_count, None, rate)
        self._optimizer.step()
        self._update_average()
        if self.control:
            self.control.see(prediction.detach(), target, batch.weight)
        return StepReport(self.step_count, value, rate)

    def _update_average(self) -> None:
        if not self._average:
            return
        # A short memory at first: the start of training is nothing to remember.
        taken = self.step_count - self.skipped
        decay = min(self.options.ema, taken / (taken + 9))
        with torch.no_grad():
            for average, weight in zip(self._average, self.model.parameters(), strict=True):
                average.lerp_(weight, 1 - decay)

    def averaged(self) -> _Swapped:
        """Within ``with trainer.averaged():`` the model has the averaged weights."""
        return _Swapped(list(self.model.parameters()), self._average)

    def copy_of_average(self) -> list[Tensor]:
        """The averaged weights as they are now; the weights themselves where none are averaged."""
        return [weight.detach().clone() for weight in self._average or self.model.parameters()]

    def adopt(self, weights: list[Tensor]) -> None:
        """Take these for the weights and for their average."""
        with torch.no_grad():
            for kept in (list(self.model.parameters()), self._average):
                for own, other in zip(kept, weights, strict=False):
                    own.copy_(other)

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on: tensors, and JSON values."""
        tensors: dict[str, Tensor] = {}
        for i, (name, p) in enumerate(self.model.named_parameters()):
            tensors[f"model.{name}"] = p.detach()
            if self._average:
                tensors[f"average.{name}"] = self._average[i]
            for key, value in self._optimizer.state.get(p, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value
        tensors |= {f"buffer.{name}": buffer for name, buffer in self.model.named_buffers()}
        control = self.control.state_dict() if self.control else None
        return tensors, {"step_count": self.step_count, "skipped": self.skipped, "control": control}

    def load_state_dict(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.step_count, self.skipped = state["step_count"], state["skipped"]
        if self.control and state["control"]:
            self.control.load_state_dict(state["control"])
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                buffer.copy_(tensors[f"buffer.{name}"])
            for i, (name, p) in enumerate(self.model.named_parameters()):
                p.copy_(tensors[f"model.{name}"])
                if self._average:
                    self._average[i].copy_(tensors[f"average.{name}"])
                named = (k.split(".", 2) for k in tensors if k.startswith("optimizer."))
                keys = [key for _, key, parameter in named if parameter == name]
                if keys:
                    # Optimisers keep their moments in the parameter's own memory order and their step on the CPU.
                    self._optimizer.state[p] = {
                        k: torch.empty_like(p).copy_(t) if (t := tensors[f"optimizer.{k}.{name}"]).ndim else t.clone()
                        for k in keys
                    }


class _Swapped:
    """Swaps two sets of weights for the length of a ``with`` block."""

    def __init__(self, weights: list[torch.nn.Parameter], others: list[Tensor]) -> None:
        self._weights, self._others = weights, others

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *exc: object) -> None:
        self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for weight, other in zip(self._weights, self._others, strict=False):
                kept = weight.detach().clone()
                weight.copy_(other)
                other.copy_(kept)
