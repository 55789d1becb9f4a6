"""``rendernoise denoise``."""

from __future__ import annotations

from typing import Any

from rendernoise.cli.report import Report
from rendernoise.config import DenoiseConfig
from rendernoise.errors import InputError
from rendernoise.io.roles import describe

CONFIG = DenoiseConfig


def run(config: DenoiseConfig, report: Report) -> int:
    """Denoise the frames and show how it goes."""
    from rendernoise.denoiser import Denoiser, pick_device
    from rendernoise.job import starting_weights
    from rendernoise.sequence import denoise_sequence, failure_text, first_roles, known_frames, plan_frames

    if config.skip_existing and config.overwrite:
        raise InputError("--skip-existing and --overwrite exclude each other", "Give one of them")
    planned = plan_frames(config.inputs, config.out, frames=config.frame_list, half=config.half)
    view = _View(report)
    if config.list_roles:
        path, roles = first_roles(planned, roles=config.roles)
        view.event({"event": "roles", "path": str(path), "roles": {role: list(c) for role, c in roles.items()}})
        return 0
    loaded = starting_weights(config.weights, config.network)
    if loaded is None:
        raise InputError("--weights none cannot denoise", "Use base, or a file as train and online write it")
    outcome = denoise_sequence(
        Denoiser(loaded.model, loaded.provenance, pick_device(config.device), spins=config.spins),
        planned,
        roles=config.roles,
        # An interrupted run is told to come back with --resume; finished frames are whole, so it skips them.
        skip_existing=config.skip_existing or config.resume,
        overwrite=config.overwrite,
        keep_noisy=config.keep_noisy,
        window=config.window,
        known=known_frames(planned, config.inputs, config.half),
        emit=view.event,
    )
    view.end(len(outcome.written), str(config.out))
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
            self.report.line(f"{event['path']}:")
            for line in describe(event["roles"]):
                self.report.line(f"  {line}")
        elif kind == "failed":
            self.report.error(event["text"])
        elif kind == "frame":
            text = f"frame {event['frame']}"
            error, noisy = event.get("estimated_relmse"), event.get("noisy_relmse")
            if error is not None and noisy is not None:
                self.errors.append((error, noisy))
                text += f", relMSE about {error:.3g} (noisy {noisy:.3g})"
            self.report.progress(event["done"], event["of"], text)

    def end(self, written: int, out: str) -> None:
        """The last lines."""
        if self.errors:
            mean, noise = (sum(column) / len(self.errors) for column in zip(*self.errors, strict=True))
            self.report.line(f"estimated relMSE {mean:.4f}, noisy {noise:.4f}")
        self.report.line(f"{written} frame(s) written to {out}")
