"""What looking up neighbouring frames costs beside denoising, with each way of finding them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_common import ROOM, run, table

from rendernoise.denoiser import Denoiser
from rendernoise.frame import Frame
from rendernoise.history import Surface, history
from rendernoise.io.exr import read_frame
from rendernoise.projection import Projection
from rendernoise.weights import base_path

FRAMES = range(20, 27)
SIZE = "1280x720"
REPEATS = 4


def neighbours(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """CPU seconds of one thread for a frame in the middle of seven, the surface that comes into the window included."""
    del shared
    torch.set_num_threads(1)
    span = f"{FRAMES[0]}-{FRAMES[-1]}"
    scene = [ROOM / "scene.xml", "--camera", ROOM / "camera.json"]
    size = ["--resolution", SIZE]
    run("render", *scene, *size, "--frames", span, "--pairs", "--spp", 2, "--out", out, "--overwrite")
    frames = [read_frame(out / f"scene.a.{n:04d}.exr", number=n) for n in FRAMES]
    denoiser = Denoiser.load(base_path("kernel_pyramid"), "cpu")
    alone = _cpu_s(lambda: denoiser.radiance(frames[3]))
    rows = [{"found by": "(--window 0)", "look-up_s": 0.0, "ratio": 1.0, "seen": 0.0}]
    for label, camera, ways in (
        ("camera", True, ()),
        ("vectors, both directions", False, (-1, 1)),
        ("vectors, one direction", False, (-1,)),
        ("camera and vectors, both directions", True, (-1, 1)),
        ("camera and vectors, one direction", True, (-1,)),
    ):
        given = [_with_vectors(frames, i, ways, camera=camera) for i in range(len(frames))]
        surfaces = [Surface.of(frame) for frame in given]

        def look_up(given: list[Frame] = given, surfaces: list[Any] = surfaces) -> np.ndarray:
            around = [*surfaces[:3], *surfaces[4:6], Surface.of(given[6])]
            return history(given[3], [s for s in around if s], windows=denoiser.light_windows)[1]

        seconds = _cpu_s(look_up)
        ratio = (alone + seconds) / alone
        rows.append({"found by": label, "look-up_s": seconds, "ratio": ratio, "seen": float((look_up() > 0).mean())})
    return rows, f"Denoising takes {alone:.2f} s.\n\n" + table(list(rows[0]), [list(row.values()) for row in rows])


def _cpu_s(work: Callable[[], Any]) -> float:
    work()
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def _with_vectors(frames: list[Frame], index: int, ways: tuple[int, ...], *, camera: bool) -> Frame:
    """A frame with the motion that a renderer would write: nothing moves but the camera."""
    frame = frames[index]
    planes = dict(frame.planes)
    for step in ways:
        # The first one's way back and the last one's way on lead out of the window, and are not followed.
        there = frames[min(max(index + step, 0), len(frames) - 1)].projection
        assert frame.projection is not None
        assert there is not None
        planes["to_previous" if step < 0 else "to_next"] = _motion(frame, frame.projection, there)
    return replace(frame, planes=planes, projection=frame.projection if camera else None)


def _motion(frame: Frame, here: Projection, there: Projection) -> np.ndarray:
    """Where the other camera shows each pixel's point, less where this one does, px, ``[2, H, W]``."""
    size = (frame.height, frame.width)
    ways = here.ways(*size)
    distance = frame.planes["depth"][0] / np.linalg.norm(ways, axis=0) + here.near
    points = here.eye[:, None] + (ways * distance).reshape(3, -1)
    x, y, w = there.matrix[:, :3] @ points + there.matrix[:, 3:]
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32) + 0.5
    return np.stack((x / w * size[1] - columns.ravel(), y / w * size[0] - rows.ravel())).reshape(2, *size).astype("f4")
