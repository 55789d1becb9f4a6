"""How much memory `denoise --memory 2048` takes for 4K and 8K frames."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measure_common import ROOM, run, table

from rendernoise.io.exr import read, write
from rendernoise.io.exr_image import Exr, Part

MEMORY_MIB = 2048
#: How often the frame of 1280×720 px lies beside and above itself.
SIZES = {"3840x2160": 3, "7680x4320": 6}

# In a process of its own, as its peak memory counts.
_DENOISE = r"""
import json, re, sys, rendernoise
def show(event):
    if event["event"] == "note" and "tiles" in event["text"] or event["event"] == "done":
        print(json.dumps(event))
rendernoise.denoise_sequence(sys.argv[1], sys.argv[2], overwrite=True, device="cpu", memory=int(sys.argv[3]), emit=show)
print(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


def large(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Peak memory and seconds of one frame with features; ZIP, half floats where usual."""
    del shared
    size = ["--resolution", "1280x720", "--frames", 20, "--spp", 2]
    scene = [ROOM / "scene.xml", "--camera", ROOM / "camera.json"]
    run("render", *scene, *size, "--pairs", "--out", out / "rendered", "--overwrite")
    source = read(next((out / "rendered").glob("*.a.*.exr")))
    rows: list[dict[str, Any]] = []
    for name, times in SIZES.items():
        channels = {
            c: np.tile(p if "position" in c else p.astype("f2"), (times, times)) for c, p in source.channels.items()
        }
        path = out / f"{name}.exr"
        write(path, Exr((Part(channels),)))
        command = [sys.executable, "-c", _DENOISE, str(path), str(out / "denoised"), str(MEMORY_MIB)]
        *events, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        done = json.loads(events[-1])
        rows.append({"size": name, "memory_mib": MEMORY_MIB, "peak_mib": float(peak), "wall_s": done["wall_s"]})
    return rows, table(list(rows[0]), [list(row.values()) for row in rows])
