"""``rendernoise denoise``: only the radiance changes, and everything that can be wrong with files is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import torch

from rendernoise.cli import main
from rendernoise.confidence import frame_estimates
from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError
from rendernoise.frame import FramePair
from rendernoise.guard import Judgement, merge_halves
from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part, read_frame
from rendernoise.io.renders import write_half
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.planning import plan_frames
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import View
from rendernoise.sequence import denoise_frames
from rendernoise.weights import base_path

W, H = 48, 32


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Weights files of networks that know nothing; ``weights("radiance", "depth")`` needs those planes."""
    folder = tmp_path_factory.mktemp("weights")

    def make(*planes: str) -> Path:
        planes = planes or ("radiance", "albedo", "normal")
        path = folder / f"{'_'.join(planes)}.safetensors"
        if not path.exists():
            torch.manual_seed(1)
            Denoiser(DenoisingModel(ModelSpec.default("unet_log", planes))).save(path)
        return path

    return make


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """``shot/r.a.####.exr`` and ``r.b.####.exr``, frames 1 to 3."""
    folder = tmp_path / "shot"
    folder.mkdir()
    renderer = AnalyticRenderer((W, H))
    for n in (1, 2, 3):
        for i, half in enumerate("ab"):
            write_half(folder, "r", half, renderer.render(View(n), spp=4, seed=10 * n + i), 0)
    return folder


def denoise(*arguments: Any) -> int:
    """The command in this process; its exit code."""
    with pytest.raises(SystemExit) as e:
        main(["denoise", *map(str, arguments), "--device", "cpu"])
    assert isinstance(e.value.code, int)
    return e.value.code


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def one_line(said: str, *parts: str) -> None:
    assert said.startswith("error: ")
    assert said.count("\n") == 1, said
    for part in parts:
        assert part in said


# -- what comes out ---------------------------------------------------------------------------------------------------


def blender_file(path: Path) -> Path:
    """Two parts: half Combined with alpha and features, IDs, foreign attributes; windows away from 0, 0."""
    rng = np.random.default_rng(3)
    size = (9, 13)

    def layer(name: str, components: str, dtype: Any = np.float32) -> dict[str, Any]:
        return {f"ViewLayer.{name}.{c}": rng.random(size).astype(dtype) for c in components}

    attributes = {
        "cryptomatte/1234567/manifest": '{"cube": "0a0b0c0d"}',
        "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
        "opaque": OpenEXR.OpaqueAttribute(b"\x00\x01\xff", "theirType"),
        "spp": 4,
    }
    channels = {
        **layer("Combined", "RGBA", np.float16),
        **layer("Denoising Albedo", "RGB"),
        **layer("Denoising Normal", "XYZ", np.float16),
        "ViewLayer.Crypto00.R": rng.integers(0, 2**32, size, np.uint32).view(np.float32),
        "ViewLayer.IndexOB.X": rng.integers(0, 2**32, size, np.uint32),
    }
    windows = {"data_window": (-3, 4, 9, 12), "display_window": (0, 0, 19, 19)}
    first = Part(channels, attributes, name="main", compression="PIZ", **windows)
    second = Part({"M": rng.random(size).astype(np.float32)}, {"comment": "höhe"}, name="mask", **windows)
    exr.write(path, Exr((first, second)))
    return path


def test_all_but_the_radiance_stays_bit_for_bit(tmp_path: Path, weights: Callable[..., Path]) -> None:
    source = blender_file(tmp_path / "shot_v002.0007.exr")
    assert denoise(source, "--weights", weights(), "--out", tmp_path / "out", "--keep-noisy", "--quiet") == 0
    before, after = exr.read(source), exr.read(tmp_path / "out" / "shot_v002.0007.exr")
    radiance = [f"ViewLayer.Combined.{c}" for c in "RGB"]
    for old, new in zip(before.parts, after.parts, strict=True):
        assert (old.name, old.compression, old.data_window, old.display_window) == (
            new.name,
            new.compression,
            new.data_window,
            new.display_window,
        )
        for name, pixels in old.channels.items():
            same = pixels.tobytes() == new.channels[name].tobytes()
            assert pixels.dtype == new.channels[name].dtype
            assert same == (name not in radiance), name
        assert all(repr(new.attributes[k]) == repr(v) for k, v in old.attributes.items())
    assert set(after.channels) - set(before.channels) == {"noisy.R", "noisy.G", "noisy.B"}
    for c, name in zip("RGB", radiance, strict=True):
        assert after.channels[f"noisy.{c}"].tobytes() == before.channels[name].tobytes()
    denoiser = Denoiser.load(weights(), "cpu")
    expected = denoiser.radiance(read_frame(source)).astype(np.float16)
    assert np.array_equal(np.stack([after.channels[n] for n in radiance]), expected)
    added = set(after.attributes) - set(before.attributes)
    assert added == {"rendernoise.version", "rendernoise.weights", "rendernoise.stamp"}
    assert after.attributes["rendernoise.weights"] == denoiser.fingerprint()


@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_tiny_images_and_names_without_numbers(
    tmp_path: Path, weights: Callable[..., Path], size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    part = Part({c: rng.random(size).astype(np.float32) for c in "RGB"})
    exr.write(tmp_path / "beauty.exr", Exr((part,)))
    arguments = (tmp_path / "beauty.exr", "--weights", weights("radiance"), "--out", tmp_path / "out")
    assert denoise(*arguments) == 0
    frame = read_frame(tmp_path / "out" / "beauty.exr")
    assert (frame.height, frame.width) == size
    assert np.isfinite(frame.radiance).all()


def test_both_halves_are_averaged_and_the_error_is_told(
    tmp_path: Path, shot: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = denoise(
        *(shot / "r.a.####.exr", "--half", shot / "r.b.####.exr", "--weights", weights(), "--out", out, "--json")
    )
    assert code == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["roles", "frame", "frame", "frame", "done"]
    assert [e["frame"] for e in events[1:4]] == [1, 2, 3]
    assert (events[4]["written"], events[4]["skipped"], events[4]["failed"]) == (3, 0, 0)
    denoiser = Denoiser.load(weights(), "cpu")
    pair = FramePair.of_halves(*(read_frame(shot / f"r.{half}.0002.exr", number=2) for half in "ab"))
    from_a, from_b = denoiser.halves(pair)
    after = read_frame(out / "r.a.0002.exr")
    np.testing.assert_allclose(after.radiance, merge_halves(pair, from_a, from_b)[0].radiance, rtol=1e-6)
    assert np.array_equal(after.planes["albedo"], pair.input.planes["albedo"])
    (expected,) = frame_estimates([Judgement.of(pair, from_a, from_b).evidence()], trained=False)
    assert events[2].items() >= expected.to_json().items()


@pytest.mark.parametrize("network", [(), ("--network", "kernel_pyramid")])
def test_base_weights_are_the_default(tmp_path: Path, shot: Path, network: tuple[str, ...]) -> None:
    assert denoise(shot / "r.a.####.exr", "--out", tmp_path / "out", "--window", 0, *network) == 0
    expected = Denoiser.load(base_path("kernel_pyramid"), "cpu")
    after = exr.read(tmp_path / "out" / "r.a.0002.exr")
    assert after.attributes["rendernoise.weights"] == expected.fingerprint()
    frame = read_frame(shot / "r.a.0002.exr", number=2)
    np.testing.assert_allclose(read_frame(tmp_path / "out" / "r.a.0002.exr").radiance, expected.radiance(frame))


@pytest.mark.parametrize("layers", [("",), ("", "normal"), ("", "albedo", "normal")], ids="+".join)
@pytest.mark.parametrize("value", [0.0, 1e-6, 0.5, 1e6])
def test_base_weights_take_whatever_there_is(tmp_path: Path, layers: tuple[str, ...], value: float) -> None:
    """Constant and black frames, black albedo, features missing, any exposure."""
    planes = {name: np.full((3, 5, 7), 0.0 if name else value, np.float32) for name in layers}
    exr.write_layers(tmp_path / "x.0001.exr", planes)
    assert denoise(tmp_path / "x.0001.exr", "--out", tmp_path / "out") == 0
    result = read_frame(tmp_path / "out" / "x.0001.exr").radiance
    assert np.isfinite(result).all()
    assert (result >= 0).all()
    assert value == 0 or 0.5 * value < float(result.mean()) < 2 * value


def test_bad_pixels_are_counted_and_gone(
    tmp_path: Path, shot: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    file = shot / "r.a.0002.exr"
    image = exr.read(file)
    channels = {name: pixels.copy() for name, pixels in image.channels.items()}
    channels["R"][0, :3], channels["G"][4, 5], channels["B"][6, 7:9] = np.nan, np.inf, -1
    channels["albedo.R"][1, 1] = np.nan
    exr.write(file, Exr((Part(channels, image.attributes),)))
    assert denoise(shot / "r.a.####.exr", "--weights", weights(), "--out", tmp_path / "out") == 0
    warnings = [line for line in capfd.readouterr().out.splitlines() if line.startswith("warning")]
    assert warnings == [f"warning: {file} has 3 NaN, 1 infinite, 2 negative pixel(s), read as 0"]
    assert np.isfinite(read_frame(tmp_path / "out" / "r.a.0002.exr").radiance).all()


def test_roles_are_printed_first_and_can_be_given(
    tmp_path: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    layers = {"": 3, "odd": 3, "normal": 3}
    exr.write_layers(tmp_path / "x.0001.exr", {n: np.ones((c, 4, 6), np.float32) for n, c in layers.items()})
    arguments = (tmp_path / "x.0001.exr", "--weights", weights(), "--out", tmp_path / "out")
    assert denoise(*arguments) == 2
    one_line(capfd.readouterr().err, "x.0001.exr has no albedo, which these weights need", "--role")
    assert names(tmp_path / "out") == []
    assert denoise(*arguments, "--role", "albedo=odd", "--list-roles") == 0
    assert "albedo    odd.R odd.G odd.B" in capfd.readouterr().out
    assert names(tmp_path / "out") == []
    assert denoise(*arguments, "--role", "albedo=odd") == 0
    said = capfd.readouterr().out
    assert said.index("albedo    odd.R") < said.index("frame 1")
    assert denoise(*arguments, "--role", "albedo=nope", "--overwrite") == 2
    one_line(capfd.readouterr().err, "nope is not in the file")


def test_halves_that_do_not_belong_together(
    tmp_path: Path, shot: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    (shot / "r.b.0001.exr").write_bytes((shot / "r.a.0001.exr").read_bytes())
    image = exr.read(shot / "r.b.0003.exr")
    shifted = Part(image.channels, image.attributes, data_window=(1, 0, W, H - 1))
    exr.write(shot / "r.b.0003.exr", Exr((shifted,)))
    arguments = ("--half", shot / "r.b.####.exr", "--weights", weights(), "--out", tmp_path / "out")
    assert denoise(shot / "r.a.####.exr", *arguments) == 1
    out, err = capfd.readouterr()
    assert "r.b.0001.exr is the same picture as" in out
    assert f"r.b.0003.exr is {W}x{H} px at 1,0" in err
    assert names(tmp_path / "out") == ["r.a.0001.exr", "r.a.0002.exr"]


# -- what is there already --------------------------------------------------------------------------------------------


def test_existing_frames(
    tmp_path: Path, shot: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = (shot / "r.a.####.exr", "--weights", weights(), "--out", out)
    assert denoise(*arguments, "--frames", "2") == 0
    assert names(out) == ["r.a.0002.exr"]
    before, written = (out / "r.a.0002.exr").read_bytes(), (out / "r.a.0002.exr").stat().st_mtime_ns
    capfd.readouterr()
    assert denoise(*arguments) == 2
    one_line(capfd.readouterr().err, "r.a.0002.exr exists already", "--skip-existing", "--overwrite")
    assert names(out) == ["r.a.0002.exr"]
    assert denoise(*arguments, "--skip-existing", "--overwrite") == 2
    for flag in ("--skip-existing", "--resume"):
        assert denoise(*arguments, flag) == 0
        assert names(out) == [f"r.a.000{n}.exr" for n in (1, 2, 3)]
        assert (out / "r.a.0002.exr").stat().st_mtime_ns == written
        assert (out / "r.a.0002.exr").read_bytes() == before
    assert denoise(*arguments, "--overwrite") == 0
    assert (out / "r.a.0002.exr").stat().st_mtime_ns > written


def test_inputs_are_never_replaced(
    tmp_path: Path, shot: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    before = {p.name: p.read_bytes() for p in shot.iterdir()}
    link = tmp_path / "link"
    link.symlink_to(shot)
    for out in (shot, shot / ".." / "shot", link):
        assert denoise(shot / "r.a.####.exr", "--weights", weights(), "--out", out, "--overwrite") == 2
        one_line(capfd.readouterr().err, "is an input and would be replaced")
    assert {p.name: p.read_bytes() for p in shot.iterdir()} == before


def test_two_inputs_for_one_output(
    tmp_path: Path, shot: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "r.a.0002.exr").write_bytes((shot / "r.a.0002.exr").read_bytes())
    assert denoise(shot / "r.a.####.exr", other, "--weights", weights(), "--out", tmp_path / "out") == 2
    one_line(capfd.readouterr().err, "would both become")


# -- what is broken ---------------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def test_a_broken_frame_does_not_stop_the_others(tmp_path: Path, shot: Path, weights: Callable[..., Path]) -> None:
    truncate(shot / "r.a.0001.exr")
    image = exr.read(shot / "r.a.0003.exr")
    exr.write(shot / "r.a.0003.exr", Exr((Part({c: image.channels[c] for c in "RGB"}),)))
    command = [sys.executable, "-m", "rendernoise", "denoise", shot / "r.a.####.exr", "--out", tmp_path / "out"]
    done = subprocess.run(
        [*map(str, command), "--weights", str(weights())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert "r.a.0001.exr is truncated" in lines[0]
    assert "r.a.0003.exr has no albedo, normal" in lines[1]
    assert lines[2] == "error: 2 of 3 frames failed: 1,3. The others are written"
    assert names(tmp_path / "out") == ["r.a.0002.exr"]


def test_all_broken_is_one_line(
    tmp_path: Path, shot: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    for n in (1, 2, 3):
        truncate(shot / f"r.a.000{n}.exr")
    assert denoise(shot / "r.a.####.exr", "--weights", weights(), "--out", tmp_path / "out") == 2
    one_line(capfd.readouterr().err, "r.a.0001.exr is truncated")
    assert names(tmp_path / "out") == []


def test_all_undecodable_is_an_error_too(tmp_path: Path, shot: Path, weights: Callable[..., Path]) -> None:
    """Headers that are whole above pixels that are not: found only when their turn comes."""
    for n in (1, 2, 3):
        file = shot / f"r.a.000{n}.exr"
        data = bytearray(file.read_bytes())
        data[-300:-100] = bytes(200)
        file.write_bytes(data)
    planned = plan_frames([shot / "r.a.####.exr"], tmp_path / "out")
    with pytest.raises(ImageError, match="2 more frame"):
        denoise_frames(Denoiser.load(weights(), "cpu"), planned)
    assert names(tmp_path / "out") == []


def case_no_rgb(shot: Path, weights: Callable[..., Path]) -> list[Any]:
    exr.write(shot / "id.0001.exr", Exr((Part({"id": np.zeros((3, 4), np.uint32)}),)))
    return [shot / "id.0001.exr", "--weights", weights()]


def case_missing_half(shot: Path, weights: Callable[..., Path]) -> list[Any]:
    (shot / "r.b.0002.exr").unlink()
    return [shot / "r.a.####.exr", "--half", shot / "r.b.####.exr", "--weights", weights()]


def case_damaged_weights(shot: Path, weights: Callable[..., Path]) -> list[Any]:
    (shot / "w.safetensors").write_bytes(weights().read_bytes()[:-50])
    return [shot / "r.a.####.exr", "--weights", shot / "w.safetensors"]


BAD: dict[str, tuple[Callable[[Path, Callable[..., Path]], list[Any]], str]] = {
    "other layout": (lambda s, w: [blender_file(s / "b.0001.exr"), "--weights", w("radiance", "depth")], "no depth"),
    "no rgb": (case_no_rgb, "id.0001.exr: no radiance among the channels id"),
    "missing half": (case_missing_half, "frame 2 of r.a has no --half"),
    "own half": (
        lambda s, w: [s / "r.a.####.exr", "--half", s / "r.a.####.exr", "--weights", w()],
        "Give two different halves",
    ),
    "damaged weights": (case_damaged_weights, "no readable safetensors file"),
    "no weights": (lambda s, w: [s / "r.a.####.exr", "--weights", s / "none.safetensors"], "there are no weights"),
    "no base": (lambda s, w: [s / "r.a.####.exr", "--network", "unet"], "there are no base weights of unet"),
    "other network": (
        lambda s, w: [s / "r.a.####.exr", "--weights", w(), "--network", "unet"],
        "holds a unet_log, not a unet",
    ),
    "none": (lambda s, w: [s / "r.a.####.exr", "--weights", "none"], "--weights none cannot denoise"),
    "no files": (lambda s, w: [s / "q.####.exr", "--weights", w()], "no file matches"),
    "missing frame": (lambda s, w: [s / "r.a.####.exr", "--frames", "3-4", "--weights", w()], "frame 4"),
    "no role": (lambda s, w: [s / "r.a.####.exr", "--role", "albedo", "--weights", w()], "no assignment"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(
    case: str, tmp_path: Path, shot: Path, weights: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    make, message = BAD[case]
    assert denoise(*make(shot, weights), "--out", tmp_path / "out") == 2
    one_line(capfd.readouterr().err, message)
    assert not (tmp_path / "out").exists()
