"""``rendernoise suite list``."""

from __future__ import annotations

import json

from rendernoise.cli.report import Report
from rendernoise.suite.config import SuiteListConfig

CONFIG = SuiteListConfig


def run(config: SuiteListConfig, report: Report) -> int:
    """Print what there is."""
    from rendernoise.suite.listing import experiments, noises

    found = noises()
    if config.json:
        print(json.dumps({"noises": found, "experiments": experiments()}))
        return 0
    for noise in found:
        options = "".join(f", {name}={value}" for name, value in noise["options"].items())
        low, high = noise["trained"]
        report.line(f"{noise['name']}: {noise['about']}")
        report.line(f"  strength: {noise['strength']}, {low:g} to {high:g}, tested at {noise['tested']:g}{options}")
        report.line(f"  needs the {noise['needs']}, loss {noise['loss']}; {noise['source']}")
    report.line("experiments of suite reproduce:")
    for experiment in experiments():
        report.line(f"  {experiment['name']}: {experiment['about']} ({experiment['source']})")
    return 0
