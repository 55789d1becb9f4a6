"""What a noise model is: a way to corrupt a clean image, and what must be known to train on the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rendernoise.errors import InputError
from rendernoise.frame import Plane
from rendernoise.losses import Statistic


@dataclass(frozen=True)
class Noisy:
    """A corrupted image.

    Args:
        image: ``[C, H, W]``, never clipped and never quantised.
        weight: ``[1, H, W]``, 1 where a pixel may be a target and 0 where it was lost; None for 1 everywhere.
        kept: ``[1, H, W]``, the probability with which each frequency (in the order of ``numpy.fft.fft2``) was
            measured, 0 where it was not; None where the noise is no sampling of frequencies.
    """

    image: Plane
    weight: Plane | None = None
    kept: Plane | None = None


@dataclass(frozen=True)
class NoiseModel(ABC):
    """Corrupts images ``[C, H, W]`` with values in [-0.5, 0.5], of any size and any number of channels.

    Fields of a subclass are its options, with their units and defaults. How strong the noise is comes with each call.
    """

    #: What the strength is and its unit, as in ``sigma, 1/255``.
    strength: ClassVar[str]
    #: What strength can be at all: from, to.
    possible: ClassVar[tuple[float, float]]
    #: Between what it is drawn, uniformly, for each image in training.
    trained: ClassVar[tuple[float, float]]
    #: What is measured at.
    tested: ClassVar[float]
    #: Which statistic of the noisy values of a pixel is the clean one; the loss must estimate it.
    needs: ClassVar[Statistic]
    #: The loss that the paper uses.
    loss: ClassVar[str]
    #: Whether E[image] is the clean image, over all pixels; with weights, over those of weight 1.
    unbiased: ClassVar[bool]
    #: Where the model and its numbers come from.
    source: ClassVar[str]

    @abstractmethod
    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        """The image with noise of that strength; ``image`` stays as it is, and all chance comes from ``rng``."""

    def check(self, strength: float) -> float:
        """The strength, if there can be such.

        Raises:
            InputError: It is out of range, or no number.
        """
        low, high = self.possible
        if not low <= strength <= high:
            raise InputError(f"{self.strength} cannot be {strength:g}", f"Use {low:g} to {high:g}")
        return strength

    def draw(self, rng: np.random.Generator, between: tuple[float, float] | None = None) -> float:
        """A strength for one training image, uniform in ``between``, or where the paper draws it from."""
        return float(rng.uniform(*(between or self.trained)))
