from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rendernoise.errors import OutputError
from rendernoise.frame import Frame, FramePair, average
from rendernoise.sources.store import PairStore

Pairs = Callable[..., FramePair]


def check_equal(one: FramePair, two: FramePair) -> None:
    assert one.input.planes.keys() == two.input.planes.keys()
    for name, plane in one.input.planes.items():
        assert np.array_equal(plane, two.input.planes[name])
    assert np.array_equal(one.target, two.target)
    assert (one.number, one.target_kind, one.partner is None) == (two.number, two.target_kind, two.partner is None)
    assert one.input.spp == two.input.spp


def test_what_is_put_comes_back_to_the_bit(tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path / "pairs")
    pairs = [random_pair(8, 12, number=n) for n in (5, 3)]
    for i, pair in enumerate(pairs):
        store.put(i, pair, render_s=i + 0.5)
        assert len(store) == i, "on disk, but not visible yet"
        assert store.holds(i)
        assert store.show(i) == {"render_s": i + 0.5}
        check_equal(store.pair(i), pair)
    assert store.frames == [5, 3]
    assert store.newest == 3
    assert store.size(5) == (8, 12)


def test_values_that_are_not_finite_and_references_are_kept(tmp_path: Path) -> None:
    radiance = np.array([np.nan, np.inf, -1], np.float32).reshape(3, 1, 1)
    pair = FramePair(Frame({"radiance": radiance}), np.full((3, 1, 1), -np.inf, np.float32), "reference")
    store = PairStore(tmp_path)
    store.put(0, pair)
    store.show(0)
    found = store.pair(0)
    assert np.array_equal(found.input.radiance, radiance, equal_nan=True)
    assert np.array_equal(found.target, pair.target)
    assert found.partner is None
    assert found.target_kind == "reference"


def test_passes_of_a_frame_are_averaged(tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path)
    passes = [random_pair(6, 7, seed=s) for s in range(3)]
    for i, pair in enumerate(passes):
        store.put(i, pair)
        store.show(i)
    assert store.passes(1) == 3
    both = store.frame_pair(1)
    assert np.array_equal(both.input.radiance, average([p.input for p in passes]).radiance)
    assert both.input.spp == 12
    check_equal(store.pair(1), passes[1])


def test_crops_are_windows(tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path)
    pair = random_pair(20, 30)
    store.put(0, pair)
    store.show(0)
    crop = store.crop(1, 3, 11, 5, 9)
    window = (slice(None), slice(3, 8), slice(11, 20))
    assert np.array_equal(crop.target, pair.target[window])
    for name, plane in pair.input.planes.items():
        assert np.array_equal(crop.input.planes[name], plane[window])


def test_a_new_store_finds_pairs_but_shows_none(tmp_path: Path, random_pair: Pairs) -> None:
    first = PairStore(tmp_path)
    first.put(0, random_pair(4, 4))
    again = PairStore(tmp_path)
    assert again.holds(0)
    assert not again.holds(1)
    assert len(again) == 0
    assert again.frames == []
    again.show(0)
    assert again.frames == [1]


def test_a_pair_whose_writing_was_cut_off_does_not_count(tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path)
    store.put(0, random_pair(4, 4))
    (tmp_path / "000000.json").unlink()
    assert not store.holds(0)
    store.put(0, random_pair(4, 4, seed=1))
    store.show(0)
    check_equal(store.pair(0), random_pair(4, 4, seed=1))


def test_reading_does_not_open_the_files_for_writing(tmp_path: Path, random_pair: Pairs) -> None:
    store = PairStore(tmp_path)
    store.put(0, random_pair(4, 4))
    store.show(0)
    read = store.crop(1, 0, 0, 4, 4)
    read.target[:] = 0
    check_equal(store.pair(0), random_pair(4, 4))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot create"):
        PairStore(tmp_path / "file" / "pairs")
