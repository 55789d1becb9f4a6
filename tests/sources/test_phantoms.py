from __future__ import annotations

import numpy as np
import pytest

from rendernoise.errors import InputError
from rendernoise.sources.phantoms import phantoms


@pytest.mark.parametrize("size_px", [1, 2, 33, 255])
def test_values_lie_in_the_range_at_any_size(size_px: int) -> None:
    for image in phantoms(5, size_px, np.random.default_rng(0)):
        assert image.shape == (1, size_px, size_px)
        assert image.dtype == np.float32
        assert image.min() >= -0.5
        assert image.max() <= 0.5


def test_each_is_a_head_of_its_own_on_a_dark_background() -> None:
    images = phantoms(8, 128, np.random.default_rng(1))
    for number, image in enumerate(images):
        assert (image[0, :, 0] == -0.5).all()
        assert (image[0, 0] == -0.5).all()
        assert 0.3 < np.mean(image > -0.5) < 0.8, "the head"
        assert image.max() > 0.15, "its skull is bright"
        assert len(np.unique(np.round(image[image > -0.48], 2))) > 8, "there is something in it"
        assert all(np.abs(image - other).mean() > 0.02 for other in images[:number])


def test_the_seed_says_which() -> None:
    first, again, other = (phantoms(2, 40, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("count", "size_px"), [(-1, 8), (1, 0), (1, -3)])
def test_what_cannot_be_is_refused(count: int, size_px: int) -> None:
    with pytest.raises(InputError, match="cannot be"):
        phantoms(count, size_px, np.random.default_rng(0))
    assert phantoms(0, 8, np.random.default_rng(0)) == []
