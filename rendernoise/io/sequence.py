"""Frame numbers and the files of a sequence: patterns, folders, single files.

The syntax is fileseq's, with one digit per ``#`` (HASH1). The same functions serve images and scenes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rendernoise.errors import InputError

if TYPE_CHECKING:
    from fileseq.filesequence import FileSequence

MAX_FRAMES = 1_000_000

_SYNTAX = "Write it like 1-24,30-40x2"
_PADDING = re.compile(r"#+|@+|%\d*d|\$F\d*")
# A number counts as the frame when a dot or an underscore, or nothing, stands before it, or when it has at least
# three digits (Blender's render0012). A version (_v002) is not a frame.
_NUMBERED = re.compile(
    r"(?P<name>.*?)(?:(?:(?<=[._])(?P<separated>-?\d+))|(?P<alone>(?<!.)-?\d+)|(?P<joined>(?<![0-9])(?<![._-]v)(?<!^v)\d{3,}))"
)


@dataclass(frozen=True)
class Sequence:
    """Files of one shot in frame order.

    Args:
        name: Base name without number and extension (``shot``).
        files: (frame number, path), ascending.
        numbered: False for a still whose name has no frame number (``beauty.exr``; it is frame 1).
    """

    name: str
    files: tuple[tuple[int, Path], ...]
    numbered: bool = True

    @property
    def frames(self) -> list[int]:
        """The frame numbers, ascending."""
        return [number for number, _ in self.files]


def parse_frames(text: str) -> list[int]:
    """Frame numbers of ``1-24,30-40x2`` in the order written, each once.

    Raises:
        InputError: Not the syntax, empty, or more than a million frames.
    """
    from fileseq.exceptions import FileSeqException
    from fileseq.frameset import FrameSet

    try:
        frames = FrameSet(text.strip())
    except (FileSeqException, ValueError, OverflowError) as error:
        raise InputError(f"{text!r} is no list of frames", _SYNTAX) from error
    if len(frames) > MAX_FRAMES:
        raise InputError(f"{text!r} means {len(frames):,} frames; at most {MAX_FRAMES:,} are allowed", _SYNTAX)
    numbers = [int(frame) for frame in frames if frame == int(frame)]
    if not numbers or len(numbers) != len(frames):
        raise InputError(f"{text!r} is no list of whole frames", _SYNTAX)
    return numbers


def format_frames(numbers: Iterable[int]) -> str:
    """Frame numbers in short, such as ``5,7-9``."""
    from fileseq import framesToFrameRange

    return framesToFrameRange(sorted(numbers))


def frame_path(directory: Path, name: str, number: int, extension: str) -> Path:
    """The path of one written frame: DIR/NAME.0001.exr."""
    return Path(directory) / f"{name}.{number:04d}.{extension.lstrip('.')}"


def is_pattern(path: Path) -> bool:
    """Whether a name has a place for the frame number: ``shot.####.exr``, ``shot.%04d.exr``, ``shot.$F4.exr``."""
    return _PADDING.search(Path(path).name) is not None


def numbered_path(pattern: Path, number: int) -> Path:
    """The path of one frame: the number stands where the pattern has its place, with as many digits.

    Raises:
        InputError: There is no place, or more than one.
    """
    found = list(_PADDING.finditer(Path(pattern).name))
    if len(found) != 1:
        raise InputError(f"{pattern} is no file pattern", "Write the frame number once, like shot.####.exr")
    text = found[0][0]
    digits = len(text) if text[0] in "#@" else int(re.sub(r"\D", "", text) or 1)
    start, end = found[0].span()
    name = Path(pattern).name
    return Path(pattern).with_name(f"{name[:start]}{number:0{digits}d}{name[end:]}")


def gaps(sequence: Sequence) -> list[int]:
    """Frames that a sequence lacks between its first and last: those of its own step, so 1, 11, 21 lacks none."""
    frames = sequence.frames
    if len(frames) < 3:
        return []
    step = min(b - a for a, b in pairwise(frames))
    return sorted(set(range(frames[0], frames[-1], step)) - set(frames))


def split_name(path: Path) -> tuple[str, int | None]:
    """Name and frame number of a file: (``shot``, 12) for ``shot.0012.exr``, (``beauty``, None) for ``beauty.exr``."""
    match = _NUMBERED.fullmatch(Path(path).stem)
    if match is None:
        return Path(path).stem, None
    digits = match["separated"] or match["alone"] or match["joined"]
    return match["name"].rstrip("._") or "frame", int(digits)


def expand(pattern: str | Path, *, extension: str | None = None) -> list[Sequence]:
    """The sequences behind a pattern, a folder or a file.

    ``shot.####.exr``, ``shot.%04d.exr``, ``shot.$F4.exr``, ``shot.1-24####.exr``, ``shot.*.exr``, a folder (every
    sequence in it) or a single file, whose frame number is read from its name.

    Args:
        pattern: What the user wrote.
        extension: Only files that end so count, without regard to case; None for any.

    Raises:
        InputError: Nothing is there, the extension is another, or a frame is there twice.
    """
    path = Path(pattern)
    ending = f".{extension.lstrip('.')}" if extension else ""
    if path.is_dir():
        found = _group(file for file in _listing(path) if file.suffix.lower() == ending.lower() or not ending)
        if not found:
            raise InputError(f"no {ending or 'files'} in the folder {path}", "Check the path")
        return found
    if ending and path.suffix.lower() != ending.lower():
        problem = f"not an {ending} file" if path.exists() else "not there, and no pattern of its files"
        raise InputError(f"{path} is {problem}", f"Give *{ending} files, a pattern like shot.####{ending}, or a folder")
    if path.is_file():
        return _group([path])
    if _PADDING.search(path.name):
        return [_padded(path)]
    if any(c in path.name for c in "*?"):
        found = _group(file for file in _listing(path.parent) if fnmatchcase(file.name, path.name))
        if found:
            return found
    raise InputError(f"no file matches {path}", "Check the path and the number of # (one for each digit)")


def find(
    inputs: Iterable[str | Path],
    *,
    extension: str,
    frames: list[int] | None = None,
    still_repeats: bool = False,
    missing: Callable[[str], None] | None = None,
) -> list[Sequence]:
    """The sequences behind several inputs, cut down to the frames that were asked for.

    Files of one shot that were given one by one (a shell's ``shot.*.exr``) become one sequence.

    Args:
        inputs: What ``expand`` takes.
        extension: Without or with the dot.
        frames: The frames that must be there; None takes all that exist, gaps or not.
        still_repeats: A file without a number serves every frame asked for (a scene whose camera moves).
        missing: Takes the line about frames that are missing, which is an error without it.

    Raises:
        InputError: Nothing matches, or frames are missing: which, and where they should be.
    """
    merged: dict[tuple[Path, str, bool], dict[int, Path]] = {}
    for item in inputs:
        for sequence in expand(item, extension=extension):
            key = (sequence.files[0][1].parent, sequence.name, sequence.numbered)
            files = merged.setdefault(key, {})
            for number, path in sequence.files:
                if files.setdefault(number, path) != path:
                    raise InputError(f"frame {number} is there twice: {files[number]} and {path}", "Give only one")
    if not merged:
        raise InputError("no input files were given", f"Give *.{extension.lstrip('.')} files, a pattern, or a folder")
    found = [Sequence(name, tuple(sorted(files.items())), numbered) for (_, name, numbered), files in merged.items()]
    return found if frames is None else [_cut(sequence, frames, still_repeats, missing) for sequence in found]


def _cut(sequence: Sequence, frames: list[int], still_repeats: bool, missing: Callable[[str], None] | None) -> Sequence:
    wanted = sorted(set(frames))
    if still_repeats and not sequence.numbered:
        return Sequence(sequence.name, tuple((n, sequence.files[0][1]) for n in wanted), numbered=False)
    files = dict(sequence.files)
    some = any(n in files for n in wanted)
    check_missing([n for n in wanted if n not in files], sequence.files[0][1], missing if some else None)
    return Sequence(sequence.name, tuple((n, files[n]) for n in wanted if n in files), sequence.numbered)


def check_missing(
    missing: list[int], example: Path, tell: Callable[[str], None] | None = None, cure: str = "Check --frames"
) -> None:
    """Name the missing frames in one line, spelled like the files that are there: told, or an error without ``tell``.

    Raises:
        InputError: Some are missing, and ``tell`` is None.
    """
    if not missing:
        return
    many = "frames" if len(missing) > 1 else "frame"
    are = "are" if len(missing) > 1 else "is"
    digits = re.search(r"-?\d+(?=\D*$)", example.stem)
    if split_name(example)[1] is None or digits is None:
        what, cure = f"{many} {format_frames(missing)} of {example} {are} missing: it is one still", "Drop --frames"
    else:
        start, end = digits.span()
        width = end - start
        pattern = f"{example.stem[:start]}{'#' * width}{example.stem[end:]}{example.suffix}"
        first = example.with_name(f"{example.stem[:start]}{missing[0]:0{width}d}{example.stem[end:]}{example.suffix}")
        etc = " ..." if len(missing) > 1 else ""
        what = f"{many} {format_frames(missing)} of {pattern} {are} missing ({first}{etc})"
    if tell is None:
        raise InputError(what, cure)
    tell(what)


def _padded(path: Path) -> Sequence:
    """The files of a pattern with ``####`` or the like; frames written into the pattern must all be there."""
    from fileseq.constants import PAD_STYLE_HASH1
    from fileseq.exceptions import FileSeqException
    from fileseq.filesequence import FileSequence

    try:
        pattern: FileSequence = FileSequence(path.name, pad_style=PAD_STYLE_HASH1)
    except (FileSeqException, ValueError) as error:
        raise InputError(f"{path} is no file pattern", "Write it like shot.####.exr") from error
    head, tail, width = pattern.basename(), pattern.extension(), pattern.zfill()
    if not pattern.padding() or _PADDING.search(head) or _PADDING.search(tail):
        raise InputError(f"{path} is no file pattern", "Write the frame number once, like shot.####.exr")
    files: dict[int, Path] = {}
    spelled = re.compile(rf"{re.escape(head)}(-?\d+){re.escape(tail)}")
    for file in _listing(path.parent):
        match = spelled.fullmatch(file.name)
        # Padded numbers have at least that many digits, and more only when they need them: 10000 fits ####.
        digits = match[1].lstrip("-") if match else ""
        if match and (len(digits) == width or (len(digits) > width and digits[0] != "0")):
            files[int(match[1])] = file
    if not files:
        raise InputError(f"no file matches {path}", "Check the path and the number of # (one for each digit)")
    name = (head.rstrip("._") + tail[: -len(path.suffix)]) or "frame"
    if frame_set := pattern.frameSet():
        wanted = parse_frames(str(frame_set))
        check_missing([n for n in wanted if n not in files], next(iter(files.values())))
        files = {n: files[n] for n in wanted}
    return Sequence(name, tuple(sorted(files.items())))


def _listing(folder: Path) -> list[Path]:
    """Visible files of a folder by name; hidden ones are what interrupted writes left."""
    try:
        return sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read: {(error.strerror or '').lower()}", "Check it") from error


def _group(files: Iterable[Path]) -> list[Sequence]:
    grouped: dict[tuple[str, bool], dict[int, Path]] = {}
    for file in files:
        name, number = split_name(file)
        frames = grouped.setdefault((name, number is not None), {})
        number = 1 if number is None else number
        if number in frames:
            raise InputError(f"frame {number} is there twice: {frames[number]} and {file}", "Give only one of them")
        frames[number] = file
    return [Sequence(name, tuple(sorted(frames.items())), numbered) for (name, numbered), frames in grouped.items()]
