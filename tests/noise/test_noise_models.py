"""What every noise model keeps: a line in NOISES is all that a new one needs to be tested here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rendernoise.errors import InputError
from rendernoise.frame import Plane
from rendernoise.losses import Statistic, get_loss
from rendernoise.noise import NOISES, NoiseModel, Noisy, noise_class
from tests.noise.chance import assert_mean

SIZES = [(1, 1), (1, 7), (6, 1), (2, 3), (5, 4), (16, 17), (47, 33)]
every_model = pytest.mark.parametrize("name", sorted(NOISES))
Check = Callable[[str], None]


def image(channels: int, height: int, width: int, seed: int = 0) -> Plane:
    """Any values in the range, both of its ends among them where there is room."""
    values = np.random.default_rng(seed).random((channels, height, width), dtype=np.float32) - np.float32(0.5)
    values.flat[0], values.flat[-1] = -0.5, 0.5
    return values


def strengths(kind: type[NoiseModel]) -> set[float]:
    return {kind.possible[0], *kind.trained, kind.tested}


@every_model
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_are_kept_at_any_size(name: str, channels: int) -> None:
    model = noise_class(name)()
    for height, width in SIZES:
        clean = image(channels, height, width)
        for strength in strengths(NOISES[name]):
            noisy = model.corrupt(clean, strength, np.random.default_rng(0))
            assert noisy.image.shape == clean.shape
            assert noisy.image.dtype == np.float32
            assert np.isfinite(noisy.image).all()
            for plane in (noisy.weight, noisy.kept):
                if plane is not None:
                    assert plane.shape == (1, height, width)
                    assert plane.dtype == np.float32
                    assert ((plane >= 0) & (plane <= 1)).all()


@every_model
def test_the_clean_image_stays_as_it_is(name: str) -> None:
    clean = image(3, 16, 17)
    before = clean.copy()
    noisy = NOISES[name]().corrupt(clean, NOISES[name].tested, np.random.default_rng(0)).image
    noisy += 1
    assert np.array_equal(clean, before)


@every_model
def test_the_seed_is_all_chance_there_is(name: str) -> None:
    def once(seed: int) -> tuple[bytes, ...]:
        noisy = NOISES[name]().corrupt(image(3, 47, 33), NOISES[name].tested, np.random.default_rng(seed))
        return tuple(b"" if p is None else p.tobytes() for p in (noisy.image, noisy.weight, noisy.kept))

    np.random.seed(0)  # noqa: NPY002
    first = once(3)
    np.random.seed(1)  # noqa: NPY002
    assert once(3) == first
    assert once(4) != first


@every_model
def test_a_strength_that_cannot_be_is_refused(name: str) -> None:
    kind = NOISES[name]
    low, high = kind.possible
    for strength in (low - 1e-3, high + 1e-3, float("nan"), float("inf"), -float("inf")):
        with pytest.raises(InputError, match="cannot be"):
            kind().corrupt(image(1, 4, 4), strength, np.random.default_rng(0))


@every_model
def test_strengths_are_drawn_from_where_training_has_them(name: str) -> None:
    kind = NOISES[name]
    rng = np.random.default_rng(0)
    drawn = [kind().draw(rng) for _ in range(200)]
    assert kind.possible[0] <= kind.trained[0] <= min(drawn)
    assert max(drawn) <= kind.trained[1] <= kind.possible[1]
    assert kind.possible[0] <= kind.tested <= kind.possible[1]
    assert kind().draw(rng, (kind.tested, kind.tested)) == kind.tested
    assert kind.source
    assert kind.strength


@every_model
def test_nothing_is_quantised(name: str) -> None:
    """Law 2. A model that rounded to bytes would leave no value between them, nor between halves of them."""
    kind = NOISES[name]
    # Not the tested strength itself: 30 photons make steps of 8.5 bytes.
    noisy = kind().corrupt(image(3, 47, 33), 0.93 * kind.tested, np.random.default_rng(0)).image
    levels = noisy.astype(np.float64) * 510
    assert np.mean(np.abs(levels - np.rint(levels)) > 0.01) > 0.2


@every_model
@pytest.mark.parametrize("channels", [1, 3])
def test_the_mean_is_the_clean_image_where_the_model_says_so(name: str, channels: int) -> None:
    """z-tests of every value of a small image, black and white among them: clipping would show there.

    False alarms: 1 in a million runs over all values of a model, as far as means of 6000 are normal.
    """
    kind = NOISES[name]
    assert kind.unbiased or kind.needs != "mean"
    if not kind.unbiased:
        pytest.skip(f"needs the {kind.needs}")
    clean, rng = image(channels, 5, 8), np.random.default_rng(1)
    noisy = [kind().corrupt(clean, kind.tested, rng) for _ in range(6000)]
    error = np.stack([n.image for n in noisy]) - clean
    if noisy[0].weight is not None:
        # A lost pixel says nothing: over those of weight 1 the error has the mean 0 where weight times error has it.
        error = error * np.stack([n.weight for n in noisy if n.weight is not None])
    assert_mean(error, 0, comparisons=2)


@every_model
@pytest.mark.parametrize("value", [-0.31, 0.0, 0.37])
def test_the_statistic_that_it_needs_is_the_clean_value(name: str, value: float) -> None:
    """Median and mode over the pixels of constant images; a second mode would need 9 sigma with what is here."""
    kind = NOISES[name]
    rng = np.random.default_rng(2)
    clean = np.full((1, 64, 64), value, np.float32)
    values = np.concatenate([kind().corrupt(clean, kind.tested, rng).image.ravel() for _ in range(12)])
    if kind.needs == "median":
        assert abs(np.median(values) - value) < 1e-3
    elif kind.needs == "mode":
        counts, edges = np.histogram(values, bins=101, range=(-0.5, 0.5))
        fullest = int(np.argmax(counts))
        assert edges[fullest] <= value <= edges[fullest + 1]
        assert counts[fullest] > 2 * np.sort(counts)[-2]
    else:
        assert kind.needs == "mean"


@every_model
def test_the_loss_estimates_what_the_noise_needs(name: str) -> None:
    kind = NOISES[name]
    assert get_loss(kind.loss, kind.needs).name == kind.loss


def test_an_unknown_noise_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"there is no noise 'snow'.*gaussian.*text"):
        noise_class("snow")


def test_every_file_with_a_model_is_registered() -> None:
    folder = Path(__file__).parents[2] / "rendernoise/noise"
    defined = {p.stem for p in folder.glob("*.py") if "(NoiseModel):" in p.read_text()}
    assert {kind.__module__.rpartition(".")[2] for kind in NOISES.values()} == defined


@dataclass(frozen=True)
class Clipped(NoiseModel):
    """What a careless newcomer would be."""

    strength: ClassVar[str] = "sigma"
    possible: ClassVar[tuple[float, float]] = (0.0, 1.0)
    trained: ClassVar[tuple[float, float]] = (0.0, 0.5)
    tested: ClassVar[float] = 0.2
    needs: ClassVar[Statistic] = "mean"
    loss: ClassVar[str] = "l1"
    unbiased: ClassVar[bool] = True
    source: ClassVar[str] = "nowhere"

    def corrupt(self, image: Plane, strength: float, rng: np.random.Generator) -> Noisy:
        levels = np.rint(np.clip(image + strength * rng.standard_normal(image.shape), -0.5, 0.5) * 255)
        return Noisy((levels / 255).astype(np.float32))


@pytest.mark.parametrize(
    "check",
    [
        test_a_strength_that_cannot_be_is_refused,
        test_nothing_is_quantised,
        lambda name: test_the_mean_is_the_clean_image_where_the_model_says_so(name, 1),
        test_the_loss_estimates_what_the_noise_needs,
    ],
    ids=["strength", "quantised", "mean", "loss"],
)
def test_one_line_is_what_a_newcomer_needs_to_be_tested(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOISES, "clipped", Clipped)
    with pytest.raises((AssertionError, InputError, pytest.fail.Exception)):
        check("clipped")
