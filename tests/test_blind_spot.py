"""Batches of blind spots: which pixels are targets, what stands in for them, and that nothing of them is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rendernoise.frame import FramePair
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.sources.batching import Batch, CropPlan, held_out
from rendernoise.sources.blind_spot import CELL_PX, REACH_PX, BlindSpotBatcher, hidden_pixels, without
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


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**32))
def test_stand_ins_come_from_around_and_are_no_targets(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    radiance = np.arange(3 * height * width, dtype=np.float32).reshape(3, height, width)
    before = radiance.copy()
    hidden = hidden_pixels(height, width, rng)
    result = without(radiance, hidden, rng)
    assert np.array_equal(radiance, before)
    assert np.array_equal(result[:, ~hidden], before[:, ~hidden])
    for y, x in np.argwhere(hidden):
        from_y, from_x = divmod(int(result[0, y, x]), width)
        assert np.array_equal(result[:, y, x], before[:, from_y, from_x])
        assert max(abs(from_y - y), abs(from_x - x)) in range(1, REACH_PX + 1)
        assert not hidden[from_y, from_x]


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


def test_every_pixel_is_hidden_alike() -> None:
    """A chi-square test over all pixels, with a false alarm in 1000 seeds; cells are cut by two borders."""
    height, width, draws = 10, 14, 4000
    rng = np.random.default_rng(7)
    count = np.sum([hidden_pixels(height, width, rng) for _ in range(draws)], axis=0)
    share = 1 / CELL_PX**2
    # Pixels of a cell exclude each other, which makes the sum of a whole cell's 16 terms chi-square of 15 degrees times
    # 1 / (1 - share) here; as 16 would be taken for independent, the limit is on the safe side of both.
    statistic = float(np.sum((count - draws * share) ** 2) / (draws * share * (1 - share)))
    degrees = height * width
    limit = degrees * (1 - 2 / (9 * degrees) + 3.09 * np.sqrt(2 / (9 * degrees))) ** 3  # Wilson and Hilferty 1931
    assert statistic < limit


def test_all_neighbours_stand_in_alike() -> None:
    """Chi-square over the 24 places, one pixel hidden at a time: a false alarm in 1000 seeds."""
    rng = np.random.default_rng(5)
    hidden = np.zeros((5, 5), dtype=bool)
    hidden[2, 2] = True
    radiance = np.arange(75, dtype=np.float32).reshape(3, 5, 5)
    drawn = np.bincount([int(without(radiance, hidden, rng)[0, 2, 2]) for _ in range(2400)], minlength=25)
    assert drawn[12] == 0
    assert np.sum((np.delete(drawn, 12) - 100.0) ** 2 / 100) < 49.7  # 99.9 % point of 23 degrees
