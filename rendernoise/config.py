"""The options of every command: one frozen dataclass each (those of ``bench`` and ``suite`` are in their packages).

Each makes the command line, the ``--config`` TOML file and ``config.json`` in the run directory. This module imports
neither torch nor Mitsuba, so that ``--help`` answers at once. A value that cannot work raises ``InputError`` here,
before anything is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from rendernoise.errors import InputError
from rendernoise.io.sequence import parse_frames
from rendernoise.seeds import MAX_PASSES, MAX_RUN_SEED

Variant = Literal["auto", "scalar_rgb", "llvm_ad_rgb", "cuda_ad_rgb"]
Device = Literal["auto", "cpu", "cuda"]
MAX_SPP = 1 << 20
MAX_SIDE_PX = 1 << 15
#: As many as ``denoiser.PLACEMENTS``, which would cost the import of torch.
MAX_SPINS = 4
#: Frames on each side that ``--window`` may ask for.
MAX_WINDOW = 64
MAX_TRAIN_S = 7 * 24 * 3600.0

Positional = tyro.conf.Positional


def parse_resolution(text: str | None) -> tuple[int, int] | None:
    """``"640x360"`` as (width, height) in px. Raises ``InputError``."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() for p in parts) or not all(1 <= int(p) <= MAX_SIDE_PX for p in parts):
        raise InputError(f"{text!r} is no resolution", f"Write it like 640x360, each side 1 to {MAX_SIDE_PX} px")
    return int(parts[0]), int(parts[1])


def parse_duration(text: str | None, option: str = "--train") -> float | None:
    """``"60s"``, ``"90"`` or ``"2m"`` in seconds; ``option`` gave it. Raises ``InputError``."""
    if text is None:
        return None
    number = re.fullmatch(r"(\d+\.?\d*|\.\d+)([smh]?)", text.strip().lower())
    seconds = float(number[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[number[2]] if number else 0.0
    if not 0 < seconds <= MAX_TRAIN_S:
        raise InputError(f"{option} {text} is no time", "Write it like 60s, 90 or 2m")
    return seconds


def parse_roles(texts: Collection[str]) -> dict[str, str]:
    """``"albedo=MyAlb"`` and the like as plane name to layer. Raises ``InputError``."""
    bad = [text for text in texts if "=" not in text]
    if bad:
        raise InputError(f"--role {bad[0]} is no assignment", "Write it like --role albedo=MyAlb")
    return dict(text.split("=", 1) for text in texts)


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ``InputError`` when an option's value lies outside its range."""
    if not low <= value <= high:
        raise InputError(f"--{name} {value} is out of range", f"Use {low} to {high}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Options that every long command has."""

    out: Path
    """Output directory; it is created."""
    seed: int = 0
    """Seed of everything random; 0 is a seed like any other."""
    resume: bool = False
    """Go on with the interrupted run in --out."""
    overwrite: bool = False
    """Replace what an earlier run left in --out."""
    json: bool = False
    """Print events as JSON, one object a line."""
    quiet: bool = False
    """Print errors only."""
    debug: bool = False
    """Print a traceback with every error."""
    config: Path | None = None
    """TOML file of options by their names here; the command line wins."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        check_between("seed", self.seed, 0, MAX_RUN_SEED)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, paths as text."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Common(Job):
    """Options that every long command on frames has."""

    frames: str | None = None
    """Frames, such as 1-24,30-40x2; all that there are by default."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        if self.frames is not None:
            parse_frames(self.frames)

    @property
    def frame_list(self) -> list[int] | None:
        """The frames that were asked for; None for all."""
        return None if self.frames is None else parse_frames(self.frames)


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return os.fspath(value) if isinstance(value, Path) else value


@dataclass(frozen=True, kw_only=True)
class Rendering(Common):
    """Options of the commands that render."""

    spp: int = 8
    """Samples per pixel of each half and pass."""
    passes: int = 1
    """Pairs to render of each frame."""
    resolution: str | None = None
    """WxH in px instead of the film's own."""
    camera: Path | None = None
    """JSON file of camera keyframes that moves the camera of a single scene."""
    variant: Variant = "auto"
    """Mitsuba variant; auto takes CUDA, then LLVM, then scalar, whichever renders."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        check_between("spp", self.spp, 1, MAX_SPP)
        check_between("passes", self.passes, 1, MAX_PASSES)
        parse_resolution(self.resolution)


@dataclass(frozen=True, kw_only=True)
class OnlineConfig(Rendering):
    """Render pairs, train on them while the next ones render, and write denoised frames."""

    scenes: Annotated[tuple[Path, ...], Positional]
    """A scene XML, or one for each frame (shot.####.xml)."""
    recipe: Literal["ours", "paper"] = "ours"
    """ours, or the published online loop of Noise2Noise (8 steps a frame, the plain U-Net)."""
    target_error: float | None = None
    """Render more samples of each frame until its estimated relMSE, the upper end of the interval, is below this."""
    time: float | None = None
    """Budget in s: what rendering and training leave of it goes into more samples where they help most, or with
    --target-error into frames that miss it. Not repeatable to the pixel."""
    steps: int | None = None
    """Training steps for each pair; by default as many as fill the renderer's nominal time."""
    min_steps: int | None = None
    """Training goes on after the last render until this many steps are done (recipe ours); by default 600 where
    neighbouring frames help base weights, else 1100, or as many as the pixels bear without being learned by heart."""
    network: str | None = None
    """Network: kernel_pyramid (the default), fast, shuffled_unet, unet_log, or the paper's unet."""
    weights: str | None = None
    """Weights to start from: base, none or a file; by default base where the network has base weights."""
    device: Device = "auto"
    """Where to train."""
    final_pass: bool = True
    """Denoise every frame once more with the last weights."""
    spins: int | None = None
    """Placements of the network's blocks that the final pass averages, 1 to 4; by default 4 (--recipe paper: 1)."""
    window: int = 8
    """Frames on each side of a frame whose samples help to denoise it; 0 for none."""
    save_halves: bool = False
    """Keep both noisy halves of every frame as EXR."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        if not self.scenes:
            raise InputError("no scene was given", "Name a Mitsuba XML file")
        if self.target_error is not None:
            if not self.target_error > 0:
                raise InputError(f"--target-error {self.target_error} is out of range", "Give a relMSE such as 0.01")
            if self.recipe != "ours" or not self.final_pass:
                raise InputError("--target-error judges final frames of --recipe ours", "Leave the other option out")
        if self.time is not None and not self.time > 0:
            raise InputError(f"--time {self.time} is out of range", "Give a number of seconds above 0")
        if self.steps is not None:
            check_between("steps", self.steps, 0, 1 << 24)
        if self.min_steps is not None:
            check_between("min-steps", self.min_steps, 0, 1 << 24)
        if self.spins is not None:
            check_between("spins", self.spins, 1, MAX_SPINS)
        check_between("window", self.window, 0, MAX_WINDOW)


@dataclass(frozen=True, kw_only=True)
class RenderConfig(Rendering):
    """Render pairs or references of a shot as EXR with features."""

    scenes: Annotated[tuple[Path, ...], Positional]
    """A scene XML, or one for each frame (shot.####.xml)."""
    pairs: bool = False
    """Write halves NAME.a.0001.exr and NAME.b.0001.exr of --passes times --spp samples each (the default)."""
    reference: bool = False
    """Write NAME.0001.exr of --passes times --spp samples, with the variance of its mean."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        if not self.scenes:
            raise InputError("no scene was given", "Name a Mitsuba XML file")
        if self.pairs and self.reference:
            raise InputError("--pairs and --reference exclude each other", "Run the command twice")
        if self.reference and self.passes < 2:
            raise InputError("a reference of one pass has no known variance", "Give --passes 2 or more")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Common):
    """Train weights offline on rendered pairs (Noise2Noise), or on references for comparison."""

    pairs: Annotated[tuple[Path, ...], Positional] = ()
    """Folders that hold NAME.a.####.exr and NAME.b.####.exr (and NAME.####.exr for --target reference)."""
    a: str | None = None
    """Pattern of the input halves, such as a.####.exr, instead of PAIRS."""
    b: str | None = None
    """Pattern of the target halves; with --target reference, of the references."""
    target: Literal["noisy", "reference"] = "noisy"
    """What the loss compares with: the other half, or a reference."""
    steps: int = 2000
    """Training steps."""
    loss: str = "hdr"
    """Loss; the biased ones exist for comparisons."""
    transfer: Literal["linear", "tonemap", "log1p"] | None = None
    """Transfer function of the input radiance instead of the network's own, for comparisons."""
    network: str | None = None
    """Network: kernel_pyramid (the default), fast, shuffled_unet, unet_log, or the paper's unet."""
    weights: str = "none"
    """Weights to start from: none, base or a file."""
    window: int = 8
    """Frames on each side of a frame whose samples help it, where cameras, positions or motion vectors lead to them; 0
    for none."""
    device: Device = "auto"
    """Where to train."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        check_between("window", self.window, 0, MAX_WINDOW)
        check_between("steps", self.steps, 1, 1 << 24)
        if bool(self.pairs) == bool(self.a or self.b) or bool(self.a) != bool(self.b):
            raise InputError("the pairs are unclear", "Give either folders of pairs, or both --a and --b patterns")


@dataclass(frozen=True, kw_only=True)
class DenoiseConfig(Common):
    """Denoise EXR frames with trained weights."""

    inputs: Annotated[tuple[Path, ...], Positional]
    """EXR files, folders or patterns such as shot.####.exr."""
    out: Path = Path("denoised")
    """Output directory, which is created, or a pattern such as out/beauty.####.exr."""
    in_place: bool = False
    """Replace the inputs by their denoised images, all at the end, instead of writing to --out."""
    weights: str = "base"
    """Weights: base, or a file such as a run's weights.safetensors."""
    network: str | None = None
    """Which network's base weights; kernel_pyramid by default."""
    spins: int = 1
    """Placements of the network's blocks to average, 1 to 4: better images in so many times the seconds."""
    half: str | None = None
    """Pattern of the other half of each input frame; both are denoised and averaged."""
    train: str | None = None
    """Train on the frames first for so long, such as 60s or 2m, and keep the weights in OUT/weights.safetensors: with
    --half on both halves, else on what each pixel's neighbours tell (blind spots)."""
    window: int | None = None
    """Frames of a sequence on each side of a frame that help to denoise it, where cameras, positions or motion vectors
    lead to them; by default as many as the weights were trained with, 3 for base weights; 0 for none."""
    role: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Where planes are found when names do not tell, such as albedo=MyAlb (may be repeated)."""
    aov: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Further layers of light to denoise under their own names, by pattern, such as "light_*" (may be repeated). When
    all that are taken sum up to the radiance, they still do afterwards."""
    alpha: Literal["keep", "denoise"] = "keep"
    """Leave alpha bit for bit, or denoise it too (in the time of two layers)."""
    list_roles: bool = False
    """Show where each plane is found, and which layers --aov takes, and stop."""
    skip_existing: bool = False
    """Leave frames whose output is complete and what would be written: of the same inputs, weights and options."""
    allow_gaps: bool = False
    """Go on where a sequence lacks frames; they are named before the start."""
    dry_run: bool = False
    """Say what would be done, frame by frame, and stop."""
    keep_noisy: bool = False
    """Keep the noisy radiance as noisy.R/G/B beside the denoised."""
    memory: int | None = None
    """Take no more than about so many MiB of memory: fewer frames wait, fewer neighbours help, and frames that are
    still too large go through in tiles. By default as much as it takes."""
    device: Device = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        if not self.inputs:
            raise InputError("no input was given", "Name EXR files, a folder or a pattern such as shot.####.exr")
        if self.skip_existing and self.overwrite:
            raise InputError("--skip-existing and --overwrite exclude each other", "Give one of them")
        if self.in_place and self.out != Path("denoised"):
            raise InputError("--in-place and --out exclude each other", "Give one of them")
        check_between("spins", self.spins, 1, MAX_SPINS)
        if self.window is not None:
            check_between("window", self.window, 0, MAX_WINDOW)
        if self.memory is not None:
            check_between("memory", self.memory, 256, 2**30)
        if self.train_s is not None and self.in_place:
            cure = "Train with --out DIR, then give --weights DIR/weights.safetensors"
            raise InputError("--train keeps weights beside its frames, and --in-place has no place for them", cure)
        parse_roles(self.role)

    @property
    def roles(self) -> dict[str, str]:
        """Plane name to layer."""
        return parse_roles(self.role)

    @property
    def train_s(self) -> float | None:
        """Seconds to train on the shot; None for not at all."""
        return parse_duration(self.train)


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Say what this machine can do, what is missing, and how to get it."""

    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Print a traceback with every error."""
    quiet: bool = False
    """Print errors only."""
