"""The summary table and the sentences above it, as headless Chromium shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rendernoise.report.page import write_page

Open = Callable[..., Any]


def best(page: Any) -> dict[str, str]:
    """Per metric, the method that is marked best."""
    code = """() => Object.fromEntries([...document.querySelectorAll('td.best')].map(
        (td) => [td.dataset.metric, td.parentElement.dataset.method]))"""
    return page.evaluate(code)


def text(page: Any, method: str) -> str:
    return " ".join(page.locator(f'tr[data-method="{method}"]').inner_text().split())


def test_each_kind_of_metric_ranks_its_own_way(open_page: Open, tmp_path: Path, make: SimpleNamespace) -> None:
    figures = {"relmse": (0.2, 0.1), "psnr": (20.0, 30.0), "bias": (0.01, -0.05)}
    rows = [make.row(m, v[i], metric=k) for k, v in figures.items() for i, m in enumerate(("noisy", "oidn"))]
    metrics = [
        {"name": n, "label": n, "better": b} for n, b in (("relmse", "lower"), ("psnr", "higher"), ("bias", "zero"))
    ]
    write_page(tmp_path / "p.html", make.results(rows, ["noisy", "oidn"], metrics=metrics), [])
    page = open_page(tmp_path / "p.html")
    assert best(page) == {"relmse": "oidn", "psnr": "oidn", "bias": "noisy"}
    # A mark, not a colour alone.
    assert page.locator("td.best .star").count() == 3
    page.get_by_role("button", name="psnr").click()
    assert page.locator("#table tbody tr").first.get_attribute("data-method") == "oidn"


def test_what_is_within_the_references_noise_is_not_ranked(
    open_page: Open, tmp_path: Path, make: SimpleNamespace
) -> None:
    rows = [
        make.row("noisy", 0.2),
        make.row("oidn", 0.002, within_reference_noise=True),
        make.row("online", 0.0015, within_reference_noise=True),
        make.row("noisy", 0.2, frame=2),
        make.row("oidn", 0.004, frame=2),
        make.row("online", 0.001, frame=2, within_reference_noise=True),
    ]
    write_page(tmp_path / "p.html", make.results(rows, ["noisy", "oidn", "online"]), [])
    page = open_page(tmp_path / "p.html")
    assert "≈ noise 0.00125" in text(page, "online").replace("0.0013", "0.00125")
    # One of its frames is above the noise: its mean is ranked, but nothing is best while an unranked one is below.
    assert "≈" not in text(page, "oidn")
    assert best(page) == {}


def test_means_and_spread_are_over_frames_scenes_and_seeds(
    open_page: Open, tmp_path: Path, make: SimpleNamespace
) -> None:
    rows = [
        make.row("noisy", value, scene=scene, frame=frame, seed=seed)
        for scene, frame, seed, value in (
            ("box", 1, 0, 1.0),
            ("box", 2, 0, 3.0),
            ("hall", 1, 0, 4.0),
            ("box", 1, 1, 2.0),
            ("box", 2, 1, 4.0),
            ("hall", 1, 1, 5.0),
        )
    ]
    content = make.results(rows, ["noisy"], seeds=[0, 1], scenes=["box", "hall"], frames={"box": [1, 2], "hall": [1]})
    write_page(tmp_path / "p.html", content, [])
    page = open_page(tmp_path / "p.html")
    # Seeds 0 and 1: ((1 + 3) / 2 + 4) / 2 = 3 and 4; their standard deviation is 0.707.
    assert "3.50 ± 0.71" in text(page, "noisy")
    page.get_by_label("scene", exact=True).first.select_option("hall")
    page.wait_for_timeout(100)
    assert "4.50 ± 0.71" in text(page, "noisy")


def test_failures_and_what_was_skipped_have_rows_and_gaps_are_not_ranked(
    open_page: Open, tmp_path: Path, make: SimpleNamespace
) -> None:
    rows = [make.row("noisy", 0.2), make.row("noisy", 0.3, frame=2), make.row("oidn", 0.1)]
    failure = {"scene": "box", "spp": 16, "seed": 0, "frame": 2, "method": "oidn", "error": "out of memory"}
    content = make.results(
        rows,
        ["noisy", "oidn", "mine"],
        failures=[failure, {**failure, "method": "mine", "frame": None, "error": "bad weights"}],
        skipped=[{"method": "mitsuba-optix", "reason": "no CUDA device answers"}],
    )
    write_page(tmp_path / "p.html", content, [])
    page = open_page(tmp_path / "p.html")
    assert "out of memory" in text(page, "oidn")
    assert "bad weights" in text(page, "mine")
    assert "no CUDA device answers" in text(page, "mitsuba-optix")
    # OIDN's mean lacks the harder frame, so the two are not compared.
    assert "◐" in text(page, "oidn")
    assert best(page) == {"relmse": "noisy"} or best(page) == {}
    assert "oidn" not in best(page).values()


def test_time_is_split_and_references_show_their_noise(open_page: Open, tmp_path: Path, make: SimpleNamespace) -> None:
    timing = {"scene": "box", "method": "noisy", "spp": 16, "seed": 0}
    timing |= {"render_s": 1.0, "train_s": 2.0, "denoise_s": 0.5, "wall_s": 3.5}
    write_page(tmp_path / "p.html", make.results([make.row("noisy", 0.2)], ["noisy"], timings=[timing]), [])
    page = open_page(tmp_path / "p.html")
    cell = page.locator('tr[data-method="noisy"] td.time')
    assert cell.inner_text().strip() == "3.5 s"
    assert cell.locator("div").get_attribute("title") == "rendering 1.0 s + training 2.0 s + denoising 0.50 s"
    widths = [b["width"] for b in (i.bounding_box() for i in cell.locator("i").all())]
    assert widths[1] > widths[0] > widths[2] > 0
    assert "3072 spp, own noise 0.00100" in page.locator("#references").inner_text()


def test_equal_quality_is_said_in_sentences(open_page: Open, tmp_path: Path, make: SimpleNamespace) -> None:
    entry = {"scene": "box", "metric": "relmse", "method": "online", "spp": 16}
    rows = [make.row(m, 0.2, spp=s) for m in ("noisy", "oidn", "online") for s in (4, 16, 256)]
    said = [
        {**entry, "baseline": "noisy", "needs_spp": 830.2, "how": "extrapolated"},
        {**entry, "baseline": "oidn", "needs_spp": None, "how": "not reached"},
        {**entry, "method": "oidn", "baseline": "noisy", "needs_spp": 101.0, "how": "interpolated"},
        {**entry, "spp": 256, "baseline": "noisy", "needs_spp": None, "how": "below"},
    ]
    write_page(tmp_path / "p.html", make.results(rows, ["noisy", "oidn", "online"], equal_quality=said), [])
    page = open_page(tmp_path / "p.html", "#spp=16")
    sentences = page.locator("#sentences").inner_text()
    assert "Online at 16 spp equals Noisy at about 830 spp (extrapolated); Oidn is not as good at 256 spp." in sentences
    assert "Oidn at 16 spp equals Noisy at about 101 spp." in sentences
    page.get_by_role("button", name="256 spp").click()
    page.wait_for_timeout(100)
    assert "Online at 256 spp: Noisy is as good at 4 spp or fewer." in page.locator("#sentences").inner_text()
