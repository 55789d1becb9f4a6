"""Motion vectors: what they mean is found out, and they lead to what is there, whatever their direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rendernoise.frame import Frame
from rendernoise.history import Surface, history
from rendernoise.motion import (
    CANDIDATES,
    Convention,
    Places,
    centers,
    detect,
    follow,
    pixels,
    reversed_vectors,
    spelled,
    usable,
)
from tests.moving import H, Scene, W

SCENE = Scene()
FEATURES = ("albedo", "normal", "depth")


def written(convention: Convention, scene: Scene = SCENE, planes: tuple[str, ...] = FEATURES) -> dict[int, Frame]:
    """Three frames whose ``motion`` is the true one, as a renderer with that convention writes it."""
    frames: dict[int, Frame] = {}
    for number in (3, 4, 5):
        towards = number + (1 if convention.toward == "next" else -1)
        true = scene.motion(number, towards)
        one = convention.in_px(np.ones((2, H, W), np.float32))
        frames[number] = scene.frame(number, *planes, noise=0.3).with_planes(motion=(true / one).astype(np.float32))
    return frames


@pytest.mark.parametrize("convention", CANDIDATES, ids=str)
def test_every_convention_is_found(convention: Convention) -> None:
    verdict = detect(written(convention), "motion", Convention("previous"))
    assert verdict.convention == convention, verdict.text
    assert ("as spelled" in verdict.text) == (convention != Convention("previous"))


@pytest.mark.parametrize("convention", CANDIDATES[::5], ids=str)
def test_radiance_tells_where_there_are_no_guides(convention: Convention) -> None:
    """At a relative variance of 0.3 a pixel. The way to one frame may be taken for the way from the other here."""
    frames = written(convention, planes=())
    found = detect(frames, "motion", Convention("previous", -1, -1)).convention
    assert found is not None
    true = SCENE.motion(4, 5 if found.toward == "next" else 3)
    assert np.abs(found.in_px(frames[4].planes["motion"]) - true).max() < 1


def test_what_the_spelling_says_stays_where_another_meaning_is_as_good() -> None:
    """Without acceleration, the way to the next frame is the way from the previous one."""
    steady = Scene(pan=((-1.7, 0.4), (0.0, 0.0)), disc=((3.1, -1.3), (0.0, 0.0)))
    frames = written(Convention("previous"), steady)
    for default in (Convention("previous"), Convention("next", -1, -1)):
        assert detect(frames, "motion", default).convention == default


def test_a_second_frame_is_enough_and_damaged_vectors_do_not_matter() -> None:
    frames = written(Convention("next", 1, -1))
    frames.pop(5)
    motion = frames[4].planes["motion"].copy()
    motion[0, :8], motion[1, 8:12], motion[0, 20:24] = np.nan, np.inf, 1e30
    frames[4] = frames[4].with_planes(motion=motion)
    verdict = detect(frames, "motion", Convention("next"))
    assert verdict.convention == Convention("next", 1, -1), verdict.text


def test_wrong_vectors_are_ignored() -> None:
    """Directions drawn at random for each pixel, for blocks, and one for all; 20 seeds, none may be believed."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        blocks = rng.normal(0, 4, (2, H // 4, W // 4)).repeat(4, 1).repeat(4, 2)
        for wrong in (rng.normal(0, 4, (2, H, W)), blocks, np.full((2, H, W), 5.0) * rng.choice([-1, 1], (2, 1, 1))):
            frames = {n: f.with_planes(motion=wrong.astype(np.float32)) for n, f in written(CANDIDATES[0]).items()}
            verdict = detect(frames, "motion", Convention("previous"))
            assert verdict.convention is None, verdict.text
            assert "ignored" in verdict.text


def test_noise_alone_makes_no_vectors_right() -> None:
    """Nothing moves and the radiance is noise: over 100 seeds vectors are never believed (at most 3 % are, at 95 %)."""
    still = Scene(pan=((0, 0), (0, 0)), disc=((0, 0), (0, 0)))
    for seed in range(100):
        frames = {n: still.frame(n, noise=2.0, seed=seed) for n in (3, 4, 5)}
        flat = {n: f.with_planes(radiance=f.radiance / still.truth(n)) for n, f in frames.items()}
        vectors = np.random.default_rng(seed).uniform(-3, 3, (2, 1, 1)) * np.ones((2, H, W))
        flat = {n: f.with_planes(motion=vectors.astype(np.float32)) for n, f in flat.items()}
        assert detect(flat, "motion", Convention("previous")).convention is None


@pytest.mark.parametrize("plane", ["still", "none"])
def test_vectors_of_nothing_keep_their_meaning(plane: str) -> None:
    still = Scene(pan=((0, 0), (0, 0)), disc=((0, 0), (0, 0)))
    vectors = still.motion(4, 3) if plane == "still" else np.full((2, H, W), np.nan, np.float32)
    frames = {n: still.frame(n, *FEATURES).with_planes(motion=vectors) for n in (3, 4, 5)}
    verdict = detect(frames, "motion", Convention("next"))
    assert verdict.convention == Convention("next")
    assert "hardly anything moves" in verdict.text


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (("ViewLayer.Vector.X", "ViewLayer.Vector.Y"), Convention("previous", 1, -1)),
        (("ViewLayer.Vector.Z", "ViewLayer.Vector.W"), Convention("next", -1, 1)),
        (("motionvector.R", "motionvector.G"), Convention("next", 1, -1, "px over half a frame")),
        (("motionBack.X", "motionBack.Y"), Convention("previous")),
        (("motionFore.X", "motionFore.Y"), Convention("next")),
        (("motion.U", "motion.V"), Convention("previous")),
    ],
)
def test_spellings(channels: tuple[str, str], expected: Convention) -> None:
    assert spelled(channels) == expected


@pytest.mark.parametrize("features", [FEATURES, ("normal",), ()], ids=["guides", "normal", "nothing"])
@pytest.mark.parametrize("vectors", [("to_previous",), ("to_next",), ("to_previous", "to_next")])
@pytest.mark.parametrize("others", [(3,), (5,), (3, 2), (5, 6, 7)], ids=str)
def test_what_moved_is_found(others: tuple[int, ...], vectors: tuple[str, ...], features: tuple[str, ...]) -> None:
    """The last of the others alone counts here: those between are the links of the chain."""
    planes = (*features, *vectors)
    links = [SCENE.frame(n, *planes, spp=0) for n in others[:-1]]
    last = SCENE.frame(others[-1], *planes, spp=1_000_000)
    surfaces = [Surface.of(f) for f in (*links, last)]
    mean, reliability = history(SCENE.frame(4, *planes, spp=1_000_000), [s for s in surfaces if s is not None])
    known_there = reliability[0] > 0.5
    visible = np.logical_and.reduce([SCENE.visible(4, n) for n in others])
    hidden = np.logical_or.reduce([SCENE.hidden(4, n) for n in others])
    # A place on the very edge of the disc may take the wrong layer's way.
    assert (known_there & hidden).mean() < 0.002, "what is covered there is not known"
    # Without an albedo, textures that are off by half a pixel are light that has changed.
    assert known_there[visible].mean() > (0.95 if features == FEATURES else 0.7)
    wrong = np.abs(mean / SCENE.truth(4) - 1)
    if "albedo" in features:
        assert wrong[:, known_there].max() < 0.01, "light is constant on each layer: anything else is a ghost"
    else:  # textures are off by half a pixel at most, which is that much
        assert np.quantile(wrong[:, known_there], 0.98) < 0.75
        assert np.median(wrong[:, known_there]) < 0.2


def test_the_moving_disc_has_a_history_which_no_camera_gives() -> None:
    planes = (*FEATURES, "to_previous")
    others = [_surface(SCENE.frame(n, *planes, noise=0.3, seed=1)) for n in (2, 3, 5, 6)]
    mean, reliability = history(SCENE.frame(4, *planes, noise=0.3), others)
    disc = SCENE.layers(4) == 1
    assert reliability[0][disc].mean() > 2.5
    errors = (mean / SCENE.truth(4) - 1)[:, disc & (reliability[0] > 2)]
    assert abs(errors.mean()) < 0.05
    assert errors.std() < 0.35, "0.55 in one frame, half of that in the mean of four"


def test_a_gap_ends_the_chain() -> None:
    planes = (*FEATURES, "to_previous", "to_next")
    surfaces = {n: _surface(SCENE.frame(n, *planes)) for n in (2, 3, 6)}
    assert history(SCENE.frame(4, *planes), [surfaces[3], surfaces[2]])[1].max() == pytest.approx(2)
    assert not history(SCENE.frame(4, *planes), [surfaces[2], surfaces[6]])[1].any()


def test_vectors_that_are_nowhere_give_no_history() -> None:
    planes = (*FEATURES, "to_previous")
    frame = SCENE.frame(4, *planes)
    vectors = frame.planes["to_previous"].copy()
    vectors[0, 10:20, :], vectors[1, 30, 40], vectors[0, 40, 3], vectors[1, 41, 3] = np.nan, np.inf, -1e30, 500
    kept, lost = usable(vectors)
    assert lost == 10 * W + 3
    _, reliability = history(frame.with_planes(to_previous=kept), [_surface(SCENE.frame(3, *planes))])
    assert not reliability[0, 10:20].any()
    assert not reliability[0, [30, 40, 41], [40, 3, 3]].any()
    assert (reliability[0, 20:29] > 0).mean() > 0.7


def test_vectors_in_the_wrong_direction_are_no_ghosts() -> None:
    """As they would be if they were believed: there and back do not meet, or another surface is there."""
    planes = (*FEATURES, "to_previous", "to_next")
    frame, other = SCENE.frame(4, *planes), SCENE.frame(3, *planes)
    turned = frame.with_planes(to_previous=frame.planes["to_next"])
    assert history(turned, [_surface(other)])[1].mean() < 0.02
    assert history(frame, [_surface(other)])[1].mean() > 0.7


def test_halves_do_not_mix() -> None:
    """The history of a half is the same whatever the other half's noise (law 1)."""
    planes = (*FEATURES, "to_previous")
    first = history(SCENE.frame(4, *planes, noise=0.3), [_surface(SCENE.frame(3, *planes, noise=0.3, seed=1))])
    again = history(SCENE.frame(4, *planes, noise=0.3), [_surface(SCENE.frame(3, *planes, noise=0.3, seed=1))])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_cut_gives_nothing() -> None:
    planes = (*FEATURES, "to_previous")
    other = SCENE.frame(3, *planes)
    normal = other.planes["normal"].copy()
    normal[:, :, 20:] = np.array([1, 0, 0])[:, None, None]
    cuts: set[int] = set()
    _, reliability = history(SCENE.frame(4, *planes), [_surface(other.with_planes(normal=normal))], cuts=cuts)
    assert not reliability.any()
    assert cuts == {3}


def _surface(frame: Frame) -> Surface:
    surface = Surface.of(frame)
    assert surface is not None
    return surface


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(-4, 4, width=32), st.floats(-4, 4, width=32), st.booleans())
def test_one_motion_for_all_is_reversed_exactly(height: int, width: int, x: float, y: float, deep: bool) -> None:
    size, count = (height, width), height * width
    there = torch.tensor([x, y]).expand(count, 2).contiguous()
    back = reversed_vectors(there, torch.full((count,), float(deep)), size)
    target = pixels(centers(size) + there, size)
    hit = torch.zeros(count, dtype=torch.bool)
    hit[target[target >= 0]] = True
    assert torch.equal(back.isfinite().all(1), hit)
    assert torch.equal(back[hit], -there[hit])
    places = follow(Places.start(size), there, back, size)
    assert torch.equal(places.xy.isfinite().all(1), target >= 0)
    assert torch.equal(places.pixel, target)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_where_several_land_the_nearest_wins(seed: int, deep: bool) -> None:
    """Whatever the vectors: each of the result is that of a pixel that lands there, of the nearest if known."""
    size, count = (5, 7), 35
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 2, generator=generator) * 2
    vectors[::6] = torch.nan
    distance = torch.rand(count, generator=generator) + 0.1 if deep else torch.zeros(count)
    back = reversed_vectors(vectors, distance, size)
    target = pixels(centers(size) + vectors, size)
    for pixel in range(count):
        landed = (target == pixel).nonzero()[:, 0]
        if not len(landed):
            assert back[pixel].isnan().all()
        elif deep:
            assert torch.equal(back[pixel], -vectors[landed[distance[landed].argmin()]])
        elif (vectors[landed].amax(0) - vectors[landed].amin(0) > 1).any():
            assert back[pixel].isnan().all()
        else:
            assert (back[pixel] + vectors[landed].mean(0)).abs().max() <= 0.5


def test_sizes_may_differ() -> None:
    planes = (*FEATURES, "to_previous")
    small = SCENE.frame(3, *planes)
    cropped = replace(small, planes={n: np.ascontiguousarray(p[..., : W // 2]) for n, p in small.planes.items()})
    assert not history(SCENE.frame(4, *planes), [_surface(cropped)])[1].any()
