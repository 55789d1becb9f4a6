"""``suite reproduce``: the contract's rows, the same again, and nothing lost when it is interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rendernoise.cli import main
from rendernoise.errors import InputError
from rendernoise.io.image import write_png
from rendernoise.suite.experiments import EXPERIMENTS
from rendernoise.suite.reproduce import run_suite_reproduce
from rendernoise.suite.reproduce_config import SuiteReproduceConfig

STEPS = 2


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four grey ramps with a disc, in ``train``, and two in ``bsd68``."""
    root = tmp_path_factory.mktemp("images")
    rows, columns = np.mgrid[:40, :40] / 40
    for name, count in (("train", 4), ("bsd68", 2)):
        (root / name).mkdir()
        for i in range(count):
            disc = np.hypot(rows - 0.5, columns - 0.2 * (i + 1)) < 0.2
            write_png(root / name / f"{i}.png", np.where(disc, 0.9, 0.2 + 0.5 * columns)[None])
    return root


def config(images: Path, out: Path, *noises: str, **options: Any) -> SuiteReproduceConfig:
    given = {"steps": STEPS, "seeds": 2} | options
    return SuiteReproduceConfig(noises=noises, out=out, data=images / "train", test=(images / "bsd68",), **given)


def _figures(results: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(r["experiment"], r["label"], r["seed"], r["psnr_db"]) for r in results["rows"]]


def test_rows_are_those_of_the_contract_and_come_out_the_same_again(images: Path, tmp_path: Path) -> None:
    first = run_suite_reproduce(config(images, tmp_path / "a", "bernoulli"))
    written = json.loads((tmp_path / "a/results.json").read_text())
    assert written["rows"] == first["rows"]
    for row in first["rows"]:
        keys = {"noise", "target", "image_set", "psnr_db", "paper_psnr_db", "seed", "steps"}
        assert keys <= set(row)
        assert row["image_set"] == "bsd68"
    trained = [r for r in first["rows"] if r["target"] in ("noisy", "clean")]
    assert [(r["target"], r["seed"], r["steps"]) for r in trained] == [
        ("noisy", 0, STEPS),
        ("noisy", 1, STEPS),
        ("clean", 0, STEPS),
        ("clean", 1, STEPS),
    ]
    assert len({r["psnr_db"] for r in trained}) == 4
    assert (tmp_path / "a/table.md").read_text().startswith("# The noise suite")
    assert all((tmp_path / "a/images" / r["picture"]).exists() for r in first["rows"])
    again = run_suite_reproduce(config(images, tmp_path / "b", "bernoulli"))
    assert _figures(again) == _figures(first)
    assert {r["budget"] for r in again["rows"]} == {again["budget"]} == {f"{STEPS} steps"}
    other = run_suite_reproduce(config(images, tmp_path / "c", "bernoulli", optimizer="muon"))
    assert _figures(other) != _figures(first)
    assert "2 seeds, Muon," in (tmp_path / "c/table.md").read_text()


class _Stopped(KeyboardInterrupt):
    pass


def _stop_after(count: int) -> Callable[[dict[str, Any]], None]:
    """Interrupts a run when so many pieces of work have begun."""
    begun: list[str] = []

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            begun.append(event["text"])
            if len(begun) > count:
                raise _Stopped

    return emit


def test_an_interrupted_run_goes_on_without_repeating_what_was_finished(images: Path, tmp_path: Path) -> None:
    whole = run_suite_reproduce(config(images, tmp_path / "whole", "bernoulli"))
    out = tmp_path / "parts"
    with pytest.raises(_Stopped):
        run_suite_reproduce(config(images, out, "bernoulli"), _stop_after(2))
    kept = {p.name: p.stat().st_mtime_ns for p in (out / ".work").glob("*.json")}
    assert len(kept) == 2
    plan = (out / "plan.json").read_text()
    with pytest.raises(_Stopped):
        run_suite_reproduce(config(images, out, "bernoulli", resume=True), _stop_after(3))
    assert {p.name: p.stat().st_mtime_ns for p in (out / ".work").glob("*.json")}.items() >= kept.items()
    resumed = run_suite_reproduce(config(images, out, "bernoulli", resume=True))
    assert _figures(resumed) == _figures(whole)
    assert resumed["wall_s"] > max(r["wall_s"] for r in resumed["rows"])
    assert (out / "plan.json").read_text() == plan
    assert run_suite_reproduce(config(images, out, "bernoulli", resume=True))["rows"] == resumed["rows"]


def test_a_budget_becomes_steps_that_are_written_down(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten minutes would be taken as a whole; here the papers' steps are few and the rest is left.
    monkeypatch.setitem(EXPERIMENTS, "bernoulli", replace(EXPERIMENTS["bernoulli"], steps=9))
    events: list[dict[str, Any]] = []
    given = config(images, tmp_path, "bernoulli", steps=None, seeds=1, budget="10m")
    results = run_suite_reproduce(given, events.append)
    shown = [e for e in events if e["event"] == "progress"]
    assert {e["total"] for e in shown} == {2}
    assert [e["done"] for e in shown] == sorted(e["done"] for e in shown)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["steps"] == {"bernoulli": 9}
    assert {r["steps"] for r in results["rows"]} == {9}
    assert all(m["step_s"] > 0 for m in plan["measured"])


def test_the_plan_of_a_run_repeats_its_figures(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPERIMENTS, "bernoulli", replace(EXPERIMENTS["bernoulli"], steps=9))
    given: dict[str, Any] = {"steps": None, "seeds": 1}
    timed = run_suite_reproduce(config(images, tmp_path / "a", "bernoulli", **given))
    again = run_suite_reproduce(config(images, tmp_path / "b", "bernoulli", plan=tmp_path / "a/plan.json", **given))
    assert _figures(again) == _figures(timed)


def test_shares_of_steps_are_kept(images: Path, tmp_path: Path) -> None:
    results = run_suite_reproduce(config(images, tmp_path, "convergence", steps=4, seeds=1))
    steps = {r["label"]: r["steps"] for r in results["rows"]}
    assert steps["noisy, 1/8 of the steps"] == 1
    assert steps["noisy, 1/2 of the steps"] == 2
    assert steps["noisy"] == 4


def test_too_short_a_budget_writes_nothing(images: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Raise --budget"):
        run_suite_reproduce(config(images, tmp_path / "out", "bernoulli", steps=None, budget="0.1s"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fog",), "no experiment 'fog'"),
        (("gaussian", "--budget", "soon"), "--budget soon is no time"),
        (("gaussian", "--seeds", "0"), "--seeds 0 is out of range"),
        (("gaussian", "--data", "/no/such/folder"), "cannot read"),
        (("gaussian", "--test", "here"), "--test needs --data"),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["suite", "reproduce", *arguments, "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_writes_the_page_and_prints_the_table(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--data", str(images / "train"), "--test", str(images / "bsd68"), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        main(["suite", "reproduce", "n2v", "--steps", "1", "--seeds", "1", *folders])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "paper 27.71" in said
    assert "N2V − N2N" in said
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/png;base64,") >= 7
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
