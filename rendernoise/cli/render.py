"""``rendernoise render``."""

from __future__ import annotations

from typing import Any

from rendernoise.cli.report import Report
from rendernoise.config import RenderConfig

CONFIG = RenderConfig


def run(config: RenderConfig, report: Report) -> int:
    """Render the shot and show how it goes; 1 when some frames failed."""
    from rendernoise.io.sequence import format_frames
    from rendernoise.reference import render_shot

    def show(event: dict[str, Any]) -> None:
        report.event(event)
        if event["event"] == "pass":
            text = f"frame {event['frame']}, pass {event['pass'] + 1}/{config.passes}"
            report.progress(event["done"], event["total"], text)

    summary = render_shot(config, show)
    kind = "reference(s)" if config.reference else "pair(s)"
    there = f", {summary['present']} were there" if summary["present"] else ""
    done = f"{len(summary['frames'])} {kind} of {summary['spp']} spp in {summary['wall_s']:.0f} s"
    report.line(f"{done}{there}: {config.out} (EXR)")
    failures: dict[str, list[int]] = {}
    for failure in summary["failed"]:
        failures.setdefault(failure["error"], []).append(failure["frame"])
    for error, frames in failures.items():
        report.error(f"frame {format_frames(frames)} failed: {error}")
    return 1 if failures else 0
