"""Law 6: a run that is killed at any moment resumes to the pixels and the weights of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.io.exr import read
from tests import ctrl_c

FRAMES = 4

#: Runs each command several times in children of one process, which are killed at chosen calls: "online.Trainer.step 3"
#: kills the child as the third step begins. Every child of a command after the first resumes.
DRIVER = """
import json, os, signal, sys
import rendernoise.online as online
import rendernoise.job as job
import torch._dynamo
from rendernoise.cli import main

def child(arguments, moment):
    assert job.CHECKPOINT_EVERY_S
    job.CHECKPOINT_EVERY_S = 0
    if moment:
        place, count = moment.split()
        owner, name = place.split(".")[1:]
        kind = getattr(online, owner)
        original, calls = getattr(kind, name), [0]
        def deadly(self, *a, **k):
            calls[0] += 1
            if calls[0] == int(count):
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, *a, **k)
        setattr(kind, name, deadly)
    main(arguments)

ends = []
for arguments, moments in json.loads(sys.argv[1]):
    ends.append([])
    for number, moment in enumerate(moments):
        pid = os.fork()
        if not pid:
            child(arguments + (["--resume"] if number else []), moment)
        ends[-1].append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(ends))
"""

MOMENTS = [
    "online.PairStore.put 1",
    "online.Trainer.step 1",
    "online._Job._score 2",
    "online.PairStore.put 2",
    "online.RunDirectory.save_checkpoint 3",
    "online.Trainer.step 3",  # in the arrivals
    "online._Job._finish_training 1",
    "online.Trainer.step 4",  # after the last arrival
    "online.ShotFiles.write 2",  # in the final pass
    "online.Denoiser.save 1",
    "online.RunDirectory.finish 1",
]

#: Here a frame is written once, after the steps of its own pair, so none may be skipped.
MOMENTS_WITHOUT_A_FINAL_PASS = [
    "online.ShotImages.denoise 1",
    "online.ShotImages.denoise 2",
    "online.ShotFiles.write 1",
    "online.Trainer.step 3",
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, write_scene: Callable[..., Path]) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    return [write_scene(folder / f"box.{n:04d}.xml", origin=f"{0.1 * n}, 1.2, 4.5") for n in range(1, FRAMES + 1)]


def options(scenes: list[Path], out: Path, **changes: object) -> list[str]:
    small = {"variant": "scalar_rgb", "device": "cpu", "network": "fast", "weights": "none"}
    values = {**small, "spp": 2, "steps": 2, "min-steps": 16, **changes}
    flags = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    return ["online", *map(str, scenes), "--out", str(out), *flags]


@dataclass(frozen=True)
class Runs:
    """Two runs to compare, and how each process of theirs ended."""

    whole: Path
    killed: Path
    whole_ends: list[int]
    killed_ends: list[int]


@pytest.fixture(scope="module")
def runs(scenes: list[Path], tmp_path_factory: pytest.TempPathFactory, run_python: Callable[..., Any]) -> list[Runs]:
    """An undisturbed and a killed run, with a final pass and without; one process, which imports once, does all."""
    folder = tmp_path_factory.mktemp("runs")
    places = [[folder / f"{name}{kind}" for name in ("whole", "killed")] for kind in ("", "-without-a-final-pass")]
    commands: list[tuple[list[str], list[str]]] = []
    for (whole, killed), moments, changes, flags in (
        (places[0], MOMENTS, {}, []),
        (places[1], MOMENTS_WITHOUT_A_FINAL_PASS, {"min-steps": 0}, ["--no-final-pass"]),
    ):
        commands.append(([*options(scenes, whole, **changes), *flags], [""]))
        commands.append(([*options(scenes, killed, **changes), *flags], [*moments, ""]))
    done = run_python(DRIVER, json.dumps(commands), timeout_s=480)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    return [Runs(*place, *ends[2 * i : 2 * i + 2]) for i, place in enumerate(places)]


@pytest.fixture(scope="module")
def undisturbed(runs: list[Runs]) -> Path:
    return runs[0].whole


def steady(event: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in event.items() if not k.endswith("_s")}


def check_same(one: Path, two: Path) -> None:
    """Everything that a run leaves, times and paths aside."""
    assert (one / "weights.safetensors").read_bytes() == (two / "weights.safetensors").read_bytes()
    names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    pictures = [n for n in names if n.suffix == ".exr"]
    assert len(pictures) == FRAMES
    for name in pictures:
        first, second = read(one / name), read(two / name)
        assert list(first.channels) == list(second.channels)
        for channel, pixels in first.channels.items():
            assert np.array_equal(pixels, second.channels[channel]), f"{name} {channel}"
        assert repr(first.attributes) == repr(second.attributes)
    logs = [
        [steady(json.loads(line)) for line in (out / "metrics.jsonl").read_text().splitlines()] for out in (one, two)
    ]
    assert logs[0] == logs[1]
    summaries = [json.loads((out / "summary.json").read_text()) for out in (one, two)]
    assert steady(summaries[0]) == steady(summaries[1])


def check_runs(runs: Runs, moments: list[str]) -> None:
    assert runs.whole_ends == [0]
    assert runs.killed_ends == [-signal.SIGKILL] * len(moments) + [0]
    check_same(runs.whole, runs.killed)


def test_kill_9_at_every_phase(runs: list[Runs]) -> None:
    check_runs(runs[0], MOMENTS)


def test_kill_9_without_a_final_pass(runs: list[Runs]) -> None:
    check_runs(runs[1], MOMENTS_WITHOUT_A_FINAL_PASS)


@pytest.fixture
def command(scenes: list[Path], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(*more: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-m", "rendernoise", *options(scenes, tmp_path / "out"), *more]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        process = subprocess.Popen(
            preexec_fn=ctrl_c.heeded,
            args=arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def wait_for_pair(out: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_ends_cleanly_and_can_be_resumed(
    command: Callable[..., subprocess.Popen[str]], undisturbed: Path, tmp_path: Path
) -> None:
    process = command()
    wait_for_pair(tmp_path / "out", process)
    os.killpg(process.pid, signal.SIGINT)  # in a terminal it reaches the whole group, the renderer's process too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "error: interrupted; run the same command with --resume to go on\n"
    resumed = command("--resume")
    _, said = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, said
    check_same(undisturbed, tmp_path / "out")


def test_a_farm_that_stops_a_task_gets_the_same_clean_end(
    command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = command()
    wait_for_pair(tmp_path / "out", process)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "error: interrupted; run the same command with --resume to go on\n"
