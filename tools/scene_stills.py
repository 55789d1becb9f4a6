"""The meshes, textures, curves and camera paths of `glassware`, `caustics`, `terrace` and `fog`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scene_textures as st
from numpy.random import Generator
from scene_files import write_camera, write_curves, write_hdr, write_ply, write_png
from scene_meshes import Mesh, box, lathe, leaf, merge, place, surface, torus, tube, turned
from scene_objects import chair, cloth, fruit, fur, grass

# Profiles of vessels: (radius, height) pairs in a row, from the middle of the foot over the outside to the inside. A
# pair that stands there twice is a crease.
WINEGLASS = [
    0,
    0,
    0.62,
    0,
    0.62,
    0,
    0.64,
    0.05,
    0.2,
    0.14,
    0.07,
    0.3,
    0.06,
    0.9,
    0.1,
    1.12,
    0.5,
    1.42,
    0.66,
    1.9,
    0.5,
    2.6,
]
WINEGLASS += [0.48, 2.61, 0.48, 2.61, 0.63, 1.9, 0.47, 1.46, 0.14, 1.22, 0, 1.17]
CARAFE = [0, 0, 0.6, 0, 0.6, 0, 0.74, 0.12, 0.8, 0.6, 0.66, 1.2, 0.3, 1.8, 0.26, 2.3, 0.4, 2.75, 0.4, 2.75]
CARAFE += [0.37, 2.76, 0.37, 2.76, 0.21, 2.3, 0.25, 1.78, 0.6, 1.2, 0.74, 0.6, 0.68, 0.2, 0, 0.14]
TUMBLER = [0, 0, 0.42, 0, 0.42, 0, 0.46, 0.05, 0.54, 1.1, 0.54, 1.1, 0.51, 1.12, 0.49, 1.1, 0.49, 1.1]
TUMBLER += [0.42, 0.16, 0.42, 0.16, 0, 0.16]
DRINK = [0, 0.165, 0.415, 0.165, 0.415, 0.165, 0.455, 0.68, 0.455, 0.68, 0, 0.68]
PITCHER = [0, 0, 0.46, 0, 0.46, 0, 0.52, 0.1, 0.56, 0.45, 0.42, 0.8, 0.36, 1.0, 0.46, 1.22, 0.46, 1.22]
PITCHER += [0.47, 1.26, 0.44, 1.24, 0.44, 1.24, 0.33, 1.0, 0.39, 0.8, 0.53, 0.45, 0, 0.06]
BOWL = [0, 0, 0.34, 0, 0.34, 0, 0.3, 0.06, 0.32, 0.1, 0.7, 0.28, 0.92, 0.58, 0.92, 0.58]
BOWL += [0.91, 0.61, 0.88, 0.59, 0.88, 0.59, 0.66, 0.32, 0.3, 0.15, 0, 0.14]
BAND = [1.0, 0, 1.0, 0.62, 1.0, 0.62, 0.98, 0.64, 0.96, 0.62, 0.96, 0.62, 0.96, 0]
GEM = [0, 0, 0.6, 0.46, 0.6, 0.46, 0.6, 0.52, 0.6, 0.52, 0.34, 0.74, 0.34, 0.74, 0, 0.74]
LENS = [0, 0, 0.5, 0, 0.5, 0, 0.53, 0.04, 0.5, 0.08, 0.5, 0.08, 0.28, 0.2, 0, 0.26]
BALUSTER = [0.075, 0, 0.075, 0.06, 0.04, 0.1, 0.07, 0.24, 0.065, 0.32, 0.03, 0.52, 0.05, 0.6, 0.07, 0.64, 0.07, 0.7]
FINIAL = [0.12, 1.0, 0.1, 1.04, 0.16, 1.14, 0.12, 1.26, 0, 1.3]
TABLE_LEG = [0.3, 0, 0.28, 0.04, 0.06, 0.08, 0.035, 0.3, 0.06, 0.62, 0.16, 0.7]
TABLE_EDGE = [0, 0.7, 0.5, 0.7, 0.5, 0.7, 0.53, 0.72, 0.5, 0.74]
CUP = [0, 0, 0.03, 0, 0.03, 0, 0.045, 0.02, 0.05, 0.075, 0.05, 0.075, 0.047, 0.075, 0.047, 0.075, 0.04, 0.022, 0, 0.012]
SAUCER = [0, -0.012, 0.045, -0.012, 0.045, -0.012, 0.088, 0.006, 0.088, 0.006, 0.087, 0.009, 0.087, 0.009]
SAUCER += [0.04, -0.003, 0, -0.003]
WATER_JUG = [0, 0, 0.05, 0, 0.05, 0, 0.075, 0.05, 0.07, 0.12, 0.035, 0.2, 0.05, 0.26, 0.05, 0.26, 0.046, 0.26]
WATER_JUG += [0.046, 0.26, 0.031, 0.2, 0.066, 0.12, 0.07, 0.05, 0, 0.01]
PLANTER = [0, 0, 0.2, 0, 0.2, 0, 0.24, 0.05, 0.3, 0.4, 0.3, 0.4, 0.33, 0.42, 0.33, 0.47, 0.28, 0.48, 0.28, 0.48]
PLANTER += [0.28, 0.46, 0.27, 0.42, 0, 0.42]

#: Trees of `fog`: x, z, radius.
TREES = [
    (-3.4, -2.6, 0.3),
    (-1.5, -5.2, 0.36),
    (2.1, -3.6, 0.28),
    (4.2, -1.8, 0.34),
    (0.8, -7.0, 0.4),
    (-5.6, -5.4, 0.4),
    (5.6, -6.4, 0.42),
]


def glassware(out: Path) -> None:
    """A still of glass and metal on a wooden table."""
    rng = np.random.default_rng(11)
    meshes = out / "meshes"
    write_ply(meshes / "wineglass.ply", turned(WINEGLASS, steps=3), uvs=False)
    write_ply(meshes / "carafe.ply", turned(CARAFE, steps=3), uvs=False)
    write_ply(meshes / "tumbler.ply", turned(TUMBLER), uvs=False)
    write_ply(meshes / "drink.ply", turned(DRINK), uvs=False)
    handle = tube([(0.40, 1.05, 0), (0.72, 1.12, 0), (0.9, 0.8, 0), (0.74, 0.42, 0), (0.54, 0.36, 0)], [0.06] * 5)
    write_ply(meshes / "jug.ply", merge(turned(PITCHER, steps=3), handle), uvs=False)
    write_ply(meshes / "bowl.ply", turned(BOWL, steps=3), uvs=False)
    heap = [(-0.36, 0.28, 0.18), (0.34, 0.26, 0.24), (0.02, 0.26, -0.4), (0.02, 0.64, 0.04)]
    oranges = [place(fruit(0.33, rng), at, 40 * i, 14 * i) for i, at in enumerate(heap)]
    write_ply(meshes / "fruit.ply", merge(*oranges), uvs=False)
    write_ply(meshes / "cloth.ply", cloth(2.6, 1.9, 32, rng, 0.24))
    write_ply(meshes / "table.ply", box((16, 0.5, 9), (0, -0.25, 0), 0.08, 3, uv=6))
    write_png(out / "textures/wood.png", st.wood(256, rng, (0.66, 0.44, 0.27), (0.24, 0.12, 0.06), 5))
    write_png(out / "textures/towel.png", st.checks(192, rng, (0.93, 0.91, 0.86), (0.70, 0.16, 0.15)))
    write_png(out / "textures/wall.png", st.plaster(128, rng, (0.36, 0.47, 0.50), 0.25))
    angles = np.radians([-20, -10, 0, 10, 20])
    orbit = [[10.2 * np.sin(a), 3.2 + 0.5 * np.cos(3 * a), 10.2 * np.cos(a)] for a in angles]
    frames = [1, 7, 12, 18, 24]
    write_camera(out / "camera.json", [(f, o, [0.1, 1.05, 0], 40) for f, o in zip(frames, orbit, strict=True)])


def caustics(out: Path) -> None:
    """Glass and metal under tiny lamps."""
    rng = np.random.default_rng(33)
    write_ply(out / "meshes/ring.ply", torus(0.72, 0.12, 56, 14, 1.3), uvs=False)
    write_ply(out / "meshes/band.ply", turned(BAND, segments=64), uvs=False)
    write_ply(out / "meshes/gem.ply", turned(GEM, segments=9), uvs=False)
    write_ply(out / "meshes/lens.ply", turned(LENS, segments=48), uvs=False)
    write_png(out / "textures/slate.png", st.tiles(256, rng, (0.50, 0.46, 0.43), (0.20, 0.18, 0.17), 3, 0.10))


def bush(count: int, rng: Generator) -> Mesh:
    """Long leaves all around an axis, about 1.2 m high, for a planter."""
    leaves = []
    for i in range(count):
        blade = leaf(rng.uniform(0.3, 0.55), 0.13, rng.uniform(0.2, 0.7), 4)
        leaves.append(place(blade, (0, 0.42 + 0.6 * rng.random() ** 1.5, 0), 137.5 * i, rng.uniform(-60, 0)))
    return merge(*leaves)


def terrace(out: Path) -> None:
    """A terrace above hills in the evening."""
    rng = np.random.default_rng(44)
    meshes = out / "meshes"
    write_ply(meshes / "floor.ply", box((9, 0.2, 5.2), (0, -0.1, 0.4), 0.02, uv=2.4))
    baluster = turned(BALUSTER, segments=10, steps=2)
    rail = [place(baluster, (x, 0.08, -1.9)) for x in np.arange(-2.1, 2.8, 0.3)]
    rail += [box((9, 0.1, 0.24), (0, 0.83, -1.9), 0.03, uv=2.4), box((9, 0.09, 0.24), (0, 0.045, -1.9), 0.02, uv=2.4)]
    for x in (-2.55, 2.55):
        rail += [box((0.3, 1.0, 0.3), (x, 0.5, -1.9), 0.03, uv=2.4), place(turned(FINIAL, segments=20), (x, 0, -1.9))]
    write_ply(meshes / "balustrade.ply", merge(*rail))
    u, v = st.grid(32)
    height = -8 + 15 * st.fractal(u, v, 5, 4, rng, 4) * (0.2 + v)
    write_ply(meshes / "hills.ply", surface(np.stack([(u - 0.5) * 180, height, -12 - 75 * v], -1)), uvs=False)

    frame = merge(turned(TABLE_EDGE, segments=48), turned(TABLE_LEG, segments=24))
    write_ply(meshes / "table_metal.ply", frame, uvs=False)
    disc = lathe([(0.5, 0.742), (0, 0.742)], steps=1, segments=48)
    write_ply(meshes / "table_top.ply", disc._replace(uvs=disc.positions[:, [0, 2]] / 1.05 + 0.5))
    ear = tube([(0.047, 0.06, 0), (0.075, 0.062, 0), (0.08, 0.04, 0), (0.045, 0.025, 0)], [0.006] * 4, 8)
    write_ply(meshes / "cup.ply", merge(turned(CUP, segments=36), turned(SAUCER, segments=36), ear), uvs=False)
    write_ply(meshes / "jug.ply", turned(WATER_JUG, segments=36, steps=3), uvs=False)
    spots = [(0.0, 0.035, 0.0), (0.075, 0.035, 0.03), (0.03, 0.035, -0.07)]
    lemons = [place(fruit(0.034, rng, 1.15), at, 50 * i, 80) for i, at in enumerate(spots)]
    write_ply(meshes / "lemons.ply", merge(*lemons), uvs=False)
    write_ply(meshes / "planter.ply", turned(PLANTER, segments=28, steps=3), uvs=False)
    write_ply(meshes / "bush.ply", bush(140, rng), uvs=False)
    write_ply(meshes / "chair.ply", chair())
    wire = [(-3.2, 1.99, -1.7), (-1.6, 1.60, -1.7), (0.0, 1.47, -1.7), (1.6, 1.60, -1.7), (3.2, 1.99, -1.7)]
    write_ply(meshes / "wire.ply", tube(wire, [0.006] * 5, 6), uvs=False)

    write_png(out / "textures/stone.png", st.tiles(256, rng, (0.72, 0.62, 0.50), (0.40, 0.36, 0.32), 4))
    write_png(out / "textures/marble.png", st.marble(192, rng, (0.90, 0.88, 0.85), (0.42, 0.44, 0.48)))
    write_png(out / "textures/oak.png", st.wood(128, rng, (0.60, 0.42, 0.28), (0.30, 0.18, 0.10)))
    write_hdr(out / "textures/sky.hdr", st.evening_sky(80, rng))
    dolly = [(1, [-0.62, 1.12, 1.45]), (9, [-0.35, 1.11, 1.5]), (17, [-0.05, 1.1, 1.48]), (24, [0.22, 1.1, 1.4])]
    write_camera(out / "camera.json", [(frame, origin, [0.02, 0.96, 0.05], 44) for frame, origin in dolly])


def tree(x: float, z: float, radius: float, rng: Generator) -> list[Mesh]:
    """A bare trunk with three branches; its top lies above the picture."""
    sway = rng.uniform(-0.3, 0.3, 4)
    trunk = [(x, -0.2, z), (x + sway[0], 2.5, z + sway[1]), (x + sway[2], 6.5, z + sway[3])]
    parts = [tube(trunk, [radius * 1.4, radius, radius * 0.8], 9)]
    for level in (2.2, 3.1, 3.9):
        angle = rng.uniform(0, 2 * np.pi)
        reach = np.array([np.cos(angle), 0.5, np.sin(angle)]) * rng.uniform(1.0, 1.8)
        start = np.array([x, level, z])
        branch = [start, start + 0.5 * reach - (0, 0.1, 0), start + reach]
        parts.append(tube([p.tolist() for p in branch], [radius * 0.35, radius * 0.22, radius * 0.06], 7))
    return parts


def fog(out: Path) -> None:
    """Two furry creatures by a lantern in a misty wood."""
    rng = np.random.default_rng(55)
    meshes = out / "meshes"
    write_curves(meshes / "fur.txt", fur(1500, 0.62, 0.42, rng))
    write_curves(meshes / "fur_small.txt", fur(800, 0.34, 0.26, rng))
    write_curves(meshes / "grass.txt", grass(1200, rng))
    write_ply(meshes / "trunks.ply", merge(*(part for x, z, radius in TREES for part in tree(x, z, radius, rng))))
    u, v = st.grid(32)
    ground = np.stack([(u - 0.5) * 30, 0.25 * (st.fractal(u, v, 8, 8, rng, 3) - 0.55), 9 - 24 * v], -1)
    write_ply(meshes / "ground.ply", surface(ground, (8, 8)))
    bars = [(0.2, 0.1), (0.22, 0.35), (0.2, 0.62)]
    corners = [(x, z) for x in (-1, 1) for z in (-1, 1)]
    lantern = [tube([(r * x, y, r * z) for r, y in bars], [0.02] * 3, 6) for x, z in corners]
    lantern += [lathe([(0.36, 0.6), (0.3, 0.68), (0.08, 0.84), (0.05, 0.92)], segments=24)]
    lantern += [lathe([(0.3, 0.0), (0.32, 0.06), (0.26, 0.1), (0, 0.1)], segments=24)]
    lantern += [place(torus(0.12, 0.018, 24, 8), (0, 1.0, 0), tilt=90)]
    write_ply(meshes / "lantern.ply", merge(*lantern), uvs=False)
    write_png(out / "textures/bark.png", np.rot90(st.wood(128, rng, (0.42, 0.34, 0.28), (0.14, 0.10, 0.08))))
    write_png(out / "textures/moss.png", st.plaster(128, rng, (0.26, 0.30, 0.16), 0.5))
