"""``rendernoise suite train``."""

from __future__ import annotations

from typing import Any

from rendernoise.cli.report import Report
from rendernoise.suite.config import SuiteTrainConfig

CONFIG = SuiteTrainConfig


def run(config: SuiteTrainConfig, report: Report) -> int:
    """Run the job and show how it goes."""
    from rendernoise.suite.training import run_suite_train

    def show(event: dict[str, Any]) -> None:
        report.event(event)
        if event["event"] == "train":
            report.progress(event["step"], event["steps"], f"step {event['step']}, loss {event['loss']:.4g}")

    summary = run_suite_train(config, show)
    text = f"{summary['steps']} steps on {summary['images']} image(s) in {summary['wall_s']:.0f} s"
    report.line(f"{text}: {config.out / 'weights.safetensors'}")
    return 0
