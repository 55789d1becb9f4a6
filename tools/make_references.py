"""Render the references of our scenes, ``scenes/NAME/reference.####.exr``: radiance and its variance, without features.

Usage: ``python tools/make_references.py [NAME ...] [--out DIR]``. About 20 minutes on 2 cores; resumable. The same
commands give the same pixels on the same variant of Mitsuba.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measure_common import run
from standing_scenes import CHANGES, OURS

from rendernoise.frame import Plane
from rendernoise.io.exr import read_frame, write_layers

#: Samples per pixel of one pass, and the passes of each scene: fireflies need more.
PASS_SPP = 64
PASSES = {"caustics": 256, "changes": 24}
DEFAULT_PASSES = 64
#: Rounded by 1 part in 8192 at most, which adds 5e-9 to any relMSE: a millionth of the references' own noise.
RADIANCE_BITS, VARIANCE_BITS = 12, 6
_KEPT = ("scene", "variant", "mitsuba", "passes")


def rounded(plane: Plane, bits: int) -> Plane:
    """Float32 with so many bits of mantissa, to nearest, which deflates to half the size."""
    drop = 23 - bits
    codes = plane.view(np.uint32).astype(np.uint64) + (1 << drop - 1)
    return (codes >> drop << drop).astype(np.uint32).view(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="scenes; all by default")
    parser.add_argument(
        "--out", type=Path, default=Path("out/references"), help="where renders are kept while they grow"
    )
    options = parser.parse_args()
    for scene in (*OURS, CHANGES):
        if options.names and scene.name not in options.names:
            continue
        to = options.out / scene.name
        passes = PASSES.get(scene.name, DEFAULT_PASSES)
        arguments = scene.arguments(frames=scene.measured)
        run("render", *arguments, "--reference", "--spp", PASS_SPP, "--passes", passes, "--out", to, "--resume")
        for path in sorted(to.glob("*.exr")):
            frame = read_frame(path)
            number = int(path.name.split(".")[-2])
            facts = {key: frame.metadata[key] for key in _KEPT if key in frame.metadata}
            write_layers(
                scene.folder / f"reference.{number:04d}.exr",
                {
                    "": rounded(frame.radiance, RADIANCE_BITS),
                    "variance": rounded(frame.planes["variance"], VARIANCE_BITS),
                },
                {**facts, "spp": frame.spp, "seed": 0, "frame": number},
            )


if __name__ == "__main__":
    main()
