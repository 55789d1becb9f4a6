"""Whether the noise of neighbouring pixels is independent, told from noisy frames or images alone.

Where a renderer splats each sample into several pixels (Mitsuba with its gaussian or tent filter), neighbours share
noise, and so they do in images that were filtered, resized or compressed. Blind spots then teach the noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rendernoise.color import demodulator
from rendernoise.frame import Frame, Plane

#: Sides of the window in which values are ranked, and of the tiles that count or do not, px.
WINDOW_PX, TILE_PX = 9, 16
#: Under usual filters pixels this far apart share 2 % of their noise at most: what they have in common is the picture.
FAR_PX = 2
#: So far apart they share none. Tiles where the picture is more than so much of the variance are left out.
BEYOND_PX, MAX_STRUCTURE = 4, 0.1
#: Tiles that are mostly one value (a black sky) have no noise to tell of.
LEAST_VARIANCE = 0.1
#: From here on noise counts as correlated. Mitsuba's box filter gives 0.13 at most, which is what is left of the
#: picture, tent 0.24 and more; false alarms and misses are in docs/denoiser.md.
THRESHOLD = 0.2
#: How many standard errors it must be from 0 besides.
CERTAINTY = 3.0
MIN_TILES = 4
#: Of an image's tiles, those of least variance show the noise with the least of the picture: this share is looked at,
#: and of small images so many.
FLATTEST, MIN_FLAT_TILES = 1 / 16, 8
#: From here on the noise of images counts as correlated. In flat tiles the picture leaves less than in renders', whose
#: noise differs from place to place.
IMAGE_THRESHOLD = 0.15
#: From here on two frames have the same noise; frames of seeds of their own give 0.28 at most, a still of one seed 1.
SAME = 0.55


@dataclass(frozen=True)
class Correlation:
    """How alike the noise of pixels side by side, or one above the other, is.

    Args:
        noise: Its rank correlation, -1 to 1; NaN where too few tiles show noise alone.
        error: The standard error of that.
        tiles: Tiles that it comes from.
    """

    noise: float
    error: float
    tiles: int

    @property
    def found(self) -> bool:
        """Whether the noise of renders is clearly correlated."""
        return self.exceeds(THRESHOLD)

    def exceeds(self, threshold: float) -> bool:
        """Whether the correlation is clearly beyond that, one way or the other; False where it is unknown."""
        return abs(self.noise) > max(threshold, CERTAINTY * self.error)


def noise_correlation(frames: Iterable[Frame]) -> Correlation:
    """The correlation of neighbours' noise, over all frames.

    Each pixel, divided by the albedo where there is one, becomes its rank among the 81 around it: fireflies count as
    little as any other pixel, and dark places as much as bright ones. Products of such ranks at distance 1 hold noise
    and picture, at distance 2 hardly more than the picture; the difference of both, over the difference of variance
    and picture, is the noise's own. Only tiles count where the picture has little part.

    Args:
        frames: Noisy frames of 32×32 px or more.
    """
    return _found(list(map(_products, frames)))


def same_noise(frame: Frame, other: Frame) -> bool:
    """Whether two frames of one size have the same noise in the same pixels, as those of one seed and still camera."""
    ranks, others = _ranks_of(frame), _ranks_of(other)
    near, far, beyond = (
        (_shifted_product(ranks, others, 0, px) + _shifted_product(ranks, others, px, 0)) / 2
        for px in (0, FAR_PX, BEYOND_PX)
    )
    variance = (ranks * ranks + others * others) / 2
    return _found([[_tiles(image) for image in (variance, near, far, beyond)]]).noise > SAME


def image_noise_correlation(images: Iterable[Plane]) -> tuple[Correlation, Correlation]:
    """The correlation of the noise of pixels side by side, and of that of pixels one above the other, over all images.

    Pixels become their ranks as in :func:`noise_correlation`, but all that neighbours have in common counts, as noise
    of photographs may be alike over many pixels. What tells it from the picture is that it is everywhere: only the
    flattest tiles of each image are looked at.

    Args:
        images: ``[C, H, W]`` of any channels and range, 32×32 px or more, noisy.
    """
    variance, right, down = (np.concatenate(parts) for parts in zip(*map(_flat_products, images), strict=True))
    if len(variance) < MIN_TILES:
        unknown = Correlation(np.nan, np.nan, len(variance))
        return unknown, unknown
    return _ratio(right, variance), _ratio(down, variance)


def blind_spot_warning(images: Iterable[Plane]) -> str | None:
    """One line where noisy images are nothing for Noise2Void, whose assumption is that pixels' noise is independent.

    It names the masking that helps where the noise is alike along rows or along columns only. False alarms and misses
    are in tests/test_image_autocorrelation.py: images of hardly any noise may raise one, as pixels of the picture are
    alike.

    Args:
        images: As for :func:`image_noise_correlation`; a few of a folder will do.
    """
    rows, columns = image_noise_correlation(images)
    along_rows, along_columns = rows.exceeds(IMAGE_THRESHOLD), columns.exceeds(IMAGE_THRESHOLD)
    if not (along_rows or along_columns):
        return None
    if along_rows and along_columns:
        where, cure = "", "use noisy pairs, or images that were not filtered, resized or compressed"
    elif along_rows:
        where, cure = " along rows", "use --masking struct_n2v_horizontal"
    else:
        where, cure = " along columns", "use --masking struct_n2v_vertical"
    most = max(rows.noise, columns.noise, key=abs)
    return f"the noise of neighbouring pixels is alike{where} (correlation {most:.2f}), so blind spots teach it: {cure}"


def _found(products: list[list[np.ndarray]]) -> Correlation:
    """What the tiles of all frames say together."""
    variance, near, far, beyond = (np.concatenate(parts) for parts in zip(*products, strict=True))
    flat = (beyond < MAX_STRUCTURE * variance) & (variance > LEAST_VARIANCE)
    if flat.sum() < MIN_TILES:
        return Correlation(np.nan, np.nan, int(flat.sum()))
    return _ratio((near - far)[flat], (variance - far)[flat])


def _ratio(noise: np.ndarray, whole: np.ndarray) -> Correlation:
    """The ratio of two sums over tiles with its standard error."""
    ratio = noise.sum() / whole.sum()
    error = np.sqrt(np.square(noise - ratio * whole).sum()) / whole.sum()
    return Correlation(float(ratio), float(error), len(noise))


def _products(frame: Frame) -> list[np.ndarray]:
    """Of each tile: the mean square of its ranks, and the mean products at the three distances."""
    ranks = _ranks_of(frame)
    pairs = (
        (_shifted_product(ranks, ranks, 0, px) + _shifted_product(ranks, ranks, px, 0)) / 2
        for px in (1, FAR_PX, BEYOND_PX)
    )
    return [_tiles(image) for image in (ranks * ranks, *pairs)]


def _flat_products(image: Plane) -> list[np.ndarray]:
    """Of the flattest tiles: the mean square of ranks, and the mean products with the right and the lower neighbour."""
    grey = torch.from_numpy(image).nan_to_num(0.0, 0.0, 0.0).mean(0)[None, None]
    ranks = _ranks(grey)
    products = [_tiles(_shifted_product(ranks, ranks, *by)) for by in ((0, 0), (0, 1), (1, 0))]
    contrast = _tiles(grey * grey) - _tiles(grey) ** 2
    noisy = products[0] > LEAST_VARIANCE
    order = np.argsort(np.where(noisy, contrast, np.inf), kind="stable")
    flattest = order[: min(noisy.sum(), max(MIN_FLAT_TILES, round(FLATTEST * noisy.sum())))]
    return [values[flattest] for values in products]


def _ranks_of(frame: Frame) -> Tensor:
    """The ranks of a frame's demodulated radiance, ``[1, 1, H, W]``."""
    radiance = torch.from_numpy(frame.radiance).nan_to_num(0.0, 0.0, 0.0)[None]
    if "albedo" in frame.planes:
        radiance = radiance / demodulator(torch.from_numpy(frame.planes["albedo"]).nan_to_num()[None])
    return _ranks(radiance.mean(1, keepdim=True))


def _ranks(image: Tensor) -> Tensor:
    """Of each pixel of ``[1, 1, H, W]``, the share of darker pixels around it less that of brighter ones."""
    height, width = image.shape[-2:]
    padded = F.pad(image, (WINDOW_PX // 2,) * 4, mode="reflect")
    total = torch.zeros_like(image)
    for y, x in product(range(WINDOW_PX), repeat=2):
        total += torch.sign(image - padded[..., y : y + height, x : x + width])
    return total / (WINDOW_PX**2 - 1)


def _shifted_product(ranks: Tensor, others: Tensor, down: int, right: int) -> Tensor:
    """Each rank times that of the other image's pixel so far away; 0 beyond the border."""
    return ranks * F.pad(others[..., down:, right:], (0, right, 0, down))


def _tiles(image: Tensor) -> np.ndarray:
    """Means of whole tiles."""
    return F.avg_pool2d(image, TILE_PX).double().numpy().ravel()
