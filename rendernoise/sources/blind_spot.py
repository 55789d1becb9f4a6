"""Batches of frames that are their own targets: what a pixel is hidden from the input, and asked for."""

from __future__ import annotations

from dataclasses import replace

from rendernoise.sources.batching import Batch, CropBatcher, batch_of
from rendernoise.sources.masking import MASKINGS

#: How pixels of renders are hidden.
MASKING = MASKINGS["n2v_dense"]


class BlindSpotBatcher(CropBatcher):
    """Draws crops that lack the radiance of some pixels, which alone are targets (Noise2Void, Krull et al. 2019).

    What can be told of a hidden pixel from those around it is its mean, if the noise of pixels is independent. The
    features stay: they are not the noise to be removed. The store's pairs have their own radiance as target.
    """

    def _crop(self, number: int, size: tuple[int, int], height: int, width: int) -> Batch:
        top = int(self._rng.integers(size[0] - height + 1))
        left = int(self._rng.integers(size[1] - width + 1))
        pair = self.store.crop(number, top, left, height, width)
        radiance, hidden = MASKING.hide(pair.input.radiance, self._rng)
        weight = self._weight(number, size, top, left, height, width) * hidden
        masked = replace(pair, input=pair.input.with_planes(radiance=radiance))
        return batch_of(masked, weight, self._exposure(number, ()), self.model)
