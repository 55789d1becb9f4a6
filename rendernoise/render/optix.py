"""NVIDIA's OptiX denoiser as Mitsuba offers it, a method to compare with. Needs a CUDA device."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.errors import ImageError, InputError, SceneError
from rendernoise.frame import Frame, Plane
from rendernoise.render.camera import View
from rendernoise.render.mitsuba import scene_error, start_variant
from rendernoise.render.probe import probe_variant
from rendernoise.render.spline import Array

VARIANT = "cuda_ad_rgb"


class MitsubaOptix:
    """Denoises frames with ``mi.OptixDenoiser``: OptiX' HDR model, no temporal mode.

    The albedo is used where the frame has one. The normal is used with an albedo and where the view is known: Mitsuba's
    HDR model wants it in the sensor's space, and frames have it in the world's. The denoiser stays for the next frame
    of the same size and planes. Mitsuba's variant is set for the whole process, so other variants need another one.

    Raises:
        InputError: No CUDA device answers, or Mitsuba is missing or of an unsupported version.
    """

    def __init__(self) -> None:
        probe = probe_variant(VARIANT)  # in a process of its own: a broken driver ends the process that tries it
        if not probe.works:
            raise InputError(
                f"the OptiX denoiser needs a CUDA device, and none answers ({probe.message})",
                "Leave mitsuba-optix out, or see rendernoise doctor",
            )
        #: Seconds that the denoiser took in the last call, transfers to and from the device included.
        self.execute_s = 0.0
        self._mi = start_variant(VARIANT)
        self._key: tuple[int, int, int] | None = None
        self._denoiser: Any = None

    @property
    def version(self) -> str:
        """Mitsuba's version; OptiX comes with the driver."""
        return self._mi.__version__

    def __call__(self, frame: Frame, view: View | None = None) -> Plane:
        """Denoised scene-linear radiance ``[3, H, W]`` of one frame.

        Args:
            frame: Radiance, and albedo and world-space normal where there are any.
            view: Where the frame was seen from; without it the normal is left out.

        Raises:
            ImageError: The denoiser refuses the image, for want of memory for instance.
            SceneError: The view's scene cannot be read.
        """
        guides = self._guides(frame, view)
        start = time.perf_counter()
        try:
            key = (frame.height, frame.width, len(guides))
            if key != self._key:
                self.close()
                size = [frame.width, frame.height]
                self._denoiser = self._mi.OptixDenoiser(size, albedo=len(guides) > 0, normals=len(guides) > 1)
                self._key = key
            result = np.array(self._denoiser(*(self._tensor(plane) for plane in (frame.radiance, *guides))))
        except Exception as error:
            self.close()
            reason = str(error).splitlines()[0]
            raise ImageError(
                f"OptiX refuses frame {frame.number} of {frame.width}x{frame.height} px ({reason})",
                "Free memory on the GPU or give a smaller image",
            ) from error
        self.execute_s = time.perf_counter() - start
        return np.ascontiguousarray(np.moveaxis(result, -1, 0), dtype=np.float32)

    def close(self) -> None:
        """Let the denoiser go; it may be called twice."""
        self._denoiser, self._key = None, None

    def _guides(self, frame: Frame, view: View | None) -> list[Plane]:
        """Albedo and sensor-space normal, as far as the frame and the view have them."""
        if "albedo" not in frame.planes:
            return []
        if "normal" not in frame.planes or view is None:
            return [frame.planes["albedo"]]
        to_world = view_to_world(self._mi, VARIANT, view)
        return [frame.planes["albedo"], in_sensor_space(frame.planes["normal"], to_world)]

    def _tensor(self, plane: Plane) -> Any:
        return self._mi.TensorXf(np.ascontiguousarray(np.moveaxis(plane, 0, -1)))


def in_sensor_space(normal: Plane, to_world: Array) -> Plane:
    """World-space normals ``[3, H, W]`` in the space of a camera: +X left, +Y up, +Z forward.

    Args:
        normal: What the frame has; its length is kept.
        to_world: ``[4, 4]``, rigid, camera to world.
    """
    return np.einsum("ji,jhw->ihw", to_world[:3, :3], normal).astype(np.float32)


def view_to_world(mi: Any, variant: str, view: View) -> Array:
    """Camera-to-world ``[4, 4]`` of a view: its own camera's, or that of its scene's first sensor.

    The scene is parsed, not loaded. ``mi`` is the ``mitsuba`` module with ``variant`` set.

    Raises:
        SceneError: The scene cannot be parsed or has no sensor.
    """
    if view.camera is not None:
        return view.camera.to_world
    if view.scene is None:
        raise SceneError(f"frame {view.frame} names neither a camera nor a scene")
    return _scene_to_world(mi, variant, view.scene)


def _scene_to_world(mi: Any, variant: str, scene: Path) -> Array:
    try:
        config = mi.parser.ParserConfig(variant)
        state = mi.parser.parse_file(config, str(scene))
        mi.parser.transform_upgrade(config, state)
        sensors = [node.props for node in state.nodes if node.type == mi.ObjectType.Sensor]
        if sensors:
            return np.array(sensors[0]["to_world"].matrix) if "to_world" in sensors[0] else np.eye(4)
    except Exception as error:
        raise scene_error(error, scene) from error
    raise SceneError(f"{scene} has no sensor", "Add one (perspective or thinlens)")
