"""``rendernoise doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

from rendernoise.cli.report import Report
from rendernoise.config import DoctorConfig

CONFIG = DoctorConfig


def run(config: DoctorConfig, report: Report) -> int:
    """Print one line for each check; 0 when the main job can run here, else 1."""
    from rendernoise.doctor import Check, can_work, examine

    checks: list[Check] = []
    for check in examine():
        checks.append(check)
        report.line(str(check))
    works = can_work(checks)
    if config.json:
        print(json.dumps({"works": works, "checks": [asdict(check) for check in checks]}))
    if not works:
        lacking = ", ".join(check.name for check in checks if check.needed and not check.ok)
        cures = "; ".join(dict.fromkeys(check.cure for check in checks if check.needed and not check.ok))
        report.error(f"rendernoise cannot render and train here for lack of {lacking}. {cures}")
        return 1
    report.line("rendernoise online can run here")
    return 0
