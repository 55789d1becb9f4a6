"""Kept renders: found again by what decides their pixels, and by nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.bench.config import BenchConfig
from rendernoise.bench.renders import RenderCache, cache_folder, reference_passes
from rendernoise.errors import InputError
from rendernoise.io.exr import read_frame
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.process import RendererProcess, RendererSpec
from rendernoise.render.shot import find_shot
from rendernoise.sources.live import LivePairs
from rendernoise.sources.store import PairStore

Config = Callable[..., BenchConfig]
Bench = Callable[..., dict[str, Any]]


class Renderings:
    """Opens one renderer for many caches and counts what is asked of it: a process for each would take seconds."""

    def __init__(self) -> None:
        self.renders: list[tuple[int, int, int]] = []
        self.renderer = AnalyticRenderer((8, 6))

    def __call__(self) -> Any:
        return self

    def map(self, requests: Any) -> Any:
        from rendernoise.render.process import Rendered

        for request in requests:
            self.renders.append((request.view.frame, request.spp, request.seed))
            yield Rendered(request, self.renderer.render(request.view, spp=request.spp, seed=request.seed), 0.25)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def renderings() -> Renderings:
    return Renderings()


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    folder = tmp_path / "scene"
    (folder / "meshes").mkdir(parents=True)
    (folder / "meshes/ball.ply").write_bytes(b"ply")
    (folder / "wood.png").write_bytes(b"png")
    (folder / "look.xml").write_text('<scene><string name="f" value="wood.png"/></scene>')
    (folder / "ball.0001.xml").write_text(
        '<scene version="3.0.0"><include filename="look.xml"/><shape type="ply">'
        '<string name="filename" value="meshes/ball.ply"/></shape></scene>'
    )
    return folder


def take(config: BenchConfig, renderings: Renderings, spp: int = 2, seed: int = 0, emit: Any = print) -> int:
    """Ask for a pair and a reference; returns how many renders that took."""
    before = len(renderings.renders)
    shot = find_shot(config.scenes, config.frame_list, config.camera)
    cache = RenderCache(config, shot, emit, renderings)
    for view in shot.views:
        pair = cache.pair(view, spp, seed)
        assert pair.render_s == 0.5
        assert read_frame(pair.a).spp == spp // 2
        assert read_frame(cache.reference(view, 16)).spp == 16
    cache.close()
    return len(renderings.renders) - before


def test_what_decides_pixels_decides_what_is_found(scene: Path, tmp_path: Path, renderings: Renderings) -> None:
    def options(**changes: Any) -> BenchConfig:
        return BenchConfig(
            **{"scenes": (scene / "ball.0001.xml",), "out": tmp_path / "o", "cache": tmp_path / "c", **changes}
        )

    config = options()
    both, pair = 4, 2
    assert take(config, renderings) == both
    assert take(config, renderings) == 0
    assert take(options(out=tmp_path / "elsewhere", methods="oidn", spp="256", seed=7), renderings) == 0
    assert take(config, renderings, seed=1) == pair
    assert take(config, renderings, spp=6) == pair
    assert take(options(resolution="9x7"), renderings) == both

    shutil.copytree(scene, tmp_path / "copy")
    assert take(options(scenes=(tmp_path / "copy" / "ball.0001.xml",)), renderings) == 0

    camera = tmp_path / "camera.json"
    keys = '{"keyframes": [{"frame": 1, "origin": [0, %s, 4], "target": [0, 0, 0], "up": [0, 1, 0]}]}'
    for height, renders in (("1", both), ("1", 0), ("2", both)):
        camera.write_text(keys % height)
        assert take(options(camera=camera), renderings) == renders
    assert take(config, renderings) == 0
    for name in ("meshes/ball.ply", "wood.png", "look.xml", "ball.0001.xml"):
        path = scene / name
        path.write_bytes(path.read_bytes() + b"\n")
        assert take(config, renderings) == both, name
        assert take(config, renderings) == 0


def test_pairs_are_those_that_online_renders(scene: Path, tmp_path: Path, renderings: Renderings) -> None:
    """In parts: the same streams, and the same mean to the bit."""
    config = BenchConfig(scenes=(scene / "ball.0001.xml",), out=tmp_path / "o", cache=tmp_path / "c")
    shot = find_shot(config.scenes, None, None)
    cache = RenderCache(config, shot, print, renderings)
    pair = cache.pair(shot.views[0], 16, 5)
    cache.close()
    asked = sorted(renderings.renders)
    store = PairStore(tmp_path / "pairs")
    live = LivePairs(lambda: renderings, shot.views, passes=1, spp=8, run_seed=5, store=store)  # pyright: ignore
    expected = next(iter(live))
    assert sorted(renderings.renders[len(asked) :]) == asked
    assert [spp for _, spp, _ in asked] == [4] * 4
    assert np.array_equal(read_frame(pair.a).radiance, expected.input.radiance)
    assert np.array_equal(read_frame(pair.b).radiance, expected.target)
    assert pair.render_s == 1.0, "four renders"


def test_a_second_benchmark_renders_nothing(bench_config: Config, bench: Bench, tmp_path: Path) -> None:
    first = bench(bench_config(2))

    def start() -> RendererProcess:
        pytest.fail("a renderer was started though every render was kept")

    second = bench(bench_config(2, out=tmp_path / "other"), start=start)
    assert second["rows"] == first["rows"]
    assert second["timings"] == first["timings"]


@pytest.mark.parametrize("harm", ["no record", "damaged record", "one half", "no half", "truncated"])
def test_an_entry_that_is_not_whole_is_rendered_again(
    scene: Path, tmp_path: Path, renderings: Renderings, harm: str
) -> None:
    config = BenchConfig(scenes=(scene / "ball.0001.xml",), out=tmp_path / "o", cache=tmp_path / "c")
    take(config, renderings)
    (entry,) = (tmp_path / "c").glob("*pairs*")
    before = read_frame(entry / "ball.a.0001.exr").radiance
    if harm == "no record":  # killed between the files and what is said of them
        (entry / "bench.json").unlink()
    elif harm == "damaged record":
        (entry / "bench.json").write_text('{"render_s"')
    elif harm == "truncated":
        data = (entry / "ball.b.0001.exr").read_bytes()
        (entry / "ball.b.0001.exr").write_bytes(data[: len(data) // 2])
    else:
        for half in "ab"[: 2 if harm == "no half" else 1]:
            (entry / f"ball.{half}.0001.exr").unlink()
    assert take(config, renderings) == 2
    assert np.array_equal(read_frame(entry / "ball.a.0001.exr").radiance, before)
    assert sorted(p.name for p in entry.iterdir()) == ["ball.a.0001.exr", "ball.b.0001.exr", "bench.json"]
    assert take(config, renderings) == 0


def test_interrupted_with_both_halves_rendered_and_no_file_yet(
    scene: Path, tmp_path: Path, renderings: Renderings
) -> None:
    config = BenchConfig(scenes=(scene / "ball.0001.xml",), out=tmp_path / "o", cache=tmp_path / "c")

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "pass" and event["done"] == event["total"]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(config, renderings, emit=interrupt)
    assert take(config, renderings) == 2  # the reference: of the pair nothing but the files was missing


def test_no_folder_is_left_where_nothing_was_kept(scene: Path, tmp_path: Path, renderings: Renderings) -> None:
    config = BenchConfig(scenes=(scene / "ball.0001.xml",), out=tmp_path / "o", cache=tmp_path / "a/b/c")
    shot = find_shot(config.scenes, None, None)
    RenderCache(config, shot, print, renderings).close()
    assert not (tmp_path / "a").exists()
    take(config, renderings)
    assert (tmp_path / "a/b/c").is_dir()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_cache_that_cannot_be_written(scene: Path, tmp_path: Path, renderings: Renderings, place: str) -> None:
    (tmp_path / "file").write_text("")
    config = BenchConfig(scenes=(scene / "ball.0001.xml",), out=tmp_path / "o", cache=tmp_path / place)
    with pytest.raises(InputError, match="--cache"):
        take(config, renderings)


def test_where_renders_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / "rendernoise/bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder(None) == tmp_path / ".cache/rendernoise/bench"
    assert cache_folder(tmp_path / "mine") == tmp_path / "mine"


@pytest.mark.parametrize("spp", [2, 3, 5, 64, 100, 129, 3072, 4096, 1 << 20])
def test_passes_of_a_reference(spp: int) -> None:
    each, passes = reference_passes(spp)
    assert passes % 2 == 0
    assert passes >= 2
    assert spp <= each * passes < spp + 2 * each


def test_a_renderer_that_dies_in_a_pair_is_started_again(bench_config: Config, tmp_path: Path) -> None:
    """The process is killed after the first frame; the second frame gets a new one."""
    import multiprocessing
    import os
    import signal

    config = replace(bench_config(2), methods="noisy")
    shot = find_shot(config.scenes, None, None)
    cache = RenderCache(
        config, shot, lambda e: None, lambda: RendererProcess(RendererSpec("analytic", {"resolution": (8, 6)}))
    )
    cache.pair(shot.views[0], 4, 0)
    for child in multiprocessing.active_children():
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(Exception, match="SIGKILL"):
        cache.pair(shot.views[1], 4, 0)
    assert cache.pair(shot.views[1], 4, 0).a.exists()
    cache.close()
