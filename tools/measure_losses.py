"""The loss ablation of the paper's Figure 6, on our room at 8 + 8 spp, with the bias of each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from measure_common import ROOM, mean_scores, run, scores, table
from measure_targets import psnr_of_tonemapped

from rendernoise.io.exr import read_frame

FRAMES, TEST_FRAMES = "1-48", "5-45x10"
STEPS, SPP = 600, 8
#: (label, loss, transfer of the input); the paper's network and its four settings, then the wrongly normalised ones.
SETTINGS = (
    ("L2, raw input and target", "l2", "linear"),
    ("L2, tone-mapped input and target", "l2_tonemapped", "tonemap"),
    ("L_HDR, raw input", "hdr", "linear"),
    ("L_HDR, tone-mapped input", "hdr", "tonemap"),
    ("L1, raw target, tone-mapped input", "l1", "tonemap"),
    ("L_HDR normalised by the target, tone-mapped input", "hdr_target_denominator", "tonemap"),
    ("L_HDR without stop-gradient, tone-mapped input", "hdr_without_stop_gradient", "tonemap"),
)


def losses(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Train the paper's U-Net with each loss for the same steps; test on frames of another seed."""
    del shared
    shutil.rmtree(out, ignore_errors=True)
    scene = [ROOM / "scene.xml", "--camera", ROOM / "camera.json"]
    run("render", *scene, "--frames", FRAMES, "--pairs", "--spp", SPP, "--out", out / "data")
    run("render", *scene, "--frames", TEST_FRAMES, "--pairs", "--spp", SPP, "--seed", 7, "--out", out / "test")
    truth = [*scene, "--frames", TEST_FRAMES, "--reference", "--spp", 64, "--passes", 16, "--seed", 7]
    run("render", *truth, "--out", out / "truth")
    rows = []
    for index, (label, loss, transfer) in enumerate(SETTINGS):
        to = out / f"{index}-{loss}-{transfer}"
        options = ["--loss", loss, "--transfer", transfer, "--network", "unet", "--steps", STEPS]
        run("train", out / "data", *options, "--out", to)
        denoised = out / f"denoised-{index}"
        run("denoise", out / "test" / "scene.a.####.exr", "--weights", to / "weights.safetensors", "--out", denoised)
        many = []
        for file in sorted((out / "truth").glob("scene.*.exr")):
            frame = read_frame(file)
            image = read_frame(denoised / f"scene.a.{int(file.name.split('.')[-2]):04d}.exr").radiance
            many.append({**scores(image, frame), "psnr_db": psnr_of_tonemapped(image, frame.radiance)})
        rows.append({"setting": label, "loss": loss, "transfer": transfer, **mean_scores(many)})
    columns = ["setting", "bias", "trimmed_relmse", "smape", "psnr_db"]
    return rows, table(columns, [[row[c] for c in columns] for row in rows])
