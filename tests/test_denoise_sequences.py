"""``rendernoise denoise`` on whole sequences: chunks, stamps, gaps, patterns, in place, and being killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rendernoise
from rendernoise.cli import main
from rendernoise.errors import InputError
from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part, read_frame
from rendernoise.io.renders import write_half
from rendernoise.io.stamp import stamp_of
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View

FRAMES = range(1, 9)


def render(folder: Path, numbers: range = FRAMES, half: str = "a", seed: int = 0) -> Path:
    """``r.a.####.exr``, whose camera moves; returns the pattern."""
    folder.mkdir(exist_ok=True)
    renderer = AnalyticRenderer((40, 24))
    for n in numbers:
        write_half(folder, "r", half, renderer.render(View(n), spp=4, seed=10 * n + seed), 0)
    return folder / f"r.{half}.####.exr"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight frames, which tests leave as they are."""
    folder = tmp_path_factory.mktemp("source")
    render(folder)
    return folder


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one run over all frames writes."""
    out = tmp_path_factory.mktemp("whole")
    rendernoise.denoise_sequence(source / "r.a.####.exr", out, device="cpu")
    return contents(out)


@pytest.fixture
def shot(source: Path, tmp_path: Path) -> Path:
    """A copy of the frames, in ``shot/``."""
    folder = tmp_path / "shot"
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def denoise(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as e:
        main(["denoise", *map(str, arguments), "--device", "cpu"])
    assert isinstance(e.value.code, int)
    return e.value.code


# -- a farm -----------------------------------------------------------------------------------------------------------


def test_chunks_give_the_same_files_as_one_run(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """Frames at a chunk's ends see those of the next chunk."""
    assert sorted(whole) == [f"r.a.{n:04d}.exr" for n in FRAMES]
    for frames in ("1-3", "4,5", "6-8"):
        rendernoise.denoise_sequence(source / "r.a.####.exr", tmp_path / "out", frames=frames, device="cpu")
    assert contents(tmp_path / "out") == whole


def test_the_farm_template_runs(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """The job template's chunks, run by the Open Job Description's own command, give the files of one run too."""
    template = Path(__file__).parents[1] / "docs" / "openjd" / "denoise.yaml"
    values = {"Input": source / "r.a.####.exr", "Output": tmp_path, "Frames": "1-8", "FramesPerTask": 5}
    values["Options"] = "--device cpu"
    parameters = [part for name, value in values.items() for part in ("-p", f"{name}={value}")]
    binaries = Path(sys.executable).parent
    done = subprocess.run(
        [str(binaries / "openjd"), "run", str(template), *parameters],
        env={**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Chunks run: 2" in done.stdout
    assert contents(tmp_path) == whole


def test_neighbours_help_here(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """Else the test of chunks would show nothing."""
    rendernoise.denoise_sequence(source / "r.a.####.exr", tmp_path / "alone", window=0, device="cpu")
    (tmp_path / "whole.exr").write_bytes(whole["r.a.0004.exr"])
    alone = read_frame(tmp_path / "alone" / "r.a.0004.exr").radiance
    assert not np.array_equal(alone, read_frame(tmp_path / "whole.exr").radiance)


def test_killed_at_any_moment(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """No file is half-written under its own name, and a second run finishes the rest to the same bytes."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "rendernoise", "denoise", source / "r.a.####.exr", "--out", out, "--device", "cpu"]
    with subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL) as child:
        while not (out.exists() and list(out.glob("r.a.*.exr"))) and child.poll() is None:
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
    before = {p.name: p.read_bytes() for p in out.glob("r.a.*.exr")}
    assert before
    assert all(data == whole[name] for name, data in before.items())
    done = rendernoise.denoise_sequence(source / "r.a.####.exr", out, skip_existing=True, device="cpu")
    assert {p.name for p in done.skipped} == set(before)
    assert {p.name: p.read_bytes() for p in out.glob("r.a.*.exr")} == whole


def test_two_runs_on_one_folder(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """Both write the same; whoever comes last replaces a file by its like."""
    command = [sys.executable, "-m", "rendernoise", "denoise", source / "r.a.####.exr", "--out", tmp_path / "out"]
    options = ["--device", "cpu", "--overwrite", "--quiet"]
    both = [subprocess.Popen([*map(str, command), *options]) for _ in "ab"]
    assert [run.wait() for run in both] == [0, 0]
    assert contents(tmp_path / "out") == whole


def test_a_full_disk_ends_the_run_with_a_line(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """A limit on files' sizes lets the first frames through, and stops the third, which is larger."""
    shot = tmp_path / "shot"
    shot.mkdir()
    for file in sorted(source.iterdir())[:3]:
        (shot / file.name).write_bytes(file.read_bytes())
    large = exr.read(shot / "r.a.0003.exr")
    noise = np.random.default_rng(0).random((40, 24, 40)).astype(np.float32)
    more = {f"theirs{i}": pixels for i, pixels in enumerate(noise)}
    exr.write(shot / "r.a.0003.exr", Exr((Part({**large.channels, **more}, large.attributes),)))
    limit = 2 * max(map(len, whole.values()))
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
    code += "from rendernoise.cli import main; main()"
    command = [sys.executable, "-c", code, "denoise", str(shot), "--out", str(tmp_path / "out"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot write {tmp_path / 'out' / 'r.a.0003.exr'}: file too large")
    assert done.stderr.count("\n") == 1
    assert [p.name for p in sorted((tmp_path / "out").iterdir())] == ["r.a.0001.exr", "r.a.0002.exr"]
    rendernoise.denoise_sequence(shot, tmp_path / "out", skip_existing=True, device="cpu")
    assert len(contents(tmp_path / "out")) == 3


# -- what is done is told by its stamp --------------------------------------------------------------------------------


def test_outputs_of_other_inputs_or_options_are_made_anew(
    shot: Path, whole: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    pattern = shot / "r.a.####.exr"
    rendernoise.denoise_sequence(pattern, out, window=1, device="cpu")

    def again(**options: Any) -> set[str]:
        done = rendernoise.denoise_sequence(pattern, out, skip_existing=True, device="cpu", **{"window": 1, **options})
        assert len(done.written) + len(done.skipped) == len(FRAMES)
        return {p.name for p in done.written}

    assert again() == set()
    for file in shot.iterdir():
        os.utime(file, (1, 1))  # dates say nothing
    assert again() == set()
    assert len(again(window=0)) == len(FRAMES)
    assert len(again()) == len(FRAMES)
    # Another render of frame 5 is seen by those beside it too.
    render(shot, range(5, 6), seed=3)
    assert again() == {f"r.a.000{n}.exr" for n in (4, 5, 6)}
    damaged = out / "r.a.0002.exr"
    damaged.write_bytes(damaged.read_bytes()[:-50])
    assert again() == {damaged.name}
    # A picture by other hands is not ours to replace.
    exr.write(damaged, Exr((Part({c: np.ones((2, 2), np.float32) for c in "RGB"}),)))
    theirs = damaged.read_bytes()
    capfd.readouterr()
    assert denoise(pattern, "--out", out, "--window", 1, "--skip-existing") == 2
    said = capfd.readouterr().err
    assert "r.a.0002.exr exists already and is not from here. --overwrite replaces it" in said
    assert said.count("\n") == 1
    assert damaged.read_bytes() == theirs
    assert stamp_of(out / "r.a.0001.exr")
    assert stamp_of(damaged) is None


# -- gaps, patterns, plans --------------------------------------------------------------------------------------------


def test_missing_frames_are_told_before_the_start(
    shot: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for n in (3, 4, 6):
        (shot / f"r.a.000{n}.exr").unlink()
    out = tmp_path / "out"
    for frames in ((), ("--frames", "1-8")):
        capfd.readouterr()
        assert denoise(shot, "--out", out, *frames) == 2
        said = capfd.readouterr().err
        assert "frames 3-4,6 of" in said
        assert "r.a.####.exr are missing" in said
        assert said.count("\n") == 1
        assert not out.exists()
        assert denoise(shot, "--out", out, "--allow-gaps", *frames, "--overwrite") == 0
        assert "frames 3-4,6 of" in capfd.readouterr().out
        assert sorted(contents(out)) == [f"r.a.000{n}.exr" for n in (1, 2, 5, 7, 8)]
        for file in out.iterdir():
            file.unlink()
        out.rmdir()


def test_every_second_frame_is_no_gap(shot: Path, tmp_path: Path) -> None:
    for n in (2, 4, 6, 8):
        (shot / f"r.a.000{n}.exr").unlink()
    done = rendernoise.denoise_sequence(shot, tmp_path / "out", device="cpu")
    assert len(done.written) == 4


@pytest.mark.parametrize("pattern", ["clean.######.exr", "clean.%06d.exr", "clean.$F6.exr"])
def test_outputs_by_pattern(source: Path, tmp_path: Path, pattern: str) -> None:
    out = tmp_path / "new" / pattern
    rendernoise.denoise_sequence(source / "r.a.$F4.exr", out, frames="1-8x7", window=0, device="cpu")
    assert sorted(contents(tmp_path / "new")) == ["clean.000001.exr", "clean.000008.exr"]


def test_a_dry_run_writes_nothing(
    source: Path, whole: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert denoise(source, "--out", out, "--dry-run") == 0
    assert not out.exists()
    out.mkdir()
    (out / "r.a.0002.exr").write_bytes(whole["r.a.0002.exr"])
    capfd.readouterr()
    assert denoise(source, "--out", out, "--dry-run", "--skip-existing") == 0
    said = capfd.readouterr().out
    assert f"{source / 'r.a.0001.exr'} -> {out / 'r.a.0001.exr'}\n" in said
    assert f"{source / 'r.a.0002.exr'} is done: {out / 'r.a.0002.exr'}\n" in said
    assert "7 of 8 frame(s) would be written" in said
    assert "radiance  R G B" in said
    assert list(contents(out)) == ["r.a.0002.exr"]


# -- in place ---------------------------------------------------------------------------------------------------------


def test_in_place_is_what_another_folder_gets(
    shot: Path, whole: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    """Neighbours are read before they are replaced; a second run finds nothing to do."""
    assert denoise(shot / "r.a.####.exr", "--in-place") == 0
    assert contents(shot) == whole
    assert denoise(shot / "r.a.####.exr", "--in-place") == 0
    assert contents(shot) == whole
    assert "8 frame(s) are denoised already and are left" in capfd.readouterr().out


@pytest.mark.parametrize("moved", [0, 3])
def test_killed_in_place(shot: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, moved: int) -> None:
    """Before the end all inputs are as they were; in the end, those not moved yet are found and moved."""
    before = contents(shot)
    replace, count = os.replace, 0

    def dying(source: Path, target: Path) -> None:
        nonlocal count
        if Path(target).parent == shot and not Path(target).name.startswith("."):
            count += 1
            if count > moved:
                raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        rendernoise.denoise_sequence(shot / "r.a.####.exr", in_place=True, device="cpu")
    monkeypatch.undo()
    left = {name: data for name, data in contents_of_files(shot).items() if data == before[name]}
    assert len(left) == len(FRAMES) - moved
    rendernoise.denoise_sequence(shot / "r.a.####.exr", in_place=True, device="cpu")
    assert contents(shot) == whole


def contents_of_files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.exr")}


def test_killed_while_denoising_in_place(shot: Path, whole: dict[str, bytes]) -> None:
    before = contents(shot)
    command = [sys.executable, "-m", "rendernoise", "denoise", shot / "r.a.####.exr", "--in-place", "--device", "cpu"]
    with subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL) as child:
        while not list(shot.glob(".rendernoise-*.tmp/r.a.*.exr")) and child.poll() is None:
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
    assert contents_of_files(shot) == before
    done = rendernoise.denoise_sequence(shot / "r.a.####.exr", in_place=True, device="cpu")
    assert done.skipped
    assert contents(shot) == whole


def test_in_place_by_chunks_says_what_cannot_help(shot: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert denoise(shot / "r.a.####.exr", "--in-place", "--frames", "1-4") == 0
    capfd.readouterr()
    assert denoise(shot / "r.a.####.exr", "--in-place", "--frames", "5-8") == 0
    assert "frame(s) 1-4 are denoised already and help no others" in capfd.readouterr().out


def test_a_wrong_layer_is_told_before_training(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert denoise(source, "--train", "60m", "--aov", "nope", "--out", out) == 2
    said = capfd.readouterr().err
    assert "--aov nope matches no layer of light" in said
    assert not out.exists()


# -- from Python ------------------------------------------------------------------------------------------------------


def test_python_has_the_options_of_the_command(source: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    done = rendernoise.denoise_sequence(
        [source / "r.a.0001.exr", str(source / "r.a.0002.exr")], tmp_path, keep_noisy=True, emit=events.append
    )
    assert [p.name for p in done.written] == ["r.a.0001.exr", "r.a.0002.exr"]
    assert "noisy.R" in exr.read(done.written[0]).channels
    assert [e["event"] for e in events if e["event"] == "frame"] == ["frame", "frame"]
    with pytest.raises(TypeError, match="windw"):
        rendernoise.denoise_sequence(source, tmp_path, windw=3)
    with pytest.raises(InputError, match="exists already"):
        rendernoise.denoise_sequence(source / "r.a.0001.exr", tmp_path)


def test_base_weights_are_loaded_by_default(source: Path) -> None:
    frame = read_frame(source / "r.a.0001.exr")
    denoised: Callable[..., Any] = rendernoise.Denoiser.load()
    assert denoised(frame).radiance.shape == frame.radiance.shape
