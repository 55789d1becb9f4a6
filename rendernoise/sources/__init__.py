"""Where pairs come from: live renders, EXR pairs, noisy images; and how crops of them become batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from rendernoise.frame import FramePair


class PairSource(Protocol):
    """Pairs in a fixed order. After ``load_state_dict`` iteration goes on where ``state_dict`` was taken."""

    def __iter__(self) -> Iterator[FramePair]:
        """The pairs that are still to come."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """How far the source has come, as JSON values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        ...
