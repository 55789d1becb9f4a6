"""The eight symmetries of the square, which multiply the crops of a shot; noise and truth turn together."""

from __future__ import annotations

import torch
from torch import Tensor

SYMMETRIES = 8


def turn(image: Tensor, symmetry: int) -> Tensor:
    """One of the eight flips and turns of ``[..., H, W]``: bits 0 and 1 mirror, bit 2 swaps the axes.

    Vectors in the planes (normals) are left as they are: the network then sees another, equally possible scene.
    """
    if symmetry & 1:
        image = torch.flip(image, (-1,))
    if symmetry & 2:
        image = torch.flip(image, (-2,))
    return image.transpose(-1, -2) if symmetry & 4 else image
