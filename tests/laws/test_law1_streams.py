"""Law 1, the seed tree: every render of a run has a random stream of its own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendernoise.errors import InputError
from rendernoise.seeds import HALVES, MAX_PASSES, MAX_RUN_SEED, Stream, check_shot, jit_seed, scalar_seed

SEEDS = st.integers(0, MAX_RUN_SEED)
FRAMES = st.integers(0, 65_535)
STREAMS = st.builds(Stream, SEEDS, FRAMES, st.integers(0, MAX_PASSES - 1), st.sampled_from(HALVES))


@given(STREAMS, STREAMS)
def test_packing_loses_nothing(one: Stream, two: Stream) -> None:
    assert 0 <= one.pack() < 1 << 63
    assert Stream.unpack(one.pack()) == one
    assert (one.pack() == two.pack()) == (one == two)


@given(SEEDS, st.integers(-(10**6), 10**6), st.integers(-65_535, 65_535))
def test_two_frames_of_a_shot_never_share_a_stream(seed: int, frame: int, distance: int) -> None:
    same = Stream(seed, frame, 0, "a").pack() == Stream(seed, frame + distance, 0, "a").pack()
    assert same == (distance == 0)


def test_a_shot_that_would_repeat_streams_is_refused() -> None:
    check_shot([5, 5 + 65_535])
    with pytest.raises(InputError, match="65536 frames"):
        check_shot([5, 5 + 65_536])


@given(SEEDS, st.integers(0, 1000), st.integers(1, 3), st.integers(1, 4), st.integers(1, 6))
def test_jit_seeds_of_a_run_are_all_different(seed: int, first: int, frames: int, passes: int, chunks: int) -> None:
    made = [
        jit_seed(Stream(seed, frame, index, half).pack(), chunk=chunk, chunks=chunks)
        for frame in range(first, first + frames)
        for index in range(passes)
        for half in HALVES
        for chunk in range(chunks)
    ]
    assert len(set(made)) == len(made)
    assert all(0 <= s < 1 << 32 for s in made)


@given(SEEDS, st.data())
def test_jit_seeds_far_apart_are_different_too(seed: int, data: st.DataObject) -> None:
    chunks = data.draw(st.integers(1, 64))
    place = st.tuples(FRAMES, st.integers(0, 16_384 // chunks - 1), st.integers(0, chunks - 1), st.sampled_from(HALVES))
    one, two = data.draw(place), data.draw(place)
    seeds = [jit_seed(Stream(seed, f, p, h).pack(), chunk=c, chunks=chunks) for f, p, c, h in (one, two)]
    assert (seeds[0] == seeds[1]) == (one == two)


def test_jit_seeds_refuse_to_wrap() -> None:
    last = Stream(3, 65_535, 16_383, "reference_b").pack()
    assert 0 <= jit_seed(last) < 1 << 32
    with pytest.raises(InputError, match="exceeds 16384 random streams"):
        jit_seed(Stream(3, 0, 16_384, "a").pack())
    with pytest.raises(InputError, match="in 2 chunks"):
        jit_seed(Stream(3, 0, 8_192, "a").pack(), chunks=2)


def overlap(one: int, two: int, length: int, circle: int = 1 << 32) -> bool:
    """Whether [one, one + length) and [two, two + length) share a number on a circle."""
    return min((one - two) % circle, (two - one) % circle) < length


@settings(max_examples=200)
@given(
    SEEDS,
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.sampled_from([1, 2, 4, 8, 16, 32]),
    st.integers(0, 60_000),
    st.integers(1, 5),
    st.data(),
)
def test_scalar_renders_use_disjoint_generators(
    seed: int, width: int, height: int, block: int, first: int, frames: int, data: st.DataObject
) -> None:
    span = (first, first + frames - 1)
    pixels = width * height
    extent = math.ceil(width / 32) * math.ceil(height / 32) * 32 * 32
    # Mitsuba makes blocks smaller when there are more threads than blocks; these must fit as well.
    assert math.ceil(width / block) * math.ceil(height / block) * block**2 <= extent
    capacity = (1 << 32) // (math.ceil(extent / pixels) * pixels)
    passes = capacity // (frames * len(HALVES))
    if not passes:
        return
    place = st.tuples(st.integers(*span), st.integers(0, min(passes, MAX_PASSES) - 1), st.sampled_from(HALVES))
    one, two = data.draw(place), data.draw(place)
    starts = [
        scalar_seed(Stream(seed, *p).pack(), width=width, height=height, block=32, frames=span) * pixels
        for p in (one, two)
    ]
    assert all(0 <= s // pixels < 1 << 32 for s in starts)
    if one != two:
        assert not overlap(starts[0] % (1 << 32), starts[1] % (1 << 32), extent)
    else:
        assert starts[0] == starts[1]


def test_the_interval_check_would_notice_seeds_that_are_not_strided() -> None:
    width, height = 40, 24
    assert overlap(0 * width * height, 1 * width * height, 2 * 32 * 32)


@pytest.mark.parametrize("seed", [0, 1, MAX_RUN_SEED])
@pytest.mark.parametrize("size", [(1, 1), (40, 24), (33, 1), (1920, 1080)])
def test_scalar_streams_of_a_small_shot_fill_no_number_twice(seed: int, size: tuple[int, int]) -> None:
    width, height = size
    pixels = width * height
    extent = math.ceil(width / 32) * math.ceil(height / 32) * 1024
    starts = sorted(
        scalar_seed(Stream(seed, f, p, h).pack(), width=width, height=height, block=32, frames=(1, 4)) * pixels
        for f in range(1, 5)
        for p in range(3)
        for h in HALVES
    )
    gaps = [b - a for a, b in zip(starts, [*starts[1:], starts[0] + (1 << 32)], strict=True)]
    assert min(gaps) >= extent


def test_scalar_seeds_refuse_to_wrap() -> None:
    size = {"width": 1920, "height": 1080, "block": 32, "frames": (1, 24)}
    scalar_seed(Stream(0, 24, 9, "b").pack(), **size)
    with pytest.raises(InputError, match="Use an LLVM or CUDA variant"):
        scalar_seed(Stream(0, 24, 30, "b").pack(), **size)


@pytest.mark.parametrize("frame", [0, 5])
def test_scalar_seeds_refuse_a_frame_outside_the_shot(frame: int) -> None:
    # Frame 5 of a shot counted as 1 to 4 would use the numbers of frame 1, next pass.
    with pytest.raises(InputError, match="outside"):
        scalar_seed(Stream(0, frame, 0, "a").pack(), width=8, height=8, block=32, frames=(1, 4))


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (MAX_RUN_SEED + 1, 0), (0, -1), (0, MAX_PASSES)])
def test_seeds_and_passes_out_of_range_are_refused(seed: int, index: int) -> None:
    with pytest.raises(InputError, match="out of range"):
        Stream(seed, 1, index, "a")


def test_seed_zero_is_a_seed_like_any_other() -> None:
    def seeds(run: int) -> set[int]:
        packed = [Stream(run, f, p, h).pack() for f in range(4) for p in range(4) for h in HALVES]
        jit = {jit_seed(s) for s in packed}
        scalar = {scalar_seed(s, width=40, height=24, block=32, frames=(0, 3)) for s in packed}
        assert len(jit) == len(scalar) == len(packed)
        return jit

    zero, one, two = seeds(0), seeds(1), seeds(2)
    assert not zero & one
    assert not zero & two
    assert not one & two
