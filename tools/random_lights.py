"""Lights of the random scenes: area lights, small lamps, suns, skies and fog as Mitsuba XML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scene_textures as st
from numpy.random import Generator
from random_materials import Palette, color
from scene_files import write_hdr, write_ply
from scene_meshes import Array, Mesh, Point, lathe, place


def unit(vector: Array) -> Array:
    """The vector with length 1."""
    return vector / np.linalg.norm(vector)


def vector(values: Point) -> str:
    """Numbers as XML takes them."""
    return ", ".join(f"{v:.5g}" for v in values)


def tint(rng: Generator) -> Array:
    """The colour of a lamp with a largest part of 1: mostly from candle to blue sky, sometimes saturated."""
    if rng.random() < 0.08:
        hue = np.asarray(color(rng, 0.5)) + 0.02
        return hue / hue.max()
    warm = rng.uniform(-1, 1)
    hue = np.array([1.0, 0.75, 0.45]) if warm > 0 else np.array([0.6, 0.8, 1.0])
    return 1 - abs(warm) * (1 - hue)


class Lights:
    """Collects the lights of one scene; all powers are multiples of `exposure`.

    Args:
        rng: Where the numbers come from.
        drawn: The palette; it says which kinds there are.
        exposure: Factor on everything that shines.
        folder: The scene's folder; has `meshes/` and `textures/`.
    """

    def __init__(self, rng: Generator, drawn: Palette, exposure: float, folder: Path) -> None:
        self.folder = folder
        self.rng, self.palette, self.exposure = rng, drawn, exposure
        self.flats: list[str] = []
        self.bulbs: list[str] = []
        self.others: list[str] = []

    def area(self, at: Point, toward: Point, size: tuple[float, float], level: float, reach: float) -> None:
        """A flat light at `at` that faces `toward`; gives irradiance `level` at a distance of `reach`."""
        kinds = [k for k in self.palette.lights if k in ("rectangle", "disk")]
        kind = kinds[len(self.flats) % len(kinds)]
        axis = unit(np.asarray(toward, float) - np.asarray(at, float))
        side = unit(np.cross(np.eye(3)[int(np.argmin(np.abs(axis)))], axis).astype(float))
        turns = np.arange(4) * np.pi / 2 + np.pi / 4 if kind == "rectangle" else np.arange(24) * np.pi / 12
        scale = np.array(size) / (2**0.5 if kind == "rectangle" else 2)
        rim = np.outer(scale[0] * np.cos(turns), side) + np.outer(scale[1] * np.sin(turns), np.cross(axis, side))
        count = len(turns)
        faces = np.stack([0 * turns[2:], np.arange(1, count - 1), np.arange(2, count)], -1).astype(np.int64)
        mesh = Mesh(rim + np.asarray(at), np.tile(axis, (count, 1)), rim[:, :2], faces)
        surface = size[0] * size[1] * (1 if kind == "rectangle" else np.pi / 4)
        self._shape(kind, mesh, level * reach**2 / surface)

    def bulb(self, at: Point, radius: float, level: float, reach: float) -> None:
        """A lamp that shines to all sides: a sphere, or a disk that looks down where the palette has none."""
        if "sphere" not in self.palette.lights:
            return self.area(at, (at[0], at[1] - 1, at[2]), (2 * radius, 2 * radius), level, reach)
        angle = np.linspace(0, np.pi, 9)
        globe = lathe(np.stack([np.sin(angle), -np.cos(angle)], -1).tolist(), segments=14, steps=1)
        return self._shape("sphere", place(globe, at, size=radius), level * reach**2 / (np.pi * radius**2))

    def extra(self, at: Point, toward: Point, level: float, reach: float) -> None:
        """The palette's light without a surface, if it has one."""
        for kind in self.palette.lights:
            aim = f'<lookat origin="{vector(at)}" target="{vector(toward)}" up="0.1, 1, 0.02"/>'
            if kind == "point":
                body = f'<point name="position" value="{vector(at)}"/>' + self._rgb("intensity", level * reach**2)
            elif kind == "spot":
                body = f'<transform name="to_world">{aim}</transform>' + self._rgb("intensity", 2 * level * reach**2)
                body += '<float name="cutoff_angle" value="30"/>'
            elif kind == "directional":
                way = np.asarray(toward, float) - np.asarray(at, float)
                body = f'<vector name="direction" value="{vector(way.tolist())}"/>' + self._rgb("irradiance", level)
            else:
                continue
            self.others.append(f'<emitter type="{kind}">{body}</emitter>')

    def sky(self, level: float) -> None:
        """The palette's sky, if it has one, with a mean radiance of about `level`."""
        if self.palette.sky == "constant":
            self.others.append(f'<emitter type="constant">{self._rgb("radiance", level)}</emitter>')
        elif self.palette.sky == "envmap":
            write_hdr(self.folder / "textures/sky.hdr", (level * self.exposure * sky_picture(64, self.rng)).clip(1e-6))
            self.others.append('<emitter type="envmap"><string name="filename" value="textures/sky.hdr"/></emitter>')

    def _rgb(self, name: str, power: float) -> str:
        return f'<rgb name="{name}" value="{vector((power * self.exposure * tint(self.rng)).tolist())}"/>'

    def _shape(self, kind: str, mesh: Mesh, radiance: float) -> None:
        many, most = (self.bulbs, self.palette.bulbs) if kind == "sphere" else (self.flats, self.palette.flats)
        if len(many) >= most:
            return
        # Meshes, as the place of a sphere or a rectangle would be a constant in the kernel.
        file = f"meshes/{'bulb' if kind == 'sphere' else 'flat'}_{len(many)}.ply"
        write_ply(self.folder / file, mesh)
        glow = f'<emitter type="area">{self._rgb("radiance", radiance)}</emitter>'
        many.append(f'<shape type="ply"><string name="filename" value="{file}"/>{glow}</shape>')

    @property
    def xml(self) -> list[str]:
        """All lights, kind by kind."""
        return [*self.flats, *self.bulbs, *self.others]


def sky_picture(height: int, rng: Generator) -> Array:
    """A latitude-longitude sky `[h, 2h, 3]`: a gradient, clouds, often a sun, or the softboxes of a studio."""
    v, u = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(2 * height) + 0.5) / (2 * height), indexing="ij")
    elevation = np.pi * (0.5 - v)
    up = np.clip(np.sin(elevation), 0, 1)
    if rng.random() < 0.25:
        image = np.full((height, 2 * height, 3), rng.uniform(0.01, 0.3))
        for _ in range(int(rng.integers(1, 5))):
            x, y, wide, tall = rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.03, 0.15), rng.uniform(0.05, 0.2)
            inside = (np.abs((u - x + 0.5) % 1 - 0.5) < wide / 2) & (np.abs(v - y) < tall / 2)
            image[inside] = tint(rng) * rng.uniform(3, 30)
        return image
    horizon, zenith = tint(rng) * rng.uniform(0.3, 1.2), tint(rng) * np.array([0.3, 0.5, 1.0]) * rng.uniform(0.2, 1)
    sky = horizon + (zenith - horizon) * (up**0.5)[..., None]
    cloud = np.clip(5 * st.fractal(u, 2 * v, 8, 24, rng, 4) - rng.uniform(2, 3.5), 0, 1)[..., None]
    sky = sky * (1 - cloud) + cloud * rng.uniform(0.5, 1.5)
    ground = np.asarray(color(rng, 0.05, 0.4)) * 0.5
    image = np.where((elevation > 0)[..., None], sky, ground)
    if rng.random() < 0.65:
        sun_u, sun_up = rng.random(), rng.uniform(0.15, 1.2)
        away = np.hypot(((u - sun_u + 0.5) % 1 - 0.5) * 2 * np.pi * np.cos(sun_up), elevation - sun_up)
        image = image + tint(rng) * (rng.uniform(0.3, 2) * np.exp(-away / 0.25))[..., None]
        image = image + tint(rng) * (10 ** rng.uniform(1.5, 3.3) * (away < 0.06))[..., None]
    return image
