"""The pictures that ``online`` writes of a shot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rendernoise._version import __version__
from rendernoise.color import display
from rendernoise.frame import FramePair
from rendernoise.guard import Judgement
from rendernoise.io.exr import write_layers
from rendernoise.io.image import write_png
from rendernoise.io.renders import write_half
from rendernoise.io.sequence import frame_path

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
