"""``rendernoise bench``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rendernoise.bench.config import BenchConfig
from rendernoise.cli.report import Report
from rendernoise.io.sequence import format_frames

CONFIG = BenchConfig
#: Shown on the command line; the page has them all.
_SHOWN = ("trimmed_relmse", "smape", "flip", "temporal")


def run(config: BenchConfig, report: Report) -> int:
    """Measure, write the page, print the table; 1 when something failed."""
    from rendernoise.bench.run import run_bench
    from rendernoise.report.benchmark import page_images
    from rendernoise.report.page import write_page

    def show(event: dict[str, Any]) -> None:
        report.event(event)
        if event["event"] == "progress":
            report.progress(event["done"], event["total"], event["text"])

    results = run_bench(config, show)
    page = config.out / "index.html"
    for note in write_page(page, results, page_images(config.out, results)):
        report.line(note)
    for line in summary(results):
        report.line(line)
    report.line(f"{config.out / 'results.json'}, {page} (open it in a browser), {config.out / 'images'} (EXR)")
    for line in _failures(results["failures"]):
        report.error(line)
    return 1 if results["failures"] else 0


def summary(results: dict[str, Any]) -> Iterable[str]:
    """The table of means over frames and seeds, and what the samples are worth, as plain lines."""
    rows = results["rows"]
    metrics = [m for m in results["metrics"] if m["name"] in _SHOWN]
    for scene in results["scenes"]:
        references = [r for r in results["references"] if r["scene"] == scene]
        noise = [r["noise"] for r in references if r["noise"] is not None]
        known = f", their own share of relMSE {sum(noise) / len(noise):.2g}" if noise else ", noise unknown"
        frames = format_frames(results["frames"][scene])
        yield f"{scene}, frame {frames}, references of {references[0]['spp']} spp{known}"
        yield f"{'spp':>6}  {'method':<22}{'s/frame':>9}" + "".join(f"{m['label']:>16}" for m in metrics)
        for spp in results["spp"]:
            for method in (m["name"] for m in results["methods"]):
                mine = [r for r in rows if (r["scene"], r["spp"], r["method"]) == (scene, spp, method)]
                if mine:
                    yield _line(spp, method, mine, [m["name"] for m in metrics])
    yield from _worth(results["equal_quality"])


def _line(spp: int, method: str, rows: list[dict[str, Any]], metrics: list[str]) -> str:
    seconds = [r["wall_s"] for r in rows if r["wall_s"] is not None]
    text = f"{spp or '':>6}  {method:<22}{_short(seconds):>9}"
    for metric in metrics:
        cell = [r for r in rows if r["metric"] == metric]
        value = _short([r["value"] for r in cell if r["value"] is not None])
        near = all(r["within_reference_noise"] for r in cell) and bool(cell)
        text += f"{'~' + value + ' *' if near else value:>16}"
    bad = sum(r["nonfinite_px"] for r in rows if r["metric"] == rows[0]["metric"])
    return text + (f"  {bad} NaN or infinite px, scored as black" if bad else "")


def _failures(failures: list[dict[str, Any]]) -> Iterable[str]:
    """One line for each error of a method, with where it happened."""
    places: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for failure in failures:
        places.setdefault((failure["method"], failure["error"]), []).append(failure)
    for (method, error), where in places.items():
        counts = ", ".join(str(spp) for spp in sorted({w["spp"] for w in where} - {0}))
        frames = format_frames({w["frame"] for w in where} - {None})
        at, of = f" at {counts} spp" if counts else "", f", frame {frames}" if frames else ""
        yield f"{method}{at}{of} failed: {error}"


def _short(values: list[float]) -> str:
    return f"{sum(values) / len(values):.4g}" if values else "-"


def _worth(found: list[dict[str, Any]]) -> Iterable[str]:
    """What the samples of online are worth in those of others, by the trimmed relMSE."""
    for entry in found:
        if entry["metric"] != "trimmed_relmse" or entry["method"] != "online":
            continue
        needs = {
            "interpolated": f"needs {entry['needs_spp'] or 0:.0f} spp",
            "extrapolated": f"needs about {entry['needs_spp'] or 0:.0f} spp (extrapolated)",
            "not reached": "does not get there with the most samples measured",
            "below": "is there with the fewest samples measured",
        }[entry["how"]]
        yield f"{entry['scene']}: for the error of online at {entry['spp']} spp, {entry['baseline']} {needs}"
