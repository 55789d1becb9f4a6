"""The papers' figures: known, with their source, and found for what was measured."""

from __future__ import annotations

import math

from rendernoise.losses import LOSSES
from rendernoise.noise import NOISES
from rendernoise.suite.baselines import BASELINES
from rendernoise.suite.paper import figures_of, on_images, paper_figures, paper_psnr, paper_rows


def test_every_row_names_what_exists_and_where_it_comes_from() -> None:
    rows = paper_rows()
    assert len(rows) == len({(r.noise, r.target, r.loss, r.image_set) for r in rows})
    for row in rows:
        assert row.noise in NOISES
        assert row.target in ("noisy", "clean", "blind", "input", *BASELINES)
        assert row.loss is None or row.loss in LOSSES
        assert math.isfinite(row.psnr_db)
        assert row.source.startswith(("Noise2Noise (Lehtinen", "Noise2Void (Krull"))


def test_figures_are_found_under_the_folder_s_usual_name() -> None:
    assert paper_psnr("gaussian", "noisy", "kodak24", "l2") == 32.48
    assert paper_psnr("bernoulli", "noisy", "Kodak") == 33.17
    assert paper_psnr("gaussian", "blind", "bsd68") == 27.71
    assert paper_psnr("text", "noisy", "paper", "l2") == 26.89
    assert paper_psnr("impulse", "noisy", "paper", "l0") == 28.43


def test_nothing_is_made_up_for_what_the_papers_did_not_measure() -> None:
    assert paper_psnr("gaussian", "noisy", "kodak24 (grey)") is None
    assert paper_psnr("gaussian", "noisy", "set12") is None
    assert paper_psnr("brown_gaussian:bandwidth_px=2", "noisy", "kodak") is None
    assert paper_figures("gaussian", "noisy", "l1") == ()


def _row(experiment: str, target: str, masking: str | None = None) -> dict[str, str | None]:
    return {"experiment": experiment, "noise": "gaussian", "target": target, "loss": None, "masking": masking}


def test_each_paper_s_figures_belong_to_its_own_experiment() -> None:
    assert on_images(figures_of(_row("n2v", "blind", "n2v")), "bsd68") == 27.71
    assert on_images(figures_of(_row("n2v", "bm3d")), "bsd68") == 28.59
    assert on_images(figures_of(_row("n2v", "bm3d")), "kodak") is None
    assert on_images(figures_of(_row("gaussian", "bm3d")), "kodak") == 31.82
    assert on_images(figures_of(_row("gaussian", "noisy")), "bsd68") is None
    # Neither another masking nor a tenth of the data is what the paper measured.
    assert figures_of(_row("n2v", "blind", "n2v2")) == ()
    assert figures_of(_row("finite_data", "noisy")) == ()
