"""The table: means and spread over seeds, differences only where the images are the paper's, and the checks."""

from __future__ import annotations

from typing import Any

import pytest

from rendernoise.suite.table import COLUMNS, check_text, checks, facts, lines, markdown, spread


def row(label: str, target: str, seed: int, psnr_db: float, **changes: Any) -> dict[str, Any]:
    made = {
        "experiment": "gaussian",
        "label": label,
        "noise": "gaussian",
        "target": target,
        "masking": None,
        "loss": "l2",
        "image_set": "kodak24",
        "images": 24,
        "psnr_db": psnr_db,
        "noisy_psnr_db": 20.2,
        "paper_psnr_db": 32.5,
        "seed": seed,
        "steps": 100,
        "wall_s": 3.0,
    }
    return made | changes


def results(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    made = {
        "budget": "10m",
        "wall_s": 600.0,
        "seeds": [0, 1],
        "optimizer": "adam",
        "limits": {"crop_px": 64, "batch": 16},
        "test_size": {"images": 4, "side_px": 192},
        "material": ["kodak24, 24 images"],
        "machine": {"cpu": "a CPU", "cores": 2, "gpu": None},
        "versions": {"rendernoise": "1", "torch": "2"},
        "commit": "abc",
        "experiments": ["gaussian"],
        "left_out": [],
        "rows": rows,
    }
    made |= changes
    return made | {"checks": list(checks(made))}


TWO_SEEDS = [
    row("noisy targets", "noisy", 0, 30.0),
    row("noisy targets", "noisy", 1, 32.0),
    row("clean targets", "clean", 0, 30.5),
    row("clean targets", "clean", 1, 32.1),
]


def test_a_line_has_mean_spread_and_difference() -> None:
    first = dict(zip(COLUMNS, lines(results(TWO_SEEDS))[0].cells, strict=True))
    assert first["PSNR, dB"] == "31.00 ± 1.41"
    assert first["paper, dB"] == "32.50"
    assert first["difference"] == "-1.50"
    assert first["seeds"] == "2"
    assert first["steps"] == "100"
    assert spread([30.0]) == ""


def test_other_images_than_the_paper_s_have_no_difference() -> None:
    rows = [row("noisy targets", "noisy", 0, 30.0, image_set="set12", paper_psnr_db=None)]
    first = dict(zip(COLUMNS, lines(results(rows))[0].cells, strict=True))
    assert first["paper, dB"] == "32.48 (kodak)"
    assert first["difference"] == ""


def test_seeds_are_compared_pair_by_pair() -> None:
    (check,) = results(TWO_SEEDS)["checks"]
    assert check["difference_db"] == pytest.approx(-0.3)
    # The seeds are 2 dB apart, but their differences 0.4 dB.
    assert check["spread_db"] == pytest.approx(0.2828, abs=1e-3)
    assert not check["holds"]
    assert "-0.30 ± 0.28 dB" in check_text(check)
    assert "does not hold" in check_text(check)


def test_a_check_without_one_of_its_trainings_is_left_out() -> None:
    assert results(TWO_SEEDS[:2])["checks"] == []


def test_the_facts_say_what_the_figures_hold_for() -> None:
    text = " ".join(facts(results(TWO_SEEDS)))
    for part in (
        "Budget 10m",
        "2 seeds, Adam",
        "64 px",
        "at most 4 images",
        "kodak24",
        "a CPU, 2 cores",
        "1 abc",
        "torch 2",
    ):
        assert part in text


def test_what_was_left_out_stands_in_the_table_with_its_reason() -> None:
    left = [{"experiment": "gaussian", "label": "BM3D", "reason": "not installed (pip install it)"}]
    text = markdown(results(TWO_SEEDS, left_out=left))
    assert "| BM3D |  | not installed (pip install it) |" in text
    assert "## What must come out" in text


def test_a_baseline_says_what_must_be_known_of_it() -> None:
    rows = [*TWO_SEEDS, row("BM3D", "bm3d", 0, 31.0, steps=0, loss=None)]
    assert "non-commercial" in markdown(results(rows))
    assert "non-commercial" not in markdown(results(TWO_SEEDS))
