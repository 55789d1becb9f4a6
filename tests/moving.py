"""A scene whose motion is known exactly: a textured background behind a camera that pans, and a textured disc.

Everything moves by smooth curves with some acceleration, so that the way to the previous frame is not the way from the
next one. Light on the disc is three times that on the background, so that a ghost shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rendernoise.frame import Frame, Plane

Array = NDArray[np.float64]
H, W = 60, 88
LIGHT = (1.0, 3.0)
DISTANCE = (10.0, 5.0)


@dataclass(frozen=True)
class Scene:
    """One frame after another.

    Args:
        pan: Velocity and acceleration of the background's motion in the image, px.
        disc: Those of the disc.
        radius: Of the disc, px.
    """

    pan: tuple[tuple[float, float], tuple[float, float]] = ((-1.7, 0.4), (-0.5, 0.35))
    disc: tuple[tuple[float, float], tuple[float, float]] = ((3.1, -1.3), (0.6, 0.5))
    radius: float = 13.0

    def offset(self, layer: int, number: int) -> Array:
        """How far a layer (0: background, 1: disc) has moved by a frame, (x, y) in px."""
        velocity, acceleration = (np.array(v) for v in (self.disc if layer else self.pan))
        t = number - 4
        return velocity * t + 0.5 * acceleration * t * t

    def layers(self, number: int) -> NDArray[np.int_]:
        """Which layer each pixel shows, ``[H, W]``."""
        x, y = _pixels() - (np.array([W / 2, H / 2]) + self.offset(1, number))[:, None, None]
        return (np.hypot(x, y) < self.radius).astype(int)

    def motion(self, number: int, to: int) -> Plane:
        """Where each pixel's surface is in another frame, px to the right and down, ``[2, H, W]``."""
        ways = [self.offset(layer, to) - self.offset(layer, number) for layer in (0, 1)]
        return np.moveaxis(np.array(ways)[self.layers(number)], -1, 0).astype(np.float32)

    def visible(self, number: int, other: int) -> NDArray[np.bool_]:
        """Whether each pixel's surface is in the image of another frame with nothing before it."""
        x, y = np.floor(_pixels() + self.motion(number, other)).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < W) & (y < H)
        there = self.layers(other)[y.clip(0, H - 1), x.clip(0, W - 1)]
        return inside & (there == self.layers(number))

    def hidden(self, number: int, other: int) -> NDArray[np.bool_]:
        """Whether each pixel's surface is surely not seen in another frame: not in any pixel beside its place."""
        x, y = np.floor(_pixels() + self.motion(number, other)).astype(int)
        hidden = np.ones((H, W), bool)
        there = self.layers(other)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                column, row = x + dx, y + dy
                inside = (column >= 0) & (row >= 0) & (column < W) & (row < H)
                hidden &= ~(inside & (there[row.clip(0, H - 1), column.clip(0, W - 1)] == self.layers(number)))
        return hidden

    def truth(self, number: int) -> Plane:
        """Radiance without noise, ``[3, H, W]``."""
        return ((0.03 + 0.97 * self._albedo(number)) * np.array(LIGHT)[self.layers(number)]).astype(np.float32)

    def frame(self, number: int, *planes: str, noise: float = 0.0, seed: int = 0, spp: int = 4) -> Frame:
        """A frame with some of ``albedo``, ``normal``, ``depth``, ``to_previous`` and ``to_next``.

        Args:
            number: Which.
            planes: Beside the radiance.
            noise: Relative variance of the radiance.
            seed: Of the noise.
            spp: What the frame says of itself.
        """
        layers = self.layers(number)
        truth = self.truth(number)
        rng = np.random.default_rng([seed, number])
        grain = rng.gamma(1 / noise, noise, truth.shape) if noise else 1.0
        every = {
            "radiance": truth * grain,
            "albedo": self._albedo(number),
            "normal": np.broadcast_to(np.array([0, 0, -1.0])[:, None, None], (3, H, W)),
            "depth": np.array(DISTANCE)[layers][None],
            "to_previous": self.motion(number, number - 1),
            "to_next": self.motion(number, number + 1),
        }
        kept = {name: np.ascontiguousarray(every[name], np.float32) for name in ("radiance", *planes)}
        return Frame(kept, spp, number)

    def _albedo(self, number: int) -> Array:
        albedos = []
        for layer in (0, 1):
            x, y = _pixels() - self.offset(layer, number)[:, None, None]
            waves = sum(
                a * np.sin(f * (x * np.cos(t) + y * np.sin(t)) + layer + 7 * t)  # never twice the same
                for f, t, a in ((0.91, 0.3, 0.5), (0.67, 1.9, 0.5), (0.29, 2.6, 0.5), (0.13, 1.1, 0.4))
            )
            albedos.append(np.stack([0.5 + 0.25 * waves, 0.45 + 0.2 * waves, 0.5 - 0.15 * waves]))
        return np.where(self.layers(number), albedos[1], albedos[0])


def _pixels() -> Array:
    y, x = np.mgrid[0:H, 0:W] + 0.5
    return np.stack([x, y])
