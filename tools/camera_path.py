"""Write a camera path for ``--camera FILE.json`` that starts from a scene's own camera.

    python tools/camera_path.py orbit scene.xml --out camera.json --degrees 40 --frames 48
    python tools/camera_path.py dolly scene.xml --out camera.json --distance 30% --frames 48

An orbit turns around what the middle of the picture shows, and its middle frame is the scene's own camera. A dolly
moves along the view, and its first frame is the scene's own camera. The file is plain JSON to edit further.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rendernoise.errors import InputError, RendernoiseError, SceneError
from rendernoise.render.camera import Camera, save_path
from rendernoise.render.camera_moves import dolly, orbit_from


@dataclass(frozen=True, eq=False)
class Shot:
    """A scene's own camera, and the point ``[3]`` that it is about, in world space."""

    camera: Camera
    center: np.ndarray

    @property
    def distance(self) -> float:
        """From the camera to that point, in scene units."""
        return float(np.linalg.norm(self.center - self.camera.to_world[:3, 3]))


def read_shot(scene_path: Path) -> Shot:
    """Load a scene with Mitsuba and look where its first camera looks.

    Raises:
        InputError: Mitsuba is not installed, or the scene has no camera.
        SceneError: Mitsuba rejects the scene.
    """
    if not scene_path.is_file():
        raise InputError(f"{scene_path}: no such file", "Give a Mitsuba scene XML")
    try:
        import mitsuba as mi
    except ImportError as error:
        raise InputError("Mitsuba is not installed", "pip install mitsuba") from error
    mi.set_variant("scalar_rgb")
    try:
        scene = mi.load_file(str(scene_path))
    except (RuntimeError, ValueError) as error:
        raise SceneError(f"{scene_path}: {' '.join(str(error).split())}", "Mend the scene") from error
    if not scene.sensors():
        raise InputError(f"{scene_path}: the scene has no camera", "Add a <sensor>")
    parameters = mi.traverse(scene.sensors()[0])
    matrix = np.array(parameters["to_world"].matrix, dtype=np.float64)
    fov = float(parameters["x_fov"]) if "x_fov" in parameters else None
    hit = scene.ray_intersect(mi.Ray3f(matrix[:3, 3].tolist(), matrix[:3, 2].tolist()))
    if hit.is_valid():
        center = np.array(hit.p, dtype=np.float64)
    elif scene.bbox().valid():
        center = np.array(scene.bbox().center(), dtype=np.float64)
    else:
        center = matrix[:3, 3] + matrix[:3, 2]
    return Shot(Camera(matrix, fov), center)


def length(text: str, whole: float) -> float:
    """A length in scene units, such as ``0.5``, or a share of ``whole``, such as ``30%``."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise InputError(f"--distance {text} is no length", "Use scene units (0.5) or a percentage (30%)") from None
    return value * whole / 100 if text.endswith("%") else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 when nothing was written)."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("scene", type=Path, help="Mitsuba scene XML")
    common.add_argument("--out", type=Path, required=True, help="JSON file to write")
    common.add_argument("--frames", type=int, default=48, help="length of the shot (default 48)")
    common.add_argument("--overwrite", action="store_true", help="replace the file when it exists")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    moves = parser.add_subparsers(dest="move", required=True)
    around = moves.add_parser("orbit", parents=[common], help="turn around what the camera looks at")
    around.add_argument("--degrees", type=float, default=40.0, help="angle from the first frame to the last")
    around.add_argument("--center", type=float, nargs=3, metavar=("X", "Y", "Z"), help="turn around this point")
    along = moves.add_parser("dolly", parents=[common], help="move along the view")
    along.add_argument(
        "--distance", default="30%", help="scene units, or percent of the way to what the camera looks at"
    )
    options = parser.parse_args(arguments)
    try:
        if options.out.exists() and not options.overwrite:
            raise InputError(f"{options.out} exists", "Use --overwrite or another name")
        shot = read_shot(options.scene)
        start, fov = shot.camera.to_world, shot.camera.fov_deg
        if options.move == "orbit":
            center = shot.center if options.center is None else options.center
            path = orbit_from(start, center, frames=options.frames, degrees=options.degrees, fov=fov)
        else:
            travel = length(options.distance, shot.distance)
            path = dolly(start, frames=options.frames, distance=travel, focus=shot.distance, fov=fov)
        save_path(options.out, path)
    except RendernoiseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: {options.frames} frames, {len(path['keyframes'])} keyframes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
