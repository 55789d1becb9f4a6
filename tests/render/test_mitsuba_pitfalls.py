"""Faults of Mitsuba 3.9 that the renderer works around; each test fails, or never ends, without its workaround."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rendernoise.errors import SceneError
from rendernoise.io.exr import write_layers
from rendernoise.render.camera import View
from rendernoise.render.mitsuba import SceneOptions
from rendernoise.render.probe import probe_variant
from rendernoise.render.process import RendererProcess, RendererSpec
from rendernoise.seeds import Stream

SEED = Stream(0, 1, 0, "a").pack()
HEAD = """<scene version="3.0.0"><integrator type="path"><integer name="max_depth" value="3"/></integrator>
<sensor type="perspective">
<transform name="to_world"><lookat origin="0, 0, 8" target="0, 0, 0" up="0, 1, 0"/></transform>
<film type="hdrfilm"><integer name="width" value="24"/><integer name="height" value="16"/></film></sensor>
"""


def render(scene: Path, variant: str, threads: int) -> np.ndarray:
    """One frame from a process of its own."""
    options = SceneOptions(variant=variant, frames=(1, 1), threads=threads)
    with RendererProcess(RendererSpec("mitsuba", {"options": options})) as renderer:
        return renderer.render(View(1, scene=scene), spp=4, seed=SEED).radiance


@pytest.mark.parametrize("variant", ["scalar_rgb", "llvm_ad_rgb"])
def test_a_seed_gives_the_same_pixels_in_every_process(variant: str, tmp_path: Path) -> None:
    """Meshes that Mitsuba would merge, in an order that depends on their addresses, are lights here: a resumed run, in
    a new process, would draw other lights from the same random numbers."""
    if not probe_variant(variant).works:
        pytest.skip(f"{variant} does not render here")
    lights = "".join(
        f"""<shape type="cube">
        <transform name="to_world"><scale value="0.3"/><translate x="{x - 3}" y="{y}"/></transform>
        <bsdf type="diffuse"><rgb name="reflectance" value="{0.1 + 0.1 * x}, 0.5, 0.5"/></bsdf>
        <emitter type="area"><rgb name="radiance" value="{1 + x}, {1 + y * y}, 2"/></emitter></shape>"""
        for x in range(7)
        for y in (-2, 0, 2)
    )
    floor = (
        '<shape type="rectangle"><transform name="to_world"><scale value="6"/><translate z="-1"/></transform></shape>'
    )
    scene = tmp_path / "lights.xml"
    scene.write_text(f"{HEAD}{floor}{lights}</scene>")
    first, second, third = (render(scene, variant, 2) for _ in range(3))
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_an_exr_texture_loads_with_one_thread(tmp_path: Path) -> None:
    """Mitsuba's EXR reader waits for ever for the other threads of a pool that has none."""
    sky = np.ones((3, 64, 128), np.float32)
    write_layers(tmp_path / "sky.exr", {"": sky})
    emitter = '<emitter type="envmap"><string name="filename" value="sky.exr"/></emitter>'
    scene = tmp_path / "sky.xml"
    scene.write_text(f"{HEAD}{emitter}</scene>")
    np.testing.assert_allclose(render(scene, "scalar_rgb", 1), 1, rtol=1e-3)


def test_a_scene_is_rejected_with_one_thread(tmp_path: Path) -> None:
    """Loading parts in parallel, Mitsuba waits for ever after an error in a pool of one thread."""
    spheres = "".join(f'<shape type="sphere"><point name="center" x="{x}" y="0" z="0"/></shape>' for x in range(20))
    scene = tmp_path / "bad.xml"
    scene.write_text(f'{HEAD}{spheres}<shape type="sphere"><float name="wrong" value="1"/></shape></scene>')
    with pytest.raises(SceneError, match="wrong"):
        render(scene, "scalar_rgb", 1)
