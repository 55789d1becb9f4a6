"""What multiplies images: the eight symmetries of the square for crops of a shot, cyclic shifts for whole images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rendernoise.frame import Plane

SYMMETRIES = 8
#: How far images are shifted at most: what the authors' released code has for slices of 255 px.
SHIFT_PX = 64


def turn(image: Tensor, symmetry: int) -> Tensor:
    """One of the eight flips and turns of ``[..., H, W]``: bits 0 and 1 mirror, bit 2 swaps the axes.

    Noise and truth turn together. Vectors in the planes (normals) are left as they are: the network then sees another,
    equally possible scene. The plane ``kept`` is no image and must not be turned; turn the clean image before its
    frequencies are sampled.
    """
    if symmetry & 1:
        image = torch.flip(image, (-1,))
    if symmetry & 2:
        image = torch.flip(image, (-2,))
    return image.transpose(-1, -2) if symmetry & 4 else image


def shift(image: Plane, rng: np.random.Generator, most_px: int = SHIFT_PX) -> Plane:
    """The image ``[C, H, W]`` shifted by up to ``most_px`` px each way, what leaves on one side entering on the other.

    For clean images whose frequencies are sampled next: a cyclic shift changes their phases alone, so that nothing has
    to be cropped (Noise2Noise, Lehtinen et al. 2018, section 3.4). A noisy image and its ``kept`` cannot be shifted
    together.
    """
    down, right = rng.integers(-most_px, most_px + 1, size=2)
    return np.roll(image, (down, right), axis=(-2, -1))
