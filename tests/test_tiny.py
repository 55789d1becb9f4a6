"""The whole idea in a few seconds: pictures that nobody ever saw clean come out cleaner than the noisy ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rendernoise.config import OnlineConfig
from rendernoise.io.exr import read
from rendernoise.online import run_online
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.render.process import RendererProcess

SIZE = (64, 48)
FRAMES = 4


def relmse(image: np.ndarray, truth: np.ndarray) -> float:
    return float((np.square(image.astype(np.float64) - truth) / (np.square(truth) + 0.01)).mean())


def test_online_training_denoises(
    online_config: Callable[..., OnlineConfig], analytic: Callable[..., Callable[[], RendererProcess]]
) -> None:
    config = online_config(FRAMES, steps=5, min_steps=70, spp=4, seed=0, network="fast", weights="none")
    summary = run_online(config, start_renderer=analytic(resolution=SIZE))
    renderer = AnalyticRenderer(SIZE)
    errors, noise = [], []
    for frame in summary["frames"]:
        picture = read(config.out / "denoised" / f"shot.{frame['frame']:04d}.exr")
        truth = renderer.reference(View(frame["frame"]))
        errors.append(relmse(np.stack([picture.channels[c] for c in "RGB"]), truth))
        noise.append(relmse(np.stack([picture.channels[f"noisy.{c}"] for c in "RGB"]), truth))
    assert np.mean(errors) < 0.3 * np.mean(noise)
    assert max(errors) < 0.4 * min(noise)
