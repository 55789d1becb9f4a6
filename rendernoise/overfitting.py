"""Notices when training begins to learn the noise of its targets by heart, on pixels that are never targets."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rendernoise.confidence import tile_means
from rendernoise.denoiser import Denoiser
from rendernoise.sources.batching import held_out
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer

#: Steps from one look to the next.
LOOK_EVERY_STEPS = 100
#: Frames that are looked at; more would cost time and hardly add certainty.
WATCHED_FRAMES = 4
#: How many standard errors worse the held-out pixels must be: at 2, one look in 40 sees what is not there.
WORSE_BY = 2.0
EPSILON = 0.01


class OverfitWatch:
    """Compares the averaged weights with the best so far, tile by tile on pixels that are never targets.

    The difference of two errors against the same noisy target contains hardly any of that target's noise, so a
    few tiles tell which weights are better where the errors themselves could not.
    """

    def __init__(self) -> None:
        #: The averaged weights that did best, and their error on every held-out tile; empty before the first look.
        self.best: list[Tensor] = []
        self.errors = np.empty(0)

    def tensors(self) -> dict[str, Tensor]:
        """The best weights so far, as a checkpoint keeps them."""
        return {f"best.{i}": weight for i, weight in enumerate(self.best)}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take back what :meth:`tensors` gave, from among others."""
        count = sum(name.startswith("best.") for name in tensors)
        self.best = [tensors[f"best.{i}"] for i in range(count)]

    def still_helps(self, trainer: Trainer, store: PairStore) -> bool:
        """Look at the present weights; False once they are clearly worse than the best ones.

        Without held-out tiles, or with one alone, nothing can be clear.
        """
        numbers = store.frames[:: max(1, len(store.frames) // WATCHED_FRAMES)][:WATCHED_FRAMES]
        with trainer.averaged():
            denoiser = Denoiser(trainer.model, device=trainer.device)
            errors = np.concatenate([_tile_errors(denoiser, store, number) for number in numbers])
        if len(errors) < 2:
            return True
        if not self.best or errors.mean() <= self.errors.mean():
            self.best, self.errors = trainer.copy_of_average(), errors
            return True
        worse = errors - self.errors
        return bool(worse.mean() <= WORSE_BY * worse.std(ddof=1) / np.sqrt(len(worse)))


def _tile_errors(denoiser: Denoiser, store: PairStore, number: int) -> np.ndarray:
    """Of each held-out tile of a frame, (f(A) − B)² and (f(B) − A)² relative to the tile's brightness, their mean."""
    pair = store.frame_pair(number)
    if pair.partner is None:
        return np.empty(0)
    # In float64: the square of a firefly may exceed float32.
    a, b = pair.input.radiance.astype(np.float64), pair.partner.radiance.astype(np.float64)
    finite = np.isfinite(a).all(0) & np.isfinite(b).all(0)
    a, b = np.where(finite, a, 0), np.where(finite, b, 0)
    from_a, from_b = denoiser.halves(pair)
    error = (np.square(from_a - b) + np.square(from_b - a)).mean(0) * finite
    brightness = (0.5 * (a + b)).mean(0)
    mask = held_out(pair.input.height, pair.input.width, number)
    return tile_means(error, mask) / (np.square(tile_means(brightness, mask)) + EPSILON)
