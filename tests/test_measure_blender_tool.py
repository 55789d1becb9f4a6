"""``tools/measure_blender.py``: errors against a noisy reference, and light passes read as light."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part

SIZE = (3, 200, 200)


def test_the_references_noise_does_not_count(import_tool: Callable[[str], ModuleType]) -> None:
    """Within four standard errors; a false alarm comes in 1 of 15,000 seeds, and the seed is fixed."""
    rng = np.random.default_rng(0)
    halves = [1 + rng.normal(0, 0.2, SIZE).astype(np.float32) for _ in "ab"]
    image = np.full(SIZE, 1.1, np.float32)
    found, _ = import_tool("measure_blender").relmse(image, *halves, np.ones(SIZE, np.float32))
    error = ((image - halves[0]) * (image - halves[1]) / 1.01).std() / np.sqrt(image.size)
    assert abs(found - 0.1**2 / 1.01) < 4 * error


def test_errors_are_told_for_each_folder(
    tmp_path: Path,
    import_tool: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ones = np.ones((4, 4), np.float32)
    for name, light in (("a", 2), ("b", 2), ("images", 3)):
        (tmp_path / name).mkdir()
        layers = {"Combined": 1, "Diffuse Direct": light, "Diffuse Color": 0.5}
        channels = {f"V.{layer}.{c}": np.float32(value) * ones for layer, value in layers.items() for c in "RGB"}
        exr.write(tmp_path / name / "x.0001.exr", Exr((Part(channels),)))
    arguments = [str(tmp_path / name) for name in ("a", "b", "images")]
    tool = import_tool("measure_blender")
    for more, expected in ((["--layer", "V.Diffuse Direct"], 0.25 / 1.01), ([], 0.0)):
        monkeypatch.setattr("sys.argv", ["measure_blender.py", *arguments, *more])
        tool.main()
        (found,) = re.findall(r"relMSE (\S+),", capsys.readouterr().out)
        assert float(found) == pytest.approx(expected, rel=0.05, abs=1e-4)
