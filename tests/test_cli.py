"""The command line as scripts see it: exit codes, one-line errors, JSON lines, the TOML file, quick help."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rendernoise._version import __version__
from rendernoise.cli import COMMANDS, main

Python = Callable[..., "subprocess.CompletedProcess[str]"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    said = capsys.readouterr()
    code = ended.value.code
    return (code if isinstance(code, int) else 0), said.out, said.err


def check_one_line(error: str) -> None:
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["", *sorted(COMMANDS)])
def test_help_loads_neither_torch_nor_mitsuba(command: str, run_python: Python) -> None:
    code = f"""
import sys
from rendernoise.cli import main
try:
    main({[command, "--help"] if command else ["--help"]!r})
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"torch", "mitsuba", "drjit", "OpenEXR", "scipy"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert "usage: rendernoise" in done.stdout


def test_overview_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert all(name in out for name in COMMANDS)
    assert run(capsys, "--version") == (0, f"{__version__}\n", "")


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "onlien")
    assert (code, out) == (2, "")
    check_one_line(err)
    assert "'onlien'" in err
    assert "online" in err


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--spp", "0"], "--spp 0 is out of range"),
        (["--spp", "many"], "spp"),
        (["--no-such-option"], "no-such-option"),
        (["--frames", "4-"], "4-"),
        (["--resolution", "640"], "'640' is no resolution"),
        (["--resolution", "0x5"], "no resolution"),
        (["--seed", "-1"], "seed"),
        (["--time", "0"], "--time 0.0 is out of range"),
        (["--recipe", "theirs"], "theirs"),
        (["--network", "resnet"], "no network 'resnet'"),
        (["--weights", "absent.safetensors"], "no weights at absent.safetensors"),
        (["--weights", "base", "--network", "unet"], "there are no base weights of unet"),
        (["--variant", "gpu"], "gpu"),
        (["--camera", "absent.json"], "absent.json"),
        (["--frames", "5"], "5"),
        (["--config", "absent.toml"], "cannot read absent.toml"),
        (["--config"], "--config needs a file"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_wrong_options_end_with_2_and_write_nothing(
    options: list[str],
    part: str,
    shot_files: Callable[..., tuple[Path, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    files = shot_files(2)
    code, out, err = run(capsys, "online", *files, "--out", "out", "--device", "cpu", *options)
    assert code == 2
    assert out == ""
    check_one_line(err)
    assert part in err
    assert not (tmp_path / "out").exists()


def test_missing_scenes_and_outs_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["online"], ["online", "--out", str(tmp_path / "o")], ["online", str(tmp_path / "no.xml")]):
        code, _, err = run(capsys, *arguments)
        assert code == 2
        check_one_line(err)
    code, _, err = run(capsys, "online", tmp_path / "no.xml", "--out", tmp_path / "o")
    assert code == 2
    assert "no.xml" in err


def test_debug_shows_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "online", tmp_path / "no.xml", "--out", tmp_path / "o", "--debug")
    assert code == 2
    assert "Traceback" in err


@pytest.fixture
def scene(tmp_path: Path, write_scene: Callable[..., Path]) -> Path:
    return write_scene(tmp_path / "box.xml", width=16, height=12)


SMALL = ["--variant", "scalar_rgb", "--device", "cpu", "--min-steps", "2"]


def test_json_lines_parse_and_agree_with_the_files(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, said, err = run(capsys, "online", scene, "--out", out, *SMALL, "--steps", "2", "--spp", "2", "--json")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in said.splitlines()]
    kinds = [e["event"] for e in events]
    assert kinds[-1] == "done"
    assert kinds.count("pair") == kinds.count("frame") == 1
    summary = json.loads((out / "summary.json").read_text())
    assert {k: v for k, v in events[-1].items() if k != "event"} == summary
    assert {"wall_s", "render_s", "train_s", "denoise_s", "steps", "spp", "frames"} <= set(summary)
    assert {"frame", "spp", "estimated_relmse", "interval"} <= set(summary["frames"][0])
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [e for e in events if e in logged] == logged


def test_the_toml_file_gives_options_and_the_command_line_wins(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text(
        f'scenes = ["{scene}"]\nout = "{tmp_path / "from_toml"}"\nspp = 3\nsteps = 1\nmin-steps = 1\nseed = 7\n'
        'variant = "scalar_rgb"\ndevice = "cpu"\nfinal_pass = false\nsave-halves = true\n'
    )
    code, said, err = run(capsys, "online", "--config", toml, "--seed", "8", "--final-pass", "--quiet")
    assert (code, said, err) == (0, "", "")
    config = json.loads((tmp_path / "from_toml" / "config.json").read_text())
    assert {k: config[k] for k in ("spp", "steps", "min_steps", "seed", "final_pass", "save_halves")} == {
        "spp": 3,
        "steps": 1,
        "min_steps": 1,
        "seed": 8,
        "final_pass": True,
        "save_halves": True,
    }
    assert len(list((tmp_path / "from_toml" / "halves").iterdir())) == 2


def test_the_toml_file_is_read_in_either_spelling(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text("spp = 0\n")
    for given in (["--config", str(toml)], [f"--config={toml}"]):
        code, _, err = run(capsys, "online", scene, "--out", tmp_path / "out", *given)
        assert code == 2
        assert "--spp 0 is out of range" in err


@pytest.mark.parametrize(
    ("text", "part"), [("spp = ", "no TOML file"), ("samples = 4", "unknown option 'samples'"), ("spp = 'x'", "spp")]
)
def test_a_wrong_toml_file_is_one_line(
    text: str, part: str, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.toml").write_text(text)
    code, _, err = run(capsys, "online", scene, "--out", tmp_path / "out", "--config", tmp_path / "run.toml")
    assert code == 2
    check_one_line(err)
    assert part in err


def test_plain_output_says_where_the_pictures_are(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, said, err = run(capsys, "online", scene, "--out", out, *SMALL, "--steps", "2", "--spp", "2")
    assert (code, err) == (0, "")
    assert str(out / "denoised") in said
    assert "1 frame(s) at 4 spp" in said
    code, said, err = run(capsys, "online", scene, "--out", out, *SMALL, "--steps", "2", "--spp", "2")
    assert code == 2
    assert "already holds a run" in err


def test_a_rejected_scene_ends_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.xml").write_text("<scene version='3.0.0'><shape type='blob'/></scene>")
    code, _, err = run(capsys, "online", tmp_path / "bad.xml", "--out", tmp_path / "out", *SMALL)
    assert code == 2
    check_one_line(err)
    assert "bad.xml" in err
