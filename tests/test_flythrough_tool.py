"""The flythrough's tables and plots say what was measured; its learner on references learns."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rendernoise.io.exr import write_layers


@pytest.fixture(scope="module")
def tool(import_tool: Callable[[str], ModuleType]) -> ModuleType:
    """``tools/flythrough.py``, imported as it is when it runs."""
    return import_tool("flythrough")


def score(psnr_db: float) -> dict[str, float]:
    return {"psnr_db": psnr_db, "relmse": 0.1, "trimmed_relmse": 0.1, "smape": 0.1, "bias": 0.0}


def test_early_frames_are_measured_and_then_some(tool: ModuleType) -> None:
    assert tool.measured_frames(100, 25) == [1, 4, 16, 25, 50, 75, 100]
    assert tool.measured_frames(6, 5) == [1, 4, 5]


def test_one_line_each_and_means_of_settled_frames_alone(tool: ModuleType) -> None:
    found = {name: {n: score(20 + 5 * i + (n < 100)) for n in (1, 100, 200)} for i, name in enumerate(tool.LABELS)}
    found["reference"].pop(200)  # it may end early
    lines = [p for p in ET.fromstring(tool.plot(found)).iter("{http://www.w3.org/2000/svg}path") if p.get("fill")]
    assert len(lines) == len(tool.LABELS)
    assert sorted((p.get("d") or "").count("L") for p in lines) == [1, 2, 2, 2, 2, 2]
    rows = tool.summary_table(found).splitlines()[2:]
    assert [row.split("|")[2].strip() for row in rows] == ["100-200"] * 2 + ["100-100"] + ["100-200"] * 3
    assert [float(row.split("|")[3]) for row in rows] == [20, 25, 30, 35, 40, 45]


def test_reference_targets_teach(tool: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for folder in ("halves", "targets"):
        (tmp_path / folder).mkdir()
    for number in range(1, 13):
        truth = np.full((3, 32, 32), 0.5, np.float32)
        flat = {"albedo": truth, "normal": truth}
        write_layers(tmp_path / "targets" / f"scene.{number:04d}.exr", {"": truth, **flat}, {})
        for half in "ab":
            noisy = rng.exponential(0.5, truth.shape).astype(np.float32)
            write_layers(tmp_path / "halves" / f"scene.{half}.{number:04d}.exr", {"": noisy, **flat}, {})
    tool.train_on_references(tmp_path / "halves", tmp_path / "targets", tmp_path / "out", 12, [1, 12])
    first, last = (np.load(tmp_path / "out" / f"{n:04d}.npy") for n in (1, 12))
    assert np.square(last - 0.5).mean() < 0.05 < 0.125  # of the noisy mean
    assert np.square(last - 0.5).mean() < np.square(first - 0.5).mean()
