"""Renders that arrive in parts: what is kept, what is rendered again, what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rendernoise.errors import InputError, RendererDied, SceneError
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.process import Rendered, Request
from rendernoise.seeds import Stream
from rendernoise.sources import live as live_module
from rendernoise.sources.live import LivePairs, parts_of
from rendernoise.sources.store import PairStore

VIEWS = tuple(View(n) for n in (1, 2, 3))


class Failing:
    """The analytic renderer in this process; ``fail`` may raise at a request."""

    def __init__(self, fail: Callable[[Stream], None] = lambda place: None) -> None:
        self.fail = fail
        self.places: list[Stream] = []

    def map(self, requests: Iterator[Request]) -> Iterator[Rendered]:
        renderer = AnalyticRenderer((8, 6))
        for request in requests:
            place = Stream.unpack(request.seed)
            self.fail(place)
            self.places.append(place)
            yield Rendered(request, renderer.render(request.view, spp=request.spp, seed=request.seed), 0.5)

    def close(self) -> None: ...


def live(folder: Path, renderer: Failing, passes: int = 1, spp: int = 8) -> tuple[LivePairs, PairStore]:
    store = PairStore(folder)
    return LivePairs(lambda: renderer, VIEWS, passes=passes, spp=spp, run_seed=0, store=store), store  # pyright: ignore


@pytest.mark.parametrize(("spp", "parts"), [(1, 1), (2, 2), (3, 1), (8, 2), (64, 2)])
def test_halves_come_in_two_equal_parts_where_they_can(spp: int, parts: int, tmp_path: Path) -> None:
    assert parts_of(spp) == parts
    renderer = Failing()
    pairs, store = live(tmp_path, renderer, passes=2, spp=spp)
    got = list(pairs)
    assert len(pairs) == len(got) == 6
    assert [pair.number for pair in got] == [1, 2, 3, 1, 2, 3]
    assert {pair.input.spp for pair in got} == {spp}
    assert store.frame_pair(2).input.spp == 2 * spp
    assert len(set(renderer.places)) == len(renderer.places) == 12 * parts, "no stream twice"
    assert pairs.render_s == 0.5 * 12 * parts


def test_a_pair_that_was_half_rendered_is_finished_and_no_part_rendered_twice(tmp_path: Path) -> None:
    def die(place: Stream) -> None:
        if (place.frame, place.index) == (2, 1):
            raise RendererDied("killed")

    first = Failing(die)
    pairs, _ = live(tmp_path / "cut", first)
    arrivals = iter(pairs)
    next(arrivals)
    with pytest.raises(RendererDied):
        next(arrivals)
    state = pairs.state_dict()
    assert state["taken"] == 1

    second = Failing()
    again, store = live(tmp_path / "cut", second)
    again.load_state_dict(state)
    assert [pair.number for pair in again] == [2, 3]
    assert not set(first.places) & set(second.places)
    assert len(first.places) + len(second.places) == 12

    whole, other = live(tmp_path / "whole", Failing())
    for pair in whole:
        assert np.array_equal(store.frame_pair(pair.number).input.radiance, pair.input.radiance)
    assert other.frames == store.frames


@pytest.mark.parametrize(
    ("failing", "numbers", "parts"),
    [
        (1, [1, 3, 1, 3], {1: 4, 3: 4}),  # the second part of the first pass: left out whole
        (2, [1, 2, 3, 1, 3], {1: 4, 2: 2, 3: 4}),  # the first part of the second pass: the earlier one counts
    ],
)
def test_a_frame_that_fails_is_left_out_from_that_pass_on(
    failing: int, numbers: list[int], parts: dict[int, int], tmp_path: Path
) -> None:
    def reject(place: Stream) -> None:
        if (place.frame, place.index) == (2, failing):
            raise SceneError("no such texture")

    pairs, store = live(tmp_path, Failing(reject), passes=2)
    assert [pair.number for pair in pairs] == numbers
    again, shown = live(tmp_path, Failing(reject), passes=2)
    again.load_state_dict(pairs.state_dict())
    assert list(again) == []
    for found in (store, shown):
        assert found.frames == list(parts)
        assert [found.passes(n) for n in found.frames] == list(parts.values())
    assert list(pairs.failed) == [2]
    assert again.failed == pairs.failed


def test_more_passes_of_some_frames(tmp_path: Path) -> None:
    renderer = Failing()
    pairs, store = live(tmp_path, renderer)
    list(pairs)
    pairs.extend([(2, 3), (3, 1)])
    more = list(pairs)
    assert [(pair.number, pair.input.spp) for pair in more] == [(2, 24), (3, 8)]
    assert store.frame_pair(2).input.spp == 8 + 24
    pairs.extend([(2, 1)])
    assert [pair.input.spp for pair in pairs] == [8]
    assert [pairs.pass_of(index) for index in range(len(pairs))] == [0, 0, 0, 1, 1, 2]
    assert len(set(renderer.places)) == len(renderer.places), "no stream twice"


def test_what_was_asked_for_is_not_forgotten(tmp_path: Path) -> None:
    pairs, store = live(tmp_path, Failing())
    list(pairs)
    pairs.extend([(2, 3)])
    assert next(iter(pairs)).input.spp == 24
    again, found = live(tmp_path, Failing())
    again.load_state_dict(pairs.state_dict())
    assert not list(again)
    assert np.array_equal(found.frame_pair(2).input.radiance, store.frame_pair(2).input.radiance)


def test_passes_end_with_the_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MAX_PASSES", 4)
    pairs, _ = live(tmp_path, Failing())
    pairs.extend([(1, 1)])
    with pytest.raises(InputError, match=r"frame 1 has 2 passes, and there are no more\. Give more --spp"):
        pairs.extend([(1, 1)])
