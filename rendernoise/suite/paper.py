"""What the papers report: the rows of ``paper.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

#: Folder names that hold a set of images under another name than the papers use.
_ALSO_CALLED = {"kodak24": "kodak", "bsds300": "bsd300"}


@dataclass(frozen=True)
class PaperRow:
    """One figure of a paper.

    Args:
        noise: A name in ``noise.NOISES``.
        target: ``noisy``, ``clean`` or ``blind``; ``input`` for the noisy images themselves; else a baseline's name.
        loss: A name in ``losses.LOSSES``; None where the paper names none, or nothing was trained.
        image_set: The images, in lower case; ``paper`` for those that a paper shows without naming a set.
        psnr_db: Mean PSNR, dB.
        source: Paper and place.
    """

    noise: str
    target: str
    loss: str | None
    image_set: str
    psnr_db: float
    source: str


@cache
def paper_rows() -> tuple[PaperRow, ...]:
    """Every figure that is known."""
    text = (resources.files("rendernoise.suite") / "paper.json").read_text(encoding="utf-8")
    return tuple(PaperRow(**row) for row in json.loads(text)["rows"])


def paper_figures(noise: str, target: str, loss: str | None = None) -> tuple[PaperRow, ...]:
    """The papers' figures of a method on every set of images that they measured.

    Args:
        noise: A name in ``noise.NOISES``; options after a colon make it another noise than the papers'.
        target: As in :class:`PaperRow`.
        loss: Only of this loss; None for any.
    """
    rows = (r for r in paper_rows() if (r.noise, r.target) == (noise, target))
    return tuple(r for r in rows if None in (loss, r.loss) or r.loss == loss)


def figures_of(row: Mapping[str, Any]) -> tuple[PaperRow, ...]:
    """The papers' figures of what a row of ``suite reproduce`` measured, on every set of images.

    Noise2Void's belong to the experiment ``n2v`` and its own masking, those of Noise2Noise to the experiment that is
    called as the noise: other experiments train on less.
    """
    void = row["experiment"] == "n2v"
    if row["masking"] not in (None, "n2v") or not (void or row["experiment"] == row["noise"]):
        return ()
    rows = paper_figures(row["noise"], row["target"], row["loss"])
    return tuple(r for r in rows if r.source.startswith("Noise2Void") == void)


def on_images(rows: Iterable[PaperRow], image_set: str) -> float | None:
    """The figure on that very set of images, dB; None where there is none."""
    name = image_set.lower()
    name = _ALSO_CALLED.get(name, name)
    return next((r.psnr_db for r in rows if r.image_set == name), None)


def paper_psnr(noise: str, target: str, image_set: str, loss: str | None = None) -> float | None:
    """The papers' figure of a method on that very set of images, dB; None where they have none."""
    return on_images(paper_figures(noise, target, loss), image_set)
