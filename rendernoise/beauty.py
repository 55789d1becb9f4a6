"""One beauty of the files of a run: each is denoised as if it were alone, by its own features and neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.confidence import ErrorEstimate, frame_estimates
from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError
from rendernoise.frame import FramePair, Plane
from rendernoise.guard import Judgement
from rendernoise.history import Surface
from rendernoise.io.exr import Exr, replace_channels, replace_radiance
from rendernoise.io.exr_look import look, radiance_window, roles_of, size_text
from rendernoise.layers import Layers
from rendernoise.sources.beauties import Beauties
from rendernoise.sources.decoding import Decoded
from rendernoise.sources.exr_pairs import same_picture
from rendernoise.sources.shots import Emit, FrameFiles, Shots


@dataclass(frozen=True)
class Denoised:
    """A denoised beauty.

    Args:
        beauty: Its layer; None for the first one of a file.
        roles: Plane name to layer, where names do not tell.
        radiance: ``[3, H, W]``.
        layers: What is denoised beside it: channels ``[H, W]`` by their names.
        estimate: How wrong the radiance is; None where nothing tells.
    """

    beauty: str | None
    roles: Mapping[str, str] | None
    radiance: Plane
    layers: Mapping[str, np.ndarray]
    estimate: ErrorEstimate | None


@dataclass(frozen=True)
class Beauty:
    """A beauty of the files of a run.

    Args:
        shots: Its sequences: where its planes are, and what surrounds a frame.
        layers: What is denoised beside it.
        note: Takes what is worth telling.
    """

    shots: Shots
    layers: Layers
    note: Callable[[str], None]

    def denoised(
        self, denoiser: Denoiser, files: FrameFiles, decoded: Decoded, around: list[list[Surface]]
    ) -> Denoised:
        """The beauty of a frame.

        Args:
            denoiser: The weights.
            files: Of the frame.
            decoded: Their content.
            around: What the frames around it show, from its shots.

        Raises:
            ImageError: A plane that the weights need or a layer is not there, halves differ in size, or the result is
                not finite.
        """
        roles, beauty = self.shots.roles, self.shots.beauty
        paths = [path for path in (files.path, files.half) if path is not None]
        found = [roles_of(exr, path, roles, beauty) for exr, path in zip(decoded.exrs, paths, strict=True)]
        for planes, path in zip(found, paths, strict=True):
            _check_planes(planes, denoiser.model.needs, path)
        windows = [radiance_window(exr, planes) for exr, planes in zip(decoded.exrs, found, strict=True)]
        if windows[0] != windows[-1]:
            raise ImageError(
                f"{files.half} is {size_text(windows[-1])}, but {files.path} is {size_text(windows[0])}",
                "Render both halves at one size",
            )
        frames = self.shots.informed(files, decoded.renders[beauty], around)
        if len(frames) == 1:
            radiance, estimate = denoiser.radiance(frames[0]), None
        else:
            radiance, estimate = self._of_halves(denoiser, files, FramePair.of_halves(*frames))
        if not np.isfinite(radiance).all():
            raise ImageError(f"{files.path}: the result is not finite", "Its radiance is beyond what float32 can scale")
        renders = list(zip(decoded.exrs, frames, strict=True))
        layers = self.layers.denoised(denoiser, renders, radiance, files.path)
        return Denoised(beauty, roles, radiance, layers, estimate)

    def _of_halves(self, denoiser: Denoiser, files: FrameFiles, pair: FramePair) -> tuple[Plane, ErrorEstimate | None]:
        same = same_picture(pair)
        if same:
            text = f"{files.half} is the same picture as {files.path}: without independent noise there is no estimate"
            self.note(f"{self.shots.beauty}: {text}" if self.shots.beauty else text)
        judged = Judgement.of(pair, *denoiser.halves(pair))
        # Where both halves were targets, their products are no evidence.
        seen = denoiser.trained_on_shot
        evidence = judged.evidence(np.zeros_like(judged.counted) if seen else None)
        return judged.frame.radiance, None if same else frame_estimates([evidence], trained=seen)[0]


def replaced(
    exr: Exr, beauties: Iterable[Denoised], keep_noisy: bool, attributes: Mapping[str, str | int | float]
) -> Exr:
    """An image with its denoised beauties and layers; all else is untouched.

    Args:
        exr: The image as it was read.
        beauties: What is replaced, the main one first.
        keep_noisy: Add the noisy radiances.
        attributes: Added to the header of the first one's part.
    """

    def with_one(image: Exr, one: Denoised) -> Exr:
        return replace_radiance(
            replace_channels(image, one.layers),
            one.radiance,
            roles=one.roles,
            beauty=one.beauty,
            keep_noisy=keep_noisy,
            attributes=None if one.beauty else attributes,
        )

    return reduce(with_one, beauties, exr)


def first_roles(
    planned: list[FrameFiles], needs: Iterable[str] = (), roles: Mapping[str, str] | None = None
) -> tuple[FrameFiles, dict[str, tuple[str, ...]]]:
    """The first readable frame, and where its planes are found.

    Raises:
        ImageError: It has no radiance or lacks a plane of ``needs``; or no file can be read.
        InputError: A role that was given does not exist.
    """
    first_error: ImageError | None = None
    for files in planned:
        try:
            exr = look(files.path)
        except ImageError as error:
            # Said again, and counted, when its turn comes.
            first_error = first_error or error
            continue
        found = roles_of(exr, files.path, roles)
        _check_planes(found, needs, files.path)
        return files, found
    assert first_error is not None
    raise first_error


def tell_roles(
    planned: list[FrameFiles],
    needs: Iterable[str],
    beauties: Beauties,
    aov: Sequence[str],
    alpha: str,
    emit: Emit,
) -> dict[str | None, Layers]:
    """Tell where planes are found in the first readable file, and which further layers are denoised; returns these.

    Raises:
        ImageError: As :func:`first_roles`.
        InputError: A role, layer or alpha that was asked for does not exist.
    """
    files, found = first_roles(planned, needs, beauties.roles)
    for text in beauties.notes:
        emit({"event": "note", "text": text})
    layers = find_layers(files, beauties, aov, alpha, note=lambda text: emit({"event": "note", "text": text}))
    others: dict[str, Any] = {}
    for beauty in filter(None, beauties):
        path = (files if beauty in beauties.of(files) else beauties.first(beauty)).path
        others[beauty] = {"roles": _listed(roles_of(look(path), path, beauties.roles, beauty)), **layers[beauty].facts}
    facts = {"roles": _listed(found), **layers[None].facts, "beauties": others}
    emit({"event": "roles", "path": str(files.path), **facts})
    return layers


def find_layers(
    files: FrameFiles,
    beauties: Beauties,
    aov: Sequence[str],
    alpha: str,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str | None, Layers]:
    """Which layers are denoised beside each beauty, by one of the files; by others for those that it lacks.

    Raises:
        InputError: A layer or alpha that was asked for does not exist.
        ImageError: The file cannot be read.
    """
    found: dict[str | None, Layers] = {}
    for beauty in beauties:
        if beauty not in found:
            own = files if beauty in beauties.of(files) else beauties.first(str(beauty))
            there = Layers.find(own.path, aov, alpha, roles=beauties.roles, note=note, beauties=beauties.of(own))
            found = {**there, **found}
    return found


def _listed(roles: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {role: list(names) for role, names in roles.items()}


def _check_planes(found: Mapping[str, Any], needs: Iterable[str], path: Path) -> None:
    """That a file has the planes that weights need; raises ``ImageError``."""
    missing = [name for name in needs if name not in found]
    if missing:
        raise ImageError(
            f"{path} has no {', '.join(missing)}, which these weights need",
            "Render with features, name the channels with --role, or use weights trained without them",
        )
