"""What each part of the training is worth: one change at a time, on three shots and three seeds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_common import mean_scores, scores, table

from rendernoise.denoiser import Denoiser
from rendernoise.frame import Frame, FramePair, average
from rendernoise.guard import merge_halves
from rendernoise.io.exr import read_frame
from rendernoise.job import starting_weights
from rendernoise.losses import get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.recipes import RECIPES
from rendernoise.render.process import start_mitsuba
from rendernoise.render.shot import find_shot
from rendernoise.sources.batching import Batch, CropBatcher, batch_of
from rendernoise.sources.live import LivePairs
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer

SCENES = ("staircase2", "living-room", "veach-bidir")
SEEDS = (0, 1, 2)
STEPS = 200
PARTS, PART_SPP = 4, 4
RECIPE = RECIPES["ours"]


class SplitBatcher(CropBatcher):
    """Random disjoint sets of four renders of 4 spp as input and target, instead of the two halves."""

    def _crop(self, number: int, size: tuple[int, int], height: int, width: int) -> Batch:
        top, left = (int(self._rng.integers(n - m + 1)) for n, m in zip(size, (height, width), strict=True))
        parts = parts_of(self.store, number, (top, left, height, width))
        order, count = self._rng.permutation(PARTS), int(self._rng.choice([1, 2, 3], p=[0.2, 0.6, 0.2]))
        pair = FramePair.of_halves(
            average([parts[i] for i in order[:count]]), average([parts[i] for i in order[count:]])
        )
        weight = self._weight(number, size, top, left, height, width)
        return batch_of(pair, weight, self._exposure(number, (False,) * (PARTS // 2)), self.model)


class WholeHalvesBatcher(CropBatcher):
    """A to B and B to A, each half as a whole."""

    def _exchanged(self, number: int) -> tuple[bool, ...]:
        return (bool(self._rng.integers(2)),) * self.store.passes(number)


class ImportanceBatcher(CropBatcher):
    """Of four crops, one is taken with a chance in proportion to its noise, and weighted by the inverse."""

    def _crop(self, number: int, size: tuple[int, int], height: int, width: int) -> Batch:
        crops = [super(ImportanceBatcher, self)._crop(number, size, height, width) for _ in range(4)]
        noise = np.array([_noise(crop) for crop in crops])
        taken = int(self._rng.choice(4, p=noise / noise.sum()))
        crops[taken].weight *= float(noise.mean() / noise[taken])
        return crops[taken]


def _noise(crop: Batch) -> float:
    """The relative difference of input and target, its square root averaged: fireflies must not decide."""
    a, b = crop.planes[:, :3].nan_to_num() * crop.exposure, crop.target * crop.exposure
    return 0.01 + float(((a - b).abs() / (a + b + 0.02)).mean())


def parts_of(store: PairStore, number: int, window: tuple[int, int, int, int]) -> list[Frame]:
    """The four renders of a window of a frame."""
    pairs = [store.pass_crop(number, index, *window) for index in range(PARTS // 2)]
    return [frame for pair in pairs for frame in (pair.input, pair.partner) if frame is not None]


@dataclass(frozen=True)
class Change:
    """One thing that is done otherwise than in the recipe ``ours``."""

    trainer: dict[str, Any] = field(default_factory=dict)
    crops: dict[str, Any] = field(default_factory=dict)
    weights: str = "base"
    network: str | None = None
    batcher: Callable[..., CropBatcher] = CropBatcher
    augment: bool = False
    without: tuple[str, ...] = ()


CHANGES = {
    "ours": Change(),
    "random weights": Change(weights="none"),
    "fast": Change(network="fast"),
    "L_HDR, not made robust": Change(trainer={"robust": False}),
    "no weights for noise": Change(trainer={"weigh_noise": False}),
    "Adam": Change(trainer={"optimizer": "adam"}),
    "no averaged weights": Change(trainer={"ema": 0.0}),
    "A to B alone": Change(crops={"both_ways": False}),
    "halves change places as a whole": Change(batcher=WholeHalvesBatcher),
    "inputs of 1 to 3 of the 4 parts": Change(batcher=SplitBatcher),
    "symmetries": Change(augment=True),
    "importance-sampled crops": Change(batcher=ImportanceBatcher),
    "no features": Change(without=("roughness", "albedo", "normal")),
}


def training(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Every change on every scene and seed; rows that are there already are kept."""
    rows_file = out / "rows.json"
    rows: list[dict[str, Any]] = json.loads(rows_file.read_text()) if rows_file.exists() else []
    for seed in SEEDS:
        for scene in (name for name in SCENES if (shared / "scenes" / name).is_dir()):
            store = render(shared / "scenes" / scene, out / scene)
            for name, change in CHANGES.items():
                if any((r["scene"], r["change"], r["seed"]) == (scene, name, seed) for r in rows):
                    continue
                rows.append({"scene": scene, "change": name, "seed": seed, **train(change, store, shared, scene, seed)})
                print(rows[-1], flush=True)
                rows_file.write_text(json.dumps(rows, indent=1))
    return rows, summarise(rows)


def render(folder: Path, out: Path) -> PairStore:
    """The shot at 8 + 8 spp, each half in two parts, from the store when they are there."""
    shot = find_shot([folder / "shot.####.xml"], None, None)
    store = PairStore(out)
    options = {"resolution": None, "threads": 0, "frames": shot.span}
    spp = PARTS // 2 * PART_SPP
    pairs = LivePairs(lambda: start_mitsuba("auto", options)[0], shot.views, passes=1, spp=spp, run_seed=0, store=store)
    for _ in pairs:
        pass
    return store


def train(change: Change, store: PairStore, shared: Path, scene: str, seed: int) -> dict[str, float]:
    """Train as the change says and measure the frames that have references."""
    torch.manual_seed(seed)
    base = starting_weights(change.weights, change.network)
    model = base.model if base else DenoisingModel(ModelSpec.default(change.network or RECIPE.network))
    seen = Without(store, change.without) if change.without else store
    trainer = Trainer(model, get_loss("hdr"), replace(RECIPE.trainer, **change.trainer), torch.device("cpu"))
    batcher = change.batcher(seen, model, replace(RECIPE.crops, **change.crops), seed)
    batcher.all_frames, batcher.augment = True, change.augment
    start = time.perf_counter()
    for step in range(STEPS):
        trainer.step(batcher.draw(), step / STEPS)
    train_s = time.perf_counter() - start
    found = []
    with trainer.averaged():
        denoiser = Denoiser(model)
        for path in sorted((shared / "scenes" / scene).glob("reference.*.exr")):
            pair = seen.frame_pair(int(path.name.split(".")[1]))
            image = merge_halves(pair, *denoiser.halves(pair))[0].radiance
            found.append(scores(image, read_frame(path)))
    return {**mean_scores(found), "train_s": train_s}


class Without:
    """A store whose frames lack some planes."""

    def __init__(self, store: PairStore, names: tuple[str, ...]) -> None:
        self._store, self._names = store, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def frame_pair(self, number: int, exchanged: Sequence[bool] = ()) -> FramePair:
        """As ``PairStore.frame_pair``."""
        return self._strip(self._store.frame_pair(number, exchanged))

    def crop(self, *arguments: Any) -> FramePair:
        """As ``PairStore.crop``."""
        return self._strip(self._store.crop(*arguments))

    def _strip(self, pair: FramePair) -> FramePair:
        assert pair.partner is not None
        a, b = (
            replace(frame, planes={k: v for k, v in frame.planes.items() if k not in self._names})
            for frame in (pair.input, pair.partner)
        )
        return FramePair.of_halves(a, b)


def summarise(rows: list[dict[str, Any]]) -> str:
    """Mean and spread over seeds of the trimmed relMSE, relative to ``ours`` on the same scene and seed."""
    ours = {(r["scene"], r["seed"]): r["trimmed_relmse"] for r in rows if r["change"] == "ours"}
    scenes = sorted({r["scene"] for r in rows}, key=SCENES.index)
    lines = []
    for name in CHANGES:
        cells: list[Any] = [name]
        for scene in scenes:
            found = [r for r in rows if r["change"] == name and r["scene"] == scene]
            ratios = [r["trimmed_relmse"] / ours[scene, r["seed"]] for r in found]
            errors = [r["trimmed_relmse"] for r in found]
            cells += [
                float(np.mean(errors)),
                f"{np.mean(ratios):.2f} ± {np.std(ratios, ddof=min(1, len(ratios) - 1)):.2f}",
            ]
        cells.append(float(np.mean([r["train_s"] for r in rows if r["change"] == name])))
        lines.append(cells)
    head = [column for scene in scenes for column in (scene, "to ours")]
    return table(["change", *head, "s"], lines)
