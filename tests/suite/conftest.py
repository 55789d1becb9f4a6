"""Small images with structure: gradients, discs, stripes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rendernoise.io.image import write_png
from rendernoise.io.image_folder import ImageFolder


def drawn_image(index: int, height: int = 48, width: int = 48, channels: int = 1) -> np.ndarray:
    """``[channels, height, width]`` in [0, 1]: a ramp, a disc and stripes, other ones for each index."""
    rng = np.random.default_rng([9, index])
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = []
    for _ in range(channels):
        a, b, frequency = rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), rng.uniform(3, 9)
        disc = np.hypot(y - rng.random(), x - rng.random()) < rng.uniform(0.1, 0.4)
        planes.append(0.5 + a * x + b * y + 0.2 * disc + 0.1 * np.sin(2 * np.pi * frequency * x))
    return np.clip(planes, 0, 1).astype(np.float32)


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """Writes images as PNG: ``folder_of(count, height, width, channels, name="data")``."""

    def make(count: int = 3, height: int = 48, width: int = 48, channels: int = 1, name: str = "data") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for i in range(count):
            write_png(folder / f"{i:02d}.png", drawn_image(i, height, width, channels))
        return folder

    return make


@pytest.fixture
def images() -> Callable[..., ImageFolder]:
    """The same in memory: ``images(count, height, width, channels)``."""

    def make(count: int = 3, height: int = 48, width: int = 48, channels: int = 1) -> ImageFolder:
        stored = tuple(drawn_image(i, height, width, channels) for i in range(count))
        return ImageFolder("drawn", tuple(f"{i:02d}.png" for i in range(count)), stored, channels)

    return make
