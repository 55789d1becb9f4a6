"""A renderer without sampling: a small scene in closed form, with noise of known mean and variance.

It keeps the promises of a path tracer (independent seeds, positive heavy-tailed noise around the true radiance,
features of the first hit, zeros where rays leave the scene) but needs no renderer, and its truth is exact. The
surfaces are diffuse and lit by one point with hard shadows, so radiance does not depend on where the camera stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import InputError
from rendernoise.frame import Frame, Plane
from rendernoise.projection import Projection
from rendernoise.render.camera import Camera, View, look_at

Array = NDArray[np.float64]

_LIGHT = np.array([1.5, 3.0, 2.0])
_LIGHT_INTENSITY = np.array([14.0, 12.0, 9.0])
_AMBIENT = np.array([0.12, 0.15, 0.2])
_BALLS = (((-0.7, 0.6, 0.0), 0.6, (0.8, 0.25, 0.15)), ((0.8, 0.35, 0.6), 0.35, (0.2, 0.5, 0.85)))
_ROLL = 0.02  # scene units a frame that the second ball moves along -X
_FAR = 1e9


@dataclass(frozen=True)
class AnalyticRenderer:
    """Two balls on a chequered floor, one of them rolling, seen by a camera that drifts from frame to frame.

    A view's own camera replaces that drift; its scene file is not read.

    Args:
        resolution: Width and height, px.
        noise: ``gamma`` multiplies each sample by a gamma variable of mean 1; ``firefly`` also makes a rare
            sample very bright in all channels, and the others darker, so that the mean stays the same.
        shape: Shape of that gamma; the variance of one sample is reference² / shape.
        probability: Share of the samples that are fireflies.
        brightness: How many times the reference a firefly is on average; ``probability`` · ``brightness`` < 1.
        light_step: How far the light moves along -X from frame to frame, scene units.

    Raises:
        InputError: A value is out of range.
    """

    resolution: tuple[int, int] = (64, 48)
    noise: Literal["gamma", "firefly"] = "gamma"
    shape: float = 0.5
    probability: float = 0.004
    brightness: float = 100.0
    light_step: float = 0.0

    def __post_init__(self) -> None:
        if min(self.resolution) < 1:
            raise InputError(
                f"a picture of {self.resolution[0]}x{self.resolution[1]} px is empty", "Ask for 1x1 or more"
            )
        if self.noise not in ("gamma", "firefly") or self.shape <= 0:
            raise InputError(
                f"noise {self.noise!r} of shape {self.shape} is unknown", "Use gamma or firefly, shape > 0"
            )
        if not (0 < self.probability < 1 <= self.brightness and self.probability * self.brightness < 1):
            raise InputError("probability times brightness of a firefly must stay below 1", "Lower one of them")

    def render(self, view: View, *, spp: int, seed: int) -> Frame:
        """A noisy frame with radiance, albedo, normal, depth (distance along the ray) and position planes.

        The features have no noise. ``seed`` alone (0 to 2**64) decides the noise.

        Raises:
            InputError: ``spp`` is below 1 or ``seed`` is negative.
        """
        _check_spp(spp)
        if seed < 0:
            raise InputError(f"seed {seed} is negative", "Use 0 or more")
        planes = self._planes(view)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
        size = planes["radiance"].shape
        if self.noise == "gamma":
            gain = rng.standard_gamma(self.shape * spp, size)
        else:
            # A sum of n gamma variables is one of n times the shape, so any spp costs the same.
            bright = rng.binomial(spp, self.probability, size[1:])
            gain = self.brightness * rng.standard_gamma(self.shape * bright, size)
            gain += self._dim * rng.standard_gamma(self.shape * (spp - bright), size)
        planes["radiance"] = planes["radiance"] * (gain / (self.shape * spp))
        return Frame(
            {n: p.astype(np.float32) for n, p in planes.items()},
            spp=spp,
            number=view.frame,
            seed=seed,
            projection=_projection(_camera(view), *self.resolution),
        )

    def reference(self, view: View) -> Plane:
        """The true radiance ``[3, H, W]``, scene-linear, which is the mean of every render."""
        return self._planes(view)["radiance"].astype(np.float32)

    def variance(self, view: View, spp: int) -> Plane:
        """The true variance ``[3, H, W]`` of the radiance of one render; InputError when ``spp`` is below 1."""
        _check_spp(spp)
        second = 1.0  # E[X²] of the firefly factor X, whose mean is 1
        if self.noise == "firefly":
            second = self.probability * self.brightness**2 + (1 - self.probability) * self._dim**2
        per_sample = second * (1 + 1 / self.shape) - 1
        return (self._planes(view)["radiance"] ** 2 * (per_sample / spp)).astype(np.float32)

    def close(self) -> None:
        """Nothing is held, so nothing is freed."""

    @property
    def _dim(self) -> float:
        return (1 - self.probability * self.brightness) / (1 - self.probability)

    def _planes(self, view: View) -> dict[str, Array]:
        start, rays = _rays(_camera(view), *self.resolution)
        depth, normal, albedo = _hit(start, rays, view.frame)
        hit = depth < _FAR
        position = np.where(hit, start + rays * np.where(hit, depth, 0.0), 0.0)
        at = _LIGHT - (self.light_step * view.frame, 0, 0)
        to_light = at[:, None, None] - position
        distance = np.linalg.norm(to_light, axis=0)
        to_light /= distance
        lit = _hit(position + 1e-6 * normal, to_light, view.frame)[0] > distance
        cosine = np.maximum((normal * to_light).sum(axis=0), 0.0)
        light = _AMBIENT[:, None, None] + _LIGHT_INTENSITY[:, None, None] * (lit * cosine / (np.pi * distance**2))
        sky = np.array([0.3, 0.5, 0.9])[:, None, None] * (0.4 + np.maximum(rays[1], 0.0))
        radiance = np.where(hit, albedo * light, sky)
        depth = np.where(hit, depth, 0.0)[None]
        return {"radiance": radiance, "albedo": albedo, "normal": normal, "depth": depth, "position": position}


def _check_spp(spp: int) -> None:
    if spp < 1:
        raise InputError(f"{spp} samples per pixel is no picture", "Use 1 or more")


def _camera(view: View) -> Camera:
    """The view's own camera, or one that drifts with the frame number."""
    angle = 0.01 * view.frame
    eye = (5 * np.sin(angle), 2.0, 5 * np.cos(angle))
    return view.camera or Camera(look_at(eye, (0.0, 0.6, 0.0)))


def _projection(camera: Camera, width: int, height: int) -> Projection:
    slope = np.tan(np.radians(camera.fov_deg or 45.0) / 2)
    film = np.array(
        [[-0.5 / slope, 0.0, 0.5, 0.0], [0.0, -0.5 * width / (height * slope), 0.5, 0.0], [0.0, 0.0, 1.0, 0.0]]
    )
    return Projection((film @ np.linalg.inv(camera.to_world)).astype(np.float64))


def _rays(camera: Camera, width: int, height: int) -> tuple[Array, Array]:
    """Origin ``[3, 1, 1]`` and unit directions ``[3, H, W]`` through the pixel centres."""
    slope = np.tan(np.radians(camera.fov_deg or 45.0) / 2)
    x = (1 - (np.arange(width) + 0.5) * 2 / width) * slope
    y = (height / width - (np.arange(height) + 0.5) * 2 / width) * slope
    local = np.stack([*np.meshgrid(x, y), np.ones((height, width))])
    rays = np.einsum("ij,jhw->ihw", camera.to_world[:3, :3], local)
    return camera.to_world[:3, 3][:, None, None], rays / np.linalg.norm(rays, axis=0)


def _hit(start: Array, rays: Array, frame: int) -> tuple[Array, Array, Array]:
    """Distance ``[H, W]`` to the nearest surface (``_FAR`` for none), its normal and albedo ``[3, H, W]``."""
    steep = np.where(np.abs(rays[1]) > 1e-9, rays[1], 1e-9)
    floor = -start[1] / steep
    best = np.where((floor > 0) & (floor < 30), floor, _FAR)
    x, _, z = start + rays * np.minimum(best, 30.0)
    tiles = 0.25 + 0.5 * ((np.floor(x) + np.floor(z)) % 2)
    grain = tiles * (1 + 0.2 * np.sin(9 * x) * np.sin(7 * z))
    found = best < _FAR
    albedo = np.stack([grain, 0.9 * grain, 0.8 * grain]) * found
    normal = np.array([0.0, 1.0, 0.0])[:, None, None] * found
    for index, (center, radius, color) in enumerate(_BALLS):
        offset = start - (np.array(center) - [index * _ROLL * frame, 0, 0])[:, None, None]
        half = (offset * rays).sum(axis=0)
        inside = half**2 - (offset**2).sum(axis=0) + radius**2
        near = -half - np.sqrt(np.maximum(inside, 0.0))
        closer = (inside > 0) & (near > 0) & (near < best)
        best = np.where(closer, near, best)
        outward = (offset + rays * near) / radius
        normal = np.where(closer, outward, normal)
        stripes = 0.8 + 0.2 * np.sin(20 * outward[1])
        albedo = np.where(closer, np.array(color)[:, None, None] * stripes, albedo)
    return best, normal, albedo
