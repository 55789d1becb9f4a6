"""Steps per second of the noise suite's training, against a plain PyTorch loop of the same network, batch and noise."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_common import table

from rendernoise.denoiser import pays_bf16
from rendernoise.io.image_folder import ImageFolder
from rendernoise.losses import get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.noise.naming import parse_noise
from rendernoise.sources.noisy_images import NoisyBatcher, NoisyPlan
from rendernoise.suite.config import NOISE2NOISE
from rendernoise.suite.training import trainer_options
from rendernoise.trainer import Trainer

CROP_PX, BATCH, SIGMA = 128, 4, 50 / 255
#: Steps that are timed together, and how often, in turns; the first of each warm up.
STEPS, REPEATS = 8, 7
#: What the suite's training must reach of the plain loop's speed.
FLOOR = 0.95


def suite_speed(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Both loops in turns in one process, so that a busy machine slows both."""
    del shared, out
    rng = np.random.default_rng(0)
    images = [rng.integers(256, size=(1, 180, 180), dtype=np.uint8) for _ in range(16)]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loops = {"suite": _suite(images, device), "plain": _plain(images, device)}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for repeat in range(REPEATS + 1):
        for name, step in loops.items():
            started = time.perf_counter()
            for _ in range(STEPS):
                step()
            if repeat:
                seconds[name].append(time.perf_counter() - started)
    ratio = float(np.median([p / s for s, p in zip(seconds["suite"], seconds["plain"], strict=True)]))
    rows = [{"loop": name, "steps_per_s": STEPS / float(np.median(times))} for name, times in seconds.items()]
    rows.append({"loop": "suite / plain", "steps_per_s": ratio, "floor": FLOOR, "device": str(device)})
    lines = table(["loop", "steps per s"], [[row["loop"], row["steps_per_s"]] for row in rows])
    return rows, f"{lines}\n\nThe floor of the ratio is {FLOOR}."


def _suite(images: list[np.ndarray], device: torch.device) -> Callable[[], object]:
    folder = ImageFolder("random", tuple(str(i) for i in range(len(images))), tuple(images), 1)
    model = DenoisingModel(ModelSpec("unet", ("radiance",), "linear", "none", channels=1))
    trainer = Trainer(model, get_loss("l2"), trainer_options(NOISE2NOISE[2]), device)
    batcher = NoisyBatcher(folder, parse_noise("gaussian"), model, NoisyPlan(CROP_PX, BATCH), 0)
    return lambda: trainer.step(batcher.draw())


def _plain(images: list[np.ndarray], device: torch.device) -> Callable[[], object]:
    """What one would write by hand: crops, noise drawn by torch, Adam, bf16 where the suite has it."""
    network = DenoisingModel(ModelSpec("unet", ("radiance",), "linear", "none", channels=1)).network
    network = network.to(device, memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), lr=NOISE2NOISE[2], betas=(0.9, 0.99))
    clean = [torch.from_numpy(image).float() / 255 - 0.5 for image in images]
    bf16 = pays_bf16(device)

    def step() -> None:
        crops = []
        for index in torch.randint(len(clean), (BATCH,)).tolist():
            top, left = torch.randint(clean[index].shape[-1] - CROP_PX + 1, (2,)).tolist()
            crop = clean[index][:, top : top + CROP_PX, left : left + CROP_PX]
            crops.append(crop.flip(-1) if torch.rand(()) < 0.5 else crop)
        batch = torch.stack(crops).to(device)
        inputs, targets = (
            batch + SIGMA * torch.rand(BATCH, 1, 1, 1, device=device) * torch.randn_like(batch) for _ in "ab"
        )
        adam.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            prediction = network(inputs.to(memory_format=torch.channels_last))
        loss = (prediction.float() - targets).square().mean()
        loss.backward()
        adam.step()
        loss.item()  # a loop that anyone watches

    return step
