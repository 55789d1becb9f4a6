"""A file is written whole or not at all, and failures are one line."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rendernoise.errors import InputError, OutputError
from rendernoise.io.atomic import atomic_path, make_directory, write_bytes, write_text


def test_new_content_replaces_the_old(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    write_text(target, "neu: ü")
    assert target.read_bytes() == "neu: ü".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.exr"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_path(target) as temporary:
            assert (temporary.parent, temporary.suffix) == (target.parent, ".exr")
            assert temporary.name.startswith(".a.tmp")
            temporary.write_bytes(b"half of the new")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.exr"]


def test_the_old_file_stays_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.exr"
    target.write_bytes(b"old")
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_no_space_left_is_one_line_with_a_cure(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_path(tmp_path / "a.exr") as temporary:
            temporary.unlink()
            temporary.symlink_to("/dev/full")
            temporary.write_bytes(b"x")

    with pytest.raises(
        OutputError, match=r"cannot write .*a\.exr: no space left on device\. Free room .*--resume"
    ) as e:
        fill()
    assert "\n" not in str(e.value)
    assert os.listdir(tmp_path) == []


def test_missing_folder_and_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file or directory"):
        write_text(tmp_path / "gone" / "a.txt", "x")
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match=r"a\.txt.*directory"):
        write_text(tmp_path / "a.txt", "x")
    assert os.listdir(tmp_path) == ["a.txt"]
    with pytest.raises(OutputError, match="name too long"):
        write_text(tmp_path / ("n" * 300), "x")


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom rendernoise.io.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t:\n    t.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == -9
    assert target.read_text() == "old"


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """The limit on the file size fails writes in the middle, as a full disk does."""
    (tmp_path / "shot.0001.exr").write_bytes(b"old")
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from rendernoise.errors import OutputError
from rendernoise.io import exr, image
from rendernoise.io.atomic import write_bytes
noise = np.random.default_rng(0).random((3, 200, 300), np.float32)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
out = Path(sys.argv[1])
for name, write in {
    "shot.0001.exr": lambda p: exr.write_layers(p, {"": noise}),
    "a.png": lambda p: image.write_png(p, noise),
    "a.bin": lambda p: write_bytes(p, bytes(200_000)),
}.items():
    try:
        write(out / name)
    except OutputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("cannot write" in line and "file too large" in line and "--resume" in line for line in lines)
    assert os.listdir(tmp_path) == ["shot.0001.exr"]
    assert (tmp_path / "shot.0001.exr").read_bytes() == b"old"


def test_make_directory(tmp_path: Path) -> None:
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="it is a file, not a folder"):
        make_directory(tmp_path / "file")
    with pytest.raises(InputError, match="not a directory") as e:
        make_directory(tmp_path / "file" / "below")
    assert "\n" not in str(e.value)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc, where even root cannot create files")
def test_make_directory_tries_to_write() -> None:
    with pytest.raises(InputError, match="cannot write to the folder /proc/self"):
        make_directory(Path("/proc/self"))
