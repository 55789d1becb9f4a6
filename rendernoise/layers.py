"""Further layers of a file denoised beside its radiance: AOVs of light such as diffuse or one light's share, and alpha.

Each layer goes through the network by itself, with the frame's features and an exposure of its own: its light is
smoother or rougher than the sum's, and kernels that were made for the sum blur the one and leave noise in the other
(docs/denoiser.md). Layers that sum up to the noisy radiance are then made shares of the denoised one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError, InputError
from rendernoise.frame import HISTORY_PLANES, Frame, FramePair, Plane
from rendernoise.guard import merge_halves
from rendernoise.io.exr import Exr, replace_channels, resolve_roles
from rendernoise.io.exr_look import cryptomattes, look, size_text
from rendernoise.io.roles import color_layers, color_pass, is_share

#: Where a layer is 0 within so many px on each side it stays 0. With fewer, the gaps between the samples of a rare
#: light would show in what is denoised.
SETTLED_PX = 8
#: Light that is drawn, not sampled, as emission is, lies within so many px of 3×3 equal pixels.
DRAWN_PX = 2
#: How far the sum of layers may be off by rounding, relative to what is added: half floats by their spacing, float32
#: by what renderers lose as they add samples up in float32.
ROUNDING = {np.dtype(np.float16): 2.0**-10, np.dtype(np.float32): 1e-5}
#: The spacing of the smallest half floats.
TINY = 2.0**-24

Render = tuple[Exr, Frame]


@dataclass(frozen=True)
class Layers:
    """Which layers are denoised beside the radiance of a beauty.

    Args:
        colors: Layer name to its R, G and B channels, names as in ``Exr.channel_map``.
        tints: Of layers that must be multiplied by a colour to be light (:func:`rendernoise.io.roles.color_pass`), the
            channels of that colour.
        alpha: The alpha channel; None leaves alpha as it is.
        roles: Plane name to layer, where names do not tell.
        note: Takes what is worth telling.
        beauty: The radiance's layer, where files have several; None for the first one.
    """

    colors: Mapping[str, tuple[str, ...]]
    alpha: str | None = None
    roles: Mapping[str, str] | None = None
    note: Callable[[str], None] = lambda text: None
    beauty: str | None = None
    tints: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    _said: set[str] = field(default_factory=set[str], compare=False)

    @classmethod
    def find(
        cls,
        path: Path,
        patterns: Sequence[str] = (),
        alpha: str = "keep",
        *,
        roles: Mapping[str, str] | None = None,
        note: Callable[[str], None] = lambda text: None,
        beauties: Sequence[str | None] = (None,),
    ) -> dict[str | None, Layers]:
        """The layers of a file that patterns mean, for each of its beauties.

        Those of a view layer or view belong to its beauty, and those that stand elsewhere to the first one.

        Args:
            path: The file, which has radiance.
            patterns: Of layer names, whole or behind the last dot, without regard to case: ``light_*``.
            alpha: ``denoise``, or ``keep``.
            roles: Plane name to layer, where names do not tell.
            note: Takes what is worth telling.
            beauties: The radiances' layers.

        Raises:
            InputError: A pattern matches no layer of light, or there is no alpha to denoise.
            ImageError: The file cannot be read, or has no radiance.
        """
        if not patterns and alpha == "keep":
            return {beauty: cls({}) for beauty in beauties}
        exr = look(path)
        places, found = exr.channel_map(), [resolve_roles(exr, roles, beauty) for beauty in beauties]
        floats = [n for n, (part, channel) in places.items() if exr.parts[part].channels[channel].dtype in ROUNDING]
        there = color_layers(floats, found, cryptomattes(path))
        for pattern in patterns:
            if not any(_matches(name, pattern) for own in there for name in own):
                names = [name for own in there for name in own]
                raise InputError(
                    f"--aov {pattern} matches no layer of light in {path}", f"Candidates: {', '.join(names) or 'none'}"
                )
        alphas = [_alpha(places, each) if alpha == "denoise" else None for each in found]
        if alpha == "denoise" and not any(alphas):
            beside = " ".join(found[0]["radiance"])
            raise InputError(f"{path} has no alpha beside {beside}", "Leave --alpha denoise out")
        layers: dict[str | None, Layers] = {}
        for beauty, own, its in zip(beauties, there, alphas, strict=True):
            chosen = {n: own[n] for pattern in patterns for n in own if _matches(n, pattern)}
            tints = {n: tint for n in chosen if (tint := color_pass(floats, n))}
            layers[beauty] = cls(chosen, its, roles, note, beauty, tints)
        return layers

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON values for events: the channels of each layer, and the alpha channel."""
        return {"layers": {name: list(channels) for name, channels in self.colors.items()}, "alpha": self.alpha}

    def denoised(
        self, denoiser: Denoiser, renders: Sequence[Render], radiance: Plane, path: Path
    ) -> dict[str, np.ndarray]:
        """The denoised layers: channels ``[H, W]`` by their names.

        Args:
            denoiser: The weights.
            renders: The image and the frame that is in it; two of each for two halves.
            radiance: The denoised radiance ``[3, H, W]`` that is written.
            path: The first image's, for errors.

        Raises:
            ImageError: An image lacks a layer, or a layer covers other pixels than the radiance or is not finite.
        """
        exr, frames = renders[0][0], [frame for _, frame in renders]
        if not self.colors and self.alpha is None:
            return {}
        beauty = resolve_roles(exr, self.roles, self.beauty)["radiance"]

        def each(channels: tuple[str, ...]) -> list[Plane]:
            return [_planes(e, channels, beauty[0], path) for e, _ in renders]

        noisy = {name: each(channels) for name, channels in self.colors.items()}
        self._warn(noisy, path)
        tints = {name: each(channels) for name, channels in self.tints.items()}
        shares = {name: planes for name, planes in noisy.items() if is_share(name)}
        holds = len(beauty) == 3 and self._sum_up(renders, shares, {}, beauty)
        if holds:
            tints = {}
        noisy |= {name: _times(noisy[name], own) for name, own in tints.items()}
        if tints and len(beauty) == 3:
            holds = self._sum_up(renders, {name: noisy[name] for name in shares}, tints, beauty)
        if shares:
            self._tell_sum(list(shares), holds, bool(tints))
        clean = {
            name: np.mean(noisy[name], axis=0)
            if all(map(_drawn, noisy[name]))
            else clean_layer(denoiser, frames, noisy[name])
            for name in self.colors
        }
        # What is multiplied by 0 can be nobody's share.
        clean |= {name: np.where(own[0] > 0, clean[name], 0) for name, own in tints.items()}
        lit = {name: np.where(_settled(noisy[name], 0), 0, plane) for name, plane in clean.items()}
        if holds:
            written = _planes(replace_channels(exr, dict(zip(beauty, radiance, strict=True))), beauty, beauty[0], path)
            parts = split(written, [lit[name] for name in shares], [clean[name] for name in shares])
            lit |= dict(zip(shares, parts, strict=True))
        lit |= {
            name: np.where(own[0] > 0, lit[name] / np.where(own[0] > 0, own[0], 1), 0) for name, own in tints.items()
        }
        pixels = {c: p for name, plane in lit.items() for c, p in zip(self.colors[name], plane, strict=True)}
        if self.alpha:
            alphas = each((self.alpha,))
            self._warn({self.alpha: alphas}, path)
            pixels[self.alpha] = clean_alpha(denoiser, frames, alphas)
        bad = next((name for name, plane in pixels.items() if not np.isfinite(plane).all()), None)
        if bad:
            raise ImageError(f"{path}: {bad} is not finite when denoised", "It is beyond what float32 can scale")
        return pixels

    def _warn(self, noisy: Mapping[str, list[Plane]], path: Path) -> None:
        """Count what is read as 0."""
        for name, planes in noisy.items():
            if bad := sum(int((~np.isfinite(plane) | (plane < 0)).any(0).sum()) for plane in planes):
                self._say(f"warning: {path} has {bad} pixel(s) of {name} that are NaN, infinite or negative, read as 0")

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.note(f"{self.beauty}: {text}" if self.beauty else text)

    def _sum_up(
        self,
        renders: Sequence[Render],
        shares: Mapping[str, list[Plane]],
        tints: Mapping[str, object],
        beauty: tuple[str, ...],
    ) -> bool:
        """Whether layers, some of them multiplied by a colour, are shares of the radiance, in each half."""
        exr = renders[0][0]
        roundings = [
            _rounding(exr, self.colors[name]) + (_rounding(exr, self.tints[name]) if name in tints else 0)
            for name in shares
        ]
        return bool(shares) and all(
            sums_up([planes[i] for planes in shares.values()], frame.radiance, roundings, _rounding(exr, beauty))
            for i, (_, frame) in enumerate(renders)
        )

    def _tell_sum(self, names: Sequence[str], holds: bool, tinted: bool) -> None:
        times = " (times their colour passes)" if tinted else ""
        self._say(
            f"{', '.join(names)}{times} sum up to the radiance, and do when denoised"
            if holds
            else f"{', '.join(names)}{times} do not sum up to the radiance: each is denoised by itself"
        )


def sums_up(layers: Sequence[Plane], radiance: Plane, roundings: Sequence[float], rounding: float) -> bool:
    """Whether layers ``[3, H, W]`` sum up to the radiance at each pixel, but for how both were rounded.

    Pixels that are not finite in any of them do not count.

    Args:
        layers: What is added.
        radiance: What should come out.
        roundings: The relative rounding of each layer.
        rounding: That of the radiance.
    """
    total, allowed = -radiance.astype(np.float64), rounding * np.abs(radiance, dtype=np.float64) + TINY
    with np.errstate(invalid="ignore"):
        for layer, own in zip(layers, roundings, strict=True):
            total += layer
            allowed += own * np.abs(layer) + TINY
        return not bool((np.abs(total) > allowed)[np.isfinite(total)].any())


def split(total: Plane, layers: Sequence[Plane], instead: Sequence[Plane]) -> list[Plane]:
    """The layers, all ``[3, H, W]`` and at least 0, scaled by one factor in each value so that they sum up to a total.

    What a sum is off is shared in proportion to the layers, so none becomes negative and black stays black.

    Args:
        total: At least 0.
        layers: What is scaled.
        instead: What takes the place of all layers where all are 0 and the total is not.
    """

    def sums(planes: Sequence[Plane]) -> np.ndarray:
        return np.asarray(np.sum(planes, axis=0, dtype=np.float64))

    own, other = sums(layers), sums(instead)
    taken = [np.where(own > 0, plane, spare) for plane, spare in zip(layers, instead, strict=True)]
    factor = total / np.maximum(np.where(own > 0, own, other), np.finfo(np.float64).tiny)
    return [(plane * factor).astype(np.float32) for plane in taken]


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition(".")[2], pattern)


def _alpha(places: Mapping[str, Any], found: Mapping[str, tuple[str, ...]]) -> str | None:
    """The alpha channel beside the radiance."""
    layer, dot, _ = found["radiance"][0].rpartition(".")
    return next((n for n in places if n.lower() == f"{layer}{dot}a".lower()), None)


def _rounding(exr: Exr, channels: tuple[str, ...]) -> float:
    places = exr.channel_map()
    return max(ROUNDING.get(exr.parts[part].channels[name].dtype, 0.0) for part, name in (places[c] for c in channels))


def _planes(exr: Exr, channels: tuple[str, ...], beauty: str, path: Path) -> Plane:
    """Channels as float32 ``[C, H, W]``, on the pixels of the radiance."""
    places = exr.channel_map()
    missing = [name for name in (*channels, beauty) if name not in places]
    if missing:
        raise ImageError(f"{path} or its other half has no {missing[0]}", "Render the same layers in every frame")
    parts = [exr.parts[places[name][0]] for name in (*channels, beauty)]
    for name, part in zip(channels, parts, strict=False):
        if part.data_window != parts[-1].data_window:
            assert part.data_window is not None  # filled in by Part
            raise ImageError(
                f"{name} of {path} is {size_text(part.data_window)}, and the radiance is not",
                "Render all layers with one data window, or leave this one out of --aov",
            )
    own = [part.channels[places[name][1]] for name, part in zip(channels, parts, strict=False)]
    return np.stack(own).astype(np.float32)


def _times(layers: Sequence[Plane], tints: Sequence[Plane]) -> list[Plane]:
    """Layers multiplied by colours; 0 where a colour is 0 or no colour."""
    with np.errstate(invalid="ignore", over="ignore"):
        return [np.where(tint > 0, layer * tint, 0) for layer, tint in zip(layers, tints, strict=True)]


def clean_layer(denoiser: Denoiser, frames: Sequence[Frame], layers: Sequence[Plane]) -> Plane:
    """A layer ``[3, H, W]`` denoised as the radiance is, from one render or two.

    What other frames know of the radiance says nothing of the layer.
    """
    inputs = [
        replace(frame, planes={**{n: p for n, p in frame.planes.items() if n not in HISTORY_PLANES}, "radiance": layer})
        for frame, layer in zip(frames, layers, strict=True)
    ]
    if len(inputs) == 1:
        return np.maximum(denoiser.radiance(inputs[0]), 0)
    pair = FramePair.of_halves(*inputs)
    return merge_halves(pair, *denoiser.halves(pair))[0].radiance


def clean_alpha(denoiser: Denoiser, frames: Sequence[Frame], alphas: Sequence[Plane]) -> Plane:
    """Alpha denoised, ``[H, W]`` within 0 to 1; where it is 0 or 1 all around it stays so.

    Alpha a and what it leaves free, 1 − a, are denoised as grey layers and made shares of 1: what the network darkens
    in both does not count. Features have the very noise of alpha, as both come of where samples fall at edges, so they
    would teach the network to keep it. It goes without them where the weights bear that (docs/denoiser.md).
    """
    if denoiser.model.spec.bears_absence:
        frames = [replace(frame, planes={"radiance": frame.radiance}) for frame in frames]
    greys = [np.clip(alpha, 0, 1).repeat(3, axis=0) for alpha in alphas]
    covered, free = (clean_layer(denoiser, frames, side).mean(0) for side in (greys, [1 - grey for grey in greys]))
    share = covered / np.maximum(covered + free, np.finfo(np.float32).tiny)
    share = np.where(_settled(alphas, 1), 1, np.clip(share, 0, 1))
    return np.where(_settled(alphas, 0), 0, share).astype(np.float32)


def _settled(planes: Sequence[Plane], value: float) -> np.ndarray:
    """Where all renders have a value in all channels within :data:`SETTLED_PX`, ``[H, W]``."""
    return ~_dilated(np.any([(plane != value).any(0) for plane in planes], axis=0), SETTLED_PX)


def _drawn(plane: Plane) -> bool:
    """Whether a layer has no noise: all but black is near 3×3 equal pixels, as in emission. Black layers have none."""
    image = torch.from_numpy(plane)
    flat = (F.max_pool2d(image, 3, 1, 1) == -F.max_pool2d(-image, 3, 1, 1)).all(0).numpy()
    lit = (plane != 0).any(0)
    usable = bool(np.isfinite(plane).all() and (plane >= 0).all())
    return usable and not bool((lit & ~_dilated(flat & lit, DRAWN_PX)).any())


def _dilated(mask: np.ndarray, px: int) -> np.ndarray:
    """Pixels ``[H, W]`` that have one of a mask within so many px in x and in y."""
    image, side = torch.from_numpy(mask).float()[None], 2 * px + 1
    image = F.max_pool2d(image, (side, 1), 1, (px, 0))
    return F.max_pool2d(image, (1, side), 1, (0, px))[0].numpy() > 0
