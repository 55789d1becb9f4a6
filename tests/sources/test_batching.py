from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rendernoise.errors import ImageError
from rendernoise.frame import FramePair
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.sources.batching import HOLDOUT_TILE_PX, Batch, CropBatcher, CropPlan, held_out
from rendernoise.sources.store import PairStore

Pairs = Callable[..., FramePair]
MODEL = DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo", "normal")))
SIZE = (80, 96)


@pytest.fixture
def store(tmp_path: Path, random_pair: Pairs) -> PairStore:
    made = PairStore(tmp_path)
    for i, number in enumerate((1, 2, 3)):
        made.put(i, random_pair(*SIZE, number=number))
        made.show(i)
    return made


def check_equal(one: Batch, two: Batch) -> None:
    for name in ("planes", "exposure", "target", "weight"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_the_same_seed_draws_the_same_batches(store: PairStore) -> None:
    plan = CropPlan(crop_px=32)
    one, two, other = (CropBatcher(store, MODEL, plan, seed) for seed in (5, 5, 6))
    for _ in range(5):
        check_equal(one.draw(), two.draw())
    assert not torch.equal(one.draw().target, other.draw().target)


def test_draws_go_on_after_a_restart(store: PairStore) -> None:
    plan = CropPlan(crop_px=32)
    whole = CropBatcher(store, MODEL, plan, 0)
    whole.draw()
    whole.all_frames = True
    state = json.loads(json.dumps(whole.state_dict()))
    again = CropBatcher(store, MODEL, plan, 99)
    again.load_state_dict(state)
    assert again.all_frames
    for _ in range(4):
        check_equal(whole.draw(), again.draw())


def origin_of(batch: Batch, index: int, pairs: dict[tuple[int, str], np.ndarray]) -> tuple[int, str]:
    """Which frame and half a target crop is from, told by a value in its middle."""
    value = batch.target[index, 0, 4, 4].numpy()
    return next(key for key, image in pairs.items() if (image[0] == value).any())


def drawn(store: PairStore, random_pair: Pairs, plan: CropPlan, draws: int, all_frames: bool = False) -> list:
    images = {}
    for number in (1, 2, 3):
        pair = random_pair(*SIZE, number=number)
        images[number, "a"], images[number, "b"] = pair.input.radiance, pair.target
    batcher = CropBatcher(store, MODEL, plan, 0)
    batcher.all_frames = all_frames
    return [origin_of(batch, i, images) for batch in (batcher.draw() for _ in range(draws)) for i in range(plan.batch)]


def test_half_of_the_crops_are_replayed(store: PairStore, random_pair: Pairs) -> None:
    origins = drawn(store, random_pair, CropPlan(crop_px=8, batch=2, replay=0.5), 400)
    share = np.mean([n == 3 for n, _ in origins])
    # 1/2 from the newest, and a third of the replayed half: 2/3; 800 draws in pairs spread by at most 0.024.
    assert share == pytest.approx(2 / 3, abs=0.1)
    assert np.mean([h == "a" for _, h in origins]) == pytest.approx(0.5, abs=0.1)


def test_without_replay_only_the_newest_serves_and_at_the_end_all_do(store: PairStore, random_pair: Pairs) -> None:
    plan = CropPlan(crop_px=8, batch=1, replay=0.0, both_ways=False)
    assert set(drawn(store, random_pair, plan, 40)) == {(3, "b")}
    origins = drawn(store, random_pair, plan, 120, all_frames=True)
    assert set(origins) == {(1, "b"), (2, "b"), (3, "b")}


def test_held_out_tiles_are_never_targets(store: PairStore) -> None:
    plan = CropPlan(crop_px=4096, batch=1, both_ways=False, replay=0.0, augment=False)
    weight = CropBatcher(store, MODEL, plan, 0).draw().weight[0, 0].numpy()
    mask = held_out(*SIZE, 3)
    assert np.array_equal(weight == 0, mask)
    assert mask.sum() == 16 * 16, "one tile of 30"


def test_held_out_tiles_depend_on_the_frame_alone() -> None:
    one = held_out(256, 256, 7)
    assert np.array_equal(one, held_out(256, 256, 7))
    assert one.mean() == pytest.approx(1 / 16)
    assert any(not np.array_equal(one, held_out(256, 256, n)) for n in (6, 8))
    tiles = one.reshape(16, HOLDOUT_TILE_PX, 16, HOLDOUT_TILE_PX)
    assert (tiles.all(axis=(1, 3)) == tiles.any(axis=(1, 3))).all(), "whole tiles"
    assert held_out(100, 130, -4).shape == (100, 130)
    assert not held_out(48, 64, 1).any(), "fewer than 16 tiles"


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 200)])
def test_small_frames_are_taken_whole(size: tuple[int, int], tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path / "small")
    store.put(0, random_pair(*size))
    store.show(0)
    batch = CropBatcher(store, MODEL, CropPlan(crop_px=128), 0).draw()
    height, width = min(size[0], 128), min(size[1], 128)
    assert sorted(batch.target.shape[2:]) == sorted((height, width))
    assert batch.planes.shape[1] == 9
    assert batch.weight.shape == (2, 1, *batch.target.shape[2:])


def test_frames_of_different_sizes_make_one_batch(tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path / "mixed")
    for i, size in enumerate(((40, 30), (20, 50))):
        store.put(i, random_pair(*size, number=i))
        store.show(i)
    batcher = CropBatcher(store, MODEL, CropPlan(crop_px=32, batch=4, replay=1.0), 0)
    for _ in range(8):
        shape = tuple(batcher.draw().target.shape)
        assert min(shape[2:]) >= 20
        assert max(shape[2:]) <= 32


def test_more_passes_change_the_exposure(store: PairStore, random_pair: Pairs) -> None:
    plan = CropPlan(crop_px=8, batch=1, both_ways=False, replay=0.0)
    batcher = CropBatcher(store, MODEL, plan, 0)
    before = float(batcher.draw().exposure)
    brighter = random_pair(*SIZE, number=3, seed=9)
    store.put(3, FramePair.of_halves(brighter.input.with_planes(radiance=brighter.input.radiance * 3), brighter.input))
    store.show(3)
    assert float(batcher.draw().exposure) < 0.8 * before


@pytest.mark.parametrize("passes", [1, 2, 6])
def test_every_pass_changes_sides_for_itself(passes: int, tmp_path: Path, random_pair: Pairs) -> None:
    """Up to 4 do; with more, exposures of all splits would be no longer few."""
    store = PairStore(tmp_path / "passes")
    for i in range(passes):
        store.put(i, random_pair(8, 8, seed=i))
        store.show(i)
    batcher = CropBatcher(store, MODEL, CropPlan(crop_px=8, batch=1, augment=False, hold_out=False), 0)
    free = min(passes, 4)
    seen = set()
    for _ in range(40 * 2**free):  # one of 16 splits is missed with a chance of 2e-17
        batch = batcher.draw()
        seen.add((float(batch.exposure), float(batch.target.sum())))
    assert len(seen) == 2**free
    assert len(batcher._exposures) == 2**free


def test_targets_that_are_no_renders_stay_targets(tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path / "references")
    pair = random_pair(8, 8)
    store.put(0, FramePair(pair.input, pair.target, "reference"))
    store.show(0)
    batcher = CropBatcher(store, MODEL, CropPlan(crop_px=8, batch=1, augment=False, hold_out=False), 0)
    assert not store.two_way(1)
    for _ in range(20):
        assert np.array_equal(batcher.draw().target[0].numpy(), pair.target)


def test_memory_does_not_grow_with_the_shot(tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path / "long")
    batcher = CropBatcher(store, MODEL, CropPlan(crop_px=32), 0)

    def arrive(count: int) -> int:
        for _ in range(count):
            store.put(len(store), random_pair(128, 128, number=len(store)))
            store.show(len(store))
            batcher.draw()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        few, many = arrive(3), arrive(20)
    finally:
        tracemalloc.stop()
    one_pair = 2 * 10 * 128 * 128 * 4
    assert many - few < one_pair / 2, "twenty more pairs, and not even half of one in memory"


def test_a_shot_of_colour_alone_is_drawn_where_the_weights_bear_that(tmp_path: Path, random_pair: Pairs) -> None:
    pair = random_pair(40, 40)
    assert pair.partner is not None
    bare = [replace(f, planes={"radiance": f.radiance}) for f in (pair.input, pair.partner)]
    store = PairStore(tmp_path / "bare")
    store.put(0, FramePair.of_halves(*bare))
    store.show(0)
    spec = replace(MODEL.spec, bears_absence=True)
    batch = CropBatcher(store, DenoisingModel(spec), CropPlan(crop_px=16), 0).draw()
    assert torch.isfinite(batch.planes[:, :3]).all()
    assert batch.planes[:, 3:].isnan().all()
    with pytest.raises(ImageError, match="has no albedo, normal"):
        CropBatcher(store, MODEL, CropPlan(crop_px=16), 0).draw()
