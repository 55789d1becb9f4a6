"""Images for a screen, 8 or 16 bits: previews out, photographs and test images in and out. Never of radiance."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import ImageError
from rendernoise.frame import Plane
from rendernoise.io.atomic import write_bytes
from rendernoise.io.deep_image import deep_png, deep_tiff, is_deep_png, read_deep_png, read_deep_tiff

if TYPE_CHECKING:
    from PIL import Image

PNG, JPEG, TIFF = (".png",), (".jpg", ".jpeg"), (".tif", ".tiff")
_CURE = "Give a PNG, JPEG or TIFF file of 8 or 16 bits"


@dataclass(frozen=True)
class Picture:
    """An image file in memory.

    Args:
        pixels: ``[3, H, W]``, or ``[1, H, W]`` when it is grey: uint8 or uint16.
        alpha: ``[H, W]`` in the same type; None where the file has none.
        profile: The colour profile (ICC) of the file, empty for none.
        notes: What was converted or left out.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    profile: bytes = b""
    notes: tuple[str, ...] = ()

    @property
    def unit(self) -> Plane:
        """The pixels as float32 in [0, 1]."""
        return (self.pixels / np.iinfo(self.pixels.dtype).max).astype(np.float32)


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write display values as an 8-bit PNG, whole or not at all.

    Args:
        path: Where.
        image: ``[3, H, W]`` or ``[1, H, W]`` in [0, 1]; what lies outside is clipped, NaN becomes 0.

    Raises:
        ImageError: Another shape.
        OutputError: No room, no permission, no folder.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ImageError(f"a PNG needs [3, H, W] or [1, H, W], not {image.shape}")
    write_bytes(Path(path), _encoded(_samples(image, np.dtype(np.uint8), None), ".png", b""))


def write_picture(path: Path, image: Plane, like: Picture) -> None:
    """Write an image as another one was read: its bit depth, alpha and profile, in the format of the name.

    Args:
        path: Where; PNG, TIFF, or JPEG (quality 95, 8 bits, no alpha).
        image: ``[C, H, W]`` in [0, 1]; what lies outside is clipped.
        like: What was read.

    Raises:
        OutputError: No room, no permission, no folder.
    """
    write_bytes(path, _encoded(_samples(image, like.pixels.dtype, like.alpha), path.suffix.lower(), like.profile))


def read_image(path: Path) -> Plane:
    """Read a PNG, JPEG or TIFF as ``[3, H, W]``, or ``[1, H, W]`` when it is grey, in [0, 1]. Alpha is dropped.

    Raises:
        ImageError: The file is missing, truncated, or no image.
    """
    return read_picture(path).unit


def read_picture(path: Path) -> Picture:
    """Read a PNG, JPEG or TIFF of 8 or 16 bits: grey, RGB, palette or CMYK, with alpha or without.

    Raises:
        ImageError: The file is missing, truncated, or no image.
    """
    from PIL import Image

    path = Path(path)
    try:
        data = path.read_bytes()
        if deep := read_deep_tiff(data):
            return _picture(*deep, [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged file, which is an error, or of oddities that do no harm
            with Image.open(io.BytesIO(data)) as image:
                return _decoded(image, data)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large for an image of so few bits", "Scale it down") from error
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow's own errors have no errno; only those of the system say more than that the file is bad.
        system = error.strerror.lower() if isinstance(error, OSError) and error.strerror else ""
        own = str(error) if type(error) is ValueError else ""
        raise ImageError(
            f"cannot read {path}: {system or own or 'it is no image, or a truncated one'}", _CURE
        ) from error


def _decoded(image: Image.Image, data: bytes) -> Picture:
    """The picture in an opened image."""
    from PIL import ImageOps

    notes: list[str] = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"has {image.n_frames} pages, of which the first is read")  # pyright: ignore[reportAttributeAccessIssue]
    profile: bytes = image.info.get("icc_profile") or b""
    if is_deep_png(data):
        samples = read_deep_png(data)
    elif image.mode.startswith("I"):  # 16-bit grey
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("it has more than 16 bits")
        samples = values.astype(np.uint16)[..., None]
    elif image.mode == "F":
        raise ValueError("it holds floating-point numbers; save it as EXR")
    else:
        if image.mode == "CMYK":
            notes.append("is CMYK, which was converted to RGB")
            profile = b""  # that was one of inks
        alpha = image.has_transparency_data
        grey = image.mode in ("1", "L", "LA", "La")
        shown = ImageOps.exif_transpose(image).convert(("L" if grey else "RGB") + ("A" if alpha else ""))
        samples = np.asarray(shown).reshape(shown.height, shown.width, -1)
    return _picture(samples, profile, notes)


def _picture(samples: NDArray[Any], profile: bytes, notes: list[str]) -> Picture:
    """A picture of ``[H, W, samples]``: 2 are grey and alpha, 4 RGB and alpha."""
    count = samples.shape[2]
    if count > 4:
        raise ValueError(f"it has {count} channels")
    alpha = np.ascontiguousarray(samples[..., -1]) if count in (2, 4) else None
    colours = samples[..., : count - (alpha is not None)]
    return Picture(np.ascontiguousarray(colours.transpose(2, 0, 1)), alpha, profile, tuple(notes))


def _samples(image: NDArray[Any], kind: np.dtype[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """``[H, W, samples]`` of the file's type, of values in [0, 1] and what alpha there was."""
    most = np.iinfo(kind).max
    # In double precision: float32 would round some of 65,536 values to a neighbour.
    values = np.rint(np.clip(np.nan_to_num(image.astype(np.float64), nan=0.0), 0, 1) * most).astype(kind)
    planes = values if alpha is None else np.concatenate([values, alpha[None]])
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def _encoded(samples: NDArray[Any], suffix: str, profile: bytes) -> bytes:
    """The bytes of a file in the format that the suffix names."""
    from PIL import Image

    if samples.dtype == np.uint16:
        return deep_png(samples, profile) if suffix in PNG else deep_tiff(samples, profile)
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    stream = io.BytesIO()
    if suffix in JPEG:
        image.save(stream, format="JPEG", quality=95, subsampling=0, **options)
    elif suffix in TIFF:
        image.save(stream, format="TIFF", compression="tiff_adobe_deflate", **options)
    else:
        image.save(stream, format="PNG", **options)
    return stream.getvalue()
