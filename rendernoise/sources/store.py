"""Pairs on disk, in the order of their arrival, read back as whole frames or as crops.

Memory then does not grow with the shot, a run that is killed finds its renders again, and training can replay any
frame. Files are immutable; a pair counts once its JSON file is in place. Passes of one frame stay separate files and
are averaged when they are read, so that going back in time is only a smaller ``visible`` count.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.errors import OutputError
from rendernoise.frame import HISTORY_PLANES, PLANE_CHANNELS, Frame, FramePair, Plane, average
from rendernoise.io.atomic import write_bytes, write_text
from rendernoise.projection import Projection

_HISTORY = [(name, PLANE_CHANNELS[name]) for name in HISTORY_PLANES]


class PairStore:
    """An append-only store of pairs in one folder.

    Args:
        folder: Created when absent; pairs already in it are found again but are not visible yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot create {folder}: {error.strerror}", "Choose another --out") from error
        self._entries: list[dict[str, Any]] = []
        self._of_frame: dict[int, list[int]] = defaultdict(list)
        self._with_history: set[int] = set()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def frames(self) -> list[int]:
        """Frame numbers that are visible, in order of first arrival."""
        return list(self._of_frame)

    @property
    def newest(self) -> int:
        """Number of the frame whose pair arrived last."""
        return int(next(entry["number"] for entry in reversed(self._entries) if entry))

    @property
    def skipped(self) -> list[int]:
        """Indices that :meth:`skip` left out."""
        return [i for i, entry in enumerate(self._entries) if not entry]

    def skip(self) -> None:
        """Count the next pair as come, though there is none."""
        self._entries.append({})

    def holds(self, index: int) -> bool:
        """Whether pair ``index`` is on disk, visible or not."""
        return self._json(index).exists()

    def put(self, index: int, pair: FramePair, **facts: Any) -> None:
        """Write pair ``index``, whole or not at all; ``facts`` are JSON values kept beside it."""
        partner = pair.partner
        target = partner.planes if partner is not None else {"radiance": pair.target}
        for half, planes in (("a", pair.input.planes), ("b", target)):
            _save(self._array(index, half), np.concatenate(list(planes.values())))
        entry = {
            "number": pair.number,
            "spp": [pair.input.spp, partner.spp if partner is not None else 0],
            "seed": [pair.input.seed, partner.seed if partner is not None else None],
            "planes": [_channels(pair.input.planes), _channels(target)],
            "target_kind": pair.target_kind,
            "two_way": partner is not None,
            "metadata": {k: v for k, v in pair.input.metadata.items() if isinstance(v, (str, int, float))},
            "projection": pair.input.projection.to_json() if pair.input.projection else None,
            "facts": facts,
        }
        write_text(self._json(index), json.dumps(entry))

    def show(self, index: int) -> dict[str, Any]:
        """Make the next pair visible to readers; returns the facts that were kept with it."""
        assert index == len(self._entries), "pairs become visible in order"
        entry = json.loads(self._json(index).read_text())
        self._entries.append(entry)
        self._of_frame[entry["number"]].append(index)
        return entry["facts"]

    def renders(self, index: int) -> tuple[Frame, Frame]:
        """Input and target render of one visible pair as they came, without history."""
        return self._frame(index, 0, None, history=False), self._frame(index, 1, None, history=False)

    def number(self, index: int) -> int:
        """The frame of a visible pair."""
        return int(self._entries[index]["number"])

    def half_spp(self, number: int) -> int:
        """Samples per pixel of all visible inputs of a frame; inputs that do not tell count alike."""
        return sum(self._entries[i]["spp"][0] or 1 for i in self._of_frame[number])

    def indices(self, number: int) -> list[int]:
        """The visible pairs of a frame, in order of arrival."""
        return list(self._of_frame[number])

    def put_history(self, index: int, histories: tuple[tuple[Plane, Plane], tuple[Plane, Plane]]) -> None:
        """Keep what other frames know of a visible pair's two renders: ``history`` and ``reliability`` of each.

        From then on they are among the planes of what is read. All pairs of a frame have a history or none has.
        """
        for half, planes in zip("ab", histories, strict=True):
            _save(self._history(index, half), np.concatenate(planes))
        self._with_history.add(index)

    def pair(self, *indices: int) -> FramePair:
        """One visible pair, whole; the average of several of one frame."""
        return self._read(list(indices), None)

    def frame_pair(self, number: int, exchanged: Sequence[bool] = ()) -> FramePair:
        """All visible passes of a frame, averaged, whole; ``exchanged`` as for :meth:`crop`."""
        return self._read(self._of_frame[number], None, exchanged)

    def passes(self, number: int) -> int:
        """Visible passes of a frame."""
        return len(self._of_frame[number])

    def two_way(self, number: int) -> bool:
        """Whether the halves of a frame may be exchanged: whether its targets are renders like its inputs."""
        return all(self._entries[i]["two_way"] for i in self._of_frame[number])

    def size(self, number: int) -> tuple[int, int]:
        """(H, W) of a visible frame, px."""
        shape = np.load(self._array(self._of_frame[number][0], "a"), mmap_mode="r").shape
        return int(shape[1]), int(shape[2])

    def crop(
        self, number: int, top: int, left: int, height: int, width: int, exchanged: Sequence[bool] = ()
    ) -> FramePair:
        """A window of all visible passes of a frame, averaged; only these pixels are read.

        Args:
            number: The frame.
            top: First row of the window, px.
            left: First column.
            height: Rows.
            width: Columns.
            exchanged: For each pass whether its halves change places before; empty for none.
        """
        return self._read(self._of_frame[number], (slice(top, top + height), slice(left, left + width)), exchanged)

    def pass_crop(self, number: int, index: int, top: int, left: int, height: int, width: int) -> FramePair:
        """A window of one visible pass of a frame, 0 being the first."""
        return self._read([self._of_frame[number][index]], (slice(top, top + height), slice(left, left + width)))

    def _read(
        self, indices: list[int], window: tuple[slice, slice] | None, exchanged: Sequence[bool] = ()
    ) -> FramePair:
        first = [int(second) for second in exchanged] or [0] * len(indices)
        a = average([self._frame(i, half, window) for i, half in zip(indices, first, strict=True)])
        b = average([self._frame(i, 1 - half, window) for i, half in zip(indices, first, strict=True)])
        entry = self._entries[indices[0]]
        partner = b if entry["two_way"] else None
        return FramePair(a, b.radiance, entry["target_kind"], None, partner)

    def _frame(self, index: int, half: int, window: tuple[slice, slice] | None, *, history: bool = True) -> Frame:
        entry = self._entries[index]
        planes = _planes(self._array(index, "ab"[half]), entry["planes"][half], window)
        if history and index in self._with_history:
            planes |= _planes(self._history(index, "ab"[half]), _HISTORY, window)
        projection = Projection.from_json(entry["projection"]) if entry["projection"] else None
        facts = (entry["spp"][half], entry["number"], entry["seed"][half], entry["metadata"], projection)
        return Frame(planes, *facts)

    def _array(self, index: int, half: str) -> Path:
        return self.folder / f"{index:06d}.{half}.npy"

    def _history(self, index: int, half: str) -> Path:
        return self.folder / f"{index:06d}.{half}.history.npy"

    def _json(self, index: int) -> Path:
        return self.folder / f"{index:06d}.json"


def _save(path: Path, planes: Plane) -> None:
    # Through memory: numpy's own file writing hides that the disk is full behind an error without a number.
    data = io.BytesIO()
    np.save(data, planes)
    write_bytes(path, data.getbuffer())


def _planes(path: Path, channels: list[tuple[str, int]], window: tuple[slice, slice] | None) -> dict[str, Plane]:
    """The planes of a file, or a window of them, by name."""
    array = np.load(path, mmap_mode="r")
    data = np.array(array if window is None else array[:, window[0], window[1]])
    planes: dict[str, Plane] = {}
    start = 0
    for name, count in channels:
        planes[name] = data[start : start + count]
        start += count
    return planes


def _channels(planes: Any) -> list[tuple[str, int]]:
    return [(name, int(plane.shape[0])) for name, plane in planes.items()]
