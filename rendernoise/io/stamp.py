"""How an output tells what it was made of, so that a run that goes on knows what is done: by content, not by date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from rendernoise.errors import ImageError
from rendernoise.io.exr_header import inspect, map_file, value_of

#: The header attribute that holds a frame's stamp.
ATTRIBUTE = "rendernoise.stamp"
#: What every output of ours has in its header.
OURS = "rendernoise.weights"
_SAMPLES, _SAMPLE_BYTES = 64, 4096


@lru_cache(maxsize=4096)
def _fingerprint(path: Path, size: int, changed_ns: int) -> str:
    del changed_ns  # a file that was written again is looked at again
    data = map_file(path)
    found = hashlib.sha256(str(size).encode())
    last = max(size - _SAMPLE_BYTES, 0)
    for i in range(_SAMPLES):
        start = last * i // (_SAMPLES - 1)
        found.update(data[start : start + _SAMPLE_BYTES])
    return found.hexdigest()[:16]


def fingerprint(path: Path) -> str:
    """16 hex digits of a file's size and 64 samples of 4 KiB: another render of the same frame has others.

    The header and the table of chunks are among them; a whole digest of a shot would take as long as denoising it.
    """
    try:
        status = path.stat()
        return _fingerprint(path, status.st_size, status.st_mtime_ns)
    except (OSError, ImageError):
        return "unreadable"


def stamp(options: Mapping[str, Any], sources: Iterable[Path | None]) -> str:
    """16 hex digits of everything that a frame follows from.

    Args:
        options: JSON values: version, weights, what else changes pixels.
        sources: The files that it is made of: its own, and its neighbours'.
    """
    prints = [None if path is None else fingerprint(path) for path in sources]
    return hashlib.sha256(json.dumps([options, prints], sort_keys=True).encode()).hexdigest()[:16]


def stamp_of(path: Path) -> str | None:
    """The stamp of a whole EXR file; None where it has none, empty where the file is damaged or no EXR file."""
    try:
        value = _attribute(path, ATTRIBUTE)
    except ImageError:
        return ""
    return None if value is None else value.decode("ascii", "replace")


def is_ours(path: Path) -> bool:
    """Whether a file is an output of ``denoise``; False where it cannot be read."""
    try:
        return _attribute(path, OURS) is not None
    except ImageError:
        return False


def _attribute(path: Path, name: str) -> bytes | None:
    """The bytes of an attribute in the first part that has it; raises ``ImageError`` where the file is not whole."""
    data = map_file(path)
    return next((value_of(data, part, name) for part in inspect(data, path) if name in part.attributes), None)
