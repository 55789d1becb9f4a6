"""What the features of the JIT variants show behind mirrors and glass, on scenes whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rendernoise.frame import PLANE_CHANNELS, Frame
from rendernoise.render.camera import View
from rendernoise.render.features import FEATURE_CHANNELS, MAX_BOUNCES, SEEN_THROUGH_DELTA
from rendernoise.render.mitsuba import SceneOptions
from rendernoise.render.probe import probe_variant
from rendernoise.render.process import RendererProcess, RendererSpec
from rendernoise.seeds import Stream

SEED = Stream(0, 1, 0, "a").pack()
WALL = (0.2, 0.5, 0.8)
DIFFUSE = "<bsdf type='diffuse'><rgb name='reflectance' value='0.2, 0.5, 0.8'/></bsdf>"
CHECKS = "<bsdf type='diffuse'><texture name='reflectance' type='checkerboard'/></bsdf>"
#: Looks along -z from the origin; 12×8 px.
SCENE = """<scene version='3.0.0'>
<integrator type='{integrator}'/>
<sensor type='{sensor}'><float name='fov' value='40'/><float name='near_clip' value='1e-4'/>{lens}
<transform name='to_world'><lookat origin='0,0,0' target='0,0,-1' up='0,1,0'/></transform>
<film type='hdrfilm'><integer name='width' value='12'/><integer name='height' value='8'/></film></sensor>
{content}</scene>"""
LENS = "<float name='aperture_radius' value='0.1'/><float name='focus_distance' value='2'/>"

Render = Callable[..., Frame]


def wall(z: float, content: str, *, backwards: bool = False) -> str:
    """A square of 20×20 units across the view at ``z``, which faces the origin if it is told rightly."""
    turn = "<rotate y='1' angle='180'/>" if backwards else ""
    return (
        f"<shape type='rectangle'><transform name='to_world'><scale value='10'/>{turn}"
        f"<translate z='{z}'/></transform>{content}</shape>"
    )


def sphere(content: str, *, z: float = 0, radius: float = 1, flip: bool = False) -> str:
    return (
        f"<shape type='sphere'><point name='center' x='0' y='0' z='{z}'/><float name='radius' value='{radius}'/>"
        f"<boolean name='flip_normals' value='{str(flip).lower()}'/>{content}</shape>"
    )


def constant(red: float, green: float, blue: float) -> str:
    return f"<emitter type='constant'><rgb name='radiance' value='{red}, {green}, {blue}'/></emitter>"


def mirror(reflectance: float) -> str:
    value = f"<rgb name='specular_reflectance' value='{reflectance}'/>"
    return f"<bsdf type='conductor'><string name='material' value='none'/>{value}</bsdf>"


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Render]:
    """``render(content, spp=…, integrator=…, sensor=…)`` renders a scene of this content with LLVM."""
    probe = probe_variant("llvm_ad_rgb")
    if not probe.works:
        pytest.skip(f"llvm_ad_rgb does not render here: {probe.message}")
    folder = tmp_path_factory.mktemp("features")
    with RendererProcess(RendererSpec("mitsuba", {"options": _options("llvm_ad_rgb")})) as renderer:

        def run(content: str, *, spp: int = 4, integrator: str = "path", sensor: str = "perspective") -> Frame:
            return _render(renderer, folder / "scene.xml", content, spp, integrator, sensor)

        yield run


def _options(variant: str) -> SceneOptions:
    return SceneOptions(variant=variant, frames=(1, 1), threads=1)


def _render(
    renderer: RendererProcess, path: Path, content: str, spp: int, integrator: str = "path", sensor: str = "perspective"
) -> Frame:
    lens = LENS if sensor == "thinlens" else ""
    path.write_text(SCENE.format(integrator=integrator, sensor=sensor, lens=lens, content=content))
    frame = renderer.render(View(1, scene=path), spp=spp, seed=SEED)
    for name, plane in frame.planes.items():
        assert np.isfinite(plane).all(), name
        assert plane.shape == (PLANE_CHANNELS[name], 8, 12)
    for name in ("albedo", "roughness"):
        assert frame.planes[name].min() >= 0
        assert frame.planes[name].max() <= 1
    return frame


def assert_nothing(frame: Frame, *names: str) -> None:
    for name in names or [name for name, _ in FEATURE_CHANNELS]:
        assert not frame.planes[name].any(), name


def color(*rgb: float) -> np.ndarray:
    return np.array(rgb)[:, None, None]


def test_a_wall_in_full_view(render: Render) -> None:
    planes = render(wall(-2, DIFFUSE), spp=1).planes
    assert np.allclose(planes["albedo"], color(*WALL))
    assert np.allclose(planes["normal"], color(0, 0, 1))
    assert np.allclose(planes["position"][2], -2)
    assert np.allclose(planes["depth"][0], np.linalg.norm(planes["position"], axis=0), atol=1e-3)
    assert (planes["roughness"] == 1).all()


def test_a_mirror_shows_what_it_reflects(render: Render) -> None:
    direct = render(wall(-2, DIFFUSE)).planes
    planes = render(wall(-2, mirror(0.5)) + wall(3, DIFFUSE, backwards=True)).planes
    assert np.allclose(planes["albedo"], 0.5 * color(*WALL), atol=1e-5)
    assert np.allclose(planes["normal"], color(0, 0, -1), atol=1e-5)
    assert np.allclose(planes["position"][2], 3, atol=1e-4)
    # 2 units to the mirror and 5 back from it, along the same slanted rays.
    assert np.allclose(planes["depth"], 3.5 * direct["depth"], atol=1e-3)
    assert (planes["roughness"] == SEEN_THROUGH_DELTA).all()


def test_a_pane_shows_the_texture_behind_it(render: Render) -> None:
    behind = wall(-4, CHECKS)
    direct = render(behind, spp=1).planes
    planes = render(wall(-2, "<bsdf type='thindielectric'/>") + behind, spp=1).planes
    through = planes["depth"][0] > 0
    # A pane reflects 8 % of light that comes in steeply: of 96 rays 2 to 20, but for less than 1 seed in 100.
    assert 76 <= through.sum() <= 94
    for name in ("albedo", "normal", "depth", "position", "roughness"):
        assert np.allclose(planes[name][:, through], direct[name][:, through], atol=1e-3), name
        assert not planes[name][:, ~through].any()  # what it reflects there is empty space


def test_each_sample_takes_the_branch_that_its_radiance_took(render: Render) -> None:
    lit = "<bsdf type='diffuse'><rgb name='reflectance' value='0'/></bsdf>"
    lit += "<emitter type='area'><rgb name='radiance' value='0.1, 0.8, 0.3'/></emitter>"
    ball = sphere("<bsdf type='dielectric'/>", z=-3)
    frame = render(constant(0.6, 0.2, 0.4) + ball + wall(-6, lit), spp=2)
    # Everything shines and nothing scatters, so radiance is what chains end on, sample for sample.
    assert np.allclose(frame.radiance, frame.planes["albedo"], atol=1e-3)
    assert np.ptp(frame.radiance[1]) > 0.2


def test_plain_and_thin_lens_see_the_same_wall_through_nothing(render: Render) -> None:
    """The border of a medium and a mask are no surfaces."""
    fog = "<medium type='homogeneous' name='interior'><float name='sigma_t' value='0.5'/></medium>"
    border = sphere(f"<bsdf type='null'/>{fog}", z=-2, radius=0.9)
    masked = wall(-1, "<bsdf type='mask'><float name='opacity' value='0'/><bsdf type='diffuse'/></bsdf>")
    light = constant(1, 1, 1)
    for content, integrator in ((border, "volpath"), (masked, "path")):
        for sensor in ("perspective",) if integrator == "volpath" else ("perspective", "thinlens"):
            direct = render(light + wall(-4, DIFFUSE), integrator=integrator, sensor=sensor).planes
            planes = render(light + content + wall(-4, DIFFUSE), integrator=integrator, sensor=sensor).planes
            for name in ("albedo", "normal", "depth", "position", "roughness"):
                assert np.allclose(planes[name], direct[name], atol=1e-3), (name, sensor)


@pytest.mark.parametrize("twosided", [False, True])
def test_rough_metal_has_the_albedo_of_metal(twosided: bool, render: Render) -> None:
    metal = (
        "<bsdf type='roughconductor'><string name='material' value='none'/><float name='alpha' value='0.1'/>"
        "<rgb name='specular_reflectance' value='0.9, 0.6, 0.3'/></bsdf>"
    )
    planes = render(wall(-2, f"<bsdf type='twosided'>{metal}</bsdf>" if twosided else metal)).planes
    # A rough surface loses a little to its own shadows.
    assert np.allclose(planes["albedo"], color(0.9, 0.6, 0.3), rtol=0.02)
    assert np.allclose(planes["roughness"], 0.1)


def test_coats_do_not_hide_the_texture_under_them(render: Render) -> None:
    diffuse = "<rgb name='diffuse_reflectance' value='0.2, 0.5, 0.8'/>"
    base = "<rgb name='base_color' value='0.2, 0.5, 0.8'/><float name='roughness' value='0.3'/>"
    for content, roughness in (
        (f"<bsdf type='plastic'>{diffuse}</bsdf>", 0.0),
        (f"<bsdf type='roughplastic'>{diffuse}<float name='alpha' value='0.2'/></bsdf>", 0.2),
        (f"<bsdf type='principled'>{base}<float name='metallic' value='1'/></bsdf>", 0.09),
    ):
        planes = render(wall(-2, content), spp=1).planes
        assert np.allclose(planes["albedo"], color(*WALL), atol=1e-5), content
        assert np.allclose(planes["roughness"], roughness, atol=1e-6), content


def test_lamps_and_the_sky_are_in_the_albedo(render: Render) -> None:
    lamp = "<emitter type='area'><rgb name='radiance' value='0.1, 0.3, 9'/></emitter>"
    shining = render(wall(-2, DIFFUSE + lamp))
    assert np.allclose(shining.planes["albedo"], color(0.3, 0.8, 1))
    sky = render(constant(0.3, 0.6, 2) + sphere(DIFFUSE, z=5))
    assert np.allclose(sky.planes["albedo"], color(0.3, 0.6, 1))
    assert_nothing(sky, "normal", "depth", "position", "roughness")
    assert_nothing(render(sphere(DIFFUSE, z=5)))


def test_chains_without_end_end(render: Render) -> None:
    assert_nothing(render(sphere(mirror(1), radius=2, flip=True)))
    shells = "".join(sphere("<bsdf type='dielectric'/>", radius=1 + r) for r in range(MAX_BOUNCES + 3))
    # Each shell is passed or reflects; the sky is too far.
    assert render(constant(1, 1, 1) + shells).planes["albedo"].max() < 1
    assert_nothing(render(wall(-2, mirror(0)) + wall(3, DIFFUSE, backwards=True)), "albedo")


def test_other_materials_have_features(render: Render) -> None:
    rough_glass = "<bsdf type='roughdielectric'/>"
    mixed = f"<bsdf type='blendbsdf'><float name='weight' value='0.5'/>{DIFFUSE}<bsdf type='roughconductor'/></bsdf>"
    for content in (rough_glass, mixed, "<bsdf type='principledthin'/>", "<bsdf type='hair'/>", ""):
        planes = render(wall(-2, content)).planes
        assert np.allclose(planes["position"][2], -2, atol=1e-4), content
        assert planes["albedo"].any()


def test_scalar_variants_have_the_same_planes(tmp_path: Path) -> None:
    content = constant(1, 1, 1) + sphere(DIFFUSE, z=-3)
    with RendererProcess(RendererSpec("mitsuba", {"options": _options("scalar_rgb")})) as renderer:
        planes = _render(renderer, tmp_path / "scene.xml", content, 1).planes
    assert list(planes) == ["radiance", *(name for name, _ in FEATURE_CHANNELS)]
    assert np.array_equal(planes["roughness"], planes["depth"] > 0)
    assert np.unique(planes["roughness"]).tolist() == [0, 1]
