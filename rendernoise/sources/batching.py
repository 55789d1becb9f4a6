"""Crops of stored pairs as batches; which pixels are targets, and which are held out to measure the error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rendernoise.augment import SYMMETRIES, turn
from rendernoise.frame import FramePair, Plane
from rendernoise.model import DenoisingModel
from rendernoise.sources.store import PairStore

HOLDOUT_TILE_PX = 16
HOLDOUT_SHARE = 1 / 16
#: Passes whose halves change places each for itself; with more, some do so together. Each split has an exposure.
FREE_PASSES = 4


@dataclass
class Batch:
    """What one training step sees.

    Args:
        planes: Raw input planes ``[N, C, H, W]`` in layout order.
        exposure: ``[N, 1, 1, 1]``.
        target: Raw linear radiance ``[N, 3, H, W]``.
        weight: ``[N, 1, H, W]``, 0 where a pixel is no target.
    """

    planes: Tensor
    exposure: Tensor
    target: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device, images in channels-last order."""
        last = torch.channels_last
        return Batch(
            self.planes.to(device, memory_format=last),
            self.exposure.to(device),
            self.target.to(device, memory_format=last),
            self.weight.to(device),
        )


def held_out(height: int, width: int, number: int) -> np.ndarray:
    """Pixels ``[H, W]`` (bool) of a frame that are never targets, so that its error can be measured on them.

    One 16 px tile in 16, drawn by the frame number alone; none in frames of fewer than 16 tiles.
    """
    rows, columns = -(-height // HOLDOUT_TILE_PX), -(-width // HOLDOUT_TILE_PX)
    count = int(rows * columns * HOLDOUT_SHARE)
    tiles = np.zeros(rows * columns, dtype=bool)
    tiles[np.random.default_rng([number % (1 << 32), 0x7E57]).permutation(rows * columns)[:count]] = True
    mask = tiles.reshape(rows, columns).repeat(HOLDOUT_TILE_PX, axis=0).repeat(HOLDOUT_TILE_PX, axis=1)
    return mask[:height, :width]


@dataclass(frozen=True)
class CropPlan:
    """How crops are drawn.

    Args:
        crop_px: Side of the square crop; a smaller frame is taken whole.
        batch: Crops in a step.
        both_ways: Whether halves change places at random, each pass (and part of a pass) for itself: B → A is then
            drawn as often as A → B, and as often as a mixture of some passes of A and the others of B.
        replay: Share of crops from any frame seen so far; the rest come from the newest.
        hold_out: Whether the tiles of :func:`held_out` are kept from the targets.
        augment: Whether crops may be flipped and turned at random (see ``CropBatcher.augment``).
    """

    crop_px: int = 128
    batch: int = 2
    both_ways: bool = True
    replay: float = 0.5
    hold_out: bool = True
    augment: bool = True


class CropBatcher:
    """Draws batches of random crops from the visible pairs of a store.

    Args:
        store: Where pairs are.
        model: Whose layout and exposure rule are used.
        plan: How crops are drawn.
        seed: Seed of the draws.
    """

    def __init__(self, store: PairStore, model: DenoisingModel, plan: CropPlan, seed: int) -> None:
        self.store, self.model, self.plan = store, model, plan
        self.all_frames = False
        #: More to learn from where pixels come up often, more to learn where they do not; ``online`` decides.
        self.augment = True
        self._rng = np.random.default_rng([seed, 0xC209])
        self._exposures: dict[tuple[int, int, tuple[bool, ...]], float] = {}

    def draw(self) -> Batch:
        """The next batch."""
        store, plan = self.store, self.plan
        frames = store.frames
        newest_only = not self.all_frames and self._rng.random() >= plan.replay
        numbers = [
            store.newest if newest_only else frames[int(self._rng.integers(len(frames)))] for _ in range(plan.batch)
        ]
        sizes = [store.size(n) for n in numbers]
        height = min(plan.crop_px, *(h for h, _ in sizes))
        width = min(plan.crop_px, *(w for _, w in sizes))
        crops = [self._crop(n, s, height, width) for n, s in zip(numbers, sizes, strict=True)]
        if not (plan.augment and self.augment):
            return _stack(crops)
        # Only square crops may swap their axes and still stack.
        symmetries = SYMMETRIES if height == width else SYMMETRIES // 2
        return _stack([_turned(crop, int(self._rng.integers(symmetries))) for crop in crops])

    def _crop(self, number: int, size: tuple[int, int], height: int, width: int) -> Batch:
        top = int(self._rng.integers(size[0] - height + 1))
        left = int(self._rng.integers(size[1] - width + 1))
        exchanged = self._exchanged(number)
        pair = self.store.crop(number, top, left, height, width, exchanged)
        weight = self._weight(number, size, top, left, height, width)
        return batch_of(pair, weight, self._exposure(number, exchanged), self.model)

    def _weight(self, number: int, size: tuple[int, int], top: int, left: int, height: int, width: int) -> Plane:
        """``[1, height, width]``: 0 where the window has held-out pixels of a frame of this size, else 1."""
        weight = np.ones((1, height, width), dtype=np.float32)
        if self.plan.hold_out:
            weight[0][held_out(*size, number)[top : top + height, left : left + width]] = 0
        return weight

    def _exchanged(self, number: int) -> tuple[bool, ...]:
        """For each pass of a frame, drawn at random, whether its halves change places; empty where they may not."""
        passes = self.store.passes(number)
        if not (self.plan.both_ways and self.store.two_way(number)):
            return ()
        drawn = self._rng.integers(2, size=min(passes, FREE_PASSES)).astype(bool).tolist()
        return tuple(drawn[i % FREE_PASSES] for i in range(passes))

    def _exposure(self, number: int, exchanged: tuple[bool, ...]) -> float:
        """The exposure of the whole input: a crop's own would tell the network nothing about its surroundings."""
        key = (number, self.store.passes(number), exchanged)
        if key not in self._exposures:
            pair = self.store.frame_pair(number, exchanged)
            self._exposures[key] = self.model.exposure_of(pair.input)
            if exchanged and pair.partner is not None:
                others = tuple(not second for second in exchanged)
                self._exposures[number, key[1], others] = self.model.exposure_of(pair.partner)
        return self._exposures[key]

    def state_dict(self) -> dict[str, Any]:
        """The state of the draws, as JSON values."""
        return {"rng": self._rng.bit_generator.state, "all_frames": self.all_frames, "augment": self.augment}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on drawing where ``state`` was taken."""
        self._rng.bit_generator.state = state["rng"]
        self.all_frames, self.augment = state["all_frames"], state["augment"]


def batch_of(pair: FramePair, weight: Plane, exposure: float, model: DenoisingModel) -> Batch:
    """One pair as a batch of one. Target values that are not finite get weight 0; nothing else touches targets."""
    finite = np.isfinite(pair.target).all(axis=0, keepdims=True)
    weight = weight * finite if pair.weight is None else weight * finite * pair.weight
    target = pair.target if finite.all() else np.where(finite, pair.target, np.float32(0))
    return Batch(
        torch.from_numpy(model.stack(pair.input))[None],
        torch.full((1, 1, 1, 1), exposure),
        torch.from_numpy(np.ascontiguousarray(target))[None],
        torch.from_numpy(weight.astype(np.float32))[None],
    )


def _turned(batch: Batch, symmetry: int) -> Batch:
    planes, target, weight = (turn(x, symmetry) for x in (batch.planes, batch.target, batch.weight))
    return Batch(planes, batch.exposure, target, weight)


def _stack(batches: list[Batch]) -> Batch:
    return Batch(
        torch.cat([b.planes for b in batches]),
        torch.cat([b.exposure for b in batches]),
        torch.cat([b.target for b in batches]),
        torch.cat([b.weight for b in batches]),
    )
