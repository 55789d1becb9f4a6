"""Ways to denoise the layers of a beauty so that they sum up to it, and what denoising alpha is worth."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from measure_common import ROOM, run, table
from torch.nn import functional as F

from rendernoise.color import demodulator
from rendernoise.denoiser import PLACEMENTS, Denoiser
from rendernoise.frame import Frame, FramePair, Plane
from rendernoise.guard import merge_halves
from rendernoise.io.exr import read_frame
from rendernoise.layers import clean_alpha, clean_layer, split
from rendernoise.metrics.relative import trimmed_relmse
from rendernoise.networks.blocks import bounded
from rendernoise.networks.kernel_pyramid import (
    MAX_CORRECTION,
    POOL_MAPS,
    KernelPyramid,
    Level,
    averaged,
    pooled,
)
from rendernoise.networks.shuffled_unet import BLOCK_PX
from rendernoise.weights import base_path

SIZE = "240x135"
SPP, REFERENCE = 8, ("--passes", 8, "--spp", 128)
LAYERS = ("direct", "indirect")
#: Seconds are taken on a frame of so many times the width and height.
TIMED = 4


def aovs(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Direct and indirect light of two scenes: by the kernels of the beauty, and each by itself.

    Direct light is what paths of two segments carry, indirect light what the others add with the same seed.
    """
    del shared
    torch.set_num_threads(1)
    denoiser = Denoiser.load(base_path("kernel_pyramid"), "cpu")
    rows: list[dict[str, Any]] = []
    for scene in (ROOM, ROOM.parent / "glassware"):
        full, direct = (_renders(scene, out / f"{scene.name}.{depth or 'full'}", depth) for depth in (None, 2))
        parts = [_parts(both, few) for both, few in zip(full, direct, strict=True)]
        frames, truth = [_inputs(denoiser, frame) for frame in full[:2]], parts[2]
        for count in (1, 2):
            noisy = {name: np.mean([p[name] for p in parts[:count]], axis=0) for name in truth}
            ways = {"noisy": noisy, **_ways(denoiser, frames[:count], parts[:count])}
            for way, images in ways.items():
                errors = {name: trimmed_relmse(images[name], truth[name]) for name in truth}
                off = np.abs(images["beauty"] - images["direct"] - images["indirect"]).mean() / truth["beauty"].mean()
                rows.append({"scene": scene.name, "halves": count, "way": way, **errors, "off the sum": float(off)})
    large = Frame({name: np.tile(plane, (1, TIMED, TIMED)) for name, plane in frames[0].planes.items()})
    alone = _cpu_s(lambda: denoiser.radiance(large))
    shares = _cpu_s(lambda: _by_kernels(denoiser, large, [large.radiance, large.radiance])) - alone
    text = table(list(rows[0]), [list(row.values()) for row in rows])
    per_layer = f"by the beauty's kernels {max(shares, 0) / 2:.2f} s, by itself {alone:.2f} s"
    return rows, f"{text}\n\nA layer of {large.width}x{large.height} px on one thread: {per_layer}."


def _renders(scene: Path, out: Path, depth: int | None) -> list[Frame]:
    """A, B and the reference of a scene, with paths of so many segments at most."""
    copy = out / "scene"
    shutil.copytree(scene, copy, dirs_exist_ok=True)
    if depth is not None:
        text = (copy / "scene.xml").read_text()
        (copy / "scene.xml").write_text(re.sub(r'(<default name="max_depth" value=")\d+', rf"\g<1>{depth}", text))
    return _rendered(copy / "scene.xml", out, "--resolution", SIZE)


def _rendered(scene: Path, out: Path, *more: object) -> list[Frame]:
    run("render", scene, *more, "--frames", 1, "--pairs", "--spp", SPP, "--out", out, "--overwrite")
    run("render", scene, *more, "--frames", 1, "--reference", *REFERENCE, "--out", out / "reference", "--overwrite")
    paths = [*(out / f"{scene.stem}.{half}.0001.exr" for half in "ab"), out / "reference" / f"{scene.stem}.0001.exr"]
    return [read_frame(path) for path in paths]


def _parts(full: Frame, direct: Frame) -> dict[str, Plane]:
    images = (full.radiance, direct.radiance, np.maximum(full.radiance - direct.radiance, 0))
    return dict(zip(("beauty", *LAYERS), images, strict=True))


def _inputs(denoiser: Denoiser, frame: Frame) -> Frame:
    return replace(frame, planes={n: p for n, p in frame.planes.items() if n in denoiser.model.layout.names})


def _ways(
    denoiser: Denoiser, frames: Sequence[Frame], parts: Sequence[dict[str, Plane]]
) -> dict[str, dict[str, Plane]]:
    """Denoised images of each way, by name."""
    if len(frames) == 1:
        beauty = denoiser.radiance(frames[0])
    else:
        pair = FramePair.of_halves(*frames)
        beauty = merge_halves(pair, *denoiser.halves(pair))[0].radiance
    filtered = np.mean(
        [
            _by_kernels(denoiser, f, [p[n] for n in LAYERS], i)
            for i, (f, p) in enumerate(zip(frames, parts, strict=True))
        ],
        axis=0,
    )
    single = [clean_layer(denoiser, frames, [p[name] for p in parts]) for name in LAYERS]
    ways = {
        "shares by the beauty's kernels": split(beauty, filtered, filtered),
        "each by itself": single,
        "each by itself, then shares": split(beauty, single, single),
    }
    return {way: {"beauty": beauty, **dict(zip(LAYERS, images, strict=True))} for way, images in ways.items()}


def _by_kernels(denoiser: Denoiser, frame: Frame, layers: Sequence[Plane], placement: int = 0) -> np.ndarray:
    """Layers ``[3, H, W]`` under the kernels that the network says for the radiance, ``[layers, 3, H, W]``."""
    planes, exposure = denoiser.model.input_of(frame, denoiser.device)
    down, right = PLACEMENTS[placement]
    inputs = torch.cat((denoiser.model.preprocess(planes, exposure), torch.from_numpy(np.concatenate(layers))[None]), 1)
    moved = F.pad(inputs, (right, 0, down, 0), mode="replicate")
    network = denoiser.model.network
    assert isinstance(network, KernelPyramid)
    # What steers the weights is the brightness of the beauty, which comes first.
    steering = property(lambda level: level.radiance[:, :3].mean(1, keepdim=True).log1p())
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=denoiser.autocast)
    with torch.inference_mode(), autocast, patch.object(Level, "brightness", steering):
        result = _filtered(network, moved[:, : -3 * len(layers)], moved[:, -3 * len(layers) :], exposure)
    return result[0, :, down:, right:].unflatten(0, (len(layers), 3)).numpy()


def _filtered(network: KernelPyramid, planes: torch.Tensor, layers: torch.Tensor, exposure: torch.Tensor) -> Any:
    """``KernelPyramid.forward`` without a history, for the layers; its addition has no share in any of them."""
    height, width = planes.shape[-2:]
    padded, count = network.pad(planes), layers.shape[1] // 3
    layers = F.pad(layers, (0, padded.shape[-1] - width, 0, padded.shape[-2] - height), mode="replicate")
    own, guide = padded[:, :3], padded[:, 3:10].float()
    albedo = demodulator(guide[:, :3]).repeat(1, count + 1, 1, 1)
    nothing = torch.full_like(padded[:, :4], network.absent)
    features = network.trunk(torch.cat((own, guide, nothing), 1))
    finest = F.pixel_shuffle(network.output(features[0]).float(), BLOCK_PX)
    maps = [finest, *(head(x).float() for head, x in zip(network.heads, features, strict=True))]
    levels = [Level(torch.cat((own.float().expm1(), layers * exposure), 1) / albedo, guide)]
    for chosen in maps[:-1]:
        levels.append(pooled(levels[-1], chosen[:, :POOL_MAPS]))
    filtered = Level(averaged(levels[-1], maps[-1], network.kernels[-1]), levels[-1].guide)
    for level, chosen, side in list(zip(levels, maps, network.kernels, strict=True))[-2::-1]:
        filtered = Level(averaged(level, chosen[:, POOL_MAPS:], side, filtered), level.guide)
    factor = F.pixel_shuffle(network.correction(features[0]).float(), BLOCK_PX).chunk(2, 1)[0]
    scale = bounded(factor, MAX_CORRECTION).exp().repeat(1, count + 1, 1, 1) * albedo / exposure
    return (filtered.radiance * scale)[:, 3:, :height, :width]


def _cpu_s(work: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(4):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def alpha(shared: Path, out: Path) -> tuple[list[dict[str, Any]], str]:
    """Alpha of small things out of focus before nothing, in several ways, and the denoised beauty over white with each.

    Its noise is the renderer's: the same rays render the scene once lit, and once with everything glowing.
    """
    del shared
    torch.set_num_threads(1)
    denoiser = Denoiser.load(base_path("kernel_pyramid"), "cpu")
    out.mkdir(parents=True, exist_ok=True)
    lit, cover = (_rendered(_write_scene(out / f"{name}.xml", glow), out) for name, glow in (("lit", 0), ("cover", 1)))
    alphas = [frame.radiance[:1] for frame in cover]
    frames, truth = [_inputs(denoiser, frame) for frame in lit[:2]], alphas[2]
    edges = (truth > 0) & (truth < 1)
    over = lit[2].radiance + 1 - truth
    beauty = denoiser.radiance(frames[0])
    grey = np.repeat(alphas[0], 3, axis=0)
    bare = replace(frames[0], planes={"radiance": frames[0].radiance})
    ways = {
        "keep": alphas[0],
        "as a layer, with features": np.clip(clean_layer(denoiser, frames[:1], [grey]).mean(0), 0, 1)[None],
        "as a layer, without": np.clip(clean_layer(denoiser, [bare], [grey]).mean(0), 0, 1)[None],
        "denoise": clean_alpha(denoiser, frames[:1], alphas[:1])[None],
        "denoise, both halves": clean_alpha(denoiser, frames, alphas[:2])[None],
    }
    rows = [
        {
            "alpha": way,
            "MSE": float(np.square(image - truth).mean()),
            "at edges": float(np.square(image - truth)[edges].mean()),
            "bias": float((image - truth).mean()),
            "over white": trimmed_relmse(beauty + 1 - image, over),
        }
        for way, image in ways.items()
    ]
    return rows, table(list(rows[0]), [list(row.values()) for row in rows])


def _write_scene(path: Path, glow: int) -> Path:
    """Forty spheres, boxes and rods, in grey under a lamp, or each of radiance 1 and nothing else."""
    rng = np.random.default_rng(4)
    shapes: list[str] = []
    light = '<emitter type="area"><rgb name="radiance" value="{}"/></emitter>'
    for i in range(40):
        x, y, z, size, turn, shade = rng.uniform((-2.2, -1.2, -4, 0.05, 0, 0.1), (2.2, 1.2, 1.5, 0.35, 360, 0.9))
        scale = f'x="0.02" y="{3 * size}" z="0.02"' if i % 5 == 0 else f'value="{size}"'
        grey = f'<bsdf type="diffuse"><rgb name="reflectance" value="{shade}"/></bsdf>'
        place = f'<scale {scale}/><rotate x="1" y="1" angle="{turn}"/><translate x="{x}" y="{y}" z="{z}"/>'
        shapes.append(
            f'<shape type="{("sphere", "cube")[i % 2]}"><transform name="to_world">{place}</transform>'
            f"{light.format(1) if glow else grey}</shape>"
        )
    if not glow:
        place = '<scale value="2"/><rotate x="1" angle="90"/><translate y="6"/>'
        shapes.append(
            f'<shape type="rectangle"><transform name="to_world">{place}</transform>{light.format(20)}</shape>'
        )
    width, height = SIZE.split("x")
    path.write_text(
        f"""<scene version="3.0.0">
  <integrator type="path"><integer name="max_depth" value="{1 if glow else 6}"/></integrator>
  <sensor type="thinlens">
    <float name="fov" value="40"/><float name="aperture_radius" value="0.1"/><float name="focus_distance" value="5"/>
    <transform name="to_world"><lookat origin="0, 0, 5" target="0, 0, 0" up="0, 1, 0"/></transform>
    <film type="hdrfilm"><integer name="width" value="{width}"/><integer name="height" value="{height}"/></film>
  </sensor>
  {"".join(shapes)}
</scene>
"""
    )
    return path
