"""Methods that fail, options and images that cannot work: one line each, and nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.bench import run as module
from rendernoise.bench.config import BenchConfig
from rendernoise.bench.isolated import ForeignSpec
from rendernoise.bench.methods import Foreign
from rendernoise.frame import Plane
from rendernoise.io.exr import read_frame
from rendernoise.metrics import METRICS

Config = Callable[..., BenchConfig]
Bench = Callable[..., dict[str, Any]]
Rows = Callable[..., list[dict[str, Any]]]
Write = Callable[..., Path]
Image = Callable[..., Plane]
Run = Callable[..., int]
Options = Callable[[BenchConfig], list[str]]
SIZE = (24, 16)


def value(results: dict[str, Any], **wanted: Any) -> float:
    (row,) = [row for row in results["rows"] if all(row[k] == v for k, v in wanted.items())]
    return row["value"]


# -- methods that fail ------------------------------------------------------------------------------------------------

_MODULE = """
import os, signal, sys

class Fails:
    def __init__(self, how):
        self.how = how
        if how == "cannot be made":
            raise OSError("no such library")
    def __call__(self, frame):
        print("a line of its own")
        if self.how == "raises":
            raise ValueError("two\\nlines")
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "exits":
            os._exit(7)
        if self.how == "is small":
            return frame.radiance[:, 1:]
        if self.how == "is flat":
            return frame.radiance[0]
        return frame.radiance * 0
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a denoiser that fails in some way in the place of ``oidn``."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "failing_denoiser.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    make = module.make_method

    def install(how: str) -> None:
        def method(name: str, *rest: Any) -> Any:
            spec = ForeignSpec("failing_denoiser:Fails", {"how": how})
            return Foreign("oidn", "OIDN", "fails", spec) if name == "oidn" else make(name, *rest)

        monkeypatch.setattr(module, "make_method", method)

    return install


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raises", "Fails failed (ValueError: two lines)"),
        ("dies", "Fails's process died (SIGSEGV)"),
        ("exits", "Fails's process died (exit code 7)"),
        ("is small", "the image is 24x15 px, but the reference is 24x16 px"),
        ("is flat", "failed"),
    ],
)
def test_a_denoiser_that_fails_is_a_line_and_the_others_finish(
    how: str,
    says: str,
    foreign: Callable[[str], None],
    exr_shot: Config,
    rows_of: Rows,
    capfd: Any,
    run: Run,
    options_of: Options,
) -> None:
    foreign(how)
    config = exr_shot(methods="oidn,noisy")
    assert run(*options_of(config), "--json") == 1
    said = capfd.readouterr()
    assert said.err.count("error: ") == 1
    assert "oidn at 16 spp" in said.err
    assert says in said.err
    for line in said.out.splitlines():
        assert isinstance(json.loads(line), dict)
    results = json.loads((config.out / "results.json").read_text())
    assert all(says in f["error"] for f in results["failures"] if how != "is flat")
    assert len(rows_of(results, method="noisy")) == 2 * len(METRICS) + 1
    assert rows_of(results, method="oidn") == []


def test_a_denoiser_that_cannot_be_made_is_left_out(
    foreign: Callable[[str], None], exr_shot: Config, bench: Bench
) -> None:
    foreign("cannot be made")
    results = bench(exr_shot(methods="oidn,oidn@16,noisy"))
    assert results["skipped"] == [{"method": "oidn", "reason": "Fails failed (OSError: no such library)"}]
    assert [m["name"] for m in results["methods"]] == ["noisy"]


def test_every_method_fails(
    foreign: Callable[[str], None], exr_shot: Config, capfd: Any, run: Run, options_of: Options
) -> None:
    foreign("dies")
    config = exr_shot(methods="oidn")
    assert run(*options_of(config)) == 2
    error = capfd.readouterr().err
    (line,) = [line for line in error.splitlines() if line != "a line of its own"]
    assert line.startswith("error: ")
    assert "SIGSEGV" in line
    assert not config.out.exists()


# -- bad input: one line, exit code 2, nothing written ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--methods", "nosiy"], "there is no method 'nosiy'"),
        (["--methods", ","], "--methods names no method"),
        (["--methods", "noisy@64"], "no method takes part at 16 spp"),
        (["--methods", "online"], "no method can run here (it renders while it trains and needs a scene"),
        (["--methods", "gone.safetensors"], "there are no weights at gone.safetensors"),
        (["--methods", "{dir}/broken.safetensors"], "no readable safetensors file"),
        (["--spp", "3"], "--spp 3 cannot be split"),
        (["--spp", "0"], "--spp 0"),
        (["--spp", "4,x"], "no list of sample counts"),
        (["--spp", "²"], "no list of sample counts"),
        (["--spp", "9" * 5000], "no list of sample counts"),
        (["--spp", "2097152"], "--spp 2097152"),
        (["--spp", "-4"], "spp"),
        (["--repeats", "0"], "--repeats 0"),
        (["--repeats", "two"], "two"),
        (["--seed", "-1"], "--seed -1"),
        (["--reference-spp", "1"], "--reference-spp 1"),
        (["--resolution", "640"], "no resolution"),
        (["--measure", ""], "no list of whole frames"),
        (["--measure", "9"], "frame 9 is not among"),
        (["--frames", "1-"], "no list of frames"),
        (["--device", "tpu"], "tpu"),
        (["--variant", "gpu_rgb"], "gpu_rgb"),
        (["--images", "theirs"], "is no assignment"),
        (["--images", "noisy={dir}"], "cannot be called that"),
        (["--images", "reference={dir}"], "cannot be called that"),
        (["--images", "../up={dir}"], "cannot be called that"),
        (["--images", "a" * 300 + "={dir}"], "cannot be called that"),
        (["--images", "a={dir}", "--images", "a={dir}"], "cannot be called that"),
        (["--name", "../../up"], "--name '../../up' cannot name files"),
        (["--name", "n" * 300], "cannot name files"),
        (["--name", ""], "--name '' cannot name files"),
        (["{dir}/shot.xml"], "what to measure is unclear"),
        (["--half", "{dir}/gone.####.exr"], "no file matches"),
        (["--reference-half", "{dir}/noisy.0001.exr"], "frame 2 has only one half"),
        (["--no-such-option"], "no-such-option"),
        (["--out", "/proc/nowhere/out"], "/proc/nowhere"),
        (["--out", "{dir}/file"], "it is a file"),
        (["--out", "{dir}/file/out"], "cannot write"),
        (["--config", "{dir}/gone.toml"], "gone.toml"),
    ],
)
def test_bad_options(
    arguments: list[str], says: str, exr_shot: Config, tmp_path: Path, capsys: Any, run: Run, options_of: Options
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not what it says")
    before = sorted(p.name for p in tmp_path.iterdir())
    options = options_of(exr_shot())
    before = sorted({*before, *(f"{n}.000{i}.exr" for n in ("noisy", "ref") for i in (1, 2))})
    code = run(*options, *(a.replace("{dir}", str(tmp_path)) for a in arguments))
    said = capsys.readouterr()
    assert code == 2, said.err
    assert says in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def _harm(name: str, harm: str, tmp_path: Path, write: Write) -> None:
    for n in (1, 2):
        path = tmp_path / f"{name}.{n:04d}.exr"
        radiance = read_frame(path).radiance.copy()
        if harm == "size":
            write(path, radiance[:, 1:])
        elif harm == "nan":
            radiance[0, 0, 0] = np.nan
            write(path, radiance)
        elif harm == "truncated":
            path.write_bytes(path.read_bytes()[:-40])
        elif harm == "empty":
            path.write_bytes(b"")
        elif harm == "text":
            path.write_text("no image")
        elif harm == "variance":
            write(path, radiance, variance=radiance * np.float32(np.nan))
        else:
            path.rename(path.with_name(f"{name}.{n + 10:04d}.exr"))


@pytest.mark.parametrize(
    ("name", "harm", "says"),
    [
        ("ref", "size", "ref.0001.exr is 24x15 px, but"),
        ("noisy", "size", "24x15 px"),
        ("ref", "nan", "NaN or infinite"),
        ("ref", "variance", "the variance in"),
        ("ref", "truncated", "ref.0001.exr"),
        ("noisy", "truncated", "noisy.0001.exr"),
        ("noisy", "empty", "noisy.0001.exr"),
        ("ref", "text", "ref.0001.exr"),
        ("ref", "other frames", "no frame is on both sides (noisy frames 1-2; references 11-12)"),
    ],
)
def test_images_that_cannot_be_measured(
    name: str,
    harm: str,
    says: str,
    exr_shot: Config,
    tmp_path: Path,
    write_exr: Write,
    capsys: Any,
    run: Run,
    options_of: Options,
) -> None:
    config = exr_shot()
    _harm(name, harm, tmp_path, write_exr)
    code = run(*options_of(config))
    said = capsys.readouterr().err
    assert code == 2, said
    assert says in said
    assert said.count("\n") == 1
    assert not config.out.exists()


def test_other_tools_images_that_cannot_be_measured(
    exr_shot: Config,
    tmp_path: Path,
    write_exr: Write,
    random_image: Image,
    capsys: Any,
    rows_of: Rows,
    run: Run,
    options_of: Options,
) -> None:
    places = tuple(f"{name}={tmp_path / name}" for name in ("small", "cut", "gap", "depth"))
    config = exr_shot(images=places)
    for n in (1, 2):
        write_exr(tmp_path / f"small/x.{n:04d}.exr", random_image(1, (20, 16)))
        cut = write_exr(tmp_path / f"cut/x.{n:04d}.exr", random_image(1))
    cut.write_bytes(cut.read_bytes()[:-99])
    write_exr(tmp_path / "gap/x.0002.exr", random_image(1))
    for n in (1, 2):
        from rendernoise.io.exr import write_layers

        (tmp_path / "depth").mkdir(exist_ok=True)
        write_layers(tmp_path / f"depth/x.{n:04d}.exr", {"depth": np.ones((1, 16, 24), np.float32)})
    assert run(*options_of(config)) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 5  # each of the two depth files is named
    results = json.loads((config.out / "results.json").read_text())
    count = {
        name: len({r["frame"] for r in rows_of(results, method=name)}) for name in ("small", "cut", "gap", "noisy")
    }
    assert count == {"small": 0, "cut": 1, "gap": 1, "noisy": 2}
    assert any("small at 16 spp, frame 1-2 failed: the image is 20x16 px" in line for line in error)
    assert any("has no frame 1" in line for line in error)


def test_an_output_that_is_there_already(
    exr_shot: Config, tmp_path: Path, capsys: Any, run: Run, options_of: Options
) -> None:
    options = options_of(exr_shot())
    assert run(*options) == 0
    results = (tmp_path / "out" / "results.json").read_text()
    assert run(*options) == 2
    assert "--resume continues it" in capsys.readouterr().err
    assert run(*options, "--resume", "--methods", "noisy,base") == 2
    assert "methods = 'noisy'" in capsys.readouterr().err
    assert (tmp_path / "out" / "results.json").read_text() == results
    assert run(*options, "--resume") == 0
    assert (tmp_path / "out" / "results.json").read_text() == results
    assert run(*options, "--overwrite") == 0


def test_overwrite_does_not_remove_what_is_to_be_measured(
    exr_shot: Config, tmp_path: Path, capsys: Any, run: Run, options_of: Options
) -> None:
    options = options_of(exr_shot())
    assert run(*options) == 0
    kept = tmp_path / "out/images/16spp-seed0/noisy"
    options += ["--images", f"before={kept}"]
    assert run(*options, "--overwrite") == 2
    assert "lies in --out, which --overwrite empties" in capsys.readouterr().err
    assert len(list(kept.iterdir())) == 2
    # Files of others directly in the folder are safe there.
    options = options_of(exr_shot(out=tmp_path))
    assert run(*options) == run(*options, "--overwrite") == 0


def test_the_disk_is_full(
    exr_shot: Config, tmp_path: Path, run: Run, options_of: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small file system of its own, in a user namespace where need be."""
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        options = [*options_of(exr_shot()), "--out", str(disk / "out")]
        assert run(*options) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        assert "no space left on device" in said
        assert (disk / "out" / ".work").is_dir()
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        assert run(*options, "--resume") == 0
    finally:
        subprocess.run(["umount", disk], check=True)


def test_weights_that_need_more_than_there_is(exr_shot: Config, tmp_path: Path, bench: Bench) -> None:
    from rendernoise.denoiser import Denoiser
    from rendernoise.model import DenoisingModel, ModelSpec

    path = tmp_path / "needy.safetensors"
    Denoiser(DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo", "normal")))).save(path)
    results = bench(exr_shot(methods=f"{path},noisy"))
    (failure,) = results["failures"]
    assert "has no albedo, normal, which these weights need" in failure["error"]
    assert {r["method"] for r in results["rows"]} == {"noisy"}
