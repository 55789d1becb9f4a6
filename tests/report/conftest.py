"""A small page with known figures and images, and one headless Chromium for all tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rendernoise.frame import Plane
from rendernoise.report.page import PageImage, write_page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
HEIGHT, WIDTH = 24, 32


def flat(value: float) -> Plane:
    """A grey image, ``[3, 24, 32]``."""
    return np.full((3, HEIGHT, WIDTH), value, np.float32)


def image(scene: str, frame: int, spp: int, method: str, radiance: Plane) -> PageImage:
    return PageImage(scene, frame, spp, method, lambda: radiance)


def row(method: str, value: float | None, **changes: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "scene": "box",
        "frame": 1,
        "method": method,
        "spp": 16,
        "metric": "relmse",
        "value": value,
        "seed": 0,
        "wall_s": 1.5,
        "nonfinite_px": 0,
        "within_reference_noise": False,
    }
    return {**defaults, **changes}


def results(rows: Sequence[dict[str, Any]], methods: Sequence[str], **changes: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "schema": 1,
        "tool": {"name": "rendernoise", "version": "0.1.0", "commit": None},
        "command": "rendernoise bench box.xml",
        "created": "2026-11-20T21:00:00+00:00",
        "machine": {"cpu": "some cpu", "cores": 2, "memory_gib": 24, "gpu": None, "os": "Linux"},
        "versions": {"python": "3.11.7"},
        "seeds": [0],
        "scenes": ["box"],
        "frames": {"box": sorted({r["frame"] for r in rows}) or [1]},
        "spp": sorted({r["spp"] for r in rows}),
        "methods": [{"name": m, "label": m.title(), "about": f"what {m} is"} for m in methods],
        "metrics": [{"name": "relmse", "label": "relMSE", "better": "lower", "about": "an error"}],
        "references": [{"scene": "box", "frame": 1, "spp": 3072, "noise": 0.001}],
        "rows": list(rows),
        "timings": [],
        "failures": [],
        "skipped": [],
        "equal_quality": [],
        "notes": [],
    }
    return {**defaults, **changes}


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """``make.flat``, ``make.image``, ``make.row`` and ``make.results``: parts of a benchmark's output."""
    return SimpleNamespace(flat=flat, image=image, row=row, results=results)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file and waits until it is drawn; nothing may be complained about, and nothing asked from a network."""
    pages: list[Any] = []
    complaints: list[str] = []
    requests: list[str] = []

    def open_(path: Path, fragment: str = "", size: tuple[int, int] = (1440, 900)) -> Any:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        pages.append(page)
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("dialog", lambda d: (complaints.append(f"dialog {d.message}"), d.dismiss()))
        page.on("request", lambda r: requests.append(r.url))
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector("html[data-drawn]", state="attached", timeout=20_000)
        return page

    yield open_
    for page in pages:
        page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def two_frames(tmp_path: Path) -> Path:
    """Frames 1 and 2 at 4 and 16 spp: ``noisy`` 0.1, ``online`` 0.4, the reference 0.5; flat, so colours are known."""
    values = {"noisy": 0.1, "online": 0.4}
    rows = [
        row(m, (v - 0.5) ** 2, frame=f, spp=s, wall_s=s / 10)
        for m, v in values.items()
        for f in (1, 2)
        for s in (4, 16)
    ]
    images = [image("box", f, s, m, flat(v)) for m, v in values.items() for f in (1, 2) for s in (4, 16)]
    images += [image("box", f, 0, "reference", flat(0.5)) for f in (1, 2)]
    path = tmp_path / "index.html"
    assert write_page(path, results(rows, list(values)), images) == []
    return path
