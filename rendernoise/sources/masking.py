"""Which pixels a noisy image hides from the network so that they can be its targets, and what stands in for them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Plane

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Masking:
    """Hides some pixels of an image (Noise2Void, Krull et al. 2019, sections 3.3 and 4).

    What can be told of a hidden pixel from those around it is its mean, if the noise of pixels is independent. Targets
    are stratified: at most one in each cell, anywhere in it with the same chance. No hidden value is left anywhere in
    the image: those that stand in are never hidden themselves, as the network would else see targets in other places.

    Args:
        cell_px: Side of a cell.
        filled: Share of the cells that have a target.
        reach_px: How far away the pixels are that stand in: 2 px make a window of 5×5, always without its center.
        median: Whether the median of the window stands in, channel by channel, or one of its pixels, with all channels.
        left_right_px: How many pixels to the left and to the right of a target are hidden too, but are no targets:
            for noise that is alike along rows (StructN2V, Broaddus et al. 2020, section 2).
        up_down_px: The same above and below, for noise that is alike along columns.
    """

    cell_px: int = 8
    filled: float = 1.0
    reach_px: int = 2
    median: bool = False
    left_right_px: int = 0
    up_down_px: int = 0

    @property
    def share(self) -> float:
        """The share of pixels that are targets: the chance of each pixel of an image of any size."""
        return self.filled / self.cell_px**2

    def hide(self, image: Plane, rng: np.random.Generator) -> tuple[Plane, Mask]:
        """The image without some pixels, and which of them are targets.

        Args:
            image: ``[C, H, W]``; it stays as it is.
            rng: Where all choices are drawn from.

        Returns:
            The image with stand-ins, and the targets ``[H, W]``.

        Raises:
            ImageError: The image is so small that all of it is hidden.
        """
        targets = self.targets(image.shape[1], image.shape[2], rng)
        return self.without(image, self.hidden(targets), rng), targets

    def targets(self, height: int, width: int, rng: np.random.Generator) -> Mask:
        """One pixel in each cell, or in as many of the cells as are filled, ``[H, W]``.

        Cells that reach beyond the border may have none, so that no pixel has another chance.
        """
        rows, columns = -(-height // self.cell_px), -(-width // self.cell_px)
        y, x = rng.integers(self.cell_px, size=(2, rows, columns))
        y += self.cell_px * np.arange(rows)[:, None]
        x += self.cell_px * np.arange(columns)
        taken = (y < height) & (x < width)
        if self.filled < 1:
            taken &= rng.random(taken.shape) < self.filled
        mask = np.zeros((height, width), dtype=bool)
        mask[y[taken], x[taken]] = True
        return mask

    def hidden(self, targets: Mask) -> Mask:
        """The targets with the pixels that are hidden beside them, ``[H, W]``."""
        result = targets.copy()
        for px in range(1, self.left_right_px + 1):
            result[:, px:] |= targets[:, :-px]
            result[:, :-px] |= targets[:, px:]
        for px in range(1, self.up_down_px + 1):
            result[px:] |= targets[:-px]
            result[:-px] |= targets[px:]
        return result

    def without(self, image: Plane, hidden: Mask, rng: np.random.Generator) -> Plane:
        """The image ``[C, H, W]`` with each of the hidden pixels ``[H, W]`` replaced by what stands in for it.

        Where the whole window is hidden, any pixel of the image that is not hidden stands in.

        Raises:
            ImageError: All pixels are hidden.
        """
        y, x, usable = self._windows(hidden, rng)
        result = image.copy()
        if self.median:
            values = np.where(usable, image[:, y, x], np.float32(np.nan))
            result[:, hidden] = np.nanmedian(values, axis=-1)
        else:
            places = np.arange(len(usable))
            chosen = np.where(usable, rng.random(usable.shape), -1.0).argmax(1)
            result[:, hidden] = image[:, y[places, chosen], x[places, chosen]]
        return result

    def _windows(self, hidden: Mask, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Mask]:
        """Rows and columns of the window of each hidden pixel, and which may stand in, ``[hidden, window]``."""
        last = np.array(hidden.shape) - 1
        reach = range(-self.reach_px, self.reach_px + 1)
        around = np.argwhere(hidden)[:, None] + [offset for offset in product(reach, repeat=2) if offset != (0, 0)]
        inside = around.clip(0, last)
        y, x = np.moveaxis(inside, -1, 0)
        usable = (inside == around).all(-1) & ~hidden[y, x]
        alone = np.flatnonzero(~usable.any(1))
        if len(alone):
            shown = np.argwhere(~hidden)
            if not len(shown):
                raise ImageError(f"all of {hidden.shape[1]}x{hidden.shape[0]} px is hidden", "Use larger images")
            y[alone, 0], x[alone, 0] = shown[rng.integers(len(shown), size=len(alone))].T
            usable[alone, 0] = True
        return y, x, usable


#: The released code's share of pixels, and the cell that comes nearest to one pixel of them (``n2v_perc_pix``).
_RELEASED_SHARE, _RELEASED_CELL_PX = 0.00198, 22
#: How far a line of StructN2V reaches: the authors' example hides 9 px.
_LINE_PX = 4
#: With longer lines cells are larger, so that most of the image is still seen; windows reach out of the line.
_STRUCT_CELL_PX, _STRUCT_REACH_PX = 16, 5

#: ``n2v`` is the paper's: 64 pixels of a patch of 64×64 px, replaced from 5×5 as in the authors' script for BSD68.
#: ``n2v_released`` has that script's share of pixels. It leaves one hidden pixel in 25 as it was; here none is.
#: ``n2v2`` is Höck et al. 2022, section 3.2. ``n2v_dense``, for short runs and for renders, has four times the targets
#: at the same cost: 240 steps on 16 grey patches (sigma 25, one seed) leave it 1.5 dB behind Noise2Noise, ``n2v`` 1.8.
MASKINGS: dict[str, Masking] = {
    "n2v": Masking(),
    "n2v_dense": Masking(cell_px=4),
    "n2v_released": Masking(_RELEASED_CELL_PX, _RELEASED_SHARE * _RELEASED_CELL_PX**2),
    "n2v2": Masking(median=True),
    "struct_n2v": Masking(_STRUCT_CELL_PX, 1.0, _STRUCT_REACH_PX, left_right_px=_LINE_PX, up_down_px=_LINE_PX),
    "struct_n2v_horizontal": Masking(_STRUCT_CELL_PX, 1.0, _STRUCT_REACH_PX, left_right_px=_LINE_PX),
    "struct_n2v_vertical": Masking(_STRUCT_CELL_PX, 1.0, _STRUCT_REACH_PX, up_down_px=_LINE_PX),
}


def get_masking(name: str) -> Masking:
    """The masking of that name; raises ``InputError`` for an unknown one."""
    if name not in MASKINGS:
        raise InputError(f"there is no masking {name!r}", f"Choose one of {', '.join(MASKINGS)}")
    return MASKINGS[name]
