from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rendernoise.errors import InputError, RunError
from rendernoise.run import RunDirectory

CONFIG = {"spp": 4, "seed": 0, "scenes": ["a.xml"], "resume": False, "json": False}


def open_run(path: Path, *, resume: bool = False, overwrite: bool = False, **changes: Any) -> RunDirectory:
    return RunDirectory(path, {**CONFIG, **changes}, resume=resume, overwrite=overwrite)


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_an_existing_run_is_not_touched_unasked(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.log({"event": "note"})
    run.close()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(RunError, match=r"already holds a run.*--resume continues it, --overwrite replaces it"):
        open_run(tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_overwrite_removes_what_a_run_left_and_nothing_else(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.save_checkpoint({"w": torch.ones(2)}, {})
    run.close()
    (tmp_path / "denoised").mkdir()
    (tmp_path / "denoised" / "x.0001.exr").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("mine")
    fresh = open_run(tmp_path, overwrite=True)
    assert fresh.load_checkpoint() is None
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "denoised").exists()
    assert events(tmp_path) == []
    fresh.close()


def test_resuming_with_other_options_is_refused_and_the_right_ones_still_work(tmp_path: Path) -> None:
    open_run(tmp_path).close()
    with pytest.raises(RunError, match=r"has spp = 4, not 8\. Give --resume the options of the run"):
        open_run(tmp_path, resume=True, spp=8)
    assert json.loads((tmp_path / "config.json").read_text())["spp"] == 4
    open_run(tmp_path, resume=True, json=True).close()


def test_resuming_where_nothing_is_starts(tmp_path: Path) -> None:
    run = open_run(tmp_path / "new", resume=True)
    assert run.load_checkpoint() is None
    assert not run.complete
    run.close()


def test_two_runs_in_one_directory_are_refused(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(RunError, match="another rendernoise is at work"):
            open_run(tmp_path, **how)
    run.close()
    open_run(tmp_path, resume=True).close()


def test_events_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.log({"n": 1})
    run.log({"n": 2})
    run.save_checkpoint({"w": torch.arange(3.0)}, {"steps": 7})
    run.log({"n": 3})
    run.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"n": 4, "half a l')
    again = open_run(tmp_path, resume=True)
    found = again.load_checkpoint()
    assert found is not None
    tensors, state = found
    assert torch.equal(tensors["w"], torch.arange(3.0))
    assert state["steps"] == 7
    assert [e["n"] for e in events(tmp_path)] == [1, 2]
    again.log({"n": 5})
    again.close()
    assert [e["n"] for e in events(tmp_path)] == [1, 2, 5]


def test_without_a_checkpoint_all_events_are_dropped(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.log({"n": 1})
    run.close()
    again = open_run(tmp_path, resume=True)
    assert again.load_checkpoint() is None
    assert events(tmp_path) == []
    again.close()


@pytest.mark.parametrize("damage", [b"", b"rubbish" * 100])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, damage: bytes) -> None:
    run = open_run(tmp_path)
    run.save_checkpoint({"w": torch.ones(2)}, {})
    (tmp_path / ".work" / "checkpoint.safetensors").write_bytes(damage)
    with pytest.raises(RunError, match=r"checkpoint\.safetensors is damaged") as caught:
        run.load_checkpoint()
    assert "\n" not in str(caught.value)
    run.close()


def test_a_complete_run_is_known_and_left_as_it_is(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.finish({"wall_s": 1.5})
    assert not (tmp_path / ".work").exists()
    again = open_run(tmp_path, resume=True)
    assert again.complete
    assert again.summary() == {"wall_s": 1.5}
    again.close()
    assert not (tmp_path / ".work").exists()


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    open_run(tmp_path).close()
    (tmp_path / "denoised").mkdir()
    leftover, mine = tmp_path / "denoised" / ".x.0001.tmpab12cd34.exr", tmp_path / "denoised" / "x.0001.exr"
    leftover.write_bytes(b"half")
    mine.write_bytes(b"whole")
    open_run(tmp_path, resume=True).close()
    assert not leftover.exists()
    assert mine.exists()


def test_an_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="it is a file"):
        open_run(tmp_path / "file")
