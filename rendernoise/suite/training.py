"""Training of the noise suite: images that are given noise, with the trainer, checkpoints and weights of renderings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rendernoise._version import __version__
from rendernoise.denoiser import Denoiser, pick_device
from rendernoise.errors import InputError
from rendernoise.io.image_folder import ImageFolder, read_folder
from rendernoise.job import Emit, Limit, TrainingJob
from rendernoise.losses import Loss, get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.noise import NoiseModel
from rendernoise.noise.naming import parse_noise
from rendernoise.run import RunDirectory
from rendernoise.seeds import generator
from rendernoise.sources.autocorrelation import blind_spot_warning
from rendernoise.sources.masking import get_masking
from rendernoise.sources.noisy_images import NoisyBatcher, NoisyPlan
from rendernoise.suite.config import Optimizer, SuiteTrainConfig
from rendernoise.trainer import Trainer, TrainerOptions

#: What the weights' header says of who made them.
TRAINED_BY = "suite train"
DEFAULT_NETWORK, BLIND_NETWORK = "unet", "n2v"
#: Side of the image on which a noise model shows whether it needs more than pixels.
_PROBE_PX = 32
#: On so many images it is tested whether noise is independent.
_WARNING_IMAGES = 8


def run_suite_train(
    config: SuiteTrainConfig, emit: Emit = lambda event: None, images: ImageFolder | None = None
) -> dict[str, Any]:
    """Run ``rendernoise suite train``; returns what ``summary.json`` holds.

    Args:
        config: The options.
        emit: Called with every event: notes, training, the end.
        images: What to train on instead of reading ``config.data``.

    Raises:
        RendernoiseError: Bad input, no room; the run stays resumable.
    """
    device = pick_device(config.device)
    noise = parse_noise(config.noise)
    for strength in config.between or ():
        noise.check(strength)
    loss = choose_loss(config, noise)
    hide = get_masking(config.masking).hide if config.target == "blind" else None
    if images is None:
        images = read_folder(config.data, channels=1 if config.grey else None, limit=config.images, emit=emit)
    torch.manual_seed(config.seed)
    model = DenoisingModel(model_spec(config, noise, images.channels))
    run = RunDirectory(config.out, config.to_json(), resume=config.resume, overwrite=config.overwrite)
    if (earlier := run.earlier_result(emit)) is not None:
        run.close()
        return earlier
    try:
        trainer = Trainer(model, loss, trainer_options(config.rate, config.optimizer), device)
        plan = NoisyPlan(config.crop, config.crops, config.target, config.between, config.realisations)
        batcher = NoisyBatcher(images, noise, trainer.model, plan, config.seed, hide)
        return _Job(config, images, noise, run, trainer, batcher, emit).run()
    finally:
        run.close()


def trainer_options(learning_rate: float, optimizer: Optimizer = "adam") -> TrainerOptions:
    """The paper's Adam or Muon, at a constant rate that ends in a smooth ramp to 0 (Noise2Noise, section 3)."""
    return TrainerOptions(
        optimizer=optimizer, learning_rate=learning_rate, tail=0.3, ema=0.0, robust=False, weigh_noise=False
    )


def choose_loss(config: SuiteTrainConfig, noise: NoiseModel) -> Loss:
    """The loss that was asked for, or the noise model's own, if it estimates what the noise needs.

    Hidden pixels are told by their neighbours up to the mean alone. Without noise in the target every statistic of it
    is the same.

    Raises:
        InputError: It does not, and ``--contrast`` was not given.
    """
    name = config.loss or ("l2" if config.target == "blind" else noise.loss)
    loss = get_loss(name)
    if config.contrast or (config.target == "clean" and loss.estimates != "biased"):
        return loss
    if config.target == "blind" and noise.needs != "mean":
        raise InputError(f"hidden pixels tell the mean, but {config.noise} needs the {noise.needs}", "See --contrast")
    try:
        return get_loss(name, needs=noise.needs)
    except InputError as error:
        raise InputError(error.what, f"Use {error.cure}, or --contrast to see what happens") from None


def model_spec(config: SuiteTrainConfig, noise: NoiseModel, channels: int) -> ModelSpec:
    """The model to train: raw values in [-0.5, 0.5] in and out, and what was measured of the frequencies, if any.

    Raises:
        InputError: The noise does not go with the kind of target.
    """
    probe = np.zeros((channels, _PROBE_PX, _PROBE_PX), np.float32)
    noisy = noise.corrupt(probe, noise.tested, np.random.default_rng(0))
    if noisy.kept is not None and (config.target in ("blind", "average") or config.realisations):
        raise InputError(f"{config.noise} samples frequencies of whole images", "Use --target noisy or clean")
    if noisy.weight is not None and config.target == "average":
        raise InputError(f"{config.noise} loses pixels, whose average means nothing", "Use --target noisy or clean")
    planes = ("radiance",) if noisy.kept is None else ("radiance", "kept")
    network = config.network or (BLIND_NETWORK if config.target == "blind" else DEFAULT_NETWORK)
    return ModelSpec(network, planes, "linear", "none", channels=channels)


class _Job(TrainingJob[NoisyBatcher]):
    """One run of ``suite train``."""

    def __init__(
        self,
        config: SuiteTrainConfig,
        images: ImageFolder,
        noise: NoiseModel,
        run: RunDirectory,
        trainer: Trainer,
        batcher: NoisyBatcher,
        emit: Emit,
    ) -> None:
        super().__init__(run, trainer, batcher, emit)
        self.config, self.images, self.noise, self.crop_px = config, images, noise, batcher.crop_px

    def run(self) -> dict[str, Any]:
        """Train and write the weights."""
        config, images, trainer = self.config, self.images, self.trainer
        if self.crop_px < config.crop:
            self.emit({"event": "note", "text": f"crops of {self.crop_px} px, as the smallest image has no more"})
        colour = "colour" if images.channels == 3 else "grey"
        text = f"training on {len(images)} {colour} images, noise {config.noise}, target {config.target}"
        self.emit({"event": "note", "text": f"{text}, loss {trainer.loss.name}"})
        if warning := self._blind_spot_warning():
            self.emit({"event": "note", "text": warning})
        if self.restore():
            self.emit({"event": "note", "text": f"resumed at step {trainer.step_count}"})
        self.train(Limit(config.steps))
        denoiser = Denoiser(trainer.model, self._provenance(), trainer.device)
        denoiser.save(config.out / "weights.safetensors")
        summary = {
            "wall_s": self.elapsed(),
            "train_s": round(self.train_s, 3),
            "steps": trainer.step_count,
            "skipped_batches": trainer.skipped,
            "images": len(images),
            "skipped_files": images.skipped,
            "weights": denoiser.fingerprint(),
            **{name: self._provenance()[name] for name in ("noise", "target", "loss", "seed")},
        }
        self.run_dir.finish(summary)
        self.emit({"event": "done", **summary})
        return summary

    def _blind_spot_warning(self) -> str | None:
        """A line where hidden pixels can be told from the noise of others, which blind targets then teach."""
        if self.config.target != "blind":
            return None
        count = min(_WARNING_IMAGES, len(self.images))
        streams = (generator(self.config.seed, "realisation", i) for i in range(count))
        noisy = (self.noise.corrupt(self.images.image(i), self.noise.tested, rng) for i, rng in enumerate(streams))
        return blind_spot_warning(version.image for version in noisy)

    def _provenance(self) -> dict[str, Any]:
        config = self.config
        return {
            "rendernoise": __version__,
            "trained_by": TRAINED_BY,
            "noise": config.noise,
            "strength": self.noise.tested if config.realisations else list(config.between or self.noise.trained),
            "target": config.target,
            "masking": config.masking if config.target == "blind" else None,
            "realisations": config.realisations,
            "loss": self.trainer.loss.name,
            "data": self.images.name,
            "data_digest": self.images.digest(),
            "images": len(self.images),
            "crop_px": self.crop_px,
            "batch": config.crops,
            "learning_rate": config.rate,
            "optimizer": config.optimizer,
            "seed": config.seed,
            "steps": self.trainer.step_count,
        }
