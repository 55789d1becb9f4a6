"""``rendernoise suite`` as scripts see it: what there is, exit codes, one line for every error."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rendernoise.cli import main
from rendernoise.cli.suite import COMMANDS
from rendernoise.noise import NOISES

pytestmark = pytest.mark.usefixtures("one_thread")
Python = Callable[..., "subprocess.CompletedProcess[str]"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["suite", *(str(a) for a in arguments)])
    said = capsys.readouterr()
    code = ended.value.code
    return (code if isinstance(code, int) else 0), said.out, said.err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_is_quick(command: str, run_python: Python) -> None:
    code = f"""
import sys
from rendernoise.cli import main
try:
    main(["suite", {command!r}, "--help"])
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"torch", "mitsuba", "OpenEXR", "scipy", "PIL", "tifffile"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert f"usage: rendernoise suite {command}" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_alone_it_lists_its_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    assert "usage: rendernoise suite COMMAND" in out
    assert all(f"  {name}" in out for name in COMMANDS)


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "trian")
    assert (code, out) == (2, "")
    assert err == f"error: suite has no command 'trian'. Use one of {', '.join(COMMANDS)}\n"


def test_list_names_every_noise(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert all(f"{name}: " in out and kind.source in out for name, kind in NOISES.items())
    code, out, _ = run(capsys, "list", "--json")
    assert [noise["name"] for noise in json.loads(out)["noises"]] == list(NOISES)


def test_train_eval_and_denoise_in_a_row(
    folder_of: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = folder_of(2), tmp_path / "run" / "weights.safetensors"
    small = ["--crop-px", 32, "--batch", 1, "--steps", 2, "--device", "cpu"]
    code, out, err = run(capsys, "train", "gaussian", "--data", data, "--out", tmp_path / "run", *small)
    assert (code, err) == (0, "")
    assert str(weights) in out
    code, out, err = run(
        capsys, "eval", "gaussian", "--weights", weights, "--data", data, "--out", tmp_path / "eval", "--json"
    )
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    rows = json.loads((tmp_path / "eval" / "results.json").read_text())["rows"]
    assert events[-1]["rows"] == rows
    code, out, err = run(capsys, "eval", "gaussian", "--weights", weights, "--data", data, "--out", tmp_path / "eval")
    assert code == 2
    assert "already holds a run" in err
    (data / "broken.png").write_text("x")
    code, out, err = run(capsys, "denoise", data, "--weights", weights, "--out", tmp_path / "done")
    assert code == 1
    assert "2 image(s) denoised" in out
    assert err.count("\n") == 1
    assert "broken.png" in err


def test_the_toml_file_gives_the_noise_too(
    folder_of: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "run.toml"
    toml.write_text(f'noise = "bernoulli"\ndata = "{folder_of(1)}"\nsteps = 1\ncrop_px = 32\nbatch = 1\ngrey = true\n')
    code, _, err = run(capsys, "train", "--config", toml, "--out", tmp_path / "run", "--quiet")
    assert (code, err) == (0, "")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["noise"] == "bernoulli"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["train", "--data", "."], "noise"),
        (["train", "fog", "--data", "."], "there is no noise 'fog'"),
        (["train", "gaussian", "--data", "absent"], "cannot read absent: no such file or directory"),
        (["train", "gaussian", "--data", "."], "there is no image in"),
        (["train", "text", "--data", ".", "--loss", "l2"], "but this noise needs the median"),
        (["train", "gaussian", "--data", ".", "--target", "sharp"], "sharp"),
        (["train", "gaussian", "--data", ".", "--steps", "0"], "--steps 0 is out of range"),
        (["eval", "gaussian", "--data", ".", "--weights", "absent"], "there are no weights at absent"),
        (["denoise", "absent.png", "--weights", "absent"], "there are no weights at absent"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_bad_input_ends_with_2_one_line_and_no_output(
    arguments: list[str],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments, "--out", "out")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert part in err
    assert not (tmp_path / "out").exists()
