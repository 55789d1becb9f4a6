"""``rendernoise suite reproduce``."""

from __future__ import annotations

from typing import Any

from rendernoise.cli.report import Report
from rendernoise.suite.reproduce_config import SuiteReproduceConfig

CONFIG = SuiteReproduceConfig


def run(config: SuiteReproduceConfig, report: Report) -> int:
    """Run the experiments, write the page, print the table."""
    from rendernoise.report.suite import write_suite_page
    from rendernoise.suite.reproduce import run_suite_reproduce
    from rendernoise.suite.table import check_text, facts, lines

    def show(event: dict[str, Any]) -> None:
        report.event(event)
        if event["event"] == "progress":
            report.progress(event["done"], event["total"], event["text"])

    results = run_suite_reproduce(config, show)
    page = config.out / "index.html"
    write_suite_page(page, results, config.out / "images")
    for text in facts(results):
        report.line(text)
    for line in lines(results):
        method, images, psnr, noisy, paper, difference, *_ = line.cells
        beside = (f"  noisy {noisy:<7}" if noisy else "") + (f"paper {paper} {difference}" if paper else "")
        report.line(f"{line.experiment:<15}{method:<28}{images:<28}{psnr:>16}{beside}".rstrip())
    for check in results["checks"]:
        report.line(check_text(check))
    report.line(f"{config.out / 'table.md'}, {config.out / 'results.json'}, {page} (open it in a browser)")
    return 0
