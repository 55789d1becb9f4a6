"""Denoising EXR frames of any renderer: the same files out, with the radiance replaced and the rest as it was."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise._version import __version__
from rendernoise.confidence import ErrorEstimate, frame_estimates
from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError, InputError, RendernoiseError
from rendernoise.frame import Frame, FramePair, Plane
from rendernoise.guard import Judgement
from rendernoise.history import NEEDS
from rendernoise.io.atomic import make_directory
from rendernoise.io.exr import Exr, count_bad, read, replace_radiance, to_frame, write
from rendernoise.io.exr_look import look, radiance_window, roles_of, size_text
from rendernoise.io.sequence import find, format_frames, frame_path
from rendernoise.sources.exr_pairs import match, same_picture
from rendernoise.sources.shots import Emit, FrameFiles, Shots


@dataclass(frozen=True)
class Outcome:
    """Which files were written, which existed and were left, and which inputs failed with what error."""

    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failed: tuple[tuple[FrameFiles, str], ...]


def plan_frames(
    inputs: Iterable[str | Path], out: Path, *, frames: list[int] | None = None, half: str | None = None
) -> list[FrameFiles]:
    """What becomes what: OUT/NAME.0001.exr, or OUT with the file's own name where that has no number.

    Args:
        inputs: EXR files, folders or patterns.
        out: Output folder.
        frames: The frames that must be there; None takes all.
        half: Pattern of the other half of each frame, matched by frame number (and name, if several).

    Raises:
        InputError: Nothing is there, halves are missing (which), two inputs have one output, or an output would
            replace an input.
    """
    sequences = find(inputs, extension="exr", frames=frames)
    halves: list[dict[int, Path]] = [{} for _ in sequences]
    if half is not None:
        halves = [files for _, files in match(sequences, find([half], extension="exr"), ("INPUT", "--half"))]
    planned = [
        FrameFiles(
            n,
            path,
            frame_path(out, s.name, n, "exr") if s.numbered else out / path.name,
            others.get(n),
            s.name if s.numbered else "",
        )
        for s, others in zip(sequences, halves, strict=True)
        for n, path in s.files
    ]
    sources = {p.resolve() for f in planned for p in (f.path, f.half) if p is not None}
    taken: dict[Path, Path] = {}
    for files in planned:
        target = files.out.resolve()
        if target in sources:
            raise InputError(f"{files.out} is an input and would be replaced", "Choose another --out")
        if target in taken:
            raise InputError(f"{taken[target]} and {files.path} would both become {files.out}", "Run once for each")
        taken[target] = files.path
    return planned


def known_frames(planned: list[FrameFiles], inputs: Iterable[str | Path], half: str | None) -> list[FrameFiles]:
    """All frames of the sequences, those that were not asked for too: a farm's task denoises one, but may see others.

    The planned ones alone where the others lack a half.
    """
    try:
        return plan_frames(inputs, planned[0].out.parent, half=half)
    except InputError:
        return planned


def first_roles(
    planned: list[FrameFiles], needs: Iterable[str] = (), roles: Mapping[str, str] | None = None
) -> tuple[Path, dict[str, tuple[str, ...]]]:
    """The first readable file, and where its planes are found.

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
        return files.path, found
    assert first_error is not None
    raise first_error


def denoise_sequence(
    denoiser: Denoiser,
    planned: list[FrameFiles],
    *,
    roles: Mapping[str, str] | None = None,
    skip_existing: bool = False,
    overwrite: bool = False,
    keep_noisy: bool = False,
    window: int | None = 0,
    known: list[FrameFiles] | None = None,
    emit: Emit = lambda event: None,
) -> Outcome:
    """Denoise frames one by one; a frame that fails does not stop the others.

    The radiance is replaced under its own channel names and types, everything else is kept bit for bit.

    Args:
        denoiser: The weights.
        planned: From :func:`plan_frames`.
        roles: Plane name to layer, where names do not tell.
        skip_existing: Leave frames whose output exists.
        overwrite: Replace outputs that exist.
        keep_noisy: Add the noisy radiance of the input as ``noisy.R/G/B``.
        window: Frames of a sequence on each side of a frame that help to denoise it, where files tell how they
            are warped; None for as many as the weights were trained with.
        known: From :func:`known_frames`, the frames that may help; None for the planned ones.
        emit: Called with roles, notes, written and failed frames.

    Raises:
        InputError: An output exists and neither was asked for, or a role does not exist; nothing is written.
        ImageError: The first frame lacks what the weights need, or every frame failed; nothing is written.
        OutputError: The disk is full or the folder read-only; frames before stay.
    """
    existing = [f for f in planned if f.out.exists()]
    if existing and not (skip_existing or overwrite):
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise InputError(
            f"{existing[0].out} exists already{more}", "--skip-existing leaves it, --overwrite replaces it"
        )
    skipped = existing if skip_existing else []
    if skipped:
        emit({"event": "note", "text": f"{len(skipped)} frame(s) exist already and are left"})
    there = {f.out for f in skipped}
    left = [f for f in planned if f.out not in there]
    if not left:
        return Outcome((), tuple(f.out for f in skipped), ())
    path, found = first_roles(left, denoiser.model.needs, roles)
    emit({"event": "roles", "path": str(path), "roles": {role: list(names) for role, names in found.items()}})
    for folder in dict.fromkeys(f.out.parent for f in left):
        make_directory(folder)
    attributes = {"rendernoise.version": __version__, "rendernoise.weights": denoiser.fingerprint()}
    reach, light = denoiser.window_of(window), denoiser.light_windows
    shots = Shots(known or planned, reach, roles, emit, asked=window is not None, light=light)
    shots.prepare(left)
    written: list[Path] = []
    failed: list[tuple[FrameFiles, str]] = []
    for done, files in enumerate(left, 1):
        start = time.monotonic()
        facts = {"frame": files.number, "path": str(files.out), "done": done, "of": len(left)}
        try:
            exr, radiance, estimate = _denoise(denoiser, files, roles, shots, emit)
        except (ImageError, InputError) as error:
            failed.append((files, _with_path(error, files.path)))
            emit({"event": "failed", **facts, "text": failed[-1][1]})
            continue
        write(files.out, replace_radiance(exr, radiance, roles=roles, keep_noisy=keep_noisy, attributes=attributes))
        written.append(files.out)
        numbers = estimate.to_json() if estimate else {}
        emit({"event": "frame", **facts, **numbers, "wall_s": round(time.monotonic() - start, 3)})
    shots.end()
    if not (written or skipped):
        others = f"; {len(failed) - 1} more frame(s) failed too" if len(failed) > 1 else ""
        raise ImageError(failed[0][1] + others)
    return Outcome(tuple(written), tuple(f.out for f in skipped), tuple(failed))


def failure_text(outcome: Outcome) -> str:
    """One line that names the frames that failed."""
    numbers = format_frames({files.number for files, _ in outcome.failed})
    total = len(outcome.failed) + len(outcome.written) + len(outcome.skipped)
    return f"{len(outcome.failed)} of {total} frames failed: {numbers}. The others are written"


def _denoise(
    denoiser: Denoiser,
    files: FrameFiles,
    roles: Mapping[str, str] | None,
    shots: Shots,
    emit: Emit,
) -> tuple[Exr, Plane, ErrorEstimate | None]:
    exr, a = _read(denoiser, files.path, files, roles, shots, emit)
    if files.half is None:
        (a,) = shots.informed(files, [a])
        return exr, _finite(denoiser.radiance(a), files.path), None
    other, b = _read(denoiser, files.half, files, roles, shots, emit)
    windows = [radiance_window(e, roles_of(e, p, roles)) for e, p in ((exr, files.path), (other, files.half))]
    if windows[0] != windows[1]:
        raise ImageError(
            f"{files.half} is {size_text(windows[1])}, but {files.path} is {size_text(windows[0])}",
            "Render both halves at one size",
        )
    a, b = shots.informed(files, [a, b])
    pair = FramePair.of_halves(a, b)
    same = same_picture(pair)
    if same:
        text = f"{files.half} is the same picture as {files.path}: without independent noise there is no estimate"
        emit({"event": "note", "text": text})
    judged = Judgement.of(pair, *denoiser.halves(pair))
    estimate = None if same else frame_estimates([judged.evidence()], trained=False)[0]
    return exr, _finite(judged.frame.radiance, files.path), estimate


def _read(
    denoiser: Denoiser,
    path: Path,
    files: FrameFiles,
    roles: Mapping[str, str] | None,
    shots: Shots,
    emit: Emit,
) -> tuple[Exr, Frame]:
    """A file, and its frame with the planes that the weights need and neighbours are found by."""
    exr = read(path)
    _check_planes(roles_of(exr, path, roles), denoiser.model.needs, path)
    frame = shots.warped(files, to_frame(exr, roles=roles, number=files.number))
    bad = {kind: count for kind, count in count_bad(frame).items() if count}
    if bad:
        counts = ", ".join(f"{count} {_BAD[kind]}" for kind, count in bad.items())
        text = f"warning: {path} has {counts} pixel(s), read as 0"
        emit({"event": "note", "frame": files.number, "text": text})
    names = [name for name in (*denoiser.model.layout.names, *NEEDS) if name in frame.planes]
    return exr, replace(frame, planes={n: frame.planes[n] for n in names}, metadata={})


_BAD = {"nan": "NaN", "inf": "infinite", "negative": "negative"}


def _check_planes(found: Mapping[str, Any], needs: Iterable[str], path: Path) -> None:
    missing = [name for name in needs if name not in found]
    if missing:
        raise ImageError(
            f"{path} has no {', '.join(missing)}, which these weights need",
            "Render with features, name the channels with --role, or use weights trained without them",
        )


def _finite(radiance: Plane, path: Path) -> Plane:
    if not np.isfinite(radiance).all():
        raise ImageError(f"{path}: the result is not finite", "Its radiance is beyond what float32 can scale")
    return radiance


def _with_path(error: RendernoiseError, path: Path) -> str:
    text = str(error)
    return text if str(path) in text else f"{path}: {text}"
