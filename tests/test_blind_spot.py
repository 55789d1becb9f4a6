"""Batches of blind spots: which pixels are targets, and that nothing else changes. How they are hidden is tested
in tests/sources/test_masking.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rendernoise.frame import FramePair
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.sources.batching import Batch, CropPlan, held_out
from rendernoise.sources.blind_spot import BlindSpotBatcher
from rendernoise.sources.store import PairStore

PLANES = ("radiance", "albedo", "normal")


@pytest.fixture
def store(tmp_path: Path, random_pair: Callable[..., FramePair]) -> PairStore:
    """One frame of 40×56 px with itself as target."""
    frame = random_pair().input
    store = PairStore(tmp_path / "store")
    store.put(0, FramePair.of_halves(frame, frame))
    store.show(0)
    return store


def draw(store: PairStore, seed: int, **plan: object) -> Batch:
    model = DenoisingModel(ModelSpec.default("unet_log", PLANES))
    batcher = BlindSpotBatcher(store, model, CropPlan(both_ways=False, augment=False, **plan), seed)  # type: ignore[arg-type]
    return batcher.draw()


def test_only_hidden_pixels_are_targets_and_targets_stay(store: PairStore) -> None:
    batch = draw(store, 3, crop_px=64, batch=1)
    original = store.frame_pair(1).input
    assert np.array_equal(batch.target[0].numpy(), original.radiance)
    changed = (batch.planes[0, :3] != batch.target[0]).any(0).numpy()
    weight = batch.weight[0, 0].numpy()
    tiles = held_out(original.height, original.width, 1)
    assert set(np.unique(weight)) == {0.0, 1.0}
    # Continuous values differ from all others, so that what changed is what was hidden.
    assert np.array_equal(weight > 0, changed & ~tiles)
    assert 0.04 < weight.mean() < 0.08
    features = np.concatenate([original.planes["albedo"], original.planes["normal"]])
    assert np.array_equal(batch.planes[0, 3:].numpy(), features)


def test_pixels_equal_to_their_neighbours_are_targets_too(
    tmp_path: Path, random_pair: Callable[..., FramePair]
) -> None:
    frame = random_pair().input
    flat = replace(frame, planes={**frame.planes, "radiance": np.ones_like(frame.radiance)})
    store = PairStore(tmp_path / "flat")
    store.put(0, FramePair.of_halves(flat, flat))
    store.show(0)
    assert torch.equal(draw(store, 3, crop_px=64).weight, draw(store, 3, crop_px=64).weight)
    assert draw(store, 3, crop_px=64).weight.sum() > 100


def test_seeds_repeat_and_differ(store: PairStore) -> None:
    one, again, other = (draw(store, seed, crop_px=32) for seed in (1, 1, 2))
    assert all(torch.equal(getattr(one, n), getattr(again, n)) for n in ("planes", "target", "weight"))
    assert not torch.equal(one.weight, other.weight)
