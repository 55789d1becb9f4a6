"""From EXR files into a store, which training reads crops from without decoding whole files."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rendernoise.errors import RunError
from rendernoise.sources.exr_pairs import ExrPairs, same_picture
from rendernoise.sources.store import PairStore
from rendernoise.sources.temporal import ShotHistory


def read_pairs(
    source: ExrPairs, store: PairStore, window: int, emit: Callable[[dict[str, Any]], None] = lambda event: None
) -> list[str]:
    """Copy the pairs that a store does not hold yet, make all of them visible, and let frames know their neighbours.

    Args:
        source: The pairs.
        store: Where they go; an interrupted run's store may hold the first ones.
        window: Frames on each side that frames know of; 0 for none.
        emit: Called after each pair, and with notes on motion vectors.

    Returns:
        The inputs whose target is the same picture.

    Raises:
        ImageError: A file is damaged.
        OutputError: The disk is full.
        RunError: The store holds pairs of other files.
    """
    start, total, stored = time.monotonic(), len(source), 0
    while stored < total and store.holds(stored):
        stored += 1
    source.load_state_dict({"next": stored})
    for index, pair in enumerate(source, stored):
        store.put(index, pair, files=source.paths(index), same=same_picture(pair))
        wall_s = round(time.monotonic() - start, 3)
        emit({"event": "read", "pair": index + 1, "pairs": total, "wall_s": wall_s})
    for text in source.lost_vectors():
        emit({"event": "note", "text": text})
    same: list[str] = []
    for index in range(total):
        facts = store.show(index)
        if facts["files"] != source.paths(index):
            raise RunError(
                f"the pairs changed since the run began ({facts['files'][0]})",
                "Put them back, or start again with --overwrite",
            )
        same += [facts["files"][0]] * facts["same"]
    if window:
        ShotHistory(store, window, lambda number: source.files[number - 1].name).complete()
    return same
