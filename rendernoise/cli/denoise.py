"""``rendernoise denoise``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rendernoise.cli.report import Report
from rendernoise.config import DenoiseConfig
from rendernoise.io.roles import describe

CONFIG = DenoiseConfig


def run(config: DenoiseConfig, report: Report) -> int:
    """Denoise the frames and show how it goes."""
    from rendernoise.denoising import run_denoise
    from rendernoise.sequence import failure_text

    view = _View(report)
    outcome = run_denoise(config, view.event)
    if config.list_roles or config.dry_run:
        return 0
    view.end(len(outcome.written), "their places" if config.in_place else str(config.out))
    if outcome.failed:
        report.error(failure_text(outcome))
        return 1
    return 0


class _View:
    """Turns events into lines and progress."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.errors: list[tuple[float, float]] = []

    def event(self, event: dict[str, Any]) -> None:
        self.report.event(event)
        kind = event["event"]
        if kind == "roles":
            self._roles(f"{event['path']}:", event)
            for beauty, facts in event["beauties"].items():
                self._roles(f"and its beauty {beauty}:", facts)
        elif kind == "planned":
            arrow = "->" if event["action"] == "write" else "is done:"
            self.report.line(f"{event['path']} {arrow} {event['out']}")
        elif kind == "read":
            self.report.progress(event["pair"], event["pairs"], f"reading frame {event['pair']}/{event['pairs']}")
        elif kind == "train":
            self.report.progress(event["done"], 1, f"training: step {event['step']}, loss {event['loss']:.4g}")
        elif kind == "failed":
            self.report.error(event["text"])
        elif kind == "frame":
            text = f"frame {event['frame']}, {event['frames_per_s']:.2g} frames/s, {event['left_s']:.0f} s left"
            error, noisy = event.get("estimated_relmse"), event.get("noisy_relmse")
            if error is not None and noisy is not None:
                self.errors.append((error, noisy))
                text += f", relMSE about {error:.3g} (noisy {noisy:.3g})"
            self.report.progress(event["done"], event["of"], text)

    def _roles(self, title: str, facts: Mapping[str, Any]) -> None:
        self.report.line(title)
        for line in describe(facts["roles"]):
            self.report.line(f"  {line}")
        if too := [*facts["layers"], *filter(None, [facts["alpha"]])]:
            self.report.line(f"denoised too: {', '.join(too)}")

    def end(self, written: int, out: str) -> None:
        """The last lines."""
        if self.errors:
            mean, noise = (sum(column) / len(self.errors) for column in zip(*self.errors, strict=True))
            self.report.line(f"estimated relMSE {mean:.4f}, noisy {noise:.4f}")
        self.report.line(f"{written} frame(s) written to {out}")
