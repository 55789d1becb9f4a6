from __future__ import annotations

import itertools
import json
import math
from typing import Any, Literal

import numpy as np
import pytest
import torch

from rendernoise.losses import LOSSES, Loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import NETWORKS
from rendernoise.networks.kernel_pyramid import KernelPyramid
from rendernoise.sources.batching import Batch
from rendernoise.trainer import Trainer, TrainerOptions

CPU = torch.device("cpu")
SPEC = ModelSpec.default("fast")
CHANNELS = SPEC.layout.channels
OPTIMIZERS: tuple[Literal["muon", "adam"], ...] = ("muon", "adam")


#: Channels of the radiance and of what other frames know of it.
RADIANCES = [channels for name, channels in SPEC.layout.slices() if name in ("radiance", "history")]


def batch(seed: int, size: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand(2, CHANNELS, size, size, generator=generator)
    target = torch.rand(2, 3, size, size, generator=generator)
    return Batch(planes, torch.full((2, 1, 1, 1), 1.5), target, torch.ones(2, 1, size, size))


def trainer(options: TrainerOptions | None = None, seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    return Trainer(DenoisingModel(SPEC), LOSSES["hdr"], options or TrainerOptions(), CPU)


def tensors_of(one: Trainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in one.state_dict()[0].items()}


def check_equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(t, two[k]) for k, t in one.items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_lowers_the_loss(optimizer: Literal["muon", "adam"]) -> None:
    """The target follows from the input, so nothing but the training is in the way of a loss of 0."""
    made = trainer(TrainerOptions(optimizer, warmup_steps=5))
    learnable = batch(0)
    learnable.target = 0.1 + 2 * learnable.planes[:, :3].flip(1)
    losses = [made.step(learnable).loss for _ in range(40)]
    assert all(value is not None for value in losses)
    assert losses[-1] < 0.6 * losses[0]  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_a_batch_that_is_not_finite_is_skipped_and_counted(bad: float) -> None:
    made = trainer(TrainerOptions(robust=False))
    made.step(batch(0))
    before = tensors_of(made)
    broken = batch(1)
    broken.target[0, 0, 3, 3] = bad
    report = made.step(broken)
    assert (report.loss, report.step, made.skipped, made.step_count) == (None, 2, 1, 2)
    check_equal(tensors_of(made), before)
    assert made.step(batch(2)).loss is not None
    assert all(bool(torch.isfinite(t).all()) for t in tensors_of(made).values())


def test_a_robust_loss_bears_an_absurd_target() -> None:
    made = trainer()
    broken = batch(1)
    broken.target[0, 0, 3, 3] = 1e30
    assert made.step(broken).loss is not None
    assert all(bool(torch.isfinite(t).all()) for t in tensors_of(made).values())


def test_a_resumed_robust_loss_goes_on_as_strict_as_it_was() -> None:
    one, two = trainer(), trainer(seed=1)
    for i in range(40):
        one.step(batch(i))
    tensors, state = one.state_dict()
    two.load_state_dict(tensors, json.loads(json.dumps(state)))
    assert one.control is not None
    assert two.control is not None
    assert one.control.delta != one.control.START
    for i in range(40, 44):
        one.step(batch(i))
        two.step(batch(i))
    assert one.control.state_dict() == two.control.state_dict()
    check_equal(tensors_of(one), tensors_of(two))


def test_only_the_loss_of_the_mean_is_made_robust() -> None:
    assert Trainer(DenoisingModel(SPEC), LOSSES["l1"], TrainerOptions(), CPU).control is None
    assert trainer(TrainerOptions(robust=False)).control is None


def test_lost_samples_in_the_input_do_no_harm() -> None:
    made = trainer()
    broken = batch(1)
    broken.planes[0, :, 2, 2], broken.planes[1, 0, 5, 5] = float("nan"), float("inf")
    assert made.step(broken).loss is not None
    assert made.skipped == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("ema", [0.0, 0.99])
def test_a_resumed_trainer_goes_on_bit_for_bit(ema: float, optimizer: Literal["muon", "adam"]) -> None:
    options = TrainerOptions(optimizer, ema=ema)
    whole = trainer(options)
    for seed in range(6):
        whole.step(batch(seed), seed / 10)
    first = trainer(options)
    for seed in range(3):
        first.step(batch(seed), seed / 10)
    tensors, state = first.state_dict()
    saved = {k: v.clone().contiguous() for k, v in tensors.items()}  # as a file keeps them: in plain memory order
    second = trainer(options, seed=99)
    second.load_state_dict(saved, dict(state))
    for seed in range(3, 6):
        second.step(batch(seed), seed / 10)
    check_equal(tensors_of(second), tensors_of(whole))
    assert second.state_dict()[1] == whole.state_dict()[1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_trainer_without_its_moments_would_not(optimizer: Literal["muon", "adam"]) -> None:
    options = TrainerOptions(optimizer)
    whole = trainer(options)
    for seed in range(4):
        whole.step(batch(seed))
    first = trainer(options)
    first.step(batch(0))
    tensors, state = first.state_dict()
    second = trainer(options)
    weights = {k: v.clone() for k, v in tensors.items() if not k.startswith("optimizer.")}
    assert len(weights) < len(tensors)
    second.load_state_dict(weights, state)
    for seed in range(1, 4):
        second.step(batch(seed))
    assert not all(torch.equal(t, whole.state_dict()[0][k]) for k, t in second.state_dict()[0].items())


def test_averaged_weights_are_a_mean_of_the_past() -> None:
    made = trainer(TrainerOptions(ema=0.9))
    name = "network.output.weight"
    average = made.state_dict()[0][f"average.{name}"].clone()
    for step in range(1, 16):
        made.step(batch(step))
        decay = min(0.9, step / (step + 9))
        average = decay * average + (1 - decay) * made.state_dict()[0][f"model.{name}"]
    state = made.state_dict()[0]
    assert torch.allclose(state[f"average.{name}"], average, atol=1e-6)
    assert not torch.equal(state[f"average.{name}"], state[f"model.{name}"])


def test_averaged_weights_are_swapped_in_and_back_even_after_an_error() -> None:
    made = trainer()
    made.step(batch(0))
    made.step(batch(1))
    before = tensors_of(made)
    weight = made.model.network.output.weight  # pyright: ignore[reportAttributeAccessIssue]
    with made.averaged():
        assert torch.equal(weight, before["average.network.output.weight"])
    check_equal(tensors_of(made), before)
    with pytest.raises(ZeroDivisionError), made.averaged():
        raise ZeroDivisionError
    check_equal(tensors_of(made), before)


def test_without_an_average_the_weights_serve_themselves() -> None:
    made = trainer(TrainerOptions(ema=0.0))
    made.step(batch(0))
    before = tensors_of(made)
    assert not [k for k in before if k.startswith("average.")]
    with made.averaged():
        check_equal(tensors_of(made), before)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    made = trainer(TrainerOptions(learning_rate=1e-3, warmup_steps=4, tail=0.4))
    assert [made.step(batch(0)).learning_rate for _ in range(5)] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])
    assert made.rate(0.6) == pytest.approx(1e-3)
    assert made.rate(0.8) == pytest.approx(0.5e-3)
    assert made.rate(1.0) == made.rate(1.5) == pytest.approx(0)
    falling = [made.rate(p) for p in np.linspace(0.6, 1, 20)]
    assert all(a > b for a, b in itertools.pairwise(falling))
    constant = trainer(TrainerOptions(warmup_steps=0, tail=0.0))
    assert constant.rate(0) == constant.rate(0.99) == constant.rate(1.0) == 1e-3


def test_gradients_are_clipped_and_targets_are_not() -> None:
    norms: dict[float, float] = {}

    class Watched(torch.optim.Adam):
        def step(self, *arguments: Any, **keywords: Any) -> Any:
            parameters = [p for group in self.param_groups for p in group["params"]]
            norms[limit] = math.sqrt(sum(float(p.grad.square().sum()) for p in parameters))
            return super().step(*arguments, **keywords)

    bright = batch(0)
    bright.target *= 1e4
    for limit in (0.0, 0.5):
        made = trainer(TrainerOptions("adam", clip_norm=limit, robust=False))
        made._optimizer = Watched(made.model.parameters(), lr=1e-3)
        made.step(bright)
    assert norms[0.5] == pytest.approx(0.5, rel=1e-3)
    assert norms[0.0] > 1e3


def test_every_weight_moves_with_either_optimiser() -> None:
    for optimizer in OPTIMIZERS:
        made = trainer(TrainerOptions(optimizer))
        before = {name: p.detach().clone() for name, p in made.model.named_parameters()}
        made.step(batch(0))
        assert not [n for n, p in made.model.named_parameters() if torch.equal(p, before[n])]


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**6, 2.0**20])
def test_a_brighter_scene_teaches_the_same(factor: float) -> None:
    """The loss sees prediction and target in the exposure of the input; powers of two leave no trace in float32."""
    one, other = trainer(), trainer()
    scaled = batch(0)
    for channels in RADIANCES:
        scaled.planes[:, channels] *= factor
    scaled.target *= factor
    scaled.exposure /= factor
    assert other.step(scaled).loss == one.step(batch(0)).loss
    check_equal(tensors_of(other), tensors_of(one))


def test_items_of_a_batch_keep_their_own_exposure() -> None:
    """A dark and a bright frame in one batch weigh the same: else bright scenes would do all the teaching."""
    even, uneven = batch(0), batch(0)
    for channels in RADIANCES:
        uneven.planes[0, channels] *= 64
    uneven.target[0] *= 64
    uneven.exposure[0] /= 64
    assert trainer().step(uneven).loss == trainer().step(even).loss


@pytest.mark.parametrize("weighs", [True, False])
def test_targets_have_no_part_in_the_weights_of_noise(weighs: bool) -> None:
    """Else the minimiser would no longer be the mean of the targets."""
    seen: list[torch.Tensor] = []

    class Spy(Loss):
        def __call__(
            self, prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
        ) -> torch.Tensor:
            assert weight is not None
            seen.append(weight.detach().clone())
            return super().__call__(prediction, target, weight)

    for factor in (1.0, 1e3):
        made = trainer(TrainerOptions(weigh_noise=weighs, robust=False))
        made.loss = Spy("hdr", "mean", LOSSES["hdr"].function)
        one = batch(0)
        one.target *= factor
        one.weight[0, 0, :5] = 0
        made.step(one)
    assert torch.equal(*seen)
    assert (seen[0][0, 0, :5] == 0).all()
    assert bool((seen[0] == batch(0).weight)[1:].all()) == (not weighs)


def test_the_best_weights_can_be_adopted() -> None:
    made = trainer()
    made.step(batch(0))
    best = made.copy_of_average()
    made.step(batch(1))
    made.adopt(best)
    weights = list(made.model.parameters())
    assert all(torch.equal(w, b) for w, b in zip(weights, best, strict=True))
    with made.averaged():
        assert all(torch.equal(w, b) for w, b in zip(weights, best, strict=True))
    assert made.step(batch(2)).loss is not None
    assert not torch.equal(weights[0], best[0]), "the copy stays what it was"
    bare = trainer(TrainerOptions(ema=0.0))
    bare.adopt(best)
    assert all(torch.equal(w, b) for w, b in zip(bare.copy_of_average(), best, strict=True))


class Narrow(KernelPyramid):
    """The body and head of ``fast`` at a tenth of the work: what goes NaN does so at every width."""

    widths = (8, 8, 8, 8, 8)


def wild_batch(seed: int, size: int = 32) -> Batch:
    """Crops with fireflies, lost samples, black corners and exposures from 1e-3 to 1e3."""
    rng = np.random.default_rng(seed)
    truth = rng.lognormal(-1, 1.5, (2, 3, 1, 1)) * np.linspace(0, 1, size).reshape(1, 1, 1, -1)
    halves = [truth * rng.exponential(1, (2, 3, size, size)) for _ in "ab"]
    for half in halves:
        half *= np.where(rng.random((2, 1, size, size)) < 0.002, 10.0 ** rng.uniform(2, 6), 1.0)
    planes = np.concatenate([halves[0], rng.random((2, CHANNELS - 3, size, size))], axis=1)
    planes[rng.random(planes.shape) < 1e-3] = np.nan
    exposure = 10.0 ** rng.uniform(-3, 3, (2, 1, 1, 1))
    weight = np.ones((2, 1, size, size))
    return Batch(*(torch.from_numpy(x.astype(np.float32)) for x in (planes, exposure, halves[1], weight)))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_on_fireflies_stays_finite(
    optimizer: Literal["muon", "adam"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short runs of the default, none of which loses a step."""
    monkeypatch.setitem(NETWORKS, "narrow", Narrow)
    spec = ModelSpec.default("narrow")
    for run in range(4 if optimizer == "muon" else 2):
        torch.manual_seed(run)
        made = Trainer(DenoisingModel(spec), LOSSES["hdr"], TrainerOptions(optimizer, warmup_steps=5), CPU)
        for step in range(60):
            made.step(wild_batch(1000 * run + step, 16), step / 60)
        assert made.skipped == 0, run
        assert all(bool(torch.isfinite(t).all()) for t in made.state_dict()[0].values())
        with made.averaged(), torch.no_grad():
            wild = wild_batch(run)
            assert torch.isfinite(made.model(wild.planes, wild.exposure)).all()


def test_the_real_networks_stay_finite_too() -> None:
    for name in ("fast", "shuffled_unet"):
        torch.manual_seed(0)
        model = DenoisingModel(ModelSpec.default(name, SPEC.planes))
        made, losses = Trainer(model, LOSSES["hdr"], TrainerOptions(), CPU), list[float | None]()
        for step in range(40):
            wild = wild_batch(step)
            wild.planes = wild.planes[:, : model.layout.channels]
            losses.append(made.step(wild).loss)
        assert made.skipped == 0
        assert all(value is not None and math.isfinite(value) for value in losses)
