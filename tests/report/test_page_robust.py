"""The page where something is missing, hostile or unusual, in headless Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rendernoise.report.page import write_page

Open = Callable[..., Any]
HOSTILE = "</script><b>bold</b><img src=x onerror=alert(1)>{{images}}\u2028'\""


def settle(page: Any) -> None:
    page.wait_for_timeout(120)


def test_a_link_to_what_is_not_there_is_no_error(open_page: Open, two_frames: Path) -> None:
    page = open_page(
        two_frames, "#scene=none&frame=77&spp=x&a=__proto__&b=&zoom=1e99&ev=-999&tone=constructor&boxSize=3&y=q"
    )
    assert page.get_by_label("frame", exact=True).input_value() == "1"
    assert page.get_by_label("tone map").input_value() == "srgb"


@pytest.mark.parametrize("size", [(1440, 900), (1024, 768)])
def test_the_page_does_not_scroll_sideways(open_page: Open, two_frames: Path, size: tuple[int, int]) -> None:
    page = open_page(two_frames, "", size)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_single_spp_is_a_readable_chart_without_overlapping_names(
    open_page: Open, tmp_path: Path, make: SimpleNamespace
) -> None:
    names = [f"method {n}" for n in range(8)]
    rows = [make.row(name, 0.1) for name in names]
    write_page(tmp_path / "p.html", make.results(rows, names), [])
    page = open_page(tmp_path / "p.html")
    for chart in ("#chart-spp", "#chart-time"):
        assert page.locator(f"{chart} .dot").count() == 16  # a point and a name's marker each
        tops = sorted(b["y"] for b in (t.bounding_box() for t in page.locator(f"{chart} .linelabel").all()))
        assert len(tops) == 8
        assert min(np.diff(tops)) >= 14
        styles = {(d.get_attribute("stroke"), d.get_attribute("d")) for d in page.locator(f"{chart} .dot").all()}
        assert len({s for s, _ in styles}) == len({d for _, d in styles}) == 8


def test_hostile_names_stay_text(open_page: Open, tmp_path: Path, make: SimpleNamespace) -> None:
    rows = [
        make.row(HOSTILE, 0.1, scene=HOSTILE, metric=HOSTILE, nonfinite_px=3),
        make.row("__proto__", 0.2, scene=HOSTILE),
    ]
    content = make.results(
        rows,
        [HOSTILE, "__proto__"],
        scenes=[HOSTILE],
        frames={HOSTILE: [1]},
        command=HOSTILE,
        machine={"cpu": HOSTILE},
        notes=[HOSTILE, "\udcff"],
        failures=[{"scene": HOSTILE, "method": HOSTILE, "spp": 16, "seed": 0, "frame": None, "error": HOSTILE}],
        skipped=[{"method": HOSTILE + "2", "reason": HOSTILE}],
        metrics=[{"name": HOSTILE, "label": HOSTILE, "better": "lower", "about": HOSTILE}],
        references=[{"scene": HOSTILE, "frame": 1, "spp": 9, "noise": float("nan")}],
        equal_quality=[
            {"scene": HOSTILE, "metric": HOSTILE, "method": HOSTILE, "spp": 16, "baseline": "__proto__"}
            | {"needs_spp": None, "how": "not reached"}
        ],
    )
    content["methods"][0]["label"] = HOSTILE
    images = [make.image(HOSTILE, 1, 16, m, make.flat(0.2)) for m in (HOSTILE, "__proto__", "reference")]
    write_page(tmp_path / "p.html", content, images)
    page = open_page(tmp_path / "p.html")
    assert page.locator("img, script:not([type]) ~ b").count() == 0
    assert page.locator("b", has_text="bold").filter(has_not_text="<").count() == 0
    assert HOSTILE in page.evaluate("document.querySelector('#table tbody th').textContent")
    assert HOSTILE in page.evaluate("document.querySelector('#head code').textContent")
    assert page.locator("#crops figure").count() == 3


EMPTY = {"rows": [], "methods": [], "metrics": [], "scenes": [], "spp": [], "frames": {}, "references": []}


@pytest.mark.parametrize(
    ("changes", "images"),
    [
        (EMPTY, []),
        ({}, []),
        ({}, ["noisy"]),
        ({}, ["reference"]),
        ({}, ["noisy", "reference"]),
        ({"tool": {}, "machine": {}, "created": None, "command": None, "seeds": [], "references": None}, ["noisy"]),
    ],
)
def test_whatever_is_missing_the_rest_is_shown(
    open_page: Open, tmp_path: Path, make: SimpleNamespace, changes: dict[str, Any], images: list[str]
) -> None:
    # As from other renderers' images: samples and times unknown, one figure missing.
    rows = [make.row("noisy", 0.1, spp=0, wall_s=None), make.row("noisy", None, spp=0, wall_s=None, metric="flip")]
    content = {**make.results(rows, ["noisy"]), **changes}
    write_page(tmp_path / "p.html", content, [make.image("box", 1, 0, m, make.flat(0.3)) for m in images])
    page = open_page(tmp_path / "p.html")
    for key in ("e", " ", "ArrowRight", ".", "1", "2", "]", "+", "c", "m", "0"):
        page.keyboard.press(key)
    settle(page)
    if content["rows"]:
        assert "0.100" in page.locator("#table").inner_text()
    else:
        assert page.locator("#summary").is_visible()


def test_images_that_were_left_out_are_offered_where_they_are(
    open_page: Open, tmp_path: Path, make: SimpleNamespace
) -> None:
    rows = [make.row("noisy", 0.1, spp=s, frame=f) for s in (4, 16) for f in (1, 2)]
    images = [make.image("box", 1, 16, "noisy", make.flat(0.3)), make.image("box", 1, 0, "reference", make.flat(0.3))]
    write_page(tmp_path / "p.html", make.results(rows, ["noisy"]), images)
    page = open_page(tmp_path / "p.html", "#spp=4&frame=2&a=noisy&b=reference")
    message = page.locator("#message")
    assert "no image of frame 2 at 4 spp" in message.inner_text()
    page.get_by_label("frame", exact=True).select_option("1")
    settle(page)
    message.get_by_role("button", name="frame 1 at 16 spp").click()
    settle(page)
    assert not message.is_visible()
    assert page.get_by_label("spp", exact=True).input_value() == "16"
