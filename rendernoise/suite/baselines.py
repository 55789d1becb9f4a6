"""Denoisers by others that stand beside ours in the tables, each where its package is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rendernoise.frame import Plane
from rendernoise.noise import Noisy

Restore = Callable[[Noisy], Plane]


@dataclass(frozen=True)
class Examples:
    """What a baseline that must be trained may see: as much as ours.

    Args:
        noisy: Noisy images ``[C, H, W]``, one version of each; no clean ones.
        steps: Training steps.
        crop_px: Side of the crops.
        batch: Crops in a step.
        seed: Of everything random.
    """

    noisy: Sequence[Plane]
    steps: int
    crop_px: int
    batch: int
    seed: int


@dataclass(frozen=True)
class Baseline:
    """A denoiser that is not ours.

    Args:
        label: What the table calls it.
        package: What must be importable for it.
        cure: How to get the package.
        noise: The noise model that it is made for.
        make: From the strength of the noise, and examples where it is trained, to what denoises an image.
        trained: Whether it needs examples.
        note: What a reader of the table must know.
    """

    label: str
    package: str
    cure: str
    noise: str
    make: Callable[[float, Examples | None], Restore]
    trained: bool = False
    note: str = ""

    def why_not(self) -> str | None:
        """Why it cannot run here; None when it can."""
        return None if importlib.util.find_spec(self.package) else f"not installed ({self.cure})"


def bm3d(image: Plane, sigma: float) -> Plane:
    """BM3D (Dabov et al. 2007) with its default profile; of colours the opponent transform.

    Args:
        image: ``[1, H, W]`` or ``[3, H, W]``.
        sigma: Standard deviation of the noise, in the unit of the image.
    """
    from bm3d import bm3d as denoise_grey
    from bm3d import bm3d_rgb

    if len(image) == 1:
        return np.asarray(denoise_grey(image[0], sigma), np.float32)[None]
    result = np.asarray(bm3d_rgb(np.ascontiguousarray(image.transpose(1, 2, 0)), sigma), np.float32)
    return np.ascontiguousarray(result.transpose(2, 0, 1))


def anscombe(counts: NDArray[Any]) -> NDArray[Any]:
    """Poisson counts with a variance of nearly 1: 2 √(n + 3/8) (Anscombe 1948); below −3/8 it is 0."""
    return 2 * np.sqrt(np.maximum(counts + 3 / 8, 0))


def inverse_anscombe(stable: NDArray[Any]) -> NDArray[Any]:
    """The mean of the counts from the mean of their transform: closed form of the exact unbiased inverse.

    Mäkitalo and Foi 2011, equation 10. What lies below the transform of 0 is 0.
    """
    least = float(anscombe(np.zeros(())))
    d = np.maximum(stable, least)
    root = np.sqrt(1.5)
    found = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
    return np.where(stable > least, np.maximum(found, 0), 0)


def _bm3d(strength: float, examples: Examples | None) -> Restore:
    # It counts from 0 to 1, and what is near 0 is small to it.
    return lambda noisy: bm3d(noisy.image + np.float32(0.5), strength / 255) - np.float32(0.5)


def _anscombe_bm3d(strength: float, examples: Examples | None) -> Restore:
    scale = float(anscombe(np.array(strength)))

    def restore(noisy: Noisy) -> Plane:
        stable = anscombe(strength * (noisy.image.astype(np.float64) + 0.5)) / scale
        clean = inverse_anscombe(scale * bm3d(stable.astype(np.float32), 1 / scale).astype(np.float64))
        return (clean / strength - 0.5).astype(np.float32)

    return restore


#: Its network halves images twice.
_CAREAMICS_BLOCK_PX = 4


def _careamics(strength: float, examples: Examples | None) -> Restore:
    from careamics import CAREamist  # pyright: ignore[reportMissingImports]
    from careamics.config import create_advanced_n2v_config  # pyright: ignore[reportMissingImports]

    assert examples is not None
    images = [np.ascontiguousarray(image[0]) for image in examples.noisy if min(image.shape[1:]) >= examples.crop_px]
    folder = tempfile.TemporaryDirectory(prefix="careamics-")
    with _silent():
        config = create_advanced_n2v_config(
            "n2v",
            "array",
            "YX",
            (examples.crop_px, examples.crop_px),
            examples.batch,
            num_epochs=1,
            num_steps=examples.steps,
            num_workers=0,
            seed=examples.seed + 1,  # it refuses 0
        )
        careamist = CAREamist(config, work_dir=Path(folder.name), enable_progress_bar=False)
        # It wants images to watch itself on; the last one is kept from training where there are several.
        careamist.train(train_data=images[:-1] or images, val_data=images[-1:])

    return _Careamics(careamist, folder)


@dataclass(frozen=True)
class _Careamics:
    """Denoises by CAREamics; its folder goes when this goes, as it is written to with every image."""

    careamist: Any
    folder: tempfile.TemporaryDirectory[str]

    def __call__(self, noisy: Noisy) -> Plane:
        height, width = noisy.image.shape[1:]
        padding = ((0, -height % _CAREAMICS_BLOCK_PX), (0, -width % _CAREAMICS_BLOCK_PX))
        with _silent():
            results, _ = self.careamist.predict(np.pad(noisy.image[0], padding, mode="symmetric"))
        return np.asarray(results[0], np.float32).reshape(1, height + padding[0][1], -1)[:, :height, :width]


@contextlib.contextmanager
def _silent() -> Any:
    """Standard output is the command's own: events, with ``--json``. Lightning says a lot there."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


_SUITE_EXTRA = "pip install 'rendernoise[suite]'"
_LICENCE = "bm3d's licence allows non-commercial use alone"

BASELINES: dict[str, Baseline] = {
    "bm3d": Baseline("BM3D", "bm3d", _SUITE_EXTRA, "gaussian", _bm3d, note=_LICENCE),
    "anscombe_bm3d": Baseline(
        "Anscombe + BM3D", "bm3d", _SUITE_EXTRA, "poisson", _anscombe_bm3d, note=f"exact unbiased inverse; {_LICENCE}"
    ),
    "careamics_n2v": Baseline(
        "CAREamics N2V",
        "careamics",
        "pip install careamics",
        "gaussian",
        _careamics,
        trained=True,
        note="its own network and masking, as many steps, crops and images as ours, its own learning rate",
    ),
}
