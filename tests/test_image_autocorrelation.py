"""The check of noisy images for Noise2Void: false alarms on independent noise, misses on noise that neighbours share.

The pictures are made here: shading, shapes with edges and fine texture, and flat places, as in photographs.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from rendernoise.sources.autocorrelation import blind_spot_warning, image_noise_correlation

Noise = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SIGMA = 25 / 255


def picture(rng: np.random.Generator, channels: int) -> np.ndarray:
    """``[C, H, W]`` in [-0.5, 0.5]: a shaded ground, disks of other colours, one of them textured."""
    height, width = (int(n) for n in rng.integers(128, 200, 2))
    y, x = np.mgrid[:height, :width]
    ground = rng.uniform(-0.3, 0.3, (channels, 1, 1)) + rng.uniform(-1e-3, 1e-3) * x + rng.uniform(-1e-3, 1e-3) * y
    for disk in range(6):
        inside = (y - rng.uniform(0, height)) ** 2 + (x - rng.uniform(0, width)) ** 2 < rng.uniform(10, 40) ** 2
        texture = 0.2 * np.sin(x * rng.uniform(0.3, 2)) * np.sin(y * rng.uniform(0.3, 2)) if disk % 2 else 0.0
        ground = np.where(inside, rng.uniform(-0.4, 0.4, (channels, 1, 1)) + texture, ground)
    return ground.clip(-0.5, 0.5).astype(np.float32)


def blurred(shape: tuple[int, ...], rng: np.random.Generator, down: float, right: float) -> np.ndarray:
    """White noise under a Gaussian of so many px, circular, rescaled to the deviation 1."""
    fy, fx = np.fft.fftfreq(shape[1])[:, None], np.fft.fftfreq(shape[2])
    gain = np.exp(-2 * np.pi**2 * ((down * fy) ** 2 + (right * fx) ** 2))
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * gain).real
    return noise / np.sqrt(np.mean(gain**2))


def white(sigma: float) -> Noise:
    return lambda image, rng: image + sigma / 255 * rng.standard_normal(image.shape)


def brown(down: float, right: float) -> Noise:
    return lambda image, rng: image + SIGMA * blurred(image.shape, rng, down, right)


def poisson(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson((image + 0.5) * 30) / 30 - 0.5


def holes(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(image.shape[1:]) < 0.5, image, -0.5)


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noisy, then compressed at a low quality: of each block of 8×8 px few frequencies are left."""
    pixels = np.round((white(25)(image, rng) + 0.5).clip(0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)).save(buffer, "JPEG", quality=25)
    decoded = np.asarray(Image.open(buffer), np.float32)
    return np.moveaxis(decoded.reshape(*decoded.shape[:2], -1), -1, 0) / 255 - 0.5


INDEPENDENT: dict[str, Noise] = {
    "gaussian 10": white(10),
    "gaussian 25": white(25),
    "gaussian 50": white(50),
    "poisson": poisson,
    "bernoulli": holes,
}
SHARED: dict[str, Noise] = {
    "brown 0.6 px": brown(0.6, 0.6),
    "brown 1 px": brown(1, 1),
    "brown 4 px": brown(4, 4),
    "jpeg": jpeg,
}


def noisy(noise: Noise, seed: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng([seed, channels])
    return noise(picture(rng, channels), rng).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent_noise_raises_hardly_an_alarm(name: str, channels: int) -> None:
    """At most one alarm in 20 images, judged one by one: at a rate of 1 in 100 a second one comes in 1 of 59 seeds."""
    found = [blind_spot_warning([noisy(INDEPENDENT[name], seed, channels)]) for seed in range(20)]
    assert sum(f is not None for f in found) <= 1, [f for f in found if f]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SHARED)
def test_shared_noise_is_found(name: str, channels: int) -> None:
    """At most one of 20 images is missed, judged one by one: were one in 5 missed, this would fail in 14 of 15 runs."""
    found = [blind_spot_warning([noisy(SHARED[name], seed, channels)]) for seed in range(20)]
    assert sum(f is None for f in found) <= 1
    assert sum(f is not None and "use noisy pairs" in f for f in found) >= 17, found


@pytest.mark.parametrize(
    ("noise", "where", "masking"),
    [(brown(0, 1.5), "along rows", "struct_n2v_horizontal"), (brown(1.5, 0), "along columns", "struct_n2v_vertical")],
)
def test_noise_along_one_axis_names_the_masking_for_it(noise: Noise, where: str, masking: str) -> None:
    found = [blind_spot_warning([noisy(noise, seed, 1)]) for seed in range(20)]
    assert sum(f is not None and where in f and f.endswith(f"--masking {masking}") for f in found) >= 19, found
    assert all(f is None or "\n" not in f for f in found)


def test_images_of_a_folder_are_judged_together() -> None:
    """The standard error falls as tiles add up, and the estimate is that of the noise."""
    images = [noisy(brown(0.6, 0.6), seed, 1) for seed in range(8)]
    (one, _), (rows, columns) = image_noise_correlation(images[:1]), image_noise_correlation(images)
    assert rows.error < 0.6 * one.error
    assert rows.tiles > 4 * one.tiles
    # A blur of 0.6 px correlates neighbours by exp(-1 / (4 · 0.36)) = 0.50, and the ranks of Gaussian noise by
    # 6/π · asin(0.50 / 2) = 0.48 among all, which is 0.45 among 81 that have 0.056 in common themselves.
    # Tiles of little variance are a little less correlated than others.
    assert rows.noise == pytest.approx(0.43, abs=0.07)
    assert columns.noise == pytest.approx(0.43, abs=0.07)


def test_standard_error_is_true() -> None:
    """Of white noise alone, 88 of 100 estimates at least lie within two standard errors of 0 (95 expected)."""
    rng = np.random.default_rng(1)
    found = [image_noise_correlation([rng.standard_normal((1, 256, 256)).astype(np.float32)])[0] for _ in range(100)]
    # Each window of ranks holds the pixel's neighbours, so that their ranks correlate -1/80.
    assert np.mean([abs(f.noise + 1 / 80) < 2 * f.error for f in found]) >= 0.88


def test_nothing_is_said_where_there_is_no_noise_or_no_image() -> None:
    for image in (np.zeros((1, 64, 64), np.float32), np.full((3, 64, 64), np.nan, np.float32)):
        rows, columns = image_noise_correlation([image])
        assert (rows.tiles, columns.tiles) == (0, 0)
        assert blind_spot_warning([image]) is None
    assert blind_spot_warning([np.random.default_rng(0).random((1, 16, 16), dtype=np.float32)]) is None
