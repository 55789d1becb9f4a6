"""What denoising a sequence of files takes, beside bare reading, OIDN and bare writing of the same files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure_common import ROOM, run, table

from rendernoise.bench.oidn import Oidn
from rendernoise.io.exr import read, replace_radiance, to_frame, write
from rendernoise.io.exr_image import Exr, Part

FRAMES, RENDERED, LAYERS = 48, 6, 12

# The command itself in a process of its own, as its peak memory counts; events come back as lines.
_DENOISE = """
import json, resource, sys, rendernoise
done = rendernoise.denoise_sequence(sys.argv[1], sys.argv[2], overwrite=True, device="cpu", window=int(sys.argv[3]),
                                    emit=lambda e: e["event"] == "done" and print(json.dumps(e)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def sequence(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Frames per second at 1280×720 with twelve layers: all steps alone, one after the other, and the command."""
    del shared
    pattern = _frames(out)
    files = sorted((out / "noisy").glob("*.exr"))
    oidn = Oidn()
    seconds = {"reading": 0.0, "OIDN": 0.0, "writing": 0.0}
    (out / "oidn").mkdir(exist_ok=True)
    for file in files:
        marks = [time.perf_counter()]
        exr = read(file)
        marks.append(time.perf_counter())
        radiance = oidn(to_frame(exr))
        marks.append(time.perf_counter())
        write(out / "oidn" / file.name, replace_radiance(exr, radiance))
        marks.append(time.perf_counter())
        for name, span in zip(seconds, np.diff(marks), strict=True):
            seconds[name] += float(span)
    bare = sum(seconds.values())
    rows = [{"what": name, "frames_per_s": FRAMES / s, "to bare": bare / s} for name, s in seconds.items()]
    rows.append({"what": "reading + OIDN + writing", "frames_per_s": FRAMES / bare, "to bare": 1.0})
    for window in (0, 3):
        facts, peak = _denoise(pattern, out / f"window{window}", window)
        rate = FRAMES / facts["frames_s"]
        waited = facts["waited_s"] / facts["frames_s"]
        more = {"waits": waited, "peak_mib": peak}
        rows.append(
            {"what": f"denoise --window {window}", "frames_per_s": rate, "to bare": rate * bare / FRAMES, **more}
        )
    columns = ["what", "frames_per_s", "to bare", "waits", "peak_mib"]
    return rows, table(columns, [[row.get(c, "") for c in columns] for row in rows])


def _denoise(pattern: Path, out: Path, window: int) -> tuple[dict[str, Any], float]:
    command = [sys.executable, "-c", _DENOISE, str(pattern), str(out), str(window)]
    facts, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-2:]
    return json.loads(facts), float(peak)


def _frames(out: Path) -> Path:
    """Our room, rendered for a few frames that come again and again, with six light layers more; half where usual."""
    size = ["--resolution", "1280x720", "--frames", f"20-{19 + RENDERED}"]
    scene = [ROOM / "scene.xml", "--camera", ROOM / "camera.json"]
    run("render", *scene, *size, "--pairs", "--spp", 2, "--out", out / "rendered", "--overwrite")
    (out / "noisy").mkdir(parents=True, exist_ok=True)
    sources = [read(file) for file in sorted((out / "rendered").glob("*.a.*.exr"))]
    for number in range(1, FRAMES + 1):
        source = sources[number % len(sources)]
        channels = {c: p if "position" in c or "depth" in c else p.astype("f2") for c, p in source.channels.items()}
        lights = LAYERS - len({c.rpartition(".")[0] for c in channels})
        for i in range(lights):
            channels |= {f"light{i}.{c}": (source.channels[c] * (i + 1) / 21).astype("f2") for c in "RGB"}
        write(out / "noisy" / f"shot.{number:04d}.exr", Exr((Part(channels, source.attributes),)))
    return out / "noisy" / "shot.####.exr"
