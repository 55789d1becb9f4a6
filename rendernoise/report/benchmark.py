"""The images behind a benchmark's rows, for its page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rendernoise.bench.run import image_path
from rendernoise.frame import Plane
from rendernoise.io.exr import read_frame
from rendernoise.report.page import PageImage


def page_images(out: Path, results: Mapping[str, Any]) -> list[PageImage]:
    """All images of the first seed in a benchmark's folder, references included."""
    seed = results["seeds"][0]
    cells = dict.fromkeys((r["scene"], r["frame"], r["spp"], r["method"]) for r in results["rows"] if r["seed"] == seed)
    cells |= dict.fromkeys((r["scene"], r["frame"], 0, "reference") for r in results["references"])
    return [
        PageImage(scene, frame, spp, method, partial(_load, image_path(out, scene, method, spp, seed, frame)))
        for scene, frame, spp, method in cells
    ]


def _load(path: Path) -> Plane:
    return read_frame(path).radiance
