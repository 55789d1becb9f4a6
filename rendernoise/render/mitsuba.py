"""Mitsuba 3 as a renderer. The only module that imports ``mitsuba``, and only once a renderer is made.

Three things are forced on every scene, for the statistics: the independent sampler (others repeat their
points between seeds), the box filter (others correlate neighbouring pixels), and an RGB film. The scene's own
integrator is kept. Features are rendered in a launch of their own with the same seed, so radiance is what it is
without them, bit for bit; both draw the camera sample first and so share their rays.

The JIT variants render the features of :mod:`rendernoise.render.features`, which see through glass and mirrors. The
scalar variants cannot run integrators written in Python at a bearable cost: there Mitsuba's ``aov`` integrator
describes the first hit, whatever it is, and roughness is 1 wherever something was hit. (They draw a pixel's samples one
after the other from one generator, so there only the first has the same ray; the others have rays of their own in
the same pixel.)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.errors import InputError, RendernoiseError, SceneError
from rendernoise.frame import Frame, Plane
from rendernoise.render.camera import Camera, View
from rendernoise.render.features import FEATURE_CHANNELS, feature_integrator
from rendernoise.render.rays import projection_of
from rendernoise.render.scene_nodes import children, fingerprint_of, keep_only, put_plain, subtree, unwrap_aov
from rendernoise.seeds import jit_seed, scalar_seed

VARIANTS = ("cuda_ad_rgb", "llvm_ad_rgb", "scalar_rgb")
SUPPORTED = ((3, 7), (3, 10))
#: Path states that one kernel launch may hold; bounds memory and stays far from the 2³² that Mitsuba splits at.
MAX_WAVEFRONT = 1 << 23
SCALAR_BLOCK_PX = 32
#: What the scalar variants give of :data:`rendernoise.render.features.FEATURE_CHANNELS`, in that order.
_AOVS = "albedo:albedo,normal:sh_normal,depth:depth,position:position"

#: Parts of Mitsuba's messages, and what helps.
_CURES = (
    ("unreferenced propert", "Remove the property that it names, or convert the scene with Mitsuba's own upgrade"),
    ("Plugin ", "Use a plugin that this Mitsuba has (for an integrator: path or volpath)"),
    ("file not found", "Check the path; it is relative to the scene file"),
    ("File not found", "Check the path of the scene"),
    ("does not exist", "Check the path; it is relative to the scene file"),
    ("Parsing of XML file", "Mend the XML there"),
    ("unreferenced parameter", "Remove the parameter or use it"),
)


@dataclass(frozen=True)
class SceneOptions:
    """What the command line may change about a scene.

    Args:
        variant: A Mitsuba variant.
        resolution: (width, height) in px; None for the film's own.
        threads: Threads that rendering may use; 0 for all.
        frames: First and last frame of the shot; the scalar variants count their seeds over it.
    """

    variant: str = "scalar_rgb"
    resolution: tuple[int, int] | None = None
    threads: int = 0
    frames: tuple[int, int] = (0, 0)


def check_version(version: str) -> None:
    """Raise ``InputError`` when this Mitsuba is outside the supported range (3.7 to 3.9)."""
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    low, high = SUPPORTED
    if not low <= found < high:
        raise InputError(
            f"Mitsuba {version} is not supported",
            f'pip install "mitsuba>={low[0]}.{low[1]},<{high[0]}.{high[1]}"',
        )


def start_variant(variant: str) -> Any:
    """The ``mitsuba`` module, with ``variant`` set for this process.

    Raises:
        InputError: Mitsuba is missing or of an unsupported version, or the variant does not start.
    """
    try:
        import mitsuba
    except ImportError as error:
        raise InputError("Mitsuba is not installed", 'pip install "mitsuba>=3.7,<3.10"') from error
    mi: Any = mitsuba
    check_version(mi.__version__)
    try:
        mi.set_variant(variant)
    except Exception as error:
        raise InputError(
            f"Mitsuba variant {variant} does not start here ({str(error).splitlines()[0]})",
            "See rendernoise doctor, or use --variant scalar_rgb",
        ) from error
    mi.set_log_level(mi.LogLevel.Error)
    return mi


def scene_error(error: Exception, scene: Path) -> SceneError:
    """Mitsuba's exception as one line: file and line, what is wrong, the cure."""
    text = re.sub(r"\[[\w.]+\.cpp:\d+\] ", "", str(error))
    text = re.sub(r"\s*\n\s*-?\s*", " ", text).strip().rstrip("!.")
    cure = next((cure for part, cure in _CURES if part in text), "Open the scene with `mitsuba` to see more")
    return SceneError(text if str(scene) in text or scene.name in text else f"{scene}: {text}", cure)


def spp_chunks(spp: int, pixels: int) -> list[int]:
    """``spp`` as powers of two, each small enough for one kernel launch.

    Powers of two keep a pixel's samples within one SIMD packet, so that sums do not depend on the order of threads
    and the same seed gives the same bits (measured: 5 spp in one launch differ in 1 of 4 runs).
    """
    largest = 1
    while 2 * largest * pixels <= MAX_WAVEFRONT:
        largest *= 2
    chunks = [largest] * (spp // largest)
    rest = spp % largest
    return chunks + [1 << bit for bit in reversed(range(rest.bit_length())) if rest >> bit & 1]


@dataclass
class _LoadedScene:
    """A scene in memory, with the fingerprint of everything but its sensor."""

    fingerprint: int
    scene: Any
    notes: list[str] = field(default_factory=list)


class MitsubaRenderer:
    """Renders views of Mitsuba scenes to frames with features.

    Consecutive views whose files differ only in the sensor share one loaded scene: loading is slow and leaks.

    Args:
        options: Variant, resolution, threads, frames.

    Raises:
        InputError: Mitsuba is missing or of an unsupported version, or the variant does not start.
    """

    def __init__(self, options: SceneOptions | None = None) -> None:
        self.options = options or SceneOptions()
        self._mi = start_variant(self.options.variant)
        self._set_threads(self.options.threads)
        self._loaded: _LoadedScene | None = None
        self._search_paths = [str(entry) for entry in self._mi.file_resolver()]
        self._features = self._feature_integrator()
        self.notes: list[str] = []
        if not self.options.variant.startswith("scalar"):
            self.try_out()

    def try_out(self) -> None:
        """Render 4×4 pixels: compiled kernels can fail, and end the process, where everything loads."""
        mi = self._mi
        film = {"type": "hdrfilm", "width": 4, "height": 4, "rfilter": {"type": "box"}}
        to_world = mi.ScalarTransform4f().look_at([0, 0, 4], [0, 0, 0], [0, 1, 0])
        sensor = mi.load_dict({"type": "perspective", "fov": 40, "to_world": to_world, "film": film})
        image = self._image(mi.load_dict(mi.cornell_box()), spp=1, sensor=sensor)
        assert image.shape[:2] == (4, 4)
        assert np.isfinite(image).all()

    def _feature_integrator(self) -> Any:
        if self.options.variant.startswith("scalar"):
            return self._mi.load_dict({"type": "aov", "aovs": _AOVS})
        import drjit

        return feature_integrator(self._mi, drjit)

    @property
    def version(self) -> str:
        """Mitsuba's version."""
        return self._mi.__version__

    def close(self) -> None:
        """Let the scene go."""
        self._loaded = None

    def render(self, view: View, *, spp: int, seed: int) -> Frame:
        """Radiance and features of one view, all from the same rays.

        The planes are radiance and those of :data:`rendernoise.render.features.FEATURE_CHANNELS`, with albedo and
        roughness in [0, 1].

        Args:
            view: The scene file of the frame, and a camera when it overrides the scene's own.
            spp: Samples per pixel, 1 or more.
            seed: A packed :class:`rendernoise.seeds.Stream`.

        Raises:
            SceneError: Mitsuba rejects the scene; one line with file, line and cure.
        """
        if view.scene is None:
            raise SceneError(f"frame {view.frame} names no scene file")
        try:
            scene, sensor = self._load(view.scene, view.camera)
            width, height = (int(v) for v in sensor.film().crop_size())
            radiance = np.zeros((height, width, 3))
            features: Any = 0.0
            projection = projection_of(self._mi, scene, sensor)
            for share, chunk_spp, chunk_seed in self._plan(spp, seed, width, height):
                shot = {"sensor": sensor, "spp": chunk_spp, "seed": chunk_seed}
                radiance += share * self._image(scene, **shot)
                features += share * self._image(scene, integrator=self._features, **shot)
        except RendernoiseError:
            raise
        except Exception as error:
            raise scene_error(error, view.scene) from error
        return Frame(
            planes={"radiance": _plane(radiance), **_features(features)},
            spp=spp,
            number=view.frame,
            seed=seed,
            metadata={"scene": view.scene.name, "variant": self.options.variant, "mitsuba": self.version},
            projection=projection,
        )

    def render_bare(self, view: View, *, spp: int, seed: int) -> None:
        """``mi.render`` of the scene's own integrator and nothing else: the yardstick of benchmarks."""
        assert view.scene is not None
        scene, sensor = self._load(view.scene, view.camera)
        width, height = (int(v) for v in sensor.film().crop_size())
        for _, chunk_spp, chunk_seed in self._plan(spp, seed, width, height):
            self._image(scene, sensor=sensor, spp=chunk_spp, seed=chunk_seed)

    def _image(self, scene: Any, **arguments: Any) -> np.ndarray:
        return np.array(self._mi.render(scene, **arguments))

    def _plan(self, spp: int, seed: int, width: int, height: int) -> Iterator[tuple[float, int, int]]:
        """The launches that make up one render: share of the mean, spp, seed."""
        if self.options.variant.startswith("scalar"):
            block = SCALAR_BLOCK_PX
            yield 1.0, spp, scalar_seed(seed, width=width, height=height, block=block, frames=self.options.frames)
            return
        chunks = spp_chunks(spp, width * height)
        for index, chunk in enumerate(chunks):
            yield chunk / spp, chunk, jit_seed(seed, chunk=index, chunks=len(chunks))

    def _set_threads(self, threads: int) -> None:
        import drjit

        if threads:
            drjit.set_thread_count(threads)

    def _load(self, path: Path, camera: Camera | None) -> tuple[Any, Any]:
        """The scene and the sensor of one view, loaded with more than one thread.

        Mitsuba 3.9 waits for ever where its pool has one thread and an EXR texture is read, or a scene is rejected
        while its parts load in parallel. So loading has two threads at least, and goes part by part, which takes no
        longer (0.42 s against 0.37 s to 0.59 s for 66 meshes).
        """
        self._set_threads(max(2, self.options.threads))
        try:
            return self._load_parts(path, camera)
        finally:
            self._set_threads(self.options.threads)

    def _load_parts(self, path: Path, camera: Camera | None) -> tuple[Any, Any]:
        """The scene and the sensor of one view; the scene is reused while nothing but the sensor changes."""
        parser = self._mi.parser
        self._resolve_from(path.parent.resolve())
        config = parser.ParserConfig(self.options.variant)
        config.parallel = False
        # Merged meshes come in another order in every process (of their addresses), and with them the lights that a
        # random number picks: the same seed would not give the same image again.
        config.merge_meshes = False
        fingerprint = fingerprint_of(self._mi, parser.parse_file(config, str(path)), path.parent)
        state = parser.parse_file(config, str(path))
        parser.transform_upgrade(config, state)
        parser.transform_resolve_references(config, state)
        sensor_index, notes = self._force(state, camera, path)
        film_and_sampler_only = len(subtree(self._mi, state, sensor_index)) <= 4
        if self._loaded and self._loaded.fingerprint == fingerprint and film_and_sampler_only:
            keep_only(self._mi, state, sensor_index)
            parser.transform_all(config, state)
            self.notes = notes
            return self._loaded.scene, _scene_of(parser.instantiate(config, state)).sensors()[0]
        parser.transform_all(config, state)
        self._loaded = None  # two scenes need not be in memory at once
        scene = _scene_of(parser.instantiate(config, state))
        self._loaded = _LoadedScene(fingerprint, scene, notes)
        self.notes = notes
        return scene, scene.sensors()[0]

    def _resolve_from(self, folder: Path) -> None:
        """Relative file names in a scene are meant relative to the scene, not to the working directory."""
        resolver = self._mi.file_resolver()
        kept = [str(entry) for entry in resolver]
        if kept[:1] != [str(folder)]:
            resolver.clear()
            for entry in [str(folder), *self._search_paths]:
                resolver.append(entry)

    def _force(self, state: Any, camera: Camera | None, path: Path) -> tuple[int, list[str]]:
        """Edit the parsed scene: sampler, filter, film, camera; returns the sensor's node and what was replaced."""
        mi, kinds = self._mi, self._mi.ObjectType
        sensors = [i for i, node in enumerate(state.nodes) if node.type == kinds.Sensor]
        if not sensors:
            raise SceneError(f"{path} has no sensor", "Add one (perspective or thinlens)")
        notes: list[str] = []
        unwrap_aov(mi, state, notes)
        sensor_index = sensors[0]
        of_sensor = {state.nodes[i].type: i for i in children(mi, state, sensor_index)}
        sampler = put_plain(mi, state, sensor_index, of_sensor.get(kinds.Sampler), kinds.Sampler, "independent")
        if sampler not in ("", "independent"):
            notes.append(f"sampler {sampler} replaced by independent: its points repeat between seeds")
        if kinds.Film not in of_sensor:
            put_plain(mi, state, sensor_index, None, kinds.Film, "hdrfilm")
            of_sensor = {state.nodes[i].type: i for i in children(mi, state, sensor_index)}
        film_index = of_sensor[kinds.Film]
        film = state.nodes[film_index].props
        if film.plugin_name() != "hdrfilm":
            notes.append(f"film {film.plugin_name()} replaced by hdrfilm")
            film.set_plugin_name("hdrfilm")
        film["pixel_format"] = "rgb"
        filters = [i for i in children(mi, state, film_index) if state.nodes[i].type == kinds.ReconstructionFilter]
        old = put_plain(mi, state, film_index, filters[0] if filters else None, kinds.ReconstructionFilter, "box")
        if old != "box":
            notes.append(f"filter {old or 'gaussian (the default)'} replaced by box: others correlate neighbours")
        if self.options.resolution:
            film["width"], film["height"] = self.options.resolution
            for name in [n for n in film.keys() if n.startswith("crop_")]:
                del film[name]
        if camera is not None:
            props = state.nodes[sensor_index].props
            props["to_world"] = mi.ScalarTransform4f(camera.to_world.tolist())
            if camera.fov_deg is not None:
                if "focal_length" in props:
                    del props["focal_length"]
                props["fov"], props["fov_axis"] = float(camera.fov_deg), "x"
        return sensor_index, notes


def _scene_of(made: Any) -> Any:
    return made[0] if isinstance(made, list) else made


def _plane(image: np.ndarray) -> Plane:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0), dtype=np.float32)


def _features(image: np.ndarray) -> dict[str, Plane]:
    """Rendered channels as planes; the aov integrator's albedo is up to 26 on rough metal, and it has no roughness."""
    widths = [len(channels) for _, channels in FEATURE_CHANNELS]
    if image.shape[-1] < sum(widths):
        hit = image[..., sum(widths[:2]) : sum(widths[:3])] > 0
        image = np.concatenate([image, hit], axis=-1)
    image = np.nan_to_num(image[..., -sum(widths) :], posinf=0.0, neginf=0.0)
    parts = np.split(image, np.cumsum(widths)[:-1], axis=-1)
    planes = {name: _plane(part) for (name, _), part in zip(FEATURE_CHANNELS, parts, strict=True)}
    planes["albedo"] = np.clip(planes["albedo"], 0, 1)
    return planes


def main_probe() -> None:
    """Render 4×4 pixels in the variant that the command line names: ``python -m rendernoise.render.mitsuba VARIANT``.

    A process of its own, because a broken LLVM or driver ends the process that tries it.
    """
    renderer = MitsubaRenderer(SceneOptions(variant=sys.argv[1]))
    renderer.try_out()
    print(f"rendered 4x4 with Mitsuba {renderer.version}")


if __name__ == "__main__":
    main_probe()
