"""What the measurements share: running a command, reading images, making tables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.frame import Frame
from rendernoise.io.exr import read
from rendernoise.metrics.relative import bias, relmse, smape, trimmed_relmse

ROOM = Path(__file__).parents[1] / "scenes" / "room"


def run(*arguments: object, cores: str | None = None) -> None:
    """Run a rendernoise command in a process of its own; ``cores`` such as "0" pins it."""
    pin = ["taskset", "-c", cores] if cores else []
    command = [*pin, sys.executable, "-m", "rendernoise", *map(os.fspath, map(str, arguments))]
    print("$ rendernoise", *arguments, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def read_denoised(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The denoised radiance and the noisy mean in a file that ``online`` wrote."""
    channels = read(path).channels
    return np.stack([channels[c] for c in "RGB"]), np.stack([channels[f"noisy.{c}"] for c in "RGB"])


def scores(image: np.ndarray, reference: Frame) -> dict[str, float]:
    """All metrics of one image, the reference's own share taken off."""
    variance = reference.planes.get("variance")
    truth = reference.radiance
    return {
        "relmse": relmse(image, truth, variance),
        "trimmed_relmse": trimmed_relmse(image, truth, variance),
        "smape": smape(image, truth),
        "bias": bias(image, truth),
    }


def mean_scores(many: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric."""
    return {name: float(np.mean([s[name] for s in many])) for name in many[0]}


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""

    def cell(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell(v) for v in line) + " |" for line in lines)
