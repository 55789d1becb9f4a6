"""Train base weights on the renders of `tools/base_renders.py` by Noise2Noise alone: no reference is ever used.

Each step draws crops of random views. A random set of a view's parts is the input, the remaining parts are the target.
Fireflies in targets drown what there is to learn from a few thousand steps, so the loss is robust, which makes images
dark, and nears L_HDR, whose minimiser is the mean, while the rate falls to 0. Crops are turned, colours are exchanged
and tinted, the exposure varies, and features are left out now and then.
An interrupted run goes on with --resume.

    python tools/train_base.py --renders DIR --network kernel_pyramid --steps 16000 --out RUN
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from base_renders import FEATURES

from rendernoise.augment import SYMMETRIES, turn
from rendernoise.color import auto_exposure
from rendernoise.denoiser import Denoiser, pick_device
from rendernoise.frame import HISTORY_PLANES, PLANE_CHANNELS, Plane
from rendernoise.job import TrainingJob
from rendernoise.losses import robust
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks.kernel_pyramid import KernelPyramid
from rendernoise.run import RunDirectory
from rendernoise.sources.batching import Batch
from rendernoise.trainer import Trainer, TrainerOptions

PLANES = KernelPyramid.planes
#: Sets of parts (of 1, 1, 2, 4, 8, 16 spp) that may be inputs; the others are the target, 16 spp or more of 32.
INPUTS = ((0,), (0, 1), (2,), (3,), (2, 3), (4,), (4,), (4,), (3, 4), (2, 3, 4), (5,), (5,))
#: Planes that a crop goes without, drawn evenly: most have all, as Mitsuba's renders have.
ABSENT = (*((),) * 7, ("roughness",), ("roughness", "normal"), ("albedo", "normal", "roughness"))
CROP_PX = 128
#: Relative error beyond which the loss is linear, until ROBUST_SHARE of the run and at its end.
DELTA, LAST_DELTA = 1.0, 8.0
ROBUST_SHARE = 0.7
#: One crop in so many is black: an unlit frame must come out black, and exposure has nothing to say there.
BLACK = 64


@dataclass(frozen=True)
class View:
    """One view in parts.

    Args:
        radiance: ``[parts, 3, H, W]``.
        features: ``[parts, C, H, W]`` in the order of ``base_renders.FEATURES``.
        spp: Samples of each part.
    """

    radiance: np.ndarray
    features: np.ndarray
    spp: np.ndarray


def load_view(path: Path) -> View:
    """One file of ``base_renders.save_view``."""
    with np.load(path) as data:
        return View(data["radiance"], data["features"], data["spp"])


def mean_of(parts: np.ndarray, spp: np.ndarray, chosen: list[int]) -> Plane:
    """The sample-weighted mean of some parts ``[parts, C, H, W]``."""
    weights = spp[chosen] / spp[chosen].sum()
    return np.tensordot(weights.astype(np.float32), parts[chosen].astype(np.float32), axes=1)


class ViewBatcher:
    """Draws crops of random views, split at random into input and target; the batcher of a ``TrainingJob``.

    Args:
        folder: Where the views are.
        batch: Crops in a step.
        seed: Seed of the draws.
    """

    def __init__(self, folder: Path, batch: int, seed: int) -> None:
        self.batch = batch
        self._rng = np.random.default_rng([seed, 0xBA5E])
        self._views: dict[Path, View] = {}
        self.paths = sorted(folder.glob("*.npz"))

    def draw(self) -> Batch:
        """The next batch."""
        items = [self._crop(self._view(int(self._rng.integers(len(self.paths))))) for _ in range(self.batch)]
        planes, target, exposures = zip(*items, strict=True)
        return Batch(
            torch.stack(planes),
            torch.tensor(exposures, dtype=torch.float32).reshape(-1, 1, 1, 1),
            torch.stack(target),
            torch.ones(len(items), 1, *target[0].shape[-2:]),
        )

    def _view(self, index: int) -> View:
        path = self.paths[index]
        if path not in self._views:
            self._views[path] = load_view(path)
        return self._views[path]

    def _crop(self, view: View) -> tuple[torch.Tensor, torch.Tensor, float]:
        rng = self._rng
        chosen = list(INPUTS[int(rng.integers(len(INPUTS)))])
        others = [i for i in range(len(view.spp)) if i not in chosen]
        height, width = view.radiance.shape[-2:]
        top, left = int(rng.integers(height - CROP_PX + 1)), int(rng.integers(width - CROP_PX + 1))
        window = (..., slice(top, top + CROP_PX), slice(left, left + CROP_PX))
        whole = mean_of(view.radiance, view.spp, chosen)
        # Lights of another colour and exchanged channels: as possible a scene, and another one to learn.
        order = rng.permutation(3)
        tint = np.exp(rng.normal(0, 0.2, (3, 1, 1))).astype(np.float32)
        exposure = auto_exposure(whole[order] * tint) * 2.0 ** rng.uniform(-1, 1)
        planes = {"radiance": whole[window][order] * tint}
        features = mean_of(view.features[window], view.spp, chosen)
        start = 0
        for name in FEATURES:
            planes[name] = features[start : start + PLANE_CHANNELS[name]]
            start += PLANE_CHANNELS[name]
        planes["albedo"] = planes["albedo"][order]
        for name in ABSENT[int(rng.integers(len(ABSENT)))]:
            planes[name] = np.full_like(planes[name], np.nan)
        target = mean_of(view.radiance[window], view.spp, others)[order] * tint
        if not int(rng.integers(BLACK)):
            planes["radiance"], target, exposure = 0 * planes["radiance"], 0 * target, 1.0
        symmetry = int(rng.integers(SYMMETRIES))
        for name in HISTORY_PLANES:  # every view stands alone
            planes[name] = np.full((PLANE_CHANNELS[name], CROP_PX, CROP_PX), np.nan, np.float32)
        stacked = torch.from_numpy(np.concatenate([planes[name] for name in PLANES]))
        return turn(stacked, symmetry), turn(torch.from_numpy(target), symmetry), exposure

    def state_dict(self) -> dict[str, Any]:
        """The state of the draws, as JSON values."""
        return {"rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on drawing where ``state`` was taken."""
        self._rng.bit_generator.state = state["rng"]


class BaseJob(TrainingJob):
    """Steps until there were enough, with checkpoints."""

    batcher: ViewBatcher  # pyright: ignore[reportIncompatibleVariableOverride]

    def run(self, steps: int, provenance: dict[str, Any]) -> None:
        """Train and write `weights.safetensors`."""
        self.restore()
        while self.trainer.step_count < steps:
            progress = self.trainer.step_count / steps
            self.trainer.loss = robust(delta_at(progress))
            self.train_step(progress, steps)
            if self.checkpoint_due():
                self.checkpoint()
        with self.trainer.averaged():
            provenance = {**provenance, "views": len(self.batcher.paths), "train_s": round(self.train_s)}
            denoiser = Denoiser(self.trainer.model, provenance, self.trainer.device)
            denoiser.save(self.run_dir.path / "weights.safetensors")
        self.run_dir.finish({**provenance, "skipped": self.trainer.skipped})


def delta_at(progress: float) -> float:
    """The loss's delta when ``progress`` of the run, 0 to 1, is done."""
    return DELTA * (LAST_DELTA / DELTA) ** (max(0.0, progress - ROBUST_SHARE) / (1 - ROBUST_SHARE))


def tell(event: dict[str, Any]) -> None:
    """Print an event as one line of JSON."""
    print(json.dumps(event), flush=True)


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--renders", type=Path, required=True, help="folder of the views")
    parser.add_argument("--out", type=Path, required=True, help="run directory")
    parser.add_argument("--network", default="kernel_pyramid")
    parser.add_argument("--steps", type=int, default=16_000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="threads; 0 for all cores")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    kept = ("network", "steps", "batch", "seed")
    provenance = {"training": "Noise2Noise", **{name: getattr(options, name) for name in kept}}
    config = {**provenance, "renders": str(options.renders)}
    run = RunDirectory(options.out, config, resume=options.resume, overwrite=False)
    model = DenoisingModel(ModelSpec.default(options.network))
    # Pairs of many scenes are mostly noise to each other: a small rate that falls all the way, and a long momentum.
    recipe = TrainerOptions(learning_rate=7e-4, warmup_steps=200, tail=1.0, ema=0.999, momentum=0.98, weight_decay=0.4)
    trainer = Trainer(model, robust(DELTA), recipe, pick_device(options.device))
    batcher: Any = ViewBatcher(options.renders, options.batch, options.seed)
    try:
        BaseJob(run, trainer, batcher, tell).run(options.steps, provenance)
    finally:
        run.close()


if __name__ == "__main__":
    main()
