"""Procedural textures and a sky for the project's scenes: periodic noise and patterns as numpy arrays.

Every texture is float64 `[height, width, 3]` in display-encoded [0, 1]; the sky is linear radiance.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.float64]
Color = tuple[float, float, float]


def grid(size: int) -> tuple[Image, Image]:
    """Pixel centres (u, v) in [0, 1), each `[size, size]`; v grows downwards."""
    t = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(t, t)
    return u, v


def value_noise(u: Image, v: Image, cells_u: int, cells_v: int, rng: Generator) -> Image:
    """Smooth noise in [0, 1] that repeats when u or v grows by one."""
    lattice = rng.random((cells_v, cells_u))
    x, y = u * cells_u, v * cells_v
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - x0, y - y0
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    x1, y1 = (x0 + 1) % cells_u, (y0 + 1) % cells_v
    x0, y0 = x0 % cells_u, y0 % cells_v
    top = lattice[y0, x0] * (1 - fx) + lattice[y0, x1] * fx
    bottom = lattice[y1, x0] * (1 - fx) + lattice[y1, x1] * fx
    return top * (1 - fy) + bottom * fy


def fractal(u: Image, v: Image, cells_u: int, cells_v: int, rng: Generator, octaves: int = 4) -> Image:
    """Sum of octaves of `value_noise`, about [0, 1]."""
    total = np.zeros_like(u)
    for octave in range(octaves):
        total += 0.5 ** (octave + 1) * value_noise(u, v, cells_u << octave, cells_v << octave, rng)
    return total / (1 - 0.5**octaves)


def mix(a: Color | Image, b: Color | Image, weight: Image) -> Image:
    """Blend from a to b by `weight` `[h, w]`."""
    w = np.clip(weight, 0, 1)[..., None]
    return np.asarray(a) * (1 - w) + np.asarray(b) * w


def wood(size: int, rng: Generator, light: Color, dark: Color, planks: int = 1) -> Image:
    """Wood grain along u; with several planks each has its own tone, offset and dark seams."""
    u, v = grid(size)
    row = np.floor(v * planks).astype(int)
    shift, tone, joint = rng.random(planks)[row], rng.random(planks)[row], rng.random(planks)[row]
    uu = u + shift
    rings = fractal(uu, v, 2, max(6, 2 * planks), rng, 3)
    fibre = fractal(uu, v, 4, 64, rng, 2)
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * (6 * rings + 0.6 * fibre))
    image = mix(light, dark, 0.35 * grain + 0.4 * fibre + 0.35 * (tone - 0.5))
    if planks > 1:
        along = np.abs((u + joint) % 0.5 - 0.25) * size
        across = np.minimum(v * planks % 1, 1 - v * planks % 1) * size / planks
        image *= np.where((across < 1.0) | (along < 0.8), 0.45, 1.0)[..., None]
    return image


def tiles(size: int, rng: Generator, color: Color, grout: Color, count: int, spread: float = 0.12) -> Image:
    """Square stone tiles, each with its own tone and slow mottling."""
    u, v = grid(size)
    tone = rng.random((count, count))[np.floor(v * count).astype(int), np.floor(u * count).astype(int)]
    mottle = fractal(u, v, 8, 8, rng, 4)
    stone = np.asarray(color) * (1 + spread * (2 * tone - 1) + 0.35 * (mottle - 0.5))[..., None]
    edge = np.minimum.reduce([u * count % 1, v * count % 1, 1 - u * count % 1, 1 - v * count % 1])
    return mix(grout, stone, edge * size / count - 1.0)


def marble(size: int, rng: Generator, base: Color, vein: Color) -> Image:
    """Pale stone with dark veins."""
    u, v = grid(size)
    warp = fractal(u, v, 3, 3, rng, 5)
    lines = np.abs(np.sin(np.pi * (2 * u + 2 * v + 5 * warp)))
    veins = np.exp(-9 * lines) + 0.5 * np.exp(-14 * np.abs(np.sin(np.pi * (3 * u - v + 4 * warp))))
    return mix(base, vein, veins + 0.25 * (fractal(u, v, 6, 6, rng, 3) - 0.3))


def plaster(size: int, rng: Generator, color: Color, contrast: float = 0.12) -> Image:
    """One colour with soft mottling."""
    u, v = grid(size)
    return np.asarray(color) * (1 + contrast * (2 * fractal(u, v, 4, 4, rng, 5) - 1))[..., None]


def wallpaper(size: int, rng: Generator, base: Color, motif: Color) -> Image:
    """A half-drop pattern of flowers in curved frames."""
    u, v = grid(size)
    column = np.floor(u * 4).astype(int)
    x, y = u * 4 % 1 - 0.5, (v * 2 + 0.5 * (column % 2)) % 1 - 0.5
    radius, angle = np.hypot(x * 1.1, y * 1.7), np.arctan2(y * 1.7, x * 1.1)
    petal = radius < 0.2 + 0.09 * np.cos(6 * angle)
    heart = radius < 0.07
    frame = np.abs(np.abs(x) - 0.45 * np.cos(np.pi * y) ** 2) < 0.03
    leaf = np.hypot(np.abs(x) - 0.2, (np.abs(y) - 0.36) * 1.6) < 0.09
    mask = ((petal & ~heart) | frame | leaf).astype(float)
    stain = 0.06 * (fractal(u, v, 3, 3, rng, 3) - 0.5)
    return mix(base, motif, mask) * (1 + stain)[..., None]


def weave(size: int, rng: Generator, color: Color, threads: int = 32) -> Image:
    """Plain-woven cloth."""
    u, v = grid(size)
    over = (np.floor(u * threads) + np.floor(v * threads)) % 2
    bulge = np.where(over > 0, np.sin(np.pi * (u * threads % 1)), np.sin(np.pi * (v * threads % 1)))
    tone = (
        rng.random(threads)[np.floor(u * threads).astype(int)] + rng.random(threads)[np.floor(v * threads).astype(int)]
    )
    return np.asarray(color) * (0.62 + 0.3 * bulge + 0.12 * tone)[..., None]


def checks(size: int, rng: Generator, base: Color, stripe: Color) -> Image:
    """A chequered tea towel."""
    u, v = grid(size)
    across, down = (u * 6 % 1 < 0.5).astype(float), (v * 6 % 1 < 0.5).astype(float)
    return mix(base, stripe, 0.5 * (across + down)) * (0.7 + 0.3 * weave(size, rng, (1, 1, 1), size // 4))


def rug(size: int, rng: Generator) -> Image:
    """An oriental rug: a border of diamonds and a field of medallions."""
    u, v = grid(size)
    edge = np.minimum.reduce([u, v, 1 - u, 1 - v])
    red, navy, cream, gold = (0.56, 0.13, 0.12), (0.12, 0.16, 0.31), (0.88, 0.80, 0.64), (0.78, 0.55, 0.22)
    ring = np.abs(u - 0.5) + np.abs(v - 0.5)
    field = mix(red, gold, (np.abs((np.abs(u * 8 % 1 - 0.5) + np.abs(v * 8 % 1 - 0.5)) - 0.28) < 0.06).astype(float))
    field = mix(field, navy, (ring < 0.33).astype(float))
    field = mix(field, cream, (np.abs(ring - 0.31) < 0.015).astype(float))
    flower = np.hypot(u - 0.5, v - 0.5) < 0.12 + 0.035 * np.cos(8 * np.arctan2(v - 0.5, u - 0.5))
    field = mix(field, gold, flower.astype(float))
    diamonds = np.abs(u * 16 % 1 - 0.5) + np.abs(v * 16 % 1 - 0.5) < 0.32
    image = mix(field, mix(navy, cream, diamonds.astype(float)), (edge < 0.125).astype(float))
    image = mix(image, cream, (np.abs(edge - 0.13) < 0.008).astype(float))
    return image * (0.8 + 0.25 * weave(size, rng, (1, 1, 1), 64))


def landscape(size: int, rng: Generator) -> Image:
    """A painting: layers of hills before an evening sky."""
    u, v = grid(size)
    image = mix((0.35, 0.52, 0.74), (0.98, 0.74, 0.46), v * 1.7)
    image = mix(image, (1.0, 0.95, 0.75), np.exp(-(((u - 0.68) / 0.07) ** 2) - ((v - 0.36) / 0.07) ** 2))
    for layer in range(5):
        line = 0.45 + 0.11 * layer + 0.16 * (fractal(u, v * 0, 3 + layer, 1, rng, 4) - 0.5)
        shade = layer / 4
        color = np.asarray((0.46, 0.50, 0.62)) * (1 - shade) + np.asarray((0.10, 0.24, 0.14)) * shade
        image = mix(image, tuple(color), (v - line) * size)
    return image


def abstract(size: int, rng: Generator) -> Image:
    """A painting: overlapping discs and bars in a few colours."""
    u, v = grid(size)
    image = np.broadcast_to(np.asarray((0.92, 0.88, 0.78)), (size, size, 3)).copy()
    palette = [(0.82, 0.24, 0.16), (0.12, 0.30, 0.52), (0.93, 0.70, 0.18), (0.10, 0.12, 0.14), (0.22, 0.52, 0.46)]
    for index in range(11):
        x, y, radius = rng.uniform(0.15, 0.85), rng.uniform(0.15, 0.85), rng.uniform(0.05, 0.24)
        if index % 3 == 2:
            turn = rng.uniform(0, np.pi)
            distance = np.abs((u - x) * np.cos(turn) + (v - y) * np.sin(turn)) - radius * 0.12
        else:
            distance = np.hypot(u - x, v - y) - radius
        image = mix(image, palette[index % len(palette)], 0.9 * np.clip(-distance * size, 0, 1))
    return image


def spines(size: int, rng: Generator) -> Image:
    """Backs of books side by side, for boxes that stand for a row of books."""
    u, v = grid(size)
    edges = np.concatenate([[0.0], np.cumsum(rng.uniform(0.6, 1.5, 24))])
    edges /= edges[-1]
    book = np.searchsorted(edges, u, side="right") - 1
    inside = np.minimum(u - edges[book], edges[book + 1] - u)
    hue = np.asarray(
        [(0.55, 0.14, 0.12), (0.13, 0.24, 0.38), (0.80, 0.72, 0.56), (0.16, 0.34, 0.24), (0.70, 0.44, 0.16)]
    )
    color = hue[rng.integers(0, 5, 24)] * rng.uniform(0.7, 1.25, (24, 1))
    image = color[book] * (0.55 + 0.45 * np.clip(inside * 45, 0, 1))[..., None]
    band = (np.abs(v - 0.2) < 0.02) | (np.abs(v - 0.8) < 0.02) | (np.abs(v - rng.uniform(0.35, 0.6, 24)[book]) < 0.06)
    return mix(image, (0.86, 0.74, 0.42), 0.8 * (band & (inside > 0.006)).astype(float))


def garden(height: int, rng: Generator) -> Image:
    """What a window shows: bright sky over blurred trees, linear radiance `[h, h, 3]`."""
    u, v = grid(height)
    sky = mix((12.0, 15.5, 21.0), (24.0, 24.0, 22.0), v * 1.3)
    crown = 0.62 - 0.2 * fractal(u, 0 * v, 7, 1, rng, 4)
    trees = np.asarray((0.5, 0.8, 0.25)) * (0.4 + 1.6 * fractal(u, v, 12, 12, rng, 3))[..., None]
    image = mix(sky, trees, (v - crown) * 18)
    return mix(image, (1.1, 1.5, 0.5), (v - 0.82) * 12)


def evening_sky(height: int, rng: Generator) -> Image:
    """Latitude-longitude sky in linear radiance `[h, 2h, 3]`: a low sun, thin clouds, dim ground."""
    v, u = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(2 * height) + 0.5) / (2 * height), indexing="ij")
    elevation = np.pi * (0.5 - v)
    up = np.clip(np.sin(elevation), 0, 1)
    sky = mix((0.85, 0.42, 0.20), (0.12, 0.25, 0.55), up**0.4)
    cloud = np.clip(4.5 * fractal(u, v * 2, 8, 24, rng, 4) - 2.0, 0, 1) * np.exp(-(((up - 0.22) / 0.25) ** 2))
    sky = mix(sky, (1.1, 0.62, 0.44), 0.8 * cloud)
    sun_u, sun_elevation = 0.80, 0.38
    away = np.hypot((u - sun_u) * 2 * np.pi * np.cos(sun_elevation), elevation - sun_elevation)
    glow = 1.6 * np.exp(-away / 0.25)[..., None] * np.asarray((1.0, 0.62, 0.3))
    sun = 1100.0 * np.exp(-((away / 0.045) ** 4))[..., None] * np.asarray((1.0, 0.74, 0.46))
    ground = np.asarray((0.10, 0.09, 0.08))
    return np.where((elevation > 0)[..., None], sky + glow + sun, ground + 0.3 * glow)
