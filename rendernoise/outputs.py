"""The pictures that ``online`` writes of a shot, what they cost, and how wrong they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rendernoise._version import __version__
from rendernoise.color import display
from rendernoise.confidence import ErrorEstimate, Evidence, frame_estimates, shot_estimate
from rendernoise.denoiser import Denoiser
from rendernoise.frame import FramePair
from rendernoise.guard import Judgement
from rendernoise.io.exr import write_layers
from rendernoise.io.image import write_png
from rendernoise.io.renders import write_half
from rendernoise.io.sequence import frame_path
from rendernoise.sources.batching import held_out
from rendernoise.sources.store import PairStore

_FEATURES = ("albedo", "normal", "depth")


@dataclass(frozen=True)
class ShotFiles:
    """Where a shot's pictures go: ``denoised/``, ``preview/`` and ``halves/`` of an output directory.

    Args:
        out: The output directory; it exists.
        name: Name of the shot.
        seed: The run's seed, for the headers.
    """

    out: Path
    name: str
    seed: int

    def write(self, judged: Judgement, fingerprint: str) -> Path:
        """Write a frame as ``denoised/NAME.0001.exr`` with its layers, and its preview; returns the EXR's path.

        Args:
            judged: What the halves say of the frame, denoised with weights of this shot.
            fingerprint: The weights' fingerprint; empty while they are still learning.

        Raises:
            OutputError: A file cannot be written.
        """
        frame = judged.frame
        (self.out / "denoised").mkdir(exist_ok=True)
        (self.out / "preview").mkdir(exist_ok=True)
        path = frame_path(self.out / "denoised", self.name, frame.number, "exr")
        layers = {
            "": frame.radiance,
            "noisy": judged.noisy,
            "error": judged.error_map(trained=True),
            **{n: frame.planes[n] for n in _FEATURES if n in frame.planes},
        }
        attributes = {"rendernoise.version": __version__, "spp": frame.spp, "seed": self.seed}
        if fingerprint:
            attributes["rendernoise.weights"] = fingerprint
        if frame.projection:
            attributes |= frame.projection.to_attribute()
        write_layers(path, layers, {**attributes, "frame": frame.number})
        write_png(frame_path(self.out / "preview", self.name, frame.number, "png"), display(frame.radiance))
        return path

    def write_halves(self, pair: FramePair) -> None:
        """Write both halves as ``halves/NAME.a.0001.exr`` and ``.b.``.

        Raises:
            OutputError: A file cannot be written.
        """
        assert pair.partner is not None
        (self.out / "halves").mkdir(exist_ok=True)
        for half, frame in (("a", pair.input), ("b", pair.partner)):
            write_half(self.out / "halves", self.name, half, frame, self.seed)


class ShotImages:
    """Denoises the frames of a store, and keeps their estimates.

    Args:
        files: Where they are written.
        store: Where pairs are.
        holds_out: Whether some pixels were never targets, so that final frames can be judged.
    """

    def __init__(self, files: ShotFiles, store: PairStore, *, holds_out: bool) -> None:
        self.files, self.store, self._holds_out = files, store, holds_out
        self.estimates: dict[int, ErrorEstimate] = {}
        self.of_shot: ErrorEstimate | None = None
        self.denoise_s = 0.0
        self._placements = 0

    def score(self, pair: FramePair, denoiser: Denoiser, *, write: bool) -> ErrorEstimate:
        """The unbiased error of a pair that has just come; ``write`` its image too, until there is a better one."""
        start = time.monotonic()
        judged = Judgement.of(pair, *denoiser.halves(pair))
        self.estimates[pair.number] = judged.score()
        if write:
            self.files.write(judged, "")
        self._took(start, denoiser)
        return self.estimates[pair.number]

    def finish(self, denoiser: Denoiser, written: Callable[[int, Path], None]) -> None:
        """Write all frames and estimate their error; ``written`` is called with each number and path."""
        fingerprint = denoiser.fingerprint()
        numbers = self.store.frames
        evidence: list[Evidence] = []
        for number in numbers:
            path, found = self.denoise(denoiser, number, fingerprint)
            evidence.append(found)
            written(number, path)
        if self._holds_out:
            self.estimates |= dict(zip(numbers, frame_estimates(evidence, trained=True), strict=True))
            self.of_shot = shot_estimate(evidence, trained=True)

    def denoise(self, denoiser: Denoiser, number: int, fingerprint: str) -> tuple[Path, Evidence]:
        """Write one frame; returns its path, and what its halves say of its error."""
        start = time.monotonic()
        pair = self.store.frame_pair(number)
        judged = Judgement.of(pair, *denoiser.halves(pair))
        path = self.files.write(judged, fingerprint)
        self._took(start, denoiser)
        return path, judged.evidence(held_out(pair.input.height, pair.input.width, number))

    def _took(self, start: float, denoiser: Denoiser) -> None:
        self.denoise_s += time.monotonic() - start
        self._placements += denoiser.spins

    def seconds(self, spins: int) -> float:
        """What denoising all frames takes at most, as far as earlier ones tell."""
        return 1.5 * spins * len(self.store.frames) * self.denoise_s / max(1, self._placements)

    def summary(self) -> dict[str, Any]:
        """The seconds of denoising, samples and estimated errors, of the shot and of each frame, as JSON values."""
        spp = {n: 2 * self.store.half_spp(n) for n in self.store.frames}
        return {
            "denoise_s": round(self.denoise_s, 3),
            "spp": round(sum(spp.values()) / len(spp)),
            **(self.of_shot.to_json() if self.of_shot else {}),
            "frames": [{"frame": n, "spp": spp[n], **e.to_json()} for n, e in sorted(self.estimates.items())],
        }

    def state_dict(self) -> dict[str, Any]:
        """The estimates and the cost so far, as JSON values."""
        estimates = {n: [e.relmse, e.low, e.high, e.noisy_relmse] for n, e in self.estimates.items()}
        return {"estimates": estimates, "denoise_s": self.denoise_s, "placements": self._placements}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        self.estimates = {int(n): ErrorEstimate(*values) for n, values in state["estimates"].items()}
        self.denoise_s, self._placements = state["denoise_s"], state["placements"]
