"""Layouts of the random scenes: rooms, corridors, still lifes, terraces and heaps of random things."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import random_objects as ro
from numpy.random import Generator
from random_lights import Lights
from random_materials import GLASS, Materials
from scene_meshes import Array, Mesh, Point, box, merge, place, surface, torus


class Stage:
    """A scene while it is being built: meshes by material, lights, obstacles, and where a camera may stand.

    Args:
        rng: Where the numbers come from.
        materials: The scene's materials.
        lights: The scene's lights.
    """

    def __init__(self, rng: Generator, materials: Materials, lights: Lights) -> None:
        self.rng, self.materials, self.lights = rng, materials, lights
        self.parts: dict[str, list[Mesh]] = {}
        self.obstacles: list[Array] = []
        self.focus: list[Array] = []
        self.low, self.high = np.array([-2.0, 0.3, -2.0]), np.array([2.0, 2.2, 2.0])
        self.sky_level = 0.6

    def put(self, mesh: Mesh, material: str, focus: bool = False, solid: bool = True) -> None:
        """Add a mesh; cameras keep out of its box if it is `solid`, and may look at it if it is a `focus`."""
        self.parts.setdefault(material, []).append(mesh)
        bounds = ro.bounds(mesh)
        if solid:
            self.obstacles.append(bounds)
        if focus:
            self.focus.append(bounds.mean(axis=0))

    def spread(self, count: int, low: Point, high: Point, size: tuple[float, float], height: float) -> None:
        """Put random things on the rectangle (x, z) from `low` to `high`, apart from each other."""
        rng, taken = self.rng, []
        for _ in range(4 * count):
            scale = size[0] * (size[1] / size[0]) ** rng.random()
            x, z = rng.uniform(low, high)
            if len(taken) >= count or any(np.hypot(x - a, z - b) < 0.45 * (scale + s) for a, b, s in taken):
                continue
            taken.append((x, z, scale))
            leafy = rng.random() < 0.1
            mesh = ro.plant(rng) if leafy else ro.SOLIDS[int(rng.integers(len(ro.SOLIDS)))](rng)
            material = self.materials.sheet() if leafy else self.materials.solid()
            self.put(place(mesh, (x, height, z), rng.uniform(0, 360), 0, scale), material, focus=True)

    def anywhere(self) -> list[float]:
        """A point where a camera may stand."""
        return self.rng.uniform(self.low, self.high).tolist()

    def lamp(self, at: Point, level: float, reach: float) -> None:
        """A bulb, often under a shade."""
        radius = float(self.rng.choice([0.015, 0.03, 0.06, 0.1]))
        self.lights.bulb(at, radius, level, reach)
        if self.rng.random() < 0.5:
            wide = float(self.rng.uniform(0.12, 0.3))
            shade = ro.lathe([(wide, -0.15), (0.6 * wide, 0.15)], segments=28, steps=1)
            self.put(place(shade, at), self.materials.sheet() if self.rng.random() < 0.6 else self.materials.opaque())


def _shell(s: Stage, width: float, height: float, depth: float, open_side: bool) -> None:
    """Floor, ceiling and four walls with openings about the origin."""
    rng, m = s.rng, s.materials
    s.put(box((width + 0.3, 0.1, depth + 0.3), (0, -0.05, 0), 0.002, uv=2.0), m.wall())
    s.put(box((width + 0.3, 0.1, depth + 0.3), (0, height + 0.05, 0), 0.002, uv=2.0), m.wall())
    paper = m.wall()
    sky = s.lights.palette.sky != "none"
    lit = int(rng.integers(4))
    for side, (span, away) in enumerate(((width, depth), (depth, width), (width, depth), (depth, width))):
        if open_side and side == lit:
            continue
        holes = []
        if (side == lit or rng.random() < 0.25) and (sky or rng.random() < 0.5):
            count = int(rng.integers(1, 4))
            for i in range(count):
                middle, half = (i + 0.5) / count * span - span / 2, rng.uniform(0.15, 0.4) * span / count
                low = float(rng.choice([0.0, 0.5, 0.9]))
                holes.append((middle - half, middle + half, low, rng.uniform(max(low + 0.6, 1.6), height - 0.15)))
        turn, toward = 90.0 * side, away / 2
        angle = np.radians(turn)

        def put(
            mesh: Mesh, material: str, out: float = 0.0, a: float = angle, t: float = toward, y: float = turn
        ) -> None:
            s.put(place(mesh, (-(t + out) * np.sin(a), 0, -(t + out) * np.cos(a)), y), material)

        put(ro.wall(span + 0.24, height, holes), paper if rng.random() < 0.7 else m.wall())
        if rng.random() < 0.7:
            put(box((span, rng.uniform(0.06, 0.2), 0.03), (0, 0.06, 0.015), 0.008), m.opaque())
        if rng.random() < 0.4:
            put(box((span, 0.12, 0.1), (0, height - 0.06, 0.05), 0.04, 4), m.wall())
        for left, right, low, high in holes:
            middle = ((left + right) / 2, (low + high) / 2, -0.06)
            bars = ro.frame(right - left, high - low, 0.05, int(rng.integers(0, 3)))
            put(place(bars, middle), m.opaque())
            if rng.random() < 0.35:
                put(box((right - left, high - low, 0.01), middle, 0.001), m.sheet())
            if rng.random() < 0.4:
                put(place(ro.curtain(0.5 * (right - left), high - low, rng), (left, low, 0.1)), m.sheet())
            if not sky:
                at = [-(toward + 0.9) * np.sin(angle) + middle[0] * np.cos(angle), middle[1]]
                at.append(-(toward + 0.9) * np.cos(angle) - middle[0] * np.sin(angle))
                s.lights.area(at, (0, 1, 0), (right - left, high - low), rng.uniform(0.5, 3), toward)
        if not holes:
            for _ in range(int(rng.integers(0, 3))):
                picture = box((rng.uniform(0.3, 1.2), rng.uniform(0.3, 0.9), 0.03), bevel=0.004, fit=True)
                put(place(picture, (rng.uniform(-0.4, 0.4) * span, rng.uniform(1.2, 1.9), 0.03)), m.opaque())


def _furnish(s: Stage, width: float, depth: float, height: float) -> None:
    """Furniture along the walls and in the middle."""
    rng, m = s.rng, s.materials
    taken: list[tuple[float, float, float]] = []

    def spot(radius: float) -> tuple[float, float] | None:
        for _ in range(12):
            x, z = rng.uniform(-1, 1, 2) * (np.array([width, depth]) / 2 - radius)
            if all(np.hypot(x - a, z - b) > radius + r for a, b, r in taken):
                taken.append((x, z, radius))
                return float(x), float(z)
        return None

    for _ in range(int(rng.integers(4, 10))):
        kind = str(rng.choice(["table", "sofa", "shelf", "chair", "thing", "column", "stairs", "boxes", "rug"]))
        turn = float(rng.choice([0, 90, 180, 270]) + rng.choice([0, rng.uniform(-25, 25)]))
        here = spot(0.5 if kind in ("chair", "thing", "column", "boxes") else 0.8)
        if here is None:
            continue
        at = (here[0], 0.0, here[1])
        if kind == "table":
            wide, tall = rng.uniform(0.6, 1.4), rng.uniform(0.4, 0.9)
            s.put(place(ro.table(wide, 0.7, tall, rng), at), m.opaque())
            corner = (at[0] - wide * 0.4, at[2] - 0.28), (at[0] + wide * 0.4, at[2] + 0.28)
            s.spread(int(rng.integers(2, 8)), *corner, (0.1, 0.35), tall)
        elif kind in ("sofa", "shelf"):
            frame, soft = ro.sofa(rng) if kind == "sofa" else ro.shelf(rng.uniform(0.6, 1.5), rng.uniform(0.8, 2), rng)
            s.put(place(frame, at, turn), m.opaque())
            s.put(place(soft, at, turn), m.opaque(), focus=True)
        elif kind == "chair":
            s.put(place(ro.seat(), at, turn), m.opaque(), focus=True)
        elif kind == "column":
            s.put(place(ro.column(height, rng.uniform(0.08, 0.25), rng), at), m.opaque())
        elif kind == "stairs":
            s.put(place(ro.stairs(rng.uniform(0.6, 1.2), int(rng.integers(3, 8))), at, turn), m.wall(), focus=True)
        elif kind == "rug":
            s.put(place(ro.drape(rng), at, turn, 0, 1.6), m.opaque(), focus=True)
        else:
            s.spread(3, (at[0] - 0.4, at[2] - 0.4), (at[0] + 0.4, at[2] + 0.4), (0.3, 1.0), 0)


def room(s: Stage, corridor: bool = False, dark: bool = False) -> None:
    """A furnished room, open on one side at times."""
    rng = s.rng
    width, depth, height = rng.uniform(3, 7), rng.uniform(3, 8), rng.uniform(2.3, 3.8)
    if corridor:
        width, depth = rng.uniform(2.0, 3.5), rng.uniform(6, 9)
    _shell(s, width, height, depth, not corridor and not dark and rng.random() < 0.25)
    _furnish(s, width, depth, height)
    s.low, s.high = np.array([-width / 2, 0.2, -depth / 2]) + 0.25, np.array([width / 2, height, depth / 2]) - 0.25
    s.sky_level = float(10 ** rng.uniform(0, 1)) * (0.002 if dark else 1)
    if corridor:
        gap = rng.uniform(0.2, 0.9)
        z, x = rng.uniform(-0.15, 0.15) * depth, rng.uniform(-0.3, 0.3) * width
        door = ro.wall(width, height, [(x - gap / 2, x + gap / 2, 0, rng.uniform(1.2, 2.1))])
        s.put(place(door, (0, 0, z)), s.materials.wall())
        for _ in range(int(rng.integers(1, 4))):
            at = (rng.uniform(-0.4, 0.4) * width, height - 0.05, rng.uniform(-depth / 2 + 0.3, z - 0.8))
            s.lights.area(at, (at[0], 0, at[2]), (rng.uniform(0.2, 1), rng.uniform(0.2, 1)), rng.uniform(2, 8), 1.0)
        s.low[2] = max(s.low[2], z - 0.5)
    elif dark:
        for _ in range(int(rng.integers(2, 7))):
            s.lamp(s.anywhere(), 10 ** rng.uniform(-1.3, 0.5), 1.0)
    elif rng.random() < 0.7:
        for _ in range(int(rng.integers(1, 4))):
            at = (rng.uniform(-0.35, 0.35) * width, height - 0.04, rng.uniform(-0.35, 0.35) * depth)
            size = (10 ** rng.uniform(-1.3, 0.2), 10 ** rng.uniform(-1.3, 0.2))
            s.lights.area(at, (at[0], 0, at[2]), size, 10 ** rng.uniform(-0.7, 0.7), 2.0)
    s.lamp(s.anywhere(), 10 ** rng.uniform(-1.5, 0.3), 1.0)


def still(s: Stage) -> None:
    """Things on a table before a backdrop, one unit wide or so."""
    rng, m = s.rng, s.materials
    half = rng.uniform(0.7, 1.2)
    sweep = [(-1.6, 0.0), (0.9, 0.0), (1.35, 0.12), (1.5, 0.6), (1.5, 2.2)]
    line = ro.curve([(0, y, -z) for z, y in sweep], 6)
    x = np.linspace(-3, 3, 8)
    sheet = np.stack([x[None] + 0 * line[:, :1], line[:, 1:2] + 0 * x, line[:, 2:] + 0 * x], -1)
    if rng.random() < 0.6:
        mesh = surface(sheet, (3, 3))
        s.put(mesh, m.wall(), solid=False)
        s.obstacles.append(np.array([[-3, -1, -2.5], [3, 2.2, -1.3]]))
    else:
        s.put(box((2.6, 0.06, 2.4), (0, -0.03, 0), 0.01, uv=1.0), m.wall())
        s.put(box((14, 0.1, 14), (0, -0.8, 0), 0.01, uv=1.0), m.wall())
        s.put(place(ro.wall(14, 7, []), (0, -0.8, -3.5)), m.wall())
    if rng.random() < 0.5:
        s.put(
            place(ro.drape(rng), (rng.uniform(-0.3, 0.3), 0, rng.uniform(-0.3, 0.3)), rng.uniform(0, 90), 0, half),
            m.opaque(),
        )
    s.spread(int(rng.integers(6, 22)), (-half, -half), (half, half), (0.12, 0.65), 0.003)
    for _ in range(int(rng.integers(1, 4))):
        a = rng.uniform(0, 2 * np.pi)
        at = (2.6 * np.cos(a), rng.uniform(1.2, 3), abs(2.6 * np.sin(a)) - 0.8)
        size = (10 ** rng.uniform(-1.5, 0.2), 10 ** rng.uniform(-1.5, 0.2))
        s.lights.area(at, (0, 0.2, 0), size, 10 ** rng.uniform(-0.5, 0.7), 3.0)
    for _ in range(int(rng.integers(1, 3))):
        s.lights.bulb(
            (*rng.uniform(-0.9, 0.9, 1), 0.9, float(rng.uniform(-0.9, 0.9))), 0.02, rng.uniform(0.1, 1.5), 1.0
        )
    s.sky_level = float(10 ** rng.uniform(-1.5, 0.3))
    s.low, s.high = np.array([-1.5, 0.12, -0.3]), np.array([1.5, 1.5, 2.2])


def terrace(s: Stage) -> None:
    """A paved place under the sky with walls, columns, steps, tables and plants."""
    rng, m = s.rng, s.materials
    s.put(box((24, 0.1, 24), (0, -0.05, 0), 0.002, uv=rng.uniform(1, 4)), m.wall())
    for _ in range(int(rng.integers(1, 4))):
        a = float(rng.choice([0, 90, 180, 270]))
        high = float(rng.choice([0.8, 2.5, 4]))
        at = (-4 * np.sin(np.radians(a)), 0, -4 * np.cos(np.radians(a)))
        s.put(
            place(ro.wall(rng.uniform(3, 9), high, [(-0.6, 0.6, 0, 0.75 * high)] if high > 2 else []), at, a), m.wall()
        )
    pillar, row = ro.column(rng.uniform(1, 3), 0.15, rng), m.wall()
    z = rng.uniform(-3.5, -2)
    for x in np.arange(-3, 3.1, rng.uniform(0.7, 1.5)):
        s.put(place(pillar, (x, 0, z)), row)
    if rng.random() < 0.5:
        s.put(box((7, 0.15, 1.0), (0, 0.08 + float(ro.bounds(pillar)[1, 1]), z), 0.02, uv=2.0), m.wall())
    _furnish(s, 6, 5, 2.5)
    s.spread(int(rng.integers(5, 14)), (-3, -3), (3, 3), (0.3, 1.3), 0)
    s.lamp((rng.uniform(-2, 2), rng.uniform(1, 2.5), rng.uniform(-2, 2)), 10 ** rng.uniform(-2, 0), 1.0)
    s.low, s.high = np.array([-3.5, 0.25, -3.5]), np.array([3.5, 2.2, 3.5])
    s.sky_level = float(10 ** rng.uniform(-0.5, 0.5))


def kitbash(s: Stage, dark: bool = False) -> None:
    """A heap of random things, some of them floating, in a box or under the sky."""
    rng, m = s.rng, s.materials
    closed = s.lights.palette.sky == "none" or rng.random() < 0.4
    side = rng.uniform(2, 4)
    s.put(box((2 * side, 0.1, 2 * side), (0, -0.05, 0), 0.002, uv=1.5), m.wall())
    if closed:
        s.put(box((2 * side, 0.1, 2 * side), (0, side + 0.05, 0), 0.002, uv=1.5), m.wall())
        for turn in (0, 90, 180, 270):
            angle = np.radians(turn)
            at = (-side * np.sin(angle), 0, -side * np.cos(angle))
            s.put(place(ro.wall(2 * side, side, []), at, turn), m.wall())
    s.spread(int(rng.integers(8, 25)), (-0.8 * side, -0.8 * side), (0.8 * side, 0.8 * side), (0.25, 1.4), 0)
    for _ in range(int(rng.integers(4, 18))):
        mesh = ro.SOLIDS[int(rng.integers(len(ro.SOLIDS)))](rng)
        at = rng.uniform((-0.7 * side, 0.3, -0.7 * side), (0.7 * side, 0.8 * side, 0.7 * side)).tolist()
        s.put(place(mesh, at, rng.uniform(0, 360), rng.uniform(0, 180), rng.uniform(0.1, 0.7)), m.solid(), focus=True)
    for _ in range(int(rng.integers(0, 3))):
        at = (rng.uniform(-1, 1), rng.uniform(0.5, side), rng.uniform(-1, 1))
        s.put(place(torus(rng.uniform(0.3, 1), 0.03, 48, 8), at, tilt=rng.uniform(0, 180)), m.opaque())
    for _ in range(int(rng.integers(2, 12))):
        level = 10 ** rng.uniform(-1.5, 0.3) * (0.5 if dark else 1.5)
        s.lamp(rng.uniform((-0.8 * side, 0.2, -0.8 * side), (0.8 * side, 0.9 * side, 0.8 * side)).tolist(), level, 1.0)
    if not dark:
        size = (10 ** rng.uniform(-1, 0.3), 10 ** rng.uniform(-1, 0.3))
        s.lights.area((0, 0.97 * side, 0), (0, 0, 0), size, 10 ** rng.uniform(-0.5, 0.7), side)
    s.sky_level = float(10 ** rng.uniform(-1, 0.3)) * (0.01 if dark else 1)
    s.low, s.high = np.array([-0.85 * side, 0.15, -0.85 * side]), np.array([0.85 * side, 0.7 * side, 0.85 * side])


def finish(s: Stage) -> None:
    """Use all of the palette, as the kernels depend on it: a few more things and some faint lamps."""
    rng = s.rng
    for kind, names in s.materials.names.items():
        for name in names:
            if name not in s.parts:
                solids = [ro.ball, ro.bottle, ro.crystal] if kind in GLASS else [*ro.SOLIDS, ro.plant]
                at = s.focus[int(rng.integers(len(s.focus)))] + rng.uniform(-0.4, 0.4, 3) * (1, 0.3, 1)
                mesh = solids[int(rng.integers(len(solids)))](rng)
                s.put(place(mesh, at.tolist(), rng.uniform(0, 360), 0, rng.uniform(0.08, 0.3)), name)
    # Specks at fixed corners: the size of the whole scene is a constant in the kernels of skies.
    specks = [box((0.002, 0.002, 0.002), (at, at, at), 0.0005) for at in (-16.0, 16.0)]
    s.put(merge(*specks), s.materials.names["diffuse"][0], solid=False)
    middle = np.mean(s.focus, axis=0).tolist()
    s.lights.extra(s.anywhere(), middle, 10 ** rng.uniform(-1.5, 0.3), 1.5)
    while len(s.lights.flats) < s.lights.palette.flats:
        wide, high = rng.uniform(0.01, 0.2, 2)
        s.lights.area(s.anywhere(), middle, (wide, high), 10 ** rng.uniform(-3.5, -1.5), 1.0)
    while len(s.lights.bulbs) < s.lights.palette.bulbs:
        s.lights.bulb(s.anywhere(), rng.uniform(0.008, 0.03), 10 ** rng.uniform(-3.5, -1.5), 1.0)


#: Layouts and their weights; those in `OUTSIDE` need a sky.
LAYOUTS: dict[str, tuple[Callable[[Stage], None], float]] = {
    "room": (room, 0.3),
    "corridor": (lambda s: room(s, corridor=True), 0.1),
    "lamps": (lambda s: room(s, dark=True), 0.1),
    "still": (still, 0.22),
    "terrace": (terrace, 0.12),
    "kitbash": (kitbash, 0.12),
    "dark": (lambda s: kitbash(s, dark=True), 0.04),
}
OUTSIDE = ("terrace",)
