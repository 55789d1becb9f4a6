"""What the tests of the benchmark share: tiny shots of the analytic renderer, and EXR files of known noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.bench import methods
from rendernoise.bench.config import BenchConfig
from rendernoise.bench.run import run_bench
from rendernoise.cli import main
from rendernoise.frame import Plane
from rendernoise.io.exr import write_layers
from rendernoise.online import run_online
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.process import RendererProcess, RendererSpec

SIZE = (24, 16)


@pytest.fixture
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes ``online`` train a small network for one step a pair: what it learns is the business of other tests."""

    def few_steps(options: Any, *rest: Any) -> dict[str, Any]:
        return run_online(replace(options, steps=1, min_steps=0, network="fast", spins=1), *rest)

    monkeypatch.setattr(methods, "run_online", few_steps)


@pytest.fixture
def bench_config(tmp_path: Path, shot_files: Callable[..., tuple[Path, ...]]) -> Callable[..., BenchConfig]:
    """Options of a small benchmark of a rendered shot into ``tmp_path/out``; keywords change them."""

    def make(frames_in_shot: int = 3, **changes: Any) -> BenchConfig:
        defaults: dict[str, Any] = {
            "scenes": shot_files(frames_in_shot),
            "out": tmp_path / "out",
            "cache": tmp_path / "cache",
            "methods": "noisy",
            "spp": "4,8",
            "reference_spp": 128,
            "device": "cpu",
        }
        return BenchConfig(**{**defaults, **changes})

    return make


@pytest.fixture
def bench() -> Callable[..., dict[str, Any]]:
    """``bench(config, emit=…, start=…)``: the results, of which JSON in its strict form is asked."""

    def run(
        config: BenchConfig,
        emit: Callable[[dict[str, Any]], None] = lambda event: None,
        start: Callable[[], RendererProcess] | None = None,
    ) -> dict[str, Any]:
        analytic = (
            None if config.noisy else start or (lambda: RendererProcess(RendererSpec("analytic", {"resolution": SIZE})))
        )

        def strict(event: dict[str, Any]) -> None:
            json.dumps(event, allow_nan=False)
            emit(event)

        results = run_bench(config, strict, analytic)
        assert results == json.loads((config.out / "results.json").read_text(), parse_constant=pytest.fail)
        return results

    return run


@pytest.fixture
def write_exr() -> Callable[..., Path]:
    """``write_exr(path, radiance, spp=…, **layers)`` writes linear radiance ``[3, H, W]``."""

    def write(path: Path, radiance: Plane, spp: int = 0, **layers: Plane) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_layers(path, {"": radiance, **layers}, {"spp": spp} if spp else {})
        return path

    return write


@pytest.fixture
def exr_shot(tmp_path: Path, write_exr: Callable[..., Path]) -> Callable[..., BenchConfig]:
    """Writes ``noisy.####.exr`` of 16 spp and ``ref.####.exr`` of 1024 spp, and gives options that measure them."""

    def make(frames: tuple[int, ...] = (1, 2), size: tuple[int, int] = SIZE, **options: Any) -> BenchConfig:
        renderer = AnalyticRenderer(size)
        for n in frames:
            write_exr(tmp_path / f"noisy.{n:04d}.exr", renderer.render(View(n), spp=16, seed=n).radiance, 16)
            write_exr(tmp_path / f"ref.{n:04d}.exr", renderer.reference(View(n)), 1024)
        defaults: dict[str, Any] = {
            "noisy": str(tmp_path / "noisy.####.exr"),
            "reference": str(tmp_path / "ref.####.exr"),
            "out": tmp_path / "out",
            "methods": "noisy",
            "device": "cpu",
        }
        return BenchConfig(**{**defaults, **options})

    return make


@pytest.fixture
def rows_of() -> Callable[..., list[dict[str, Any]]]:
    """``rows_of(results, method=…, metric=…)``: the rows that agree."""

    def find(results: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
        return [row for row in results["rows"] if all(row[k] == v for k, v in wanted.items())]

    return find


@pytest.fixture
def random_image() -> Callable[..., Plane]:
    """``random_image(seed, size)``: positive radiance ``[3, H, W]``."""

    def make(seed: int = 0, size: tuple[int, int] = SIZE) -> Plane:
        return np.random.default_rng(seed).gamma(2.0, 0.5, (3, size[1], size[0])).astype(np.float32)

    return make


@pytest.fixture
def run() -> Callable[..., int]:
    """``run("--out", …)``: the exit code of ``rendernoise bench`` in this process."""

    def command(*arguments: object) -> int:
        with pytest.raises(SystemExit) as caught:
            main(["bench", *map(str, arguments)])
        return int(caught.value.code or 0)

    return command


@pytest.fixture
def options_of() -> Callable[[BenchConfig], list[str]]:
    """The command line of options for images."""

    def arguments(config: BenchConfig) -> list[str]:
        given = ["--noisy", config.noisy, "--reference", config.reference, "--out", config.out, "--device", "cpu"]
        for name in ("methods", "half", "reference_half"):
            if (chosen := getattr(config, name)) is not None:
                given += [f"--{name.replace('_', '-')}", chosen]
        return [str(v) for v in given] + [part for image in config.images for part in ("--images", image)]

    return arguments
