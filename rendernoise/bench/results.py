"""What ``results.json`` holds, of one benchmark and of several as one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from rendernoise._version import __version__
from rendernoise.bench.equal import equal_quality
from rendernoise.bench.inputs import ReferenceFrame
from rendernoise.bench.methods import Method, Seconds
from rendernoise.bench.subject import Subject
from rendernoise.errors import InputError
from rendernoise.machine import commit, machine, versions
from rendernoise.metrics import METRICS, TEMPORAL_METRICS
from rendernoise.metrics.flip import FlipExposures

SCHEMA = 1
_LISTS = ("rows", "timings", "failures", "references", "equal_quality", "estimates")
_DICTS = ("frames", "shot_frames", "flip_exposures")


def compose(
    subject: Subject,
    methods: Sequence[Method],
    references: Mapping[int, ReferenceFrame],
    exposures: FlipExposures | None,
    scores: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Where the figures come from, what they mean, and the figures; what went wrong is for the caller to add.

    Args:
        subject: What was measured.
        methods: Those that took part; one may be there several times.
        references: By frame.
        exposures: Those of FLIP.
        scores: One for each image, with its seconds.
        rows: One for each metric of each image.
    """
    described = {**METRICS, **TEMPORAL_METRICS}
    there = {row["metric"] for row in rows}
    name = subject.name
    return {
        "schema": SCHEMA,
        "tool": {"name": "rendernoise", "version": __version__, "commit": commit()},
        "command": shlex.join(["rendernoise", *sys.argv[1:]]),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {**versions(), "variant": subject.variant},
        "scenes": [name],
        "frames": {name: sorted(references)},
        "shot_frames": {name: len(subject.numbers)},
        "spp": subject.counts,
        "methods": list({m.name: {"name": m.name, "label": m.label, "about": m.about} for m in methods}.values()),
        "metrics": [
            {"name": n, "label": m.label, "better": m.better, "about": m.about}
            for n, m in described.items()
            if n in there
        ],
        "references": [{"scene": name, "frame": r.number, "spp": r.spp, "noise": r.noise} for r in references.values()],
        "flip_exposures": {name: asdict(exposures)} if exposures else {},
        "rows": list(rows),
        "timings": list(_timings(name, scores)),
        "equal_quality": equal_quality(rows),
        "estimates": list(_estimates(name, scores)),
    }


def _estimates(scene: str, scores: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """What methods took their error for without a reference, beside what it is."""
    for score in scores:
        if score["estimate"]:
            facts = {name: score[name] for name in ("frame", "method", "spp", "seed")}
            yield {"scene": scene, **facts, **score["estimate"], "relmse": score["values"].get("relmse")}


def _timings(scene: str, scores: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Seconds a frame, the mean over the measured frames of each method, sample count and seed."""
    cells: dict[tuple[str, int, int], list[Seconds]] = {}
    for score in scores:
        cells.setdefault((score["method"], score["spp"], score["seed"]), []).append(score["seconds"])
    for (method, spp, seed), many in cells.items():
        means: dict[str, float | None] = {}
        for part in ("render_s", "train_s", "denoise_s", "wall_s"):
            known = [value for s in many if (value := getattr(s, part)) is not None]
            means[part] = round(sum(known) / len(known), 4) if known else None
        yield {"scene": scene, "method": method, "spp": spp, "seed": seed, **means}


def merge(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What ``results.json`` would hold for all scenes together; machine and versions are those of the first.

    Args:
        results: One or more, each of scenes of its own.

    Raises:
        InputError: A scene is in two of them, or they were made by different versions, machines or seeds.
    """
    first, *others = results
    merged = {**first, "scenes": [scene for r in results for scene in r["scenes"]]}
    if len(set(merged["scenes"])) != len(merged["scenes"]):
        raise InputError("a scene is in two of the results", "Merge each scene once")
    for other in others:
        for name in ("schema", "tool", "machine", "seeds"):
            if other[name] != first[name]:
                raise InputError(f"the results differ in {name}", "Merge those of one run")
    for name in _LISTS:
        merged[name] = [row for r in results for row in r[name]]
    for name in _DICTS:
        merged[name] = {scene: value for r in results for scene, value in r[name].items()}
    merged["spp"] = sorted({spp for r in results for spp in r["spp"]})
    for name, key in (("methods", "name"), ("metrics", "name"), ("skipped", "method")):
        merged[name] = list({row[key]: row for r in results for row in r[name]}.values())
    merged["notes"] = list(dict.fromkeys(f"{r['scenes'][0]}: {note}" for r in results for note in r["notes"]))
    merged["created"] = max(r["created"] for r in results)
    return merged
