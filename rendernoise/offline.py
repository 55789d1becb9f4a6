"""Training on pairs that are rendered already: the same trainer and batches as online, all frames at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from rendernoise._version import __version__
from rendernoise.confidence import ErrorEstimate, tile_estimate
from rendernoise.config import TrainConfig
from rendernoise.denoiser import Denoiser, pick_device
from rendernoise.errors import InputError
from rendernoise.frame import FramePair
from rendernoise.guard import Judgement
from rendernoise.job import Emit, Limit, TrainingJob, starting_weights
from rendernoise.losses import Loss, get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import DEFAULT_NETWORK, network_class
from rendernoise.recipes import steps_that_pixels_bear, wants_symmetries
from rendernoise.run import RunDirectory
from rendernoise.sources.batching import CropBatcher, CropPlan, held_out
from rendernoise.sources.exr_pairs import SECOND_INPUT, ExrPairs
from rendernoise.sources.reading import read_pairs
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer, TrainerOptions

#: Frames on whose held-out tiles the error is measured; more would cost time and hardly narrow the interval.
MEASURED_FRAMES = 32


def run_train(config: TrainConfig, emit: Emit = lambda event: None) -> dict[str, Any]:
    """Run ``rendernoise train``; returns what ``summary.json`` holds.

    Args:
        config: The options.
        emit: Called with every event: notes, pairs that were read, training, the end.

    Raises:
        RendernoiseError: Bad input, no room; the run stays resumable.
    """
    device = pick_device(config.device)
    base = starting_weights(config.weights, config.network)
    loss = get_loss(config.loss)
    source = ExrPairs(config.pairs, a=config.a, b=config.b, target=config.target, frames=config.frame_list)
    spec = _spec(config, base, source.planes)
    if config.target == "noisy":
        source.check_independent()
    run = RunDirectory(config.out, config.to_json(), resume=config.resume, overwrite=config.overwrite)
    if (earlier := run.earlier_result(emit)) is not None:
        run.close()
        return earlier
    try:
        return _Job(config, source, spec, base, loss, device, run, emit).run()
    finally:
        run.close()


def loss_note(loss: Loss, target: str) -> str:
    """What is wrong with the images of a loss that does not estimate the mean; empty for one that does."""
    if loss.estimates == "biased":
        return f"loss {loss.name!r} is biased {loss.note}"
    if loss.estimates == "mean" or target == "reference":
        return ""
    why = loss.note or "noise has a long bright tail, so the median lies below the mean: dark"
    return f"loss {loss.name!r} estimates the {loss.estimates} of noisy targets, not the mean: {why}"


def _spec(config: TrainConfig, base: Denoiser | None, planes: tuple[str, ...]) -> ModelSpec:
    if base is None:
        network = config.network or DEFAULT_NETWORK
        spec = ModelSpec.default(network, tuple(p for p in network_class(network).planes if p in planes))
        return replace(spec, transfer=config.transfer) if config.transfer else spec
    spec = base.model.spec
    if config.transfer not in (None, spec.transfer):
        raise InputError(f"{config.weights} was trained with transfer {spec.transfer}", "Leave --transfer out")
    missing = [name for name in base.model.needs if name not in planes]
    if missing:
        raise InputError(
            f"not every frame has {', '.join(missing)}, which {config.weights} needs",
            "Render with features, or use --weights none",
        )
    return spec


class _Job(TrainingJob[CropBatcher]):
    """One run of ``train``."""

    def __init__(
        self,
        config: TrainConfig,
        source: ExrPairs,
        spec: ModelSpec,
        base: Denoiser | None,
        loss: Loss,
        device: torch.device,
        run: RunDirectory,
        emit: Emit,
    ) -> None:
        self.config, self.source, self.device = config, source, device
        torch.manual_seed(config.seed)
        model = base.model if base else DenoisingModel(spec)
        self.store = PairStore(run.work / "pairs")
        plan = CropPlan(both_ways=config.target == "noisy")
        batcher = CropBatcher(self.store, model, plan, config.seed)
        batcher.all_frames = True
        # References are no halves, and a frame's second input would be its own neighbour.
        known = config.window and config.target == "noisy" and len(source) > 1
        self.knows_time = bool(known) and "history" in model.spec.planes
        super().__init__(run, Trainer(model, loss, TrainerOptions(), device), batcher, emit)

    def run(self) -> dict[str, Any]:
        """Read the pairs, train, measure, write."""
        config, trainer = self.config, self.trainer
        if self.knows_time:
            self.source.find_warpings()
        for note in (*self.source.notes, loss_note(trainer.loss, config.target)):
            if note:
                self.emit({"event": "note", "text": note})
        self._read_pairs()
        if self.restore():
            self.emit({"event": "note", "text": f"resumed at step {trainer.step_count}"})
        self.train(Limit(config.steps))
        with trainer.averaged():
            denoiser = Denoiser(trainer.model, self._provenance(), self.device)
            denoiser.save(config.out / "weights.safetensors")
            measured = measure_held_out(denoiser, self.store)
        summary = self._summary(denoiser, measured)
        self.run_dir.finish(summary)
        self.emit({"event": "done", **summary})
        return summary

    def _read_pairs(self) -> None:
        """Fill the store, and say what is worth knowing of the pairs."""
        config, source = self.config, self.source
        same = read_pairs(source, self.store, config.window if self.knows_time else 0, self.emit)
        if same and config.target == "noisy":
            text = f"both halves are the same picture in {len(same)} pair(s), such as {same[0]}: same seed?"
            self.emit({"event": "note", "text": text})
        self._mind_many_steps()
        text = f"training on {len(source)} pairs of {', '.join(self.trainer.model.spec.planes)}, target {config.target}"
        self.emit({"event": "note", "text": text})

    def _mind_many_steps(self) -> None:
        """Turn crops where pixels come up often; say so where they come up so often that noise is learned by heart."""
        sizes = [self.store.size(number) for number in self.store.frames]
        bearable = sum(steps_that_pixels_bear(height * width, self.batcher.plan) for height, width in sizes)
        self.batcher.augment = wants_symmetries(self.config.steps, bearable)
        if self.config.target == "noisy" and self.config.steps > bearable:
            text = (
                f"{self.config.steps} steps on {len(sizes)} pair(s) learn their noise by heart after about {bearable}"
            )
            self.emit({"event": "note", "text": f"{text}: give fewer --steps, or more pairs"})

    def _provenance(self) -> dict[str, Any]:
        return {
            "rendernoise": __version__,
            "trained_by": f"train --target {self.config.target}",
            "shots": sorted({files.name for files in self.source.files}),
            "frames": len(self.source.files),
            "seed": self.config.seed,
            "steps": self.trainer.step_count,
            "loss": self.trainer.loss.name,
            "started_from": self.config.weights,
            "window": self.config.window if self.knows_time else 0,
        }

    def _summary(self, denoiser: Denoiser, measured: ErrorEstimate) -> dict[str, Any]:
        return {
            "wall_s": self.elapsed(),
            "train_s": round(self.train_s, 3),
            "steps": self.trainer.step_count,
            "skipped_steps": self.trainer.skipped,
            "pairs": len(self.source),
            "frames": len(self.source.files),
            "target": self.config.target,
            "loss": self.trainer.loss.name,
            "network": denoiser.model.spec.network,
            "transfer": denoiser.model.spec.transfer,
            "planes": list(denoiser.model.spec.planes),
            "held_out": measured.to_json(),
            "weights": denoiser.fingerprint(),
            "version": __version__,
        }


def measure_held_out(denoiser: Denoiser, store: PairStore) -> ErrorEstimate:
    """The error on the pixels that were never targets, over at most :data:`MEASURED_FRAMES` frames.

    NaN where no pair has two noisy halves, or no frame is large enough for held-out tiles.
    """
    numbers = [n for n in store.frames if n < SECOND_INPUT]
    errors: list[np.ndarray] = []
    noisy: list[float] = []
    for number in numbers[:: max(1, len(numbers) // MEASURED_FRAMES)][:MEASURED_FRAMES]:
        pair = _halves(store, number)
        mask = held_out(pair.input.height, pair.input.width, number)
        if pair.partner is not None and mask.any():
            judged = Judgement.of(pair, *denoiser.halves(pair))
            errors.append(judged.products(mask))
            noisy.append(judged.noisy_relmse())
    return tile_estimate(np.concatenate([np.empty(0), *errors]), float(np.mean(noisy)) if noisy else np.nan)


def _halves(store: PairStore, number: int) -> FramePair:
    """Both halves of a frame, also where the targets were references."""
    pair = store.frame_pair(number)
    if pair.partner is None and number + SECOND_INPUT in store.frames:
        return FramePair.of_halves(pair.input, store.frame_pair(number + SECOND_INPUT).input)
    return pair
