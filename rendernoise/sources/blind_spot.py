"""Batches of frames that are their own targets: what a pixel is hidden from the input, and asked for."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from rendernoise.frame import Plane
from rendernoise.sources.batching import Batch, CropBatcher, batch_of

#: One pixel is hidden in each cell of so many by so many.
CELL_PX = 4
#: What stands in for a hidden pixel comes from so far away at most.
REACH_PX = 2
_OFFSETS = np.array([o for o in product(range(-REACH_PX, REACH_PX + 1), repeat=2) if o != (0, 0)])


class BlindSpotBatcher(CropBatcher):
    """Draws crops that lack the radiance of some pixels, which alone are targets (Noise2Void, Krull et al. 2019).

    What can be told of a hidden pixel from those around it is its mean, if the noise of pixels is independent. The
    features stay: they are not the noise to be removed. The store's pairs have their own radiance as target.
    """

    def _crop(self, number: int, size: tuple[int, int], height: int, width: int) -> Batch:
        top = int(self._rng.integers(size[0] - height + 1))
        left = int(self._rng.integers(size[1] - width + 1))
        pair = self.store.crop(number, top, left, height, width)
        hidden = hidden_pixels(height, width, self._rng)
        radiance = without(pair.input.radiance, hidden, self._rng)
        weight = self._weight(number, size, top, left, height, width) * hidden
        masked = replace(pair, input=pair.input.with_planes(radiance=radiance))
        return batch_of(masked, weight, self._exposure(number, ()), self.model)


def hidden_pixels(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """One pixel in each cell of 4×4 px, anywhere in it with the same chance, ``[H, W]`` (bool).

    Cells that reach beyond the border may hide none, so that no pixel has another chance than 1/16.
    """
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    y, x = rng.integers(CELL_PX, size=(2, rows, columns))
    y += CELL_PX * np.arange(rows)[:, None]
    x += CELL_PX * np.arange(columns)
    inside = (y < height) & (x < width)
    mask = np.zeros((height, width), dtype=bool)
    mask[y[inside], x[inside]] = True
    return mask


def without(radiance: Plane, hidden: np.ndarray, rng: np.random.Generator) -> Plane:
    """The radiance with each hidden pixel replaced by one around it, of 5×5 px without itself.

    None of those that stand in is hidden: the network would else see targets, if in other places.

    Args:
        radiance: ``[3, H, W]`` of 3×3 px or more; it stays as it is.
        hidden: ``[H, W]`` (bool), from :func:`hidden_pixels`.
        rng: Where the choice is drawn from.
    """
    height, width = hidden.shape
    places = np.argwhere(hidden)
    around = places[:, None] + _OFFSETS
    y, x = np.moveaxis(around.clip(0, (height - 1, width - 1)), -1, 0)
    usable = ((around >= 0) & (around < (height, width))).all(-1) & ~hidden[y, x]
    chosen = np.where(usable, rng.random(usable.shape), -1.0).argmax(1)
    rows = np.arange(len(places))
    result = radiance.copy()
    result[:, hidden] = radiance[:, y[rows, chosen], x[rows, chosen]]
    return result
