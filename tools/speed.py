"""Measure speed and memory: denoising beside Open Image Denoise, training, and rendering beside bare ``mi.render``.

Usage: ``python tools/speed.py [--only denoise train render] [--sizes 512x512,...] [--repeats N] [--threads N]``. Prints
Markdown tables and writes ``DIR/speed.json`` (``--out DIR``) with every time, the machine and the versions.

All contenders of a table run in the same rounds, one after the other and the other way round in the next, so that a
drift of the machine hits all alike. Each is a process of its own (``tools/speed_worker.py``) on the same threads; its
first call is not counted, except in the memory: the peak of a process that has denoised one frame stands beside that
of one that has denoised several. Both have what their denoiser needs and no more: ours PyTorch, OIDN's none.

OIDN's library has no timer of its own, so its filters are timed from call to return, without copying;
``oidnBenchmark``, which comes with it and times images of its own, stands beside that where it is installed.

Leave the machine alone meanwhile: PyTorch's threads wait for the slowest at every layer, so that a core shared with
something else costs it far more than it costs OIDN. The CPU time in the table shows what a call needed; with one thread
the two are equal on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from measure_common import table

from rendernoise.machine import machine, versions
from rendernoise.render.probe import probe_variant, usable_cores

WORKER = Path(__file__).with_name("speed_worker.py")
QUALITIES = ("high", "balanced", "fast")
#: What ratios of denoising are to, with their names in the record: times to OIDN's execution alone, without copying.
YARDSTICKS = {"OIDN, high": "oidn_high", "OIDN, fast": "oidn_fast"}
SMALL_NETWORK = "fast"

Row = dict[str, Any]
Times = dict[str, Any]


# -- running ------------------------------------------------------------------------------------------------------


def work(job: Row) -> Times:
    """One round of one contender in a process of its own; ``{"error": line}`` when it fails."""
    done = subprocess.run([sys.executable, str(WORKER), json.dumps(job)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return {"error": lines[-1] if lines else f"exit code {done.returncode}"}


def oidn_folder() -> Path | None:
    """Where ``pyoidn`` keeps OIDN; None when it is not installed."""
    spec = find_spec("pyoidn")
    return Path(spec.origin).parent / "oidn" if spec is not None and spec.origin else None


def oidn_benchmark(job: Row) -> float | None:
    """Seconds for each image that ``oidnBenchmark`` reports for this size, quality and thread count.

    With clean features it times the main filter alone: the two that prefilter are not among its cases.
    """
    folder = oidn_folder()
    program = folder / "bin" / "oidnBenchmark" if folder is not None else None
    if program is None or not os.access(program, os.X_OK):
        return None
    width, height = map(str, job["size"])
    case = "RT.hdr_calb_cnrm" if job["prefilter"] else "RT.hdr_alb_nrm"
    options = ["-d", "cpu", "-r", f"{case}.{width}x{height}", "-s", width, height, "-q", job["quality"]]
    options += ["--threads", str(job["threads"]), "-n", str(job["repeats"])]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(program.parents[1] / "lib")}
    done = subprocess.run([program, *options], capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"([\d.e+-]+) msec/image", done.stdout)
    return float(found[1]) / 1000 if found else None


def interleaved(jobs: dict[str, Row], options: argparse.Namespace) -> dict[str, Times]:
    """All contenders in turn, round by round: every time of each, by label."""
    merged: dict[str, Times] = {label: {"times_s": [], "cpu_s": [], "own_s": [], "benchmark_s": []} for label in jobs}
    each = -(-options.repeats // options.rounds)
    for number in range(options.rounds):
        order = list(jobs) if number % 2 == 0 else list(reversed(jobs))
        for label in order:
            job = {**jobs[label], "threads": jobs[label].get("threads", options.threads)}
            job |= {"repeats": each, "limit_s": options.limit_s}
            begin = time.perf_counter()
            found, into = work(job), merged[label]
            if "error" in found:
                into["error"] = found["error"]
                continue
            for key in ("times_s", "cpu_s", "own_s"):
                into[key] += found[key]
            for key in ("first_s", "start_mib", "first_peak_mib", "peak_mib"):
                into[key] = max(into.get(key, 0.0), found[key])
            job["repeats"] = len(found["times_s"])
            if job["kind"] == "oidn" and (reported := oidn_benchmark(job)) is not None:
                into["benchmark_s"].append(reported)
            took = time.perf_counter() - begin
            wall_s, cpu_s = (statistics.median(found[key]) for key in ("times_s", "cpu_s"))
            print(f"round {number + 1}: {label}, {wall_s:.4g} s, CPU {cpu_s:.4g} s ({took:.0f} s in all)", flush=True)
    return merged


def summary(found: Times) -> Row:
    """Median, spread and memory of one contender."""
    row: Row = {"first_s": found["first_s"], "n": len(found["times_s"]), "times_s": found["times_s"]}
    for name, of in (("median_s", statistics.median), ("min_s", min), ("max_s", max)):
        row[name] = of(found["times_s"])
    row["cpu_median_s"] = statistics.median(found["cpu_s"])
    row["own_median_s"] = statistics.median(found["own_s"]) if found["own_s"] else None
    row["benchmark_s"] = statistics.median(found["benchmark_s"]) if found["benchmark_s"] else None
    row |= {key: found[key] for key in ("start_mib", "first_peak_mib", "peak_mib")}
    return row | {"beyond_start_mib": found["peak_mib"] - found["start_mib"]}


def cells(row: Row, names: Sequence[str]) -> list[Any]:
    """What a table shows of a row: ``median_ms`` is the row's ``median_s`` in ms."""
    return [cell(row, name) for name in names]


def cell(row: Row, name: str) -> Any:
    """One of them; nothing where it was not measured."""
    kept = f"{name.removesuffix('_ms')}_s" if name.endswith("_ms") else name
    if (value := row.get(kept)) is None:
        return ""
    return value if kept == name else f"{1e3 * value:.1f}"


# -- the three measurements ---------------------------------------------------------------------------------------


def precisions() -> list[str]:
    """float32, and bf16 where this CPU computes it natively."""
    import torch

    from rendernoise.denoiser import pays_bf16

    return ["float32", "bf16"] if pays_bf16(torch.device("cpu")) else ["float32"]


def our_jobs(size: tuple[int, int], quick: bool = False) -> dict[str, Row]:
    """Both networks in one pass, and the default one as ``online`` uses it at the end, by label."""
    from rendernoise.recipes import RECIPES

    recipe = RECIPES["ours"]
    wanted = precisions()[:1] if quick else precisions()
    ways = [(network, precision, 1) for network in (recipe.network, SMALL_NETWORK) for precision in wanted]
    ways.append((recipe.network, precisions()[-1], recipe.spins))
    return {
        f"{network}, {precision}" + (f", {spins} spins" if spins > 1 else ""): {
            "kind": "ours",
            "network": network,
            "precision": precision,
            "spins": spins,
            "size": size,
        }
        for network, precision, spins in ways
    }


def denoise(options: argparse.Namespace) -> tuple[list[Row], str]:
    """Our networks beside OIDN, for each size."""
    rows: list[Row] = []
    for size in options.sizes:
        jobs = our_jobs(size, options.quick)
        if oidn_folder() is not None:
            for prefilter in (False, True):
                for quality in QUALITIES[:1] if options.quick and prefilter else QUALITIES:
                    label = f"OIDN{' prefiltered' if prefilter else ''}, {quality}"
                    jobs[label] = {"kind": "oidn", "quality": quality, "prefilter": prefilter, "size": size}
        else:
            print('OIDN is left out: it is not installed. pip install "rendernoise[oidn]"')
        named = f"{size[0]}x{size[1]}"
        print(f"denoising {named}", flush=True)
        found = interleaved(jobs, options)
        mine = [{"size": named, "contender": label, **_row(times)} for label, times in found.items()]
        done = {row["contender"]: row for row in mine if "median_s" in row}
        for label in YARDSTICKS.keys() & done.keys():
            for row in done.values():
                row[f"time_to_{YARDSTICKS[label]}"] = row["median_s"] / done[label]["own_median_s"]
                row[f"peak_to_{YARDSTICKS[label]}"] = row["first_peak_mib"] / done[label]["first_peak_mib"]
        rows += mine
    columns = {
        "size": "size",
        "denoiser": "contender",
        "median ms": "median_ms",
        "min ms": "min_ms",
        "max ms": "max_ms",
    }
    columns |= {"n": "n", "CPU ms": "cpu_median_ms", "execution alone ms": "own_median_ms"}
    columns |= {"oidnBenchmark ms": "benchmark_ms"}
    columns |= {f"ms × {label} (its execution)": f"time_to_{name}" for label, name in YARDSTICKS.items()}
    columns |= {"peak MiB, one frame": "first_peak_mib"}
    columns |= {f"MiB × {label}": f"peak_to_{name}" for label, name in YARDSTICKS.items()}
    columns |= {"peak MiB, more frames": "peak_mib"}
    return rows, table(list(columns), [cells(row, list(columns.values())) for row in rows])


def train(options: argparse.Namespace) -> tuple[list[Row], str]:
    """Steps a second of the recipe ``ours``: two crops of 128² px, drawing included."""
    threads = [options.threads] if options.quick else sorted({1, options.threads})
    jobs = {
        f"{precision}, {count} thread{'s' if count > 1 else ''}": {
            "kind": "train",
            "precision": precision,
            "threads": count,
        }
        for precision in (precisions()[-1:] if options.quick else precisions())
        for count in threads
    }
    steps, side = (1, 48) if options.quick else (10, 512)
    print("training", flush=True)
    found = interleaved({k: {**job, "size": [side, side], "steps": steps} for k, job in jobs.items()}, options)
    rows = [{"contender": label, **jobs[label], "steps": steps, **_row(times)} for label, times in found.items()]
    for row in rows:
        if "median_s" in row:
            row["steps_per_s"] = steps / row["median_s"]
            row["slowest_steps_per_s"], row["fastest_steps_per_s"] = steps / row["max_s"], steps / row["min_s"]
    names = ["contender", "steps_per_s", "slowest_steps_per_s", "fastest_steps_per_s", "n", "peak_mib"]
    heads = ["training", "median steps/s", "slowest", "fastest", f"n (of {steps} steps)", "peak MiB"]
    return rows, table(heads, [cells(row, names) for row in rows])


def render(options: argparse.Namespace) -> tuple[list[Row], str]:
    """The scene ``room``: bare ``mi.render``, rendernoise's own launch of it, and the renderer's process."""
    variant = "llvm_ad_rgb" if probe_variant("llvm_ad_rgb").works else "scalar_rgb"
    size, spp = ((32, 18), 2) if options.quick else ((480, 270), 16)
    contenders = {"bare": "mi.render", "radiance": "radiance alone", "process": "features, process and transfer"}
    jobs = {what: {"kind": "render", "what": what, "variant": variant, "size": size, "spp": spp} for what in contenders}
    print("rendering", flush=True)
    found = interleaved(jobs, options)
    rows = [{**jobs[what], "contender": contenders[what], **_row(times)} for what, times in found.items()]
    by_name = {row["what"]: row for row in rows if "median_s" in row}
    for row in by_name.values():
        if "bare" in by_name:
            row["times_bare"] = row["median_s"] / by_name["bare"]["median_s"]
    if {"radiance", "process"} <= set(by_name):
        row = by_name["process"]
        row["feature_share"] = 1 - by_name["radiance"]["median_s"] / row["own_median_s"]
        row["transfer_s"] = row["median_s"] - row["own_median_s"]
    names = ["contender", "median_s", "min_s", "max_s", "n", "cpu_median_s"]
    names += ["own_median_s", "times_bare", "feature_share", "transfer_s", "peak_mib"]
    heads = [f"{variant}, {size[0]}x{size[1]}, {spp} spp", "median s", "min s", "max s", "n", "CPU s"]
    heads += ["inside the renderer s", "× bare", "share of features", "transfer s", "peak MiB"]
    return rows, table(heads, [cells(row, names) for row in rows])


def _row(found: Times) -> Row:
    return summary(found) if found["times_s"] else {"error": found.get("error", "no time was measured")}


# -- the command --------------------------------------------------------------------------------------------------


def parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 1280x720")
    return int(width), int(height)


MEASUREMENTS = {"denoise": denoise, "train": train, "render": render}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--sizes", default="512x512,1280x720,1920x1080,3840x2160", help="WxH, with commas between")
    parser.add_argument("--repeats", type=int, default=6, help="warm calls of each contender")
    parser.add_argument("--rounds", type=int, default=3, help="processes that they are spread over")
    parser.add_argument(
        "--limit-s",
        type=float,
        default=60,
        help="no further call in a round after so many seconds: a first call that takes them is counted",
    )
    parser.add_argument("--threads", type=int, default=0, help="for everybody; 0 for all cores")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, fewer contenders: does it run?")
    parser.add_argument("--out", type=Path, default=Path("out/speed"))
    options = parser.parse_args()
    options.threads = min(options.threads or usable_cores(), usable_cores())
    try:
        options.sizes = [parse_size(size) for size in options.sizes.split(",")]
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    if options.quick:
        options.sizes, options.repeats, options.rounds = [(64, 48)], 2, 1
    options.rounds = max(1, min(options.rounds, options.repeats))
    return options


def main() -> None:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "command": shlex.join(sys.argv),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "threads": options.threads,
        "repeats": options.repeats,
        "rounds": options.rounds,
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    for name in options.only:
        record[name], text = MEASUREMENTS[name](options)
        print(f"\n## {name}\n\n{text}\n", flush=True)
        (options.out / "speed.json").write_text(json.dumps(record, indent=2) + "\n")
    failed = [row for name in MEASUREMENTS for row in record.get(name, []) if "error" in row]
    for row in failed:
        print(f"{row['contender']} failed: {row['error']}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
