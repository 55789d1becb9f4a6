"""What is compared: plain rendering, rendernoise in its ways, other denoisers, and other tools' images.

To add one: a class with the members of :class:`Method`, and a line in :func:`make_method`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from rendernoise.bench.config import BenchConfig
from rendernoise.bench.inputs import NoisyFrame, one_sequence
from rendernoise.bench.isolated import ForeignSpec, denoise_apart, why_not
from rendernoise.config import OnlineConfig
from rendernoise.denoiser import Denoiser, pick_device
from rendernoise.errors import InputError, RendernoiseError
from rendernoise.frame import Frame, FramePair, Plane
from rendernoise.guard import merge_halves
from rendernoise.io.exr import read_frame
from rendernoise.io.sequence import frame_path
from rendernoise.job import Emit, starting_weights
from rendernoise.neighbours import Neighbours, informed
from rendernoise.online import run_online
from rendernoise.render.process import RendererProcess
from rendernoise.render.shot import Shot
from rendernoise.weights import BASE


@dataclass(frozen=True)
class Seconds:
    """What one frame cost, s; None where it is unknown."""

    render_s: float | None = None
    train_s: float | None = None
    denoise_s: float | None = None
    wall_s: float | None = None


@dataclass(frozen=True)
class Output:
    """A method's image of one frame, ``[3, H, W]``, or why there is none.

    Its ``estimate`` is what it takes its own error for: ``estimated_relmse`` and ``interval``; None for methods that
    do not tell.
    """

    number: int
    radiance: Plane | None
    seconds: Seconds = Seconds()
    error: str = ""
    estimate: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Cell:
    """One method's work at one sample count and seed.

    Args:
        spp: Samples per pixel of a frame; 0 when unknown.
        seed: Seed of the renders.
        frames: The noisy frames to denoise.
        work: A folder of its own, kept until the benchmark ends.
        emit: Called with progress.
        numbers: All frames of the shot, in order.
        noisy: Gives any of them, rendered if it is not kept.
    """

    spp: int
    seed: int
    frames: tuple[NoisyFrame, ...]
    work: Path
    emit: Emit
    numbers: Sequence[int]
    noisy: Callable[[int], NoisyFrame]


class Method(Protocol):
    """A way from samples to an image."""

    name: str
    label: str
    about: str

    def why_not(self) -> str | None:
        """Why it cannot run here, in one line; None when it can. Asked once, before any work."""
        ...

    def run(self, cell: Cell) -> Iterator[Output]:
        """The images of the cell's frames, in order."""
        ...


@dataclass
class Noisy:
    """The mean of all samples: what plain rendering gives."""

    name: str = "noisy"
    label: str = "plain rendering"
    about: str = "the mean of all samples, not denoised"

    def why_not(self) -> str | None:
        """It always can."""

    def run(self, cell: Cell) -> Iterator[Output]:
        """The means."""
        for frame in cell.frames:
            yield Output(frame.number, frame.mean().radiance, _charged(frame, 0.0))


@dataclass
class Foreign:
    """Another denoiser, in a process of its own, on the mean of all samples and features."""

    name: str
    label: str
    about: str
    spec: ForeignSpec

    def why_not(self) -> str | None:
        """Whether it can be made here."""
        return why_not(self.spec)

    def run(self, cell: Cell) -> Iterator[Output]:
        """One frame after the other, timed warm."""
        denoised = denoise_apart(self.spec, ((frame.mean(), frame.view) for frame in cell.frames))
        for frame, (radiance, seconds) in zip(cell.frames, denoised, strict=True):
            yield Output(frame.number, radiance, _charged(frame, seconds))


@dataclass
class Weights:
    """Weights as they are, without training on the shot.

    Base weights know all sample counts and get all samples at once. Weights of a shot know its halves: the mean of
    f(A) and f(B) is theirs, where there are halves (docs/denoiser.md has both figures of both). Frames of the shot
    within the window help, as they do when the shot is denoised as a sequence.
    """

    name: str
    label: str
    about: str
    weights: str
    device: str
    network: str | None = None
    at_once: bool = False
    window: int | None = None

    def why_not(self) -> str | None:
        """A network may have no base weights; a file that is not there is the user's mistake, and no reason to go on.

        Raises:
            WeightsError: The file is missing or damaged.
        """
        if self.network and self.network not in BASE:
            return f"there are no base weights of {self.network}"
        starting_weights(self.weights, self.network)
        return None

    def run(self, cell: Cell) -> Iterator[Output]:
        """One frame after the other, timed warm."""
        loaded = starting_weights(self.weights, self.network)
        assert loaded is not None
        denoiser = Denoiser(loaded.model, loaded.provenance, pick_device(self.device))
        neighbours: Neighbours[int] = Neighbours(denoiser.window_of(self.window), lambda n: self._inputs(cell.noisy(n)))
        for index, frame in enumerate(cell.frames):
            inputs = self._inputs(frame)
            around = neighbours.around(frame.number, cell.numbers)
            if not index:
                _denoise(denoiser, informed(inputs, around, windows=denoiser.light_windows))
            start = time.perf_counter()
            radiance = _denoise(denoiser, informed(inputs, around, windows=denoiser.light_windows))
            yield Output(frame.number, radiance, _charged(frame, time.perf_counter() - start))

    def _inputs(self, frame: NoisyFrame) -> list[Frame]:
        return [frame.mean()] if self.at_once else frame.halves()


def _denoise(denoiser: Denoiser, inputs: list[Frame]) -> Plane:
    if len(inputs) == 1:
        return denoiser.radiance(inputs[0])
    pair = FramePair.of_halves(*inputs)
    return merge_halves(pair, *denoiser.halves(pair))[0].radiance


@dataclass
class Online:
    """``rendernoise online`` on the whole shot, which renders its own samples: the very ones of the other methods."""

    name: str
    label: str
    about: str
    choices: Mapping[str, str]
    config: BenchConfig
    shot: Shot | None
    start_renderer: Callable[[], RendererProcess] | None = None
    variant: str = "auto"

    def why_not(self) -> str | None:
        """It needs a scene."""
        return None if self.shot else "it renders while it trains and needs a scene, not images"

    def run(self, cell: Cell) -> Iterator[Output]:
        """The measured frames of the shot; each is charged its share of the whole run."""
        config, shot = self.config, self.shot
        assert shot is not None
        options = OnlineConfig(
            scenes=config.scenes,
            camera=config.camera,
            resolution=config.resolution,
            variant="auto" if self.start_renderer else self.variant,  # pyright: ignore[reportArgumentType]
            device=config.device,
            frames=config.frames,
            spp=cell.spp // 2,
            seed=cell.seed,
            out=cell.work,
            resume=True,
            **self.choices,  # pyright: ignore[reportArgumentType]
        )
        if config.window is not None:
            options = replace(options, window=config.window)
        summary = run_online(options, cell.emit, self.start_renderer)
        share = 1 / max(1, len(summary["frames"]))
        parts = {name: round(summary[name] * share, 4) for name in ("render_s", "train_s", "denoise_s", "wall_s")}
        failed = {f["frame"]: f["error"] for f in summary["failed"]}
        estimates = {f["frame"]: {n: f[n] for n in ("estimated_relmse", "interval")} for f in summary["frames"]}
        for frame in cell.frames:
            if frame.number in failed:
                yield Output(frame.number, None, error=failed[frame.number])
                continue
            denoised = read_frame(frame_path(cell.work / "denoised", shot.name, frame.number, "exr"))
            yield Output(frame.number, denoised.radiance, Seconds(**parts), estimate=estimates[frame.number])


@dataclass
class Images:
    """What another tool wrote."""

    name: str
    folder: str
    label: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        """Name it after itself."""
        self.label = self.label or self.name
        self.about = self.about or f"images in {self.folder}"

    def why_not(self) -> str | None:
        """Whatever is missing is said at its frame."""

    def run(self, cell: Cell) -> Iterator[Output]:
        """The images of the same frame numbers."""
        where = self.folder.replace("{spp}", str(cell.spp))
        files = dict(one_sequence(where).files)
        for frame in cell.frames:
            if frame.number not in files:
                yield Output(frame.number, None, error=f"{where} has no frame {frame.number}")
                continue
            try:
                image = read_frame(files[frame.number], number=frame.number)
            except RendernoiseError as error:
                yield Output(frame.number, None, error=str(error))
                continue
            yield Output(frame.number, image.radiance)

    def takes_part(self, spp: int, counts: list[int]) -> bool:
        """Whether the folder is for this sample count: by its ``{spp}``, or by the ``spp`` in its files.

        Raises:
            InputError: Neither tells, and there are several sample counts.
        """
        if len(counts) == 1:
            return True
        if "{spp}" in self.folder:
            return True
        own = read_frame(one_sequence(self.folder).files[0][1]).spp
        if own not in counts:
            raise InputError(
                f"--images {self.name}={self.folder}: its files do not say which of {counts} spp they are",
                "Write {spp} in the path, or give one --spp",
            )
        return own == spp


_OIDN = "rendernoise.bench.oidn:Oidn"
_OPTIX = "rendernoise.render.optix:MitsubaOptix"


#: The ways of ``online``: what a label adds, and the options that differ from its defaults.
ONLINE: dict[str, tuple[str, dict[str, str]]] = {
    "online": ("", {}),
    "online-fast": (", fast", {"network": "fast"}),
    "online-scratch": (", from random weights", {"weights": "none"}),
    "online-paper": (", paper's recipe", {"recipe": "paper"}),
}


def make_method(
    name: str,
    config: BenchConfig,
    shot: Shot | None,
    variant: str,
    start_renderer: Callable[[], RendererProcess] | None = None,
) -> Method:
    """The method of that name; a name that ends in ``.safetensors`` is a weights file."""
    match name:
        case "noisy":
            return Noisy()
        case "oidn":
            return Foreign(name, "OIDN", "Intel Open Image Denoise, HDR, albedo and normal", ForeignSpec(_OIDN, {}))
        case "oidn-prefiltered":
            about = "Intel Open Image Denoise with albedo and normal denoised first (cleanAux)"
            return Foreign(name, "OIDN prefiltered", about, ForeignSpec(_OIDN, {"prefilter": True}))
        case "mitsuba-optix":
            return Foreign(
                name, "OptiX", "NVIDIA's OptiX denoiser as Mitsuba offers it", ForeignSpec(_OPTIX, {}, takes_view=True)
            )
        case _ if name in ONLINE:
            what, choices = ONLINE[name]
            about = "trained on the shot with these samples alone, while they are rendered"
            return Online(name, f"rendernoise online{what}", about, choices, config, shot, start_renderer, variant)
        case "base" | "base-fast":
            network = "fast" if name.endswith("fast") else None
            label = "rendernoise base" + (", fast" if network else "")
            about = "base weights on all samples at once, not trained on the shot"
            return Weights(name, label, about, "base", config.device, network, True, config.window)
    path = Path(name)
    # Every run calls its weights "weights"; its folder tells them apart.
    short = (path.absolute().parent.name if path.stem == "weights" else path.stem).lstrip(".")[:60] or "weights"
    about = f"weights in {name}, not trained further"
    return Weights(short, f"rendernoise {short}", about, name, config.device, window=config.window)


def _charged(frame: NoisyFrame, denoise_s: float) -> Seconds:
    """What a frame cost with rendering; where that is unknown, so is the sum."""
    wall_s = None if frame.render_s is None else round(frame.render_s + denoise_s, 5)
    return Seconds(frame.render_s, 0.0, round(denoise_s, 5), wall_s)
