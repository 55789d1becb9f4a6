"""The tables of ``docs/benchmarks.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from measure_common import table

from rendernoise.io.sequence import format_frames

OIDN = ("oidn", "oidn-prefiltered")
HEADLINE_SPP = 16


def section(results: dict[str, Any], wall_s: float, *, full: bool) -> str:
    """One run as Markdown: what made it, the headline, then every scene."""
    machine, versions = results["machine"], results["versions"]
    what = "`make bench-full`: `online` at every sample count" if full else "`make bench`: `online` at 16 spp"
    made = (
        f"{what}. {results['created'][:10]}, commit {results['tool']['commit']}, {machine['cores']} cores of "
        f"{machine['cpu']}, {machine['gpu'] or 'no GPU'}, {wall_s / 60:.0f} min. torch {versions['torch']}, Mitsuba "
        f"{versions['mitsuba']} ({versions['variant']}), OIDN {versions.get('oidn', 'absent')}, "
        f"seed {results['seeds'][0]}."
    )
    counts = results["spp"] if full else [HEADLINE_SPP]
    parts = [made, *(part for spp in counts for part in _headline(results, spp))]
    return "\n\n".join(parts + [part for scene in results["scenes"] for part in _scene(results, scene)])


def _mean(results: dict[str, Any], scene: str, spp: int, method: str, metric: str) -> float | None:
    values = [
        row["value"]
        for row in results["rows"]
        if (row["scene"], row["spp"], row["method"], row["metric"]) == (scene, spp, method, metric)
        and row["value"] is not None
    ]
    return sum(values) / len(values) if values else None


def _within(results: dict[str, Any], scene: str, spp: int, method: str) -> bool:
    rows = [r for r in results["rows"] if (r["scene"], r["spp"], r["method"]) == (scene, spp, method)]
    return bool(rows) and all(row["within_reference_noise"] for row in rows)


def _headline(results: dict[str, Any], spp: int) -> Iterator[str]:
    """Trimmed relMSE of every scene at one sample count, against the better of OIDN's two modes."""
    rows: list[list[Any]] = []
    for scene in results["scenes"]:
        noisy, online = (_mean(results, scene, spp, m, "trimmed_relmse") for m in ("noisy", "online"))
        known = {m: v for m in OIDN if (v := _mean(results, scene, spp, m, "trimmed_relmse")) is not None}
        if noisy is None or online is None or not known:
            continue
        better = min(known, key=lambda m: known[m])
        near = _within(results, scene, spp, better) or _within(results, scene, spp, "online")
        verdict = "within the references' noise" if near else f"{online / known[better]:.2f}"
        rows.append([scene, _figure(noisy), f"{_figure(known[better])} ({better})", _figure(online), verdict])
    if rows:
        columns = ["scene", "plain rendering", "the better OIDN", "`online`", "`online` / OIDN"]
        yield f"### Trimmed relMSE at {spp} spp\n\n{table(columns, rows)}"


def _scene(results: dict[str, Any], scene: str) -> Iterator[str]:
    references = [r for r in results["references"] if r["scene"] == scene]
    noise = sum(r["noise"] or 0 for r in references) / len(references)
    facts = (
        f"### {scene}\n\nFrame {format_frames(results['frames'][scene])} of {results['shot_frames'][scene]}, "
        f"references of {references[0]['spp']} spp, whose own share of relMSE is {noise:.2g}."
    )
    metrics = [m for m in results["metrics"] if m["name"] not in ("bias",)]
    columns = ["spp", "method", *(m["label"] for m in metrics), "bias", "s per frame"]
    rows: list[list[Any]] = []
    for spp in results["spp"]:
        for method in (m["name"] for m in results["methods"]):
            timing = [t for t in results["timings"] if (t["scene"], t["spp"], t["method"]) == (scene, spp, method)]
            if not timing:
                continue
            near = "≈ " if _within(results, scene, spp, method) else ""
            values = [_mean(results, scene, spp, method, m["name"]) for m in metrics]
            bias = _mean(results, scene, spp, method, "bias")
            cells = [near + _figure(v) for v in values]
            rows.append(
                [spp, method, *cells, f"{bias:+.3f}" if bias is not None else "–", _figure(timing[0]["wall_s"])]
            )
    yield f"{facts}\n\n{table(columns, rows)}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
