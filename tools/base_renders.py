"""Render the random scenes on which base weights are trained: every view in parts of 1, 1, 2, 4, 8 and 16 spp.

Parts are independent renders, so that any of them can be a network's input and any others its target. No reference
is rendered. One view in eight gets four times the samples. What is there already is not rendered again.

    python tools/base_renders.py --out DIR --scenes 0-199
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from random_scenes import write_scene

from rendernoise.errors import RendernoiseError
from rendernoise.frame import Frame
from rendernoise.io.atomic import write_text
from rendernoise.io.sequence import parse_frames
from rendernoise.render.camera import View, load_path
from rendernoise.render.mitsuba import MitsubaRenderer, SceneOptions
from rendernoise.seeds import Stream

PARTS_SPP = (1, 1, 2, 4, 8, 16)
SIDE_PX = 144
VIEWS = 8
FEATURES = ("albedo", "normal", "depth", "roughness")


def parts_of(view: View) -> tuple[int, ...]:
    """Samples of each part of a view."""
    return tuple(4 * spp for spp in PARTS_SPP) if view.frame == VIEWS else PARTS_SPP


def save_view(path: Path, parts: list[Frame]) -> None:
    """Radiance of all parts in float32, features in float16, which noise-free guides can bear."""
    radiance = np.stack([part.radiance for part in parts])
    features = np.stack([np.concatenate([part.planes[name] for name in FEATURES]) for part in parts])
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            radiance=radiance,
            features=np.clip(features, -6e4, 6e4).astype(np.float16),
            spp=np.array([part.spp for part in parts], np.int32),
        )
    partial.rename(path)


def render_scene(renderer: MitsubaRenderer, seed: int, out: Path) -> list[Path]:
    """All views of one scene; returns the files."""
    paths = [out / f"{seed:06d}.{frame}.npz" for frame in range(1, VIEWS + 1)]
    if all(path.exists() for path in paths):
        return paths
    folder = out / "scenes" / f"{seed:06d}"
    write_scene(folder, seed, VIEWS)
    for key, path in zip(load_path(folder / "views.json").keyframes, paths, strict=True):
        if path.exists():
            continue
        view = View(key.frame, key.camera, folder / "scene.xml")
        parts = [
            renderer.render(view, spp=spp, seed=Stream(seed, view.frame, index // 2, "ab"[index % 2]).pack())
            for index, spp in enumerate(parts_of(view))
        ]
        save_view(path, parts)
    shutil.rmtree(folder)
    return paths


def main() -> None:
    """Render the scenes that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the views, SEED.VIEW.npz")
    parser.add_argument("--scenes", default="0-199", help="seeds of the scenes (default: 0-199)")
    parser.add_argument("--variant", default="llvm_ad_rgb")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    renderer = MitsubaRenderer(SceneOptions(options.variant, (SIDE_PX, SIDE_PX), options.threads))
    failed: dict[int, str] = {}
    for seed in parse_frames(options.scenes):
        start = time.monotonic()
        try:
            render_scene(renderer, seed, options.out)
        except RendernoiseError as error:
            failed[seed] = str(error)
            print(f"scene {seed}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"scene {seed}: {time.monotonic() - start:.1f} s", flush=True)
    if failed:
        write_text(options.out / "failed.json", json.dumps(failed, indent=1))


if __name__ == "__main__":
    main()
