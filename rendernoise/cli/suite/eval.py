"""``rendernoise suite eval``."""

from __future__ import annotations

from typing import Any

from rendernoise.cli.report import Report
from rendernoise.suite.config import SuiteEvalConfig

CONFIG = SuiteEvalConfig


def run(config: SuiteEvalConfig, report: Report) -> int:
    """Measure, and print the figures."""
    from rendernoise.suite.evaluation import run_suite_eval

    def show(event: dict[str, Any]) -> None:
        report.event(event)
        if event["event"] == "progress":
            report.progress(event["done"], event["total"], event["text"])

    for row in run_suite_eval(config, show)["rows"]:
        ours, noisy, paper = (_db(row[key]) for key in ("psnr_db", "noisy_psnr_db", "paper_psnr_db"))
        known = f", paper {paper}" if row["paper_psnr_db"] is not None else ""
        text = f"{row['image_set']}, {row['images']} image(s), {row['noise']} at {row['strength']:g}"
        report.line(f"{text}: {ours} dB (noisy {noisy}{known})")
    report.line(f"{config.out / 'results.json'}, {config.out / 'manifest.json'}, {config.out / 'images'}")
    return 0


def _db(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.2f}"
