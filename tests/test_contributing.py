"""CONTRIBUTING's example of a noise model works as it stands there: one file, one line."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rendernoise.io.image import write_png
from rendernoise.noise import NOISES, NoiseModel
from rendernoise.suite.reproduce import run_suite_reproduce
from rendernoise.suite.reproduce_config import SuiteReproduceConfig

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name under which the example is registered, by its file and its line."""
    file, line = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)[:2]
    (tmp_path / "example.py").write_text(file)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "example", raising=False)
    module = importlib.import_module("example")
    registered = re.fullmatch(r'\s*"(\w+)": (\w+),\s*', line)
    assert registered is not None
    kind = getattr(module, registered[2])
    assert issubclass(kind, NoiseModel)
    monkeypatch.setitem(NOISES, registered[1], kind)
    return registered[1]


def test_the_example_is_trained_and_measured(example: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for i in range(3):
        write_png(tmp_path / "data" / f"{i}.png", rng.random((1, 40, 40)))
    results = run_suite_reproduce(
        SuiteReproduceConfig(noises=(example,), data=tmp_path / "data", out=tmp_path / "out", steps=3, seeds=1)
    )
    assert [(r["noise"], r["target"], r["steps"]) for r in results["rows"]] == [
        (example, "noisy", 3),
        (example, "clean", 3),
    ]
    assert all(np.isfinite(r["psnr_db"]) for r in results["rows"])


def test_the_example_keeps_the_mean_as_it_says(example: str) -> None:
    """A z-test of the mean of 10⁶ values; a sound model fails once in 10⁷ seeds."""
    model = NOISES[example]()
    image = np.full((1, 1000, 1000), 0.2, np.float32)
    noisy = model.corrupt(image, model.tested, np.random.default_rng(1)).image.astype(np.float64)
    assert abs(noisy.mean() - np.float64(image[0, 0, 0])) < 5.33 * noisy.std() / 1000
