"""The flip-book holds every frame of a run three times, as pictures that a browser can decode."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rendernoise.io.exr import write_layers

pytest.importorskip("pyoidn", reason="Open Image Denoise is not installed")
TOOL = Path(__file__).parents[1] / "tools" / "flipbook.py"
H, W = 40, 48


def flipbook(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def grey(value: float) -> np.ndarray:
    return np.full((3, H, W), value, np.float32)


def test_every_frame_is_there_in_order_and_in_one_exposure(tmp_path: Path) -> None:
    for folder in ("denoised", "halves"):
        (tmp_path / folder).mkdir()
    for number, light in ((1, 0.1), (2, 0.2), (3, 0.4)):
        denoised = {"": grey(light), "noisy": grey(light / 2)}
        write_layers(tmp_path / "denoised" / f"shot.{number:04d}.exr", denoised, {})
        for half in "ab":
            write_layers(tmp_path / "halves" / f"shot.{half}.{number:04d}.exr", {"": grey(light)}, {})
    done = flipbook(tmp_path, "--out", tmp_path / "book.html")
    assert done.returncode == 0, done.stderr
    found = re.search(r"const frames=(.*), labels=", (tmp_path / "book.html").read_text(encoding="utf-8"))
    assert found is not None
    frames = json.loads(found[1])
    assert [frame["number"] for frame in frames] == [1, 2, 3]
    seen = [[Image.open(io.BytesIO(base64.b64decode(image))) for image in frame["images"]] for frame in frames]
    assert {image.size for row in seen for image in row} == {(W, H)}
    means = np.array([[np.asarray(image).mean() for image in row] for row in seen])
    assert (np.diff(means, axis=0) > 10).all(), "brighter frames must look brighter"
    assert (means[:, 0] + 10 < means[:, 2]).all(), "plain rendering first, ours last"


def test_a_run_without_halves_is_refused(tmp_path: Path) -> None:
    (tmp_path / "denoised").mkdir()
    write_layers(tmp_path / "denoised" / "shot.0001.exr", {"": grey(1), "noisy": grey(1)}, {})
    done = flipbook(tmp_path, "--out", tmp_path / "book.html")
    assert done.returncode == 1
    assert "--save-halves" in done.stderr
    assert not (tmp_path / "book.html").exists()
