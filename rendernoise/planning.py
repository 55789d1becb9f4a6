"""What becomes what: which frames of a sequence are denoised to which files, and which are done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from rendernoise.errors import InputError
from rendernoise.io.sequence import (
    Sequence,
    check_missing,
    find,
    format_frames,
    frame_path,
    gaps,
    is_pattern,
    numbered_path,
)
from rendernoise.io.stamp import is_ours
from rendernoise.sources.exr_pairs import match
from rendernoise.sources.shots import FrameFiles

Tell = Callable[[str], None]


def plan_frames(
    inputs: Iterable[str | Path],
    out: Path | None,
    *,
    frames: list[int] | None = None,
    half: str | None = None,
    missing: Tell | None = None,
) -> list[FrameFiles]:
    """What becomes what: OUT/NAME.0001.exr, or OUT with the file's own name where that has no number.

    Args:
        inputs: EXR files, folders or patterns.
        out: Output folder, or a pattern such as ``out/beauty.####.exr``; None puts each output in its input's place.
        frames: The frames that must be there; None takes all.
        half: Pattern of the other half of each frame, matched by frame number (and name, if several).
        missing: Takes the line about frames that a sequence lacks, which is an error without it.

    Raises:
        InputError: Nothing is there, frames or halves are missing (which), two inputs have one output, or an output
            would replace an input.
    """
    sequences = find(inputs, extension="exr", frames=frames, missing=missing)
    if frames is None:
        for s in sequences:
            check_missing(gaps(s), s.files[0][1], missing, "--allow-gaps denoises the others")
    halves: list[dict[int, Path]] = [{} for _ in sequences]
    if half is not None:
        halves = [files for _, files in match(sequences, find([half], extension="exr"), ("INPUT", "--half"))]
    planned = [
        FrameFiles(n, path, _output(out, s, n, path), others.get(n), s.name if s.numbered else "")
        for s, others in zip(sequences, halves, strict=True)
        for n, path in s.files
    ]
    if out is not None:
        _check_outputs(planned)
    return planned


def _output(out: Path | None, sequence: Sequence, number: int, path: Path) -> Path:
    if out is None:
        return path
    if is_pattern(out):
        return numbered_path(out, number)
    return frame_path(out, sequence.name, number, "exr") if sequence.numbered else out / path.name


def _check_outputs(planned: list[FrameFiles]) -> None:
    sources = {p.resolve() for f in planned for p in (f.path, f.half) if p is not None}
    taken: dict[Path, Path] = {}
    for files in planned:
        target = files.out.resolve()
        if target in sources:
            raise InputError(
                f"{files.out} is an input and would be replaced", "Choose another --out, or say --in-place"
            )
        if target in taken:
            raise InputError(f"{taken[target]} and {files.path} would both become {files.out}", "Run once for each")
        taken[target] = files.path


def known_frames(planned: list[FrameFiles], inputs: Iterable[str | Path], half: str | None) -> list[FrameFiles]:
    """All frames of the sequences, those that were not asked for too: a farm's task denoises one, but may see others.

    The planned ones alone where the others lack a half.
    """
    try:
        return plan_frames(inputs, planned[0].out.parent / "_", half=half, missing=lambda line: None)
    except InputError:
        return planned


class InPlace:
    """Outputs that take the places of their inputs, all at the end: until then neighbours are read as they were.

    Files wait in a hidden folder beside their inputs. A run that was killed before the end finds them there; one that
    was killed while they moved is told by the folder's name, and moves the rest.

    Args:
        planned: Frames whose output is their input.
    """

    def __init__(self, planned: list[FrameFiles]) -> None:
        names = hashlib.sha256("\n".join(str(f.path) for f in planned).encode()).hexdigest()[:8]
        self._folders = {
            folder: (folder / f".rendernoise-{names}.tmp", folder / f".rendernoise-{names}.done")
            for folder in dict.fromkeys(f.path.parent for f in planned)
        }

    def waiting(self, path: Path) -> Path:
        """Where the output of an input waits."""
        return self._folders[path.parent][0] / path.name

    def finish(self) -> None:
        """All is written: move it."""
        for waiting, done in self._folders.values():
            if waiting.exists():
                os.replace(waiting, done)
        self.resume()

    def resume(self) -> int:
        """Move what a run that was killed in its last moment left; returns how many files."""
        count = 0
        for folder, (_, done) in self._folders.items():
            for file in sorted(done.iterdir()) if done.exists() else ():
                os.replace(file, folder / file.name)
                count += 1
        self.tidy()
        return count

    def tidy(self) -> None:
        """Remove folders that nothing waits in."""
        for both in self._folders.values():
            for folder in both:
                with suppress(OSError):
                    folder.rmdir()


def without_denoised(known: list[FrameFiles], tell: Tell) -> list[FrameFiles]:
    """The frames whose files are not outputs of ours, which would be no noisy neighbours."""
    ours = {f.path for f in known if is_ours(f.path)}
    if ours:
        numbers = format_frames({f.number for f in known if f.path in ours})
        tell(f"frame(s) {numbers} are denoised already and help no others")
    return [f for f in known if f.path not in ours]
