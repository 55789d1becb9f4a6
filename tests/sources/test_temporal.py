"""The history of a shot's renders: whom it comes from, when, and what it never comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rendernoise.frame import FramePair
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.sources.store import PairStore
from rendernoise.sources.temporal import ShotHistory

SPP = 4
RENDERER = AnalyticRenderer((40, 30))


def put(store: PairStore, index: int, number: int) -> None:
    """Render one pair of a frame into the store, and show it."""
    halves = (RENDERER.render(View(number), spp=SPP, seed=10 * index + half) for half in (0, 1))
    store.put(index, FramePair.of_halves(*halves))
    store.show(index)


def shot(folder: Path, numbers: list[int], window: int) -> tuple[PairStore, ShotHistory]:
    """Pairs of some frames, that came one after the other."""
    store = PairStore(folder)
    history = ShotHistory(store, window)
    for index, number in enumerate(numbers):
        put(store, index, number)
        history.shown([index])
    return store, history


def reliability(store: PairStore, number: int) -> np.ndarray:
    """Of a frame's input, ``[H, W]``."""
    return store.frame_pair(number).input.planes["reliability"][0]


def test_frames_know_those_before_them_and_later_both_sides(tmp_path: Path) -> None:
    store, history = shot(tmp_path, [1, 2, 3, 4], window=2)
    assert [reliability(store, n).max() for n in (1, 2, 3, 4)] == [0, 1, 2, 2]
    history.complete()
    assert [reliability(store, n).max() for n in (1, 2, 3, 4)] == [2, 3, 3, 2]


def test_the_window_counts_frames_that_are_there(tmp_path: Path) -> None:
    store, history = shot(tmp_path, [10, 2, 30], window=1)
    history.complete()
    assert [reliability(store, n).max() for n in (2, 10, 30)] == [1, 2, 1]


def test_passes_add_up(tmp_path: Path) -> None:
    store, history = shot(tmp_path, [1, 2, 1, 2, 1], window=1)
    history.complete()
    # 2 passes of frame 2 for the 3 of frame 1, and 3 of frame 1 for 2 of frame 2.
    assert np.isclose(reliability(store, 1).max(), 2 / 3)
    assert np.isclose(reliability(store, 2).max(), 3 / 2)


def test_later_samples_renew_what_is_around_them_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, history = shot(tmp_path / "rounds", [1, 2, 3, 4, 5, 6], window=1)
    history.complete()
    put(store, 6, 5)
    history.shown([6])
    renewed: list[int] = []
    put_history = store.put_history
    monkeypatch.setattr(store, "put_history", lambda i, both: (renewed.append(i), put_history(i, both)))
    history.complete()
    assert sorted(set(renewed)) == [3, 4, 5, 6], "frames 4, 5 and 6, of which 5 has two pairs"
    at_once, whole = shot(tmp_path / "at-once", [1, 2, 3, 4, 5, 6, 5], window=1)
    whole.complete()
    for number in range(1, 7):
        first, second = (s.frame_pair(number).input.planes for s in (store, at_once))
        np.testing.assert_array_equal(first["history"], second["history"])


def test_pairs_that_do_not_tell_their_samples_count_alike(tmp_path: Path) -> None:
    store = PairStore(tmp_path)
    for index, number in enumerate([1, 2, 3]):
        a, b = (RENDERER.render(View(number), spp=SPP, seed=10 * index + half) for half in (0, 1))
        store.put(index, FramePair.of_halves(replace(a, spp=0), replace(b, spp=0)))
        store.show(index)
    ShotHistory(store, 1).complete()
    assert [reliability(store, n).max() for n in (1, 2, 3)] == [1, 2, 1]


def test_history_comes_near_the_truth(tmp_path: Path) -> None:
    store, history = shot(tmp_path, list(range(1, 8)), window=3)
    history.complete()
    frame = store.frame_pair(4).input
    known = frame.planes["reliability"][0] == 6
    assert 0.5 < known.mean() < 0.9, "sky, borders, outlines and the rolling ball are not known everywhere"
    truth = RENDERER.reference(View(4))
    errors = [np.square(frame.planes[name] - truth)[:, known].mean() for name in ("radiance", "history")]
    # 6 times the samples; what is left over is the half pixel by which the shadow's edge may move.
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("half", [0, 1])
def test_a_half_knows_nothing_of_its_partner(tmp_path: Path, half: int) -> None:
    """Law 1: neither through its own history nor through its neighbours', whose partners it knows nothing of either."""

    def with_noise(folder: str, brightness: float) -> list[np.ndarray]:
        store = PairStore(tmp_path / folder)
        history = ShotHistory(store, 1)
        for index in range(3):
            halves = [RENDERER.render(View(index + 1), spp=SPP, seed=10 * index + h) for h in (0, 1)]
            partner = halves[1 - half]
            halves[1 - half] = partner.with_planes(
                radiance=partner.radiance * np.float32(brightness), depth=partner.planes["depth"] * 1.001
            )
            store.put(index, FramePair.of_halves(*halves))
            store.show(index)
            history.shown([index])
        history.complete()
        pair = store.frame_pair(2)
        assert pair.partner is not None
        frame = (pair.input, pair.partner)[half]
        return [frame.planes[name] for name in ("radiance", "history", "reliability")]

    for one, two in zip(with_noise("one", 1.0), with_noise("two", 50.0), strict=True):
        assert np.array_equal(one, two)


def test_crops_have_their_history(tmp_path: Path) -> None:
    store, history = shot(tmp_path, [1, 2, 3], window=1)
    history.complete()
    whole, crop = store.frame_pair(2).input, store.crop(2, 4, 5, 16, 20).input
    for name in ("history", "reliability"):
        assert np.array_equal(crop.planes[name], whole.planes[name][:, 4:20, 5:25])


def test_swapped_parts_keep_their_own(tmp_path: Path) -> None:
    store, history = shot(tmp_path, [1, 1, 2, 2], window=1)
    history.complete()
    plain, other = store.frame_pair(1, (False, False)), store.frame_pair(1, (True, True))
    assert plain.partner is not None
    assert np.array_equal(plain.partner.planes["history"], other.input.planes["history"])


def test_surfaces_do_not_pile_up(tmp_path: Path) -> None:
    _, history = shot(tmp_path, list(range(1, 12)), window=1)
    history.complete()
    assert len(history._neighbours._surfaces) <= 4


def test_shots_know_nothing_of_each_other(tmp_path: Path) -> None:
    store = PairStore(tmp_path)
    for index, number in enumerate((1, 2, 3, 4)):
        put(store, index, number)
    ShotHistory(store, 2, lambda number: number > 2).complete()
    assert [reliability(store, n).max() for n in (1, 2, 3, 4)] == [1, 1, 1, 1]
