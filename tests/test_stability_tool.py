"""The stability check trains what it says, and sees what is not finite."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from rendernoise.trainer import StepReport, Trainer


@pytest.fixture(scope="module")
def tool(import_tool: Callable[[str], ModuleType]) -> ModuleType:
    """``tools/stability.py``, imported as it is when it runs."""
    return import_tool("stability")


def run(tool: ModuleType, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    command = ["stability.py", "--runs", "2", "--first", "3", "--steps", "2", "--network", "fast", "--out", str(out)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as end:
        tool.main()
    return int(end.value.code or 0)


def test_runs_from_base_and_random_weights_are_sound(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tool, tmp_path / "a" / "s.jsonl", monkeypatch) == 0
    rows = [json.loads(line) for line in (tmp_path / "a" / "s.jsonl").read_text().splitlines()]
    assert [(r["seed"], r["weights"], r["steps"]) for r in rows] == [(3, "base", 2), (4, "none", 2)]
    assert all(r["finite"] and r["positive"] and r["skipped"] == 0 for r in rows)
    assert rows[0]["scale"] != rows[1]["scale"]


def test_one_weight_that_is_not_finite_fails(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(self: Trainer, *arguments: object) -> StepReport:
        with torch.no_grad():
            next(self.model.parameters()).fill_(float("nan"))
        return StepReport(1, 0.0, 0.0)

    monkeypatch.setattr(Trainer, "step", spoil)
    assert run(tool, tmp_path / "s.jsonl", monkeypatch) == 1
