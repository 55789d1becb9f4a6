"""Batches of crops of images that are given noise: what Noise2Noise and Noise2Void are trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rendernoise.augment import SYMMETRIES, shift, turn
from rendernoise.frame import Frame, Plane
from rendernoise.io.image_folder import ImageFolder
from rendernoise.model import DenoisingModel
from rendernoise.noise import NoiseModel, Noisy
from rendernoise.seeds import generator
from rendernoise.sources.batching import Batch

#: Hides pixels of ``[C, H, W]``: what the network sees instead, and which pixels ``[H, W]`` (bool) those are.
Hide = Callable[[Plane, np.random.Generator], tuple[Plane, NDArray[np.bool_]]]
#: Fixed noisy images are kept in so many bytes; beyond, they are made again, to the same bits.
KEPT_BYTES = 1 << 30


@dataclass(frozen=True)
class NoisyPlan:
    """How batches are drawn.

    Args:
        crop_px: Side of the square crops; the smallest image limits it.
        batch: Crops in a step.
        target: ``noisy``: the crop with noise of its own; ``clean``: the crop; ``average``: the mean of all other noisy
            versions; ``blind``: the input's own values where they were hidden from it.
        between: Where the strength is drawn from for each noisy crop; None for the noise model's own range.
        realisations: Noisy versions that each image has, of the strength that is tested; None for new noise each time.
    """

    crop_px: int = 256
    batch: int = 4
    target: Literal["noisy", "clean", "average", "blind"] = "noisy"
    between: tuple[float, float] | None = None
    realisations: int | None = None


class NoisyBatcher:
    """Draws crops of clean images, turns them, and gives them noise: twice, independently, for input and target.

    Crops, the input's noise and the target's come from streams of their own (law 1), and each crop has a part of them.
    So runs of one seed whose targets differ see the same inputs, and a batch depends on its number alone.

    Args:
        images: Clean images.
        noise: What corrupts them.
        model: Whose layout is used; its planes are ``radiance``, and ``kept`` for sampled frequencies.
        plan: How batches are drawn.
        seed: Seed of the draws.
        hide: How pixels are hidden for blind targets.
    """

    def __init__(
        self,
        images: ImageFolder,
        noise: NoiseModel,
        model: DenoisingModel,
        plan: NoisyPlan,
        seed: int,
        hide: Hide | None = None,
    ) -> None:
        self.images, self.noise, self.model, self.plan, self.seed, self.hide = images, noise, model, plan, seed, hide
        self.crop_px = min(plan.crop_px, images.least_side_px)
        self.drawn = 0
        self._shifts = "kept" in model.layout.names
        largest = max(pixels.shape[1] * pixels.shape[2] for pixels in images.stored) * images.channels * 4
        kept = lru_cache(max(1, KEPT_BYTES // largest))
        self._realisation, self._average = kept(self._make_realisation), kept(self._make_average)

    def draw(self) -> Batch:
        """The next batch."""
        first = self.drawn * self.plan.batch
        self.drawn += 1
        crops = [self._crop(index) for index in range(first, first + self.plan.batch)]
        planes, targets, weights = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*crops, strict=True))
        return Batch(planes, torch.ones((len(crops), 1, 1, 1)), targets, weights)

    def state_dict(self) -> dict[str, Any]:
        """The state of the draws, as JSON values."""
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on drawing where ``state`` was taken."""
        self.drawn = state["drawn"]

    def _crop(self, index: int) -> tuple[Plane, Plane, Plane]:
        """Planes, target and weight of one crop of the training."""
        place = self._place(index)
        clean = self._clean(place, index)
        noisy = self._noisy(clean, place, index, "input")
        shown, other = noisy.image, Noisy(clean)
        if self.plan.target == "noisy":
            other = self._noisy(clean, place, index, "target")
        elif self.plan.target == "average":
            other = Noisy(place.of(self._average(place.image)))
        elif self.hide is not None:
            shown, hidden = self.hide(noisy.image, generator(self.seed, "hide", index))
            asked = hidden[None].astype(np.float32)
            other = Noisy(noisy.image, asked if noisy.weight is None else asked * noisy.weight)
        planes = {"radiance": shown} if noisy.kept is None else {"radiance": shown, "kept": noisy.kept}
        weight = np.ones((1, *clean.shape[1:]), np.float32) if other.weight is None else other.weight
        return self.model.stack(Frame(planes)), other.image, weight

    def _place(self, index: int) -> _Place:
        """Where a crop lies, and which fixed noisy versions it is of."""
        rng = generator(self.seed, "crop", index)
        image = int(rng.integers(len(self.images)))
        height, width = self.images.size(image)
        top, left = (int(rng.integers(side - self.crop_px + 1)) for side in (height, width))
        symmetry = int(rng.integers(SYMMETRIES))
        count = self.plan.realisations or 0
        # The average is of all but the first, which is then the input.
        first = int(rng.integers(count)) if count and self.plan.target != "average" else 0
        second = (first + 1 + int(rng.integers(count - 1))) % count if count > 1 else first
        return _Place(image, top, left, self.crop_px, symmetry, first, second)

    def _clean(self, place: _Place, index: int) -> Plane:
        crop = self.images.crop(place.image, place.top, place.left, place.side, place.side)
        turned = _turned(crop, place.symmetry)
        return shift(turned, generator(self.seed, "shift", index)) if self._shifts else turned

    def _noisy(self, clean: Plane, place: _Place, index: int, purpose: str) -> Noisy:
        """A noisy version of a crop, for the input or the target."""
        if self.plan.realisations is None:
            rng = generator(self.seed, purpose, index)
            return self.noise.corrupt(clean, self.noise.draw(rng, self.plan.between), rng)
        whole = self._realisation(place.image, place.first if purpose == "input" else place.second)
        return Noisy(place.of(whole.image), None if whole.weight is None else place.of(whole.weight))

    def _make_realisation(self, image: int, number: int) -> Noisy:
        """One of the noisy versions that an image has for good."""
        rng = generator(self.seed, "realisation", image * (self.plan.realisations or 0) + number)
        return self.noise.corrupt(self.images.image(image), self.noise.tested, rng)

    def _make_average(self, image: int) -> Plane:
        """The mean of all noisy versions but the first."""
        others = range(1, self.plan.realisations or 0)
        total = np.zeros((self.images.channels, *self.images.size(image)))
        for number in others:
            total += self._make_realisation(image, number).image
        return (total / len(others)).astype(np.float32)


@dataclass(frozen=True)
class _Place:
    """A crop of an image: where it begins, how it is turned, and of which fixed noisy versions it is."""

    image: int
    top: int
    left: int
    side: int
    symmetry: int
    first: int
    second: int

    def of(self, whole: Plane) -> Plane:
        """This crop of an image ``[C, H, W]``, turned."""
        return _turned(whole[:, self.top : self.top + self.side, self.left : self.left + self.side], self.symmetry)


def _turned(image: Plane, symmetry: int) -> Plane:
    return turn(torch.from_numpy(np.ascontiguousarray(image)), symmetry).contiguous().numpy()
