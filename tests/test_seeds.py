"""Details of the seed tree; that streams never coincide is law 1 (tests/laws)."""

from __future__ import annotations

import pytest

from rendernoise.seeds import (
    HALVES,
    MAX_PASSES,
    MAX_RUN_SEED,
    PURPOSES,
    Stream,
    check_shot,
    generator,
    jit_seed,
    scalar_seed,
)


def test_the_layout_of_a_packed_stream() -> None:
    # Written down because runs are resumed, and files name their seeds: it must not change from version to version.
    assert Stream(0, 0, 0, "a").pack() == 0
    assert Stream(0, 0, 0, "reference_b").pack() == 3
    assert Stream(0, 1, 0, "b").pack() == 5
    assert Stream(0, 0, 1, "a").pack() == 1 << 18
    assert Stream(1, 0, 0, "a").pack() == 1 << 33
    assert Stream(MAX_RUN_SEED, 65_535, MAX_PASSES - 1, "reference_b").pack() == (1 << 63) - 1


def test_negative_frames_are_frames() -> None:
    assert Stream(0, -1, 0, "a").pack() == Stream(0, 65_535, 0, "a").pack()
    seeds = {
        scalar_seed(Stream(0, f, 0, "a").pack(), width=9, height=9, block=32, frames=(-2, 2)) for f in range(-2, 3)
    }
    assert len(seeds) == 5


def test_an_unknown_half_is_refused() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        Stream(0, 0, 0, "c").pack()


@pytest.mark.parametrize("half", HALVES)
def test_seeds_are_stable(half: str) -> None:
    first = jit_seed(Stream(0, 1, 0, "a").pack())
    assert jit_seed(Stream(0, 1, 0, half).pack()) == (first + HALVES.index(half)) % (1 << 32)


def test_an_empty_shot_has_no_frames_that_collide() -> None:
    check_shot([])


def test_the_suite_has_a_stream_for_each_thing_that_it_draws() -> None:
    """Streams are the same when made again, and the first numbers of all are different."""
    places = [
        (seed, purpose, index) for seed in (0, 1, 2**30 - 1) for purpose in PURPOSES for index in (0, 1, 7, 2**64 - 1)
    ]
    first = {place: generator(*place).integers(2**63, size=4).tobytes() for place in places}
    assert len(set(first.values())) == len(places)
    assert all(generator(*place).integers(2**63, size=4).tobytes() == numbers for place, numbers in first.items())


def test_streams_of_neighbouring_indices_never_meet() -> None:
    """A long stretch of one stream does not hold the beginning of the next."""
    long = generator(3, "input", 5).integers(2**63, size=100_000)
    for index in (4, 6):
        assert generator(3, "input", index).integers(2**63) not in long
