"""Images that other renderers wrote: patterns, halves, sample counts, other tools' images, and what may be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.bench.config import BenchConfig
from rendernoise.bench.run import image_path
from rendernoise.errors import InputError
from rendernoise.frame import Plane
from rendernoise.io.exr import read_frame
from rendernoise.metrics import METRICS
from rendernoise.metrics.relative import reference_noise, relmse

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


# -- what is read -----------------------------------------------------------------------------------------------------


def test_noisy_frames_and_references(exr_shot: Config, bench: Bench, tmp_path: Path) -> None:
    results = bench(exr_shot(name="balls"))
    assert results["frames"] == {"balls": [1, 2]}
    assert results["spp"] == [16]
    assert results["references"] == [{"scene": "balls", "frame": n, "spp": 1024, "noise": None} for n in (1, 2)]
    assert {r["wall_s"] for r in results["rows"]} == {None}
    for n in (1, 2):
        noisy, reference = (read_frame(tmp_path / f"{name}.{n:04d}.exr").radiance for name in ("noisy", "ref"))
        assert value(results, frame=n, metric="relmse") == pytest.approx(relmse(noisy, reference), rel=1e-6)
    assert len(results["rows"]) == 2 * len(METRICS) + 1
    assert value(results, metric="temporal") > 0


def test_roles_can_be_given_and_are_said(
    exr_shot: Config, bench: Bench, tmp_path: Path, write_exr: Write, random_image: Image
) -> None:
    config = exr_shot((1,), role=("radiance=mine",))
    mine = random_image(5)
    write_exr(tmp_path / "noisy.0001.exr", random_image(6), 16, mine=mine)
    results = bench(config)
    np.testing.assert_array_equal(
        read_frame(image_path(config.out, results["scenes"][0], "noisy", 16, 0, 1)).radiance, mine
    )
    assert any("radiance = mine.R mine.G mine.B" in note for note in results["notes"])
    with pytest.raises(InputError, match="no assignment"):
        exr_shot((1,), role=("mine",))


def test_without_render_times_only_denoising_is_known(exr_shot: Config, bench: Bench) -> None:
    (timing,) = (t for t in bench(exr_shot((1,), methods="noisy,oidn"))["timings"] if t["method"] == "oidn")
    assert timing["denoise_s"] > 0
    assert (timing["render_s"], timing["wall_s"]) == (None, None)


def test_halves_are_averaged_and_their_samples_add_up(
    exr_shot: Config, bench: Bench, tmp_path: Path, write_exr: Write, random_image: Image
) -> None:
    config = exr_shot((1,), half=str(tmp_path / "other.####.exr"))
    other = random_image(3)
    write_exr(tmp_path / "other.0001.exr", other, 48)
    results = bench(config)
    assert results["spp"] == [64]
    noisy = read_frame(tmp_path / "noisy.0001.exr").radiance
    kept = read_frame(image_path(config.out, results["scenes"][0], "noisy", 64, 0, 1))
    np.testing.assert_allclose(kept.radiance, 0.25 * noisy + 0.75 * other, rtol=1e-6)

    write_exr(tmp_path / "other.0001.exr", other)  # of unknown samples, and so is their sum
    assert bench(exr_shot((1,), half=str(tmp_path / "other.####.exr"), out=tmp_path / "out2"))["spp"] == [0]


def test_halves_of_the_reference_tell_its_noise(
    exr_shot: Config, bench: Bench, tmp_path: Path, write_exr: Write
) -> None:
    """Of 100 and 300 spp: the weighted mean has the variance of 400; within 5 standard errors (1 in 1.7 M)."""
    rng = np.random.default_rng(5)
    size, sigma = (96, 64), 2.0
    truth = np.full((3, size[1], size[0]), 2, np.float32)
    for name, spp in (("r1", 100), ("r2", 300)):
        image = truth + rng.normal(0, sigma / np.sqrt(spp), truth.shape)
        write_exr(tmp_path / f"{name}.0001.exr", image.astype(np.float32), spp)
    options = {"reference": str(tmp_path / "r1.####.exr"), "reference_half": str(tmp_path / "r2.####.exr")}
    results = bench(exr_shot((1,), size, **options))
    (reference,) = results["references"]
    assert reference["spp"] == 400
    expected = sigma**2 / 400 / 4.01
    assert reference["noise"] == pytest.approx(expected, rel=5 * np.sqrt(2 / truth.size))


def test_a_variance_layer_tells_the_noise_of_the_reference(
    exr_shot: Config, bench: Bench, tmp_path: Path, write_exr: Write, random_image: Image
) -> None:
    config = exr_shot((1,))
    reference, variance = random_image(4), 0.01 * random_image(5)
    write_exr(tmp_path / "ref.0001.exr", reference, 64, variance=variance)
    results = bench(config)
    noise = float(reference_noise(reference, variance))
    assert results["references"][0]["noise"] == pytest.approx(noise)
    noisy = read_frame(tmp_path / "noisy.0001.exr").radiance
    assert value(results, metric="relmse") == pytest.approx(relmse(noisy, reference, variance), rel=1e-6)
    kept = read_frame(image_path(config.out, results["scenes"][0], "reference", 0, 0, 1))
    assert np.array_equal(kept.planes["variance"], variance)


def test_other_tools_images(exr_shot: Config, bench: Bench, tmp_path: Path, write_exr: Write) -> None:
    config = exr_shot(images=(f"a={tmp_path}/a-{{spp}}", f"b={tmp_path}/b/their.####.exr", f"c={tmp_path}/nowhere"))
    for n in (1, 2):
        reference = read_frame(tmp_path / f"ref.{n:04d}.exr").radiance
        write_exr(tmp_path / f"a-16/x.{n:04d}.exr", reference)
        write_exr(tmp_path / f"b/their.{n:04d}.exr", 2 * reference)
    results = bench(config)
    assert value(results, method="a", frame=2, metric="relmse") == 0
    assert value(results, method="b", frame=1, metric="bias") == pytest.approx(1, rel=1e-5)
    assert value(results, method="a", frame=1, metric="psnr") is None  # infinite
    (failure,) = results["failures"]
    assert failure["method"] == "c"
    assert "nowhere" in failure["error"]


def test_counts_of_other_tools_images_by_their_headers(
    bench_config: Config, bench: Bench, rows_of: Rows, tmp_path: Path, write_exr: Write, random_image: Image
) -> None:
    for n in (1, 2):
        write_exr(tmp_path / f"theirs/x.{n:04d}.exr", random_image(n), 8)
    results = bench(bench_config(2, images=(f"theirs={tmp_path / 'theirs'}",), reference_spp=16))
    assert {r["spp"] for r in rows_of(results, method="theirs")} == {8}


def test_frames_on_both_sides_count(exr_shot: Config, bench: Bench, tmp_path: Path) -> None:
    config = exr_shot((1, 2, 4))
    (tmp_path / "ref.0002.exr").unlink()
    shutil.copy(tmp_path / "ref.0001.exr", tmp_path / "ref.0007.exr")
    results = bench(config)
    assert list(results["frames"].values()) == [[1, 4]]
    assert any("frame 2 of the noisy frames left out" in note for note in results["notes"])
    assert any("frame 7 of the references left out" in note for note in results["notes"])
    with pytest.raises(InputError, match="frame 2 is not among the references"):
        bench(replace(config, measure="2,4", out=tmp_path / "out2"))


# -- what is wrong with images ----------------------------------------------------------------------------------------


def test_nan_of_a_method_is_counted_and_scored_as_black(
    exr_shot: Config,
    bench: Bench,
    rows_of: Rows,
    tmp_path: Path,
    write_exr: Write,
    capsys: Any,
    run: Run,
    options_of: Options,
) -> None:
    config = exr_shot((1,), images=(f"bad={tmp_path}/bad", f"black={tmp_path}/black"))
    image = read_frame(tmp_path / "noisy.0001.exr").radiance.copy()
    image[1, 3, 4], image[:, 5, 6], image[0, 0, 0] = np.nan, np.inf, -np.inf
    write_exr(tmp_path / "bad/x.0001.exr", image)
    blackened = image.copy()
    for y, x in ((3, 4), (5, 6), (0, 0)):
        blackened[:, y, x] = 0
    write_exr(tmp_path / "black/x.0001.exr", blackened)
    code = run(*options_of(config))
    assert code == 0
    assert "3 NaN or infinite px, scored as black" in capsys.readouterr().out
    results = json.loads((config.out / "results.json").read_text())
    bad, black = rows_of(results, method="bad"), rows_of(results, method="black")
    assert [r["value"] for r in bad] == [r["value"] for r in black]
    assert {r["nonfinite_px"] for r in bad} == {3}
    assert {r["nonfinite_px"] for r in black} == {0}
    kept = read_frame(image_path(config.out, results["scenes"][0], "bad", 16, 0, 1)).radiance
    assert np.isnan(kept[1, 3, 4])  # what the tool wrote can be looked at as it is


@pytest.mark.parametrize("which", ["noisy", "method", "reference", "all"])
def test_black_images(which: str, exr_shot: Config, bench: Bench, tmp_path: Path, write_exr: Write) -> None:
    config = exr_shot(images=(f"theirs={tmp_path}/theirs",))
    black = np.zeros((3, SIZE[1], SIZE[0]), np.float32)
    for n in (1, 2):
        write_exr(tmp_path / f"theirs/x.{n:04d}.exr", black)
        for name in ("noisy", "ref"):
            if which in ("all", {"ref": "reference"}.get(name, name)):
                write_exr(tmp_path / f"{name}.{n:04d}.exr", black, 16)
    results = bench(config)
    assert results["failures"] == []
    bias = [r["value"] for r in results["rows"] if r["metric"] == "bias" and r["method"] == "theirs"]
    assert bias == ([None, None] if which in ("reference", "all") else [-1, -1])
    flip = [r["value"] for r in results["rows"] if r["metric"] == "flip" and r["method"] == "theirs"]
    assert all(v == 0 for v in flip) == (which in ("reference", "all"))


@pytest.mark.parametrize("scale", [3e38, -1.0, 1e-38])
def test_extreme_and_negative_images_are_scored(
    scale: float, exr_shot: Config, bench: Bench, rows_of: Rows, tmp_path: Path, write_exr: Write, random_image: Image
) -> None:
    config = exr_shot(images=(f"theirs={tmp_path}/theirs",))
    for n in (1, 2):
        image = random_image(n)
        write_exr(tmp_path / f"theirs/x.{n:04d}.exr", np.float32(scale) * (image / image.max()))
    results = bench(config)
    assert results["failures"] == []
    assert len(rows_of(results, method="theirs")) == 2 * len(METRICS) + 1


def test_negative_references_are_noted(
    exr_shot: Config, bench: Bench, tmp_path: Path, write_exr: Write, random_image: Image
) -> None:
    config = exr_shot((1,))
    reference = random_image(6)
    reference[0, 2, :5] = -0.5
    write_exr(tmp_path / "ref.0001.exr", reference)
    results = bench(config)
    assert "warning: the reference of frame 1 has 5 negative pixels" in results["notes"]
    assert all(r["value"] is not None for r in results["rows"])


def test_one_bad_reference_of_two(
    exr_shot: Config, bench: Bench, tmp_path: Path, write_exr: Write, capsys: Any, run: Run, options_of: Options
) -> None:
    config = exr_shot()
    reference = read_frame(tmp_path / "ref.0002.exr").radiance.copy()
    reference[2, 1, 1] = np.nan
    write_exr(tmp_path / "ref.0002.exr", reference)
    assert run(*options_of(config)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "ref.0002.exr has 1 NaN or infinite pixel" in error
    results = json.loads((config.out / "results.json").read_text())
    assert list(results["frames"].values()) == [[1]]
    write_exr(tmp_path / "ref.0002.exr", np.nan_to_num(reference))
    assert run(*options_of(config), "--resume") == 0
    results = json.loads((config.out / "results.json").read_text())
    assert {r["frame"] for r in results["rows"]} == {1, 2}
