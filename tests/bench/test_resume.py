"""Interrupted anywhere and resumed, a benchmark has the rows of an undisturbed one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rendernoise.bench.config import BenchConfig
from rendernoise.errors import RunError
from rendernoise.frame import Plane

Config = Callable[..., BenchConfig]
Bench = Callable[..., dict[str, Any]]


def but_for_seconds(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in results["rows"]]


def at(place: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an event is the one to be interrupted at."""
    return {
        "a reference": lambda e: e["event"] == "progress" and "reference of frame 2" in e["text"],
        "a cell's start": lambda e: e["event"] == "progress" and e["text"] == "online at 4 spp",
        "a score": lambda e: e["event"] == "scored" and e["method"] == "noisy" and e["spp"] == 8,
        "the training": lambda e: e["event"] == "progress" and 1 < e["done"] < 2,
        "the end": lambda e: e["event"] == "progress" and e["text"] == "online at 8 spp" and e["done"] == 4,
    }[place]


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    return {}


@pytest.mark.usefixtures("short_training")
@pytest.mark.parametrize("place", ["a reference", "a cell's start", "a score", "the training", "the end"])
def test_rows_do_not_depend_on_interruptions(
    bench_config: Config, bench: Bench, place: str, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    options = {"methods": "noisy,online", "measure": "1-2", "name": "balls"}
    if not undisturbed:
        undisturbed.update(bench(bench_config(out=tmp_path / "whole", cache=tmp_path / "c2", **options)))
    hits: list[dict[str, Any]] = []
    where = at(place)

    def interrupt(event: dict[str, Any]) -> None:
        if where(event):
            hits.append(event)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(bench_config(**options), interrupt)
    assert len(hits) == 1
    with pytest.raises(RunError, match="--resume"):
        bench(bench_config(**options))
    scored: list[dict[str, Any]] = []
    results = bench(
        bench_config(resume=True, **options), lambda e: scored.append(e) if e["event"] == "scored" else None
    )
    assert but_for_seconds(results) == but_for_seconds(undisturbed)
    again = {(e["method"], e["spp"]) for e in scored}
    everything = {(m, s) for m in ("noisy", "online") for s in (4, 8)}
    done = {"a score": {("noisy", 4), ("online", 4)}, "the end": everything, "the training": {("noisy", 4)}}
    assert again == everything - done.get(place, {("noisy", 4)} if place == "a cell's start" else set())
    assert not (tmp_path / "out" / ".work").exists()


def test_a_killed_render_goes_on(bench_config: Config, bench: Bench, tmp_path: Path, monkeypatch: Any) -> None:
    """Interrupted between the halves of a pair, which tell nothing of their progress."""
    from rendernoise.bench import renders

    render_shot, calls = renders.render_shot, []

    def interrupted(config: Any, emit: Any, start: Any) -> Any:
        calls.append(config)

        def stop(event: dict[str, Any]) -> None:
            if config.pairs and len(calls) == 4 and event["event"] == "pass":
                raise KeyboardInterrupt
            emit(event)

        return render_shot(config, stop, start)

    monkeypatch.setattr(renders, "render_shot", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench(bench_config(2))
    results = bench(bench_config(2, resume=True))
    whole = bench(bench_config(2, out=tmp_path / "whole", cache=tmp_path / "c2"))
    assert but_for_seconds(results) == but_for_seconds(whole)


def test_other_options_do_not_continue(bench_config: Config, bench: Bench) -> None:
    first = bench(bench_config(1, spp="4", reference_spp=16))
    with pytest.raises(RunError, match="spp"):
        bench(bench_config(1, spp="8", reference_spp=16, resume=True))
    with pytest.raises(RunError, match="--overwrite"):
        bench(bench_config(1, spp="8", reference_spp=16))
    second = bench(bench_config(1, spp="8", reference_spp=16, overwrite=True))
    assert (first["spp"], second["spp"]) == ([4], [8])
    assert not list((bench_config(1).out / "images").glob("4spp*"))


@pytest.mark.parametrize("changed", ["the noisy frames", "the references"])
def test_what_was_measured_on_other_images_is_measured_again(
    exr_shot: Config, bench: Bench, write_exr: Callable[..., Path], random_image: Callable[..., Plane], changed: str
) -> None:
    """Files may be written anew between an interruption and its continuation."""
    options = {"methods": "noisy,base", "name": "balls"}

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "scored" and event["method"] == "base":
            raise KeyboardInterrupt

    config = exr_shot(**options)
    with pytest.raises(KeyboardInterrupt):
        bench(config, interrupt)
    assert config.noisy is not None
    assert config.reference is not None
    pattern = config.noisy if changed == "the noisy frames" else config.reference
    write_exr(Path(pattern.replace("####", "0002")), random_image(7), 16)
    scored: list[str] = []
    resumed = replace(config, resume=True)
    results = bench(resumed, lambda e: scored.append(e["method"]) if e["event"] == "scored" else None)
    assert scored == ["noisy", "base"]
    fresh = bench(replace(config, out=config.out.parent / "fresh"))
    assert but_for_seconds(results) == but_for_seconds(fresh)
