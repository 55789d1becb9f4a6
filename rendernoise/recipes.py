"""The recipes of the online loop: how many steps, on which crops, with which network.

Nothing here asks the clock: a run's pixels must not depend on how busy its machine was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rendernoise.networks import DEFAULT_NETWORK
from rendernoise.render.probe import usable_cores
from rendernoise.sources.batching import CropPlan
from rendernoise.trainer import TrainerOptions

#: Nominal speeds of one CPU core (docs/denoiser.md): path-traced samples, and the time of a training step.
CORE_SAMPLES_PER_S = 400_000
CORE_STEP_S = 0.085
CUDA_SPEEDUP = 8
MIN_STEPS = 1100
#: The same from base weights where neighbouring frames help: less noise is left to learn from, and what more steps
#: learn of it by heart weighs more (docs/denoiser.md).
MIN_STEPS_WITH_NEIGHBOURS = 600
#: How often a pixel may be a target before its noise is learned by heart. Measured on a still of 192² px at 8 + 8 spp:
#: relMSE 0.016 after 110 visits, 0.011 after 220, and 0.013 and rising after 440 (docs/denoiser.md).
MAX_VISITS = 240
#: The same from base weights, which need fewer. Trimmed relMSE of stills after 27, 53 and 80 visits (`fast`, 8 + 8
#: spp): staircase2 0.0094, 0.0089, 0.0085; veach-bidir, with more fireflies, 0.0180, 0.0194, 0.0198.
MAX_VISITS_FROM_BASE = 50
#: From so many visits on crops are flipped and turned. A still needs that; a shot whose pixels come up a few times
#: learns faster without (staircase2, 24 frames, 500 steps, 9 visits: trimmed relMSE 0.0061 without, 0.0089 with).
AUGMENT_VISITS = 40


@dataclass(frozen=True)
class Recipe:
    """What distinguishes our loop from the published one.

    Args:
        network: Default network.
        steps: Steps for each pair; None fills the renderer's nominal time.
        finish: Whether training goes on after the last render (``--min-steps``, ``--time``).
        crops: How crops are drawn.
        trainer: How the weights move.
        spins: Placements that the final pass averages (:class:`rendernoise.denoiser.Denoiser`).
    """

    network: str
    steps: int | None
    finish: bool
    crops: CropPlan
    trainer: TrainerOptions
    spins: int


RECIPES = {
    "ours": Recipe(DEFAULT_NETWORK, None, True, CropPlan(), TrainerOptions(), 4),
    # Noise2Noise, section 3.3.2: eight iterations a frame on random 256² crops of the newest pair, A → B. Clipping is
    # ours: a first prediction below 0 is divided by 0.01², and such a gradient throws Adam off for hundreds of steps
    # (staircase2, 24 frames: trimmed relMSE 4e7 without clipping, still 5.6 at a rate of 3e-4, and 0.012 with).
    "paper": Recipe(
        "unet",
        8,
        False,
        CropPlan(crop_px=256, batch=1, both_ways=False, replay=0.0, hold_out=False, augment=False),
        TrainerOptions(
            "adam",
            learning_rate=1e-3,
            warmup_steps=0,
            tail=0.0,
            ema=0.0,
            clip_norm=1.0,
            robust=False,
            weigh_noise=False,
        ),
        1,
    ),
}


def steps_to_fill(pixels: int, spp: int, device: torch.device) -> int:
    """Training steps that take about as long as rendering one pair does on a nominal core."""
    render_s = 2 * spp * pixels / CORE_SAMPLES_PER_S
    step_s = CORE_STEP_S / (CUDA_SPEEDUP if device.type == "cuda" else 1)
    return max(4, round(render_s / step_s))


def steps_that_pixels_bear(pixels: int, crops: CropPlan, visits: int = MAX_VISITS) -> int:
    """Steps for each pair of this size after which its pixels were targets ``visits`` times."""
    visited = crops.batch * min(pixels, crops.crop_px**2)
    return max(4, visits * (2 if crops.both_ways else 1) * pixels // visited)


def wants_symmetries(steps: int, bearable: int, visits: int = MAX_VISITS) -> bool:
    """Whether so many steps visit pixels more than :data:`AUGMENT_VISITS` times, ``bearable`` ones being ``visits``."""
    return visits * steps > AUGMENT_VISITS * bearable


def share_cores(device: torch.device, variant: str) -> tuple[int, int]:
    """Threads for the renderer and for the trainer while both work: on one machine's cores, half each."""
    cores = usable_cores()
    if device.type == "cuda" or variant.startswith("cuda"):
        return max(1, cores - 1), cores
    return max(1, cores // 2), max(1, cores - cores // 2)
