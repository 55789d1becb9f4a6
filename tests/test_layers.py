"""Light AOVs and alpha beside the radiance: which layers are taken, that they sum up, and that nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rendernoise.cli import main
from rendernoise.denoiser import Denoiser
from rendernoise.denoising import denoise_sequence
from rendernoise.errors import ImageError
from rendernoise.frame import FramePair
from rendernoise.guard import merge_halves
from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part, read_frame
from rendernoise.layers import SETTLED_PX, Layers, split, sums_up
from rendernoise.model import DenoisingModel, ModelSpec

W, H = 48, 32
Channels = dict[str, Any]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network that knows nothing."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    Denoiser(DenoisingModel(ModelSpec.default("unet_log", ("radiance",)))).save(path)
    return path


def denoise(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as e:
        main(["denoise", *map(str, arguments), "--device", "cpu"])
    assert isinstance(e.value.code, int)
    return e.value.code


def layer(name: str, plane: Any, components: str = "RGB") -> Channels:
    return {f"{name}.{c}" if name else c: pixels for c, pixels in zip(components, plane, strict=True)}


def light(seed: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).gamma(0.5, 2, (3, H, W)).astype(dtype)


def lamp() -> Any:
    """Emission: a rectangle of one value."""
    plane = np.zeros((3, H, W), np.float32)
    plane[:, 10:16, 20:30] = 5
    return plane


def write(path: Path, *layers: Channels, **more: Any) -> Path:
    exr.write(path, Exr((Part({k: v for each in layers for k, v in each.items()}, **more),)))
    return path


def planes(path: Path, *names: str) -> list[Any]:
    image = exr.read(path)
    found = {name: image.parts[part].channels[c] for name, (part, c) in image.channel_map().items()}
    return [np.stack([found[f"{name}.{c}" if name else c] for c in "RGB"]) for name in names]


def off(path: Path, *names: str) -> float:
    """How far the layers' sum is off the beauty, relative to the beauty, at the worst pixel."""
    beauty, *parts = (plane.astype(np.float64) for plane in planes(path, "", *names))
    return float((np.abs(sum(parts) - beauty) / np.maximum(beauty, 1e-6)).max())


def same_but(before: Path, after: Path, *changed: str) -> None:
    """All channels are bit for bit the same, but those of the names given, which differ."""
    for old, new in zip(exr.read(before).parts, exr.read(after).parts, strict=True):
        assert list(old.channels) == list(new.channels)
        for name, pixels in old.channels.items():
            full = f"{old.name}.{name}" if old.name and "." not in name else name
            assert pixels.dtype == new.channels[name].dtype
            assert (pixels.tobytes() != new.channels[name].tobytes()) == (full in changed), full


# -- sums -------------------------------------------------------------------------------------------------------------

values = st.floats(0, 65504, width=32)
stacks = st.integers(1, 4).flatmap(lambda n: arrays.arrays(np.float32, (n, 3, 4, 5), elements=values))


@given(layers=stacks, total=arrays.arrays(np.float32, (3, 4, 5), elements=values))
@settings(max_examples=60, deadline=None)
def test_shares_sum_up_and_are_never_negative(layers: Any, total: Any) -> None:
    shares = split(total, list(layers), list(np.ones_like(layers)))
    assert all((share >= 0).all() for share in shares)
    np.testing.assert_allclose(np.sum(shares, axis=0, dtype=np.float64), total, rtol=1e-5, atol=1e-30)
    assert all((share[(own == 0) & (layers.sum(0) > 0)] == 0).all() for share, own in zip(shares, layers, strict=True))


@given(layers=stacks, half=st.booleans())
@settings(max_examples=60, deadline=None)
def test_rounded_layers_still_sum_up(layers: Any, half: bool) -> None:
    kind, rounding = (np.float16, 2.0**-10) if half else (np.float32, 1e-5)
    given = [(own / 8).astype(kind).astype(np.float32) for own in layers]
    exact = np.sum(layers / 8, axis=0, dtype=np.float64)
    radiance = exact.astype(kind).astype(np.float32)
    roundings = [rounding] * len(given)
    assert sums_up(given, radiance, roundings, rounding)
    wrong = radiance.copy()
    wrong[1, 2, 3] = 1.1 * wrong[1, 2, 3] + 1
    assert not sums_up(given, wrong, roundings, rounding)
    wrong[1, 2, 3] = np.nan
    assert sums_up(given, wrong, roundings, rounding)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 1e-5), (np.float16, 1e-3)])
@pytest.mark.parametrize("base", [False, True], ids=["any weights", "base weights"])
def test_layers_that_sum_up_still_do(
    tmp_path: Path, weights: Path, dtype: Any, limit: float, base: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = {"diffuse": light(1, dtype), "spec": light(2, dtype), "emission": lamp().astype(dtype)}
    parts["black"] = np.zeros_like(parts["spec"])
    beauty = np.sum(list(parts.values()), axis=0, dtype=np.float32).astype(dtype)
    layers = [layer("", beauty), *(layer(n, p) for n, p in parts.items())]
    source = write(tmp_path / "x.0001.exr", *layers, {"id": np.zeros((H, W), np.uint32)})
    chosen = [] if base else ["--weights", weights]
    assert denoise(source, *chosen, "--aov", "*", "--out", tmp_path / "out") == 0
    out = tmp_path / "out" / "x.0001.exr"
    said = capfd.readouterr().out
    assert "denoised too: black, diffuse, emission, spec" in said
    assert "black, diffuse, emission, spec sum up to the radiance" in said
    changed = [f"{n}.{c}" for n in ("diffuse", "spec", "emission") for c in "RGB"]
    same_but(source, out, *"RGB", *changed)
    assert off(out, *parts) < limit
    after = dict(zip(parts, planes(out, *parts), strict=True))
    assert all((plane >= 0).all() for plane in after.values())
    assert not after["black"].any()
    far = np.ones((H, W), bool)
    far[10 - SETTLED_PX : 16 + SETTLED_PX, 20 - SETTLED_PX : 30 + SETTLED_PX] = False
    assert not after["emission"][:, far].any()
    # The beauty is what it is without layers.
    assert denoise(source, *chosen, "--out", tmp_path / "alone", "--quiet") == 0
    assert np.array_equal(planes(out, "")[0], planes(tmp_path / "alone" / "x.0001.exr", "")[0])


@pytest.mark.parametrize("spelled", [("Diffuse Direct", "Diffuse Color"), ("DiffDir", "DiffCol")], ids=" ".join)
def test_light_that_its_colour_was_taken_from(
    tmp_path: Path, weights: Path, spelled: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Cycles' passes sum up when each is multiplied by its colour, which stays as it is, black where nothing is."""
    direct, color = spelled
    indirect = direct.replace("Direct", "Indirect") if "Direct" in direct else "DiffInd"
    tint = np.random.default_rng(9).uniform(0.1, 0.9, (3, H, W)).astype(np.float32)
    tint[:, :, :5] = 0
    parts = {f"V.{direct}": light(1), f"V.{indirect}": light(2)}
    parts = {name: np.where(tint > 0, plane, 0).astype(np.float32) for name, plane in parts.items()}
    lit, sky = np.sum([tint * plane for plane in parts.values()], axis=0), light(3)
    noise = {"V.AO": light(4) % 1}
    layers = [
        layer(name, plane) for name, plane in {**parts, **noise, "V.Environment": sky, f"V.{color}": tint}.items()
    ]
    source = write(tmp_path / "x.exr", layer("V.Combined", lit + sky), *layers)
    out = tmp_path / "out" / "x.exr"
    assert denoise(source, "--weights", weights, "--aov", "*", "--out", out.parent) == 0
    said = capfd.readouterr().out
    assert f"V.{direct}, V.{indirect}, V.Environment (times their colour passes) sum up to the radiance" in said
    changed = {f"{name}.{c}" for name in ("V.Combined", *parts, *noise, "V.Environment") for c in "RGB"}
    same_but(source, out, *changed)
    after = dict(zip(("beauty", *parts, "sky"), planes(out, "V.Combined", *parts, "V.Environment"), strict=True))
    total = sum(tint.astype(np.float64) * after[name] for name in parts) + after["sky"]
    np.testing.assert_allclose(total, after["beauty"], rtol=1e-5)
    assert not any(after[name][:, :, :5].any() for name in parts)
    # One of them alone is denoised as light too.
    assert denoise(source, "--weights", weights, "--aov", direct, "--out", tmp_path / "one") == 0
    assert f"V.{direct} (times their colour passes) do not sum up" in capfd.readouterr().out
    frame = read_frame(write(tmp_path / "alone.exr", layer("", tint * parts[f"V.{direct}"])))
    expected = Denoiser.load(weights, "cpu").radiance(frame)
    (one,) = planes(tmp_path / "one" / "x.exr", f"V.{direct}")
    np.testing.assert_allclose((tint * one)[:, :, 20:], expected[:, :, 20:], rtol=1e-5)


def test_layers_that_do_not_sum_up_are_denoised_each(
    tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = {"diffuse": light(1), "emission": lamp()}
    source = write(tmp_path / "x.exr", layer("", light(0)), *(layer(n, p) for n, p in parts.items()))
    assert denoise(source, "--weights", weights, "--aov", "diffuse", "--aov", "EMI*", "--out", tmp_path / "out") == 0
    assert "do not sum up to the radiance: each is denoised by itself" in capfd.readouterr().out
    same_but(source, tmp_path / "out" / "x.exr", *"RGB", *layer("diffuse", "xxx"))
    frame = read_frame(write(tmp_path / "alone.exr", layer("", parts["diffuse"])))
    (after,) = planes(tmp_path / "out" / "x.exr", "diffuse")
    np.testing.assert_allclose(after, Denoiser.load(weights, "cpu").radiance(frame))


def test_both_halves_are_used(tmp_path: Path, weights: Path) -> None:
    halves = []
    for i, half in enumerate("ab"):
        one, two = light(2 * i), light(2 * i + 1)
        halves.append(one)
        write(tmp_path / f"x.{half}.0001.exr", layer("", one + two), layer("one", one), layer("two", two))
    arguments = [tmp_path / "x.a.####.exr", "--half", tmp_path / "x.b.####.exr", "--weights", weights]
    out = tmp_path / "out" / "x.a.0001.exr"
    assert denoise(*arguments, "--aov", "one", "--aov", "two", "--out", out.parent) == 0
    assert off(out, "one", "two") < 1e-5
    assert denoise(*arguments, "--aov", "one", "--out", out.parent, "--overwrite") == 0
    frames = [read_frame(write(tmp_path / f"{i}.exr", layer("", half))) for i, half in enumerate(halves)]
    pair = FramePair.of_halves(*frames)
    expected = merge_halves(pair, *Denoiser.load(weights, "cpu").halves(pair))[0].radiance
    np.testing.assert_allclose(planes(out, "one")[0], expected, rtol=1e-6)


# -- which layers -----------------------------------------------------------------------------------------------------


def blender_file(path: Path) -> Path:
    """Much of what renderers put beside light, under their names."""
    rng = np.random.default_rng(3)
    data = ("Denoising Albedo", "Denoising Normal", "Normal", "CryptoObject00", "my_mattes00", "DiffCol", "IndexOB")
    more = ("noisy", "variance", "diffuse_mse", "N", "P", "Pref", "RGBA_denoised", "light_variance", "UV", "ids")
    names = [f"ViewLayer.{name}" for name in (*data, *more)]
    colors = [
        "ViewLayer.Combined",
        "ViewLayer.DiffDir",
        "ViewLayer.GlossInd",
        "ViewLayer.light_key",
        "ViewLayer2.Combined",
    ]
    channels = [layer(name, rng.random((3, H, W)).astype(np.float16)) for name in (*names, *colors)]
    integers = layer("ViewLayer.Int", rng.integers(0, 9, (3, H, W)).astype(np.uint32))
    attributes = {"cryptomatte/abc/name": "ViewLayer.my_mattes", "cryptomatte/abc/hash": "MurmurHash3_32"}
    return write(path, *channels, integers, {"ViewLayer.Combined.A": light(1)[0]}, attributes=attributes)


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*"], ["ViewLayer.DiffDir", "ViewLayer.GlossInd", "ViewLayer.light_key", "ViewLayer2.Combined"]),
        (["diffdir"], ["ViewLayer.DiffDir"]),
        (["viewlayer.g*", "light_*"], ["ViewLayer.GlossInd", "ViewLayer.light_key"]),
        ([], []),
    ],
    ids=" ".join,
)
def test_patterns_take_light_alone(tmp_path: Path, patterns: list[str], found: list[str]) -> None:
    layers = Layers.find(blender_file(tmp_path / "x.exr"), patterns)[None]
    assert sorted(layers.colors) == found
    assert all(channels == tuple(f"{n}.{c}" for c in "RGB") for n, channels in layers.colors.items())


def test_a_wrong_pattern_names_the_candidates(tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = blender_file(tmp_path / "x.exr")
    for pattern in ("specular", "Denoising Albedo", "noisy"):
        assert denoise(source, "--weights", weights, "--aov", "Diff*", "--aov", pattern, "--out", tmp_path / "out") == 2
        said = capfd.readouterr().err
        assert said.count("\n") == 1
        assert f"--aov {pattern} matches no layer of light in {source}" in said
        assert "ViewLayer.DiffDir, ViewLayer.GlossInd, ViewLayer.light_key" in said
    assert not (tmp_path / "out").exists()


def test_layers_are_told_and_listed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = blender_file(tmp_path / "x.exr")
    arguments = (source, "--aov", "GlossInd", "--alpha", "denoise", "--list-roles", "--out", tmp_path / "out")
    assert denoise(*arguments) == 0
    assert "denoised too: ViewLayer.GlossInd, ViewLayer.Combined.A" in capfd.readouterr().out
    assert denoise(*arguments, "--json") == 0
    (event,) = (json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert list(event["beauties"]) == ["ViewLayer2.Combined"]
    assert event["layers"] == {"ViewLayer.GlossInd": [f"ViewLayer.GlossInd.{c}" for c in "RGB"]}
    assert event["alpha"] == "ViewLayer.Combined.A"


def test_a_later_frame_without_the_layer_fails(
    tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "x.0001.exr", layer("", light(0)), layer("spec", light(1)))
    write(tmp_path / "x.0002.exr", layer("", light(0)))
    out = tmp_path / "out"
    assert denoise(tmp_path / "x.####.exr", "--weights", weights, "--aov", "spec", "--out", out) == 1
    assert "x.0002.exr or its other half has no spec.R" in capfd.readouterr().err
    assert [p.name for p in out.iterdir()] == ["x.0001.exr"]


def test_outputs_of_other_layers_are_made_anew(
    tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "x.exr", layer("", light(0)), layer("one", light(1)), {"A": light(2)[0] % 1})
    arguments = (source, "--weights", weights, "--out", tmp_path / "out", "--skip-existing")
    for more in ((), ("--aov", "one"), ("--aov", "one", "--alpha", "denoise")):
        assert denoise(*arguments, *more) == 0
        assert "1 frame(s) written" in capfd.readouterr().out
        assert denoise(*arguments, *more) == 0
        assert "0 frame(s) written" in capfd.readouterr().out
    same_but(source, tmp_path / "out" / "x.exr", *"RGBA", *layer("one", "xxx"))


def test_parts(tmp_path: Path, weights: Path) -> None:
    """Each layer in a part of its own, with windows away from 0, 0; other parts stay."""
    window = {"data_window": (3, 4, W + 2, H + 3), "display_window": (0, 0, W + 9, H + 9)}
    one, two = light(1), light(2)
    content = {"rgba": one + two, "one": one, "two": two, "albedo": light(3) % 1, "crypto": light(4)}
    parts = [Part(layer("", plane), name=name, **window) for name, plane in content.items()]
    exr.write(tmp_path / "x.0001.exr", Exr(tuple(parts)))
    out = tmp_path / "out" / "x.0001.exr"
    assert denoise(tmp_path / "x.0001.exr", "--weights", weights, "--aov", "*", "--out", out.parent) == 0
    same_but(tmp_path / "x.0001.exr", out, *(f"{n}.{c}" for n in ("rgba", "one", "two") for c in "RGB"))
    assert off(out, "one", "two") < 1e-5
    exr.write(
        tmp_path / "y.exr", Exr((parts[0], Part(layer("", one), name="one", display_window=(0, 0, W + 9, H + 9))))
    )
    with pytest.raises(ImageError, match=r"one.R of .*y.exr is 48x32 px, and the radiance is not"):
        denoise_sequence(tmp_path / "y.exr", tmp_path / "out", weights=str(weights), aov=("one",))


def test_bad_pixels_of_a_layer_are_told_and_gone(
    tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = light(1)
    one[0, 3, 4], one[1, 5, 6], one[2, 7, 8] = np.nan, np.inf, -1
    source = write(tmp_path / "x.exr", layer("", light(0)), layer("one", one))
    assert denoise(source, "--weights", weights, "--aov", "one", "--out", tmp_path / "out") == 0
    assert "has 3 pixel(s) of one that are NaN, infinite or negative, read as 0" in capfd.readouterr().out
    (after,) = planes(tmp_path / "out" / "x.exr", "one")
    assert np.isfinite(after).all()
    assert (after >= 0).all()


# -- alpha ------------------------------------------------------------------------------------------------------------


def cover() -> Any:
    """Noisy alpha: 0 on the left, 1 on the right, between them what 8 samples see."""
    slope = np.clip((np.arange(W) - 20) / 8, 0, 1)
    return (np.random.default_rng(5).binomial(8, slope, (H, W)) / 8).astype(np.float32)


@pytest.mark.parametrize("halves", [False, True], ids=["one", "halves"])
def test_alpha(tmp_path: Path, halves: bool) -> None:
    for i, half in enumerate("ab"):
        write(tmp_path / f"x.{half}.0001.exr", layer("", light(i)), {"A": np.roll(cover(), i, 0)})
    source, out = tmp_path / "x.a.0001.exr", tmp_path / "out" / "x.a.0001.exr"
    arguments = [source, "--out", out.parent, *(["--half", tmp_path / "x.b.####.exr"] if halves else [])]
    assert denoise(*arguments) == 0
    same_but(source, out, *"RGB")
    assert denoise(*arguments, "--alpha", "denoise", "--overwrite") == 0
    same_but(source, out, *"RGBA")
    alpha, truth = exr.read(out).channels["A"], np.clip((np.arange(W) - 20) / 8, 0, 1)
    assert (alpha[:, : 21 - SETTLED_PX] == 0).all()
    assert (alpha[:, 28 + SETTLED_PX :] == 1).all()
    assert (alpha >= 0).all()
    assert (alpha <= 1).all()
    noisy = np.mean([np.roll(cover(), i, 0) for i in range(1 + halves)], axis=0)
    assert np.square(alpha - truth).mean() < 0.5 * np.square(noisy - truth).mean()


def test_no_alpha_to_denoise(tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "x.exr", layer("", light(0)))
    assert denoise(source, "--weights", weights, "--alpha", "denoise", "--out", tmp_path / "out") == 2
    assert "has no alpha beside R G B. Leave --alpha denoise out" in capfd.readouterr().err
