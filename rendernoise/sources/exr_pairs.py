"""Pairs that any renderer wrote as EXR, matched by name and frame number, never by their order in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Listing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.errors import InputError
from rendernoise.frame import Frame, FramePair, TargetKind
from rendernoise.history import NEEDS
from rendernoise.io.exr import read_frame
from rendernoise.io.exr_image import Window
from rendernoise.io.exr_look import look, radiance_window, roles_of, size_text
from rendernoise.io.sequence import Sequence, expand, find, format_frames, frame_path
from rendernoise.sources.warping import Warping, find_warping

#: The planes that training uses where every frame has them.
PLANES = ("radiance", "albedo", "normal", "roughness")
_RARE = ("roughness",)  # which no renderer but ours writes, and nobody misses
#: Added to the number of a frame's second input (B → reference). Held-out tiles are drawn by the number modulo 2³²,
#: so both inputs of a frame keep the same tiles from the targets.
SECOND_INPUT = 1 << 32
_MANY = 3


@dataclass(frozen=True)
class PairFiles:
    """The files of one frame.

    Args:
        name: Name of the shot, without the half.
        frame: The frame number in its file names.
        a: The first half.
        b: The second half; None where there is only a reference, or nothing: then ``a`` is its own target.
        reference: The reference; None where the other half is the target.
        beauty: The radiance's layer, where files have several; None for the first one. ``name`` differs between them.
    """

    name: str
    frame: int
    a: Path
    b: Path | None
    reference: Path | None = None
    beauty: str | None = None

    @property
    def paths(self) -> list[Path]:
        """All files that there are."""
        return [path for path in (self.a, self.b, self.reference) if path is not None]


class ExrPairs:
    """Pairs in EXR files, in frame order. Headers are checked at once, pixels are read on the way.

    Frames of several shots share numbers, so pairs are numbered anew from 1; ``metadata`` of the input frame keeps
    ``source`` (the file) and ``source_frame``.

    Args:
        folders: Folders that hold NAME.a.####.exr and NAME.b.####.exr (several NAMEs are fine), or have them in
            ``halves``, as ``online --save-halves`` leaves them.
        a: Pattern of the input halves, instead of folders.
        b: Pattern of the target halves, or of the references.
        target: ``noisy`` pairs A → B, which may be swapped; ``reference`` pairs A → R and, where there is a B,
            B → R. In folders, R is NAME.####.exr beside the halves or in another of the folders.
        frames: The frames that must be there; None takes all.
        files: The files themselves, instead of folders and patterns.
        roles: Plane name to layer, where names do not tell.

    Raises:
        InputError: Nothing is there, or partners are missing (which), or the halves differ in size.
        ImageError: A file is damaged or has no radiance.
    """

    def __init__(
        self,
        folders: Iterable[Path] = (),
        *,
        a: str | None = None,
        b: str | None = None,
        target: TargetKind = "noisy",
        frames: list[int] | None = None,
        files: Listing[PairFiles] | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> None:
        self.target: TargetKind = target
        self.notes: list[str] = []
        self._warpings: dict[str, Warping] = {}
        self._roles = roles
        if files is not None:
            self.files = list(files)
        elif a is not None and b is not None:
            self.files = _from_patterns(a, b, target, frames)
        else:
            self.files = _from_folders(list(folders), target, frames)
        self.planes = self._check_headers()
        numbered = list(enumerate(self.files, 1))
        self._entries = [(files, files.a, number) for number, files in numbered]
        if target == "reference":
            seconds = [(files, files.b, number + SECOND_INPUT) for number, files in numbered if files.b is not None]
            self._entries = sorted(self._entries + seconds, key=lambda entry: (entry[2] % SECOND_INPUT, entry[2]))
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[FramePair]:
        """The pairs that are still to come."""
        for index in range(self._next, len(self)):
            pair = self._load(index)
            self._next = index + 1
            yield pair

    def state_dict(self) -> dict[str, Any]:
        """How many pairs were handed out."""
        return {"next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self._next = state["next"]

    def find_warpings(self) -> None:
        """Find how the frames of each shot are warped onto each other, and note it; pairs read from now on are so."""
        for name in dict.fromkeys(files.name for files in self.files):
            by_number = {files.frame: files for files in self.files if files.name == name}
            if len(by_number) > 1:
                first = next(iter(by_number.values()))
                channels = roles_of(look(first.a), first.a, self._roles, first.beauty)
                self._warpings[name] = find_warping(
                    lambda n, own=by_number: self._read(own[n].a, own[n], n), list(by_number), channels
                )
                self.notes += [note for note in self._warpings[name].notes if note not in self.notes]

    def lost_vectors(self) -> list[str]:
        """Lines on motion vectors that lead nowhere, in the frames that were read."""
        return [text for warping in self._warpings.values() if (text := warping.lost_vectors())]

    def paths(self, index: int) -> list[str]:
        """Input and target file of pair ``index``."""
        files, source, _ = self._entries[index]
        return [str(source), str(files.reference or files.b or files.a)]

    def window(self, files: PairFiles) -> Window:
        """The data window of a frame's radiance."""
        return radiance_window(exr := look(files.a), roles_of(exr, files.a, self._roles, files.beauty))

    def check_independent(self) -> None:
        """Read pairs until two halves differ.

        Raises:
            InputError: All pairs are twice the same picture, so their noise is not independent (law 1).
        """
        if all(same_picture(pair) for pair in (self._load(i) for i in range(len(self)))):
            raise InputError(
                f"both halves are the same picture in all {len(self)} pairs ({self.files[0].a})",
                "Render the halves with different seeds",
            )

    def _load(self, index: int) -> FramePair:
        files, source, number = self._entries[index]
        frame = self._frame(source, number, files)
        if files.reference is not None:
            return FramePair(frame, read_frame(files.reference, number=number).radiance, "reference")
        other = frame if files.b is None else self._frame(files.b, number, files)
        return FramePair.of_halves(frame, other)

    def _read(self, path: Path, files: PairFiles, number: int) -> Frame:
        return read_frame(path, roles=self._roles, number=number, beauty=files.beauty)

    def _frame(self, path: Path, number: int, files: PairFiles) -> Frame:
        frame = self._read(path, files, files.frame)
        if warping := self._warpings.get(files.name):
            frame = warping(frame)
        metadata = {**frame.metadata, "source": str(path), "source_frame": files.frame}
        # What neighbours are found by, beside what the network sees.
        beside = set(NEEDS) - set(PLANES)
        kept = [name for name in frame.planes if name in self.planes or name in beside]
        planes = {name: frame.planes[name] for name in kept}
        return replace(frame, planes=planes, number=number, metadata=metadata)

    def _check_headers(self) -> tuple[str, ...]:
        """The planes of :data:`PLANES` that every input has."""
        lacking: dict[str, Path] = {}
        for files in self.files:
            windows = {}
            for path in files.paths:
                exr = look(path)
                resolved = roles_of(exr, path, self._roles, files.beauty)
                windows[path] = radiance_window(exr, resolved)
                if path != files.reference:
                    for plane in PLANES:
                        if plane not in resolved:
                            lacking.setdefault(plane, path)
            for path, window in windows.items():
                if window != windows[files.a]:
                    raise InputError(
                        f"{path} is {size_text(window)}, but {files.a} is {size_text(windows[files.a])}",
                        "Render both at one size",
                    )
        for plane, path in lacking.items():
            if plane not in _RARE:
                self.notes.append(f"not every frame has the plane {plane} ({path}): training without it")
        return tuple(plane for plane in PLANES if plane not in lacking)


def same_picture(pair: FramePair) -> bool:
    """Whether input and target are equal everywhere, as the halves of one random stream are."""
    return np.array_equal(pair.input.radiance, pair.target, equal_nan=True)


def match(
    first: Listing[Sequence], second: Listing[Sequence], options: tuple[str, str]
) -> list[tuple[Sequence, dict[int, Path]]]:
    """Each sequence of ``first`` with the files of its partner by frame: one with one, several by their names.

    Args:
        first: Those that need a partner for every frame.
        second: The partners; they may have more frames.
        options: What the user calls the two, for errors.

    Raises:
        InputError: Names do not match, frames have no partner (which), or a file would be its own partner.
    """
    if len(first) == len(second) == 1:
        matched = [(first[0], second[0])]
    else:
        by_name = {s.name: s for s in second}
        if len(by_name) < len(second) or [s.name for s in first if s.name not in by_name]:
            named = [", ".join(sorted(s.name for s in sequences)) for sequences in (first, second)]
            raise InputError(
                f"{options[0]} means {named[0]} and {options[1]} means {named[1]}: it is unclear what belongs together",
                "Give a pattern of one sequence each, or the same names in two folders",
            )
        matched = [(s, by_name[s.name]) for s in first]
    pairs = [(one, dict(other.files)) for one, other in matched]
    problems = []
    for (one, partners), (_, other) in zip(pairs, matched, strict=True):
        lost = [n for n in one.frames if n not in partners]
        if lost:
            folder = other.files[0][1].parent
            problems.append(_lacks(lost, one.name, options[1], _expected(folder, other.name, lost[0], other.numbered)))
        own = [path for n, path in one.files if n in partners and partners[n].resolve() == path.resolve()]
        if own:
            raise InputError(f"{own[0]} is in {options[0]} and in {options[1]}", "Give two different halves")
    _raise_problems(problems)
    return pairs


def _from_patterns(a: str, b: str, target: TargetKind, frames: list[int] | None) -> list[PairFiles]:
    first = find([a], extension="exr", frames=frames)
    second = find([b], extension="exr", frames=frames)
    matched = match(first, second, ("--a", "--b"))
    if target == "noisy":
        match(second, first, ("--b", "--a"))
    found = []
    for sequence, partners in matched:
        for number, path in sequence.files:
            other = partners[number]
            files = (None, other) if target == "reference" else (other, None)
            found.append(PairFiles(sequence.name, number, path, *files))
    return found


def _from_folders(folders: list[Path], target: TargetKind, frames: list[int] | None) -> list[PairFiles]:
    listed = {folder: _sequences(folder) for folder in dict.fromkeys(folders)}
    found: list[PairFiles] = []
    problems: list[str] = []
    for folder, sequences in listed.items():
        stems = dict.fromkeys((name[:-2], numbered) for name, numbered in sequences if name.endswith((".a", ".b")))
        for stem, numbered in stems:
            a, b = (_numbers(sequences.get((f"{stem}.{half}", numbered))) for half in "ab")
            references = _numbers(_reference(listed, folder, (stem, numbered))) if target == "reference" else {}
            wanted = sorted({*a, *b} if frames is None else set(frames))
            needed = [("a half", f"{stem}.a", a)]
            if b or target == "noisy":
                needed.append(("b half", f"{stem}.b", b))
            if target == "reference":
                needed.append(("reference", stem, references))
            here = next(iter({**b, **a}.values())).parent
            for what, name, have in needed:
                lost = [n for n in wanted if n not in have]
                if lost:
                    problems.append(_lacks(lost, stem, what, _expected(here, name, lost[0], numbered)))
            if not problems:
                found += [PairFiles(stem, n, a[n], b.get(n), references.get(n)) for n in wanted]
        if not stems and target == "noisy":
            raise InputError(f"{folder} holds no NAME.a.####.exr", "Give the folder of the pairs, or --a and --b")
    _raise_problems(problems)
    if not found:
        raise InputError(f"{', '.join(map(str, listed))} hold no NAME.a.####.exr", "Give the folder of the pairs too")
    return found


def _sequences(folder: Path) -> dict[tuple[str, bool], Sequence]:
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "is not there"
        raise InputError(f"{folder} {problem}", "Give a folder that holds NAME.a.####.exr, or --a and --b patterns")
    halves = folder / "halves"
    found = expand(halves if halves.is_dir() and not any(folder.glob("*.exr")) else folder, extension="exr")
    return {(s.name, s.numbered): s for s in found}


def _reference(
    listed: dict[Path, dict[tuple[str, bool], Sequence]], folder: Path, key: tuple[str, bool]
) -> Sequence | None:
    if key in listed[folder]:
        return listed[folder][key]
    others = [sequences[key] for sequences in listed.values() if key in sequences]
    if len(others) > 1:
        where = " and ".join(str(s.files[0][1]) for s in others[:2])
        raise InputError(f"{key[0]} has references in {where}", "Put the right ones beside the halves")
    return others[0] if others else None


def _numbers(sequence: Sequence | None) -> dict[int, Path]:
    return dict(sequence.files) if sequence else {}


def _expected(folder: Path, name: str, number: int, numbered: bool) -> Path:
    return frame_path(folder, name, number, "exr") if numbered else folder / f"{name}.exr"


def _lacks(lost: list[int], name: str, what: str, example: Path) -> str:
    frames, verb = ("frames", "have") if len(lost) > 1 else ("frame", "has")
    etc = " ..." if len(lost) > 1 else ""
    return f"{frames} {format_frames(lost)} of {name} {verb} no {what} ({example}{etc})"


def _raise_problems(problems: list[str]) -> None:
    if problems:
        more = f"; and {len(problems) - _MANY} more" if len(problems) > _MANY else ""
        raise InputError("; ".join(problems[:_MANY]) + more, "Render what is missing, or leave it out with --frames")
