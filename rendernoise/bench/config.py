"""The options of ``rendernoise bench``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rendernoise.config import (
    MAX_SPP,
    MAX_WINDOW,
    Common,
    Device,
    Positional,
    Variant,
    check_between,
    parse_resolution,
    parse_roles,
)
from rendernoise.errors import InputError
from rendernoise.io.sequence import parse_frames
from rendernoise.seeds import MAX_RUN_SEED

MAX_NAME_BYTES = 150


def _names_files(text: str) -> bool:
    """Whether files and folders can be called that, with room for a number and an ending."""
    return bool(text.strip()) and "/" not in text and text[0] != "." and len(os.fsencode(text)) <= MAX_NAME_BYTES


OUR_METHODS = ("online", "online-fast", "online-scratch", "online-paper", "base", "base-fast")
#: What ``bench`` compares; ``NAME@SPP`` takes part at that sample count alone.
BENCH_METHODS = ("noisy", *OUR_METHODS, "oidn", "oidn-prefiltered", "mitsuba-optix")


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Common):
    """Measure denoisers against references: results.json and a page to look at."""

    scenes: Annotated[tuple[Path, ...], Positional] = ()
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
    role: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Where planes of the noisy frames are found when names do not tell, such as albedo=MyAlb (may be repeated)."""
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
    window: int | None = None
    """Frames on each side of a frame whose samples help rendernoise to denoise it; by default those of each command."""
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
        check_between("reference-spp", self.reference_spp, 2, MAX_SPP)
        check_between("repeats", self.repeats, 1, 1000)
        if self.window is not None:
            check_between("window", self.window, 0, MAX_WINDOW)
        check_between("seed", self.seed + self.repeats - 1, 0, MAX_RUN_SEED)
        parse_resolution(self.resolution)
        if self.name is not None and not _names_files(self.name):
            raise InputError(f"--name {self.name!r} cannot name files", "Choose a short name without slashes")
        _ = self.spp_list, self.method_list, self.image_folders
        if parse_roles(self.role) and not self.noisy:
            raise InputError("--role belongs to --noisy", "Give both; of a scene's own renders every plane is known")
        if self.measure not in (None, "all"):
            parse_frames(self.measure or "")

    @property
    def roles(self) -> dict[str, str]:
        """Plane name to layer."""
        return parse_roles(self.role)

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
