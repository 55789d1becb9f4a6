"""Small EXR files of every flavour, written by OpenEXR alone, and their headers byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

H, W = 21, 30
LONG_NAMES, MULTIPART = 0x400, 0x1000  # flags of the format
COMPRESSIONS = [name for name in OpenEXR.Compression.__members__ if not name.startswith("NUM")]

Attributes = dict[bytes, tuple[bytes, bytes]]
Channels = dict[str, np.ndarray]


@dataclass
class Split:
    """An EXR file in pieces: its flags, each part's attributes (name to type and value), and all that follows."""

    flags: int
    parts: list[Attributes]
    rest: bytes
    end: int

    @classmethod
    def of(cls, data: bytes) -> Split:
        """The pieces of a sound file."""
        (flags,) = struct.unpack_from("<I", data, 4)
        parts, position = [], 8
        while data[position]:
            attributes: Attributes = {}
            while data[position]:
                name, kind = data[position:].split(b"\0", 2)[:2]
                position += len(name) + len(kind) + 2
                (size,) = struct.unpack_from("<I", data, position)
                attributes[name] = (kind, data[position + 4 : position + 4 + size])
                position += 4 + size
            parts.append(attributes)
            position += 1
            if not flags & MULTIPART:
                return cls(flags, parts, data[position:], position)
        return cls(flags, parts, data[position + 1 :], position + 1)

    def header(self) -> bytes:
        """The file up to its chunk offset tables."""
        entries = [
            b"".join(n + b"\0" + k + b"\0" + struct.pack("<i", len(v)) + v for n, (k, v) in part.items()) + b"\0"
            for part in self.parts
        ]
        end = b"\0" if self.flags & MULTIPART else b""
        return b"\x76\x2f\x31\x01" + struct.pack("<I", self.flags) + b"".join(entries) + end

    def offsets(self) -> list[int]:
        """The chunk offset tables of all parts; they end where the first chunk starts."""
        found: list[int] = []
        while not found or self.end + 8 * len(found) < min(found):
            found += struct.unpack_from("<Q", self.rest, 8 * len(found))
        return found

    def join(self) -> bytes:
        """The file again, with chunk offsets for its header as it is now."""
        header, offsets = self.header(), self.offsets()
        moved = [(offset + len(header) - self.end) % 2**64 for offset in offsets]
        return header + struct.pack(f"<{len(moved)}Q", *moved) + self.rest[8 * len(moved) :]


def pixels(seed: int, dtype: Any = np.float32, shape: tuple[int, int] = (H, W)) -> np.ndarray:
    """Noise in blocks, which every codec can shrink, ``[H, W]``: positive, but any bits at all in uint32."""
    rng = np.random.default_rng(seed)
    blocks = (-(-shape[0] // 5), -(-shape[1] // 6))
    is_id = dtype == np.uint32
    few = rng.integers(0, 2**32, blocks, np.uint32) if is_id else rng.lognormal(0, 1, blocks).astype(dtype)
    return np.ascontiguousarray(np.kron(few, np.ones((5, 6), dtype))[: shape[0], : shape[1]])


def ids(seed: int, shape: tuple[int, int] = (H, W)) -> np.ndarray:
    """What Cryptomatte keeps in a float channel, ``[H, W]``: hashes, NaNs with a payload among them."""
    found = pixels(seed, np.uint32, shape)
    found[0, 0] = 0x7FA12345
    return found.view(np.float32)


def render(shape: tuple[int, int] = (H, W)) -> Channels:
    """A beauty, features and data of mixed types, where every layer but the beauty has NaN and Inf."""
    channels = {c: pixels(i, np.float16, shape) for i, c in enumerate("RGBA")}
    channels |= {f"albedo.{c}": pixels(i + 4, np.float16, shape) for i, c in enumerate("RGB")}
    channels |= {f"N.{c}": pixels(i + 7, np.float32, shape) for i, c in enumerate("XYZ")}
    channels |= {"Z": pixels(10, np.float32, shape), "id": pixels(11, np.uint32, shape)}
    channels |= {f"crypto00.{c}": ids(i + 12, shape) for i, c in enumerate("RGBA")}
    channels["Z"][0, 0], channels["albedo.R"][-1, -1] = np.inf, np.nan
    return channels


def box(x_min: int, y_min: int, x_max: int, y_max: int) -> tuple[np.ndarray, np.ndarray]:
    """A window as OpenEXR takes it."""
    return np.array([x_min, y_min], np.int32), np.array([x_max, y_max], np.int32)


def tiles(width: int, height: int) -> dict[str, Any]:
    """The header of a tiled part."""
    description = OpenEXR.TileDescription()
    description.xSize, description.ySize = width, height
    return {"type": OpenEXR.tiledimage, "tiles": description}


def part(channels: Channels, name: str = "", **header: Any) -> OpenEXR.Part:
    """A part of a file; scanlines and ZIP where the header does not say otherwise."""
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **header}
    return OpenEXR.Part(header, dict(channels), name)


def _multi_part() -> list[OpenEXR.Part]:
    colour = {c: pixels(i, np.float16) for i, c in enumerate("RGBA")}
    albedo = {c: pixels(i + 4) for i, c in enumerate("RGB")}
    film = {"displayWindow": box(0, 0, W - 1, H - 1)}
    return [
        part({"Z": pixels(9)}, "depth", dataWindow=box(2, 1, W + 1, H), **film),
        part(colour, "rgba", spp=32, compression=OpenEXR.PIZ_COMPRESSION, **film),
        part(albedo, "albedo", **tiles(5, 4), **film),
        part({c: ids(i) for i, c in enumerate("RGBA")}, "crypto00", compression=OpenEXR.ZIPS_COMPRESSION, **film),
        part({"id": pixels(8, np.uint32)}, "ids", lineOrder=OpenEXR.DECREASING_Y, **film),
    ]


def _two_views() -> list[OpenEXR.Part]:
    return [
        part({c: pixels(i + 10 * eye, np.float16) for i, c in enumerate("RGB")}, f"rgba.{view}", view=view)
        for eye, view in enumerate(("left", "right"))
    ]


def _cryptomatte() -> OpenEXR.Part:
    about = {
        "cryptomatte/1a2b3c4/name": "crypto",
        "cryptomatte/1a2b3c4/hash": "MurmurHash3_32",
        "cryptomatte/1a2b3c4/conversion": "uint32_to_float32",
        "cryptomatte/1a2b3c4/manifest": '{"cube": "0a0b0c0d", "h\u00f6he": "7fa12345"}',
    }
    layers = {f"crypto{n:02}.{c}": ids(4 * n + i) for n in range(3) for i, c in enumerate("RGBA")}
    return part({c: pixels(i) for i, c in enumerate("RGB")} | layers, **about)


def _deep() -> OpenEXR.Part:
    samples = np.empty((H, W), dtype=object)
    for index in np.ndindex(H, W):
        samples[index] = np.array([1, 2], np.float32)
    return part({"Z": samples}, type=OpenEXR.deepscanline, compression=OpenEXR.ZIPS_COMPRESSION)


def _text(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<i", len(text)) + text for text in texts)


_SIGNALLING_NAN = bytes.fromhex("0100a07f")

#: Attributes of every type, and of the kinds that a library is tempted to mend: name to type and value.
ATTRIBUTES: Attributes = {
    b"box2f": (b"box2f", struct.pack("<4f", 1, 2, 3, 4)),
    b"box2i": (b"box2i", struct.pack("<4i", 1, 2, 3, 4)),
    b"chromaticities": (b"chromaticities", struct.pack("<8f", 0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329)),
    b"double": (b"double", struct.pack("<d", 0.1)),
    b"envmap": (b"envmap", b"\1"),
    b"float": (b"float", struct.pack("<f", 0.1)),
    b"floatNaN": (b"float", _SIGNALLING_NAN),
    b"floats": (b"floatvector", struct.pack("<2f", 0.1, 0.2)),
    b"floatsNaN": (b"floatvector", struct.pack("<f", 1) + _SIGNALLING_NAN),
    b"floatsNone": (b"floatvector", b""),
    b"int": (b"int", struct.pack("<i", -3)),
    b"keycode": (b"keycode", struct.pack("<7i", 1, 2, 3, 4, 5, 6, 64)),
    b"keycodeZero": (b"keycode", bytes(28)),
    b"m33f": (b"m33f", struct.pack("<9f", *range(9))),
    b"m33d": (b"m33d", struct.pack("<9d", *range(9))),
    b"m44d": (b"m44d", struct.pack("<16d", *range(16))),
    b"worldToCamera": (b"m44f", struct.pack("<16f", *range(16))),
    b"rendernoise.projection": (b"string", b'{"matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], "near": 0.1}'),
    b"spp": (b"string", b"64"),
    b"seed": (b"float", struct.pack("<f", 7)),
    b"preview": (b"preview", struct.pack("<2I", 2, 3) + bytes(range(24))),
    b"framesPerSecond": (b"rational", struct.pack("<iI", 24000, 1000)),
    b"rational": (b"rational", struct.pack("<iI", -24000, 1001)),
    b"rationalNone": (b"rational", struct.pack("<iI", 1, 0)),
    b"comments": (b"string", "h\u00f6he".encode()),
    b"latin1": (b"string", "h\u00f6he".encode("latin-1")),
    b"zeros": (b"string", b"a\0b\0"),
    b"nothing": (b"string", b""),
    b"multiView": (b"stringvector", _text(b"left", b"right")),
    b"views": (b"stringvector", _text("h\u00f6he".encode("latin-1"), b"")),
    b"stringsNone": (b"stringvector", b""),
    b"timeCode": (b"timecode", struct.pack("<2I", 0x01020304, 0xDEADBEEF)),
    b"v2i": (b"v2i", struct.pack("<2i", 1, 2)),
    b"v2f": (b"v2f", struct.pack("<f", 1) + _SIGNALLING_NAN),
    b"v2d": (b"v2d", struct.pack("<2d", 1, 2)),
    b"v3i": (b"v3i", struct.pack("<3i", 1, 2, 3)),
    b"v3f": (b"v3f", struct.pack("<3f", 1, 2, 3)),
    b"v3d": (b"v3d", struct.pack("<3d", 1, 2, 3)),
    b"channelList": (b"chlist", b"R\0" + struct.pack("<4i", 2, 0, 1, 1) + b"\0"),
    b"deepImageState": (b"deepImageState", b"\1"),
    b"idManifest": (b"idmanifest", bytes(4)),
    b"bytes": (b"bytes", struct.pack("<I", 1) + b"x\1\2"),
    b"bytesLatin1": (b"bytes", struct.pack("<I", 1) + b"\xef\1\2"),
    b"theirs": (b"their own type", b"\0\1\xff"),
    b"theirsNone": (b"theirs", b""),
    b"an attribute of more than 31 characters": (b"int", struct.pack("<i", 3)),
    b"pixelAspectRatio": (b"float", struct.pack("<f", 2)),
    b"screenWindowCenter": (b"v2f", struct.pack("<2f", 0.5, 0.25)),
    b"screenWindowWidth": (b"float", struct.pack("<f", 1.5)),
    b"tiles": (b"tiledesc", struct.pack("<IIB", 8, 8, 0x10)),
}


#: Name to what makes the parts of a file.
FLAVOURS: Mapping[str, Callable[[], OpenEXR.Part | list[OpenEXR.Part]]] = {
    "scanlines": lambda: part(render()),
    "tiled": lambda: part(render(), **tiles(5, 4)),
    "tiled random": lambda: part(render(), **tiles(8, 8), lineOrder=OpenEXR.RANDOM_Y),
    "decreasing": lambda: part(render(), lineOrder=OpenEXR.DECREASING_Y, compression=OpenEXR.ZIPS_COMPRESSION),
    "multi-part": _multi_part,
    "one part of many": lambda: [part(render(), "beauty")],
    "views": lambda: part(
        {c: pixels(i) for i, c in enumerate(("R", "G", "B", "right.R", "right.G", "right.B"))},
        multiView=["left", "right"],
    ),
    "parts of views": _two_views,
    "overscan": lambda: part(render(), dataWindow=box(-3, -2, W - 4, H - 3), displayWindow=box(0, 0, 7, 4)),
    "crop": lambda: part(render(), dataWindow=box(100, 50, W + 99, H + 49), displayWindow=box(0, 0, 1919, 1079)),
    "far away": lambda: part(render(), dataWindow=box(-500, -900, W - 501, H - 901), displayWindow=box(-9, -9, 9, 9)),
    "one pixel": lambda: part(render((1, 1))),
    "one row": lambda: part(render((1, 37))),
    "one column": lambda: part(render((37, 1)), compression=OpenEXR.PIZ_COMPRESSION),
    "long names": lambda: part(render() | {"a layer with a name of more than 31 characters.R": pixels(20)}),
    "200 channels": lambda: part(render() | {f"light{i:03}.R": pixels(i, np.float16) for i in range(200)}),
    "cryptomatte": _cryptomatte,
    "grey": lambda: part({"Y": pixels(1), "id": pixels(2, np.uint32)}),
    "linear": lambda: part({c: OpenEXR.Channel(c, pixels(i), 1, 1, c != "G") for i, c in enumerate("RGB")}),  # type: ignore[arg-type]
    **{name: lambda c=code: part(render(), compression=c) for name, code in OpenEXR.Compression.__members__.items()
       if name in COMPRESSIONS},
    **{f"tiled {name}": lambda c=code: part(render(), compression=c, **tiles(8, 8))
       for name, code in OpenEXR.Compression.__members__.items() if name in COMPRESSIONS},
}  # fmt: skip


def write(path: Path, flavour: str) -> Path:
    """A file of one of the ``FLAVOURS``, or of those ``SPLICED`` and ``REFUSED``."""
    if flavour in SPLICED or flavour in REFUSED:
        path.write_bytes({**SPLICED, **REFUSED}[flavour](path))
        return path
    parts = FLAVOURS[flavour]()
    OpenEXR.File(parts if isinstance(parts, list) else [parts]).write(str(path))
    return path


def _written(path: Path, parts: OpenEXR.Part | list[OpenEXR.Part]) -> Split:
    OpenEXR.File(parts if isinstance(parts, list) else [parts]).write(str(path))
    return Split.of(path.read_bytes())


def _with_attributes(path: Path, parts: OpenEXR.Part | list[OpenEXR.Part]) -> bytes:
    file = _written(path, parts)
    file.flags |= LONG_NAMES
    for attributes in file.parts:
        attributes.update(ATTRIBUTES)
    return file.join()


def _subsampled(path: Path) -> bytes:
    file = _written(path, part({"Y": pixels(1, shape=(8, 8)), "RY": pixels(2, shape=(8, 8))}))
    kind, channels = file.parts[0][b"channels"]
    halved = channels.replace(b"RY\0" + struct.pack("<4i", 2, 0, 1, 1), b"RY\0" + struct.pack("<4i", 2, 0, 2, 2))
    assert halved != channels
    file.parts[0][b"channels"] = (kind, halved)
    return file.join()


def _mipmaps(path: Path) -> bytes:
    """Three levels of 4x4 px, uncompressed: OpenEXR's Python module writes the first alone."""
    one = part(
        {c: pixels(i, shape=(4, 4)) for i, c in enumerate("RGB")}, **tiles(4, 4), compression=OpenEXR.NO_COMPRESSION
    )
    file = _written(path, one)
    file.parts[0][b"tiles"] = (b"tiledesc", struct.pack("<IIB", 4, 4, 1))
    start, chunks, offsets = len(file.header()) + 24, b"", []
    for level, side in enumerate((4, 2, 1)):
        offsets.append(start + len(chunks))
        values = pixels(level, shape=(1, 3 * side * side)).tobytes()
        chunks += struct.pack("<5i", 0, 0, level, level, len(values)) + values
    return file.header() + struct.pack("<3Q", *offsets) + chunks


#: Sound files that the Python module cannot write.
SPLICED: Mapping[str, Callable[[Path], bytes]] = {
    "attributes": lambda path: _with_attributes(path, part(render())),
    "attributes of tiles": lambda path: _with_attributes(path, part(render(), **tiles(8, 8))),
    "attributes of parts": lambda path: _with_attributes(path, _two_views()),
}

#: Files that are refused.
REFUSED: Mapping[str, Callable[[Path], bytes]] = {
    "deep": lambda path: (OpenEXR.File([_deep()]).write(str(path)), path.read_bytes())[1],
    "subsampled": _subsampled,
    "mipmaps": _mipmaps,
}
