"""The renderer's process: order, errors, death, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest

from rendernoise.errors import InputError, RendererDied, SceneError
from rendernoise.render import process as module
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.mitsuba import SceneOptions
from rendernoise.render.process import RendererProcess, RendererSpec, Request, start_mitsuba
from rendernoise.seeds import Stream

SIZE = (20, 12)
SPEC = RendererSpec("analytic", {"resolution": SIZE})
#: Renders for seconds: the process can be ended in the middle of a frame.
SLOW = RendererSpec("analytic", {"resolution": (1600, 1200)})


def requests(count: int) -> list[Request]:
    return [Request(View(n), 2, Stream(0, n, 0, "a").pack()) for n in range(1, count + 1)]


@pytest.fixture
def memories(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all shared memories that this process attaches to."""
    seen: set[str] = set()

    class Watched(SharedMemory):
        def __init__(self, name: str | None = None, create: bool = False, size: int = 0) -> None:
            super().__init__(name, create, size)
            seen.add(self.name)

    monkeypatch.setattr(module, "SharedMemory", Watched)
    return seen


def check_freed(names: set[str]) -> None:
    assert names
    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name=name)


def test_frames_come_back_in_order_and_to_the_bit(memories: set[str]) -> None:
    here = AnalyticRenderer(SIZE)
    with RendererProcess(SPEC, ahead=3) as renderer:
        wanted = requests(8)
        for request, done in zip(wanted, renderer.map(wanted), strict=True):
            expected = here.render(request.view, spp=2, seed=request.seed)
            assert done.request == request
            assert (done.frame.number, done.frame.spp, done.frame.seed) == (request.view.frame, 2, request.seed)
            assert set(done.frame.planes) == set(expected.planes)
            for name, plane in expected.planes.items():
                assert np.array_equal(done.frame.planes[name], plane)
            assert done.render_s > 0
    check_freed(memories)


def test_a_frame_stays_as_it_is_when_later_ones_reuse_its_memory() -> None:
    with RendererProcess(SPEC, ahead=1) as renderer:
        frames = [done.frame for done in renderer.map(requests(3))]
        again = renderer.render(View(1), spp=2, seed=requests(1)[0].seed)
        assert np.array_equal(frames[0].radiance, again.radiance)
        assert not np.array_equal(frames[1].radiance, again.radiance)


def test_it_renders_a_bounded_number_ahead() -> None:
    taken: list[int] = []

    def watched() -> object:
        for request in requests(10):
            taken.append(request.view.frame)
            yield request

    with RendererProcess(SPEC, ahead=2) as renderer:
        rendered = renderer.map(watched())  # pyright: ignore[reportArgumentType]
        for expected in (2, 3, 4):
            next(rendered)
            assert len(taken) == expected


def test_a_caller_that_stops_early_gets_no_stale_frame() -> None:
    with RendererProcess(SPEC) as renderer:
        abandoned = renderer.map(requests(6))
        next(abandoned)
        abandoned.close()
        frame = renderer.render(View(9), spp=2, seed=5)
    assert np.array_equal(frame.radiance, AnalyticRenderer(SIZE).render(View(9), spp=2, seed=5).radiance)


def test_an_error_is_raised_here_and_the_process_goes_on() -> None:
    wanted = [Request(View(1), 2, 1), Request(View(2), 0, 1), *requests(3)]
    with RendererProcess(SPEC) as renderer:
        rendered = renderer.map(wanted)
        next(rendered)
        with pytest.raises(InputError, match="0 samples per pixel"):
            next(rendered)
        frame = renderer.render(View(7), spp=2, seed=3)
        assert np.array_equal(frame.radiance, AnalyticRenderer(SIZE).render(View(7), spp=2, seed=3).radiance)


def test_a_renderer_that_cannot_be_made_says_why() -> None:
    with pytest.raises(InputError, match="0x4 px is empty"):
        RendererProcess(RendererSpec("analytic", {"resolution": (0, 4)}))
    with pytest.raises(InputError, match="no renderer 'pbrt'"):
        RendererProcess(RendererSpec("pbrt"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_a_death_in_the_middle_names_the_frame(number: signal.Signals, memories: set[str]) -> None:
    renderer = RendererProcess(SLOW, ahead=2)
    log = renderer._log
    try:
        rendered = renderer.map(requests(3))
        next(rendered)
        pid = renderer._process.pid
        assert pid
        os.kill(pid, number)
        with pytest.raises(RendererDied, match=rf"died on frame [23] \(signal {number.name}\)") as caught:
            list(rendered)
        assert caught.value.exit_code == 1
        assert "--resume" in str(caught.value)
        assert "\n" not in str(caught.value)
    finally:
        renderer.close()
    assert not log.exists()
    check_freed(memories)


def test_the_last_words_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = RendererProcess(SPEC)
    renderer._log.write_text("LLVM ERROR: cannot select\nstack dump 1\nstack dump 2\n")
    renderer._process.kill()
    with pytest.raises(RendererDied, match="SIGKILL\\): LLVM ERROR: cannot select"):
        renderer.render(View(1), spp=1, seed=0)
    renderer.close()


def test_a_bug_in_a_renderer_ends_with_its_message() -> None:
    with RendererProcess(SPEC) as renderer, pytest.raises(RendererDied, match=r"frame 1 .*TypeError"):
        renderer.render(View(1), spp="many", seed=0)  # pyright: ignore[reportArgumentType]


def test_closing_in_the_middle_of_a_frame_is_quick_and_frees_the_memory(memories: set[str]) -> None:
    renderer = RendererProcess(SLOW, ahead=3)
    rendered = renderer.map(requests(3))
    next(rendered)
    start = time.monotonic()
    renderer.close()
    renderer.close()
    assert time.monotonic() - start < 5
    check_freed(memories)


def test_nothing_is_said_at_exit_after_an_interruption(run_python: Callable[..., subprocess.CompletedProcess]) -> None:
    code = f"""
from rendernoise.render.process import *
renderer = RendererProcess({SLOW!r}, ahead=3)
rendered = renderer.map(Request(View(n), 2, n) for n in range(5))
next(rendered)
renderer.close()
"""
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_main_script_without_a_guard_is_not_run_again(
    tmp_path: Path, run_python: Callable[..., subprocess.CompletedProcess]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
print("once")
from rendernoise.render.process import *
with RendererProcess({SPEC!r}) as renderer:
    print(renderer.render(View(1), spp=1, seed=0).width)
""")
    done = run_python(
        f"import runpy, sys; sys.argv = [{str(script)!r}]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    assert done.stdout == "once\n20\n", done.stderr


def test_other_threads_may_wait_for_frames() -> None:
    found: list[int] = []
    with RendererProcess(SPEC) as renderer:
        thread = threading.Thread(target=lambda: found.extend(d.frame.number for d in renderer.map(requests(4))))
        thread.start()
        thread.join(60)
    assert found == [1, 2, 3, 4]


def test_mitsuba_in_a_process(tmp_path: Path, write_scene: Callable[..., Path]) -> None:
    good, bad = write_scene(tmp_path / "good.xml"), tmp_path / "bad.xml"
    bad.write_text('<scene version="3.0.0"><shape type="blob"/></scene>')
    said: list[str] = []
    process, variant = start_mitsuba("scalar_rgb", {"frames": (1, 2)}, said.append)
    with process:
        assert (variant, said) == ("scalar_rgb", [])
        assert isinstance(process.spec.arguments["options"], SceneOptions)
        with pytest.raises(SceneError, match=r"bad\.xml"):
            process.render(View(1, scene=bad), spp=1, seed=4)
        frame = process.render(View(1, scene=good), spp=1, seed=Stream(0, 1, 0, "a").pack())
        assert (frame.width, frame.height) == (24, 16)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(InputError, match="no variant 'gpu_rgb'"):
        start_mitsuba("gpu_rgb", {})
