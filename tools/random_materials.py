"""Materials of the random scenes: BSDFs as XML, procedural textures, and the palettes that draw from them.

Compiling a scene's kernels takes longer than rendering a small view of it. Kernels depend on which plugins a scene
uses, how they are nested and how many of each there are, not on numbers or pictures; so a scene uses all of one of a
few palettes, and a palette's kernels serve all its scenes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scene_textures as st
from numpy.random import Generator
from scene_files import write_png
from scene_textures import Color, Image

SIZES = (64, 128, 256)
METALS = ("Au", "Cu", "Al", "Ag", "Cr", "W", "TiN", "Rh")
#: Kinds that only look right on closed meshes.
GLASS = ("dielectric", "tinted", "frosted", "principled_glass")
#: Kinds for sheets that light goes through or past.
SHEETS = ("thindielectric", "leaf", "translucent")
BASE = ("diffuse", "textured", "glossy_textured")
OTHERS = (
    *("plastic", "plastic_textured", "glossy", "mirror", "metal", "metal_worn", "metal_tinted", "lacquer", "velvet"),
    *("brushed", "blend", "normal", *GLASS, *SHEETS),
)


class Palette(NamedTuple):
    """What decides the kernels of a scene: materials, sky, lights (and how many), sensor, depth of paths and fog."""

    materials: tuple[str, ...]
    sky: str
    lights: tuple[str, ...]
    lens: str
    max_depth: int
    fog: bool
    flats: int
    bulbs: int


def palette(number: int) -> Palette:
    """Palette `number`; each has the plain kinds, glass, a metal and some others."""
    rng = np.random.default_rng([7, number])
    kinds = [str(rng.choice(GLASS)), str(rng.choice(("mirror", "metal", "metal_worn", "brushed")))]
    kinds += [str(k) for k in rng.permutation([k for k in OTHERS if k not in kinds])[:6]]
    sky = ("envmap", "none", "envmap", "none", "envmap", "constant")[number % 6]
    lights = ("rectangle", "sphere") if number % 2 else ("rectangle", "disk")
    if number % 3 == 1:
        lights += (("point", "spot", "directional")[number // 3 % 3],)
    return Palette(
        (*BASE, *sorted(kinds)),
        sky,
        lights,
        "thinlens" if number % 4 == 2 else "perspective",
        (6, 8, 12, 16)[int(rng.integers(4))],
        number % 20 == 9,
        flats=int(rng.choice([3, 4, 6])) if number % 2 else 8,
        bulbs=int(rng.choice([3, 5, 8])) if number % 2 else 0,
    )


def color(rng: Generator, low: float = 0.03, high: float = 0.9) -> Color:
    """A linear colour, from grey to saturated, its largest part log-uniform in [low, high]."""
    hue, chroma = rng.random(), rng.choice([0.05, 0.3, 0.6, 0.9], p=[0.3, 0.35, 0.25, 0.1]) * rng.uniform(0.6, 1.0)
    wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    top = high * (low / high) ** (rng.random() ** 1.7)
    r, g, b = (float(v) for v in top * (1 - chroma + chroma * wheel))
    return r, g, b


def display(value: Color) -> Color:
    """A linear colour, display-encoded roughly."""
    r, g, b = (float(v ** (1 / 2.2)) for v in value)
    return r, g, b


def _stripes(size: int, rng: Generator, a: Color, b: Color) -> Image:
    u, v = st.grid(size)
    across = u * rng.integers(0, 12) + v * rng.integers(1, 24) + rng.choice([0, 0.1]) * np.sin(2 * np.pi * 3 * u)
    return st.mix(a, b, (across % 1 < rng.uniform(0.2, 0.8)).astype(float))


def _checker(size: int, rng: Generator, a: Color, b: Color) -> Image:
    u, v = st.grid(size)
    cells = int(rng.choice([2, 4, 8, 16, 32]))
    return st.mix(a, b, (np.floor(u * cells) + np.floor(v * cells)) % 2)


def _bricks(size: int, rng: Generator, a: Color, b: Color) -> Image:
    u, v = st.grid(size)
    rows = int(rng.choice([6, 8, 12]))
    row = np.floor(v * rows).astype(int)
    x, y = u * rows / 2 + 0.5 * (row % 2), v * rows
    tone = rng.random((rows, rows))[row % rows, np.floor(x).astype(int) % rows]
    inside = np.minimum.reduce([x % 1 * 2, y % 1, (1 - x % 1) * 2, 1 - y % 1]) > 0.07
    wall = np.asarray(a) * (0.75 + 0.4 * tone + 0.4 * (st.fractal(u, v, 16, 16, rng, 3) - 0.5))[..., None]
    return st.mix(b, wall, inside.astype(float))


def _letters(size: int, rng: Generator, a: Color, b: Color) -> Image:
    u, v = st.grid(size)
    lines = int(rng.choice([10, 16, 22]))
    glyphs = rng.random((lines * 5, lines * 6)) < 0.55
    row, column = np.floor(v * lines * 5).astype(int), np.floor(u * lines * 6).astype(int)
    gap = (row % 5 < 1) | (column % 4 == 3) | (rng.random((lines, lines * 2))[row // 5, column // 3] < 0.18)
    return st.mix(b, a, (glyphs[row, column] & ~gap).astype(float))


def _photo(size: int, rng: Generator, a: Color, b: Color) -> Image:
    u, v = st.grid(size)
    first, second = st.fractal(u, v, 2, 2, rng, 6), st.fractal(u, v, 3, 3, rng, 6)
    return st.mix(st.mix(a, b, 3 * first - 1), display(color(rng)), 4 * second - 1.8)


def _cells(size: int, rng: Generator, a: Color, b: Color) -> Image:
    u, v = st.grid(size)
    points, tone = rng.random((40, 2)), rng.random(41)
    du, dv = (np.abs(w[..., None] - points[:, i]) for i, w in enumerate((u, v)))
    distance = np.hypot(np.minimum(du, 1 - du), np.minimum(dv, 1 - dv))
    nearest = np.sort(distance, -1)[..., :2]
    image = st.mix(a, b, tone[np.argmin(distance, -1)])
    return image * np.clip((nearest[..., 1] - nearest[..., 0]) * 60, 0.2, 1)[..., None]


def _noise(size: int, rng: Generator, a: Color, b: Color) -> Image:
    return st.mix(a, b, rng.random((size, size)) ** rng.uniform(0.5, 3))


#: name -> (size, rng, colour, other colour) -> picture.
PATTERNS: dict[str, Callable[[int, Generator, Color, Color], Image]] = {
    "stripes": _stripes,
    "checker": _checker,
    "bricks": _bricks,
    "letters": _letters,
    "photo": _photo,
    "cells": _cells,
    "noise": _noise,
    "wood": lambda n, rng, a, b: st.wood(n, rng, a, b, int(rng.choice([1, 4, 6]))),
    "tiles": lambda n, rng, a, b: st.tiles(n, rng, a, b, int(rng.choice([2, 4, 8]))),
    "marble": lambda n, rng, a, b: st.marble(n, rng, a, b),
    "plaster": lambda n, rng, a, b: st.plaster(n, rng, a, rng.uniform(0.1, 0.6)),
    "wallpaper": lambda n, rng, a, b: st.wallpaper(n, rng, a, b),
    "weave": lambda n, rng, a, b: st.weave(n, rng, a, int(rng.choice([16, 32]))),
    "checks": lambda n, rng, a, b: st.checks(n, rng, a, b),
    "rug": lambda n, rng, a, b: st.rug(n, rng),
    "landscape": lambda n, rng, a, b: st.landscape(n, rng),
    "abstract": lambda n, rng, a, b: st.abstract(n, rng),
    "spines": lambda n, rng, a, b: st.spines(n, rng),
}


class Materials:
    """Draws materials of a palette, writes their textures into `folder` and collects the XML.

    Args:
        folder: The scene's folder; has `textures/`.
        rng: Where the numbers come from.
        drawn: The palette.
    """

    def __init__(self, folder: Path, rng: Generator, drawn: Palette) -> None:
        self.folder, self.rng, self.palette = folder, rng, drawn
        self.xml: list[str] = []
        self.names: dict[str, list[str]] = {}
        self.repeats: dict[str, float] = {}
        self._textures = 0
        for kind in drawn.materials:
            for _ in range(3 if kind in BASE else 2 if kind not in (*GLASS, *SHEETS) else 1):
                name = f"{kind}_{len(self.names.get(kind, []))}"
                self.xml.append(_with_id(_KINDS[kind](self), name))
                self.names.setdefault(kind, []).append(name)
                # Meshes take the scale of the texture: in the texture it would be a constant in the kernel.
                self.repeats[name] = float(rng.choice([1.0, 1.0, 1.5, 2.5, 4.0]))

    def opaque(self) -> str:
        """A material for anything."""
        kinds = [k for k in self.names if k not in GLASS and k not in SHEETS]
        return self._one(kinds)

    def solid(self) -> str:
        """A material for a closed mesh: glass half of the time."""
        return self._one([k for k in self.names if k in GLASS]) if self.rng.random() < 0.4 else self.opaque()

    def sheet(self) -> str:
        """A material for leaves, curtains and panes."""
        kinds = [k for k in self.names if k in SHEETS]
        return self._one(kinds) if kinds else self.opaque()

    def wall(self) -> str:
        """A material for large surfaces: mostly diffuse, so that a room is not a cabinet of mirrors."""
        kinds = ["diffuse", "diffuse", "textured", "textured", "textured", "glossy_textured"]
        kinds += [k for k in ("normal",) if k in self.names]
        return self._one(kinds)

    def _one(self, kinds: list[str]) -> str:
        names = self.names[kinds[int(self.rng.integers(len(kinds)))]]
        return names[int(self.rng.integers(len(names)))]

    def flat(self, name: str, low: float = 0.03, high: float = 0.9) -> str:
        """A constant colour as XML."""
        return f'<rgb name="{name}" value="{", ".join(f"{v:.4f}" for v in color(self.rng, low, high))}"/>'

    def number(self, name: str, low: float, high: float) -> str:
        """A number, log-uniform in [low, high], as XML."""
        return f'<float name="{name}" value="{low * (high / low) ** self.rng.random():.4f}"/>'

    def picture(self, name: str, top: float = 0.9) -> str:
        """A random pattern as XML; its linear values stay below `top`."""
        rng = self.rng
        size = int(rng.choice(SIZES, p=[0.2, 0.5, 0.3]))
        pattern = list(PATTERNS.values())[int(rng.integers(len(PATTERNS)))]
        image = pattern(size, rng, display(color(rng, 0.15)), display(color(rng, 0.01)))
        return self._bitmap(name, np.clip(image, 0.02, 0.97 * top ** (1 / 2.2)), raw=False)

    def map(self, name: str, low: float, high: float, sharp: float = 1.0) -> str:
        """A grey map of numbers in [low, high] as XML, for roughness, bumps, weights and opacity."""
        rng = self.rng
        u, v = st.grid(128)
        cells = int(rng.choice([3, 6, 12]))
        values = np.clip((st.fractal(u, v, cells, cells, rng, 4) - 0.5) * 2 * sharp + 0.5, 0, 1)
        return self._bitmap(name, low + (high - low) * values[..., None] * np.ones(3), raw=True)

    def normals(self) -> str:
        """A tangent-space normal map as XML."""
        u, v = st.grid(128)
        cells = int(self.rng.choice([4, 8, 16]))
        height = st.fractal(u, v, cells, cells, self.rng, 3) * self.rng.uniform(4, 14)
        slope = np.stack([-np.gradient(height, axis=1), np.gradient(height, axis=0), np.ones_like(u)], -1)
        slope /= np.linalg.norm(slope, axis=-1, keepdims=True)
        return self._bitmap("normalmap", slope / 2 + 0.5, raw=True)

    def _bitmap(self, name: str, image: Image, raw: bool) -> str:
        file = f"textures/{self._textures}.png"
        self._textures += 1
        write_png(self.folder / file, image)
        return (
            f'<texture type="bitmap" name="{name}"><string name="filename" value="{file}"/>'
            f'<boolean name="raw" value="{str(raw).lower()}"/></texture>'
        )


def _bsdf(kind: str, *parts: str) -> str:
    return f'<bsdf type="{kind}">{"".join(parts)}</bsdf>'


def _both(kind: str, *parts: str) -> str:
    return _bsdf("twosided", _bsdf(kind, *parts))


def _with_id(xml: str, name: str) -> str:
    return xml.replace('">', f'" id="{name}">', 1)


def _named_metal(m: Any) -> str:
    return f'<string name="material" value="{m.rng.choice(METALS)}"/>' + m.flat("specular_reflectance", 0.5, 0.95)


def _clear(name: str = "int_ior") -> str:
    return f'<float name="{name}" value="1.5"/>'


def _glass(m: Any, tinted: bool) -> str:
    tint = m.flat("specular_transmittance", 0.5, 0.95) if tinted else ""
    return f'<float name="int_ior" value="1.5"/>{tint}'


_KINDS: dict[str, Callable[[Any], str]] = {
    "diffuse": lambda m: _both("diffuse", m.flat("reflectance", 0.1, 0.85)),
    "textured": lambda m: _both("diffuse", m.picture("reflectance")),
    "glossy_textured": lambda m: _both("roughplastic", m.picture("diffuse_reflectance"), m.number("alpha", 0.05, 0.4)),
    "plastic": lambda m: _both("plastic", m.flat("diffuse_reflectance"), _clear()),
    "plastic_textured": lambda m: _both("plastic", m.picture("diffuse_reflectance"), _clear()),
    "glossy": lambda m: _both("roughplastic", m.flat("diffuse_reflectance"), m.number("alpha", 0.05, 0.4)),
    "mirror": lambda m: _both("conductor", _named_metal(m)),
    "metal": lambda m: _both("roughconductor", _named_metal(m), m.number("alpha", 0.05, 0.5)),
    "metal_worn": lambda m: _both("roughconductor", _named_metal(m), m.map("alpha", 0.05, 0.45)),
    "metal_tinted": lambda m: _both(
        "roughconductor",
        '<string name="material" value="Al"/>',
        m.picture("specular_reflectance"),
        m.number("alpha", 0.08, 0.4),
    ),
    "brushed": lambda m: _both(
        "roughconductor", _named_metal(m), m.number("alpha_u", 0.05, 0.15), m.number("alpha_v", 0.2, 0.5)
    ),
    "lacquer": lambda m: _both(
        "principled",
        m.picture("base_color"),
        m.number("roughness", 0.2, 0.8),
        m.number("metallic", 0.05, 1.0),
        m.number("clearcoat", 0.3, 1.0),
        m.number("clearcoat_gloss", 0.3, 1.0),
    ),
    "velvet": lambda m: _both(
        "principled",
        m.flat("base_color"),
        m.number("roughness", 0.3, 0.9),
        m.number("sheen", 0.3, 1.0),
        m.number("sheen_tint", 0.1, 1.0),
    ),
    "blend": lambda m: _bsdf(
        "twosided",
        _bsdf(
            "blendbsdf",
            m.map("weight", 0, 1, 4),
            _bsdf("diffuse", m.picture("reflectance")),
            _bsdf("roughconductor", _named_metal(m), m.number("alpha", 0.08, 0.4)),
        ),
    ),
    "bump": lambda m: _bsdf(
        "twosided",
        _bsdf(
            "bumpmap",
            m.map("arbitrary", 0, m.rng.uniform(0.2, 1)),
            '<float name="scale" value="0.05"/>',
            _bsdf("roughplastic", m.picture("diffuse_reflectance"), m.number("alpha", 0.08, 0.4)),
        ),
    ),
    "normal": lambda m: _bsdf("twosided", _bsdf("normalmap", m.normals(), _bsdf("diffuse", m.picture("reflectance")))),
    "dielectric": lambda m: _bsdf("dielectric", _glass(m, False)),
    "tinted": lambda m: _bsdf("dielectric", _glass(m, True)),
    "frosted": lambda m: _bsdf("roughdielectric", _glass(m, True), m.number("alpha", 0.05, 0.4)),
    "principled_glass": lambda m: _bsdf(
        "principled",
        m.flat("base_color", 0.5, 0.95),
        m.number("roughness", 0.1, 0.5),
        m.number("spec_trans", 0.5, 1.0),
        _clear("eta"),
    ),
    "thindielectric": lambda m: _bsdf("thindielectric", m.flat("specular_transmittance", 0.6, 0.95), _clear()),
    "leaf": lambda m: _bsdf(
        "mask", m.map("opacity", 0, 1, 12), _bsdf("twosided", _bsdf("diffuse", m.picture("reflectance")))
    ),
    "translucent": lambda m: _bsdf(
        "principledthin",
        m.picture("base_color"),
        m.number("roughness", 0.3, 0.9),
        f'<float name="diff_trans" value="{m.rng.uniform(0.5, 1.5):.3f}"/>',
    ),
}
