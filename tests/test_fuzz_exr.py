"""Damaged EXR files are read, or refused with one line that names them: nothing else happens."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

COUNT = 600


@pytest.fixture(scope="module")
def tool(import_tool: Callable[[str], ModuleType]) -> ModuleType:
    """``tools/fuzz_exr.py``."""
    return import_tool("fuzz_exr")


@pytest.mark.parametrize("bands", [False, True])
def test_damaged_files_are_read_or_refused_with_a_line(tool: ModuleType, tmp_path: Path, bands: bool) -> None:
    ends: Counter[str] = Counter()
    for number, path, kind, text in tool.fuzz(COUNT, 0, tmp_path, bands=bands):
        assert kind in tool.GOOD, f"{number}: {kind}: {text}"
        assert path.exists()
        ends[kind] += 1
    assert min(ends["read"], ends["refused"]) > COUNT // 10


def test_a_child_that_dies_or_hangs_is_told_and_replaced(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = tool.exr_samples.write(tmp_path / "sound.exr", "scanlines")
    os.mkfifo(tmp_path / "silent.exr")  # whoever opens it waits for ever
    with tool.Reader(sound) as reader:
        assert reader.read(sound) == ("read", "")
        monkeypatch.setattr(tool, "LIMIT_S", 0.5)
        assert reader.read(tmp_path / "silent.exr")[0] == "hang"
        monkeypatch.setattr(tool, "LIMIT_S", 10.0)
        reader._process.kill()
        assert reader.read(sound) == ("crash", "SIGKILL")
        assert reader.read(sound) == ("read", "")


def test_the_table_has_every_end(tool: ModuleType) -> None:
    lines = list(tool.table(Counter({("read", ""): 3, ("refused", "FILE is truncated"): 2, ("hang", "more"): 1})))
    assert [line.split() for line in lines] == [
        ["3", "read"],
        ["2", "refused"],
        ["2", "FILE", "is", "truncated"],
        ["0", "bad", "line"],
        ["0", "exception"],
        ["0", "crash"],
        ["1", "hang"],
        ["1", "more"],
        ["0", "out", "of", "memory"],
    ]
