"""The options of ``rendernoise suite``: one frozen dataclass per command. Imports no torch, as ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from rendernoise.config import Device, Job, Positional, check_between
from rendernoise.errors import InputError

Target = Literal["noisy", "clean", "average", "blind"]
Optimizer = Literal["adam", "muon"]
#: What --crop-px, --batch and --learning-rate are where they are not given: of Noise2Noise, section 3, and of
#: Noise2Void, section 4, whose batches are of many small patches as few of their pixels are targets.
NOISE2NOISE = (256, 4, 1e-3)
NOISE2VOID = (64, 128, 4e-4)
#: That of renderings.
MUON_RATE = 1e-3
#: Of each image; more fixed noise than this is as good as new noise.
MAX_REALISATIONS = 10_000


def parse_range(text: str | None) -> tuple[float, float] | None:
    """``"0-50"`` as (0, 50), ``"25"`` as (25, 25). Raises ``InputError``."""
    if text is None:
        return None
    low, dash, high = text.strip().partition("-")
    try:
        found = float(low), float(high if dash else low)
    except ValueError:
        raise InputError(f"--strength {text} is no range", "Write it like 0-50, or 25") from None
    if not found[0] <= found[1]:
        raise InputError(f"--strength {text} is no range", "Write the lower end first")
    return found


@dataclass(frozen=True, kw_only=True)
class SuiteListConfig:
    """Show the noise models and what is known of each."""

    json: bool = False
    """Print one JSON object."""
    debug: bool = False
    """Print a traceback with every error."""
    quiet: bool = False
    """Print errors only."""


@dataclass(frozen=True, kw_only=True)
class SuiteTrainConfig(Job):
    """Train a denoiser on images that are given noise."""

    noise: Annotated[str, Positional]
    """Noise model, with options such as brown_gaussian:bandwidth_px=4; suite list shows them."""
    data: Path
    """Folder of clean images: PNG, JPEG, TIFF or EXR."""
    target: Target = "noisy"
    """What the loss compares with: another noisy version (Noise2Noise), the clean image, with --realisations the
    average of the other noisy versions, or blind: hidden pixels of the input itself (Noise2Void)."""
    masking: str = "n2v"
    """How pixels are hidden for --target blind."""
    steps: int = 2000
    """Training steps."""
    loss: str | None = None
    """Loss; by default the noise model's own. One that estimates another statistic than the noise needs is refused."""
    contrast: bool = False
    """Train with such a loss all the same, to show what it does."""
    network: str | None = None
    """Network: by default the paper's unet, or n2v for --target blind."""
    crop_px: int | None = None
    """Side of the crops; 256, or 64 for --target blind. The smallest image limits it."""
    batch: int | None = None
    """Crops in a step; 4, or 128 for --target blind."""
    learning_rate: float | None = None
    """Rate until the last 30 % of the steps; 0.001, or 0.0004 for Adam with --target blind."""
    optimizer: Optimizer = "adam"
    """The papers' adam, or muon, that renderings are trained with: a short training gets further by it."""
    strength: str | None = None
    """Range that the strength of the noise is drawn from for each crop, such as 0-50; by default the paper's."""
    grey: bool = False
    """Make grey of colours."""
    images: int | None = None
    """Only so many images of --data, the first by name."""
    realisations: int | None = None
    """Only so many noisy versions of each image, of the strength that is tested, instead of new noise each time."""
    device: Device = "auto"
    """Where to train."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        check_between("steps", self.steps, 1, 1 << 24)
        check_between("crop-px", self.crop, 32, 4096)
        check_between("batch", self.crops, 1, 4096)
        check_between("learning-rate", self.rate, 1e-8, 1.0)
        if self.images is not None:
            check_between("images", self.images, 1, 1 << 24)
        if self.realisations is not None:
            least = 2 if self.target in ("noisy", "average") else 1
            check_between("realisations", self.realisations, least, MAX_REALISATIONS)
            if self.strength is not None:
                raise InputError("--realisations have the strength that is tested", "Leave --strength out")
        elif self.target == "average":
            raise InputError("--target average needs --realisations", "Give a number of them")
        parse_range(self.strength)

    @property
    def _defaults(self) -> tuple[int, int, float]:
        return NOISE2VOID if self.target == "blind" else NOISE2NOISE

    @property
    def crop(self) -> int:
        """Side of the crops, px."""
        return self._defaults[0] if self.crop_px is None else self.crop_px

    @property
    def crops(self) -> int:
        """Crops in a step."""
        return self._defaults[1] if self.batch is None else self.batch

    @property
    def rate(self) -> float:
        """Peak learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return MUON_RATE if self.optimizer == "muon" else self._defaults[2]

    @property
    def between(self) -> tuple[float, float] | None:
        """Where strengths are drawn from; None for the noise model's own range."""
        return parse_range(self.strength)


@dataclass(frozen=True, kw_only=True)
class SuiteEvalConfig(Job):
    """Measure a denoiser on images that are given noise: results.json, a manifest of the noise, and some images."""

    noise: Annotated[str, Positional]
    """Noise model, as in suite train."""
    weights: Path
    """The run's weights.safetensors."""
    data: Path
    """Folder of clean test images."""
    strength: float | None = None
    """Strength of the noise; by default the one that the paper tests."""
    images: int | None = None
    """Only so many images of --data, the first by name."""
    pictures: int = 3
    """Of so many images the clean, noisy and denoised version is written as PNG."""
    device: Device = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        check_between("pictures", self.pictures, 0, 1 << 24)
        if self.images is not None:
            check_between("images", self.images, 1, 1 << 24)


@dataclass(frozen=True, kw_only=True)
class SuiteDenoiseConfig(Job):
    """Denoise images with weights of suite train; each keeps its name, format, bit depth and alpha."""

    inputs: Annotated[tuple[Path, ...], Positional]
    """Noisy images or folders of them: PNG, JPEG, TIFF or EXR."""
    weights: Path
    """A run's weights.safetensors."""
    device: Device = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        if not self.inputs:
            raise InputError("no input was given", "Name images or a folder of them")
