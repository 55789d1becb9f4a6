"""The meshes, textures and camera path of `scenes/room`: x spans 6 m, y 2.7 m and z 5 m, the window is at x = 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scene_textures as st
from scene_files import write_camera, write_hdr, write_ply, write_png
from scene_meshes import Mesh, box, cushion, lathe, leaf, merge, place, surface, torus, tube
from scene_objects import chair, fruit

DINING = (1.75, 0.0, 1.25)
SHELF = (-0.5, 0.0, -2.33)
LAMP = (-2.5, 0.0, -1.85)
PLANTER = (2.45, 0.0, -2.0)

#: Row of books in the shelf: middle, height of the board, width, height of the books.
BOOKS = [
    (-0.4, 0.565, 0.66, 0.26),
    (0.28, 0.115, 0.5, 0.3),
    (0.46, 1.015, 0.6, 0.27),
    (-0.55, 1.465, 0.36, 0.28),
    (0.3, 1.465, 0.44, 0.25),
]

#: Frame, place and aim of the flythrough.
PATH = [
    (1, [2.2, 1.5, -0.2], [-1.6, 0.95, -2.3]),
    (11, [1.3, 1.46, -0.85], [-2.3, 0.85, -0.6]),
    (22, [0.35, 1.42, -1.25], [-1.9, 0.7, 0.9]),
    (36, [-0.75, 1.42, -1.4], [0.5, 0.75, 1.6]),
    (48, [-1.5, 1.48, -1.5], [1.9, 0.95, 0.7]),
]

#: The same of 1000 frames round the room, at the pace of a slow walk.
LONG_PATH = [
    (1, [2.2, 1.5, -0.2], [-1.6, 0.95, -2.3]),
    (130, [1.3, 1.46, -0.85], [-2.3, 0.85, -0.6]),
    (270, [0.35, 1.42, -1.25], [-1.9, 0.7, 0.9]),
    (420, [-0.75, 1.42, -1.4], [0.5, 0.75, 1.6]),
    (550, [-1.5, 1.48, -1.3], [1.9, 0.95, 0.7]),
    (680, [-1.1, 1.5, 0.0], [2.4, 1.2, -0.6]),
    (800, [-0.2, 1.5, 1.0], [0.9, 1.0, -2.2]),
    (900, [0.6, 1.5, 0.9], [-1.4, 0.9, -2.2]),
    (1000, [1.2, 1.5, 0.6], [-2.4, 0.8, -0.6]),
]


def shell(meshes: Path) -> None:
    """Walls, floor, ceiling, mouldings, window frame, door and curtains."""
    walls = [box((0.25, 2.7, 5.5), (-3.125, 1.35, 0), 1e-3, uv=1.2)]
    walls += [box((6.5, 2.7, 0.25), (0, 1.35, z), 1e-3, uv=1.2) for z in (-2.625, 2.625)]
    walls += [box((0.25, h, 5.5), (3.125, y, 0), 1e-3, uv=1.2) for h, y in ((0.9, 0.45), (0.35, 2.525))]
    walls += [box((0.25, 1.45, 1.4), (3.125, 1.625, z), 1e-3, uv=1.2) for z in (-1.95, 1.95)]
    write_ply(meshes / "walls.ply", merge(*walls))
    write_ply(meshes / "floor.ply", box((6.5, 0.1, 5.5), (0, -0.05, 0), 1e-3, uv=1.6))
    write_ply(meshes / "ceiling.ply", box((6.5, 0.1, 5.5), (0, 2.75, 0), 1e-3), uvs=False)

    boards = [box((6, 0.1, 0.02), (0, 0.05, z), 0.006) for z in (-2.49, 2.49)]
    boards += [box((0.02, 0.1, 5), (x, 0.05, 0), 0.006) for x in (-2.99, 2.99)]
    cornice = [box((6, 0.08, 0.08), (0, 2.66, z), 0.03) for z in (-2.46, 2.46)]
    cornice += [box((0.08, 0.08, 5), (x, 2.66, 0), 0.03) for x in (-2.96, 2.96)]
    window = [box((0.06, 0.06, 2.5), (3.1, y, 0), 0.01) for y in (0.93, 1.75, 2.32)]
    window += [box((0.06, 1.45, 0.06), (3.1, 1.625, z), 0.01) for z in (-1.22, -0.42, 0.42, 1.22)]
    window += [box((0.34, 0.04, 2.6), (3.0, 0.9, 0), 0.012)]
    door = [box((0.9, 2.05, 0.04), (-1.9, 1.025, 2.5), 0.01)]
    door += [box((0.62, h, 0.02), (-1.9, y, 2.475), 0.02) for h, y in ((0.7, 0.5), (0.9, 1.4))]
    write_ply(meshes / "trim.ply", merge(*boards, *cornice, *window, *door), uvs=False)

    t, s = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 49), indexing="ij")
    fold = 2.86 + 0.05 * np.sin(14 * np.pi * s) * (0.5 + 0.5 * t)
    drape = np.stack([fold, 2.45 - 2.4 * t, -0.24 + 0.48 * s + 0.03 * t * np.sin(9 * s)], -1)
    write_ply(meshes / "curtains.ply", merge(*(place(surface(drape, (3, 6)), (0, 0, z)) for z in (-1.42, 1.42))))
    rod = tube([(2.86, 2.47, z) for z in (-1.85, 0, 1.85)], [0.015] * 3)
    write_ply(meshes / "rod.ply", rod, uvs=False)


def furniture(meshes: Path) -> None:
    """Sofa, tables, chairs, shelf, picture frames, rug."""
    sofa = [box((0.95, 0.22, 2.1), (0, 0.24, 0), 0.04), box((0.22, 0.55, 2.1), (-0.37, 0.55, 0), 0.07)]
    sofa += [box((0.95, 0.42, 0.2), (0, 0.4, z), 0.07) for z in (-1.0, 1.0)]
    sofa += [cushion((0.78, 0.26, 0.92), (0.1, 0.4, z)) for z in (-0.45, 0.45)]
    write_ply(meshes / "sofa.ply", place(merge(*sofa), (-2.42, 0, 0)))
    pillow = place(cushion((0.46, 0.2, 0.46)), tilt=68)
    pillows = [place(pillow, (-2.4, 0.7, z), turn) for z, turn in ((-0.66, 104), (0.62, 72))]
    write_ply(meshes / "pillows.ply", merge(*pillows))

    coffee = [box((1.0, 0.05, 0.6), (0, 0.4, 0), 0.012, uv=0.9), box((0.9, 0.025, 0.5), (0, 0.13, 0), 0.008, uv=0.9)]
    coffee += [box((0.05, 0.38, 0.05), (x, 0.19, z), 0.008, uv=0.9) for x in (-0.44, 0.44) for z in (-0.24, 0.24)]
    dining = [box((0.85, 0.04, 1.3), (0, 0.75, 0), 0.012, uv=0.9)]
    dining += [box((0.06, 0.73, 0.06), (x, 0.365, z), 0.008, uv=0.9) for x in (-0.36, 0.36) for z in (-0.58, 0.58)]
    shelf = [box((0.03, 1.9, 0.3), (x, 0.95, 0), 0.005, uv=0.9) for x in (-0.8, 0.0, 0.8)]
    shelf += [box((1.63, 0.03, 0.3), (0, y, 0), 0.005, uv=0.9) for y in (0.1, 0.55, 1.0, 1.45, 1.9)]
    shelf += [box((1.6, 1.85, 0.01), (0, 0.95, -0.14), 0.002, uv=0.9)]
    feet = [box((0.06, 0.14, 0.06), (x, 0.07, z), 0.01) for x in (-2.8, -2.04) for z in (-0.95, 0.95)]
    frames = [box((0.02, 0.7, 1.0), (-2.98, 1.65, -0.55), 0.008), box((0.02, 0.5, 0.5), (-2.98, 1.65, 0.65), 0.008)]
    frames += [box((0.8, 0.8, 0.02), (0.4, 1.6, 2.485), 0.008)]
    tables = [place(merge(*coffee), (-0.9, 0, 0)), place(merge(*dining), DINING)]
    write_ply(meshes / "furniture.ply", merge(*tables, place(merge(*shelf), SHELF), *feet, *frames))
    write_ply(meshes / "chair.ply", chair())

    write_ply(meshes / "landscape.ply", box((0.01, 0.56, 0.86), (-2.967, 1.65, -0.55), 1e-3, fit=True))
    write_ply(meshes / "abstract.ply", box((0.01, 0.38, 0.38), (-2.967, 1.65, 0.65), 1e-3, fit=True))
    write_ply(meshes / "poster.ply", box((0.68, 0.68, 0.01), (0.4, 1.6, 2.473), 1e-3, fit=True))
    write_ply(meshes / "rug.ply", box((2.3, 0.02, 1.7), (-0.85, 0.01, 0), 0.008, fit=True))


def vase() -> Mesh:
    """A vase 0.3 m high with a wall of 8 mm."""
    outside = [(0.05, 0), (0.1, 0.06), (0.11, 0.14), (0.05, 0.24), (0.06, 0.3)]
    inside = [(r - 0.008, y) for r, y in outside[:0:-1]] + [(0.042, 0.008), (0, 0.008)]
    return lathe([(0, 0), (0.05, 0)], outside, inside[:-1], inside[-2:], segments=20, steps=2)


def ornaments(meshes: Path) -> None:
    """Books, vases, fruit, a plant, lamps and a mirror."""
    rng = np.random.default_rng(22)
    books = [box((w, h, 0.2), (SHELF[0] + x, y + h / 2, -2.32), 0.006, fit=True) for x, y, w, h in BOOKS]
    flat = [(0.035, 0.425, 20), (0.03, 0.46, 5)]
    books += [place(box((0.3, h, 0.21), (0, h / 2, 0), 0.006, fit=True), (-0.7, y, 0.05), a) for h, y, a in flat]
    write_ply(meshes / "books.ply", merge(*books))

    write_ply(meshes / "vase.ply", vase(), uvs=False)
    pots = [
        place(vase(), (-0.92, 1.015, -2.32), size=0.8),
        place(vase(), (-0.72, 0.115, -2.32), size=1.1),
        place(vase(), (-0.15, 1.915, -2.32)),
    ]
    inner = [(0.17, 0.09), (0.165, 0.09), (0.1, 0.03), (0, 0.02)]
    bowl = lathe([(0, 0), (0.06, 0)], [(0.06, 0), (0.1, 0.02), (0.17, 0.09)], inner, segments=20, steps=2)
    rim = [(0.2, 0.34), (0.18, 0.34), (0.17, 0.3)]
    planter = lathe([(0, 0), (0.14, 0)], [(0.14, 0), (0.2, 0.34)], rim, [(0.17, 0.3), (0, 0.3)], segments=24)
    pots += [place(bowl, (DINING[0], 0.77, DINING[2])), place(planter, PLANTER)]
    write_ply(meshes / "pots.ply", merge(*pots), uvs=False)
    heap = [(0.05, 0.8, 0.03), (-0.05, 0.8, 0.03), (0, 0.8, -0.06), (0, 0.87, 0.01)]
    apples = [place(fruit(0.05, rng, points=12), p) for p in heap]
    write_ply(meshes / "apples.ply", place(merge(*apples), DINING), uvs=False)

    plant = [tube([(0, 0.3, 0), (0, 0.9, 0), (-0.01, 1.25, 0)], [0.02, 0.015, 0.008], 8)]
    for i in range(26):
        blade = leaf(rng.uniform(0.34, 0.74), 0.12, rng.uniform(0, 0.5))
        plant.append(place(blade, (0, 0.3 + 0.035 * i, 0), 137.5 * i, rng.uniform(-55, -30)))
    write_ply(meshes / "plant.ply", place(merge(*plant), PLANTER), uvs=False)

    base = [(0.16, 0), (0.16, 0.02), (0.02, 0.04)]
    lamp = lathe([(0, 0), (0.16, 0)], base, [(0.015, 0.04), (0.015, 1.45)], steps=2, segments=24)
    write_ply(meshes / "lamp.ply", place(lamp, LAMP), uvs=False)
    write_ply(meshes / "shade.ply", place(lathe([(0.22, 1.3), (0.14, 1.62)], segments=32), LAMP), uvs=False)
    cover = lathe([(0.26, 1.75), (0.2, 1.87), (0.05, 1.95), (0.02, 1.99)], segments=32)
    cable = tube([(0, 1.98, 0), (0, 2.3, 0), (0, 2.7, 0)], [0.006] * 3, 6)
    write_ply(meshes / "pendant.ply", place(merge(cover, cable), DINING), uvs=False)
    write_ply(meshes / "mirror_frame.ply", place(torus(0.4, 0.025, 40, 8), (1.35, 1.55, -2.475), tilt=90), uvs=False)


def textures(out: Path) -> None:
    """Wood, wallpaper, cloth, pictures, and the view from the window."""
    rng = np.random.default_rng(23)
    pictures = {
        "parquet": st.wood(256, rng, (0.80, 0.60, 0.40), (0.44, 0.27, 0.15), 8),
        "oak": st.wood(192, rng, (0.60, 0.40, 0.24), (0.30, 0.17, 0.09)),
        "wallpaper": st.wallpaper(256, rng, (0.80, 0.79, 0.70), (0.56, 0.66, 0.60)),
        "fabric": st.weave(128, rng, (0.22, 0.36, 0.44)),
        "curtain": st.weave(64, rng, (0.90, 0.84, 0.72), 16),
        "pillow": st.checks(128, rng, (0.90, 0.68, 0.24), (0.86, 0.46, 0.16)),
        "rug": st.rug(256, rng),
        "landscape": st.landscape(160, rng),
        "abstract": st.abstract(160, rng),
        "poster": st.abstract(160, rng),
        "books": st.spines(160, rng),
    }
    for name, image in pictures.items():
        write_png(out / f"{name}.png", image)
    write_hdr(out / "garden.hdr", st.garden(64, rng))


def room(out: Path) -> None:
    """Write everything that `scenes/room/scene.xml` refers to, and its flythrough."""
    shell(out / "meshes")
    furniture(out / "meshes")
    ornaments(out / "meshes")
    textures(out / "textures")
    for name, path in (("camera", PATH), ("flythrough", LONG_PATH)):
        write_camera(out / f"{name}.json", [(frame, origin, target, 74) for frame, origin, target in path])
