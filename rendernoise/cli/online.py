"""``rendernoise online``."""

from __future__ import annotations

from typing import Any

from rendernoise.cli.report import Report
from rendernoise.config import OnlineConfig

CONFIG = OnlineConfig


def run(config: OnlineConfig, report: Report) -> int:
    """Run the job and show how it goes."""
    from rendernoise.online import run_online

    view = _View(config, report)
    summary = run_online(config, view.event)
    if summary.get("estimated_relmse") is not None:
        low, high = summary["interval"]
        report.line(
            f"estimated relMSE {summary['estimated_relmse']:.3g} ({low:.2g} to {high:.2g} with 95 %), "
            f"noisy {summary['noisy_relmse']:.3g}"
        )
    report.line(
        f"{len(summary['frames'])} frame(s) at {summary['spp']} spp in {summary['wall_s']:.0f} s: "
        f"{config.out / 'denoised'} (EXR), {config.out / 'preview'} (PNG), {config.out / 'weights.safetensors'}"
    )
    for failure in summary["failed"]:
        report.error(f"frame {failure['frame']} failed: {failure['error']}")
    return 1 if summary["failed"] else 0


class _View:
    """Turns the job's events into progress."""

    def __init__(self, config: OnlineConfig, report: Report) -> None:
        self.config, self.report = config, report
        self.pairs = self.arrived = 0
        self.error = ""

    def event(self, event: dict[str, Any]) -> None:
        self.report.event(event)
        kind = event["event"]
        if kind == "pair":
            self.arrived, self.pairs = event["pair"], event["pairs"]
            error, noisy = event["estimated_relmse"], event["noisy_relmse"]
            if error is not None:
                self.error = f", relMSE about {error:.3g} (noisy {noisy:.3g})"
        if kind in ("pair", "train"):
            done, total = event["step"], event.get("steps") or 0
            if self.config.time:
                done, total = event["wall_s"], self.config.time
            elif not total:
                return
            text = f"pair {self.arrived}/{self.pairs}, step {event['step']}{self.error}"
            self.report.progress(done, total, text)
