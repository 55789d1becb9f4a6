"""Attributes that OpenEXR's Python module does not hand through bit for bit, hidden from it under other types.

It takes text for UTF-8, cancels rationals (24000/1000 frames a second become 24/1), changes NaNs, forgets what an
empty list is a list of, and drops or refuses some types. Under a type that it does not know an attribute stays as it
is. The other type's name is as long, so that nothing in the file moves.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rendernoise.io.exr_header import Buffer, PartHeader, inspect, map_file


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_reduced(value: bytes) -> bool:
    return len(value) == 8 and math.gcd(*struct.unpack("<iI", value)) == 1 and value[4:] != bytes(4)


def _has_no_nan(value: bytes) -> bool:
    return len(value) % 4 == 0 and not any(map(math.isnan, struct.unpack(f"<{len(value) // 4}f", value)))


#: Types that need a look, to whether a value of theirs is handed through.
_HANDED_THROUGH: dict[str, Callable[[bytes], bool]] = {
    "string": _is_text,
    "stringvector": _is_text,
    "rational": _is_reduced,
    "float": _has_no_nan,
    "floatvector": lambda value: len(value) > 0 and _has_no_nan(value),
    "bytes": lambda value: False,
    "chlist": lambda value: False,
    "deepImageState": lambda value: False,
    "idmanifest": lambda value: False,
    "keycode": lambda value: False,
}
_HIDDEN = {kind[0].upper() + kind[1:]: kind for kind in _HANDED_THROUGH}


def is_hidden(kind: str) -> bool:
    """Whether this is the type of an attribute that was hidden."""
    return kind in _HIDDEN


def hidden(data: Buffer, headers: list[PartHeader]) -> bytes | None:
    """The file with attributes hidden where that is needed; None where all are handed through as they are."""
    patched: bytearray | None = None
    for header in headers:
        for name, (kind, start, size) in header.attributes.items():
            look = _HANDED_THROUGH.get(kind)
            if look is None or name == "channels" or look(bytes(data[start : start + size])):
                continue
            patched = bytearray(data) if patched is None else patched
            patched[_kind_start(kind, start)] = ord(kind[0].upper())
    return None if patched is None else bytes(patched)


def restore(path: Path) -> None:
    """Give hidden attributes of a written file their own types again."""
    data: Any = map_file(path)
    with open(path, "rb+") as file:
        for header in inspect(data, path):
            for kind, start, _ in header.attributes.values():
                if kind in _HIDDEN:
                    file.seek(_kind_start(kind, start))
                    file.write(_HIDDEN[kind][:1].encode())


def _kind_start(kind: str, start: int) -> int:
    """Where the type of an attribute stands whose value starts at ``start``: before a zero byte and four of size."""
    return start - 5 - len(kind)
