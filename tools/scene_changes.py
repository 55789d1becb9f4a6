"""The shot `changes`, one XML for each frame: everything in it that neighbouring frames must not be believed about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scene_files import write_png

FRAMES = 12
#: From this frame on the poster and the screen show something else; from this one on another camera looks.
TURNED, CUT = 5, 9

_HEAD = """<!-- Changes, frame {frame}: a lamp and a ball move, pictures change in frame {turned}, and another camera
     looks from {cut} on. CC0 1.0, see ../LICENSE.txt. Written by tools/make_scenes.py. One unit is a metre. -->
<scene version="3.0.0">
    <default name="resx" value="256"/>
    <default name="resy" value="144"/>
    <default name="spp" value="8"/>
    <default name="max_depth" value="8"/>

    <integrator type="path">
        <integer name="max_depth" value="$max_depth"/>
    </integrator>

    <sensor type="perspective" id="camera">
        <float name="fov" value="62"/>
        <transform name="to_world">
            <lookat origin="{origin}" target="{target}" up="0, 1, 0"/>
        </transform>
        <sampler type="independent">
            <integer name="sample_count" value="$spp"/>
        </sampler>
        <film type="hdrfilm">
            <integer name="width" value="$resx"/>
            <integer name="height" value="$resy"/>
            <string name="pixel_format" value="rgb"/>
            <string name="component_format" value="float32"/>
            <rfilter type="box"/>
        </film>
    </sensor>
"""


def changes(folder: Path) -> None:
    """Write `shot.0001.xml` to `shot.0012.xml` and their textures."""
    rng = np.random.default_rng(61)
    write_png(folder / "textures/poster.1.png", _stripes(rng, 0))
    write_png(folder / "textures/poster.2.png", _stripes(rng, 1))
    write_png(folder / "textures/screen.1.png", _blobs(rng, (0.2, 0.5, 1.0)))
    write_png(folder / "textures/screen.2.png", _blobs(rng, (1.0, 0.35, 0.15)))
    for frame in range(1, FRAMES + 1):
        (folder / f"shot.{frame:04d}.xml").write_text(_frame(frame), encoding="utf-8")


def _stripes(rng: np.random.Generator, axis: int) -> NDArray[np.float64]:
    """Wide stripes of random colours, `[96, 96, 3]`; another axis is another poster."""
    colours = rng.uniform(0.1, 0.9, (8, 3)).repeat(12, axis=0)
    image = np.broadcast_to(colours[:, None], (96, 96, 3))
    return image if axis == 0 else image.swapaxes(0, 1)


def _blobs(rng: np.random.Generator, tint: tuple[float, float, float]) -> NDArray[np.float64]:
    """Soft bright spots on black, `[48, 64, 3]`."""
    y, x = np.mgrid[:48, :64]
    centres = rng.uniform((4, 4), (44, 60), (9, 2))
    light = sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 40) for cy, cx in centres)
    return np.clip(np.asarray(light)[..., None], 0, 1) * np.array(tint)


def _frame(frame: int) -> str:
    picture = 1 if frame < TURNED else 2
    step = frame - 1
    if frame < CUT:
        origin, target = (-1.5 + 0.07 * step, 1.4, 3.2), (0.2 + 0.03 * step, 0.8, -1.0)
    else:
        step_after = frame - CUT
        origin, target = (2.2 - 0.07 * step_after, 1.0, 0.4), (-1.2, 0.9, -1.2)
    lamp = (-1.4 + 0.22 * step, 2.1, 0.2)
    ball = (-1.2 + 0.16 * step, 0.3, 0.7)
    parts = [
        _HEAD.format(frame=frame, turned=TURNED, cut=CUT, origin=_numbers(origin), target=_numbers(target)),
        _matte("floor", "0.5, 0.42, 0.35", _rectangle("0, 0, 0", (1, 0, 0), -90, "4, 4, 1")),
        _matte("wall", "0.7, 0.7, 0.68", _rectangle("0, 1.5, -1.6", (0, 1, 0), 0, "4, 1.5, 1")),
        _matte("side", "0.35, 0.5, 0.38", _rectangle("-2.4, 1.5, 1", (0, 1, 0), 90, "4, 1.5, 1")),
        _matte("other side", "0.55, 0.4, 0.36", _rectangle("2.8, 1.5, 1", (0, 1, 0), -90, "4, 1.5, 1")),
        _matte("ceiling", "0.75, 0.75, 0.75", _rectangle("0, 3, 0", (1, 0, 0), 90, "4, 4, 1")),
        _matte(
            "ball",
            "0.8, 0.25, 0.2",
            f'<point name="center" value="{_numbers(ball)}"/><float name="radius" value="0.3"/>',
            kind="sphere",
        ),
        f"""
    <shape type="rectangle">
        {_rectangle("-1.1, 1.35, -1.58", (0, 1, 0), 0, "0.6, 0.6, 1")}
        <bsdf type="diffuse">
            <texture type="bitmap" name="reflectance">{_file(f"poster.{picture}")}</texture>
        </bsdf>
    </shape>
    <shape type="rectangle">
        {_rectangle("0.9, 1.2, -1.55", (0, 1, 0), 0, "0.8, 0.6, 1")}
        <bsdf type="diffuse"><rgb name="reflectance" value="0.05, 0.05, 0.05"/></bsdf>
        <emitter type="area">
            <texture type="bitmap" name="radiance">{_file(f"screen.{picture}")}</texture>
        </emitter>
    </shape>
    <shape type="cube">
        <transform name="to_world">
            <scale value="0.25, 0.5, 0.25"/><rotate y="1" angle="25"/><translate value="1.5, 0.5, -0.3"/>
        </transform>
        <bsdf type="roughconductor"><string name="material" value="Al"/><float name="alpha" value="0.25"/></bsdf>
    </shape>
    <shape type="sphere">
        <point name="center" value="{_numbers(lamp)}"/><float name="radius" value="0.09"/>
        <emitter type="area"><rgb name="radiance" value="60, 54, 44"/></emitter>
    </shape>
</scene>
""",
    ]
    return "".join(parts)


def _file(name: str) -> str:
    return f'<string name="filename" value="textures/{name}.png"/>'


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _rectangle(at: str, axis: tuple[int, int, int], degrees: float, size: str) -> str:
    turn = " ".join(f'{name}="{value}"' for name, value in zip("xyz", axis, strict=True))
    return (
        f'<transform name="to_world"><scale value="{size}"/>'
        f'<rotate {turn} angle="{degrees:g}"/><translate value="{at}"/></transform>'
    )


def _matte(name: str, colour: str, place: str, kind: str = "rectangle") -> str:
    return f"""
    <!-- {name} -->
    <shape type="{kind}">
        {place}
        <bsdf type="twosided"><bsdf type="diffuse"><rgb name="reflectance" value="{colour}"/></bsdf></bsdf>
    </shape>"""
