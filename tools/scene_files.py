"""Write what the scenes refer to: PNG, Radiance HDR, PLY, curves and camera paths, the same bytes every time."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from scene_meshes import Mesh
from scene_textures import Image


def write_png(path: Path, image: Image) -> None:
    """Write display-encoded [0, 1] as 8-bit PNG; 64 levels keep the files small."""
    levels = np.round(np.clip(image, 0, 1) * 63) * 255 / 63
    iio.imwrite(path, np.round(levels).astype(np.uint8), plugin="pillow", optimize=True)


def write_hdr(path: Path, radiance: Image) -> None:
    """Write linear radiance `[h, w, 3]` as an uncompressed Radiance picture."""
    height, width, _ = radiance.shape
    fraction, exponent = np.frexp(np.maximum(radiance.max(axis=-1), 1e-9))
    mantissa = np.clip(radiance * (fraction * 256 / radiance.max(axis=-1))[..., None], 0, 255)
    pixels = np.concatenate([mantissa, exponent[..., None] + 128], -1).astype(np.uint8)
    header = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n"
    path.write_bytes(header.encode() + pixels.tobytes())


def write_ply(path: Path, mesh: Mesh, uvs: bool = True) -> None:
    """Write a binary little-endian PLY; numbers are rounded so that equal runs give equal bytes."""
    # Here v grows upwards; Mitsuba reads a picture from its top row.
    flipped = mesh.uvs * (1, -1) + (0, 1)
    columns = [mesh.positions, mesh.normals] + ([flipped] if uvs else [])
    names = ["x", "y", "z", "nx", "ny", "nz"] + (["u", "v"] if uvs else [])
    vertices = (np.round(np.concatenate(columns, 1), 5) + 0.0).astype("<f4")
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {name}" for name in names]
    header += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header", ""]
    faces = b"".join(struct.pack("<B3i", 3, *map(int, face)) for face in mesh.faces)
    path.write_bytes("\n".join(header).encode() + vertices.tobytes() + faces)


def write_curves(path: Path, curves: NDArray[np.float64]) -> None:
    """Write control points `[curves, points, (x, y, z, radius)]` in Mitsuba's curve format."""
    blocks = ["\n".join(" ".join(f"{value:.4f}" for value in point) for point in strand) for strand in curves]
    path.write_text("\n\n".join(blocks) + "\n", encoding="ascii", newline="\n")


def write_camera(path: Path, keyframes: list[tuple[int, list[float], list[float], float]]) -> None:
    """Write keyframes of (frame, origin, target, fov in degrees) as `camera.json`."""
    rows: list[dict[str, Any]] = [
        {"frame": frame, "origin": np.round(origin, 4).tolist(), "target": target, "up": [0, 1, 0], "fov": fov}
        for frame, origin, target, fov in keyframes
    ]
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    path.write_text(f'{{"keyframes": [\n{lines}\n]}}\n', encoding="utf-8", newline="\n")
