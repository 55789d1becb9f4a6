"""Which beauties the files of a run have: views of stereo images and view layers have one each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rendernoise.errors import ImageError, InputError
from rendernoise.io.exr_image import Exr
from rendernoise.io.exr_look import look, roles_of
from rendernoise.io.roles import other_beauties
from rendernoise.sources.shots import FrameFiles


class Beauties:
    """The beauties of each sequence, as its first readable file tells: every run on a part of it finds the same.

    Where the user names the radiance, that is the only one.

    Args:
        known: All frames of the sequences.
        roles: Plane name to layer, where names do not tell.
        needs: Planes without which a beauty cannot be denoised; others than the main one are then left out, and noted.
    """

    def __init__(self, known: Iterable[FrameFiles], roles: Mapping[str, str] | None, needs: Iterable[str] = ()) -> None:
        self.roles, self.notes = roles, list[str]()
        self._needs = tuple(needs)
        self._others: dict[str, tuple[str, ...]] = {}
        self._first: dict[str, FrameFiles] = {}
        for files in known:
            if _key(files) in self._others:
                continue
            try:
                names = self._look(files.path)
            except (ImageError, InputError):
                continue  # said when its own turn comes
            self._others[_key(files)] = names
            for name in names:
                self._first.setdefault(name, files)

    def __iter__(self) -> Iterator[str | None]:
        """All of them, the main one first."""
        yield None
        yield from self._first

    def of(self, files: FrameFiles) -> tuple[str | None, ...]:
        """Those of a frame, the main one first."""
        return (None, *self._others.get(_key(files), ()))

    def first(self, beauty: str) -> FrameFiles:
        """A frame that has one."""
        return self._first[beauty]

    def _look(self, path: Path) -> tuple[str, ...]:
        exr = look(path)
        main = roles_of(exr, path, self.roles)
        others = other_beauties(exr.channel_map(), main)
        if others and "radiance" in {role.strip().lower() for role in self.roles or {}}:
            self._note(f"{', '.join(others)} stay(s) as it is: --role radiance names one beauty")
            return ()
        found: list[str] = []
        for name in others:
            lacking = [need for need in self._needs if need not in roles_of(exr, path, self.roles, name)]
            if lacking:
                self._note(f"{name} has no {', '.join(lacking)}, which these weights need: it stays as it is")
            else:
                found.append(name)
        return tuple(found)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def check_beauties(exr: Exr, path: Path, roles: Mapping[str, str] | None, beauties: Iterable[str | None]) -> None:
    """That a file has all beauties that its sequence has.

    Raises:
        ImageError: It lacks one, or has no radiance.
        InputError: A role that was given does not exist.
    """
    seen: set[tuple[str, ...]] = set()
    for beauty in beauties:
        try:
            radiance = roles_of(exr, path, roles, beauty)["radiance"]
        except InputError:
            if beauty is None:
                raise
            radiance = None
        if radiance is None or radiance in seen:
            raise ImageError(
                f"{path} has not all beauties that other frames have, such as {beauty}",
                "Render the same layers in every frame, or name one with --role radiance=LAYER",
            )
        seen.add(radiance)


def _key(files: FrameFiles) -> str:
    return files.sequence or str(files.path)
