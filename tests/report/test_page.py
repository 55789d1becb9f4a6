"""The page in headless Chromium: what is seen, not how it is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rendernoise.report.encoding import decode, encode
from rendernoise.report.page import write_page

Open = Callable[..., Any]
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60))))"


def settle(page: Any) -> None:
    page.evaluate(DRAWN)


def pixel(page: Any, x: float, y: float = 0.5) -> tuple[int, ...]:
    """The colour on the stage at a fraction of its width and height."""
    # Through a canvas of one pixel: reading the stage itself again and again makes Chromium complain.
    code = """([x, y]) => { const c = document.getElementById('canvas');
        const one = new OffscreenCanvas(1, 1).getContext('2d');
        one.drawImage(c, -Math.floor(x * c.width), -Math.floor(y * c.height));
        return [...one.getImageData(0, 0, 1, 1).data.slice(0, 3)] }"""
    return tuple(page.evaluate(code, [x, y]))


def grey(value: float) -> tuple[int, int, int]:
    """The sRGB colour of a linear grey as the page embeds it."""
    v = min(float(decode(encode(np.full((3, 8, 8), value, np.float32)))[0, 0, 0]), 1)
    level = round(255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055))
    return level, level, level


def choose(page: Any, label: str, value: str) -> None:
    page.get_by_label(label, exact=True).select_option(value)
    settle(page)


# 0.42 and 0.58: inside the image at whatever zoom fits, on either side of the slider in the middle.
LEFT, RIGHT = 0.42, 0.58


def test_the_slider_moves_pixels(open_page: Open, two_frames: Path) -> None:
    page = open_page(two_frames, "#ev=0")
    assert pixel(page, LEFT) == grey(0.1)
    assert pixel(page, RIGHT) == grey(0.4)
    box = page.locator("#stage").bounding_box()
    middle = box["y"] + box["height"] / 4
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=4)
    page.mouse.up()
    settle(page)
    assert pixel(page, RIGHT) == grey(0.1)
    page.locator("#handle").focus()
    page.keyboard.press("Home")
    settle(page)
    assert pixel(page, LEFT) == grey(0.4)


def test_exposure_and_tone_map_change_pixels_by_the_right_amount(open_page: Open, two_frames: Path) -> None:
    page = open_page(two_frames, "#ev=0")
    field = page.get_by_label("exposure in EV")
    for ev in (1, 2, -3, 8):
        field.fill(str(ev))
        field.press("Enter")
        settle(page)
        assert pixel(page, LEFT) == grey(0.1 * 2**ev)
    field.fill("1")
    field.press("Enter")
    choose(page, "tone map", "reinhard")
    v = decode(encode(np.full((3, 8, 8), 0.1, np.float32)))[0, 0, 0] * 2
    assert pixel(page, LEFT) == (round(255 * (v / (1 + v)) ** (1 / 2.2)),) * 3
    choose(page, "tone map", "filmic")
    assert pixel(page, LEFT) not in [grey(0.2), (round(255 * (v / (1 + v)) ** (1 / 2.2)),) * 3]
    page.get_by_role("button", name="auto").click()
    choose(page, "tone map", "srgb")
    # The reference, 0.5, comes to middle grey, 0.18.
    assert pixel(page, LEFT) == grey(0.1 * 2**-1.5)


def ramp(error: float) -> tuple[float, ...]:
    """The colour of a squared relative error, from the scale's corners alone."""
    corners = np.array(
        "68 1 84  71 44 122  59 81 139  44 113 142  33 144 141  39 173 129  92 200 99  170 220 50  253 231 37".split(),
        dtype=float,
    ).reshape(9, 3)
    at = min(max((math.log10(error) + 4) / 5, 0), 1)
    return tuple(float(np.interp(at, np.linspace(0, 1, 9), corners[:, c])) for c in range(3))


def test_error_maps_have_one_scale_and_a_legend(open_page: Open, two_frames: Path) -> None:
    page = open_page(two_frames)
    legend = page.locator("#errorlegend")
    assert not legend.is_visible()
    page.get_by_role("button", name="Error map").click()
    settle(page)
    assert legend.is_visible()
    assert [t.inner_text() for t in legend.locator(".ticks span").all()] == [
        "0.0001",
        "0.001",
        "0.01",
        "0.1",
        "1",
        "10",
    ]
    x, y, r = (float(decode(encode(np.full((3, 8, 8), v, np.float32)))[0, 0, 0]) for v in (0.1, 0.4, 0.5))
    for side, value in ((LEFT, x), (RIGHT, y)):
        expected = ramp((value - r) ** 2 / (r * r + 0.01))
        assert pixel(page, side) == pytest.approx(expected, abs=2)
    before = pixel(page, LEFT)
    page.get_by_label("exposure in EV").fill("5")
    page.get_by_label("exposure in EV").press("Enter")
    settle(page)
    assert pixel(page, LEFT) == before


def test_keys_do_what_the_overlay_says(open_page: Open, two_frames: Path) -> None:
    page = open_page(two_frames, "#ev=0")
    press = lambda keys: (page.keyboard.press(keys), settle(page))  # noqa: E731
    press(" ")
    assert (pixel(page, LEFT), pixel(page, RIGHT)) == (grey(0.4), grey(0.1))
    press("3")
    press("Shift+Digit2")
    assert (pixel(page, LEFT), pixel(page, RIGHT)) == (grey(0.5), grey(0.4))
    press("]")
    assert pixel(page, LEFT) == grey(0.5 * 2**0.5)
    press("[")
    frame = page.get_by_label("frame", exact=True)
    assert frame.input_value() == "1"
    press("ArrowRight")
    assert frame.input_value() == "2"
    press("ArrowRight")
    assert frame.input_value() == "1"
    press(".")
    assert page.get_by_label("spp", exact=True).input_value() == "16"
    press("e")
    assert page.locator("#errorlegend").is_visible()
    press("e")
    zoom = page.locator("#zoomvalue").inner_text()
    press("+")
    assert page.locator("#zoomvalue").inner_text() != zoom
    press("0")
    assert page.locator("#zoomvalue").inner_text() == zoom
    press("t")
    assert page.get_by_label("tone map").input_value() == "reinhard"
    press("?")
    assert page.get_by_role("dialog").is_visible()
    press("Escape")
    assert not page.get_by_role("dialog").is_visible()


def test_wheel_and_drag_keep_the_point_under_the_cursor(open_page: Open, tmp_path: Path, make: SimpleNamespace) -> None:
    # Red counts columns and green rows, so that a colour names its pixel.
    y, x = np.mgrid[0:24, 0:32].astype(np.float32)
    radiance = np.stack([(x + 0.5) / 64, (y + 0.5) / 64, np.full_like(x, 0.3)])
    rows = [make.row("noisy", 0.1)]
    write_page(tmp_path / "p.html", make.results(rows, ["noisy"]), [make.image("box", 1, 16, "noisy", radiance)])
    page = open_page(tmp_path / "p.html", "#ev=0")
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    at = (0.45, 0.4)
    before = pixel(page, *at)
    page.mouse.move(box["x"] + at[0] * box["width"], box["y"] + at[1] * box["height"])
    page.wait_for_timeout(350)
    for _ in range(6):
        page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    settle(page)
    assert page.locator("#zoomvalue").inner_text() == "32×"
    assert pixel(page, *at) == before
    page.mouse.down()
    page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.3 * box["height"], steps=3)
    page.mouse.up()
    settle(page)
    assert pixel(page, 0.55, 0.3) == before
    column, line = page.locator("#probe .where").inner_text().replace("x", "").split("y")
    values = [float(v) for v in page.locator('.probed[data-side="A"] .v').all_inner_texts()]
    assert values == pytest.approx(radiance[:, int(line), int(column)].tolist(), rel=0.01)


def test_a_link_restores_the_view(open_page: Open, two_frames: Path) -> None:
    page = open_page(two_frames)
    choose(page, "frame", "2")
    choose(page, "spp", "16")
    choose(page, "A", "reference")
    choose(page, "tone map", "filmic")
    page.keyboard.press("Tab")
    page.locator("#stage").focus()
    for key in ("]", "]", "+", "+"):
        page.keyboard.press(key)
    page.locator("#handle").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + 0.47 * box["width"], box["y"] + 0.45 * box["height"])
    settle(page)
    page.wait_for_timeout(400)
    link = page.evaluate("location.hash")
    again = open_page(two_frames, link)
    page.wait_for_timeout(400)
    assert again.evaluate("location.hash") == link
    whole = "() => document.getElementById('canvas').toDataURL()"
    assert again.evaluate(whole) == page.evaluate(whole)
    for label in ("frame", "spp", "A", "B", "tone map", "exposure in EV"):
        values = [p.get_by_label(label, exact=True).input_value() for p in (page, again)]
        assert values[0] == values[1]
    assert again.get_by_label("frame", exact=True).input_value() == "2"
    assert again.get_by_label("A", exact=True).input_value() == "reference"
    # In a page that is open already, the address alone changes the view.
    again.evaluate("location.hash = '#frame=1'")
    again.wait_for_timeout(100)
    assert again.get_by_label("frame", exact=True).input_value() == "1"


def test_no_image_number_and_negative_values_are_marked(open_page: Open, tmp_path: Path, make: SimpleNamespace) -> None:
    bad = make.flat(0.2)
    bad[1, :, :16] = np.nan
    bad[0, 0, 20] = np.inf
    bad[:, :, 24:] = -1
    bright = make.flat(0.2)
    bright[:, 12:] = 1e9
    images = [make.image("box", 1, 16, "noisy", bad), make.image("box", 1, 16, "other", bright)]
    rows = [make.row("noisy", 0.1, nonfinite_px=385), make.row("other", 0.2)]
    write_page(tmp_path / "p.html", make.results(rows, ["noisy", "other"]), images)
    page = open_page(tmp_path / "p.html", "#ev=0&split=1")
    assert pixel(page, LEFT) == (255, 0, 255)
    assert pixel(page, 0.52) == grey(0.2)
    assert pixel(page, 0.62) == (0, 0, 0)
    assert "385 NaN px" in page.locator("#tag-a").inner_text()
    assert "385 NaN px, scored as black" in page.locator('tr[data-method="noisy"]').inner_text()
    page.keyboard.press("2")
    settle(page)
    assert pixel(page, LEFT, 0.6) == (255, 255, 255)


def test_crops_stand_side_by_side_and_a_click_places_their_box(
    open_page: Open, tmp_path: Path, make: SimpleNamespace
) -> None:
    left = np.arange(32) < 16
    noisy, reference = (np.where(left, a, b) * make.flat(1) for a, b in ((0.1, 0.2), (0.3, 0.4)))
    images = [make.image("box", 1, 16, "noisy", noisy), make.image("box", 1, 0, "reference", reference)]
    write_page(tmp_path / "p.html", make.results([make.row("noisy", 0.125)], ["noisy"]), images)
    page = open_page(tmp_path / "p.html", "#ev=0&boxSize=16")

    def crop(method: str) -> tuple[int, ...]:
        code = """(canvas) => { const one = new OffscreenCanvas(1, 1).getContext('2d'); one.drawImage(canvas, 0, 0);
            return [...one.getImageData(0, 0, 1, 1).data.slice(0, 3)] }"""
        return tuple(page.locator(f'figure[data-method="{method}"] canvas').evaluate(code))

    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    for side, shades in ((0.65, (0.2, 0.4)), (0.35, (0.1, 0.3))):
        page.mouse.click(box["x"] + side * box["width"], box["y"] + 0.4 * box["height"])
        settle(page)
        assert (crop("noisy"), crop("reference")) == tuple(map(grey, shades))
    figures = page.locator('figure[data-method="noisy"] .figures').inner_text()
    # Of the frame, from the results; of the box, (0.1 - 0.3)² / (0.3² + 0.01).
    assert figures.startswith("0.125")
    assert float(figures.split("box ")[1]) == pytest.approx(0.4, rel=0.02)
    page.locator('figure[data-method="reference"] button').click()
    settle(page)
    assert page.get_by_label("A", exact=True).input_value() == "reference"


def test_two_fingers_zoom(browser: Any, two_frames: Path) -> None:
    context = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
    page = context.new_page()
    page.goto(two_frames.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    before = float(page.locator("#zoomvalue").inner_text().removesuffix("×"))
    session = context.new_cdp_session(page)
    y = box["y"] + box["height"] / 4
    # One finger stays, the other goes twice as far away; both are off the slider.
    for kind, reach in (("touchStart", 100), ("touchMove", 150), ("touchMove", 200), ("touchEnd", None)):
        points = [] if reach is None else [{"x": 100, "y": y, "id": 0}, {"x": 100 + reach, "y": y, "id": 1}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    settle(page)
    after = float(page.locator("#zoomvalue").inner_text().removesuffix("×"))
    context.close()
    assert after == pytest.approx(min(2 * before, 32), rel=0.05)


def test_pointing_at_a_curve_shows_its_figures(open_page: Open, two_frames: Path) -> None:
    page = open_page(two_frames)
    page.locator("#chart-spp").scroll_into_view_if_needed()
    dot = page.locator("#chart-spp .dot").first.bounding_box()
    page.mouse.move(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
    tip = page.locator("#chart-spp .tip").inner_text()
    assert tip.splitlines() == ["Noisy", "4 spp, 0.40 s per frame", "relMSE 0.160"]
