"""Files of other renderers, through the real command line: neighbours are found, and what is wrong is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.cli import main
from rendernoise.frame import Frame
from rendernoise.history import Surface, history
from rendernoise.io.exr import Exr, Part, read, read_frame, write, write_layers
from rendernoise.io.exr_look import look, roles_of
from rendernoise.motion import Convention
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.sources.exr_pairs import ExrPairs
from rendernoise.sources.store import PairStore
from rendernoise.sources.temporal import ShotHistory
from rendernoise.sources.warping import NOTHING, Warping, find_warping
from tests.moving import H, Scene, W
from tests.test_cameras import attributes

pytestmark = pytest.mark.usefixtures("one_thread")
BLENDER = Path(__file__).parent / "data" / "blender"
RENDERER = AnalyticRenderer((48, 32))
SCENE = Scene()


class Run:
    """One run of ``denoise``: its exit code, notes and images."""

    def __init__(self, capsys: pytest.CaptureFixture[str], pattern: Path | str, out: Path, *options: Any) -> None:
        capsys.readouterr()
        with pytest.raises(SystemExit) as e:
            main(["denoise", str(pattern), "--out", str(out), "--device", "cpu", "--json", *map(str, options)])
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        self.code, self.out = e.value.code, out
        self.notes = [event["text"] for event in events if event["event"] == "note"]

    def image(self, name: str) -> np.ndarray:
        return read_frame(self.out / name).radiance

    def said(self, text: str) -> str:
        found = [note for note in self.notes if text in note]
        assert len(found) == 1, self.notes
        return found[0]


def drifting(folder: Path, change: Callable[[dict[str, Any], Frame], None], numbers: tuple[int, ...] = (1, 2, 3, 4)):
    """Frames of the analytic renderer, whose layers and attributes ``change`` may edit; returns the pattern."""
    folder.mkdir()
    for number in numbers:
        frame = RENDERER.render(View(number), spp=4, seed=number)
        content = {"layers": dict(frame.planes), "attributes": {}}
        change(content, frame)
        layers = {"" if name == "radiance" else name: plane for name, plane in content["layers"].items()}
        names = {"": "RGB", "albedo": "RGB", "depth": "Z"}
        channels = {
            f"{layer}.{c}".lstrip("."): np.ascontiguousarray(pixels, np.float32)
            for layer, plane in layers.items()
            for c, pixels in zip(names.get(layer, "XYZ"), plane, strict=False)
        }
        write(folder / f"shot.{number:04d}.exr", Exr((Part(channels, content["attributes"]),)))
    return folder / "shot.####.exr"


def without(*names: str) -> Callable[[dict[str, Any], Frame], None]:
    def change(content: dict[str, Any], frame: Frame) -> None:
        for name in names:
            del content["layers"][name]

    return change


def error(run: Run, number: int = 2) -> float:
    truth = RENDERER.reference(View(number))
    return float((np.square(run.image(f"shot.{number:04d}.exr") - truth) / (np.square(truth) + 0.01)).mean())


def test_positions_alone_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = drifting(tmp_path / "in", without("depth"))
    alone = Run(capsys, pattern, tmp_path / "alone", "--window", 0)
    together = Run(capsys, pattern, tmp_path / "with")
    assert alone.notes == []
    assert "fitted to the positions in position.X,Y,Z" in together.said("cameras")
    assert error(together) < 0.9 * error(alone)


@pytest.mark.parametrize("kind", ["film", "screen", "camera"])
@pytest.mark.parametrize("along", ["viewing axis", "ray"])
def test_header_cameras_and_both_kinds_of_depth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, along: str
) -> None:
    def change(content: dict[str, Any], frame: Frame) -> None:
        assert frame.projection is not None
        content["attributes"] = attributes(frame.projection, kind)
        del content["layers"]["position"]
        if along == "viewing axis":
            lengths = np.linalg.norm(frame.projection.ways(32, 48), axis=0)
            content["layers"]["depth"] = frame.planes["depth"] / lengths

    pattern = drifting(tmp_path / "in", change, (1, 6, 11, 16))  # a camera that moves enough to tell them apart
    run = Run(capsys, pattern, tmp_path / "out")
    assert f"depth along the {along}" in run.said("cameras")
    alone = Run(capsys, pattern, tmp_path / "alone", "--window", 0)
    assert error(run, 6) < 0.95 * error(alone, 6)


def test_nothing_to_go_by_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = drifting(tmp_path / "in", without("position"))
    run = Run(capsys, pattern, tmp_path / "out")
    assert run.notes == [NOTHING]
    alone = Run(capsys, pattern, tmp_path / "alone", "--window", 0)
    assert np.array_equal(run.image("shot.0002.exr"), alone.image("shot.0002.exr"))


def test_missing_guides_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(capsys, drifting(tmp_path / "in", without("albedo", "normal")), tmp_path / "out")
    assert run.said("no normal").startswith("no albedo: ")
    assert run.code == 0


def moving(folder: Path, *, skip: tuple[int, ...] = (), change: Any = None, noise: float = 0.5) -> Path:
    """Two halves of the scene of known motion, with vectors as Arnold names and spells them."""
    folder.mkdir()
    convention = Convention("next", 1, -1, "px over half a frame")
    for number in range(1, 8):
        for seed, half in enumerate("ab"):
            frame = SCENE.frame(number, "albedo", "normal", "depth", noise=noise, seed=seed)
            planes = dict(frame.planes)
            planes["motionvector"] = SCENE.motion(number, number + 1) / convention.in_px(np.ones((2, H, W)))
            if change is not None:
                change(number, planes)
            if number not in skip:
                write_layers(folder / f"shot.{half}.{number:04d}.exr", planes, {"spp": 4})
    return folder / "shot.a.####.exr"


def disc_error(run: Run, number: int = 4) -> float:
    wrong = run.image(f"shot.a.{number:04d}.exr") / SCENE.truth(number) - 1
    return float(np.square(wrong[:, SCENE.layers(number) == 1]).mean())


def test_motion_vectors_help_what_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = moving(tmp_path / "in")
    half = ("--half", tmp_path / "in" / "shot.b.####.exr")
    alone = Run(capsys, pattern, tmp_path / "alone", *half, "--window", 0)
    run = Run(capsys, pattern, tmp_path / "out", *half)
    note = run.said("motion vectors")
    assert note.startswith("motion vectors: motionvector.X,Y, to the next frame, y up, px over half a frame (warping")
    assert disc_error(run) < 0.8 * disc_error(alone)
    ignored = Run(capsys, pattern, tmp_path / "ignored", *half, "--role", "motion=none")
    assert ignored.notes == [NOTHING]


def test_a_frame_asked_for_alone_is_what_it_is_among_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = moving(tmp_path / "in")
    one = Run(capsys, pattern, tmp_path / "one", "--frames", 4)
    every = Run(capsys, pattern, tmp_path / "all")
    assert one.notes == every.notes
    assert np.array_equal(one.image("shot.a.0004.exr"), every.image("shot.a.0004.exr"))


def test_a_missing_frame_breaks_the_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = Run(capsys, moving(tmp_path / "in"), tmp_path / "whole", "--window", 1)
    run = Run(capsys, moving(tmp_path / "gap", skip=(5,)), tmp_path / "out", "--window", 1, "--allow-gaps")
    assert run.code == 0
    assert "shot.a lacks frame(s) 5:" in run.said("lacks")
    assert not np.array_equal(run.image("shot.a.0004.exr"), whole.image("shot.a.0004.exr"))
    apart = Run(capsys, tmp_path / "gap" / "shot.a.####.exr", tmp_path / "two", "--window", 1, "--frames", "6-7")
    assert np.array_equal(apart.image("shot.a.0006.exr"), run.image("shot.a.0006.exr"))


def test_vectors_that_lead_nowhere_are_counted_in_one_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(number: int, planes: dict[str, Any]) -> None:
        planes["motionvector"] = planes["motionvector"].copy()
        planes["motionvector"][0, :5] = [np.nan, np.inf, -np.inf, 1e30, 900][number % 5]

    run = Run(capsys, moving(tmp_path / "in", change=change), tmp_path / "out")
    assert run.code == 0
    assert f"motion vectors of {7 * 5 * W} pixel(s) in frames 1-7 lead nowhere" in run.said("lead nowhere")
    assert np.isfinite(run.image("shot.a.0004.exr")).all()


def test_vectors_that_are_wrong_are_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(number: int, planes: dict[str, Any]) -> None:
        planes["motionvector"] = np.random.default_rng(number).normal(0, 3, (2, H, W)).astype(np.float32)

    pattern = moving(tmp_path / "in", change=change)
    run = Run(capsys, pattern, tmp_path / "out")
    assert run.said("ignored").startswith("motion vectors: motionvector.X,Y, ignored, as none of their meanings")
    alone = Run(capsys, pattern, tmp_path / "alone", "--window", 0)
    assert np.array_equal(run.image("shot.a.0004.exr"), alone.image("shot.a.0004.exr"))


def test_a_frame_of_another_size_knows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(number: int, planes: dict[str, Any]) -> None:
        for name in planes if number == 5 else ():
            planes[name] = np.ascontiguousarray(planes[name][..., : W // 2])

    run = Run(capsys, moving(tmp_path / "in", change=change), tmp_path / "out")
    assert run.code == 0
    assert "not of one size" in run.said("size")


def test_a_cut_is_said_and_passes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another room, from the fifth frame on, which another camera sees."""
    folder = tmp_path / "in"
    pattern = drifting(folder, without("depth"))
    for number in (5, 6, 7):
        frame = AnalyticRenderer((48, 32)).render(View(number + 150), spp=4, seed=number)
        planes = {name: plane for name, plane in frame.planes.items() if name != "depth"}
        write_layers(folder / f"shot.{number:04d}.exr", {**planes, "normal": -planes["normal"]})
    run = Run(capsys, pattern, tmp_path / "out", "--window", 1)
    assert "frames 4 and 5 show nothing in common (a cut?)" in run.said("cut")
    assert run.code == 0


@pytest.mark.parametrize("window", [1, 64])
def test_shots_that_are_shorter_than_the_window(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], window: int
) -> None:
    one = Run(capsys, drifting(tmp_path / "one", without(), (7,)), tmp_path / "a", "--window", window)
    assert one.notes == ["shot is one frame, which has no neighbours"]
    two = Run(capsys, drifting(tmp_path / "two", without("depth"), (7, 8)), tmp_path / "b", "--window", window)
    assert two.code == 0
    assert two.said("cameras")
    assert ("shot has 2 frames, fewer than --window 64 reaches: all help" in two.notes) == (window == 64)


def test_vectors_of_frames_that_are_not_in_a_row_keep_their_spelling(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(capsys, moving(tmp_path / "in", skip=(2, 4, 6)), tmp_path / "out")
    assert run.code == 0
    assert "as spelled: no two frames are in a row" in run.said("motion vectors: ")
    assert run.said("lacks frame(s)")


def test_a_damaged_frame_among_those_looked_at_fails_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = moving(tmp_path / "in")
    for number in (1, 4):
        path = tmp_path / "in" / f"shot.a.{number:04d}.exr"
        path.write_bytes(path.read_bytes()[:3000])
    run = Run(capsys, pattern, tmp_path / "out")
    assert run.code == 1
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_positions_of_a_panorama_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y, x = np.mgrid[0:32, 0:48]
    around = np.stack([np.sin(x / 7.6) * np.cos(y / 20), np.sin(y / 20), np.cos(x / 7.6) * np.cos(y / 20)])

    def change(content: dict[str, Any], frame: Frame) -> None:
        content["layers"]["position"] = around * (3 + np.sin(x / 5))

    run = Run(capsys, drifting(tmp_path / "in", change), tmp_path / "out")
    assert "no pinhole" in run.said("cameras")
    assert run.said("denoised alone") == NOTHING


def test_training_gets_the_same_history(tmp_path: Path) -> None:
    """Pairs of any renderer: `train` reads them as `denoise` does, and across a gap knows nothing by vectors."""
    moving(tmp_path / "in", skip=(6,))
    source = ExrPairs([tmp_path / "in"])
    source.find_warpings()
    assert any("motion vectors: motionvector.X,Y, to the next frame" in note for note in source.notes)
    store = PairStore(tmp_path / "store")
    for index, pair in enumerate(source):
        store.put(index, pair)
        store.show(index)
    assert source.lost_vectors() == []
    ShotHistory(store, 1, lambda number: "shot").complete()
    frames = {n: store.frame_pair(n).input for n in store.frames}
    assert [f.metadata["source_frame"] for f in frames.values()] == [1, 2, 3, 4, 5, 7]
    known = {f.metadata["source_frame"]: float(f.planes["reliability"].mean()) for f in frames.values()}
    assert known[3] > 1.2
    assert known[5] < 1
    assert known[7] == 0
    disc = SCENE.layers(3) == 1
    assert abs(float((frames[3].planes["history"] / SCENE.truth(3))[:, disc].mean()) - 1) < 0.1


def blender(number: int) -> Frame:
    return read_frame(BLENDER / f"shot.{number:04d}.exr", number=number)


def found(**roles: str) -> tuple[Warping, dict[int, Frame]]:
    path = BLENDER / "shot.0003.exr"
    frames = {n: read_frame(BLENDER / f"shot.{n:04d}.exr", number=n, roles=roles) for n in (3, 4, 5)}
    return find_warping(frames.__getitem__, [3, 4, 5], roles_of(look(path), path, roles)), frames


def test_blenders_own_files() -> None:
    """Vector.X,Y points to the previous frame with y up; Z,W points here from the next one."""
    warping, frames = found()
    assert warping.conventions == {"motion": Convention("previous", 1, -1), "motion2": Convention("next", -1, 1)}
    assert "fitted to the positions in ViewLayer.Position.X,Y,Z" in warping.notes[0]
    read = {n: warping(frame) for n, frame in frames.items()}
    for number, frame in read.items():
        # As tools/blender_sequence.py moves it.
        assert frame.projection is not None
        eye = (-0.6 + 0.07 * number, -4.6 + 0.05 * number, 1.7 + 0.015 * number)
        assert np.allclose(frame.projection.eye, eye, atol=1e-3)
        assert {"to_previous", "to_next", "depth"} <= set(frame.planes)
    # What stands still moves in the image as the cameras say.
    here, there = read[4], read[3]
    assert here.projection is not None
    assert there.projection is not None
    height, width = here.height, here.width
    points = frames[4].planes["position"].reshape(3, -1).astype(np.float64)
    x, y, w = there.projection.matrix[:, :3] @ points + there.projection.matrix[:, 3:]
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    moved = np.stack([x / w * width, y / w * height]).reshape(2, height, width) - np.stack([columns, rows])
    off = np.abs(moved - here.planes["to_previous"]).max(0)
    assert np.median(off) < 0.01
    assert (off < 0.05).mean() > 0.7, "all but edges and what moves"


@pytest.mark.parametrize("wrong", [Convention("next", 1, 1), Convention("previous", -1, -1)])
def test_blenders_vectors_are_understood_whatever_they_are_called(wrong: Convention) -> None:
    from rendernoise.motion import detect

    _, frames = found()
    verdict = detect(frames, "motion", wrong)
    assert verdict.convention is not None
    vectors = [c.in_px(frames[4].planes["motion"]) for c in (verdict.convention, Convention("previous", 1, -1))]
    sign = 1 if verdict.convention.toward == "previous" else -1
    assert np.abs(sign * vectors[0] - vectors[1]).max() < 0.01


def test_blenders_ball_has_a_history_by_vectors_that_its_camera_cannot_give() -> None:
    def reliability(**roles: str) -> np.ndarray:
        warping, frames = found(**roles)
        surfaces = [Surface.of(warping(frames[n])) for n in (3, 5)]
        return history(warping(frames[4]), [s for s in surfaces if s is not None])[1][0]

    exr = read(BLENDER / "shot.0004.exr")
    part, channel = exr.channel_map()["ViewLayer.Object Index.X"]
    moving = exr.parts[part].channels[channel] > 0.5
    camera, both, vectors = (reliability(**r) for r in ({"motion": "none"}, {}, {"position": "none"}))
    assert camera[~moving].mean() > 1
    assert both[moving].mean() > 1.3 * camera[moving].mean()
    assert both[~moving].mean() > 0.95 * camera[~moving].mean()
    assert vectors.mean() > 1
