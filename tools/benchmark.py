"""The standing benchmark: every method on our scenes, and on the shared shots where they are there.

Usage: ``python tools/benchmark.py [--full] [--shared DIR] [--out DIR]`` (``make bench``, ``make bench-full``). Writes
``DIR/index.html``, ``DIR/results.json`` and a section of ``docs/benchmarks.md``. An interrupted run goes on where it
stopped when the code is still the same; otherwise it starts anew, so that every ratio is of one run. ``online`` takes
part at 16 spp, with ``--full`` at all sample counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from standing_scenes import OURS, ROOT, Scene, shared
from standing_tables import section

from rendernoise.bench.results import merge
from rendernoise.io.atomic import write_text
from rendernoise.machine import commit, machine
from rendernoise.report.benchmark import page_images
from rendernoise.report.page import write_page

COUNTS = "4,16,64,256"
METHODS = "noisy,oidn,oidn-prefiltered,base"
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="online at every sample count")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cache", type=Path, help="where renders are kept; by default with the benchmark")
    parser.add_argument("--scenes", help="some scenes alone, such as room,fog; no document is written then")
    options = parser.parse_args()
    out = options.out or Path("out/bench-full" if options.full else "out/bench")
    _begin(out)
    scenes = [*OURS, *shared(options.shared)]
    if options.scenes:
        scenes = [scene for scene in scenes if scene.name in options.scenes.split(",")]
    start = time.monotonic()
    for scene in scenes:
        _measure(scene, out, options.cache or out / "cache", full=options.full)
    parts = {scene.name: json.loads((out / scene.name / "results.json").read_text()) for scene in scenes}
    results = merge(list(parts.values()))
    results["command"] = "make bench-full" if options.full else "make bench"
    write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
    images = [image for name, part in parts.items() for image in page_images(out / name, part)]
    for note in write_page(out / "index.html", results, images):
        print(note)
    wall_s = time.monotonic() - start
    if not options.scenes:
        _document("full" if options.full else "standing", section(results, wall_s, full=options.full))
        print(f"tables: {DOCUMENT.relative_to(ROOT)}")
    print(f"{len(scenes)} scenes in {wall_s / 60:.1f} min: {out / 'index.html'} (open it in a browser)")


def _begin(out: Path) -> None:
    """Keep what is there only when this very code made it on this very machine."""
    out.mkdir(parents=True, exist_ok=True)
    made = json.dumps({"commit": commit(), "machine": machine()})
    record = out / "made.json"
    if record.exists() and record.read_text() != made:
        print("another version of the code, or another machine, made what is there: starting anew", flush=True)
        for entry in out.iterdir():
            if entry.name != "cache":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    write_text(record, made)


def _measure(scene: Scene, out: Path, cache: Path, *, full: bool) -> None:
    online = "online" if full else "online@16"
    command = [sys.executable, "-m", "rendernoise", "bench", *scene.arguments()]
    command += ["--reference", str(scene.folder / "reference.####.exr"), "--spp", COUNTS, "--name", scene.name]
    command += ["--methods", f"{METHODS},{online}", "--cache", str(cache), "--out", str(out / scene.name), "--resume"]
    print(f"== {scene.name}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code > 1:
        raise SystemExit(code)


def _document(name: str, text: str) -> None:
    """Put a section between its marks in the document; the other one stays."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = DOCUMENT.read_text()
    head, rest = old.split(begin, 1)
    _, tail = rest.split(end, 1)
    write_text(DOCUMENT, f"{head}{begin}\n{text}\n{end}{tail}")


if __name__ == "__main__":
    main()
