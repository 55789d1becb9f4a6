"""The seed tree: every render of every run draws from its own random stream (law 1).

A :class:`Stream` names one render by run seed, frame, pass and half. It packs into one integer, and
renderers turn that into the seed that their own generator takes. The mapping is injective within a
run, so two renders never share random numbers; nothing is hashed where a collision could hide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rendernoise.errors import InputError

#: The independent renders of one pass: the two halves of a pair, and the two halves of a reference.
HALVES = ("a", "b", "reference_a", "reference_b")
#: What the noise suite draws for: where crops lie, by how much whole images are shifted, the noise of the input and of
#: the target, which pixels are hidden, the noise that an image keeps through a training, and that of test images.
PURPOSES = ("crop", "shift", "input", "target", "hide", "realisation", "test")

_HALF_BITS, _FRAME_BITS, _PASS_BITS, _RUN_BITS = 2, 16, 15, 30
_FRAMES = 1 << _FRAME_BITS
MAX_RUN_SEED = (1 << _RUN_BITS) - 1
MAX_PASSES = 1 << _PASS_BITS


@dataclass(frozen=True)
class Stream:
    """One render's place in the seed tree.

    Args:
        run_seed: The run's ``--seed``, 0 to 2³⁰ − 1. Zero is a seed like any other.
        frame: Frame number; frames 65,536 apart would share a stream, so no shot may be that long.
        index: The pass, 0 to 32,767.
        half: One of :data:`HALVES`.
    """

    run_seed: int
    frame: int
    index: int
    half: str

    def __post_init__(self) -> None:
        if not 0 <= self.run_seed <= MAX_RUN_SEED:
            raise InputError(f"seed {self.run_seed} is out of range", f"Use 0 to {MAX_RUN_SEED}")
        if not 0 <= self.index < MAX_PASSES:
            raise InputError(f"pass {self.index} is out of range", f"Use at most {MAX_PASSES} passes")

    def pack(self) -> int:
        """This stream as one integer below 2⁶³; distinct streams give distinct integers."""
        value = self.run_seed
        value = value << _PASS_BITS | self.index
        value = value << _FRAME_BITS | self.frame % _FRAMES
        return value << _HALF_BITS | HALVES.index(self.half)

    @classmethod
    def unpack(cls, value: int) -> Stream:
        """The inverse of :meth:`pack` (frames come back modulo 65,536)."""
        half = HALVES[value & (1 << _HALF_BITS) - 1]
        value >>= _HALF_BITS
        frame = value & _FRAMES - 1
        value >>= _FRAME_BITS
        return cls(value >> _PASS_BITS, frame, value & MAX_PASSES - 1, half)


def generator(run_seed: int, purpose: str, index: int) -> np.random.Generator:
    """The random numbers for one thing that the noise suite draws.

    Philox turns a key and a counter into numbers (Salmon et al. 2011). Seed and purpose are the key, and each index has
    2¹²⁸ counts of its own, so that no two things share a number, and none depends on what was drawn before.

    Args:
        run_seed: The run's ``--seed``.
        purpose: One of :data:`PURPOSES`.
        index: Which of its kind, 0 to 2⁶⁴ − 1.
    """
    key = np.array([run_seed, PURPOSES.index(purpose)], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, index, 0], np.uint64)))


def check_shot(frames: list[int]) -> None:
    """Raise ``InputError`` when a shot is so long that two of its frames would share a stream."""
    if frames and max(frames) - min(frames) >= _FRAMES:
        raise InputError(f"frames {min(frames)} to {max(frames)} span more than {_FRAMES} frames", "Split the shot")


def _run_offset(run_seed: int) -> int:
    return int(np.random.SeedSequence(run_seed).generate_state(1, np.uint32)[0])


def jit_seed(stream: int, *, chunk: int = 0, chunks: int = 1) -> int:
    """The 32-bit seed of one chunk of a render in Mitsuba's LLVM and CUDA variants.

    These variants mix seed and pixel through a cipher, so distinct seeds are independent streams.

    Args:
        stream: A packed :class:`Stream`.
        chunk: Which part of the render's samples.
        chunks: How many parts every render of this run has.

    Raises:
        InputError: passes × chunks exceed the 16,384 that 32 bits leave room for.
    """
    place = Stream.unpack(stream)
    slots = 1 << 32 - _FRAME_BITS - _HALF_BITS
    slot = place.index * chunks + chunk
    if slot >= slots:
        raise InputError(f"pass {place.index} in {chunks} chunks exceeds {slots} random streams", "Use fewer passes")
    index = (slot * _FRAMES + place.frame) * len(HALVES) + HALVES.index(place.half)
    return (index + _run_offset(place.run_seed)) % (1 << 32)


def scalar_seed(stream: int, *, width: int, height: int, block: int, frames: tuple[int, int]) -> int:
    """The seed of a render in Mitsuba's scalar variants.

    Mitsuba gives the pixel i of block k the generator seed·w·h + k·block² + i (mod 2³²). A film that is no
    multiple of the block size runs past w·h, into the next seed's numbers, and large seeds wrap
    around; so seeds are strided, counted densely over the shot, and the wrap is refused.

    Args:
        stream: A packed :class:`Stream`.
        width: Film width, px.
        height: Film height, px.
        block: Side of a render block, px.
        frames: First and last frame number of the shot.

    Raises:
        InputError: The shot needs more random streams than 32 bits hold at this resolution, or the frame is not in it.
    """
    place = Stream.unpack(stream)
    pixels = width * height
    extent = math.ceil(width / block) * math.ceil(height / block) * block * block
    stride = math.ceil(extent / pixels)
    capacity = (1 << 32) // (stride * pixels)
    first, last = frames
    offset_in_shot = (place.frame - first) % _FRAMES
    if offset_in_shot > last - first:
        # Counting it anyway would give it the numbers of another frame's next pass.
        raise InputError(f"frame {place.frame} lies outside the shot of frames {first} to {last}", "Name all frames")
    index = (place.index * (last - first + 1) + offset_in_shot) * len(HALVES) + HALVES.index(place.half)
    if index >= capacity:
        raise InputError(
            f"pass {place.index} of {last - first + 1} frames at {width}x{height} needs more than the {capacity} "
            "random streams of scalar_rgb",
            "Use an LLVM or CUDA variant (rendernoise doctor), fewer frames or passes",
        )
    return (index + _run_offset(place.run_seed) % capacity) % capacity * stride
