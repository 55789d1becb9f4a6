"""The plot and table of estimated against true errors."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

TOOL = Path(__file__).parents[1] / "tools" / "calibration.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def estimate(scene: str, true: float, estimated: float, low: float, high: float) -> dict[str, object]:
    facts = {"scene": scene, "frame": 1, "method": "online", "spp": 16, "seed": 0}
    return {**facts, "estimated_relmse": estimated, "interval": [low, high], "relmse": true}


def test_every_estimate_is_drawn_and_counted(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    shown = [
        estimate("room", 0.01, 0.011, 0.006, 0.02),
        estimate("room", 0.01, 0.02, 0.012, 0.04),
        estimate("fog", 0.1, 0.05, 0.03, 0.2),
        estimate("fog", -1e-4, 0.05, 0.03, 0.2),  # below the reference's noise: there is no such place
    ]
    results.write_text(json.dumps({"estimates": shown}))
    done = run(results, "--out", tmp_path / "plot.svg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2:] == [
        "| room | 2 | 1.48 | 1 of 2 | 1 of 2 |",
        "| fog | 1 | 0.50 | 0 of 1 | 1 of 1 |",
        "| all | 3 | 1.03 | 1 of 3 | 2 of 3 |",
    ]
    root = ET.parse(tmp_path / "plot.svg").getroot()
    dots = [c for c in root.iter("{http://www.w3.org/2000/svg}circle") if "." in c.get("cx", "")]
    assert len(dots) == 3
    assert len({c.get("fill") for c in dots}) == 2
    assert all(0 < float(c.get(axis, "")) < 560 for c in dots for axis in ("cx", "cy"))


def test_results_without_estimates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"estimates": []}')
    done = run(tmp_path / "results.json", "--out", tmp_path / "plot.svg")
    assert done.returncode == 2
    assert "no estimates" in done.stderr
    assert not (tmp_path / "plot.svg").exists()
