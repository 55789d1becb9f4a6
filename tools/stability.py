"""Train many times on frames full of fireflies, and count what is not finite.

Each run draws a brightness of its scene (1e-4 to 1e4), and how bright and how rare its fireflies are; random and base
weights take turns as its start. One line of JSON a run, with the batches that were skipped; the exit status is 1 when a
weight or an image was not finite, or an image had values below 0.

    python tools/stability.py --runs 100 --steps 2000 --out out/stability.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rendernoise.denoiser import Denoiser
from rendernoise.frame import Frame, FramePair
from rendernoise.job import starting_weights
from rendernoise.losses import get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import DEFAULT_NETWORK
from rendernoise.recipes import RECIPES
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.sources.batching import CropBatcher
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer

FRAMES, SPP, SIDE_PX = 4, 4, 48
RECIPE = RECIPES["ours"]


def run(seed: int, steps: int, network: str) -> dict[str, Any]:
    """One training; what it met and how it ended."""
    rng = np.random.default_rng([seed, 0x57AB])
    # A firefly is up to 100,000 times as bright as its surroundings, and carries up to nine tenths of the light.
    share, brightness = rng.uniform(0.1, 0.9), 10 ** rng.uniform(1, 5)
    scale = np.float32(10 ** rng.uniform(-4, 4))
    renderer = AnalyticRenderer(
        (SIDE_PX, SIDE_PX), "firefly", probability=float(share / brightness), brightness=float(brightness)
    )
    torch.manual_seed(seed)
    base = starting_weights("base" if seed % 2 else "none", network)
    model = base.model if base else DenoisingModel(ModelSpec.default(network))
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        store = PairStore(Path(folder))
        for index in range(FRAMES):
            frames = (renderer.render(View(index + 1), spp=SPP, seed=(seed * FRAMES + index) * 2 + h) for h in (0, 1))
            store.put(index, FramePair.of_halves(*(_scaled(frame, scale) for frame in frames)))
            store.show(index)
        trainer = Trainer(model, get_loss("hdr"), RECIPE.trainer, torch.device("cpu"))
        batcher = CropBatcher(store, model, replace(RECIPE.crops, crop_px=SIDE_PX), seed)
        batcher.all_frames = True
        for step in range(steps):
            trainer.step(batcher.draw(), step / steps)
        weights_finite = all(bool(torch.isfinite(p).all()) for p in model.parameters())
        with trainer.averaged():
            image = Denoiser(model, spins=RECIPE.spins).radiance(store.frame_pair(1).input)
    return {
        "seed": seed,
        "steps": steps,
        "weights": "base" if base else "none",
        "brightness": float(f"{brightness:.4g}"),
        "share": float(f"{share:.3f}"),
        "scale": float(f"{scale:.4g}"),
        "skipped": trainer.skipped,
        "finite": weights_finite and bool(np.isfinite(image).all()),
        "positive": bool((image >= 0).all()),
        "train_s": round(time.monotonic() - start, 1),
    }


def _scaled(frame: Frame, scale: np.float32) -> Frame:
    return frame.with_planes(radiance=frame.radiance * scale)


def main() -> None:
    """All runs, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="seed of the first run")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--network", default=DEFAULT_NETWORK)
    parser.add_argument("--out", type=Path, default=Path("out/stability.jsonl"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    bad = 0
    with options.out.open("a") as file:
        for seed in range(options.first, options.first + options.runs):
            result = run(seed, options.steps, options.network)
            bad += not (result["finite"] and result["positive"])
            line = json.dumps(result)
            file.write(line + "\n")
            file.flush()
            print(line, flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
