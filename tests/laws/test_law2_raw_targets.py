"""Law 2: what the loss sees is what the renderer made, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rendernoise.frame import Frame, FramePair, average
from rendernoise.losses import LOSSES
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import NETWORKS
from rendernoise.render.camera import View
from rendernoise.render.process import Rendered, Request
from rendernoise.sources.batching import CropBatcher, CropPlan, batch_of, held_out
from rendernoise.sources.live import LivePairs
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer, TrainerOptions

HEIGHT, WIDTH = 48, 64
EXTREMES = [1e6, -3.5, 0.0, 1e-40, 3.4e38, 0.1, 1 / 3, np.nextafter(np.float32(1), np.float32(2))]


class Extreme:
    """A renderer in this process whose frames hold every value that targets must survive."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, int], Frame] = {}

    def map(self, requests: Iterator[Request]) -> Iterator[Rendered]:
        for request in requests:
            rng = np.random.default_rng(request.seed)
            radiance = rng.lognormal(0, 2, (3, HEIGHT, WIDTH)).astype(np.float32)
            radiance.reshape(-1)[rng.permutation(radiance.size)[: len(EXTREMES) * 50]] = EXTREMES * 50
            features = {"albedo": rng.random((3, HEIGHT, WIDTH), dtype=np.float32)}
            frame = Frame({"radiance": radiance, **features}, request.spp, request.view.frame, request.seed)
            self.made[request.view.frame, request.seed] = frame
            yield Rendered(request, frame, 0.0)

    def close(self) -> None: ...


def model_of(network: str = "unet_log") -> DenoisingModel:
    return DenoisingModel(ModelSpec.default(network, ("radiance", "albedo")))


def live(tmp_path: Path, renderer: Extreme, frames: int = 2, spp: int = 1) -> tuple[LivePairs, PairStore]:
    store = PairStore(tmp_path / "pairs")
    views = tuple(View(n) for n in range(1, frames + 1))
    return LivePairs(lambda: renderer, views, passes=1, spp=spp, run_seed=0, store=store), store  # pyright: ignore


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_targets_reach_the_loss_bit_for_bit(tmp_path: Path, network: str) -> None:
    renderer = Extreme()
    pairs, store = live(tmp_path, renderer)
    whole = CropPlan(crop_px=4096, batch=1, both_ways=True, replay=1.0, hold_out=False, augment=False)
    batcher = CropBatcher(store, model_of(network), whole, seed=0)
    for _ in pairs:
        pass
    rendered = [f.radiance for f in renderer.made.values()]
    seen = set()
    for _ in range(40):
        batch = batcher.draw().to(torch.device("cpu"))
        target, planes = batch.target[0].numpy(), batch.planes[0].numpy()
        matches = [i for i, r in enumerate(rendered) if np.array_equal(r.view(np.int32), target.view(np.int32))]
        assert len(matches) == 1, "a target is one render, to the bit"
        seen.add(matches[0])
        # The input is the other half of the same frame (A and B of a frame were rendered one after the other).
        assert np.array_equal(planes[:3], rendered[matches[0] ^ 1])
        assert (batch.weight == 1).all()
    assert seen == {0, 1, 2, 3}, "every half of every frame serves as target"


def test_parts_change_places_and_every_target_is_the_mean_of_what_the_input_lacks(tmp_path: Path) -> None:
    renderer = Extreme()
    pairs, store = live(tmp_path, renderer, frames=1, spp=4)
    next(iter(pairs))
    assert len(renderer.made) == 4, "two parts of two halves"
    whole = CropPlan(crop_px=4096, batch=1, replay=1.0, hold_out=False, augment=False)
    batcher = CropBatcher(store, model_of(), whole, seed=0)
    (a0, b0), (a1, b1) = zip(*[iter(renderer.made.values())] * 2, strict=True)
    assert [f.spp for f in (a0, b0, a1, b1)] == [2, 2, 2, 2]
    seen = set()
    for _ in range(40):
        batch = batcher.draw()
        target, planes = batch.target[0].numpy(), batch.planes[0].numpy()
        splits = [((a0, a1), (b0, b1)), ((b0, b1), (a0, a1)), ((a0, b1), (b0, a1)), ((b0, a1), (a0, b1))]
        means = [tuple(average(list(side)).radiance for side in split) for split in splits]
        matches = [i for i, (x, y) in enumerate(means) if np.array_equal(planes[:3], x) and np.array_equal(target, y)]
        assert len(matches) == 1
        seen.add(matches[0])
        exposure = batcher.model.exposure_of(average(list(splits[matches[0]][0])))
        assert float(batch.exposure) == pytest.approx(exposure)
    assert seen == {0, 1, 2, 3}


def test_turned_crops_keep_every_value(tmp_path: Path) -> None:
    renderer = Extreme()
    pairs, store = live(tmp_path, renderer, frames=1)
    next(iter(pairs))
    whole = CropPlan(crop_px=4096, batch=1, hold_out=False, augment=True)
    batcher = CropBatcher(store, model_of(), whole, seed=2)
    rendered = [f.radiance for f in renderer.made.values()]
    for _ in range(20):
        batch = batcher.draw()
        target, planes = batch.target[0].numpy(), batch.planes[0].numpy()
        turned = [
            (t[..., ::y, ::x], p[..., ::y, ::x])
            for t, p in (rendered, rendered[::-1])
            for y in (1, -1)
            for x in (1, -1)
        ]
        assert sum(np.array_equal(t, target) and np.array_equal(p, planes[:3]) for t, p in turned) == 1


def test_crops_are_windows_of_the_render(tmp_path: Path) -> None:
    renderer = Extreme()
    pairs, store = live(tmp_path, renderer, frames=1)
    next(iter(pairs))
    batcher = CropBatcher(store, model_of(), CropPlan(crop_px=16, batch=3, hold_out=False, augment=False), seed=1)
    rendered = [f.radiance for f in renderer.made.values()]
    for _ in range(10):
        for target in batcher.draw().target.numpy():
            windows = [np.lib.stride_tricks.sliding_window_view(r, (3, 16, 16))[0] for r in rendered]
            assert any((w == target).all(axis=(2, 3, 4)).any() for w in windows)


def test_only_pixels_that_are_not_finite_weigh_nothing() -> None:
    rng = np.random.default_rng(0)
    target = rng.lognormal(0, 2, (3, 8, 8)).astype(np.float32)
    target[0, 1, 1], target[1, 2, 2], target[2, 3, 3], target[0, 4, 4] = np.nan, np.inf, -np.inf, 1e30
    target[1, 5, 5], target[2, 6, 6] = -7, 0
    pair = FramePair(
        Frame({"radiance": np.ones((3, 8, 8), np.float32), "albedo": np.ones((3, 8, 8), np.float32)}), target
    )
    batch = batch_of(pair, np.ones((1, 8, 8), np.float32), 1.0, model_of())
    bad = ~np.isfinite(target).all(axis=0)
    assert bad.sum() == 3
    assert np.array_equal(batch.weight[0, 0].numpy(), (~bad).astype(np.float32))
    assert np.array_equal(batch.target[0].numpy()[:, ~bad], target[:, ~bad])
    assert torch.isfinite(batch.target).all()


def test_held_out_tiles_take_no_part_and_change_no_target(tmp_path: Path) -> None:
    pairs, store = live(tmp_path, Extreme(), frames=1)
    pair = next(iter(pairs))
    batch = CropBatcher(store, model_of(), CropPlan(crop_px=4096, both_ways=False, augment=False), seed=0).draw()
    mask = held_out(HEIGHT, WIDTH, 1)
    assert not mask.any(), "12 tiles are too few to hold one back"
    assert np.array_equal(batch.target[0].numpy(), pair.target)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_target_of_no_weight_has_no_influence(name: str) -> None:
    prediction = torch.full((1, 3, 4, 4), 0.7, requires_grad=True)
    weight = torch.ones(1, 1, 4, 4)
    weight[..., 0, 0] = 0
    gradients = []
    for value in (0.0, 1e6):
        target = torch.full((1, 3, 4, 4), 0.5)
        target[..., 0, 0] = value
        (gradient,) = torch.autograd.grad(LOSSES[name](prediction, target, weight), prediction)
        gradients.append(gradient)
    assert torch.equal(*gradients)
    assert (gradients[0][..., 0, 0] == 0).all()


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("exposure", [1.0, 3.0, 0.01])
def test_the_trainer_hands_the_loss_the_target_in_the_exposure_of_the_input(
    monkeypatch: pytest.MonkeyPatch, exposure: float, robust: bool
) -> None:
    """One factor on prediction and target and nothing else: to the bit, and untouched where the exposure is 1."""
    seen: list[torch.Tensor] = []

    def spy(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.extend((prediction.detach().clone(), target.clone()))
        return (prediction - target.clamp(0, 10)).square()

    target = torch.tensor(EXTREMES * 6).reshape(1, 3, 4, 4)
    frame = Frame({n: np.full((3, 4, 4), 0.5, np.float32) for n in ("radiance", "albedo")})
    batch = batch_of(FramePair(frame, target[0].numpy()), np.ones((1, 4, 4), np.float32), exposure, model_of())
    loss = replace(LOSSES["hdr"], function=spy)
    monkeypatch.setattr("rendernoise.trainer.robust", lambda delta: loss)
    trainer = Trainer(model_of(), loss, TrainerOptions(robust=robust), torch.device("cpu"))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=trainer.autocast):
        prediction = trainer.model(batch.planes, batch.exposure)
    trainer.step(batch)
    assert torch.equal(seen[0], prediction * np.float32(exposure))
    assert torch.equal(seen[1].view(torch.int32), (target * np.float32(exposure)).view(torch.int32))
