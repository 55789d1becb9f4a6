"""Frames that are rendered pass by pass: their sums, and the folder in which those outlive a killed process.

Every file, finished or not, carries how it is made. A run goes on only from files that are made the way it would make
them itself, so nothing but the files themselves has to be kept, and several runs may share a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import OutputError, RunError
from rendernoise.frame import Frame
from rendernoise.io.atomic import atomic_path, make_directory
from rendernoise.io.renders import read_making, render_path
from rendernoise.projection import Projection
from rendernoise.render.camera import View
from rendernoise.render.shot import Shot


@dataclass
class _Sum:
    """Sums over the passes of one half, float64; ``m2`` is Welford's sum of squared deviations of the radiance."""

    count: int = 0
    planes: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    m2: NDArray[np.float64] | None = None


class PassSums:
    """The passes of one frame so far, each half for itself, in memory that does not grow with their number.

    Args:
        view: The frame.
        spread: Whether the variance of the mean is wanted, from the spread between passes.
    """

    def __init__(self, view: View, *, spread: bool) -> None:
        self.view, self.spread = view, spread
        self.taken = 0
        self.render_s = 0.0
        self.metadata: dict[str, str] = {}
        self.projection: Projection | None = None
        self._sums: dict[str, _Sum] = {}

    def add(self, half: str, frame: Frame, render_s: float = 0.0) -> None:
        """Add one pass; all have the same number of samples."""
        sums = self._sums.setdefault(half, _Sum())
        x = frame.radiance.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):  # a scene may render NaN, which is its own to mend
            if self.spread and sums.count:
                before = sums.planes["radiance"] / sums.count
                after = (sums.planes["radiance"] + x) / (sums.count + 1)
                increment = (x - before) * (x - after)
                sums.m2 = increment if sums.m2 is None else sums.m2 + increment
            for name, plane in frame.planes.items():
                sums.planes[name] = plane + sums.planes[name] if sums.count else plane.astype(np.float64)
        sums.count += 1
        self.taken += 1
        self.render_s += render_s
        self.metadata = {k: v for k, v in frame.metadata.items() if isinstance(v, str)}
        self.projection = frame.projection

    def frame(self, half: str, spp: int) -> Frame:
        """The mean of a half's passes, whose ``spp`` add up.

        With ``spread`` it has a ``variance`` plane: the unbiased estimate of the variance of this mean, from 2 passes.
        """
        sums = self._sums[half]
        planes = {name: (total / sums.count).astype(np.float32) for name, total in sums.planes.items()}
        if sums.m2 is not None:
            planes["variance"] = (sums.m2 / ((sums.count - 1) * sums.count)).astype(np.float32)
        return Frame(planes, spp * sums.count, self.view.frame, None, self.metadata, self.projection)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
        """Everything as JSON values and arrays."""
        arrays = {f"{half}/{name}": a for half, sums in self._sums.items() for name, a in sums.planes.items()}
        arrays |= {f"{half}/+m2": sums.m2 for half, sums in self._sums.items() if sums.m2 is not None}
        counts = {half: sums.count for half, sums in self._sums.items()}
        projection = self.projection.to_json() if self.projection else None
        facts = {"render_s": self.render_s, "metadata": self.metadata, "projection": projection}
        return {"counts": counts, **facts}, arrays

    def load_arrays(self, state: Mapping[str, Any], arrays: Mapping[str, NDArray[np.float64]]) -> None:
        """The inverse of ``to_arrays``."""
        self._sums = {half: _Sum(int(count)) for half, count in state["counts"].items()}
        self.taken = sum(sums.count for sums in self._sums.values())
        self.render_s, self.metadata = float(state["render_s"]), dict(state["metadata"])
        self.projection = Projection.from_json(state["projection"]) if state.get("projection") else None
        for name, array in arrays.items():
            half, _, plane = name.partition("/")
            if plane == "+m2":
                self._sums[half].m2 = array
            else:
                self._sums[half].planes[plane] = array


class PassFolder:
    """The renders of a shot in a folder, finished ones and the sums of those under way.

    Args:
        path: The folder; it is created within ``with folder:``.
        shot: What is rendered.
        halves: ``("a", "b")``, or ``("",)`` for references.
        making: What decides the pixels besides scene and camera, as JSON values. ``variant`` may be ``auto``: then
            it becomes that of the files that are there. ``span`` counts for scalar variants only.
    """

    def __init__(self, path: Path, shot: Shot, halves: tuple[str, ...], making: Mapping[str, Any]) -> None:
        self.path, self.work, self._shot, self._halves = path, path / ".work", shot, halves
        self._kind = "pairs" if len(halves) == 2 else "reference"
        self._making = dict(making)
        self._lock: int | None = None
        self._created: list[Path] = []

    @property
    def variant(self) -> str:
        """The renderer's variant, or ``auto`` while nothing has settled it."""
        return self._making["variant"]

    def set_variant(self, variant: str) -> None:
        """Settle the variant."""
        self._making["variant"] = variant

    def making(self, view: View) -> dict[str, Any]:
        """What decides the pixels of one frame."""
        span = self._making["span"] if self.variant.startswith("scalar") else None
        return {"kind": self._kind, **self._making, "span": span, "scene": _digest(view)}

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """See whether a run may begin here; nothing is changed.

        Raises:
            RunError: Files are there and nobody said what to do with them, or they are made otherwise.
            ImageError: A file that is there is damaged.
        """
        existing = [p for v in self._shot.views for p in (self._sums_path(v), *self._outputs(v)) if p.exists()]
        if existing and not (resume or overwrite):
            raise RunError(
                f"{existing[0]} is there already", "--resume goes on, --overwrite replaces it, or choose another --out"
            )
        if resume:
            for view in self._shot.views:
                self._check_same(self._sums_path(view), view)
                for path in self._outputs(view):
                    self._check_same(path, view)

    def _check_same(self, path: Path, view: View) -> None:
        if not path.exists():
            return
        if path.suffix == ".npz":
            kept = self._read(path)
            if kept is None:
                return
            before = kept[0]["making"]
        else:
            before = read_making(path)
        cure = "Give --resume the options of that run, or use --overwrite"
        if before is None:
            raise RunError(f"{path} does not say how it was rendered", "Use --overwrite, or choose another --out")
        if self.variant == "auto" and "variant" in before:
            self.set_variant(before["variant"])
        now = json.loads(json.dumps(self.making(view)))
        for name in dict.fromkeys([*now, *before]):
            if now.get(name) != before.get(name):
                if name == "scene":
                    raise RunError(f"the scene or its camera is not the one that {path} was rendered from", cure)
                raise RunError(f"{path} was rendered with {name} = {before.get(name)!r}, not {now.get(name)!r}", cure)

    def __enter__(self) -> PassFolder:
        """Create the folder and lock these frames; OutputError or InputError when nothing can be written here."""
        new = self.path
        while not new.exists() and new != new.parent:
            self._created.append(new)
            new = new.parent
        make_directory(self.path)
        first, last = self._shot.span
        lock = self.work / f"{self._shot.name}.{self._kind}.{first}-{last}.lock"
        try:
            self.work.mkdir(exist_ok=True)
            self._lock = os.open(lock, os.O_CREAT | os.O_RDWR)
        except OSError as error:
            raise OutputError(f"cannot write to {self.work}: {error.strerror}", "Choose another --out") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise RunError(
                f"another rendernoise renders these frames to {self.path}", "Wait for it or stop it"
            ) from error
        except OSError:
            pass  # a file system without locks: both runs would write the same bytes
        self._lock_path = lock
        self._remove_leftovers()
        return self

    def __exit__(self, *exc: object) -> None:
        """Unlock, and remove what holds nothing."""
        assert self._lock is not None
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)
        for folder in (self.work, *self._created):
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()

    def _remove_leftovers(self) -> None:
        """What a killed process left half-written of these frames; others may be at work on their own."""
        mine = [p for v in self._shot.views for p in (self._sums_path(v), *self._outputs(v))]
        prefixes = {f".{p.stem[:80]}" for p in mine}
        for folder in (self.path, self.work):
            for entry in folder.glob(".*.tmp*"):
                if entry.name.rpartition(".tmp")[0] in prefixes:
                    entry.unlink(missing_ok=True)

    def begin(self, replaced: Iterable[View]) -> None:
        """Remove what an earlier run left of these frames, now that a first render shows that new ones will come."""
        for view in replaced:
            self.forget(view)
            for path in self._outputs(view):
                path.unlink(missing_ok=True)

    def complete(self, view: View) -> bool:
        """Whether all files of a frame are there; its sums are of no use then."""
        complete = all(path.exists() for path in self._outputs(view))
        if complete:
            self.forget(view)
        return complete

    def save(self, sums: PassSums) -> None:
        """Keep the sums of a frame, whole or not at all. Raises ``OutputError``."""
        state, arrays = sums.to_arrays()
        state["making"] = self.making(sums.view)
        with atomic_path(self._sums_path(sums.view)) as temporary, temporary.open("wb") as file:
            np.savez(file, **{"+state": np.array(json.dumps(state))}, **arrays)  # pyright: ignore[reportArgumentType]

    def load(self, view: View) -> PassSums | None:
        """The sums that were kept of a frame; None when there are none."""
        kept = self._read(self._sums_path(view))
        if kept is None:
            return None
        sums = PassSums(view, spread=self._kind == "reference")
        sums.load_arrays(*kept)
        return sums

    def forget(self, view: View) -> None:
        """Remove the sums of a frame."""
        self._sums_path(view).unlink(missing_ok=True)

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]] | None:
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return json.loads(str(arrays.pop("+state"))), arrays
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None  # damaged on the disk: nothing is lost but the time to render it again

    def _sums_path(self, view: View) -> Path:
        return self.work / f"{self._shot.name}.{self._kind}.{view.frame:04d}.npz"

    def _outputs(self, view: View) -> list[Path]:
        return [render_path(self.path, self._shot.name, half, view.frame) for half in self._halves]


def _digest(view: View) -> str:
    """A short hash of the scene's XML and the camera; the files that the XML names are not followed."""
    parts = b""
    if view.scene is not None:
        with contextlib.suppress(OSError):  # the renderer has more to say about it
            parts = view.scene.read_bytes()
    if view.camera is not None:
        parts += json.dumps([view.camera.to_world.tolist(), view.camera.fov_deg]).encode()
    return hashlib.sha256(parts).hexdigest()[:16]
