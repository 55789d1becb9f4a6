"""Text over the image."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rendernoise.frame import Plane
from rendernoise.losses import Statistic
from rendernoise.noise.model import NoiseModel, Noisy

Mask = NDArray[np.bool_]

_CHARACTERS = string.ascii_letters + string.digits
#: Characters of a string, and sizes of the font in px: from, to.
_LENGTHS = (5, 20)
_SIZES_PX = (10, 28)


@dataclass(frozen=True)
class Text(NoiseModel):
    """Random strings in random sizes, places and colours, until they cover the share p of the pixels.

    Each string has one colour, uniform in [-0.5, 0.5] for each channel; a later one lies over an earlier one. Edges are
    hard, so that a pixel is either clean or lost. The font is the one inside Pillow (Aileron, CC0), always upright.

    Strings may hang over the border, so that every pixel is as likely to be covered. The last string is left out with
    such a probability that the covered share is p on average; in one image it differs by less than a string.
    """

    strength: ClassVar[str] = "p, share of pixels that are covered"
    possible: ClassVar[tuple[float, float]] = (0.0, 0.9)
    trained: ClassVar[tuple[float, float]] = (0.0, 0.5)
    tested: ClassVar[float] = 0.25
    needs: ClassVar[Statistic] = "median"
    loss: ClassVar[str] = "l1"
    unbiased: ClassVar[bool] = False
    source: ClassVar[str] = "Noise2Noise (Lehtinen et al. 2018), section 3.2"

    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        """See :meth:`NoiseModel.corrupt`."""
        channels, height, width = image.shape
        wanted = self.check(strength) * height * width
        result, covered = image.copy(), np.zeros((height, width), np.bool_)
        count = 0
        while count < wanted:
            ink = _string(rng)
            # Uniform over all places where the string's box and the image meet: no pixel is favoured.
            top = int(rng.integers(1 - ink.shape[0], height))
            left = int(rng.integers(1 - ink.shape[1], width))
            rows, columns = slice(max(top, 0), top + ink.shape[0]), slice(max(left, 0), left + ink.shape[1])
            seen = ink[max(-top, 0) : height - top, max(-left, 0) : width - left]
            already = covered[rows, columns]
            more = int(np.count_nonzero(seen & ~already))
            if count + more > wanted and rng.random() * more > wanted - count:
                break
            count += more
            already |= seen
            colour = rng.random(channels, dtype=np.float32) - np.float32(0.5)
            np.copyto(result[:, rows, columns], colour[:, None, None], where=seen)
        return Noisy(result)


def _string(rng: np.random.Generator) -> Mask:
    """The pixels of a random string ``[H, W]``."""
    letters = _letters(int(rng.integers(_SIZES_PX[0], _SIZES_PX[1] + 1)))
    chosen = rng.integers(len(letters), size=int(rng.integers(_LENGTHS[0], _LENGTHS[1] + 1)))
    return np.concatenate([letters[i] for i in chosen], axis=1)


@lru_cache(maxsize=_SIZES_PX[1] - _SIZES_PX[0] + 1)
def _letters(size_px: int) -> tuple[Mask, ...]:
    """Every character in that size, each as wide as it moves the pen."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size_px)
    top, bottom = font.getbbox(_CHARACTERS)[1::2]
    masks: list[Mask] = []
    for character in _CHARACTERS:
        cell = Image.new("1", (round(font.getlength(character)), int(bottom - top)))
        ImageDraw.Draw(cell).text((0, -top), character, fill=1, font=font)
        masks.append(np.asarray(cell))
    return tuple(masks)
