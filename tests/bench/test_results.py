"""Merged results, where they were made, and the table on the command line."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rendernoise import machine as module
from rendernoise.bench.results import merge
from rendernoise.cli.bench import summary
from rendernoise.errors import InputError
from rendernoise.machine import commit, machine, versions


def row(**changes: Any) -> dict[str, Any]:
    default = {
        "scene": "room",
        "frame": 1,
        "method": "noisy",
        "spp": 4,
        "metric": "trimmed_relmse",
        "value": 0.5,
        "seed": 0,
        "wall_s": 1.5,
        "nonfinite_px": 0,
        "within_reference_noise": False,
    }
    return {**default, **changes}


def results(scene: str = "room", **changes: Any) -> dict[str, Any]:
    default: dict[str, Any] = {
        "schema": 1,
        "tool": {"name": "rendernoise", "version": "1", "commit": "a"},
        "command": "rendernoise bench",
        "created": "2026-01-01T00:00:00+00:00",
        "machine": {"cpu": "x"},
        "versions": {},
        "seeds": [0],
        "scenes": [scene],
        "frames": {scene: [1]},
        "shot_frames": {scene: 1},
        "spp": [4],
        "methods": [{"name": "noisy", "label": "plain"}],
        "metrics": [{"name": "trimmed_relmse", "label": "trimmed relMSE"}],
        "references": [{"scene": scene, "frame": 1, "spp": 64, "noise": None}],
        "flip_exposures": {scene: {"start": 0}},
        "rows": [row(scene=scene)],
        "timings": [],
        "failures": [],
        "skipped": [],
        "equal_quality": [],
        "estimates": [],
        "notes": ["said"],
    }
    return {**default, **changes}


# -- merging ----------------------------------------------------------------------------------------------------------


def test_one_alone_keeps_everything_but_names_its_notes() -> None:
    only = results()
    before = copy.deepcopy(only)
    assert merge([only]) == {**before, "notes": ["room: said"]}
    assert only == before


def test_scenes_join() -> None:
    skipped = [{"method": "base", "reason": "r"}]
    first = results(skipped=skipped)
    second = results(
        "fog",
        spp=[4, 16],
        created="2026-01-02T00:00:00+00:00",
        methods=[{"name": "noisy", "label": "plain"}, {"name": "oidn", "label": "OIDN"}],
        skipped=skipped,
        failures=[{"scene": "fog"}],
    )
    both = merge([first, second])
    assert both["scenes"] == ["room", "fog"]
    assert both["frames"] == {"room": [1], "fog": [1]}
    assert set(both["flip_exposures"]) == {"room", "fog"}
    assert both["spp"] == [4, 16]
    assert [m["name"] for m in both["methods"]] == ["noisy", "oidn"]
    assert [r["scene"] for r in both["rows"]] == ["room", "fog"]
    assert both["failures"] == [{"scene": "fog"}]
    assert both["skipped"] == skipped
    assert both["notes"] == ["room: said", "fog: said"]
    assert both["created"] == "2026-01-02T00:00:00+00:00"


@pytest.mark.parametrize(("name", "value"), [("schema", 2), ("tool", {}), ("machine", {"cpu": "y"}), ("seeds", [0, 1])])
def test_what_does_not_belong_together(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"differ in {name}"):
        merge([results(), results("fog", **{name: value})])


def test_a_scene_once() -> None:
    with pytest.raises(InputError, match="a scene is in two"):
        merge([results(), results()])


# -- where ------------------------------------------------------------------------------------------------------------


def test_machine_and_versions() -> None:
    found = machine()
    assert set(found) == {"cpu", "cores", "memory_gib", "gpu", "os"}
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["memory_gib"] >= 1
    assert versions()["python"].startswith("3.")


def test_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "rendernoise"
    inside.mkdir()
    monkeypatch.setattr(module, "__file__", str(inside / "machine.py"))
    assert commit() is None  # an installed package
    if shutil.which("git") is None:
        pytest.skip("git is not here")

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@x")
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    git("init")
    assert commit() is None  # nothing was committed yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "x")
    clean = commit()
    assert clean is not None
    assert len(clean) == 10
    (tmp_path / "other").write_text("not of the clone")
    assert commit() == clean
    (tmp_path / "file").write_text("2")
    assert commit() == clean + "+"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() is None  # no git


# -- the table --------------------------------------------------------------------------------------------------------


def lines(*rows: dict[str, Any], **changes: Any) -> list[str]:
    return list(summary(results(rows=list(rows), **changes)))


def test_the_table_shows_means_and_seconds() -> None:
    head, columns, line = lines(row(value=0.5), row(value=0.25, frame=2, wall_s=2.5))
    assert head == "room, frame 1, references of 64 spp, noise unknown"
    assert columns.split() == ["spp", "method", "s/frame", "trimmed", "relMSE"]
    assert line.split() == ["4", "noisy", "2", "0.375"]


def test_the_table_marks_what_the_reference_cannot_rank() -> None:
    references = [{"scene": "room", "frame": n, "spp": 64, "noise": noise} for n, noise in ((1, 0.25), (2, None))]
    head, _, line = lines(row(within_reference_noise=True), references=references)
    assert head.endswith("their own share of relMSE 0.25")
    assert line.endswith("~0.5 *")
    # One frame of two that can be ranked lets the mean stand.
    assert "*" not in lines(row(within_reference_noise=True), row(frame=2))[-1]


def test_the_table_counts_bad_pixels_once_for_all_metrics() -> None:
    metrics = [{"name": n, "label": n} for n in ("trimmed_relmse", "smape", "psnr")]
    rows = [row(metric=m["name"], frame=f, nonfinite_px=f) for m in metrics for f in (1, 2)]
    line = lines(*rows, metrics=metrics)[-1]
    assert line.endswith("  3 NaN or infinite px, scored as black")
    assert "psnr" not in "".join(lines(*rows, metrics=metrics))


def test_the_table_of_what_is_not_known() -> None:
    line = lines(row(spp=0, value=None, wall_s=None), spp=[0])[-1]
    assert line.split() == ["noisy", "-", "-"]


@pytest.mark.parametrize(
    ("how", "needs", "says"),
    [
        ("interpolated", 33.4, "noisy needs 33 spp"),
        ("extrapolated", 800.0, "noisy needs about 800 spp (extrapolated)"),
        ("not reached", None, "noisy does not get there"),
        ("below", None, "noisy is there with the fewest samples"),
    ],
)
def test_what_samples_are_worth(how: str, needs: float | None, says: str) -> None:
    entry = {"scene": "room", "metric": "trimmed_relmse", "method": "online", "spp": 16, "baseline": "noisy"}
    found = lines(row(), equal_quality=[{**entry, "needs_spp": needs, "how": how}])[-1]
    assert found.startswith("room: for the error of online at 16 spp, ")
    assert says in found
