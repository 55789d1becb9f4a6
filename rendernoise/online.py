"""The main job: train on pairs while the next ones are rendered, then write denoised frames.

Everything that decides a pixel follows from the options and the seed, never from the clock (except under
``--time``), so an interrupted run that is resumed ends with the pixels of an undisturbed one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rendernoise._version import __version__
from rendernoise.color import display
from rendernoise.config import OnlineConfig, parse_resolution
from rendernoise.denoiser import Denoiser, merge_halves, pick_device
from rendernoise.errors import InputError, RunError
from rendernoise.frame import Frame, FramePair, Plane
from rendernoise.guard import ErrorEstimate, error_map, estimate_error
from rendernoise.io.exr import write_layers
from rendernoise.io.image import write_png
from rendernoise.io.sequence import frame_path
from rendernoise.losses import get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import DEFAULT_NETWORK
from rendernoise.render.process import RendererProcess, start_mitsuba
from rendernoise.render.shot import Shot, find_shot
from rendernoise.run import RunDirectory
from rendernoise.sources.batching import CropBatcher, CropPlan, held_out
from rendernoise.sources.live import LivePairs
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer, TrainerOptions

Emit = Callable[[dict[str, Any]], None]
PLANES = ("radiance", "albedo", "normal")
CHECKPOINT_EVERY_S = 15.0
TRAIN_EVENT_EVERY_STEPS = 25
#: Nominal speeds of one CPU core (docs/denoiser.md): path-traced samples, and the time of a training step.
CORE_SAMPLES_PER_S = 250_000
CORE_STEP_S = 0.11
CUDA_SPEEDUP = 8


@dataclass(frozen=True)
class Recipe:
    """What distinguishes our loop from the published one.

    Args:
        network: Default network.
        steps: Steps for each pair; None fills the renderer's nominal time.
        finish: Whether training goes on after the last render (``--min-steps``, ``--time``).
        crops: How crops are drawn.
        trainer: How the weights move.
    """

    network: str
    steps: int | None
    finish: bool
    crops: CropPlan
    trainer: TrainerOptions


RECIPES = {
    "ours": Recipe(DEFAULT_NETWORK, None, True, CropPlan(), TrainerOptions()),
    # Noise2Noise, section 3.3.2: eight iterations a frame on random 256² crops of the newest pair, A → B.
    "paper": Recipe(
        "unet",
        8,
        False,
        CropPlan(crop_px=256, batch=1, both_ways=False, replay=0.0, hold_out=False),
        TrainerOptions(warmup_steps=0, tail=0.0, ema=0.0, clip_norm=0.0),
    ),
}


def steps_to_fill(pixels: int, spp: int, device: torch.device) -> int:
    """Training steps that take about as long as rendering one pair does on a nominal core.

    Counted from the work and not from the clock: a run's pixels must not depend on how busy its machine was.
    """
    render_s = 2 * spp * pixels / CORE_SAMPLES_PER_S
    step_s = CORE_STEP_S / (CUDA_SPEEDUP if device.type == "cuda" else 1)
    return max(4, round(render_s / step_s))


def share_cores(device: torch.device, variant: str) -> tuple[int, int]:
    """Threads for the renderer and for the trainer while both work: on one machine's cores, half each."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device.type == "cuda" or variant.startswith("cuda"):
        return max(1, cores - 1), cores
    return max(1, cores // 2), max(1, cores - cores // 2)


def run_online(
    config: OnlineConfig,
    emit: Emit = lambda event: None,
    start_renderer: Callable[[], RendererProcess] | None = None,
) -> dict[str, Any]:
    """Run ``rendernoise online``; returns what ``summary.json`` holds.

    Args:
        config: The options.
        emit: Called with every event: notes, arrivals with their scores, training, written frames.
        start_renderer: Makes the renderer; None for Mitsuba as the options say.

    Raises:
        RendernoiseError: Bad input, a rejected scene, a dead renderer, no room; the run stays resumable.
    """
    shot = find_shot(config.scenes, config.frame_list, config.camera)
    device = pick_device(config.device)
    base = _starting_weights(config)
    recipe = RECIPES[config.recipe]
    network = config.network or recipe.network
    spec = base.model.spec if base else ModelSpec.default(network, PLANES)
    if base and config.network and spec.network != config.network:
        raise InputError(f"{config.weights} holds a {spec.network}, not a {config.network}", "Leave --network out")
    run = RunDirectory(config.out, config.to_json(), resume=config.resume, overwrite=config.overwrite)
    if run.complete:
        emit({"event": "note", "text": f"the run in {config.out} is complete already"})
        run.close()
        return run.summary()
    job = _Job(config, recipe, shot, spec, base, device, run, emit, start_renderer)
    try:
        return job.run()
    finally:
        job.pairs.close()
        run.close()


def _starting_weights(config: OnlineConfig) -> Denoiser | None:
    if config.weights == "none":
        return None
    if config.weights == "base":
        raise InputError("this version ships no base weights", "Use --weights none or a file")
    return Denoiser.load(config.weights, "cpu")


class _Job:
    """One run of ``online``: the phases of :meth:`run`, and the state that a checkpoint keeps."""

    def __init__(
        self,
        config: OnlineConfig,
        recipe: Recipe,
        shot: Shot,
        spec: ModelSpec,
        base: Denoiser | None,
        device: torch.device,
        run: RunDirectory,
        emit: Emit,
        start_renderer: Callable[[], RendererProcess] | None,
    ) -> None:
        self.config, self.recipe, self.shot, self.device, self.run_dir = config, recipe, shot, device, run
        self.emit = emit
        torch.manual_seed(config.seed)
        model = base.model if base else DenoisingModel(spec)
        self.trainer = Trainer(model, get_loss("hdr", needs="mean"), recipe.trainer, device)
        self.store = PairStore(run.work / "pairs")
        self.pairs = LivePairs(
            start_renderer or self._start_mitsuba,
            shot.views,
            passes=config.passes,
            spp=config.spp,
            run_seed=config.seed,
            store=self.store,
            tell=lambda line: self.log({"event": "note", "text": line}),
        )
        self.batcher = CropBatcher(self.store, model, recipe.crops, config.seed)
        self.steps_left = 0
        self.steps_per_pair = config.steps if config.steps is not None else recipe.steps
        self.estimates: dict[int, ErrorEstimate] = {}
        self.train_s = self.denoise_s = self.wait_s = self.elapsed_before_s = 0.0
        self.started = self.saved = time.monotonic()

    # -- the phases ---------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Arrivals, the rest of the training, the final pass, the summary."""
        self._restore()
        cores = torch.get_num_threads()
        _, train_threads = share_cores(self.device, self.config.variant)
        torch.set_num_threads(train_threads)
        try:
            self._arrivals()
        finally:
            torch.set_num_threads(cores)
        self._finish_training()
        with self.trainer.averaged():
            denoiser = Denoiser(self.trainer.model, self._provenance(), self.device)
            if self.config.final_pass:
                self._final_pass(denoiser)
            denoiser.save(self.config.out / "weights.safetensors")
        if self.config.save_halves:
            self._save_halves()
        summary = self._summary()
        self.run_dir.finish(summary)
        self.emit({"event": "done", **summary})
        return summary

    def _arrivals(self) -> None:
        if self.steps_left:  # a resumed run stopped within the steps of a pair that was scored already
            self._train_on_newest(len(self.store) - 1)
        arrivals = iter(self.pairs)
        while True:
            waiting = time.monotonic()
            pair = next(arrivals, None)
            self.wait_s += time.monotonic() - waiting
            if pair is None:
                return
            index = len(self.store) - 1
            self.steps_left = self._steps_for(pair)
            self._score(index, pair)
            self._train_on_newest(index)

    def _score(self, index: int, pair: FramePair) -> None:
        """Law 5: measure f on a pair that it has never seen, before the step that uses it."""
        start = time.monotonic()
        with self.trainer.averaged():
            look = Denoiser(self.trainer.model, device=self.device, autocast=self.trainer.autocast)
            from_a, from_b = look.halves(pair)
        estimate = estimate_error(pair, from_a, from_b)
        self.estimates[pair.number] = estimate
        if self.config.final_pass:
            self._write(pair, from_a, from_b, "")
        self.denoise_s += time.monotonic() - start
        self.log(
            {
                "event": "pair",
                "frame": pair.number,
                "pass": self.pairs.pass_of(index),
                "pair": index + 1,
                "pairs": len(self.pairs),
                "steps": 0 if self.config.time else self._total_steps(),
                "step": self.trainer.step_count,
                **estimate.to_json(),
                "wall_s": self.elapsed(),
            }
        )

    def _train_on_newest(self, index: int) -> None:
        while self.steps_left:
            self._step()
            self.steps_left -= 1
            if time.monotonic() - self.saved > CHECKPOINT_EVERY_S:
                self._checkpoint()
        if not self.config.final_pass:
            number = self.store.newest
            with self.trainer.averaged():
                denoiser = Denoiser(self.trainer.model, self._provenance(), self.device)
                self._denoise(denoiser, number, fingerprint="")
        if time.monotonic() - self.saved > CHECKPOINT_EVERY_S or index + 1 == len(self.pairs):
            self._checkpoint()

    def _finish_training(self) -> None:
        """Train on all frames alike until the steps, or the seconds, are spent."""
        if not self.recipe.finish or not self.store.frames:
            return
        self.batcher.all_frames = True
        reserve_s = self._final_pass_s()
        while self.progress() < 1 if self.config.time else self.trainer.step_count < self._total_steps():
            if self.config.time and self.elapsed() > self.config.time - reserve_s:
                break
            self._step()
            if time.monotonic() - self.saved > CHECKPOINT_EVERY_S:
                self._checkpoint()

    def _final_pass(self, denoiser: Denoiser) -> None:
        fingerprint = denoiser.fingerprint()
        for number in self.store.frames:
            self._denoise(denoiser, number, fingerprint, estimate=self.recipe.crops.hold_out)

    def _denoise(self, denoiser: Denoiser, number: int, fingerprint: str, *, estimate: bool = False) -> None:
        start = time.monotonic()
        pair = self.store.frame_pair(number)
        from_a, from_b = denoiser.halves(pair)
        if estimate:
            mask = held_out(pair.input.height, pair.input.width, number)
            measured = estimate_error(pair, from_a, from_b, mask)
            # Too small for held-out tiles: the score at arrival stands.
            if np.isfinite(measured.relmse):
                self.estimates[number] = measured
        path = self._write(pair, from_a, from_b, fingerprint)
        self.denoise_s += time.monotonic() - start
        self.emit({"event": "frame", "frame": number, "path": str(path), **self.estimates[number].to_json()})

    def _write(self, pair: FramePair, from_a: Plane, from_b: Plane, fingerprint: str) -> Path:
        frame, noisy = merge_halves(pair, from_a, from_b)
        out, name = self.config.out, self.shot.name
        (out / "denoised").mkdir(exist_ok=True)
        (out / "preview").mkdir(exist_ok=True)
        path = frame_path(out / "denoised", name, pair.number, "exr")
        layers = {
            "": frame.radiance,
            "noisy": noisy,
            "error": error_map(pair, from_a, from_b),
            **{n: frame.planes[n] for n in ("albedo", "normal", "depth") if n in frame.planes},
        }
        attributes = {"rendernoise.version": __version__, "spp": frame.spp, "seed": self.config.seed}
        if fingerprint:
            attributes["rendernoise.weights"] = fingerprint
        write_layers(path, layers, {**attributes, "frame": pair.number})
        write_png(frame_path(out / "preview", name, pair.number, "png"), display(frame.radiance))
        return path

    def _save_halves(self) -> None:
        folder = self.config.out / "halves"
        folder.mkdir(exist_ok=True)
        for number in self.store.frames:
            pair = self.store.frame_pair(number)
            assert pair.partner is not None
            for half, frame in (("a", pair.input), ("b", pair.partner)):
                write_half(folder, self.shot.name, half, frame, self.config.seed)

    # -- training -----------------------------------------------------------------------------------------------

    def _step(self) -> None:
        start = time.monotonic()
        report = self.trainer.step(self.batcher.draw(), self.progress())
        self.train_s += time.monotonic() - start
        if report.loss is None:
            self.log({"event": "skipped", "step": report.step, "text": "a batch was not finite and was skipped"})
        elif report.step % TRAIN_EVENT_EVERY_STEPS == 0:
            self.log(
                {
                    "event": "train",
                    "step": report.step,
                    "steps": 0 if self.config.time else self._total_steps(),
                    "loss": float(f"{report.loss:.6g}"),
                    "learning_rate": float(f"{report.learning_rate:.4g}"),
                    "wall_s": self.elapsed(),
                }
            )

    def _steps_for(self, pair: FramePair) -> int:
        if self.steps_per_pair is None:
            pixels = pair.input.height * pair.input.width
            self.steps_per_pair = steps_to_fill(pixels, self.config.spp, self.device)
        return self.steps_per_pair

    def _total_steps(self) -> int:
        total = (self.steps_per_pair or 0) * len(self.pairs)
        return max(total, self.config.min_steps) if self.recipe.finish else total

    def progress(self) -> float:
        """How much of the training is done, 0 to 1; by the clock under ``--time``."""
        if self.config.time:
            return min(1.0, self.elapsed() / self.config.time)
        return min(1.0, self.trainer.step_count / max(1, self._total_steps()))

    def _final_pass_s(self) -> float:
        """Seconds that the final pass will take, judged by the scores at arrival (in bf16, so twice that)."""
        return 2 * self.denoise_s / max(1, len(self.store)) * len(self.store.frames) if self.config.final_pass else 0.0

    # -- state --------------------------------------------------------------------------------------------------

    def elapsed(self) -> float:
        """Seconds of work, those before an interruption included."""
        return round(self.elapsed_before_s + time.monotonic() - self.started, 3)

    def log(self, event: dict[str, Any]) -> None:
        """Into ``metrics.jsonl``, and on to the caller."""
        self.run_dir.log(event)
        self.emit(event)

    def _checkpoint(self) -> None:
        tensors, trainer_state = self.trainer.state_dict()
        state = {
            "trainer": trainer_state,
            "batcher": self.batcher.state_dict(),
            "pairs": self.pairs.state_dict(),
            "steps_left": self.steps_left,
            "steps_per_pair": self.steps_per_pair,
            "estimates": {n: [e.relmse, e.low, e.high, e.noisy_relmse] for n, e in self.estimates.items()},
            "seconds": [self.elapsed(), self.train_s, self.denoise_s, self.wait_s],
        }
        self.run_dir.save_checkpoint(tensors, state)
        self.saved = time.monotonic()

    def _restore(self) -> None:
        found = self.run_dir.load_checkpoint()
        if found is None:
            return
        tensors, state = found
        try:
            self._restore_from(tensors, state)
        except (KeyError, FileNotFoundError, RuntimeError) as error:
            raise RunError(
                f"the checkpoint in {self.run_dir.work} does not fit ({error})", "Start again with --overwrite"
            ) from error
        self.emit({"event": "note", "text": f"resumed at step {self.trainer.step_count}, {len(self.store)} pairs"})

    def _restore_from(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(tensors, state["trainer"])
        self.pairs.load_state_dict(state["pairs"])
        self.batcher.load_state_dict(state["batcher"])
        self.steps_left, self.steps_per_pair = state["steps_left"], state["steps_per_pair"]
        self.estimates = {int(n): ErrorEstimate(*values) for n, values in state["estimates"].items()}
        self.elapsed_before_s, self.train_s, self.denoise_s, self.wait_s = state["seconds"]

    def _start_mitsuba(self) -> RendererProcess:
        render_threads, _ = share_cores(self.device, self.config.variant)
        options = {
            "resolution": parse_resolution(self.config.resolution),
            "threads": render_threads,
            "frames": self.shot.span,
        }
        process, variant = start_mitsuba(
            self.config.variant, options, lambda line: self.emit({"event": "note", "text": line})
        )
        self.emit({"event": "note", "text": f"rendering with Mitsuba {variant}, {render_threads} thread(s)"})
        return process

    def _provenance(self) -> dict[str, Any]:
        return {
            "rendernoise": __version__,
            "trained_by": f"online --recipe {self.config.recipe}",
            "shot": self.shot.name,
            "frames": len(self.store.frames),
            "spp": self.config.spp,
            "passes": self.config.passes,
            "seed": self.config.seed,
            "steps": self.trainer.step_count,
            "loss": self.trainer.loss.name,
            "started_from": self.config.weights,
        }

    def _summary(self) -> dict[str, Any]:
        spp = 2 * self.config.spp * self.config.passes
        frames = [{"frame": n, "spp": spp, **self.estimates[n].to_json()} for n in sorted(self.estimates)]
        return {
            "wall_s": self.elapsed(),
            "render_s": round(self.pairs.render_s, 3),
            "train_s": round(self.train_s, 3),
            "denoise_s": round(self.denoise_s, 3),
            "wait_s": round(self.wait_s, 3),
            "steps": self.trainer.step_count,
            "skipped_steps": self.trainer.skipped,
            "spp": spp,
            "version": __version__,
            "frames": frames,
        }


def write_half(folder: Path, name: str, half: str, frame: Frame, seed: int) -> Path:
    """Write one half as ``NAME.a.0001.exr`` with its features; returns the path."""
    path = frame_path(folder, f"{name}.{half}", frame.number, "exr")
    layers = {("" if n == "radiance" else n): plane for n, plane in frame.planes.items()}
    attributes = {"rendernoise.version": __version__, "spp": frame.spp, "seed": seed, "frame": frame.number}
    write_layers(path, layers, attributes)
    return path
