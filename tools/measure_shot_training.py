"""What ``denoise --train`` gains, from two halves and from blind spots of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from measure_common import ROOM, mean_scores, run, scores, table

from rendernoise.denoiser import Denoiser
from rendernoise.io.exr import read_frame

FRAMES, JUDGED = "1-6", (2, 5)
SECONDS = 60


def shot_training(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Six frames of two scenes, 160×90 px, halves of 8 spp; two of them against 1024 spp."""
    rows = [row for name in ("room", "terrace") for row in _scene(ROOM.parent / name, out / name)]
    cells = [
        (
            r["scene"],
            r["case"],
            r["steps"],
            *(f"{r[m]:.4f}" for m in ("trimmed_relmse", "smape")),
            f"{100 * r['bias']:+.1f} %",
        )
        for r in rows
    ]
    return rows, table(("scene", "input", "steps", "trimmed relMSE", "SMAPE", "bias"), cells)


def _scene(scene: Path, out: Path) -> list[dict[str, Any]]:
    noisy, reference = out / "noisy", out / "reference"
    shot = (scene / "scene.xml", "--camera", scene / "camera.json", "--resolution", "160x90")
    if not noisy.exists():
        run("render", *shot, "--frames", FRAMES, "--pairs", "--spp", 8, "--out", noisy)
    if not reference.exists():
        passes = ("--reference", "--spp", 256, "--passes", 4, "--seed", 9)
        run("render", *shot, "--frames", ",".join(map(str, JUDGED)), *passes, "--out", reference)
    half, train = ("--half", noisy / "scene.b.####.exr"), ("--train", f"{SECONDS}s")
    cases = {
        "both halves": half,
        f"both halves, {SECONDS} s": (*half, *train),
        "one half": (),
        f"one half, blind spots, {SECONDS} s": train,
        "one half, no neighbours": ("--window", 0),
        f"one half, no neighbours, blind spots, {SECONDS} s": ("--window", 0, *train),
    }
    rows: list[dict[str, Any]] = []
    for name, options in cases.items():
        folder = out / name.replace(" ", "_").replace(",", "")
        run("denoise", noisy / "scene.a.####.exr", *options, "--out", folder, "--overwrite")
        found = [
            scores(read_frame(folder / f"scene.a.{n:04d}.exr").radiance, read_frame(reference / f"scene.{n:04d}.exr"))
            for n in JUDGED
        ]
        weights = folder / "weights.safetensors"
        steps = Denoiser.load(weights, "cpu").provenance["steps"] if weights.exists() else 0
        rows.append({"scene": scene.name, "case": name, "steps": steps, **mean_scores(found)})
    return rows
