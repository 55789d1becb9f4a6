"""History: what other frames know of a frame, where they see the same surface, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rendernoise.frame import Frame
from rendernoise.history import Surface, history
from rendernoise.light import FINE, WIDE, Windows
from rendernoise.projection import Projection
from tests.test_projection import pinhole

H, W, NEAR = 24, 32, 0.25
#: A wall at z = 5 with a checkered albedo.
WALL_Z = 5.0


def wall(x: float = 0.0, turn: float = 0.0, slope: float = 0.0, **changes: Any) -> Frame:
    """The wall, seen from (x, 0, 0), in light that grows along x; ``changes`` replace planes."""
    projection = Projection(pinhole((x, 0.0, 0.0), turn), NEAR)
    ways = projection.ways(H, W)
    w = (WALL_Z - projection.eye[2]) / ways[2]
    points = projection.eye[:, None, None] + ways * w
    checkers = 0.2 + 0.6 * ((np.floor(points[0] * 3) + np.floor(points[1] * 3)) % 2)
    light = 1 + slope * points[0]
    planes: dict[str, Any] = {
        "radiance": np.broadcast_to((0.03 + 0.97 * checkers) * light, (3, H, W)),
        "albedo": np.broadcast_to(checkers, (3, H, W)),
        "normal": np.broadcast_to(np.array([0, 0, -1.0])[:, None, None], (3, H, W)),
        "depth": ((w - NEAR) * np.linalg.norm(ways, axis=0))[None],
    }
    planes |= changes
    return Frame({k: np.ascontiguousarray(v, np.float32) for k, v in planes.items()}, 4, projection=projection)


def known(frame: Frame, *others: Frame, windows: Windows = WIDE) -> tuple[np.ndarray, np.ndarray]:
    """History and reliability by whole frames."""
    surfaces = [Surface.of(other) for other in others]
    return history(frame, [surface for surface in surfaces if surface is not None], windows=windows)


def noisy(frame: Frame, seed: int, variance: float = 0.5) -> Frame:
    """The frame under gamma noise of a relative variance."""
    noise = np.random.default_rng(seed).gamma(1 / variance, variance, (1, H, W))
    return frame.with_planes(radiance=(frame.radiance * noise).astype(np.float32))


@pytest.mark.parametrize(("x", "turn"), [(0.0, 0.0), (0.3, 0.0), (-0.2, 0.05), (0.5, -0.1)])
def test_a_moved_camera_gives_the_same_radiance(x: float, turn: float) -> None:
    reliability = known(wall(), wall(x, turn))[1][0]
    assert (reliability > 0).mean() > 0.7
    assert np.allclose(reliability[reliability > 0], 1, atol=1e-3)
    frame = wall(slope=0.2)
    mean, reliability = known(frame, wall(x, turn, slope=0.2))
    seen = reliability[0] > 0
    # The light changes by half a pixel's width at most; the checkers come from the frame's own albedo.
    error = np.abs(mean / frame.radiance - 1)[:, seen]
    assert error.max() < 0.04
    assert np.all(mean[:, ~seen] == 0)


def test_what_lies_outside_the_other_view_is_unknown() -> None:
    _, reliability = known(wall(), wall(1.0))
    assert np.all(reliability[0, :, : W // 8] == 0)
    assert np.allclose(reliability[0, :, -W // 4 :], 1, atol=1e-3)


def test_samples_count() -> None:
    frame = wall()
    once, thrice = noisy(wall(0.1), 1, 4.0), replace(noisy(wall(0.1), 2, 4.0), spp=12)
    mean, reliability = known(frame, once, thrice)
    apart = [known(frame, other) for other in (once, thrice)]
    seen = (reliability[0] > 3) & (apart[0][1][0] > 0.9) & (apart[1][1][0] > 2.7)
    assert seen.mean() > 0.5
    expected = (apart[0][0] * 4 + apart[1][0] * 12) / 16
    assert np.allclose(np.median(mean[:, seen] / expected[:, seen]), 1, rtol=0.02)


def test_another_surface_is_not_believed() -> None:
    frame = wall()
    ball = np.hypot(*np.mgrid[-12:12, -16:16]) < 6
    other = wall(0.0)
    depth = np.where(ball, 0.5 * other.planes["depth"], other.planes["depth"])
    assert np.all((known(frame, other.with_planes(depth=depth))[1][0] == 0) == ball)
    normal = np.where(ball, np.array([1, 0, 0], np.float32)[:, None, None], other.planes["normal"])
    assert np.all((known(frame, other.with_planes(normal=normal))[1][0] == 0) == ball)


def test_nothing_comes_from_beyond_a_cut() -> None:
    frame = wall()
    other = wall(0.0, depth=0.4 * wall().planes["depth"])
    # A strip agrees by chance.
    depth = other.planes["depth"].copy()
    depth[..., :4] = frame.planes["depth"][..., :4]
    assert not known(frame, other.with_planes(depth=depth))[1].any()


def test_bad_values_are_not_passed_on() -> None:
    frame, other = wall(), wall()
    radiance = np.array(other.radiance)
    radiance[1, 3, 4], radiance[0, 5, 6] = np.nan, np.inf
    mean, reliability = known(frame, other.with_planes(radiance=radiance))
    assert np.isfinite(mean).all()
    assert (reliability == 0).sum() == 2
    assert reliability[0, 3, 4] == reliability[0, 5, 6] == 0
    depth = np.full_like(frame.planes["depth"], np.nan)
    assert not known(frame.with_planes(depth=depth), other)[1].any()


def test_noise_is_no_reason_to_doubt() -> None:
    """Over 50 frames, noise makes the samples of others count 7 % less at most, and their mean is not off by more."""
    kept, light = list[float](), list[float]()
    for seed in range(50):
        mean, reliability = known(noisy(wall(), seed), noisy(wall(), 1000 + seed))
        kept.append(float(reliability.mean()))
        light.append(float((mean / wall().radiance).mean()))
    assert np.mean(kept) > 0.93
    assert np.mean(light) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_another_light_is_not_believed(factor: float) -> None:
    """A lamp went out, or on, on the right. All of this small image is within one wide window."""
    other = noisy(wall(), 2)
    light = np.where(np.arange(W) < W // 2, 1, factor).astype(np.float32)
    _, reliability = known(noisy(wall(), 1), other.with_planes(radiance=other.radiance * light), windows={4: (5,)})
    assert reliability[0, :, -W // 4 :].mean() < 0.2
    assert reliability[0, :, : W // 4].mean() > 0.8


def test_light_that_is_a_little_brighter_everywhere_is_seen_in_the_mean_of_many() -> None:
    """By 6 %, a seventh of the noise: one neighbour hardly shows it, ten together do."""

    def kept(factor: float, count: int) -> float:
        others = (noisy(wall(), seed, 0.16) for seed in range(1, 1 + count))
        brighter = [o.with_planes(radiance=o.radiance * np.float32(factor)) for o in others]
        return float(known(noisy(wall(), 99, 0.16), *brighter)[1].mean()) / count

    assert kept(1.0, 10) > 0.9
    assert kept(1.06, 1) > 2 * kept(1.06, 10)
    assert kept(1.2, 10) < 0.02


def test_a_streak_that_moves_is_not_believed() -> None:
    """A reflection 4 px wide that is 8 px further on in the other frame: over wide windows both are alike."""

    def streaked(seed: int, left: int) -> Frame:
        frame = noisy(wall(), seed)
        light = np.ones((H, W), np.float32)
        light[:, left : left + 4] = 3
        return frame.with_planes(radiance=frame.radiance * light)

    _, fine = known(streaked(1, 10), streaked(2, 18), windows=FINE)
    _, wide = known(streaked(1, 10), streaked(2, 18), windows={4: (15,)})
    for streak in (slice(10, 14), slice(18, 22)):
        assert fine[0, :, streak].mean() < 0.2
        assert wide[0, :, streak].mean() > 0.8


def test_without_features_or_projection_there_is_no_surface() -> None:
    frame = wall()
    assert Surface.of(frame) is not None
    assert Surface.of(replace(frame, projection=None)) is None
    for name in ("albedo", "normal", "depth"):
        planes = {k: v for k, v in frame.planes.items() if k != name}
        assert (Surface.of(replace(frame, planes=planes)) is None) == (name == "depth")
    bare = replace(frame, projection=None)
    mean, reliability = known(bare, wall(0.1))
    assert mean.shape == (3, H, W)
    assert reliability.shape == (1, H, W)
    assert not mean.any()
    assert not reliability.any()


def test_frames_of_other_sizes_know_nothing() -> None:
    small = wall()
    planes = {name: np.ascontiguousarray(plane[..., :16]) for name, plane in small.planes.items()}
    assert not known(wall(), replace(small, planes=planes))[1].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 1)])
def test_tiny_frames(size: tuple[int, int]) -> None:
    frame = wall()
    planes = {name: np.ascontiguousarray(plane[:, : size[0], : size[1]]) for name, plane in frame.planes.items()}
    tiny = replace(frame, planes=planes)
    mean, reliability = known(tiny, tiny)
    assert mean.shape == (3, *size)
    assert reliability.shape == (1, *size)
