"""``rendernoise train``."""

from __future__ import annotations

from typing import Any

from rendernoise.cli.report import Report
from rendernoise.config import TrainConfig

CONFIG = TrainConfig


def run(config: TrainConfig, report: Report) -> int:
    """Run the job and show how it goes."""
    from rendernoise.offline import run_train

    def show(event: dict[str, Any]) -> None:
        report.event(event)
        if event["event"] == "read":
            report.progress(event["pair"], event["pairs"], f"reading pair {event['pair']}/{event['pairs']}")
        elif event["event"] == "train":
            report.progress(event["step"], event["steps"], f"step {event['step']}, loss {event['loss']:.4g}")

    summary = run_train(config, show)
    held_out = summary["held_out"]
    if held_out["estimated_relmse"] is not None:
        low, high = held_out["interval"]
        error, noisy = held_out["estimated_relmse"], held_out["noisy_relmse"]
        report.line(f"relMSE on held-out pixels {error:.4f} ({low:.4f} to {high:.4f}), noisy {noisy:.4f}")
    report.line(
        f"{summary['steps']} steps on {summary['pairs']} pair(s) in {summary['wall_s']:.0f} s: "
        f"{config.out / 'weights.safetensors'}"
    )
    return 0
