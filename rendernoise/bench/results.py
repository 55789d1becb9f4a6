"""Results of several benchmarks as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rendernoise.errors import InputError

_LISTS = ("rows", "timings", "failures", "references", "equal_quality")
_DICTS = ("frames", "shot_frames", "flip_exposures")


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
