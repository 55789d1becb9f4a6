"""What every training run does alike: steps that are reported, a clock, and checkpoints in the run directory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError, RunError
from rendernoise.networks import DEFAULT_NETWORK
from rendernoise.run import RunDirectory
from rendernoise.sources.batching import Batch
from rendernoise.trainer import Trainer
from rendernoise.weights import BASE, base_path

Emit = Callable[[dict[str, Any]], None]
CHECKPOINT_EVERY_S = 15.0
TRAIN_EVENT_EVERY_STEPS = 25


class Batcher(Protocol):
    """What batches come from."""

    def draw(self) -> Batch:
        """The next batch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state of the draws, as JSON values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on drawing where ``state`` was taken."""
        ...


AnyBatcher = TypeVar("AnyBatcher", bound=Batcher)


def starting_weights(weights: str | None, network: str | None = None) -> Denoiser | None:
    """What ``--weights`` names, on the CPU; None for ``none``.

    Args:
        weights: ``none``, ``base``, a file, or None for ``base`` where the network has base weights.
        network: The network that is wanted; None for the default, or whatever the file holds.

    Raises:
        InputError: The network has no base weights, or the file holds another network.
        WeightsError: The file is missing or no weights.
    """
    wanted = network or DEFAULT_NETWORK
    if weights == "none" or (weights is None and wanted not in BASE):
        return None
    base = weights in (None, "base")
    loaded = Denoiser.load(base_path(wanted) if base else str(weights), "cpu")
    holds = loaded.model.spec.network
    if network and holds != network:
        raise InputError(f"{weights} holds a {holds}, not a {network}", "Leave --network out")
    return loaded


@dataclass(frozen=True)
class Limit:
    """When training ends: after so many steps, or so many seconds of steps, whichever comes first."""

    steps: int
    seconds: float = math.inf

    def progress(self, steps: int, seconds: float) -> float:
        """How much of the run is done, 0 to 1, which the learning rate follows."""
        return min(1.0, max(steps / self.steps, seconds / self.seconds))


class Training(Generic[AnyBatcher]):
    """Steps that are timed and reported.

    Args:
        trainer: Moves the weights.
        batcher: Draws the batches.
        emit: Called with every event.
    """

    def __init__(self, trainer: Trainer, batcher: AnyBatcher, emit: Emit) -> None:
        self.trainer, self.batcher, self.emit = trainer, batcher, emit
        self.train_s = self.elapsed_before_s = 0.0
        self.started = time.monotonic()

    def elapsed(self) -> float:
        """Seconds of work, those before an interruption included."""
        return round(self.elapsed_before_s + time.monotonic() - self.started, 3)

    def log(self, event: dict[str, Any]) -> None:
        """On to the caller."""
        self.emit(event)

    def train(self, limit: Limit) -> None:
        """All steps that are left of a run."""
        while (progress := limit.progress(self.trainer.step_count, self.train_s)) < 1:
            self.train_step(progress, limit.steps)
            self.stepped()

    def stepped(self) -> None:
        """Called by :meth:`train` after each step."""

    def train_step(self, progress: float, total: int) -> None:
        """One step, with ``progress`` of the run done (0 to 1), of ``total`` steps in all (0 when unknown)."""
        start = time.monotonic()
        report = self.trainer.step(self.batcher.draw(), progress)
        self.train_s += time.monotonic() - start
        if report.loss is None:
            self.log({"event": "skipped", "step": report.step, "text": "a batch was not finite and was skipped"})
        elif report.step % TRAIN_EVENT_EVERY_STEPS == 0:
            self.log(
                {
                    "event": "train",
                    "step": report.step,
                    "steps": total,
                    "done": round(progress, 4),
                    "loss": float(f"{report.loss:.6g}"),
                    "learning_rate": float(f"{report.learning_rate:.4g}"),
                    "wall_s": self.elapsed(),
                }
            )


class TrainingJob(Training[AnyBatcher]):
    """Training in a run directory, which can be resumed. A subclass adds its state by ``state`` and ``load_state``.

    Args:
        run_dir: Where checkpoints and metrics go.
        trainer: Moves the weights.
        batcher: Draws the batches.
        emit: Called with every event.
    """

    def __init__(self, run_dir: RunDirectory, trainer: Trainer, batcher: AnyBatcher, emit: Emit) -> None:
        super().__init__(trainer, batcher, emit)
        self.run_dir, self.saved = run_dir, time.monotonic()

    def log(self, event: dict[str, Any]) -> None:
        """Into ``metrics.jsonl``, and on to the caller."""
        self.run_dir.log(event)
        self.emit(event)

    def stepped(self) -> None:
        """Keep a checkpoint now and then."""
        if self.checkpoint_due():
            self.checkpoint()

    def state(self) -> dict[str, Any]:
        """What the subclass must remember, as JSON values."""
        return {}

    def own_tensors(self) -> dict[str, Tensor]:
        """What tensors the subclass must remember, under names that the trainer does not use."""
        return {}

    def load_own_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what :meth:`own_tensors` gave, from among others."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""

    def checkpoint_due(self) -> bool:
        """Whether the last checkpoint is old enough for another."""
        return time.monotonic() - self.saved > CHECKPOINT_EVERY_S

    def checkpoint(self) -> None:
        """Keep everything that the next step depends on."""
        tensors, trainer_state = self.trainer.state_dict()
        tensors |= self.own_tensors()
        own = {
            "trainer": trainer_state,
            "batcher": self.batcher.state_dict(),
            "seconds": [self.elapsed(), self.train_s],
        }
        self.run_dir.save_checkpoint(tensors, {**own, **self.state()})
        self.saved = time.monotonic()

    def restore(self) -> bool:
        """Go on from the last checkpoint, if there is one.

        Raises:
            RunError: The checkpoint does not fit this run.
        """
        found = self.run_dir.load_checkpoint()
        if found is None:
            return False
        tensors, state = found
        try:
            self._restore_from(tensors, state)
        except (KeyError, FileNotFoundError, RuntimeError) as error:
            raise RunError(
                f"the checkpoint in {self.run_dir.work} does not fit ({error})", "Start again with --overwrite"
            ) from error
        return True

    def _restore_from(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(tensors, state["trainer"])
        self.load_own_tensors(tensors)
        self.load_state(state)
        self.batcher.load_state_dict(state["batcher"])
        self.elapsed_before_s, self.train_s = state["seconds"]
