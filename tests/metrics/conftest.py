"""Image pairs that the tests of several metrics share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Pair = tuple[np.ndarray, np.ndarray]


def _noisy_pair(shape: tuple[int, ...] = (3, 20, 25), seed: int = 3) -> Pair:
    rng = np.random.default_rng(seed)
    reference = rng.gamma(1.0, 1.0, shape).astype(np.float32)
    return reference * rng.gamma(2.0, 0.5, shape).astype(np.float32), reference


@pytest.fixture(scope="session")
def noisy_pair() -> Callable[..., Pair]:
    """An image with multiplicative noise and its reference: ``noisy_pair(shape=(3, 20, 25), seed=3)``."""
    return _noisy_pair


def _hashed(shape: tuple[int, ...], seed: int) -> np.ndarray:
    n = np.arange(np.prod(shape), dtype=np.int64)
    return (((n + seed) * 7919 + (n * n) % 1009 * 31) % 1013 / 1013).reshape(shape)


@pytest.fixture(scope="session")
def firefly_pair() -> Pair:
    """A pair with two fireflies, from integer arithmetic: the same on every machine and version of NumPy."""
    shape = (3, 40, 50)
    reference = (4 * _hashed(shape, 1) ** 3).astype(np.float32)
    image = (reference * (0.5 + _hashed(shape, 77))).astype(np.float32)
    image[:, 7, 9] += 40
    image[:, 30, 2] += 9
    return image, reference
