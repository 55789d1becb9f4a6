"""Noisy targets against reference targets, on our room: the claim that Noise2Noise rests on."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure_common import ROOM, mean_scores, run, scores, table

from rendernoise.io.exr import read_frame

TRAIN_FRAMES = "1-45x4"
TEST_FRAMES = "3-35x8"
SPP, REFERENCE_SPP, STEPS = 64, 512, 1000


def targets(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """The same steps on noisy and on reference targets; then both in the same total time, rendering included."""
    del shared
    shutil.rmtree(out, ignore_errors=True)
    scene = [ROOM / "scene.xml", "--camera", ROOM / "camera.json"]
    pairs_s = _timed("render", *scene, "--frames", TRAIN_FRAMES, "--pairs", "--spp", SPP, "--out", out / "data")
    passes = REFERENCE_SPP // 64
    reference_options = ["--reference", "--spp", 64, "--passes", passes]
    references_s = _timed("render", *scene, "--frames", TRAIN_FRAMES, *reference_options, "--out", out / "references")
    for file in (out / "references").glob("*.exr"):
        shutil.copy(file, out / "data" / file.name)
    run("render", *scene, "--frames", TEST_FRAMES, "--pairs", "--spp", SPP, "--seed", 7, "--out", out / "test")
    run("render", *scene, "--frames", TEST_FRAMES, *reference_options, "--seed", 7, "--out", out / "truth")

    noisy_train_s = _timed("train", out / "data", "--steps", STEPS, "--out", out / "noisy")
    _timed("train", out / "data", "--steps", STEPS, "--target", "reference", "--out", out / "reference")
    # Equal total time: what noisy targets took in all buys so many frames with references, and the same steps.
    frames = len(list((out / "data").glob("*.a.*.exr")))
    affordable = max(1, int(pairs_s / ((pairs_s + references_s) / frames)))
    few = sorted((out / "data").glob("*.a.*.exr"))[:: max(1, frames // affordable)][:affordable]
    numbers = ",".join(str(int(f.name.split(".")[-2])) for f in few)
    equal_time = ["--target", "reference", "--frames", numbers, "--out", out / "reference-time"]
    run("train", out / "data", "--steps", STEPS, *equal_time)

    rows = []
    for name, label, count, render_s in (
        ("noisy", f"noisy ({SPP} spp)", frames, pairs_s),
        ("reference", f"reference ({REFERENCE_SPP} spp), same steps", frames, pairs_s + references_s),
        ("reference-time", "reference, same total time", affordable, (pairs_s + references_s) * affordable / frames),
    ):
        rows.append({"target": label, "frames": count, "render_s": render_s, **_test(out, name)})
    noisy_psnr = rows[0]["psnr_db"]
    for row in rows:
        row["gap_db"] = noisy_psnr - row["psnr_db"]
        row["train_s"] = noisy_train_s
    columns = ["target", "frames", "render_s", "train_s", "psnr_db", "gap_db", "trimmed_relmse", "smape", "bias"]
    return rows, table(columns, [[row[c] for c in columns] for row in rows])


def _timed(*arguments: object) -> float:
    start = time.perf_counter()
    run(*arguments, "--overwrite")
    return time.perf_counter() - start


def _test(out: Path, name: str) -> dict[str, float]:
    """Mean scores on frames that were in no training set; PSNR of T(x) as the paper shows its renders."""
    target = out / f"denoised-{name}"
    weights = out / name / "weights.safetensors"
    run("denoise", out / "test" / "scene.a.####.exr", "--weights", weights, "--out", target, "--overwrite")
    many = []
    for file in sorted((out / "truth").glob("scene.*.exr")):
        truth = read_frame(file)
        number = int(file.name.split(".")[-2])
        image = read_frame(target / f"scene.a.{number:04d}.exr").radiance
        many.append({**scores(image, truth), "psnr_db": psnr_of_tonemapped(image, truth.radiance)})
    return mean_scores(many)


def psnr_of_tonemapped(image: np.ndarray, truth: np.ndarray) -> float:
    """PSNR in dB of T(max(x, 0)), whose range is 1."""

    def tonemap(v: np.ndarray) -> np.ndarray:
        v = np.maximum(v.astype(np.float64), 0)
        return (v / (1 + v)) ** (1 / 2.2)

    return float(-10 * np.log10(np.square(tonemap(image) - tonemap(truth)).mean()))


if __name__ == "__main__":
    print(json.dumps(targets(Path(), Path("out/measure/targets"))[0], indent=2))
