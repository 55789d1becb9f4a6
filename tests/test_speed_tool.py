"""The speed benchmark runs and its figures agree with each other; how fast anything is, is no test's business."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "speed.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a quick run printed, and its record."""
    out = tmp_path_factory.mktemp("speed")
    finished = run("--quick", "--threads", 1, "--out", out)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, json.loads((out / "speed.json").read_text())


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9)


@pytest.mark.slow
def test_the_record_says_what_ran_where(done: tuple[str, dict[str, Any]]) -> None:
    _, record = done
    assert {"command", "created", "machine", "versions", "threads", "repeats", "denoise", "train", "render"} <= set(
        record
    )
    assert "--quick" in record["command"]
    assert record["threads"] == 1
    assert record["machine"]["cores"] >= 1
    if find_spec("pyoidn") is not None:
        assert record["versions"]["oidn"].startswith("2.")


@pytest.mark.slow
def test_each_row_sums_up_its_own_times(done: tuple[str, dict[str, Any]]) -> None:
    _, record = done
    rows = [row for name in ("denoise", "train", "render") for row in record[name]]
    assert all("error" not in row for row in rows)
    for row in rows:
        times = row["times_s"]
        assert len(times) == row["n"] == record["repeats"]
        assert min(times) > 0
        assert (row["min_s"], row["max_s"]) == (min(times), max(times))
        assert close(row["median_s"], statistics.median(times))
        assert row["peak_mib"] > row["beyond_start_mib"] > 0


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pyoidn") is None, reason='pyoidn is not installed ("rendernoise[oidn]")')
def test_ratios_of_denoising_are_those_of_its_times(done: tuple[str, dict[str, Any]]) -> None:
    rows = {row["contender"]: row for row in done[1]["denoise"]}
    assert {"rendernoise, float32", "OIDN, high", "OIDN prefiltered, high"} <= set(rows)
    yardstick = rows["OIDN, high"]
    for row in rows.values():
        assert close(row["times_oidn"], row["median_s"] / yardstick["own_median_s"])
        assert close(row["cpu_times_oidn"], row["cpu_median_s"] / yardstick["cpu_median_s"])
        if row["own_median_s"] is not None:  # execution is a part of the call
            assert 0 < row["own_median_s"] <= row["median_s"]
    assert rows["rendernoise, float32"]["own_median_s"] is None


@pytest.mark.slow
def test_steps_and_shares_are_those_of_their_times(done: tuple[str, dict[str, Any]]) -> None:
    _, record = done
    for row in record["train"]:
        assert close(row["steps_per_s"], row["steps"] / row["median_s"])
        assert row["slowest_steps_per_s"] <= row["steps_per_s"] <= row["fastest_steps_per_s"]
    render = {row["what"]: row for row in record["render"]}
    assert set(render) == {"bare", "radiance", "process"}
    for row in render.values():
        assert close(row["times_bare"], row["median_s"] / render["bare"]["median_s"])
    process = render["process"]
    assert close(process["feature_share"], 1 - render["radiance"]["median_s"] / process["own_median_s"])
    assert close(process["transfer_s"], process["median_s"] - process["own_median_s"])


@pytest.mark.slow
def test_it_prints_a_table_for_each(done: tuple[str, dict[str, Any]]) -> None:
    printed, record = done
    for name in ("denoise", "train", "render"):
        table = printed.split(f"## {name}\n\n")[1].split("\n\n")[0].splitlines()
        assert len(table) == 2 + len(record[name])
        assert len({line.count("|") for line in table}) == 1


def test_a_wrong_size_is_refused_before_anything_runs(tmp_path: Path) -> None:
    finished = run("--sizes", "64x48,fast", "--out", tmp_path / "out")
    assert finished.returncode == 2
    assert "'fast' is no size; write 1280x720" in finished.stderr
    assert not (tmp_path / "out").exists()
