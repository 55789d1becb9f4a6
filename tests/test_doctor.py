from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rendernoise.doctor import Check, can_work, llvm_libraries
from rendernoise.render.probe import probe_variant

_BLOCK = """
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)


sys.meta_path.insert(0, Blocked())
"""


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rendernoise", "doctor", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def by_name(done: subprocess.CompletedProcess[str]) -> dict[str, dict]:
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.fixture(scope="module")
def healthy() -> subprocess.CompletedProcess[str]:
    return doctor()


def test_every_line_says_whether_and_what(healthy):
    assert healthy.returncode == 0, healthy.stderr
    assert healthy.stderr == ""
    lines = healthy.stdout.splitlines()
    assert all(re.match(r"(ok|--)  \S+ +\S", line) for line in lines[:-1]), healthy.stdout
    named = [line.split()[1] for line in lines[:-1]]
    for name in ("Python", "torch", "mitsuba", "OpenEXR", "scalar_rgb", "llvm_ad_rgb", "cuda_ad_rgb", "bf16", "disk"):
        assert named.count(name) == 1


def test_the_verdicts_are_what_really_renders(healthy):
    words = {line.split()[1]: line for line in healthy.stdout.splitlines()}
    assert words["scalar_rgb"].startswith("ok  scalar_rgb   rendered 4x4")
    for variant in ("llvm_ad_rgb", "cuda_ad_rgb"):
        assert words[variant].startswith("ok") == probe_variant(variant).works
    assert words["llvm"].startswith("ok") == probe_variant("llvm_ad_rgb").works
    if match := re.fullmatch(r"ok  llvm +\d+\.\d+\.\d+ at (.+)", words["llvm"]):
        assert Path(match[1]).exists()


@pytest.mark.parametrize(("name", "cure"), [("mitsuba", 'pip install "mitsuba'), ("torch", "pip install torch")])
def test_a_missing_package_is_named_with_its_cure(tmp_path, name, cure):
    (tmp_path / "sitecustomize.py").write_text(_BLOCK.format(name=name))
    done = doctor(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.split()[1] == name)
    assert line.startswith("--")
    assert cure in line
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr
    assert cure in done.stderr
    # The report goes on behind the lack.
    assert "disk" in done.stdout


def test_an_unsupported_mitsuba_and_a_wrong_path_to_llvm_are_named(tmp_path):
    folder = tmp_path / "mitsuba-4.0.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mitsuba\nVersion: 4.0.0\n")
    library = str(tmp_path / "libLLVM.so")
    done = doctor("--json", PYTHONPATH=str(tmp_path), DRJIT_LIBLLVM_PATH=library)
    assert done.returncode == 1
    assert json.loads(done.stdout)["works"] is False
    checks = by_name(done)
    assert not checks["mitsuba"]["ok"]
    assert "4.0.0 is not supported" in checks["mitsuba"]["found"]
    assert "<3.10" in checks["mitsuba"]["cure"]
    assert not checks["llvm"]["ok"]
    assert library in checks["llvm"]["found"]
    assert all(check["cure"] for check in checks.values() if not check["ok"])


def test_an_llvm_that_cannot_be_used_costs_only_its_variant():
    old = [path for version, path in llvm_libraries() if version <= 15]
    if not old:
        pytest.skip("no LLVM 15 or older on this machine")
    done = doctor("--json", DRJIT_LIBLLVM_PATH=str(old[-1]))
    checks = by_name(done)
    assert done.returncode == 0
    assert checks["scalar_rgb"]["ok"]
    assert not checks["llvm_ad_rgb"]["ok"]
    assert not checks["llvm"]["ok"]
    assert "libllvm19" in checks["llvm"]["cure"] or "DRJIT_LIBLLVM_PATH=/" in checks["llvm"]["cure"]


def test_llvm_libraries_are_told_apart_by_version(tmp_path):
    for name in (
        "libLLVM-15.so.1",
        "libLLVM-14.0.6.so",
        "libLLVM.so.19.1",
        "libLLVM.so",
        "libLLVMAnalysis.a",
        "libLLVM-9.so",
    ):
        (tmp_path / name).write_bytes(b"")
    found = llvm_libraries((str(tmp_path),))
    assert [(version, path.name) for version, path in found] == [
        (9, "libLLVM-9.so"),
        (14, "libLLVM-14.0.6.so"),
        (15, "libLLVM-15.so.1"),
        (19, "libLLVM.so.19.1"),
    ]


def test_only_what_is_needed_decides():
    spare = Check("gpu", False, "none", "Buy one")
    assert can_work([Check("torch", True, "2.9", needed=True), spare])
    assert not can_work([Check("torch", False, "is not installed", "pip install torch", needed=True), spare])
    assert str(spare) == "--  gpu          none. Buy one"
