"""The options of every command: one frozen dataclass each.

Each makes the command line, the ``--config`` TOML file and ``config.json`` in the run directory. This module imports
neither torch nor Mitsuba, so that ``--help`` answers at once. A value that cannot work raises ``InputError`` here,
before anything is written.
"""

from __future__ import annotations

import os
import re
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
MAX_NAME_BYTES = 150

_Positional = tyro.conf.Positional


def parse_resolution(text: str | None) -> tuple[int, int] | None:
    """``"640x360"`` as (width, height) in px. Raises ``InputError``."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() for p in parts) or not all(1 <= int(p) <= MAX_SIDE_PX for p in parts):
        raise InputError(f"{text!r} is no resolution", f"Write it like 640x360, each side 1 to {MAX_SIDE_PX} px")
    return int(parts[0]), int(parts[1])


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"--{name} {value} is out of range", f"Use {low} to {high}")


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that every long command has."""

    out: Path
    """Output directory; it is created."""
    frames: str | None = None
    """Frames, such as 1-24,30-40x2; all that there are by default."""
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
        _between("seed", self.seed, 0, MAX_RUN_SEED)
        if self.frames is not None:
            parse_frames(self.frames)

    @property
    def frame_list(self) -> list[int] | None:
        """The frames that were asked for; None for all."""
        return None if self.frames is None else parse_frames(self.frames)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, paths as text."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


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
        _between("spp", self.spp, 1, MAX_SPP)
        _between("passes", self.passes, 1, MAX_PASSES)
        parse_resolution(self.resolution)


@dataclass(frozen=True, kw_only=True)
class OnlineConfig(Rendering):
    """Render pairs, train on them while the next ones render, and write denoised frames."""

    scenes: Annotated[tuple[Path, ...], _Positional]
    """A scene XML, or one for each frame (shot.####.xml)."""
    recipe: Literal["ours", "paper"] = "ours"
    """ours, or the published online loop of Noise2Noise (8 steps a frame, the plain U-Net)."""
    time: float | None = None
    """Budget in s: after the renders, train until it is spent. Not repeatable to the pixel."""
    steps: int | None = None
    """Training steps for each pair; by default as many as fill the renderer's nominal time."""
    min_steps: int | None = None
    """Training goes on after the last render until this many steps are done (recipe ours); by default 500, or
    as many as the pixels bear without being learned by heart."""
    network: str | None = None
    """Network; by default unet_log, with --recipe paper unet."""
    weights: str = "none"
    """Weights to start from: none, or a file."""
    device: Device = "auto"
    """Where to train."""
    final_pass: bool = True
    """Denoise every frame once more with the last weights."""
    save_halves: bool = False
    """Keep both noisy halves of every frame as EXR."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        if not self.scenes:
            raise InputError("no scene was given", "Name a Mitsuba XML file")
        if self.time is not None and not self.time > 0:
            raise InputError(f"--time {self.time} is out of range", "Give a number of seconds above 0")
        if self.steps is not None:
            _between("steps", self.steps, 0, 1 << 24)
        if self.min_steps is not None:
            _between("min-steps", self.min_steps, 0, 1 << 24)


@dataclass(frozen=True, kw_only=True)
class RenderConfig(Rendering):
    """Render pairs or references of a shot as EXR with features."""

    scenes: Annotated[tuple[Path, ...], _Positional]
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

    pairs: Annotated[tuple[Path, ...], _Positional] = ()
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
    network: str = "unet_log"
    """Network."""
    weights: str = "none"
    """Weights to start from: none, or a file."""
    device: Device = "auto"
    """Where to train."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        _between("steps", self.steps, 1, 1 << 24)
        if bool(self.pairs) == bool(self.a or self.b) or bool(self.a) != bool(self.b):
            raise InputError("the pairs are unclear", "Give either folders of pairs, or both --a and --b patterns")


@dataclass(frozen=True, kw_only=True)
class DenoiseConfig(Common):
    """Denoise EXR frames with trained weights."""

    inputs: Annotated[tuple[Path, ...], _Positional]
    """EXR files, folders or patterns such as shot.####.exr."""
    out: Path = Path("denoised")
    """Output directory; it is created."""
    weights: str = ""
    """Weights file; needed for everything but --list-roles."""
    half: str | None = None
    """Pattern of the other half of each input frame; both are denoised and averaged."""
    role: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Where planes are found when names do not tell, such as albedo=MyAlb (may be repeated)."""
    list_roles: bool = False
    """Show where each plane is found, and stop."""
    skip_existing: bool = False
    """Leave frames whose output exists."""
    keep_noisy: bool = False
    """Keep the noisy radiance as noisy.R/G/B beside the denoised."""
    device: Device = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        if not self.inputs:
            raise InputError("no input was given", "Name EXR files, a folder or a pattern such as shot.####.exr")
        if not self.weights and not self.list_roles:
            raise InputError("no weights were given", "Give --weights FILE, such as a run's weights.safetensors")
        bad = [r for r in self.role if "=" not in r]
        if bad:
            raise InputError(f"--role {bad[0]} is no assignment", "Write it like --role albedo=MyAlb")

    @property
    def roles(self) -> dict[str, str]:
        """Plane name to layer."""
        return dict(r.split("=", 1) for r in self.role)


def _names_files(text: str) -> bool:
    """Whether files and folders can be called that, with room for a number and an ending."""
    return bool(text.strip()) and "/" not in text and text[0] != "." and len(os.fsencode(text)) <= MAX_NAME_BYTES


#: What ``bench`` compares; ``NAME@SPP`` takes part at that sample count alone.
BENCH_METHODS = ("noisy", "online", "online-paper", "base", "oidn", "oidn-prefiltered", "mitsuba-optix")


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Common):
    """Measure denoisers against references: results.json and a page to look at."""

    scenes: Annotated[tuple[Path, ...], _Positional] = ()
    """A scene XML, or one for each frame (shot.####.xml); or give --noisy and --reference."""
    noisy: str | None = None
    """Pattern of noisy EXR frames of any renderer, instead of a scene."""
    half: str | None = None
    """Pattern of the other half of each noisy frame; their mean is then the noisy image."""
    reference: str | None = None
    """Pattern of the references; without it those of a scene are rendered."""
    reference_half: str | None = None
    """Pattern of the references' other half, which tells their own noise; a variance layer tells it too."""
    methods: str | None = None
    """What to compare, such as noisy,oidn,oidn-prefiltered,online,FILE.safetensors; NAME@16 only at 16 spp."""
    images: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Another tool's images, NAME=DIR (may be repeated); {spp} in DIR stands for the samples per pixel."""
    spp: str = "4,16,64"
    """Samples per pixel of a frame, both halves together: even numbers."""
    reference_spp: int = 4096
    """Samples per pixel of references that are rendered."""
    measure: str | None = None
    """Frames to measure, such as 12,24, or all; by default those with a reference, or two of the middle."""
    repeats: int = 1
    """Runs with the seeds --seed, --seed + 1, ...; the table shows their spread."""
    resolution: str | None = None
    """WxH in px instead of the film's own."""
    camera: Path | None = None
    """JSON file of camera keyframes that moves the camera of a single scene."""
    variant: Variant = "auto"
    """Mitsuba variant; auto takes CUDA, then LLVM, then scalar, whichever renders."""
    device: Device = "auto"
    """Where to train and to denoise with weights."""
    name: str | None = None
    """What to call the scene; by default after its file or folder."""
    cache: Path | None = None
    """Where renders are kept for the next time; by default rendernoise in the user's cache folder."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        if bool(self.scenes) == bool(self.noisy):
            raise InputError("what to measure is unclear", "Give either a scene, or --noisy and --reference patterns")
        if self.noisy and not self.reference:
            raise InputError("the references are missing", "Give --reference PATTERN beside --noisy")
        if self.half and not self.noisy:
            raise InputError("--half belongs to --noisy", "Give both, or a scene")
        if self.reference_half and not self.reference:
            raise InputError("--reference-half belongs to --reference", "Give both")
        _between("reference-spp", self.reference_spp, 2, MAX_SPP)
        _between("repeats", self.repeats, 1, 1000)
        _between("seed", self.seed + self.repeats - 1, 0, MAX_RUN_SEED)
        parse_resolution(self.resolution)
        if self.name is not None and not _names_files(self.name):
            raise InputError(f"--name {self.name!r} cannot name files", "Choose a short name without slashes")
        _ = self.spp_list, self.method_list, self.image_folders
        if self.measure not in (None, "all"):
            parse_frames(self.measure or "")

    @property
    def spp_list(self) -> list[int]:
        """Samples per pixel, ascending."""
        parts = [part.strip() for part in self.spp.split(",") if part.strip()]
        if not parts or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
            raise InputError(f"--spp {self.spp} is no list of sample counts", "Write it like 4,16,64")
        bad = next((n for n in map(int, parts) if n % 2 or not 2 <= n <= MAX_SPP), None)
        if bad is not None:
            raise InputError(f"--spp {bad} cannot be split into two halves", f"Use even numbers, 2 to {MAX_SPP}")
        return sorted({int(part) for part in parts})

    @property
    def method_list(self) -> list[tuple[str, int | None]] | None:
        """Each method with the one sample count that it is limited to, if any; None when none were named."""
        if self.methods is None:
            return None
        listed: list[tuple[str, int | None]] = []
        for part in filter(None, (p.strip() for p in self.methods.split(","))):
            name, at, only = part.rpartition("@") if re.search("@[0-9]{1,9}$", part) else (part, "", "")
            if name not in BENCH_METHODS and not name.endswith(".safetensors"):
                raise InputError(
                    f"there is no method {name!r}", f"Use {', '.join(BENCH_METHODS)}, or a .safetensors file"
                )
            if at and not self.noisy and int(only) not in self.spp_list:
                raise InputError(f"--methods {part}: {only} is not in --spp {self.spp}", "Name one of these")
            listed.append((name, int(only) if at else None))
        if not listed:
            raise InputError("--methods names no method", f"Use {', '.join(BENCH_METHODS)}, or a .safetensors file")
        # Who takes part everywhere need not be named for one count again.
        return [entry for entry in dict.fromkeys(listed) if entry[1] is None or (entry[0], None) not in listed]

    @property
    def image_folders(self) -> dict[str, str]:
        """Name to folder of other tools' images."""
        folders: dict[str, str] = {}
        for text in self.images:
            name, equals, folder = text.partition("=")
            if not (name and equals and folder):
                raise InputError(f"--images {text} is no assignment", "Write it like --images noice=DIR")
            if name in (*BENCH_METHODS, "reference", *folders) or not _names_files(name):
                raise InputError(f"--images {name}=... cannot be called that", "Choose another name")
            folders[name] = folder
        return folders


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Say what this machine can do, what is missing, and how to get it."""

    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Print a traceback with every error."""
    quiet: bool = False
    """Print errors only."""
