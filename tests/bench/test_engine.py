"""Benchmarks of a rendered shot with the analytic renderer: rows, samples, seeds, names, the reference's noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.bench.config import BenchConfig
from rendernoise.bench.methods import Noisy, Output
from rendernoise.bench.run import image_path
from rendernoise.denoiser import Denoiser
from rendernoise.io.exr import read, read_frame
from rendernoise.metrics import METRICS
from rendernoise.metrics.relative import reference_noise
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View

Config = Callable[..., BenchConfig]
Bench = Callable[..., dict[str, Any]]
Rows = Callable[..., list[dict[str, Any]]]
KEYS = {
    "scene",
    "frame",
    "method",
    "spp",
    "metric",
    "value",
    "seed",
    "wall_s",
    "nonfinite_px",
    "within_reference_noise",
}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "weights.safetensors"
    path.parent.mkdir()
    Denoiser(DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo", "normal")))).save(path)
    return path


@pytest.mark.usefixtures("short_training")
def test_every_cell_has_its_row_and_online_sees_the_samples_that_noisy_averages(
    bench_config: Config, bench: Bench, rows_of: Rows, weights: Path, tmp_path: Path
) -> None:
    config = bench_config(methods=f"noisy,online,{weights}", repeats=2)
    seen: dict[tuple[int, int], np.ndarray] = {}

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "scored" and event["method"] == "online":
            run = config.out / ".work" / "runs" / f"online-{event['spp']}spp-seed{event['seed']}"
            channels = read(run / "denoised" / "shot.0001.exr").channels
            seen[event["spp"], event["seed"]] = np.stack([channels[f"noisy.{c}"] for c in "RGB"])

    results = bench(config, emit)
    assert results["failures"] == []
    names = ("noisy", "online", "run")
    assert [m["name"] for m in results["methods"]] == list(names)
    found = [(r["frame"], r["method"], r["spp"], r["metric"], r["seed"]) for r in results["rows"]]
    expected = set(itertools.product((1, 2), names, (4, 8), METRICS, (0, 1)))
    expected |= set(itertools.product((2,), names, (4, 8), ("temporal",), (0, 1)))
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert all(set(row) == KEYS and row["scene"] == results["scenes"][0] for row in results["rows"])
    assert all(row["value"] is not None and row["wall_s"] > 0 for row in results["rows"])
    assert {m["name"] for m in results["metrics"]} == {*METRICS, "temporal"}
    assert results["seeds"] == [0, 1]
    estimates = results["estimates"]
    assert {(e["method"], e["frame"], e["spp"], e["seed"]) for e in estimates} == set(
        itertools.product(("online",), (1, 2), (4, 8), (0, 1))
    )
    for e in estimates:
        assert e["interval"][0] < e["estimated_relmse"] < e["interval"][1]
        (row,) = rows_of(results, metric="relmse", **{n: e[n] for n in ("method", "frame", "spp", "seed")})
        assert e["relmse"] == row["value"]
    assert len(results["timings"]) == 2 * 2 * 3

    for (spp, seed), noisy in seen.items():
        (entry,) = (tmp_path / "cache").glob(f"shot.0001.pairs-{spp}spp-seed{seed}-*")
        a, b = (read_frame(entry / f"shot.{half}.0001.exr").radiance for half in "ab")
        assert not np.array_equal(a, b)
        assert np.array_equal(noisy, np.float32(0.5) * (a + b))
        kept = read_frame(image_path(config.out, results["scenes"][0], "noisy", spp, seed, 1)).radiance
        assert np.array_equal(kept, noisy)
    assert len(seen) == 4
    values = {row["seed"]: row["value"] for row in results["rows"] if row["metric"] == "relmse" and row["spp"] == 4}
    assert values[0] != values[1]
    assert not (config.out / ".work").exists()


def test_a_method_can_be_limited_to_one_count(bench_config: Config, bench: Bench, rows_of: Rows, weights: Path) -> None:
    results = bench(bench_config(methods=f"noisy,noisy@4,{weights}@8,{weights}@4", measure="2"))
    assert len(results["rows"]) == 4 * len(METRICS)
    assert {r["spp"] for r in rows_of(results, method="run")} == {4, 8}
    assert {m["name"] for m in results["methods"]} == {"noisy", "run"}
    results = bench(bench_config(methods=f"noisy,{weights}@8", measure="2", overwrite=True))
    assert {r["spp"] for r in rows_of(results, method="run")} == {8}


def test_names_that_would_meet_are_told_apart(
    bench_config: Config, bench: Bench, rows_of: Rows, weights: Path, tmp_path: Path, write_exr: Any, random_image: Any
) -> None:
    others = [tmp_path / name for name in ("reference.safetensors", "noisy.safetensors", "mine.safetensors")]
    for path in others:
        path.write_bytes(weights.read_bytes())
    write_exr(tmp_path / "theirs" / "x.0001.exr", random_image())
    config = bench_config(
        methods=",".join(["noisy", *(f"{p}@4" for p in others)]),
        images=(f"mine={tmp_path / 'theirs'}",),
        spp="4",
        measure="1",
    )
    results = bench(config)
    assert {m["name"] for m in results["methods"]} == {"noisy", "reference+", "noisy+", "mine+", "mine"}
    values = {r["method"]: r["value"] for r in rows_of(results, metric="relmse")}
    assert values["reference+"] == values["noisy+"] == values["mine+"]
    assert len(set(values.values())) == 3
    kept = read_frame(image_path(config.out, results["scenes"][0], "reference", 0, 0, 1))
    assert kept.spp == 128


@pytest.mark.parametrize(
    ("measure", "frames", "temporal"),
    [(None, [2, 3], [3]), ("1,3", [1, 3], []), ("3-5", [3, 4, 5], [4, 5]), ("all", [1, 2, 3, 4, 5], [2, 3, 4, 5])],
)
def test_frames_that_are_measured(
    bench_config: Config, bench: Bench, rows_of: Rows, measure: str, frames: list[int], temporal: list[int]
) -> None:
    results = bench(bench_config(5, measure=measure, spp="4", reference_spp=16))
    scene = results["scenes"][0]
    assert results["frames"] == {scene: frames}
    assert results["shot_frames"] == {scene: 5}
    assert [r["frame"] for r in rows_of(results, metric="temporal")] == temporal
    assert [r["frame"] for r in results["references"]] == frames


def test_neighbours_help_base_weights_and_need_no_reference(
    bench_config: Config, bench: Bench, rows_of: Rows, tmp_path: Path, write_exr: Any
) -> None:
    """As they do when the sequence is denoised: the frame's own samples are what is equal."""
    write_exr(tmp_path / "truth" / "x.0003.exr", AnalyticRenderer((24, 16)).reference(View(3)))
    pattern = f"{tmp_path / 'truth'}/x.####.exr"
    found = []
    for window in (0, 2):
        config = bench_config(5, spp="4", methods="base", reference=pattern, window=window, overwrite=True)
        (row,) = rows_of(bench(config), metric="relmse")
        assert row["frame"] == 3
        found.append(row["value"])
    assert found[1] < found[0]


def test_an_error_that_is_the_references_own_is_not_ranked(
    bench_config: Config, bench: Bench, rows_of: Rows, tmp_path: Path, write_exr: Any
) -> None:
    """The truth against a reference of 128 spp: what is found is the reference's noise alone.

    Corrected by the reference's share, its relMSE is 0 with a standard error of some noise·sqrt(2 / 1152), while the
    limit is 3·noise: more than 20 standard errors, so this seed raises a false alarm with a chance below 1e-9.
    Plain rendering at 128 spp is as wrong as the reference, once its noise; at 8 spp it is 16 times that.
    """
    renderer = AnalyticRenderer((24, 16))
    write_exr(tmp_path / "truth" / "x.0001.exr", renderer.reference(View(1)))
    config = bench_config(spp="8,128", measure="1", images=(f"truth={tmp_path / 'truth'}/x.####.exr",))
    with pytest.raises(Exception, match=r"do not say which of \[8, 128\] spp"):
        bench(config)
    config = bench_config(spp="8,128", measure="1", images=(f"truth={tmp_path / 'truth{spp}'}",))
    for spp in (8, 128):
        (tmp_path / f"truth{spp}").symlink_to(tmp_path / "truth")
    results = bench(config)
    (reference,) = results["references"]
    # From two passes only: its standard error is about sqrt(2 / 1152) of it, and this is five of them.
    expected = reference_noise(renderer.reference(View(1)), renderer.variance(View(1), 128))
    assert reference["noise"] == pytest.approx(expected, rel=0.2)
    near = {(r["method"], r["spp"]): r["within_reference_noise"] for r in results["rows"]}
    assert near == {("truth", 8): True, ("truth", 128): True, ("noisy", 8): False, ("noisy", 128): True}
    (error,) = rows_of(results, method="noisy", spp=8, metric="relmse")
    assert error["value"] > 3 * reference["noise"]
    assert all(e["spp"] != 128 for e in results["equal_quality"])


def test_the_benchmark_says_where_it_was_made(bench_config: Config, bench: Bench) -> None:
    results = bench(bench_config(spp="4", reference_spp=16, measure="1"))
    assert results["schema"] == 1
    assert results["machine"]["cores"] >= 1
    assert {"python", "torch", "mitsuba", "variant"} <= set(results["versions"])
    assert results["command"].split()[0] == "rendernoise"
    assert set(results["tool"]) == {"name", "version", "commit"}


class _Crashes(Noisy):
    def run(self, cell: Any) -> Any:
        yield Output(1, next(iter(super().run(cell))).radiance)
        if cell.spp == 4:
            raise ZeroDivisionError("as it does\nat 4 spp")


def test_a_method_that_crashes_is_a_line_and_is_tried_again_by_resume(
    bench_config: Config, bench: Bench, rows_of: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rendernoise.bench import run as module

    make = module.make_method
    broken = {"oidn": True}

    def method(name: str, *rest: Any) -> Any:
        return (_Crashes if broken["oidn"] else Noisy)("oidn") if name == "oidn" else make(name, *rest)

    monkeypatch.setattr(module, "make_method", method)
    events: list[dict[str, Any]] = []
    config = bench_config(methods="oidn,noisy", measure="1")
    results = bench(config, events.append)
    (failure,) = results["failures"]
    assert failure["error"] == "ZeroDivisionError: as it does at 4 spp"
    assert (failure["method"], failure["spp"], failure["seed"]) == ("oidn", 4, 0)
    assert [e["error"] for e in events if e["event"] == "failed"] == [failure["error"]]
    assert len(rows_of(results, method="noisy")) == 2 * len(METRICS)
    assert len(rows_of(results, method="oidn", spp=8)) == len(METRICS)

    broken["oidn"] = False
    again: list[dict[str, Any]] = []
    mended = bench(bench_config(methods="oidn,noisy", measure="1", resume=True), again.append)
    assert mended["failures"] == []
    assert [(e["method"], e["spp"]) for e in again if e["event"] == "scored"] == [("oidn", 4)]
    assert len(mended["rows"]) == 4 * len(METRICS)
    assert not (config.out / ".work").exists()
    done: list[dict[str, Any]] = []
    assert bench(bench_config(methods="oidn,noisy", measure="1", resume=True), done.append) == mended
    assert "complete already" in done[-1]["text"]
