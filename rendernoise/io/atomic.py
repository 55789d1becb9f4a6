"""Writing files so that a reader sees the old file or the new one, never a part of it (law 6)."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rendernoise.errors import InputError, OutputError

_NO_ROOM = "Free room and run again with --resume"
_CURES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "Raise the file size limit (ulimit -f) and run again with --resume",
    errno.EACCES: "Change its permissions or choose another --out",
    errno.EPERM: "Change its permissions or choose another --out",
    errno.EROFS: "Choose another --out",
    errno.ENOENT: "Create the folder again and run again with --resume",
    errno.ENOTDIR: "A file stands where a folder should be: choose another --out",
    errno.EISDIR: "A folder stands where the file should be: remove it or choose another --out",
    errno.ENAMETOOLONG: "Choose a shorter name",
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    The data reaches the disk (fsync) before the rename. On any exception, KeyboardInterrupt included,
    the temporary file is removed and the old file stays.

    Raises:
        OutputError: The file cannot be written: no room, no permission, no folder.
    """
    path = Path(path)
    # The name is hidden so that a folder read as a sequence never shows what a killed process left.
    temporary = path.with_name(f".{path.stem[:80]}.tmp{secrets.token_hex(4)}{path.suffix}")
    try:
        # Created with 0o666 less the umask, not mkstemp's 0o600: others on a farm read these files.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {path}: {_reason(error)}", _cure(error)) from error
        raise


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path`` whole or not at all. Raises ``OutputError``."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` whole or not at all. Raises ``OutputError``."""
    write_bytes(path, text.encode("utf-8"))


def make_directory(path: Path) -> None:
    """Create the output folder and its parents, and make sure that files can be written there.

    Raises:
        InputError: It is a file, or nothing can be written in it.
    """
    path = Path(path)
    probe = path / f".tmp{secrets.token_hex(4)}"
    try:
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder")
        path.mkdir(parents=True, exist_ok=True)
        # Asking for the mode bits is not enough: root ignores them, network file systems have others.
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        with suppress(OSError):
            probe.unlink()
        if error.errno == errno.ENOTDIR:
            cure = "Choose another --out, or free its name"
        else:  # a folder that cannot be made, such as one in /proc, was not lost on the way
            cure = "Choose another --out" if error.errno == errno.ENOENT else _cure(error)
        raise InputError(f"cannot write to the folder {path}: {_reason(error)}", cure) from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).rstrip(".").lower()


def _cure(error: OSError) -> str:
    return _CURES.get(error.errno or 0, "Check the disk and run again with --resume")
