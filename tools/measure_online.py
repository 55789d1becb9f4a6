"""Measurements of ``online``: image error on real scenes, what it costs beyond rendering and training, memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from measure_common import ROOM, read_denoised, run, scores, table

from rendernoise.io.exr import read_frame

SCENES = ("staircase2", "living-room", "veach-bidir")
FRAMES = (12, 24)

Result = tuple[list[dict[str, Any]], str]


def scenes(shared: Path, out: Path) -> Result:
    """Both recipes on the shared shots, 24 frames, 8 + 8 spp, from random weights, against the references."""
    rows: list[dict[str, Any]] = []
    for name in SCENES:
        folder = shared / "scenes" / name
        if not folder.exists():
            print(f"left out: {folder} is absent", flush=True)
            continue
        for recipe in ("ours", "paper"):
            to = out / f"{name}-{recipe}"
            run("online", folder / "shot.####.xml", "--out", to, "--overwrite", "--recipe", recipe)
            wall_s = json.loads((to / "summary.json").read_text())["wall_s"]
            for frame in FRAMES:
                denoised, noisy = read_denoised(to / "denoised" / f"shot.{frame:04d}.exr")
                truth = read_frame(folder / f"reference.{frame:04d}.exr")
                mine, before = scores(denoised, truth), scores(noisy, truth)
                rows.append(
                    {
                        "scene": name,
                        "recipe": recipe,
                        "frame": frame,
                        **mine,
                        "noisy_trimmed_relmse": before["trimmed_relmse"],
                        "ratio": mine["trimmed_relmse"] / before["trimmed_relmse"],
                        "wall_s": wall_s,
                    }
                )
    columns = ["scene", "recipe", "frame", "noisy_trimmed_relmse", "trimmed_relmse", "ratio", "relmse", "smape", "bias"]
    columns.append("wall_s")
    return rows, table(columns, [[row[c] for c in columns] for row in rows])


# -- what online costs beyond rendering and training --------------------------------------------------------------


def overhead(shared: Path, out: Path) -> Result:
    """Wall time of ``online`` against the larger of bare rendering and bare training, each as wide as in ``online``.

    On two cores online gives one to each side while both work, and both to the training that is left. So rendering
    is timed on one core, and training on one core for the steps that belong to pairs and on two for the rest. A
    second table times both on all cores: no schedule can be faster than their sum there.
    """
    shot = shared / "scenes" / "staircase2" / "shot.####.xml"
    scene = (
        ["online", shot] if shot.parent.exists() else ["online", ROOM / "scene.xml", "--camera", ROOM / "camera.json"]
    )
    target = out / "online"
    start = time.perf_counter()
    run(*scene, "--frames", "1-24", "--out", target, "--overwrite", "--save-halves")
    process_s = time.perf_counter() - start
    summary = json.loads((target / "summary.json").read_text())
    cores = len(os.sched_getaffinity(0))
    scene_file = str(shot) if shot.parent.exists() else str(ROOM / "scene.xml")

    def timed(what: str, *arguments: object) -> float:
        command = [sys.executable, __file__, what, *map(str, arguments)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    events = [json.loads(line) for line in (target / "metrics.jsonl").read_text().splitlines()]
    arrivals = [event["step"] for event in events if event["event"] == "pair"]
    per_pair = arrivals[1] - arrivals[0]
    pair_steps, rest = per_pair * len(arrivals), summary["steps"] - per_pair * len(arrivals)
    render_1, render_all = (timed("render", scene_file, threads) for threads in (max(1, cores // 2), cores))
    train = timed("train", target / "halves", pair_steps, max(1, cores - cores // 2), rest, cores)
    train_all = timed("train", target / "halves", summary["steps"], cores, 0, cores)
    larger = max(render_1, train)
    row = {
        "online_wall_s": summary["wall_s"],
        "process_wall_s": process_s,
        "bare_render_s": render_1,
        "bare_train_s": train,
        "beyond_the_larger": summary["wall_s"] / larger - 1,
        "waited_for_renders_s": summary["wait_s"],
        "score_and_final_pass_s": summary["denoise_s"],
        "training_slower_by_s": summary["train_s"] - train,
        "bare_render_all_cores_s": render_all,
        "bare_train_all_cores_s": train_all,
        "over_their_sum": summary["wall_s"] / (render_all + train_all),
        "steps": summary["steps"],
    }
    return [row], table(["figure", "value"], list(row.items()))


def _bare_render(scene: str, threads: int) -> float:
    """Seconds of ``mi.render`` alone for 24 frames of two halves of 8 spp, after one that compiles."""
    from rendernoise.render.mitsuba import MitsubaRenderer, SceneOptions
    from rendernoise.render.probe import probe_variant
    from rendernoise.render.shot import find_shot
    from rendernoise.seeds import Stream

    camera = None if "#" in scene else ROOM / "camera.json"
    shot = find_shot([Path(scene)], list(range(1, 25)), camera)
    variant = "llvm_ad_rgb" if probe_variant("llvm_ad_rgb").works else "scalar_rgb"
    renderer = MitsubaRenderer(SceneOptions(variant=variant, threads=threads, frames=shot.span))
    renderer.render_bare(shot.views[0], spp=8, seed=Stream(1, 1, 1, "a").pack())
    start = time.perf_counter()
    for view in shot.views:
        for half in ("a", "b"):
            renderer.render_bare(view, spp=8, seed=Stream(0, view.frame, 0, half).pack())
    return time.perf_counter() - start


def _bare_train(halves: str, first: int, first_threads: int, rest: int, rest_threads: int) -> float:
    """Seconds of training steps alone, with the batches that online draws, on as many threads."""
    import tempfile

    import torch

    from rendernoise.losses import get_loss
    from rendernoise.model import DenoisingModel, ModelSpec
    from rendernoise.recipes import RECIPES
    from rendernoise.sources.batching import CropBatcher
    from rendernoise.sources.exr_pairs import ExrPairs
    from rendernoise.sources.store import PairStore
    from rendernoise.trainer import Trainer

    recipe = RECIPES["ours"]
    with tempfile.TemporaryDirectory() as folder:
        store = PairStore(Path(folder))
        for index, pair in enumerate(ExrPairs((Path(halves),))):
            store.put(index, pair)
            store.show(index)
        model = DenoisingModel(ModelSpec.default(recipe.network, ("radiance", "albedo", "normal")))
        trainer = Trainer(model, get_loss("hdr"), recipe.trainer, torch.device("cpu"))
        batcher = CropBatcher(store, model, recipe.crops, 0)
        torch.set_num_threads(first_threads)
        for _ in range(3):
            trainer.step(batcher.draw())
        start = time.perf_counter()
        for steps, threads in ((first, first_threads), (rest, rest_threads)):
            torch.set_num_threads(threads)
            for _ in range(steps):
                trainer.step(batcher.draw())
        return time.perf_counter() - start


# -- memory -------------------------------------------------------------------------------------------------------


def memory(shared: Path, out: Path, frames: int = 200) -> Result:
    """Resident memory of all processes over 200 frames: one loaded scene, and one XML a frame that reloads."""
    del shared
    rows = []
    for kind in ("one scene, moving camera", "another scene each frame"):
        folder = out / kind.split(",")[0].replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rows.append(_memory_of(kind, folder, frames))
    columns = ["kind", "frames", "peak_mib_1_50", "peak_mib_50_200", "trainer_growth", "renderer_growth", "growth"]
    return rows, table(columns, [[row[c] for c in columns] for row in rows])


def _memory_of(kind: str, folder: Path, frames: int) -> dict[str, Any]:
    if kind.startswith("one"):
        path = json.loads((ROOM / "camera.json").read_text())
        last = path["keyframes"][-1]["frame"]
        for key in path["keyframes"]:
            key["frame"] = 1 + round((key["frame"] - 1) * (frames - 1) / (last - 1))
        (folder / "camera.json").write_text(json.dumps(path))
        arguments = [ROOM / "scene.xml", "--camera", folder / "camera.json"]
    else:
        text = (ROOM / "scene.xml").read_text()
        for child in ("meshes", "textures"):
            (folder / child).symlink_to(ROOM / child)
        lamp = (
            '<shape type="sphere"><point name="center" x="{x}" y="1" z="0"/><float name="radius" value="0.1"/></shape>'
        )
        for n in range(1, frames + 1):
            moved = text.replace("</scene>", lamp.format(x=n / frames) + "</scene>")
            (folder / f"shot.{n:04d}.xml").write_text(moved)
        arguments = [folder / "shot.####.xml"]
    options = [
        "--resolution",
        "128x72",
        "--spp",
        "2",
        "--steps",
        "2",
        "--min-steps",
        "0",
        "--out",
        folder / "run",
        "--json",
    ]
    command = [sys.executable, "-m", "rendernoise", "online", *map(str, [*arguments, *options])]
    print("$ rendernoise", *command[3:], flush=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    frame = [0]

    def follow() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            frame[0] = event.get("pair", frame[0])

    threading.Thread(target=follow, daemon=True).start()
    samples: list[tuple[int, float, float]] = []
    me = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            rss = [me.memory_info().rss, *(child.memory_info().rss for child in me.children(recursive=True))]
            samples.append((frame[0], rss[0] / 2**20, sum(rss[1:]) / 2**20))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    assert process.returncode == 0, process.returncode

    def peak(column: int, low: int, high: int) -> float:
        return max(s[column] for s in samples if low <= s[0] <= high)

    both = {(a, b): peak(1, a, b) + peak(2, a, b) for a, b in ((1, 50), (50, frames))}
    # Growth is of the second part's last quarter over its first: a leak grows, a high-water mark does not.
    late, early = (frames - 37, frames), (50, 87)
    return {
        "kind": kind,
        "frames": frames,
        "peak_mib_1_50": both[1, 50],
        "peak_mib_50_200": both[50, frames],
        "trainer_growth": peak(1, *late) / peak(1, *early) - 1,
        "renderer_growth": peak(2, *late) / peak(2, *early) - 1,
        "growth": (peak(1, *late) + peak(2, *late)) / (peak(1, *early) + peak(2, *early)) - 1,
        "samples": samples[:: max(1, len(samples) // 200)],
    }


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "render":
        print(json.dumps(_bare_render(rest[0], int(rest[1]))))
    else:
        print(json.dumps(_bare_train(rest[0], *map(int, rest[1:]))))
