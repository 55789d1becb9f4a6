"""What an EXR file holds, without decoding a pixel: enough to check a sequence of hundreds before work starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.errors import ImageError
from rendernoise.io.exr_header import PartHeader, channels_of, inspect, map_file, value_of, window_of
from rendernoise.io.exr_image import Exr, NoRadianceError, Part, Window, resolve_roles

#: EXR's numbers of the types that are not float32.
_TYPES = {0: np.uint32, 1: np.float16}


def look(path: Path) -> Exr:
    """The parts, channels, types and windows of a file; every pixel is 0 and takes no memory.

    Attributes are left out, but for the view that a part shows.

    Raises:
        ImageError: The file is missing, no EXR, truncated, deep, subsampled, or has no channels.
    """
    path = Path(path)
    data = map_file(path)
    return Exr(tuple(_part(data, header) for header in inspect(data, path)))


def cryptomattes(path: Path) -> tuple[str, ...]:
    """Names of the file's Cryptomattes, ``cryptomatte/ID/name`` in its header: their layers' names begin so.

    Raises:
        ImageError: As :func:`look`.
    """
    data = map_file(path)
    return tuple(
        bytes(data[start : start + size]).decode("utf-8", "surrogateescape")
        for header in inspect(data, path)
        for key, (_, start, size) in header.attributes.items()
        if key.startswith("cryptomatte/") and key.endswith("/name") and size
    )


def roles_of(
    exr: Exr, path: Path, roles: Mapping[str, str] | None = None, beauty: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Plane name to channel names; the error of a file without radiance names it. ``beauty`` is the radiance's layer.

    Raises:
        ImageError: There is no radiance.
        InputError: A role that was given does not exist.
    """
    try:
        return resolve_roles(exr, roles, beauty)
    except NoRadianceError as error:
        raise ImageError(f"{path}: {error.what}", error.cure) from None


def radiance_window(exr: Exr, resolved: Mapping[str, tuple[str, ...]]) -> Window:
    """The data window of the part that holds the radiance: inclusive x_min, y_min, x_max, y_max, px."""
    window = exr.parts[exr.channel_map()[resolved["radiance"][0]][0]].data_window
    assert window is not None  # filled in by Part
    return window


def size_text(window: Window) -> str:
    """A window in words, such as ``640x360 px``; with its origin where that is not 0, 0."""
    x_min, y_min, x_max, y_max = window
    origin = f" at {x_min},{y_min}" if x_min or y_min else ""
    return f"{x_max - x_min + 1}x{y_max - y_min + 1} px{origin}"


def _part(data: Any, header: PartHeader) -> Part:
    window = window_of(data, header)
    size = (window[3] - window[1] + 1, window[2] - window[0] + 1)
    name = value_of(data, header, "name").decode("utf-8", "surrogateescape")
    channels = {
        channel: np.broadcast_to(_TYPES.get(kind, np.float32)(0), size)
        for channel, kind, *_ in channels_of(data, header)
    }
    kind, _, _ = header.attributes.get("view", ("", 0, 0))
    view = {"view": value_of(data, header, "view").decode("utf-8", "replace")} if kind == "string" else {}
    return Part(channels, view, data_window=window, name=name)
