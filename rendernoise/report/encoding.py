"""Radiance as text that a web page carries and a browser reads back, precise enough for any exposure.

A value becomes a half float with 7 of its 10 bits of mantissa: at most 0.4 % away, which is less than a step of 8 bit
sRGB at every exposure. That is a code of 13 bits. Codes are predicted from their left neighbour and from green where
this helps, split into a plane of low and one of high bytes, deflated, and written as base64. ``assets/pixels.js``
reads it.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rendernoise.color import auto_exposure
from rendernoise.frame import Plane

#: Largest value that a half float with 7 bits of mantissa holds; larger finite ones are shown as this.
LARGEST = 65280.0
RELATIVE_ERROR = 2.0**-8
_CODES = 1 << 13
#: Scenes whose typical luminance is further from 0.5 than this are scaled, so that neither end of a half is reached.
_UNSCALED_EV = 4

Mode = Literal["plain", "left"]


@dataclass(frozen=True)
class Encoded:
    """One image as text.

    Args:
        text: Base64 of the deflated codes.
        width: Columns, px.
        height: Rows, px.
        mode: How codes were predicted: not at all, or from the left and from green.
        shift_ev: The codes hold radiance times 2^shift_ev.
        nonfinite_px: Pixels with NaN or infinity in a channel.
    """

    text: str
    width: int
    height: int
    mode: Mode
    shift_ev: int
    nonfinite_px: int

    def to_json(self) -> dict[str, Any]:
        """All but the text."""
        return {
            "w": self.width,
            "h": self.height,
            "mode": self.mode,
            "shift": self.shift_ev,
            "bad": self.nonfinite_px,
        }


def encode(radiance: Plane) -> Encoded:
    """Encode linear RGB ``[3, H, W]``; NaN, infinities and negative values stay what they are."""
    exposure_ev = round(float(np.log2(auto_exposure(radiance))))
    shift_ev = 0 if abs(exposure_ev) <= _UNSCALED_EV else exposure_ev
    codes = _quantised(np.ldexp(radiance.astype(np.float32), shift_ev))
    data, mode = _smallest(codes)
    return Encoded(
        base64.b64encode(data).decode("ascii"),
        width=radiance.shape[2],
        height=radiance.shape[1],
        mode=mode,
        shift_ev=shift_ev,
        nonfinite_px=int((~np.isfinite(radiance).all(axis=0)).sum()),
    )


def decode(encoded: Encoded) -> Plane:
    """The radiance ``[3, H, W]`` that a browser gets from ``encoded``."""
    shape = (3, encoded.height, encoded.width)
    low, high = np.frombuffer(zlib.decompress(base64.b64decode(encoded.text)), np.uint8).reshape(2, *shape)
    codes = low.astype(np.int32) | (high.astype(np.int32) << 8)
    if encoded.mode == "left":
        difference = np.where(codes & 1, -(codes >> 1) - 1, codes >> 1)
        codes = np.cumsum(difference, axis=2, dtype=np.int32)
        codes[[0, 2]] += codes[1]
    halves = ((codes % _CODES) << 3).astype(np.uint16).view(np.float16)
    return np.ldexp(halves.astype(np.float32), -encoded.shift_ev)


def downscaled(radiance: Plane, factor: int) -> Plane:
    """The means of boxes of ``factor`` px ``[3, ceil(H / factor), ceil(W / factor)]``; a NaN makes its box NaN."""
    if factor == 1:
        return radiance
    rows, columns = (np.arange(0, n, factor) for n in radiance.shape[1:])
    sums = np.add.reduceat(np.add.reduceat(radiance.astype(np.float64), rows, axis=1), columns, axis=2)
    counts = np.outer(*(np.diff([*starts, n]) for starts, n in zip((rows, columns), radiance.shape[1:], strict=True)))
    return (sums / counts).astype(np.float32)


def _quantised(values: Plane) -> NDArray[np.int32]:
    """Half float codes without their lowest 3 bits: sign, 5 bits of exponent, 7 of mantissa."""
    finite = np.isfinite(values)
    bits = np.clip(np.where(finite, values, 0), -LARGEST, LARGEST).view(np.uint32).astype(np.uint64)
    # To 7 bits of mantissa in one step, ties to even: rounding to 10 first would round twice.
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    halves = np.where(finite, rounded, values).astype(np.float16)
    halves[np.isnan(halves)] = np.nan
    # The half adds nothing to normal numbers, whose low bits are 0 already, and rounds subnormal ones.
    return ((halves.view(np.uint16).astype(np.int32) + 4) >> 3).astype(np.int32)


def _predicted(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """What the left neighbour and green do not tell, modulo 2^13, small for small differences of either sign."""
    difference = codes.copy()
    difference[[0, 2]] -= codes[1]
    difference = np.diff(difference, axis=2, prepend=0) % _CODES
    return np.where(difference >= _CODES // 2, ((_CODES - 1 - difference) << 1) | 1, difference << 1)


def _smallest(codes: NDArray[np.int32]) -> tuple[bytes, Mode]:
    """The deflated codes, predicted or not, whichever is smaller."""
    candidates: list[tuple[bytes, Mode]] = [(_bytes(codes), "plain"), (_bytes(_predicted(codes)), "left")]
    packed = [_deflated(raw, zlib.Z_HUFFMAN_ONLY) for raw, _ in candidates]
    best = min(range(2), key=lambda i: len(packed[i]))
    raw, mode = candidates[best]
    # In noise, repeats are chance: looking for them makes it larger than Huffman codes alone.
    return min(packed[best], _deflated(raw, zlib.Z_DEFAULT_STRATEGY), key=len), mode


def _bytes(codes: NDArray[np.int32]) -> bytes:
    return (codes & 255).astype(np.uint8).tobytes() + (codes >> 8).astype(np.uint8).tobytes()


def _deflated(raw: bytes, strategy: int) -> bytes:
    packer = zlib.compressobj(6, strategy=strategy)
    return packer.compress(raw) + packer.flush()
