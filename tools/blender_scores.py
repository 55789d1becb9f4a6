"""What neighbours bring on a shot of tools/blender_sequence.py, on what moves and on what it uncovers.

    python tools/blender_sequence.py out/blender --frames 1-8 --spp 8                      # under Blender's Python
    python tools/blender_sequence.py out/blender --frames 4-5 --spp 1024 --seeds 7,8 --name reference
    python tools/blender_scores.py out/blender

It denoises frames 4 and 5 with base weights in four ways and prints relMSE without the worst 0.1 % of pixels, the
references' own noise taken off.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from rendernoise.io.exr import read, read_frame

FRAMES = (4, 5)
WAYS = {
    "noisy": None,
    "alone": ["--window", "0"],
    "camera": ["--role", "motion=none"],
    "vectors": ["--role", "position=none"],
    "both": [],
}


def moving(path: Path) -> np.ndarray:
    """Where a file shows something that moves, ``[H, W]``: objects with an index."""
    exr = read(path)
    part, channel = exr.channel_map()["ViewLayer.Object Index.X"]
    return exr.parts[part].channels[channel] > 0


def trimmed(errors: np.ndarray) -> float:
    """The mean without the worst 0.1 %."""
    return float(np.sort(errors.ravel())[: max(1, int(errors.size * 0.999))].mean())


def score(folder: Path, number: int, image: np.ndarray) -> list[float]:
    """Errors of an image of a frame: on all pixels, on what moves, and on what that uncovers."""
    a, b = (read_frame(folder / f"reference.{half}.{number:04d}.exr").radiance for half in "ab")
    reference = (a + b) / 2
    weight = 1 / (np.square(reference) + 0.01)
    errors, noise = ((square * weight).mean(0) for square in (np.square(image - reference), np.square(a - b) / 4))
    here = moving(folder / f"reference.a.{number:04d}.exr")
    around = [n for n in range(number - 3, number + 4) if (folder / f"shot.a.{n:04d}.exr").exists()]
    uncovered = np.logical_or.reduce([moving(folder / f"shot.a.{n:04d}.exr") for n in around]) & ~here
    masks = (np.ones_like(here), here, uncovered)
    return [trimmed(errors[mask]) - trimmed(noise[mask]) for mask in masks]


def main() -> None:
    """Denoise in every way, and print a line for each."""
    folder = Path(sys.argv[1])
    print("neighbours by        all    moving uncovered")
    for name, options in WAYS.items():
        out = folder / "denoised" / name
        if options is not None:
            halves = [str(folder / "shot.a.####.exr"), "--half", str(folder / "shot.b.####.exr")]
            command = [sys.executable, "-m", "rendernoise", "denoise", *halves, "--out", str(out), "--frames", "4-5"]
            subprocess.run([*command, "--overwrite", "--quiet", "--device", "cpu", *options], check=True)
        rows: list[list[float]] = []
        for number in FRAMES:
            paths = [folder / f"shot.{half}.{number:04d}.exr" for half in "ab"]
            paths = paths if options is None else [out / f"shot.a.{number:04d}.exr"]
            image = np.mean([read_frame(path).radiance for path in paths], axis=0)
            rows.append(score(folder, number, image))
        print(f"{name:12s}", *(f"{value:9.5f}" for value in np.mean(rows, axis=0)), flush=True)


if __name__ == "__main__":
    main()
