"""8-bit images: previews out, photographs and test images in. Never on the way of radiance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import ImageError
from rendernoise.frame import Plane
from rendernoise.io.atomic import atomic_path


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write display values as an 8-bit PNG, whole or not at all.

    Args:
        path: Where.
        image: ``[3, H, W]`` or ``[1, H, W]`` in [0, 1]; what lies outside is clipped, NaN becomes 0.

    Raises:
        ImageError: Another shape.
        OutputError: No room, no permission, no folder.
    """
    from PIL import Image

    image = np.asarray(image)
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ImageError(f"a PNG needs [3, H, W] or [1, H, W], not {image.shape}")
    bytes_ = np.rint(np.clip(np.nan_to_num(image, nan=0.0), 0, 1) * 255).astype(np.uint8)
    pixels = bytes_[0] if len(bytes_) == 1 else np.ascontiguousarray(bytes_.transpose(1, 2, 0))
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as stream:
        Image.fromarray(pixels).save(stream, format="PNG")


def read_image(path: Path) -> Plane:
    """Read a PNG or JPEG as ``[3, H, W]``, or ``[1, H, W]`` when it is grey, in [0, 1]. Alpha is dropped.

    Raises:
        ImageError: The file is missing, truncated, or no image.
    """
    from PIL import Image

    path = Path(path)
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16-bit grey
                return (np.asarray(image) / 65535).astype(np.float32)[None]
            grey = image.mode in ("1", "L", "LA")
            pixels = (np.asarray(image.convert("L" if grey else "RGB")) / 255).astype(np.float32)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large for an 8-bit image", "Scale it down") from error
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow's own errors have no errno; only those of the system say more than that the file is bad.
        system = error.strerror.lower() if isinstance(error, OSError) and error.strerror else ""
        raise ImageError(
            f"cannot read {path}: {system or 'it is no image, or a truncated one'}", "Give a PNG or a JPEG file"
        ) from error
    return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))
