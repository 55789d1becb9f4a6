"""Measure what README.md and docs/denoiser.md claim; every figure there comes from one of these.

Usage: ``python tools/measure.py NAME|all [--shared DIR] [--out DIR]``, names by ``--help``. Each prints a table and
writes ``DIR/NAME.json`` with the command, the machine and the versions. Scenes that are not in the repository are
looked for in ``--shared`` and left out, with a line, when absent.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

import measure_aovs
import measure_large
import measure_losses
import measure_neighbours
import measure_online
import measure_sequence
import measure_shot_training
import measure_suite
import measure_targets
import measure_training

from rendernoise.machine import machine, versions

EXPERIMENTS = {
    "scenes": measure_online.scenes,
    "overhead": measure_online.overhead,
    "memory": measure_online.memory,
    "targets": measure_targets.targets,
    "losses": measure_losses.losses,
    "training": measure_training.training,
    "neighbours": measure_neighbours.neighbours,
    "sequence": measure_sequence.sequence,
    "large": measure_large.large,
    "aovs": measure_aovs.aovs,
    "alpha": measure_aovs.alpha,
    "shot": measure_shot_training.shot_training,
    "suite-speed": measure_suite.suite_speed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, default=Path("out/measure"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in EXPERIMENTS if options.experiment == "all" else [options.experiment]:
        rows, text = EXPERIMENTS[name](options.shared, options.out / name)
        record = {"command": shlex.join(sys.argv), "machine": machine(), "versions": versions(), "rows": rows}
        (options.out / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
        print(f"\n## {name}\n\n{text}\n", flush=True)


if __name__ == "__main__":
    main()
