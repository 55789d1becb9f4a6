"""The options of ``suite reproduce``. Imports no torch, as ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rendernoise.config import Device, Job, Positional, check_between, parse_duration
from rendernoise.errors import InputError
from rendernoise.suite.config import Optimizer

#: The word for the papers' own steps and crops.
PAPER = "paper"
MAX_SEEDS = 100


@dataclass(frozen=True, kw_only=True)
class SuiteReproduceConfig(Job):
    """Run the papers' experiments: a table of our figures beside theirs as Markdown, JSON and a page with images."""

    noises: Annotated[tuple[str, ...], Positional] = ()
    """Experiments or noise models; all of them by default. suite list shows them."""
    budget: str = "10m"
    """How long it may take, such as 10m or 2h, or paper for the papers' own steps. Training gets what is left of it."""
    data: Path | None = None
    """Folder of clean training images; by default those that scikit-image carries."""
    test: tuple[Path, ...] = ()
    """Folders of clean test images; by default some images of --data that are kept from training."""
    seeds: int = 3
    """Runs of each training, with seeds from --seed on."""
    steps: int | None = None
    """So many steps for each training instead of what the budget allows."""
    plan: Path | None = None
    """plan.json of another run: its steps, crops and tests instead of what the budget allows."""
    optimizer: Optimizer = "adam"
    """The papers' adam, or muon, that renderings are trained with: a short training gets further by it."""
    device: Device = "auto"
    """Where to train."""

    def __post_init__(self) -> None:
        """Check the values; raises ``InputError``."""
        super().__post_init__()
        check_between("seeds", self.seeds, 1, MAX_SEEDS)
        if self.steps is not None:
            check_between("steps", self.steps, 1, 1 << 24)
            if self.plan is not None:
                raise InputError("--steps and --plan both say how long to train", "Give one of them")
        if self.test and self.data is None:
            raise InputError("--test needs --data", "Name the training images too")
        _ = self.seconds

    @property
    def seed_list(self) -> list[int]:
        """The seed of each run of a training."""
        return list(range(self.seed, self.seed + self.seeds))

    @property
    def seconds(self) -> float | None:
        """The budget; None for the papers' own steps."""
        return None if self.budget == PAPER else parse_duration(self.budget, "--budget")
