"""Several beauties in one run of ``rendernoise denoise``: each as if it were alone, and all else as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rendernoise
from rendernoise.cli import main
from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError
from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.render.analytic import AnalyticRenderer
from rendernoise.render.camera import Camera, View, look_at
from rendernoise.sources import decoding

pytestmark = pytest.mark.usefixtures("one_thread")
FRAMES = range(1, 5)
Channels = dict[str, Any]


def picture(number: int, seed: int, other: bool) -> Channels:
    """Planes of a view by the names that :func:`named` gives layers; the other one is seen from elsewhere."""
    camera = Camera(look_at((3.4 + 0.1 * number, 1.6, 4.0), (0, 0.5, 0)), 45.0) if other else None
    frame = AnalyticRenderer((40, 24)).render(View(number, camera), spp=4, seed=100 * number + 10 * other + seed)
    planes = {name: frame.planes[name] for name in ("albedo", "normal", "position")}
    share = np.float32(0.25)
    alpha = (frame.planes["depth"] > 0).astype(np.float32) * np.float32(0.5)
    return {
        "": frame.radiance,
        "key": share * frame.radiance,
        "fill": (1 - share) * frame.radiance,
        **planes,
        "A": alpha,
    }


def named(planes: Channels, name: Callable[[str], str]) -> Channels:
    """Channels of planes, whose layers are called by a function of their names."""
    found: Channels = {}
    for plane, pixels in planes.items():
        layer = name("" if plane == "A" else plane)
        components = "A" if plane == "A" else "XYZ" if plane in ("normal", "position") else "RGB"
        for c, values in zip(components, pixels, strict=True):
            found[f"{layer}.{c}" if layer else c] = values
    return found


def in_layer(layer: str) -> Callable[[str], str]:
    spelled = {"": "Combined", "albedo": "Denoising Albedo", "normal": "Denoising Normal", "position": "Position"}
    return lambda name: f"{layer}.{spelled.get(name, name)}"


def view_layers(left: Channels, right: Channels) -> list[Part]:
    ids = {"Back.CryptoObject00.R": np.random.default_rng(0).integers(0, 2**32, (24, 40), np.uint32).view(np.float32)}
    return [Part({**named(left, in_layer("Back")), **named(right, in_layer("Fore")), **ids}, {"theirs": "stays"})]


def views(left: Channels, right: Channels) -> list[Part]:
    def of_right(name: str) -> str:
        return f"{name}.right" if name else "right"

    return [Part({**named(left, str), **named(right, of_right)})]


def parts_of_views(left: Channels, right: Channels) -> list[Part]:
    """As Blender writes stereo: a part for each layer of each view, the same names in both."""
    found: list[Part] = []
    for layer in left:
        for view, planes in (("left", left), ("right", right)):
            if layer != "A":
                own = {name: planes[name] for name in planes if name == layer or (name == "A" and layer == "")}
                found.append(
                    Part(named(own, in_layer("ViewLayer")), {"view": view}, name=f"ViewLayer.{layer or 'x'}-{view}")
                )
    return found


def shared(left: Channels, right: Channels) -> list[Part]:
    """Two view layers of light, and one set of features for both."""
    features = {name: left[name] for name in ("albedo", "normal", "position")}
    light = [
        named({"": planes[""]}, lambda name, layer=layer: f"{layer}.Combined")
        for layer, planes in (("Back", left), ("Fore", {"": np.float32(0.7) * left[""][::-1]}))
    ]
    return [Part({**light[0], **light[1], **named(features, str)})]


#: Name to what makes the parts, and the layers of both beauties.
FLAVOURS = {
    "view layers": (view_layers, "Back.Combined", "Fore.Combined"),
    "views": (views, "R,G,B", "right"),
    "parts of views": (parts_of_views, "ViewLayer.Combined", "ViewLayer.Combined.right"),
    "shared": (shared, "Back.Combined", "Fore.Combined"),
}


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders with ``r.a.####.exr`` and ``r.b.####.exr`` of a flavour."""
    root = tmp_path_factory.mktemp("shots")

    def make(flavour: str) -> Path:
        folder = root / flavour.replace(" ", "_")
        if not folder.exists():
            folder.mkdir()
            for n in FRAMES:
                for i, half in enumerate("ab"):
                    parts = FLAVOURS[flavour][0](picture(n, i, False), picture(n, i, True))
                    exr.write(folder / f"r.{half}.{n:04d}.exr", Exr(tuple(parts)))
        return folder

    return make


def run(source: Path, out: Path, **options: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    rendernoise.denoise_sequence(source, out, device="cpu", emit=events.append, **options)
    return events


def pixels(path: Path) -> dict[str, bytes]:
    image = exr.read(path)
    return {name: image.parts[part].channels[c].tobytes() for name, (part, c) in image.channel_map().items()}


def differ(before: Path, after: Path) -> set[str]:
    """The channels that are not the same bits; no other has come or gone."""
    old, new = pixels(before), pixels(after)
    assert list(old) == list(new)
    return {name for name in old if old[name] != new[name]}


def channels(*layers: str) -> set[str]:
    return {c if layer == "R,G,B" else f"{layer}.{c}" for layer in layers for c in "RGB"}


# -- each as if it were alone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("halves", [False, True], ids=["one", "halves"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_is_what_a_run_on_it_alone_gives(
    tmp_path: Path, shots: Callable[[str], Path], flavour: str, halves: bool
) -> None:
    source, names = shots(flavour), FLAVOURS[flavour][1:]
    options: dict[str, Any] = {"half": str(source / "r.b.####.exr")} if halves else {}
    together = run(source / "r.a.####.exr", tmp_path / "all", **options)
    alone = {name: run(source / "r.a.####.exr", tmp_path / name, role=f"radiance={name}", **options) for name in names}
    for n in FRAMES:
        file = f"r.a.{n:04d}.exr"
        assert differ(source / file, tmp_path / "all" / file) == channels(*names)
        both = pixels(tmp_path / "all" / file)
        for name in names:
            assert differ(source / file, tmp_path / name / file) == channels(name)
            lone = pixels(tmp_path / name / file)
            assert all(both[c] == lone[c] for c in channels(name))
    frames = {who: [e for e in events if e["event"] == "frame"] for who, events in alone.items()}
    for index, event in enumerate(e for e in together if e["event"] == "frame"):
        first, second = (frames[name][index] for name in names)
        told = [event, event["beauties"][names[1]]] if halves else [event]
        for facts, lone in zip(told, (first, second), strict=False):
            assert facts.get("estimated_relmse") == lone.get("estimated_relmse")
        assert ("estimated_relmse" in event) == halves
    own = [e["text"] for e in together if e["event"] == "note" and "cameras: fitted" in e["text"]]
    assert [text.startswith(f"{names[1]}: ") for text in own] == [False, True]


def test_neighbours_of_both_help(tmp_path: Path, shots: Callable[[str], Path]) -> None:
    """Else the tests above would show nothing of neighbours."""
    source = shots("view layers") / "r.a.####.exr"
    run(source, tmp_path / "near")
    run(source, tmp_path / "alone", window=0)
    file = "r.a.0003.exr"
    assert differ(tmp_path / "near" / file, tmp_path / "alone" / file) == channels(*FLAVOURS["view layers"][1:])


def test_layers_and_alpha_belong_to_their_beauty(tmp_path: Path, shots: Callable[[str], Path]) -> None:
    source = shots("view layers") / "r.a.####.exr"
    events = run(source, tmp_path / "all", aov=("key", "fill"), alpha="denoise", frames="2", keep_noisy=True)
    notes = [e["text"] for e in events if e["event"] == "note"]
    assert "Back.key, Back.fill sum up to the radiance, and do when denoised" in notes
    assert "Fore.Combined: Fore.key, Fore.fill sum up to the radiance, and do when denoised" in notes
    run(source, tmp_path / "fore", role="radiance=Fore.Combined", aov="Fore.*", alpha="denoise", frames="2")
    run(source, tmp_path / "back", role="radiance=Back.Combined", aov="Back.*", alpha="denoise", frames="2")
    both, before = (pixels(path / "r.a.0002.exr") for path in (tmp_path / "all", source.parent))
    for layer in ("Back", "Fore"):
        lone = pixels(tmp_path / layer.lower() / "r.a.0002.exr")
        own = {*channels(*(f"{layer}.{name}" for name in ("Combined", "key", "fill"))), f"{layer}.Combined.A"}
        assert {c for c in before if lone[c] != before[c]} == own
        assert all(both[c] == lone[c] for c in own)
    for kept, name in (("noisy", "Back.Combined"), ("Fore.noisy", "Fore.Combined")):
        assert all(both[f"{kept}.{c}"] == before[f"{name}.{c}"] for c in "RGB")


def test_a_file_is_read_once(tmp_path: Path, shots: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read, paths = decoding.read, []

    def counting(path: Path) -> Exr:
        paths.append(path.name)
        return read(path)

    monkeypatch.setattr(decoding, "read", counting)
    run(shots("view layers") / "r.a.####.exr", tmp_path / "out", frames="2-3", window=1)
    assert sorted(paths) == [f"r.a.000{n}.exr" for n in (1, 2, 3, 4)]


# -- chunks, stamps, places -------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.exr"))}


def test_chunks_and_in_place_give_the_same_files(tmp_path: Path, shots: Callable[[str], Path]) -> None:
    source = shots("views")
    run(source / "r.a.####.exr", tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    for frames in ("1", "2-4"):
        run(source / "r.a.####.exr", tmp_path / "chunks", frames=frames)
    assert contents(tmp_path / "chunks") == whole
    place = tmp_path / "place"
    place.mkdir()
    for file in source.glob("r.a.*.exr"):
        (place / file.name).write_bytes(file.read_bytes())
    for _ in range(2):  # the second one finds nothing to do
        rendernoise.denoise_sequence(place / "r.a.####.exr", device="cpu", in_place=True)
        assert contents(place) == whole


def test_what_is_done_is_left(tmp_path: Path, shots: Callable[[str], Path]) -> None:
    def written(**options: Any) -> int:
        pattern, out = shots("views") / "r.a.####.exr", tmp_path / "out"
        options = {"window": 0, "frames": "1-2", **options}
        return len(rendernoise.denoise_sequence(pattern, out, device="cpu", skip_existing=True, **options).written)

    assert [written(), written()] == [2, 0]
    assert [written(role="radiance=right"), written(role="radiance=right"), written()] == [2, 0, 2]


def test_sequences_have_beauties_of_their_own(tmp_path: Path, shots: Callable[[str], Path]) -> None:
    """A mono sequence beside a stereo one lacks nothing."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for n in (1, 2):
        one = exr.read(shots("views") / f"r.a.000{n}.exr")
        exr.write(folder / f"stereo.000{n}.exr", one)
        mono = {c: p for c, p in one.channels.items() if "right" not in c}
        exr.write(folder / f"mono.000{n}.exr", Exr((Part(mono),)))
    run(folder, tmp_path / "out")
    for n in (1, 2):
        files = [
            (folder / f"{name}.000{n}.exr", tmp_path / "out" / f"{name}.000{n}.exr") for name in ("mono", "stereo")
        ]
        assert [differ(*pair) for pair in files] == [channels("R,G,B"), channels("R,G,B", "right")]


def test_a_frame_without_one_of_them_fails(
    tmp_path: Path, shots: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    for n in (1, 2, 3):
        image = exr.read(shots("views") / f"r.a.000{n}.exr")
        kept = {c: p for c, p in image.channels.items() if n < 3 or not c.startswith("right.")}
        exr.write(tmp_path / f"x.000{n}.exr", Exr((Part(kept),)))
    with pytest.raises(SystemExit) as e:
        main(["denoise", str(tmp_path / "x.####.exr"), "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert e.value.code == 1
    assert "x.0003.exr has not all beauties that other frames have, such as right" in capfd.readouterr().err
    assert sorted(contents(tmp_path / "out")) == ["x.0001.exr", "x.0002.exr"]


def test_one_that_lacks_what_weights_need_stays(tmp_path: Path, shots: Callable[[str], Path]) -> None:
    torch.manual_seed(1)
    weights = tmp_path / "w.safetensors"
    Denoiser(DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo")))).save(weights)
    image = exr.read(shots("views") / "r.a.0001.exr")
    exr.write(tmp_path / "x.exr", Exr((Part({c: p for c, p in image.channels.items() if "albedo.right" not in c}),)))
    events = run(tmp_path / "x.exr", tmp_path / "out", weights=str(weights))
    texts = [e["text"] for e in events if e["event"] == "note"]
    assert "right has no albedo, which these weights need: it stays as it is" in texts
    assert differ(tmp_path / "x.exr", tmp_path / "out" / "x.exr") == channels("R,G,B")


# -- what is told -----------------------------------------------------------------------------------------------------


def test_all_are_listed(tmp_path: Path, shots: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    source = str(shots("view layers") / "r.a.0001.exr")
    arguments = ["denoise", source, "--list-roles", "--aov", "key", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main(arguments)
    said = capfd.readouterr().out
    first, second = said.split("and its beauty Fore.Combined:")
    assert "radiance  Back.Combined.R" in first
    assert "albedo    Back.Denoising Albedo.R" in first
    assert "denoised too: Back.key" in first
    assert "radiance  Fore.Combined.R" in second
    assert "albedo    Fore.Denoising Albedo.R" in second
    assert "denoised too: Fore.key" in second
    with pytest.raises(SystemExit):
        main([*arguments, "--json"])
    (event,) = map(json.loads, capfd.readouterr().out.splitlines())
    assert event["layers"] == {"Back.key": [f"Back.key.{c}" for c in "RGB"]}
    assert event["beauties"]["Fore.Combined"]["layers"] == {"Fore.key": [f"Fore.key.{c}" for c in "RGB"]}
    assert not (tmp_path / "out").exists()


def test_naming_one_leaves_the_others_and_says_so(tmp_path: Path, shots: Callable[[str], Path]) -> None:
    events = run(shots("views") / "r.a.0001.exr", tmp_path / "out", role="radiance=R,G,B")
    texts = [e["text"] for e in events if e["event"] == "note"]
    assert "right stay(s) as it is: --role radiance names one beauty" in texts
    with pytest.raises(InputError, match="--aov nope matches no layer of light"):
        run(shots("views") / "r.a.0001.exr", tmp_path / "out", aov="nope", overwrite=True)
