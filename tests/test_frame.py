from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rendernoise.errors import ImageError
from rendernoise.frame import PLANE_CHANNELS, Frame, FramePair, Layout, average


def frame(value: float = 1.0, spp: int = 4, shape: tuple[int, int] = (3, 5), **more: np.ndarray) -> Frame:
    return Frame({"radiance": np.full((3, *shape), value, np.float32), **more}, spp=spp)


def test_a_frame_checks_its_planes() -> None:
    with pytest.raises(ImageError, match=r"no radiance plane\. Name one with --role"):
        Frame({"albedo": np.zeros((3, 2, 2), np.float32)})
    with pytest.raises(ImageError, match="'albedo' is float64"):
        frame(albedo=np.zeros((3, 3, 5)))
    with pytest.raises(ImageError, match="'depth' has 3 channels, not 1"):
        frame(depth=np.zeros((3, 3, 5), np.float32))
    with pytest.raises(ImageError, match=r"'albedo' is \(5, 3\), but radiance is \(3, 5\)"):
        frame(albedo=np.zeros((3, 5, 3), np.float32))
    with pytest.raises(ImageError, match=r"not float32 \[C, H, W\]"):
        frame(albedo=np.zeros((3, 5), np.float32))


def test_planes_that_we_do_not_know_are_kept() -> None:
    kept = frame(crypto=np.zeros((4, 3, 5), np.float32))
    assert kept.planes["crypto"].shape == (4, 3, 5)
    assert (kept.height, kept.width) == (3, 5)


def test_a_frame_cannot_be_changed() -> None:
    made = frame()
    with pytest.raises(TypeError):
        made.planes["albedo"] = np.zeros((3, 3, 5), np.float32)  # pyright: ignore[reportIndexIssue]
    other = made.with_planes(albedo=np.zeros((3, 3, 5), np.float32))
    assert "albedo" not in made.planes
    assert other.radiance is made.radiance


@given(st.lists(st.tuples(st.floats(0, 100, width=32), st.integers(1, 64)), min_size=1, max_size=5))
def test_averages_weigh_by_samples(parts: list[tuple[float, int]]) -> None:
    made = average([frame(value, spp) for value, spp in parts])
    total = sum(spp for _, spp in parts)
    assert made.spp == total
    assert made.seed is None
    assert np.allclose(made.radiance, sum(v * s for v, s in parts) / total, rtol=1e-5)


def test_averaging_keeps_one_frame_and_counts_unknown_spp_equally() -> None:
    one = frame(0.1, 3)
    assert np.array_equal(average([one]).radiance, one.radiance)
    assert np.allclose(average([frame(1.0, 0), frame(3.0, 8)]).radiance, 2.0)
    with pytest.raises(ImageError, match="different planes"):
        average([frame(), frame(albedo=np.zeros((3, 3, 5), np.float32))])


def test_pairs_swap(random_pair: Callable[..., FramePair]) -> None:
    pair = random_pair(4, 6)
    back = pair.swapped()
    assert back.input is pair.partner
    assert back.target is pair.input.radiance
    assert back.swapped().target is pair.target
    with pytest.raises(ImageError, match="no second half"):
        FramePair(pair.input, pair.target).swapped()
    with pytest.raises(ImageError, match="Give both halves one size"):
        FramePair(pair.input, pair.target[:, :2])


@given(st.lists(st.sampled_from(sorted(PLANE_CHANNELS)), unique=True, max_size=6))
def test_a_layout_puts_planes_where_it_says(names: list[str]) -> None:
    names = ["radiance", *(n for n in names if n != "radiance")][::-1]
    planes = {n: np.full((PLANE_CHANNELS[n], 2, 3), i, np.float32) for i, n in enumerate(names)}
    layout = Layout(tuple(names))
    stacked = layout.stack(Frame(planes))
    assert stacked.shape == (layout.channels, 2, 3)
    for i, (name, channels) in enumerate(layout.slices()):
        assert name == names[i]
        assert np.array_equal(stacked[channels], planes[name])
    assert str(layout) == "+".join(names)


def test_a_layout_says_what_is_missing_or_wrong() -> None:
    assert Layout().missing(frame()) == ["albedo", "normal"]
    with pytest.raises(ImageError, match="frame 1 has no albedo, normal, which these weights need"):
        Layout().stack(frame())
    for names in (("albedo",), ("radiance", "radiance"), ("radiance", "smell"), ()):
        with pytest.raises(ImageError, match="no channel layout"):
            Layout(names)
