"""Renders a small shot with Blender's Cycles: a moving camera, moving objects, and the passes that neighbours need.

Runs under Blender's own Python module, not under ours (``pip install bpy`` into an environment of its own):

    python tools/blender_sequence.py OUT --frames 1-6 --spp 8 --seeds 0,1
    python tools/blender_sequence.py OUT --frames 3 --spp 2048 --seeds 7 --name reference

It writes OUT/NAME.a.0001.exr for the first seed and NAME.b. for the second (NAME.0001.exr for one seed alone):
multi-layer EXR with Combined, the denoising passes, Vector, Position, Depth and Object Index (1 for what moves).
--full adds what a compositor wants: Cryptomattes, light passes with their colours, and a second view layer, ``Moving``,
that shows what moves alone, in the light of all. docs/blender.md denoises such files.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import bpy

RADIUS = 0.55  # of the ball
FULL = [
    f"{light}_{what}" for light in ("diffuse", "glossy", "transmission") for what in ("direct", "indirect", "color")
]
FULL += ["emit", "environment", "cryptomatte_object", "cryptomatte_material"]


def build(width: int, height: int, turn: float) -> bpy.types.Scene:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    floor = _textured("floor", (0.75, 0.7, 0.62), (0.2, 0.24, 0.3), 1.1)
    wall = _textured("wall", (0.8, 0.55, 0.35), (0.5, 0.3, 0.2), 0.7)
    skin = _textured("skin", (0.85, 0.2, 0.15), (0.15, 0.25, 0.75), 2.6)
    card = _textured("card", (0.2, 0.7, 0.3), (0.9, 0.85, 0.2), 1.7)
    _plane("floor", 14, (0, 0, 0), (0, 0, 0), floor)
    _plane("wall", 14, (0, 3.0, 3), (math.pi / 2, 0, 0), wall)
    bpy.ops.mesh.primitive_cube_add(size=1, location=(-1.5, 1.3, 0.5), rotation=(0, 0, 0.5))
    bpy.context.object.data.materials.append(card)
    bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=24, radius=RADIUS, location=(0, 0, 0))
    ball = bpy.context.object
    bpy.ops.object.shade_smooth()
    ball.data.materials.append(skin)
    _plane("card", 0.9, (0, 0, 0), (math.pi / 2, 0, 0.2), card)
    sheet = bpy.context.object
    ball.pass_index = sheet.pass_index = 1
    moving = bpy.data.collections.new("moving")
    scene.collection.children.link(moving)
    for thing in (ball, sheet):
        moving.objects.link(thing)
        scene.collection.objects.unlink(thing)
    for frame in range(-2, 41):  # moves as straight lines between whole frames, with some acceleration
        ball.location = (-1.1 + 0.16 * frame + 0.004 * frame**2, 0.2, RADIUS + 0.15 + 0.03 * frame)
        ball.rotation_euler = (0, turn * frame, 0)
        sheet.location = (1.6 - 0.11 * frame, 1.6, 1.5 - 0.05 * frame)
        for thing in (ball, sheet):
            thing.keyframe_insert("location", frame=frame)
        ball.keyframe_insert("rotation_euler", frame=frame)
    # A lamp that shines at the ceiling: light comes from there, with much noise.
    _plane("ceiling", 14, (0, 0, 5.2), (math.pi, 0, 0), _textured("white", (0.8, 0.8, 0.8), (0.75, 0.75, 0.75), 0.5))
    bpy.ops.object.light_add(type="AREA", location=(1.5, -1.0, 3.6), rotation=(math.pi, 0, 0))
    bpy.context.object.data.energy, bpy.context.object.data.size = 900, 0.8
    bpy.ops.object.light_add(type="AREA", location=(2.5, -2.5, 4.5), rotation=(0.6, 0.4, 0.3))
    bpy.context.object.data.energy, bpy.context.object.data.size = 60, 1.2
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0.35, 0.45, 0.6, 1)
    scene.world.node_tree.nodes["Background"].inputs[1].default_value = 0.1
    _camera(scene)
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100
    return scene


def _plane(name: str, size: float, at: tuple, turned: tuple, material: bpy.types.Material) -> None:
    bpy.ops.mesh.primitive_plane_add(size=size, location=at, rotation=turned)
    bpy.context.object.name = name
    bpy.context.object.data.materials.append(material)


def _textured(name: str, one: tuple, other: tuple, scale: float) -> bpy.types.Material:
    """A chequered surface with some grain, diffuse."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = 0.8
    place, checker = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeTexChecker")
    grain, mix = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeMixRGB")
    checker.inputs["Color1"].default_value, checker.inputs["Color2"].default_value = (*one, 1), (*other, 1)
    checker.inputs["Scale"].default_value, grain.inputs["Scale"].default_value = scale * 2, scale * 6
    mix.blend_type, mix.inputs[0].default_value = "MULTIPLY", 0.6
    for node in (checker, grain):
        links.new(place.outputs["Object"], node.inputs["Vector"])
    links.new(checker.outputs["Color"], mix.inputs[1])
    links.new(grain.outputs["Fac"], mix.inputs[2])
    links.new(mix.outputs[0], shader.inputs["Base Color"])
    return material


def _camera(scene: bpy.types.Scene) -> None:
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.data.lens = 32
    for frame in range(-2, 41):
        camera.location = (-0.6 + 0.07 * frame, -4.6 + 0.05 * frame, 1.7 + 0.015 * frame)
        camera.rotation_euler = (math.radians(80 - 0.25 * frame), 0.004 * frame, math.radians(-4 - 0.7 * frame))
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)


def passes(scene: bpy.types.Scene, full: bool) -> None:
    scene.view_layers[0].name = "ViewLayer"
    if full:
        still = bpy.data.collections.new("still")
        scene.collection.children.link(still)
        for thing in list(scene.collection.objects):
            still.objects.link(thing)
            scene.collection.objects.unlink(thing)
        scene.view_layers.new("Moving").layer_collection.children["still"].indirect_only = True
    for layer in scene.view_layers:
        layer.use_pass_vector = layer.use_pass_position = layer.use_pass_z = layer.use_pass_object_index = True
        layer.cycles.denoising_store_passes = True
        for name in FULL if full else ():
            setattr(layer, f"use_pass_{name}", True)
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.use_denoising, scene.cycles.use_adaptive_sampling = "CPU", False, False
    scene.render.use_motion_blur = False  # Cycles fills Vector only without
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):  # Blender 5
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "32", "ZIP"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", default="1-6", help="such as 1-6 or 3")
    parser.add_argument("--size", default="160x90")
    parser.add_argument("--spp", type=int, default=8)
    parser.add_argument("--seeds", default="0,1", help="one for each half")
    parser.add_argument("--name", default="shot")
    parser.add_argument("--turn", type=float, default=0.06, help="radians that the ball turns in a frame")
    parser.add_argument("--full", action="store_true", help="Cryptomattes, light passes and a second view layer")
    parser.add_argument("--half-floats", action="store_true", help="16 bits a channel")
    options = parser.parse_args()
    scene = build(*map(int, options.size.split("x")), options.turn)
    passes(scene, options.full)
    if options.half_floats:
        scene.render.image_settings.color_depth = "16"
    scene.cycles.samples = options.spp
    first, _, last = options.frames.partition("-")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    options.out.mkdir(parents=True, exist_ok=True)
    for frame in range(int(first), int(last or first) + 1):
        scene.frame_set(frame)
        for half, seed in zip("ab", seeds, strict=False):
            scene.cycles.seed = 1000 * frame + seed
            part = f".{half}" if len(seeds) > 1 else ""
            scene.render.filepath = str((options.out / f"{options.name}{part}.{frame:04d}.exr").resolve())
            bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main()
