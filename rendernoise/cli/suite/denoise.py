"""``rendernoise suite denoise``."""

from __future__ import annotations

from typing import Any

from rendernoise.cli.report import Report
from rendernoise.suite.config import SuiteDenoiseConfig

CONFIG = SuiteDenoiseConfig


def run(config: SuiteDenoiseConfig, report: Report) -> int:
    """Denoise; 1 when some images failed."""
    from rendernoise.suite.denoising import run_suite_denoise

    def show(event: dict[str, Any]) -> None:
        report.event(event)
        if event["event"] == "progress":
            report.progress(event["done"], event["total"], event["text"])

    result = run_suite_denoise(config, show)
    report.line(f"{result['written']} image(s) denoised: {config.out}")
    for failure in result["failed"]:
        report.error(failure["error"])
    return 1 if result["failed"] else 0
