"""``denoise`` on sequences: neighbouring frames help where headers tell the cameras, and never stand in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise import light as light_module
from rendernoise.cli import main
from rendernoise.denoiser import Denoiser
from rendernoise.frame import Frame
from rendernoise.io.exr import read, read_frame
from rendernoise.io.renders import write_half
from rendernoise.light import FINE, WIDE
from rendernoise.metrics.relative import trimmed_relmse
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.neighbours import Neighbours, informed
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.weights import base_path

RENDERER = AnalyticRenderer((48, 32))
FRAMES = (1, 2, 3, 4, 5)


def sequence(folder: Path, change: Callable[[Frame], Frame] = lambda frame: frame, spp: int = 4) -> Path:
    """``shot.a.####.exr`` and ``shot.b.####.exr``; returns the pattern of the first."""
    folder.mkdir()
    for number in FRAMES:
        for index, half in enumerate("ab"):
            frame = RENDERER.render(View(number), spp=spp, seed=10 * number + index)
            write_half(folder, "shot", half, change(frame), 0)
    return folder / "shot.a.####.exr"


def denoise(pattern: Path, out: Path, *options: Any) -> int:
    with pytest.raises(SystemExit) as e:
        main(["denoise", str(pattern), "--out", str(out), "--device", "cpu", *map(str, options)])
    assert isinstance(e.value.code, int)
    return e.value.code


def image(out: Path, number: int = 3) -> np.ndarray:
    return read_frame(out / f"shot.a.{number:04d}.exr").radiance


def relmse(found: np.ndarray, number: int = 3) -> float:
    truth = RENDERER.reference(View(number))
    return float((np.square(found - truth) / (np.square(truth) + 0.01)).mean())


@pytest.mark.parametrize("halves", [False, True])
def test_neighbours_lower_the_error(tmp_path: Path, halves: bool) -> None:
    pattern = sequence(tmp_path / "in")
    options = ("--half", tmp_path / "in" / "shot.b.####.exr") if halves else ()
    assert denoise(pattern, tmp_path / "alone", "--window", 0, *options) == 0
    assert denoise(pattern, tmp_path / "with", *options) == 0
    alone, together = relmse(image(tmp_path / "alone")), relmse(image(tmp_path / "with"))
    assert together < 0.9 * alone
    assert set(read(tmp_path / "with" / "shot.a.0003.exr").channels) == set(
        read(tmp_path / "in" / "shot.a.0003.exr").channels
    ), "nothing is added"


def test_without_cameras_frames_stand_alone(tmp_path: Path) -> None:
    def bare(frame: Frame) -> Frame:
        planes = {name: plane for name, plane in frame.planes.items() if name != "position"}
        return Frame(planes, frame.spp, frame.number)

    pattern = sequence(tmp_path / "in", bare)
    assert denoise(pattern, tmp_path / "alone", "--window", 0) == 0
    assert denoise(pattern, tmp_path / "with") == 0
    assert np.array_equal(image(tmp_path / "alone"), image(tmp_path / "with"))


def test_a_damaged_neighbour_fails_alone(tmp_path: Path) -> None:
    pattern = sequence(tmp_path / "in")
    broken = tmp_path / "in" / "shot.a.0002.exr"
    broken.write_bytes(broken.read_bytes()[:2000])
    assert denoise(pattern, tmp_path / "out") == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"shot.a.{n:04d}.exr" for n in (1, 3, 4, 5)]
    assert np.isfinite(image(tmp_path / "out")).all()


def test_a_frame_asked_for_alone_is_what_it_is_among_all(tmp_path: Path) -> None:
    """Farms denoise a frame a task."""
    pattern = sequence(tmp_path / "in")
    half = ("--half", tmp_path / "in" / "shot.b.####.exr")
    for options in ((), half):
        one, together = tmp_path / f"one{len(options)}", tmp_path / f"all{len(options)}"
        assert denoise(pattern, one, "--frames", 3, *options) == 0
        assert denoise(pattern, together, *options) == 0
        assert np.array_equal(image(one), image(together))
    assert not np.array_equal(image(tmp_path / "one0"), image(tmp_path / "one2")), "halves are samples more"


def test_other_frames_may_lack_a_half(tmp_path: Path) -> None:
    pattern = sequence(tmp_path / "in")
    (tmp_path / "in" / "shot.b.0005.exr").unlink()
    half = tmp_path / "in" / "shot.b.####.exr"
    assert denoise(pattern, tmp_path / "out", "--frames", "2-3", "--half", half) == 0


def test_skipped_frames_still_help(tmp_path: Path) -> None:
    pattern = sequence(tmp_path / "in")
    assert denoise(pattern, tmp_path / "all") == 0
    assert denoise(pattern, tmp_path / "again") == 0
    (tmp_path / "again" / "shot.a.0003.exr").unlink()
    assert denoise(pattern, tmp_path / "again", "--skip-existing") == 0
    assert np.array_equal(image(tmp_path / "all"), image(tmp_path / "again"))


@pytest.mark.parametrize(("window", "known"), [(1, 2), (2, 4), (9, 4)])
def test_reliability_counts_samples_or_frames(window: int, known: int) -> None:
    def render(number: int, spp: int) -> Frame:
        frame = RENDERER.render(View(number), spp=8, seed=number)
        return Frame(frame.planes, spp, number, projection=frame.projection)

    for spp in (8, 0):  # 0: nobody says
        neighbours: Neighbours[int] = Neighbours(window, lambda number, spp=spp: [render(number, spp)])
        (frame,) = informed([render(3, spp)], neighbours.around(3, FRAMES))
        assert frame.planes["reliability"].max() == known


def test_memory_is_that_of_the_window() -> None:
    asked: list[int] = []

    def read_one(number: int) -> list[Frame]:
        asked.append(number)
        return [RENDERER.render(View(number), spp=2, seed=number)]

    neighbours = Neighbours(2, read_one)
    for number in range(1, 30):
        (near,) = neighbours.around(number, range(1, 30))
        assert len(near) == 2 + (2 < number < 28) + (1 < number < 29)
        assert len(neighbours._surfaces) <= 5
    assert max(asked.count(number) for number in range(1, 30)) == 1


def lit_sky(frame: Frame) -> Frame:
    """The sky's albedo is 1 as far as it is bright in our renders; the analytic renderer has 0 there."""
    albedo = frame.planes["albedo"].copy()
    albedo[:, (albedo == 0).all(0)] = 1
    return frame.with_planes(albedo=albedo)


@pytest.mark.parametrize("light_step", [0.0, 0.5, 1.5])
def test_a_moving_light_leaves_no_ghost(light_step: float) -> None:
    """The lamp moves by so many units a frame, 5 of them from the camera; the ball rolls as well."""
    moving = AnalyticRenderer((128, 96), light_step=light_step)
    denoiser = Denoiser.load(base_path("kernel_pyramid"), "cpu")
    neighbours: Neighbours[int] = Neighbours(2, lambda n: [lit_sky(moving.render(View(n), spp=32, seed=n))])
    frame = lit_sky(moving.render(View(3), spp=32, seed=99))
    truth = moving.reference(View(3))

    def error(image: np.ndarray) -> float:
        return float((np.square(image - truth) / (np.square(truth) + 0.01)).mean())

    alone = error(denoiser.radiance(frame))
    together = error(denoiser.radiance(informed([frame], neighbours.around(3, FRAMES))[0]))
    assert together < 1.1 * alone
    assert light_step or together < 0.9 * alone, "else there would be nothing to believe"


@pytest.mark.parametrize(("provenance", "wanted", "expected"), [({}, None, 3), ({"window": 8}, None, 8), ({}, 0, 0)])
def test_the_window_is_what_the_weights_were_trained_with(
    provenance: dict[str, int], wanted: int | None, expected: int
) -> None:
    base = Denoiser.load(base_path("fast"), "cpu")
    assert Denoiser(base.model, provenance).window_of(wanted) == expected
    alone = DenoisingModel(ModelSpec.default("shuffled_unet"))
    assert Denoiser(alone, provenance).window_of(wanted) == 0, "it takes no history"


def test_light_is_compared_more_closely_for_weights_that_had_no_neighbours() -> None:
    base = Denoiser.load(base_path("fast"), "cpu")
    assert base.light_windows == FINE
    assert Denoiser(base.model, {"window": 0}).light_windows == FINE
    assert Denoiser(base.model, {"window": 8}).light_windows == WIDE, "as in their training"


def test_no_ghosts_in_a_shot_of_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lamp and a ball move, pictures change in frame 5, another camera looks from frame 9 on (scenes/changes).

    Hardly any noise is left in it, so that every ghost shows: what was believed without a look at the light would be
    several times as wrong as a frame alone. Base weights, which never saw neighbours, still lose up to 0.0003.
    """
    pytest.importorskip("mitsuba")
    folder = Path(__file__).parents[1] / "scenes" / "changes"
    with pytest.raises(SystemExit) as e:
        main(["render", str(folder / "shot.####.xml"), "--spp", "8", "--frames", "1-11", "--out", str(tmp_path / "in")])
    assert e.value.code == 0
    pattern, half = (tmp_path / "in" / f"shot.{h}.####.exr" for h in "ab")
    errors: dict[str, np.ndarray] = {}
    for name, window in (("alone", "0"), ("tested", "3"), ("believed", "3")):
        out = tmp_path / name
        if name == "believed":
            monkeypatch.setattr(light_module, "AVERAGED_PX", 0)
        assert denoise(pattern, out, "--half", half, "--window", window, "--frames", "4-5,9") == 0
        found: list[float] = []
        for number in (4, 5, 9):
            reference = read_frame(folder / f"reference.{number:04d}.exr")
            noise = reference.planes["variance"]
            found.append(trimmed_relmse(image(out, number), reference.radiance, noise))
        errors[name] = np.array(found)
    assert (errors["tested"] < errors["alone"] + 4e-4).all(), errors
    assert (errors["believed"][:2] > 1.6 * errors["tested"][:2]).all(), errors
    assert errors["believed"][2] > 6 * errors["tested"][2], "the frames after a cut are not those before it"
