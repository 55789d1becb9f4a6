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

from rendernoise.frame import HISTORY_PLANES
from rendernoise.networks import NETWORKS

ROOT = Path(__file__).parents[1]
needs_oidn = pytest.mark.skipif(find_spec("pyoidn") is None, reason='pyoidn is not installed ("rendernoise[oidn]")')
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux keeps peaks in /proc")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "speed.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)


def in_worker(code: str) -> Any:
    """What a fresh process prints as JSON that has ``tools/speed_worker.py`` as ``worker``."""
    start = f"import json, sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tools')!r}]; import speed_worker as worker"
    done = subprocess.run([sys.executable, "-c", f"{start}\n{code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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
        assert row["peak_mib"] >= row["first_peak_mib"] > row["start_mib"] > 0
        assert close(row["beyond_start_mib"], row["peak_mib"] - row["start_mib"])


@pytest.mark.slow
@needs_oidn
def test_ratios_of_denoising_are_those_of_its_times_and_peaks(done: tuple[str, dict[str, Any]]) -> None:
    rows = {row["contender"]: row for row in done[1]["denoise"]}
    assert {"kernel_pyramid, float32", "fast, float32", "OIDN, balanced", "OIDN prefiltered, high"} <= set(rows)
    assert any(label.startswith("kernel_pyramid") and label.endswith("4 spins") for label in rows)
    for quality in ("high", "fast"):
        yardstick = rows[f"OIDN, {quality}"]
        for row in rows.values():
            assert close(row[f"time_to_oidn_{quality}"], row["median_s"] / yardstick["own_median_s"])
            assert close(row[f"peak_to_oidn_{quality}"], row["first_peak_mib"] / yardstick["first_peak_mib"])
    for row in rows.values():
        if row["own_median_s"] is not None:  # execution is a part of the call
            assert 0 < row["own_median_s"] <= row["median_s"]
    assert rows["kernel_pyramid, float32"]["own_median_s"] is None


@pytest.mark.slow
@needs_oidn
def test_the_table_of_denoising_shows_ms_and_memory(done: tuple[str, dict[str, Any]]) -> None:
    printed, record = done
    heads, _, *lines = printed.split("## denoise\n\n")[1].split("\n\n")[0].splitlines()
    names = [name.strip() for name in heads.split("|")]
    for line, row in zip(lines, record["denoise"], strict=True):
        shown = dict(zip(names, (cell.strip() for cell in line.split("|")), strict=True))
        assert shown["denoiser"] == row["contender"]
        assert float(shown["median ms"]) == pytest.approx(1000 * row["median_s"], abs=0.06)
        assert float(shown["ms × OIDN, fast (its execution)"]) == pytest.approx(row["time_to_oidn_fast"], rel=1e-3)
        assert float(shown["peak MiB, one frame"]) == pytest.approx(row["first_peak_mib"], rel=1e-3)
        assert float(shown["MiB × OIDN, high"]) == pytest.approx(row["peak_to_oidn_high"], rel=1e-3)


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


def test_the_frame_has_all_planes_of_both_networks() -> None:
    names = in_worker("print(json.dumps({n: p.shape for n, p in worker.noisy_frame(8, 4).planes.items()}))")
    sizes = {"radiance": [3, 4, 8], "albedo": [3, 4, 8], "normal": [3, 4, 8], "roughness": [1, 4, 8]}
    assert names == sizes
    # One frame alone is what OIDN denoises too.
    needed = {plane for name in ("kernel_pyramid", "fast") for plane in NETWORKS[name].planes}
    assert needed - set(HISTORY_PLANES) <= set(names)


@needs_oidn
def test_memory_of_oidn_is_without_pytorch() -> None:
    job = {"size": [64, 36], "quality": "high", "prefilter": False, "threads": 1}
    loaded = in_worker(f"worker.prepare_oidn({job})()(); print(json.dumps(sys.modules.get('torch') is not None))")
    assert loaded is False


@needs_proc
def test_the_peak_stays_when_memory_was_given_back() -> None:
    code = """
import numpy as np
block = np.ones(2**27, np.uint8)
held = worker.resident_mib()
del block
print(json.dumps([held, worker.resident_mib(), worker.peak_mib()]))
"""
    held, after, peak = in_worker(code)
    assert after < held - 100
    assert peak >= held - 1


@needs_proc
def test_the_peak_bears_a_child_that_has_ended() -> None:
    code = """
import subprocess, psutil
child = subprocess.Popen([sys.executable, "-c", ""])
while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
    pass
ended = worker.peak_of_mib(psutil.Process(child.pid))
print(json.dumps([ended, worker.peak_mib(), worker.peak_of_mib(psutil.Process())]))
"""
    ended, together, alone = in_worker(code)
    assert ended == 0
    assert together == pytest.approx(alone, abs=1)


@needs_proc
def test_the_peak_holds_living_children() -> None:
    code = """
import subprocess, psutil
child = subprocess.Popen([sys.executable, "-c", "block = b'x' * 2**26; print(); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
together, alone = worker.peak_mib(), worker.peak_of_mib(psutil.Process())
child.communicate(b"\\n")
print(json.dumps([together, alone]))
"""
    together, alone = in_worker(code)
    assert together > alone + 64
