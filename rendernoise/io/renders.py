"""The files that hold renders: halves ``NAME.a.0001.exr`` and ``NAME.b.0001.exr``, references ``NAME.0001.exr``.

Each can carry how it was made, so that a later command knows whether it may go on from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rendernoise._version import __version__
from rendernoise.frame import HISTORY_PLANES, Frame
from rendernoise.io.exr import write_layers
from rendernoise.io.exr_header import inspect, map_file
from rendernoise.io.sequence import frame_path

_MAKING = "rendernoise.making"


def render_path(folder: Path, name: str, half: str, number: int) -> Path:
    """Where one render lies; ``half`` is ``a``, ``b``, or ``""`` for a reference."""
    return frame_path(folder, f"{name}.{half}" if half else name, number, "exr")


def write_half(folder: Path, name: str, half: str, frame: Frame, seed: int, **facts: str | int) -> Path:
    """Write one half as ``NAME.a.0001.exr`` with its features; returns the path.

    Args:
        folder: Where; it exists.
        name: Name of the shot.
        half: ``a`` or ``b``; ``""`` writes a reference.
        frame: What; its radiance becomes ``R G B``, its other planes layers of their names.
        seed: The run's seed.
        facts: Further header attributes.

    Raises:
        OutputError: The file cannot be written.
    """
    path = render_path(folder, name, half, frame.number)
    attributes = {"rendernoise.version": __version__, "spp": frame.spp, "seed": seed, "frame": frame.number}
    where = frame.projection.to_attribute() if frame.projection else {}
    planes = {name: plane for name, plane in frame.planes.items() if name not in HISTORY_PLANES}
    write_layers(path, planes, {**attributes, **where, **facts})
    return path


def making_fact(making: Mapping[str, Any]) -> dict[str, str]:
    """How a render is made (JSON values) as a header attribute, for ``write_half`` to keep."""
    return {_MAKING: json.dumps(making)}


def read_making(path: Path) -> dict[str, Any] | None:
    """How a render was made, from its header alone; None when the file does not say.

    Raises:
        ImageError: The file cannot be read, or is truncated or damaged.
    """
    data = map_file(path)
    kind, start, size = inspect(data, path)[0].attributes.get(_MAKING, ("", 0, 0))
    if kind != "string":
        return None
    try:
        return dict(json.loads(data[start : start + size]))
    except (ValueError, TypeError):
        return None
