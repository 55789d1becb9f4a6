"""An EXR image in memory: its parts and channels, the frame in it, and the same image with another radiance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rendernoise.cameras import HEADER_CAMERAS, HeaderCamera, header_cameras
from rendernoise.errors import ImageError
from rendernoise.frame import PLANE_CHANNELS, Frame, Plane
from rendernoise.io import roles as role_names
from rendernoise.io.channel_layers import scope_name
from rendernoise.projection import Projection

Window = tuple[int, int, int, int]

_HALF_MAX = 65504.0
_MAIN_PARTS = ("", "rgba", "rgb", "beauty", "combined", "main", "part0")
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32).reshape(3, 1, 1)  # Rec. 709


@dataclass(frozen=True)
class Part:
    """One part of an EXR file.

    Args:
        channels: Name to ``[H, W]`` array of float16, float32 or uint32.
        attributes: The header without what the other fields say, in OpenEXR's own types.
        data_window: Inclusive x_min, y_min, x_max, y_max, px; None starts at 0, 0.
        display_window: The same for the whole picture; None is the data window.
        name: Name of the part; empty in most single-part files.
        compression: OpenEXR's name without ``_COMPRESSION``.
        tile_px: Width and height of the tiles; None stores scanlines.
        linear: Channels with the pLinear flag, which only codecs look at.
    """

    channels: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    data_window: Window | None = None
    display_window: Window | None = None
    name: str = ""
    compression: str = "ZIP"
    tile_px: tuple[int, int] | None = None
    linear: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        sizes = {array.shape for array in self.channels.values()}
        if len(sizes) != 1 or len(size := next(iter(sizes))) != 2:
            raise ImageError(f"the channels of an EXR part must be [H, W] of one size, not {sorted(sizes)}")
        window = self.data_window or (0, 0, size[1] - 1, size[0] - 1)
        if (window[3] - window[1] + 1, window[2] - window[0] + 1) != size:
            raise ImageError(f"the data window {window} does not fit channels of {size[1]}x{size[0]} px")
        object.__setattr__(self, "data_window", window)
        object.__setattr__(self, "display_window", self.display_window or window)


@dataclass(frozen=True)
class Exr:
    """A flat EXR image of one or more parts. The properties are those of the first part."""

    parts: tuple[Part, ...]

    @property
    def channels(self) -> Mapping[str, NDArray[Any]]:
        """Channel name to ``[H, W]`` array in the file's own type."""
        return self.parts[0].channels

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Header attributes that are not structure."""
        return self.parts[0].attributes

    @property
    def data_window(self) -> Window | None:
        """Inclusive x_min, y_min, x_max, y_max, px."""
        return self.parts[0].data_window

    @property
    def display_window(self) -> Window | None:
        """Inclusive x_min, y_min, x_max, y_max, px."""
        return self.parts[0].display_window

    @property
    def decoded_bytes(self) -> int:
        """Of all channels of all parts."""
        return sum(pixels.size * pixels.itemsize for part in self.parts for pixels in part.channels.values())

    def channel_map(self) -> dict[str, tuple[int, str]]:
        """Every channel of every part: a unique name to (part, channel).

        In a multi-part file the part's name stands for the layer where the channel has none:
        ``R`` of the part ``albedo`` is ``albedo.R``. Where views have channels of the same names in parts of their
        own, as Blender writes them, those of the later one get its view's: ``Combined.right.R``.
        """
        found: dict[str, tuple[int, str]] = {}
        main = next((i for i, part in enumerate(self.parts) if part.name.lower() in _MAIN_PARTS), 0)
        for index, part in enumerate(self.parts):
            view = part.attributes.get("view")
            for channel in part.channels:
                name = channel if index == main or "." in channel else f"{part.name}.{channel}"
                if name in found and isinstance(view, str) and "." in channel:
                    layer, _, component = channel.rpartition(".")
                    name = f"{layer}.{view}.{component}"
                if name in found:
                    name = f"{part.name}.{channel}"
                found.setdefault(name, (index, channel))
        return found


class NoRadianceError(ImageError):
    """No channels of an image look like the radiance."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"no radiance among the channels {', '.join(names)}", "Name the layer with --role radiance=LAYER"
        )


def resolve_roles(
    exr: Exr, roles: Mapping[str, str] | None = None, beauty: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Plane name to unique channel names (see ``Exr.channel_map``); ``beauty`` is the radiance's layer."""
    names = list(exr.channel_map())
    resolved = role_names.resolve(names, roles, beauty)
    if "radiance" not in resolved:
        raise NoRadianceError(names)
    return resolved


def to_frame(exr: Exr, *, roles: Mapping[str, str] | None = None, number: int = 1, beauty: str | None = None) -> Frame:
    """The planes of an image as float32, with spp, seed and the attributes as metadata.

    Pixels are passed on as they are, NaN, Inf and negative ones too (see ``count_bad``). Planes of parts with
    another data window are cropped or padded with 0 to that of the radiance. Grey becomes three equal channels.

    Raises:
        ImageError: There is no radiance.
        InputError: A role or layer that was given does not exist.
    """
    places = exr.channel_map()
    resolved = resolve_roles(exr, roles, beauty)
    main = exr.parts[places[resolved["radiance"][0]][0]]
    planes: dict[str, Plane] = {}
    for role, names in resolved.items():
        found = [(exr.parts[part], channel) for part, channel in (places[name] for name in names)]
        plane = np.stack([_fit(part.channels[channel], part.data_window, main.data_window) for part, channel in found])
        planes[role] = np.repeat(plane, PLANE_CHANNELS[role], axis=0) if len(plane) == 1 else plane
    metadata = {**exr.attributes, **main.attributes}
    metadata = {key: _plain(value) for key, value in metadata.items()}
    seed = _integer(metadata.get("seed"))
    projection = Projection.from_attributes(metadata)
    display, data = main.display_window, main.data_window
    assert display is not None  # filled in by Part
    assert data is not None
    if projection is not None:
        projection = projection.within(display, data)
    else:
        metadata[HEADER_CAMERAS] = _cameras(metadata, display, data)
    return Frame(planes, max(_spp(metadata), 0), number, seed, metadata, projection)


def _fit(pixels: NDArray[Any], source: Window | None, target: Window | None) -> Plane:
    if source == target or source is None or target is None:
        return pixels.astype(np.float32)
    fitted = np.zeros((target[3] - target[1] + 1, target[2] - target[0] + 1), np.float32)
    x_min, y_min = max(source[0], target[0]), max(source[1], target[1])
    x_max, y_max = min(source[2], target[2]), min(source[3], target[3])
    if x_min <= x_max and y_min <= y_max:
        fitted[y_min - target[1] : y_max - target[1] + 1, x_min - target[0] : x_max - target[0] + 1] = pixels[
            y_min - source[1] : y_max - source[1] + 1, x_min - source[0] : x_max - source[0] + 1
        ]
    return fitted


def _cameras(metadata: Mapping[str, Any], display: Window, data: Window) -> tuple[HeaderCamera, ...]:
    """What a header says of its camera; nothing where its values are of other types or make no sense."""
    try:
        with np.errstate(all="ignore"):
            return header_cameras(metadata, display, data)
    except (TypeError, ValueError, ArithmeticError, LookupError):
        return ()


def _plain(value: Any) -> Any:
    is_double = isinstance(value, np.ndarray) and value.shape == (1,) and value.dtype == np.float64
    return float(value[0]) if is_double else value


def _integer(value: Any) -> int | None:
    match = re.fullmatch(r"(-?\d{1,40})(\.0*)?", str(value))
    return int(match[1]) if match else None


def _spp(metadata: Mapping[str, Any]) -> int:
    cycles = (value for key, value in metadata.items() if re.fullmatch(r"cycles\..*\.samples", key))
    return _integer(metadata.get("spp", next(cycles, None))) or 0


def replace_radiance(
    exr: Exr,
    radiance: Plane,
    *,
    roles: Mapping[str, str] | None = None,
    beauty: str | None = None,
    keep_noisy: bool = False,
    extra: Mapping[str, NDArray[Any]] | None = None,
    attributes: Mapping[str, str | int | float] | None = None,
) -> Exr:
    """The image with another radiance under the same channel names and types; the rest is untouched.

    Args:
        exr: The image as it was read.
        radiance: ``[3, H, W]`` of the radiance's part. Half channels are clipped to the range of half.
        roles: As in ``read_frame``.
        beauty: As in ``read_frame``.
        keep_noisy: Add the original as ``noisy.R/G/B``, unless the file has such channels already; that of a beauty
            that is named, in its own view layer or view, as ``noisy.right.R/G/B``.
        extra: Channel name to ``[H, W]``, added to the radiance's part (``error.Y``).
        attributes: Added to the header of the radiance's part.
    """
    places = exr.channel_map()
    names = resolve_roles(exr, roles, beauty)["radiance"]
    index = places[names[0]][0]
    part = exr.parts[index]
    channels = dict(part.channels)
    own = [places[name][1] for name in names]
    if radiance.shape != (3, *channels[own[0]].shape):
        raise ImageError(f"the new radiance is {radiance.shape}, but the file's is {(3, *channels[own[0]].shape)}")
    components = own if len(own) == 3 else own[:1]
    kept = scope_name(names).format("noisy") if beauty else "noisy"
    if keep_noisy and not any(name.lower().startswith(f"{kept}.".lower()) for name in channels):
        suffixes = "RGB" if len(components) == 3 else "Y"
        channels.update({f"{kept}.{s}": channels[name] for s, name in zip(suffixes, components, strict=True)})
    planes = radiance if len(components) == 3 else (radiance * _LUMA).sum(axis=0, keepdims=True)
    for name, pixels in zip(components, planes, strict=True):
        channels[name] = _cast(pixels, channels[name].dtype)
    channels.update({name: np.asarray(pixels, np.float32) for name, pixels in (extra or {}).items()})
    header = {**part.attributes, **{key: header_value(value) for key, value in (attributes or {}).items()}}
    changed = replace(part, channels=channels, attributes=header)
    return Exr((*exr.parts[:index], changed, *exr.parts[index + 1 :]))


def replace_channels(exr: Exr, pixels: Mapping[str, NDArray[Any]]) -> Exr:
    """The image with other pixels in some channels, under their own types; the rest is untouched.

    Args:
        exr: The image as it was read.
        pixels: Unique channel name (see ``Exr.channel_map``) to ``[H, W]`` of its part. Half channels are clipped to
            the range of half.
    """
    places = exr.channel_map()
    channels = [dict(part.channels) for part in exr.parts]
    for name, new in pixels.items():
        index, channel = places[name]
        channels[index][channel] = _cast(new, channels[index][channel].dtype)
    return Exr(tuple(replace(part, channels=own) for part, own in zip(exr.parts, channels, strict=True)))


def _cast(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype == np.float16:
        return np.clip(pixels, -_HALF_MAX, _HALF_MAX).astype(dtype)
    if dtype == np.uint32:
        return np.rint(np.clip(np.nan_to_num(pixels.astype(np.float64)), 0, 2**32 - 1)).astype(dtype)
    return pixels.astype(dtype)


def count_bad(frame: Frame, plane: str = "radiance") -> dict[str, int]:
    """Pixels of a plane with a NaN, an infinite or a negative channel: ``nan``, ``inf`` and ``negative``."""
    pixels = frame.planes[plane]
    bad = {"nan": np.isnan(pixels), "inf": np.isinf(pixels), "negative": pixels < 0}
    return {kind: int(mask.any(axis=0).sum()) for kind, mask in bad.items()}


def header_value(value: Any) -> Any:
    """Text or a number as an EXR attribute that reads back as the same value."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool | int):
        # OpenEXR's int has 32 bits, and its Python module wraps larger ones without a word.
        return int(value) if -(2**31) <= value < 2**31 else str(value)
    # A one-element array is OpenEXR's double; a Python float would be cut to 32 bits.
    return np.array([value], np.float64) if isinstance(value, float) else str(value)
