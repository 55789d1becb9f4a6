"""Denoising EXR frames of any renderer: the same files out, with the radiance replaced and the rest as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rendernoise._version import __version__
from rendernoise.beauty import Beauty, Denoised, replaced, tell_roles
from rendernoise.confidence import ErrorEstimate
from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError, InputError, RendernoiseError
from rendernoise.frame import Frame
from rendernoise.io.atomic import make_directory
from rendernoise.io.exr import Exr, write
from rendernoise.io.sequence import format_frames
from rendernoise.io.stamp import ATTRIBUTE as STAMP
from rendernoise.io.stamp import OURS, is_ours, stamp, stamp_of
from rendernoise.large_frames import denoise_large
from rendernoise.layers import Layers
from rendernoise.memory import room_for
from rendernoise.overlap import ReadAhead, WriteBehind
from rendernoise.planning import InPlace, without_denoised
from rendernoise.sources.beauties import Beauties
from rendernoise.sources.decoding import decode
from rendernoise.sources.shots import Emit, FrameFiles, Shots


@dataclass(frozen=True)
class Outcome:
    """Which files were written, which existed and were left, and which inputs failed with what error."""

    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failed: tuple[tuple[FrameFiles, str], ...]


def denoise_frames(
    denoiser: Denoiser,
    planned: list[FrameFiles],
    *,
    roles: Mapping[str, str] | None = None,
    skip_existing: bool = False,
    overwrite: bool = False,
    in_place: bool = False,
    dry_run: bool = False,
    keep_noisy: bool = False,
    aov: Sequence[str] = (),
    alpha: str = "keep",
    window: int | None = 0,
    known: list[FrameFiles] | None = None,
    memory_mib: int | None = None,
    emit: Emit = lambda event: None,
) -> Outcome:
    """Denoise frames one by one; a frame that fails does not stop the others.

    The radiance of each beauty, and what ``aov`` and ``alpha`` name, is replaced under its own channel names and types;
    everything else is kept bit for bit. The next files are read and the last ones written meanwhile.

    Args:
        denoiser: The weights.
        planned: From :func:`rendernoise.planning.plan_frames`.
        roles: Plane name to layer, where names do not tell. Naming the radiance leaves other beauties as they are.
        skip_existing: Leave frames whose output is what would be written, as its stamp says.
        overwrite: Replace outputs that exist.
        in_place: Outputs are the inputs' own paths; all are replaced at the end.
        dry_run: Say what would be done, and stop.
        keep_noisy: Add the noisy radiance of the input as ``noisy.R/G/B``.
        aov: Patterns of further layers of light to denoise; what they mean in the first file is denoised in all.
        alpha: ``denoise``, or ``keep`` bit for bit.
        window: Frames of a sequence on each side of a frame that help to denoise it, where files tell how they
            are warped; None for as many as the weights were trained with.
        known: From :func:`rendernoise.planning.known_frames`, the frames that may help; None for the planned ones.
        memory_mib: How much memory to take, MiB: fewer frames wait, fewer neighbours help, and frames that are still
            too large go through in tiles. None for as much as it takes.
        emit: Called with roles, notes, written and failed frames.

    Raises:
        InputError: An output exists and neither was asked for, or a role, layer or alpha does not; nothing is written.
        ImageError: The first frame lacks what the weights need, or every frame failed; nothing is written.
        OutputError: The disk is full or the folder read-only; frames before stay.
    """
    begun = time.monotonic()

    def note(text: str) -> None:
        emit({"event": "note", "text": text})

    place = InPlace(planned) if in_place else None
    # A frame that is planned and known is one and the same, so that its file is read once.
    own = {files.path: files for files in planned}
    known = [own.get(files.path, files) for files in known or planned]
    if place:
        if not dry_run and (moved := place.resume()):
            note(f"{moved} frame(s) of a run that was killed are moved to their places")
        known = without_denoised(known, note)
    names = Beauties([*known, *planned], roles, denoiser.model.needs)
    room = room_for(
        denoiser,
        planned,
        roles,
        denoiser.window_of(window),
        memory_mib,
        beauties=len(list(names)),
        layers=bool(aov) or alpha == "denoise",
    )
    for text in room.notes:
        note(text)
    shots = [
        Shots(
            [files for files in known if beauty in names.of(files)],
            room.window,
            roles,
            emit,
            asked=window is not None,
            light=denoiser.light_windows,
            beauty=beauty,
        )
        for beauty in names
    ]
    weights = denoiser.fingerprint()
    options = {"version": __version__, "weights": weights, "window": room.window}
    options |= {"spins": denoiser.spins, "roles": dict(roles or {}), "keep_noisy": keep_noisy}
    options |= {"aov": list(aov), "alpha": alpha}

    def stamped(files: FrameFiles) -> str:
        near = shots[0].near(files)
        others = {"beauties": names.of(files)[1:]} if len(names.of(files)) > 1 else {}
        return stamp({**options, **others, "frame": files.number}, [p for f in near for p in (f.path, f.half)])

    def tell(files: list[FrameFiles]) -> dict[str | None, Layers]:
        return tell_roles(files, denoiser.model.needs, names, aov, alpha, emit)

    def of(files: FrameFiles) -> list[Shots]:
        return [each for each in shots if each.beauty in names.of(files)]

    targets = {f: place.waiting(f.path) if place else f.out for f in planned}
    skipped = _done(planned, targets, stamped, skip_existing=skip_existing, overwrite=overwrite, place=place, note=note)
    left = [f for f in planned if f not in skipped]
    if dry_run:
        return _told(planned, skipped, shots, tell, emit)
    if not left:
        if place:
            place.finish()
        return Outcome((), tuple(f.out for f in planned), ())
    layers = tell(left)
    beauties = [Beauty(each, layers[each.beauty], note) for each in shots]
    for folder in dict.fromkeys(targets[f].parent for f in left):
        make_directory(folder)
    for files in left if place else ():
        targets[files].unlink(missing_ok=True)  # of an earlier run with other options
    for each in shots:
        each.prepare(left)
    written: list[Path] = []
    failed: list[tuple[FrameFiles, str]] = []
    started = time.monotonic()

    def fail(files: FrameFiles, facts: dict[str, Any], text: str) -> None:
        failed.append((files, text))
        emit({"event": "failed", **facts, "text": text})

    def end(files: FrameFiles, facts: dict[str, Any], refused: str | None) -> None:
        if refused:
            return fail(files, facts, refused)
        written.append(files.out)
        rate = facts["done"] / (time.monotonic() - started)
        pace = {"frames_per_s": round(rate, 3), "left_s": round((facts["of"] - facts["done"]) / rate, 1)}
        emit({"event": "frame", **facts, **pace})

    with (
        ReadAhead(
            lambda files: decode(files, denoiser.model.layout.names, of(files)),
            () if room.tile_px else _reading_order(left, shots),
            set(left),
            room.waiting,
        ) as ahead,
        WriteBehind(room.waiting) as behind,
    ):

        def look_at(files: FrameFiles, beauty: str | None) -> Sequence[Frame]:
            renders = ahead.look(files).renders
            for each in of(files):
                each.look(files, renders[each.beauty])
            return renders[beauty]

        for each in shots:
            each.read_by(partial(look_at, beauty=each.beauty))
        for done, files in enumerate(left, 1):
            facts = {"frame": files.number, "path": str(files.out), "done": done, "of": len(left)}
            start = time.monotonic()
            attributes = {"rendernoise.version": __version__, OURS: weights, STAMP: stamped(files)}
            try:
                if room.tile_px:
                    kept = {"roles": roles, "keep_noisy": keep_noisy, "attributes": attributes, "emit": emit}
                    estimate = denoise_large(denoiser, files, targets[files], room.tile_px, **kept)
                    end(files, facts | _spent({None: estimate}, start), None)
                    continue
                due = [beauty for beauty in beauties if beauty.shots.beauty in names.of(files)]
                # Neighbours first, as files are read in order.
                around = [beauty.shots.around(files) for beauty in due]
                decoded = ahead.take(files)
                for text in decoded.notes:
                    emit({"event": "note", "frame": files.number, "text": text})
                denoised = [
                    beauty.denoised(denoiser, files, decoded, near) for beauty, near in zip(due, around, strict=True)
                ]
            except (ImageError, InputError) as error:
                fail(files, facts, _with_path(error, files.path))
                continue
            behind.put(
                partial(_write, targets[files], decoded.exrs[0], denoised, keep_noisy, attributes),
                partial(end, files, facts | _spent({one.beauty: one.estimate for one in denoised}, start)),
            )
        behind.finish()
        waited = ahead.waited_s + behind.waited_s
    for each in shots:
        each.end()
    if place and not written:
        place.tidy()
    if not (written or skipped):
        others = f"; {len(failed) - 1} more frame(s) failed too" if len(failed) > 1 else ""
        raise ImageError(failed[0][1] + others)
    if place:
        place.finish()
    now = time.monotonic()
    seconds = {"wall_s": round(now - begun, 3), "frames_s": round(now - started, 3), "waited_s": round(waited, 3)}
    emit({"event": "done", "written": len(written), "skipped": len(skipped), "failed": len(failed), **seconds})
    return Outcome(tuple(written), tuple(f.out for f in planned if f in skipped), tuple(failed))


def _done(
    planned: list[FrameFiles],
    targets: Mapping[FrameFiles, Path],
    stamped: Callable[[FrameFiles], str],
    *,
    skip_existing: bool,
    overwrite: bool,
    place: InPlace | None,
    note: Callable[[str], None],
) -> set[FrameFiles]:
    """The frames whose outputs are there already and stay."""
    if overwrite:
        return set()
    if place:
        done = {f for f in planned if is_ours(f.path)}
        done |= {f for f in planned if f not in done and stamp_of(targets[f]) == stamped(f)}
        if done:
            note(f"{len(done)} frame(s) are denoised already and are left")
        return done
    existing = [f for f in planned if f.out.exists()]
    if existing and not skip_existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise InputError(
            f"{existing[0].out} exists already{more}", "--skip-existing leaves what is done, --overwrite replaces it"
        )
    stamps = {f: stamp_of(f.out) for f in existing}
    done = {f for f in existing if stamps[f] == stamped(f)}
    foreign = [f for f in existing if stamps[f] is None and not is_ours(f.out)]
    if foreign:
        raise InputError(f"{foreign[0].out} exists already and is not from here", "--overwrite replaces it")
    if done:
        note(f"{len(done)} frame(s) exist already and are left")
    if stale := len(existing) - len(done):
        note(f"{stale} frame(s) exist, but are damaged, or of other inputs or options: made anew")
    return done


def _told(
    planned: list[FrameFiles],
    skipped: set[FrameFiles],
    shots: list[Shots],
    tell: Callable[[list[FrameFiles]], object],
    emit: Emit,
) -> Outcome:
    """What a run would do: the planes, how frames are warped, and each frame's input and output."""
    if left := [f for f in planned if f not in skipped]:
        tell(left)
        for each in shots:
            each.prepare(left)
    for files in planned:
        facts = {"frame": files.number, "path": str(files.path), "out": str(files.out)}
        emit({"event": "planned", **facts, "action": "leave" if files in skipped else "write"})
    emit({"event": "note", "text": f"{len(left)} of {len(planned)} frame(s) would be written; nothing is (--dry-run)"})
    return Outcome((), (), ())


def _reading_order(left: list[FrameFiles], shots: list[Shots]) -> Iterator[FrameFiles]:
    """The files in the order in which they are first looked at."""
    for files in left:
        helped = any(each.helped(files) for each in shots)
        yield from shots[0].near(files) if helped else [files]


def _write(
    target: Path,
    exr: Exr,
    beauties: list[Denoised],
    keep_noisy: bool,
    attributes: Mapping[str, str | int | float],
) -> str | None:
    """Write a denoised frame; what is wrong with it if its content is refused."""
    try:
        write(target, replaced(exr, beauties, keep_noisy, attributes))
    except ImageError as error:
        return str(error)
    return None


def _spent(estimates: Mapping[str | None, ErrorEstimate | None], start: float) -> dict[str, Any]:
    """How wrong the beauties of a frame are, the main one's facts first, and how long it took from ``start``."""
    found = {name: estimate.to_json() for name, estimate in estimates.items() if estimate}
    others = {name: facts for name, facts in found.items() if name}
    spent = {"wall_s": round(time.monotonic() - start, 3)}
    return {**found.get(None, {}), **({"beauties": others} if others else {}), **spent}


def failure_text(outcome: Outcome) -> str:
    """One line that names the frames that failed."""
    numbers = format_frames({files.number for files, _ in outcome.failed})
    total = len(outcome.failed) + len(outcome.written) + len(outcome.skipped)
    return f"{len(outcome.failed)} of {total} frames failed: {numbers}. The others are written"


def _with_path(error: RendernoiseError, path: Path) -> str:
    text = str(error)
    return text if str(path) in text else f"{path}: {text}"
