"""Errors of denoised Blender frames against a reference in two halves, whose own noise does not count.

python tools/measure_blender.py reference/shot.a.####.exr reference/shot.b.####.exr noisy/shot.a.####.exr denoised
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rendernoise.denoiser import Denoiser
from rendernoise.frame import Plane
from rendernoise.io.exr import read, read_frame
from rendernoise.io.exr_look import roles_of
from rendernoise.io.sequence import find
from rendernoise.layers import clean_layer

TRIMMED = 0.001


def pixels(path: Path, layer: str | None) -> Plane:
    """R, G and B of a layer, by default the beauty, ``[3, H, W]``; a layer of Cycles' light as light."""
    exr = read(path)
    places = exr.channel_map()

    def plane(names: tuple[str, ...]) -> Plane:
        return np.stack([exr.parts[part].channels[c] for part, c in (places[name] for name in names)])

    if layer is None:
        return plane(roles_of(exr, path)["radiance"])
    kind, _, what = layer.rpartition(" ")
    light = plane(tuple(f"{layer}.{c}" for c in "RGB"))
    return light * plane(tuple(f"{kind} Color.{c}" for c in "RGB")) if what in ("Direct", "Indirect") else light


def smooth(denoiser: Denoiser, paths: list[Path], light: list[Plane]) -> Plane:
    """What errors are relative to: the reference denoised. Divided by its noisy mean, its noise would count again."""
    return clean_layer(denoiser, [read_frame(path) for path in paths], light)


def relmse(image: Plane, first: Plane, second: Plane, scale: Plane) -> tuple[float, float]:
    """The relative squared error, and that without the worst 0.1 % of pixels.

    (x - a)(x - b) has the mean (x - r)², as the noise of the halves a and b of the reference r is independent.
    """
    error = ((image - first) * (image - second) / (np.square(scale) + 0.01)).mean(0).ravel()
    kept = np.sort(error)[: round(error.size * (1 - TRIMMED))]
    return float(error.mean()), float(kept.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help="pattern of the reference's first half")
    parser.add_argument("second", help="that of its second half")
    parser.add_argument("images", nargs="+", help="patterns or folders of the same frames")
    parser.add_argument("--layer", help="such as 'ViewLayer.Diffuse Indirect'")
    options = parser.parse_args()
    halves = [dict(find([pattern], extension="exr")[0].files) for pattern in (options.first, options.second)]
    denoiser = Denoiser.load()
    references = {n: [pixels(half[n], options.layer) for half in halves] for n in sorted(halves[1])}
    scales = {n: smooth(denoiser, [half[n] for half in halves], light) for n, light in references.items()}
    for images in options.images:
        files = dict(find([images], extension="exr")[0].files)
        rows = [relmse(pixels(files[n], options.layer), *references[n], scales[n]) for n in references]
        every, trimmed = np.mean(rows, axis=0)
        print(f"{images}: relMSE {every:.4f}, trimmed {trimmed:.4f} ({len(rows)} frames)")


if __name__ == "__main__":
    main()
