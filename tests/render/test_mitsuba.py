"""Real Mitsuba, in processes of its own so that no variant reaches another test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rendernoise.errors import InputError, SceneError
from rendernoise.frame import Frame
from rendernoise.render.camera import Camera, View, look_at
from rendernoise.render.mitsuba import MAX_WAVEFRONT, SceneOptions, check_version, scene_error, spp_chunks
from rendernoise.render.probe import probe_variant
from rendernoise.render.process import RendererProcess, RendererSpec, Request
from rendernoise.seeds import Stream

Write = Callable[..., Path]
VARIANTS = ["scalar_rgb", "llvm_ad_rgb", pytest.param("cuda_ad_rgb", marks=pytest.mark.gpu)]
SEED = Stream(0, 1, 0, "a").pack()


def process(variant: str = "scalar_rgb", **options: object) -> RendererProcess:
    probe = probe_variant(variant)
    if not probe.works:
        pytest.skip(f"{variant} does not render here: {probe.message}")
    made = SceneOptions(**{"variant": variant, "frames": (1, 9), "threads": 2, **options})  # pyright: ignore
    return RendererProcess(RendererSpec("mitsuba", {"options": made}))


def notes_and_frame(renderer: RendererProcess, scene: Path) -> tuple[str, Frame]:
    done = next(renderer.map([Request(View(1, scene=scene), 2, SEED)]))
    return "; ".join(done.notes), done.frame


def same(one: Frame, two: Frame) -> bool:
    return all(np.array_equal(plane, two.planes[name]) for name, plane in one.planes.items())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_frame_has_all_planes_and_repeats_to_the_bit(variant: str, tmp_path: Path, write_scene: Write) -> None:
    scene = write_scene(tmp_path / "s.xml", width=33, height=17)
    with process(variant) as renderer:
        first, again = (renderer.render(View(1, scene=scene), spp=5, seed=SEED) for _ in range(2))
        other = renderer.render(View(1, scene=scene), spp=5, seed=Stream(0, 1, 0, "b").pack())
    assert {n: p.shape for n, p in first.planes.items()} == {
        "radiance": (3, 17, 33),
        "albedo": (3, 17, 33),
        "normal": (3, 17, 33),
        "depth": (1, 17, 33),
        "position": (3, 17, 33),
        "roughness": (1, 17, 33),
    }
    assert same(first, again)
    assert not np.allclose(first.radiance, other.radiance)
    assert 0.1 < first.planes["albedo"].max() <= 1
    assert np.abs(np.linalg.norm(first.planes["normal"], axis=0) - 1).min() < 0.01
    assert 3 < np.median(first.planes["depth"]) < 8
    assert first.metadata["variant"] == variant
    assert (first.number, first.spp, first.seed) == (1, 5, SEED)


def check_projection(frame: Frame) -> None:
    """Positions fall on their own pixels, and depth from the near plane on is their distance."""
    found = frame.projection
    assert found is not None
    v, u = np.mgrid[0 : frame.height, 0 : frame.width]
    points = frame.planes["position"].reshape(3, -1).astype(np.float64)
    x, y, w = (found.matrix[:, :3] @ points + found.matrix[:, 3:]).reshape(3, frame.height, frame.width)
    hit = frame.planes["depth"][0] > 0
    # Means over a pixel: within it, but for the outlines, where they lie between two surfaces.
    off = np.maximum(np.abs(x / w * frame.width - u - 0.5), np.abs(y / w * frame.height - v - 0.5))[hit]
    assert np.quantile(off, 0.9) < 0.5
    lengths = np.linalg.norm(found.ways(frame.height, frame.width), axis=0)
    distance = frame.planes["depth"][0] / lengths + found.near
    assert np.quantile(np.abs(distance / w - 1)[hit], 0.9) < 0.02


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sensor", ["perspective", "thinlens"])
def test_the_projection_is_that_of_the_camera(variant: str, sensor: str, tmp_path: Path, write_scene: Write) -> None:
    near = '<float name="near_clip" value="0.5"/>'
    scene = write_scene(tmp_path / "s.xml", width=40, height=24, sensor=sensor)
    scene.write_text(scene.read_text().replace("<sampler", f"{near}<sampler"))
    moved = Camera(look_at((1.0, 2.0, 3.5), (0.0, 0.5, 0.0)), fov_deg=60)
    with process(variant) as renderer:
        own = renderer.render(View(1, scene=scene), spp=16, seed=SEED)
        other = renderer.render(View(2, moved, scene), spp=16, seed=SEED)
    for frame in (own, other):
        check_projection(frame)
        assert frame.projection is not None
        assert frame.projection.near == pytest.approx(0.5, rel=1e-3)
    assert other.projection is not None
    assert np.allclose(other.projection.eye, (1.0, 2.0, 3.5), atol=1e-3)


def test_the_projection_knows_a_shifted_film(tmp_path: Path, write_scene: Write) -> None:
    scene = write_scene(tmp_path / "s.xml", width=40, height=24)
    shift = '<float name="principal_point_offset_x" value="0.2"/><float name="principal_point_offset_y" value="-0.1"/>'
    scene.write_text(scene.read_text().replace("<sampler", f"{shift}<sampler"))
    with process() as renderer:
        check_projection(renderer.render(View(1, scene=scene), spp=16, seed=SEED))


def test_a_parallel_camera_has_no_projection(tmp_path: Path, write_scene: Write) -> None:
    scene = write_scene(tmp_path / "s.xml", sensor="orthographic")
    scene.write_text(scene.read_text().replace('<float name="fov" value="45"/>', ""))
    with process() as renderer:
        assert renderer.render(View(1, scene=scene), spp=1, seed=SEED).projection is None


#: What wrapping the scene's own integrator in an aov integrator gives with the seeds that the renderer uses.
WRAPPED = """
import sys
from pathlib import Path
import numpy as np
from rendernoise.render.mitsuba import MitsubaRenderer, SceneOptions, _AOVS
from rendernoise.render.camera import View

variant, scene_path, seed, spp, out = sys.argv[1:]
renderer = MitsubaRenderer(SceneOptions(variant=variant, frames=(1, 9), threads=2))
view = View(1, scene=Path(scene_path))
frame = renderer.render(view, spp=int(spp), seed=int(seed))
mi = renderer._mi
scene, sensor = renderer._load(view.scene, None)
wrapped = mi.load_dict({"type": "aov", "aovs": _AOVS, "inner": {"type": "path", "max_depth": 4}})
plan = list(renderer._plan(int(spp), int(seed), frame.width, frame.height))
assert len(plan) == 1
image = np.array(mi.render(scene, integrator=wrapped, sensor=sensor, spp=plan[0][1], seed=plan[0][2]))
np.savez(out, image=image, **frame.planes)
"""


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_are_those_of_a_wrapped_integrator(
    variant: str, tmp_path: Path, write_scene: Write, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    probe = probe_variant(variant)
    if not probe.works:
        pytest.skip(f"{variant} does not render here: {probe.message}")
    scene = write_scene(tmp_path / "s.xml", width=40, height=24)
    # Scalar variants draw a pixel's samples from one generator, so only the first sample has the same ray.
    spp = 1 if variant.startswith("scalar") else 4
    done = run_python(WRAPPED, variant, scene, SEED, spp, tmp_path / "out.npz")
    assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "out.npz"))
    image = found["image"].transpose(2, 0, 1)
    assert len(image) == 13
    expected = {
        "radiance": image[:3],
        "albedo": np.clip(image[3:6], 0, 1),
        "normal": image[6:9],
        "depth": image[9:10],
        "position": image[10:13],
    }
    if not variant.startswith("scalar"):
        # There the lamp's own light is in its albedo; all other surfaces of this scene are diffuse.
        albedo = expected.pop("albedo")
        same_albedo = (found["albedo"] == albedo).all(0)
        assert 0.5 < same_albedo.mean() <= 1
        assert (found["albedo"] >= albedo - 1e-6).all()
    for name, plane in expected.items():
        assert np.array_equal(found[name], plane), name


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"sampler": "multijitter"}, "sampler multijitter replaced by independent"),
        ({"sampler": None}, ""),
        ({"rfilter": "gaussian"}, "filter gaussian replaced by box"),
        ({"rfilter": None}, "filter gaussian (the default) replaced by box"),
        ({"film": "specfilm", "rfilter": "tent"}, "film specfilm replaced by hdrfilm"),
    ],
    ids=str,
)
def test_sampler_filter_and_film_are_forced_and_noted(
    changes: dict[str, str | None], note: str, tmp_path: Path, write_scene: Write
) -> None:
    plain, changed = write_scene(tmp_path / "plain.xml"), write_scene(tmp_path / "changed.xml", **changes)
    with process() as renderer:
        nothing, expected = notes_and_frame(renderer, plain)
        said, found = notes_and_frame(renderer, changed)  # which shares the scene with the first
    assert nothing == ""
    assert said.startswith(note)
    assert bool(said) == bool(note)
    assert same(found, expected)


def test_a_film_of_another_pixel_format_becomes_rgb(tmp_path: Path, write_scene: Write) -> None:
    plain = write_scene(tmp_path / "plain.xml")
    for kind in ("luminance", "rgba"):
        text = plain.read_text().replace(
            '<integer name="width"', f'<string name="pixel_format" value="{kind}"/><integer name="width"'
        )
        (tmp_path / f"{kind}.xml").write_text(text)
    with process() as renderer:
        frames = [notes_and_frame(renderer, tmp_path / f"{n}.xml")[1] for n in ("plain", "luminance", "rgba")]
    assert same(frames[0], frames[1])
    assert same(frames[0], frames[2])


def test_resolution_and_camera_override(tmp_path: Path, write_scene: Write) -> None:
    scene = write_scene(tmp_path / "s.xml", origin="0, 1.2, 4.5")
    moved = write_scene(tmp_path / "moved.xml", origin="1, 2, 4", width=20, height=30)
    camera = Camera(look_at((1, 2, 4), (0, 0.8, 0)))
    with process(resolution=(20, 30)) as renderer:
        found = renderer.render(View(1, camera, scene), spp=2, seed=SEED)
        expected = renderer.render(View(1, None, moved), spp=2, seed=SEED)
        zoomed = renderer.render(View(1, Camera(camera.to_world, 10.0), scene), spp=2, seed=SEED)
    assert (found.width, found.height) == (20, 30)
    assert np.allclose(found.planes["position"], expected.planes["position"], atol=1e-4)
    assert zoomed.planes["position"][0].std() < 0.5 * found.planes["position"][0].std()


def test_a_crop_window_is_kept_until_the_resolution_changes(tmp_path: Path, write_scene: Write) -> None:
    scene = write_scene(tmp_path / "s.xml")
    crop = "".join(
        f'<integer name="crop_{n}" value="{v}"/>'
        for n, v in (("offset_x", 4), ("offset_y", 2), ("width", 8), ("height", 6))
    )
    scene.write_text(scene.read_text().replace('<integer name="width"', crop + '<integer name="width"'))
    with process() as renderer:
        assert notes_and_frame(renderer, scene)[1].radiance.shape == (3, 6, 8)
    with process(resolution=(12, 10)) as renderer:
        assert notes_and_frame(renderer, scene)[1].radiance.shape == (3, 10, 12)


REUSE = """
import json, sys
from pathlib import Path
import numpy as np
from rendernoise.render.mitsuba import MitsubaRenderer, SceneOptions
from rendernoise.render.camera import View

*paths, seed = sys.argv[1:]
renderer = MitsubaRenderer(SceneOptions(variant="scalar_rgb", frames=(1, 9)))
loaded, same = [], []
for path in paths:
    frame = renderer.render(View(1, scene=Path(path)), spp=2, seed=int(seed))
    scene = renderer._loaded.scene
    if not any(scene is s for s in loaded):
        loaded.append(scene)
    index = next(i for i, s in enumerate(loaded) if s is scene)
    fresh = MitsubaRenderer(SceneOptions(variant="scalar_rgb", frames=(1, 9)))
    again = fresh.render(View(1, scene=Path(path)), spp=2, seed=int(seed))
    same.append([index, all(np.array_equal(p, again.planes[n]) for n, p in frame.planes.items())])
print(json.dumps(same))
"""


def test_a_scene_is_loaded_once_while_only_its_sensor_changes(
    tmp_path: Path, write_scene: Write, run_python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    paths = [
        write_scene(tmp_path / "1.xml"),
        write_scene(tmp_path / "2.xml", origin="0.5, 1.2, 4"),
        write_scene(tmp_path / "3.xml", sensor="thinlens", width=30),
        write_scene(tmp_path / "4.xml", origin="0.5, 1.2, 4", wall="0.1, 0.2, 0.9"),
        write_scene(tmp_path / "5.xml", wall="0.1, 0.2, 0.9"),
    ]
    done = run_python(REUSE, *paths, SEED)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[0, True], [0, True], [0, True], [1, True], [1, True]]


def test_thin_lenses_blur(tmp_path: Path, write_scene: Write) -> None:
    sharp, soft = write_scene(tmp_path / "a.xml"), write_scene(tmp_path / "b.xml", sensor="thinlens")
    with process() as renderer:
        frames = [renderer.render(View(1, scene=s), spp=64, seed=SEED) for s in (sharp, soft)]
    assert np.isfinite(frames[1].radiance).all()
    assert not np.allclose(*(f.planes["position"] for f in frames), atol=1e-3)


def test_the_scenes_own_aov_integrator_gives_way(tmp_path: Path, write_scene: Write) -> None:
    inner = '<integrator type="path"><integer name="max_depth" value="4"/></integrator>'
    wrapped = f'<integrator type="aov"><string name="aovs" value="d:depth"/>{inner}</integrator>'
    plain, aov = write_scene(tmp_path / "a.xml"), write_scene(tmp_path / "b.xml", integrator=wrapped)
    bare = write_scene(
        tmp_path / "c.xml", integrator='<integrator type="aov"><string name="aovs" value="d:depth"/></integrator>'
    )
    with process() as renderer:
        _, expected = notes_and_frame(renderer, plain)
        said, found = notes_and_frame(renderer, aov)
        assert "aov integrator gave way" in said
        assert same(found, expected)
        with pytest.raises(SceneError, match="renders no radiance"):
            notes_and_frame(renderer, bare)


BROKEN = {
    "not well formed": ("<scene version='3.0.0'>\n<shape>\n", "Mend the XML"),
    "a plugin that is absent": ("<scene version='3.0.0'>\n<shape type='blob'/>\n</scene>", "Use a plugin"),
    "a mesh that is absent": (
        "<scene version='3.0.0'>\n<shape type='ply'>\n<string name='filename' value='no.ply'/>\n</shape>\n</scene>",
        "relative to the scene file",
    ),
    "a property that nobody reads": (
        "<scene version='3.0.0'>\n<shape type='sphere'>\n<float name='wobble' value='1'/>\n</shape>\n</scene>",
        "Remove the property",
    ),
    "no sensor": ("<scene version='3.0.0'>\n<shape type='sphere'/>\n</scene>", "Add one"),
    "empty": ("", "Mend the XML"),
}


def test_errors_are_one_line_with_file_and_cure(tmp_path: Path, write_scene: Write) -> None:
    sensor = "<sensor type='perspective'/></scene>"
    with process() as renderer:
        for number, (name, (text, cure)) in enumerate(BROKEN.items()):
            path = tmp_path / f"broken{number}.xml"
            path.write_text(text if name == "no sensor" else text.replace("</scene>", sensor))
            with pytest.raises(SceneError) as caught:
                notes_and_frame(renderer, path)
            said = str(caught.value)
            assert path.name in said, (name, said)
            assert "\n" not in said, (name, said)
            assert cure in said, (name, said)
            assert ".cpp" not in said, (name, said)
        with pytest.raises(SceneError, match="absent"):
            notes_and_frame(renderer, tmp_path / "absent.xml")
        # And the process still renders.
        assert notes_and_frame(renderer, write_scene(tmp_path / "good.xml"))[1].radiance.any()


def test_an_error_keeps_the_line_of_the_file(tmp_path: Path) -> None:
    text = f'[xml.cpp:12] Error while loading "{tmp_path}/a.xml" (near line 7, col 3):\n  bad thing!'
    said = str(scene_error(RuntimeError(text), tmp_path / "a.xml"))
    assert "line 7" in said
    assert "\n" not in said
    assert said.count("a.xml") == 1


def test_a_view_without_a_scene_is_refused() -> None:
    with process() as renderer, pytest.raises(SceneError, match="frame 3 names no scene file"):
        renderer.render(View(3), spp=1, seed=SEED)


@given(st.integers(1, 1 << 16), st.integers(1, 1 << 26))
def test_chunks_add_up_and_stay_small(spp: int, pixels: int) -> None:
    if spp * pixels > 1 << 34:
        return
    chunks = spp_chunks(spp, pixels)
    assert sum(chunks) == spp
    assert all(c & c - 1 == 0 for c in chunks)
    assert all(c == 1 or c * pixels <= MAX_WAVEFRONT for c in chunks)
    assert chunks == sorted(chunks, reverse=True)


@pytest.mark.parametrize(("version", "fits"), [("3.7.0", True), ("3.9.1", True), ("3.6.4", False), ("3.10.0", False)])
def test_supported_versions(version: str, fits: bool) -> None:
    if fits:
        check_version(version)
    else:
        with pytest.raises(InputError, match=f"Mitsuba {version} is not supported. pip install"):
            check_version(version)
