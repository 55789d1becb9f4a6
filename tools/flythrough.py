"""Noise2Noise's flythrough (Lehtinen et al. 2018, Figure 9): 1000 frames, 8 + 8 spp, eight steps a frame.

Every frame is denoised once, right after its own steps: the paper's recipe from random weights on noisy and on
reference targets, and ours from base weights, which knows the frames before. Both halves are denoised and averaged.
Some three hours of one core at the default size, 50 minutes of them for ours; goes on where it stopped.

    python tools/flythrough.py --out out/flythrough --plot docs/flythrough.svg
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from measure_common import ROOM, mean_scores, read_denoised, run, scores, table
from measure_targets import psnr_of_tonemapped

from rendernoise.bench.oidn import Oidn
from rendernoise.denoiser import Denoiser
from rendernoise.frame import FramePair, Plane, average_shared
from rendernoise.io.exr import read_frame
from rendernoise.losses import get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.recipes import RECIPES
from rendernoise.sources.batching import batch_of
from rendernoise.trainer import Trainer

SPP = 8
#: Samples of a frame that serves as target, and of one that images are measured with, in passes of PASS_SPP.
TARGET_PASSES, REFERENCE_PASSES, PASS_SPP = 2, 32, 32
#: Frames that are measured: many at first, where the weights are new.
EARLY = (1, 4, 16)
#: What the table averages over: the frames after the weights' first hundred.
SETTLED_FROM = 100

LABELS = {
    "noisy": "input, 16 spp",
    "paper": "paper, noisy targets",
    "reference": "paper, reference targets",
    "oidn": "OIDN",
    "prefiltered": "OIDN prefiltered",
    "ours": "ours",
}
COLOURS = dict(zip(LABELS, ("#9498a0", "#4269d0", "#efb118", "#6cc5b0", "#3ca951", "#ff725c"), strict=True))
WIDTH, HEIGHT, MARGIN = 860, 420, 56


def measured_frames(last: int, every: int) -> list[int]:
    """The frames with references."""
    return sorted({n for n in (*EARLY, *range(every, last + 1, every)) if n <= last})


def train_on_references(halves: Path, targets: Path, out: Path, last: int, keep: Sequence[int]) -> float:
    """The paper's recipe with high-spp targets on the very inputs of its noisy run; returns the seconds."""
    out.mkdir(parents=True, exist_ok=True)
    recipe, steps = RECIPES["paper"], RECIPES["paper"].steps
    assert steps is not None
    torch.manual_seed(0)
    model = DenoisingModel(ModelSpec.default(recipe.network))
    trainer = Trainer(model, get_loss("hdr", needs="mean"), recipe.trainer, torch.device("cpu"))
    start = time.monotonic()
    for number in range(1, last + 1):
        a, b = (read_frame(halves / f"scene.{half}.{number:04d}.exr", number=number) for half in "ab")
        pair = FramePair(a, read_frame(targets / f"scene.{number:04d}.exr").radiance, "reference")
        weight = np.ones((1, a.height, a.width), np.float32)
        batch = batch_of(pair, weight, model.exposure_of(a), model)
        for _ in range(steps):
            trainer.step(batch)
        if number in keep:
            denoiser = Denoiser(model, device=torch.device("cpu"))
            image = (denoiser.radiance(a) + denoiser.radiance(b)) / 2
            np.save(out / f"{number:04d}.npy", image)
    seconds = time.monotonic() - start
    (out / "seconds.json").write_text(json.dumps(seconds))
    return seconds


def images_of(out: Path, number: int, foreign: Mapping[str, Oidn]) -> dict[str, Plane]:
    """Each method's image of a frame; none of reference targets where they went no further."""
    paper, noisy = read_denoised(out / "paper" / "denoised" / f"scene.{number:04d}.exr")
    ours, _ = read_denoised(out / "ours" / "denoised" / f"scene.{number:04d}.exr")
    halves = [read_frame(out / "paper" / "halves" / f"scene.{half}.{number:04d}.exr") for half in "ab"]
    mean = average_shared(halves)
    found = {"noisy": noisy, "paper": paper, "ours": ours, **{name: oidn(mean) for name, oidn in foreign.items()}}
    reference = out / "reference" / f"{number:04d}.npy"
    return {**found, "reference": np.load(reference)} if reference.exists() else found


def measure(out: Path, numbers: Sequence[int]) -> dict[str, dict[int, dict[str, float]]]:
    """Scores of each method and measured frame."""
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in LABELS}
    foreign = {"oidn": Oidn(), "prefiltered": Oidn(prefilter=True)}
    for number in numbers:
        truth = read_frame(out / "truth" / f"scene.{number:04d}.exr")
        for name, image in images_of(out, number, foreign).items():
            psnr_db = psnr_of_tonemapped(image, truth.radiance)
            found[name][number] = {"psnr_db": psnr_db, **scores(image, truth)}
    for oidn in foreign.values():
        oidn.close()
    return found


def plot(found: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """An SVG: PSNR of T over the frames, one line for each method."""
    last = max(max(line) for line in found.values())
    values = [s["psnr_db"] for line in found.values() for s in line.values()]
    low, high = 5 * np.floor(min(values) / 5), 5 * np.ceil(max(values) / 5)

    def x(number: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * number / last

    def y(value: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for value in np.arange(low, high + 1, 5):
        parts.append(f'<path d="M{x(0):.1f} {y(value):.1f}H{x(last):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x(0) - 6:.1f}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.0f} dB</text>')
    for number in np.linspace(0, last, 6):
        parts.append(f'<text x="{x(number):.1f}" y="{y(low) + 18:.1f}" text-anchor="middle">{number:.0f}</text>')
    for index, (name, line) in enumerate(found.items()):
        path = "L".join(f"{x(n):.1f} {y(s['psnr_db']):.1f}" for n, s in line.items())
        left, top = MARGIN + index % 3 * (WIDTH - 2 * MARGIN) / 3, 16 + index // 3 * 20
        parts += [
            f'<path d="M{path}" stroke="{COLOURS[name]}" fill="none" stroke-width="1.8"/>',
            f'<rect x="{left:.1f}" y="{top - 6}" width="14" height="4" fill="{COLOURS[name]}"/>',
            f'<text x="{left + 20:.1f}" y="{top}">{LABELS[name]}</text>',
        ]
    parts += [f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">frame</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def summary_table(found: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Markdown: the mean of each method over the settled frames."""
    rows = []
    for name, line in found.items():
        settled = {n: dict(s) for n, s in line.items() if n >= min(SETTLED_FROM, max(line))}
        mean = mean_scores(list(settled.values()))
        frames = f"{min(settled)}-{max(settled)}"
        rows.append([LABELS[name], frames, *(mean[k] for k in ("psnr_db", "trimmed_relmse", "smape", "bias"))])
    return table(["method", "frames", "PSNR of T, dB", "trimmed relMSE", "SMAPE", "bias"], rows)


def main() -> None:
    """Render, train, measure, plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/flythrough"))
    parser.add_argument("--plot", type=Path, help="SVG to write")
    parser.add_argument("--frames", type=int, default=1000, help="length of the flythrough")
    parser.add_argument("--every", type=int, default=50, help="measure one frame in so many")
    parser.add_argument("--resolution", default="160x96")
    parser.add_argument("--reference-frames", type=int, default=250, help="how far to go with reference targets")
    options = parser.parse_args()
    out, last = options.out, options.frames
    numbers = measured_frames(last, options.every)
    scene = [ROOM / "scene.xml", "--camera", ROOM / "flythrough.json", "--resolution", options.resolution, "--resume"]
    all_frames = ["--frames", f"1-{last}"]
    causal = [*all_frames, "--spp", SPP, "--no-final-pass"]
    run("online", *scene, *causal, "--recipe", "paper", "--save-halves", "--out", out / "paper")
    steps = ["--steps", RECIPES["paper"].steps, "--min-steps", 0]
    run("online", *scene, *causal, *steps, "--out", out / "ours")
    dear = ["--reference", "--spp", PASS_SPP]
    measured = ["--frames", ",".join(map(str, numbers)), "--passes", REFERENCE_PASSES, "--seed", 7]
    run("render", *scene, *dear, *measured, "--out", out / "truth")
    dear_last = min(last, options.reference_frames)
    targets = ["--frames", f"1-{dear_last}", "--passes", TARGET_PASSES, "--seed", 9]
    run("render", *scene, *dear, *targets, "--out", out / "targets")
    if not (out / "reference" / "seconds.json").exists():
        train_on_references(out / "paper" / "halves", out / "targets", out / "reference", dear_last, numbers)
    found = measure(out, numbers)
    (out / "scores.json").write_text(json.dumps(found, indent=1))
    if options.plot:
        options.plot.write_text(plot(found))
    print(summary_table(found))
    for name in ("paper", "ours"):
        wall_s = json.loads((out / name / "summary.json").read_text())["wall_s"]
        print(f"{name}: {wall_s:.0f} s")


if __name__ == "__main__":
    main()
