"""EXR files in and out: nothing that we do not understand is lost (DESIGN section 6, law 6).

This is the only module that imports OpenEXR, and it does so when a file is first read or written.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame, Plane
from rendernoise.io.atomic import atomic_path
from rendernoise.io.exr_attributes import hidden, is_hidden, restore
from rendernoise.io.exr_header import inspect, map_file
from rendernoise.io.exr_image import (
    Exr,
    NoRadianceError,
    Part,
    Window,
    count_bad,
    header_value,
    replace_channels,
    replace_radiance,
    resolve_roles,
    to_frame,
)

__all__ = [
    "Exr",
    "Part",
    "count_bad",
    "read",
    "read_colours",
    "read_frame",
    "replace_channels",
    "replace_radiance",
    "resolve_roles",
    "to_frame",
    "write",
    "write_layers",
]

#: What OpenEXR writes itself from the other fields of a ``Part``.
_STRUCTURAL = {"channels", "chunkCount", "compression", "dataWindow", "displayWindow", "name", "type"}
_LOSSY = {"DWAA", "DWAB", "PXR24", "B44", "B44A", "LJ2K"}
_COMPONENTS = {"normal": "XYZ", "position": "XYZ", "motion": "XY", "depth": "Z"}
_BY_COUNT = {1: "Y", 2: "XY", 3: "RGB", 4: "RGBA"}


def read(path: Path) -> Exr:
    """Read a whole EXR file, every part and channel in its own type.

    Raises:
        ImageError: The file is missing, no EXR, truncated or damaged; or it is refused (see ``exr_header.inspect``).
    """
    path = Path(path)
    data = map_file(path)
    headers = inspect(data, path)
    try:
        with _quiet_prints():
            patched = hidden(data, headers)
            parts = _decode(str(path) if patched is None else io.BytesIO(patched))
    except ImageError:
        raise
    except Exception as error:  # OpenEXR raises RuntimeError, ValueError and TypeError alike
        raise ImageError(f"{path} is damaged: {_one_line(error)}", "Copy or render it again") from error
    if len(parts) != len(headers):
        lost = f"{len(headers) - len(parts)} of {len(headers)} parts" if len(headers) > 1 else "its pixels"
        raise ImageError(f"{path} is damaged: {lost} cannot be decoded", "Copy or render it again")
    return Exr(tuple(parts))


def decode(data: bytes) -> list[Part]:
    """The parts of an EXR file in memory, which must be whole.

    Raises:
        ImageError: It is damaged.
    """
    try:
        with _quiet_prints():
            parts = _decode(io.BytesIO(data))
    except Exception as error:  # OpenEXR raises RuntimeError, ValueError and TypeError alike
        raise ImageError(f"its pixels are damaged: {_one_line(error)}", "Copy or render it again") from error
    if not parts:
        raise ImageError("its pixels are damaged", "Copy or render it again")
    return parts


def encode(part: Part, compression: str) -> bytes:
    """A part as an EXR file in memory.

    Raises:
        ImageError: OpenEXR refuses the content.
    """
    import OpenEXR

    stream = io.BytesIO()
    try:
        OpenEXR.File([_openexr_part(part, compression)]).write(stream)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ImageError(_one_line(error)) from error
    return stream.getvalue()


def _decode(source: Any) -> list[Part]:
    import OpenEXR

    return [_part(part) for part in OpenEXR.File(source, separate_channels=True).parts]


def _part(part: Any) -> Part:
    header = part.header
    tiles = header.get("tiles")
    return Part(
        {name: channel.pixels for name, channel in part.channels.items()},
        {name: value for name, value in header.items() if name not in _STRUCTURAL},
        data_window=_window(header["dataWindow"]),
        display_window=_window(header["displayWindow"]),
        name=part.name(),
        compression=part.compression().name.removesuffix("_COMPRESSION"),
        tile_px=(tiles.xSize, tiles.ySize) if tiles is not None and part.type().name == "tiledimage" else None,
        linear=frozenset(name for name, channel in part.channels.items() if channel.pLinear),
    )


def _window(value: Any) -> Window:
    (x_min, y_min), (x_max, y_max) = value
    return int(x_min), int(y_min), int(x_max), int(y_max)


class _Filter:
    """Standard output without what one thread prints; all other threads print as always."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_printing = threading.Lock()


@contextmanager
def _quiet_prints() -> Iterator[None]:
    """OpenEXR prints a warning for a damaged part to standard output, where ``--json`` events go."""
    with _printing:
        stream = sys.stdout
        sys.stdout = _Filter(stream)
        try:
            yield
        finally:
            sys.stdout = stream


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def write(path: Path, exr: Exr, compression: str | None = None) -> None:
    """Write an EXR file, whole or not at all.

    Args:
        path: Where.
        exr: What; each part's own compression holds unless the next argument is given.
        compression: ``ZIP``, ``PIZ``, ... for every part. Lossy codecs become ZIP wherever the file has
            anything besides one layer of plain colour, since they damage IDs, data and alpha.

    Raises:
        OutputError: No room, no permission, no folder.
        ImageError: OpenEXR refuses the content.
    """
    import OpenEXR

    parts = [_openexr_part(part, codec_for((compression or part.compression).upper(), exr)) for part in exr.parts]
    values = [value for part in exr.parts for value in part.attributes.values()]
    with atomic_path(Path(path)) as temporary:
        try:
            # Through a stream of ours, because OpenEXR's own files lose errno when the disk is full.
            with open(temporary, "wb") as stream:
                OpenEXR.File(parts).write(stream)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ImageError(f"cannot write {path}: {_one_line(error)}") from error
        if any(isinstance(value, OpenEXR.OpaqueAttribute) and is_hidden(value.typeName) for value in values):
            restore(temporary)


def codec_for(name: str, exr: Exr) -> str:
    """ZIP instead of a lossy codec that would damage anything but the one layer of colour."""
    names = [name.rpartition(".") for part in exr.parts for name in part.channels]
    layers, components = {layer for layer, _, _ in names}, {component for _, _, component in names}
    colour = components <= set("RGBA") or components <= set("YA")
    plain = len(exr.parts) == len(layers) == 1 and colour and "crypto" not in str(layers).lower()
    # Of the lossy codecs only DWA leaves alpha alone.
    harmless = name not in _LOSSY or (plain and ("A" not in components or name.startswith("DWA")))
    return name if harmless else "ZIP"


def _openexr_part(part: Part, compression: str) -> Any:
    import OpenEXR

    codec = getattr(OpenEXR, f"{compression}_COMPRESSION", None)
    if codec is None:
        raise InputError(f"{compression!r} is no EXR compression", "Use ZIP, ZIPS, PIZ, RLE or NO")
    header: dict[str, Any] = {
        # An empty list does not say what it is a list of; every writer known to leave one means strings.
        key: OpenEXR.OpaqueAttribute(b"", "stringvector") if isinstance(value, list) and not value else value
        for key, value in part.attributes.items()
        if key not in _STRUCTURAL
    }
    for key, window in (("dataWindow", part.data_window), ("displayWindow", part.display_window)):
        assert window is not None  # filled in by Part
        header[key] = (np.array(window[:2], np.int32), np.array(window[2:], np.int32))
    header["compression"] = codec
    header["type"] = OpenEXR.scanlineimage
    if part.tile_px:
        tiles = OpenEXR.TileDescription()
        if "tiles" in part.attributes:  # as they were read
            tiles.roundingMode = part.attributes["tiles"].roundingMode
        tiles.xSize, tiles.ySize = part.tile_px
        header["type"], header["tiles"] = OpenEXR.tiledimage, tiles
    channels = {
        name: OpenEXR.Channel(name, np.ascontiguousarray(pixels), 1, 1, name in part.linear)
        for name, pixels in part.channels.items()
    }
    return OpenEXR.Part(header, channels, part.name)


def write_layers(
    path: Path, layers: Mapping[str, NDArray[Any]], attributes: Mapping[str, str | int | float] | None = None
) -> None:
    """Write planes as an EXR file by our own convention: float32, ZIP.

    Args:
        path: Where.
        layers: Layer name to ``[C, H, W]``. ``""`` (or ``radiance``) becomes ``R G B``, the others
            ``albedo.R/G/B``, ``normal.X/Y/Z``, ``position.X/Y/Z``, ``motion.X/Y``, ``depth.Z``, ``error.Y``, ...
        attributes: Text and numbers for the header. Integers beyond 32 bits are kept as text.

    Raises:
        OutputError: No room, no permission, no folder.
        ImageError: A layer is not ``[C, H, W]``, or the sizes differ.
    """
    channels: dict[str, NDArray[Any]] = {}
    for layer, plane in layers.items():
        name = "" if layer == "radiance" else layer
        components = _COMPONENTS.get(name) or _BY_COUNT.get(len(plane), "")
        if plane.ndim != 3 or len(components) != len(plane):
            raise ImageError(f"the layer {layer!r} has the shape {plane.shape}, not [C, H, W] with C as expected")
        for component, pixels in zip(components, plane, strict=True):
            channels[f"{name}.{component}" if name else component] = np.asarray(pixels, np.float32)
    header = {key: header_value(value) for key, value in (attributes or {}).items()}
    if clash := {*_STRUCTURAL, "tiles"}.intersection(header):
        raise InputError(f"{', '.join(sorted(clash))}: EXR itself uses this attribute", "Choose another name")
    write(path, Exr((Part(channels, header),)))


def read_frame(
    path: Path, *, roles: Mapping[str, str] | None = None, number: int = 1, beauty: str | None = None
) -> Frame:
    """Read the planes of one frame; ``to_frame`` says how they are found.

    Raises:
        ImageError: The file cannot be read, or has no radiance.
        InputError: A role or layer that was given does not exist.
    """
    try:
        return to_frame(read(path), roles=roles, number=number, beauty=beauty)
    except NoRadianceError as error:
        raise ImageError(f"{path}: {error.what}", error.cure) from None


def read_colours(path: Path) -> tuple[Exr, tuple[str, ...], Plane]:
    """A file, the names of its radiance's channels, and those alone: ``[3, H, W]``, or ``[1, H, W]`` when it is grey.

    Raises:
        ImageError: The file cannot be read, or has no radiance.
    """
    exr = read(path)
    try:
        names = resolve_roles(exr)["radiance"]
        return exr, names, to_frame(exr).radiance[: len(names)]
    except NoRadianceError as error:
        raise ImageError(f"{path}: {error.what}", error.cure) from None
