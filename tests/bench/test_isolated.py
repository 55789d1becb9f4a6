"""Denoisers in processes of their own: what they give, and every way in which they can fail."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rendernoise.bench.isolated import ForeignSpec, denoise_apart, why_not
from rendernoise.errors import ImageError, RunError
from rendernoise.frame import Frame
from rendernoise.render.camera import Camera, View

_MODULE = """
import os, signal
from rendernoise.errors import ImageError, InputError

class Doubles:
    calls = 0
    def __init__(self, how="", after=0):
        self.how, self.after = how, after
        if how == "refuses to be made":
            raise InputError("not here", "Install it")
        if how == "dies as it is made":
            os.abort()
    def __call__(self, frame, view=None):
        Doubles.calls += 1
        if self.how == "sees":
            return frame.radiance * 0 + view.camera.fov_deg
        if self.how == "counts":
            return frame.radiance * 0 + Doubles.calls
        if frame.number > self.after:
            if self.how == "refuses":
                raise ImageError("a bad image")
            if self.how == "aborts":
                os.abort()
            if self.how == "leaves":
                raise SystemExit(3)
            if self.how == "is out of memory":
                raise MemoryError
        return 2 * frame.radiance
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ForeignSpec]]:
    (tmp_path / "doubling_denoiser.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda how="", **rest: ForeignSpec("doubling_denoiser:Doubles", {"how": how, **rest})
    assert multiprocessing.active_children() == []


def frames(count: int, width: int = 5) -> list[tuple[Frame, View | None]]:
    return [(Frame({"radiance": np.full((3, 4, width), n, np.float32)}, number=n), None) for n in range(1, count + 1)]


def test_frames_go_there_and_images_come_back(spec: Callable[..., ForeignSpec]) -> None:
    found = list(denoise_apart(spec(), iter(frames(3))))
    assert [float(radiance.mean()) for radiance, _ in found] == [2, 4, 6]
    assert all(radiance.shape == (3, 4, 5) and seconds >= 0 for radiance, seconds in found)


def test_each_size_is_warmed_once(spec: Callable[..., ForeignSpec]) -> None:
    shots = [*frames(2), *frames(2, width=7), *frames(1)]
    assert [float(r.mean()) for r, _ in denoise_apart(spec("counts"), shots)] == [2, 3, 5, 6, 7]


def test_what_a_frame_shows_travels_with_it(spec: Callable[..., ForeignSpec]) -> None:
    view = View(1, Camera(np.eye(4), 40.0))
    (frame, _), *_ = frames(1)
    ((radiance, _),) = denoise_apart(replace(spec("sees"), takes_view=True), [(frame, view)])
    assert float(radiance.mean()) == 40


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("refuses", ImageError, "a bad image"),
        ("aborts", RunError, r"Doubles's process died \(SIGABRT\)"),
        ("leaves", RunError, r"Doubles's process died \(exit code 3\)"),
        ("is out of memory", RunError, r"Doubles failed \(MemoryError"),
    ],
)
def test_failures(how: str, kind: type[Exception], says: str, spec: Callable[..., ForeignSpec]) -> None:
    images = denoise_apart(spec(how, after=1), frames(3))
    assert float(next(images)[0].mean()) == 2
    with pytest.raises(kind, match=says):
        next(images)


def test_whoever_stops_early_leaves_no_process(spec: Callable[..., ForeignSpec]) -> None:
    images = denoise_apart(spec(), frames(3))
    next(images)
    images.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert multiprocessing.active_children() == []


def test_why_not(spec: Callable[..., ForeignSpec]) -> None:
    assert why_not(spec()) is None
    assert why_not(spec("refuses to be made")) == "not here. Install it"
    assert "SIGABRT" in (why_not(spec("dies as it is made")) or "")
    assert "ModuleNotFoundError" in (why_not(ForeignSpec("no_such_module:Oidn", {})) or "")
    assert "AttributeError" in (why_not(ForeignSpec("doubling_denoiser:Halves", {})) or "")
