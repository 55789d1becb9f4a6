"""Write random scenes, on which base weights can be trained: rooms, still lifes, terraces, heaps of things.

Each scene is a folder with `scene.xml`, `meshes/`, `textures/` and `views.json`, a camera path with one keyframe for
each view: the first half are small moves of one camera, the others stand elsewhere. All comes from the seed.

    python tools/random_scenes.py --out DIR --count 24 --seed 1 --preview
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from random_layouts import LAYOUTS, OUTSIDE, Stage, finish
from random_lights import Lights, vector
from random_materials import Materials, Palette, palette
from scene_files import write_camera, write_ply
from scene_meshes import Array, merge

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

#: Different sets of kernels, and with them of kinds of materials and lights.
PALETTES = 20
PREVIEW_PX, PREVIEW_SPP, PREVIEW_COLUMNS = 96, 16, 6


def write_scene(folder: Path, seed: int, views: int = 8) -> None:
    """Write one scene and its cameras.

    Args:
        folder: Where; it is made if it is missing.
        seed: Everything comes from it; equal seeds give equal bytes.
        views: Cameras in `views.json`, as frames from 1.
    """
    for name in ("meshes", "textures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([20, seed])
    drawn = palette(int(rng.integers(PALETTES)))
    names = [n for n in LAYOUTS if drawn.sky != "none" or n not in OUTSIDE]
    weights = np.array([LAYOUTS[n][1] for n in names])
    layout = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    lights = Lights(rng, drawn, 10 ** rng.uniform(-2, 2), folder)
    stage = Stage(rng, Materials(folder, rng, drawn), lights)
    LAYOUTS[layout][0](stage)
    finish(stage)
    lights.sky(stage.sky_level)
    cameras = _cameras(stage, views)
    write_camera(folder / "views.json", cameras)
    shapes = []
    for index, (material, meshes) in enumerate(sorted(stage.parts.items())):
        mesh = merge(*meshes)
        repeated = mesh._replace(uvs=mesh.uvs * stage.materials.repeats[material])
        write_ply(folder / f"meshes/{index}.ply", repeated)
        shapes.append(
            f'<shape type="ply"><string name="filename" value="meshes/{index}.ply"/><ref id="{material}"/></shape>'
        )
    lines = [f"<!-- {layout}, seed {seed}. CC0 1.0. -->", '<scene version="3.0.0">']
    lines += [*_frame(drawn, cameras[0]), *stage.materials.xml, *shapes, *lights.xml, "</scene>", ""]
    (folder / "scene.xml").write_text("\n".join(lines), encoding="utf-8", newline="\n")


def _frame(drawn: Palette, camera: tuple[int, list[float], list[float], float]) -> list[str]:
    """Integrator, sensor and fog as XML."""
    _, origin, target, fov = camera
    distance = float(np.linalg.norm(np.subtract(target, origin)))
    lens = ""
    if drawn.lens == "thinlens":
        # Constants in the kernels, so there are only two lenses.
        focus = 1.0 if distance < 1.6 else 2.5
        lens = f'<float name="aperture_radius" value="{0.012 * focus}"/><float name="focus_distance" value="{focus}"/>'
    fog, inside = [], ""
    if drawn.fog:
        inside = '<ref id="fog" name="medium"/>'
        fog = [
            '<medium type="homogeneous" id="fog"><rgb name="albedo" value="0.95, 0.95, 0.95"/>'
            '<float name="sigma_t" value="0.06"/>'
            '<phase type="hg"><float name="g" value="0.3"/></phase></medium>',
            '<shape type="cube"><transform name="to_world"><scale value="15"/></transform>'
            '<bsdf type="null"/><ref id="fog" name="interior"/></shape>',
        ]
    integrator = "volpath" if drawn.fog else "path"
    return [
        f'<integrator type="{integrator}"><integer name="max_depth" value="{drawn.max_depth}"/></integrator>',
        *fog,
        f'<sensor type="{drawn.lens}"><float name="fov" value="{fov}"/>{lens}'
        f'<transform name="to_world"><lookat origin="{vector(origin)}" target="{vector(target)}" up="0, 1, 0"/>'
        f'</transform>{inside}<sampler type="independent"/><film type="hdrfilm"><integer name="width" value="128"/>'
        '<integer name="height" value="128"/><rfilter type="box"/></film></sensor>',
    ]


def _cameras(stage: Stage, count: int) -> list[tuple[int, list[float], list[float], float]]:
    """Keyframes (frame, origin, target, fov): half of them small moves of the first camera, the others elsewhere."""
    rng = stage.rng
    moves = max(1, count // 2)
    origin, target, fov = _camera(stage)
    reach = float(np.linalg.norm(target - origin))
    way, turn = rng.standard_normal((2, 3)) * reach * np.array([[0.02], [0.01]]) * 10 ** rng.uniform(-0.5, 0.5)
    found = []
    for step in range(moves):
        moved = np.clip(origin + step * way, stage.low, stage.high)
        found.append((origin if _blocked(stage, moved, target) else moved, target + step * turn, fov))
    found += [_camera(stage) for _ in range(count - moves)]
    return [(i, o.tolist(), np.round(t, 4).tolist(), f) for i, (o, t, f) in enumerate(found, 1)]


def _camera(stage: Stage) -> tuple[Array, Array, float]:
    """A place that is free, with something to look at and nothing right before the lens."""
    rng = stage.rng
    room = float(np.linalg.norm(stage.high - stage.low))
    origin = target = (stage.low + stage.high) / 2
    for attempt in range(80):
        origin = rng.uniform(stage.low, stage.high)
        origin[1] = np.clip(rng.choice([1.6, 1.2, 0.5, origin[1]]), stage.low[1], stage.high[1])
        target = stage.focus[int(rng.integers(len(stage.focus)))] + 0.1 * rng.standard_normal(3)
        far = float(np.linalg.norm(target - origin))
        level = abs(target[1] - origin[1]) < 0.75 * far
        if far > (0.35 if attempt > 40 else rng.uniform(0.08, 0.35) * room) and level:
            if not _blocked(stage, origin, target):
                break
    far = float(np.linalg.norm(target - origin))
    # Far cameras see the place, tele lenses a thing; near ones would only see a spot of colour through a tele lens.
    low = 22.0 if far > 2 else 35.0
    return origin, target, round(float(rng.uniform(low, 88)), 2)


def _blocked(stage: Stage, origin: Array, target: Array) -> bool:
    """Whether the camera, or the start of its line of sight, lies in the box of an object."""
    boxes = np.stack(stage.obstacles)
    for t, margin in ((0.0, 0.12), (0.15, 0.03), (0.3, 0.0), (0.45, 0.0)):
        point = origin + t * (target - origin)
        if ((point > boxes[:, 0] - margin) & (point < boxes[:, 1] + margin)).all(axis=1).any():
            return True
    return False


def preview(folders: list[Path], path: Path) -> None:
    """Render the first and the last view of scenes and write them side by side as a PNG."""
    import imageio.v3 as iio

    from rendernoise.render.camera import View, load_path
    from rendernoise.render.mitsuba import MitsubaRenderer, SceneOptions

    options = SceneOptions("llvm_ad_rgb", (PREVIEW_PX, PREVIEW_PX), threads=1)
    renderer = MitsubaRenderer(options)
    tiles = []
    for folder in folders:
        keyframes = load_path(folder / "views.json").keyframes
        for key in (keyframes[0], keyframes[-1]):
            frame = renderer.render(View(key.frame, key.camera, folder / "scene.xml"), spp=PREVIEW_SPP, seed=key.frame)
            tiles.append(_tonemapped(np.moveaxis(np.asarray(frame.planes["radiance"]), 0, -1)))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % (2 * PREVIEW_COLUMNS))
    grid = np.stack(tiles).reshape(-1, 2 * PREVIEW_COLUMNS, PREVIEW_PX, PREVIEW_PX, 3)
    iio.imwrite(path, grid.swapaxes(1, 2).reshape(-1, 2 * PREVIEW_COLUMNS * PREVIEW_PX, 3))


def _tonemapped(radiance: Array) -> NDArray[np.uint8]:
    """8-bit picture with its own exposure: the mean of all but the brightest pixels becomes mid-grey."""
    grey = radiance.mean(axis=-1)
    scaled = radiance * 0.3 / max(float(np.minimum(grey, np.quantile(grey, 0.9)).mean()), 1e-12)
    return (255 * np.clip(scaled / (1 + 0.4 * scaled), 0, 1) ** (1 / 2.2)).astype(np.uint8)


def main() -> None:
    """Write the scenes that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the scenes; one folder each, named by seed")
    parser.add_argument("--count", type=int, default=24, help="scenes (default: 24)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first scene; the others follow it (default: 0)"
    )
    parser.add_argument("--views", type=int, default=8, help="cameras of each scene (default: 8)")
    parser.add_argument("--preview", action="store_true", help="render two views of each scene to preview.png")
    options = parser.parse_args()
    for name, least in (("count", 1), ("seed", 0), ("views", 1)):
        if getattr(options, name) < least:
            sys.exit(f"--{name} {getattr(options, name)} is too small. Give {least} or more")
    folders = [options.out / f"{options.seed + index:06d}" for index in range(options.count)]
    try:
        for index, folder in enumerate(folders):
            write_scene(folder, options.seed + index, options.views)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}. Choose another folder with --out")
    if options.preview:
        preview(folders, options.out / "preview.png")


if __name__ == "__main__":
    main()
