"""The main job: train on pairs while the next ones are rendered, then write denoised frames.

Everything that decides a pixel follows from the options and the seed, never from the clock (except under
``--time``), so an interrupted run that is resumed ends with the pixels of an undisturbed one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rendernoise._version import __version__
from rendernoise.budget import GOING_ON_SHARE, StepBudget
from rendernoise.config import OnlineConfig, parse_resolution
from rendernoise.denoiser import Denoiser, pick_device
from rendernoise.errors import RendernoiseError, SceneError
from rendernoise.frame import FramePair
from rendernoise.io.exr_image import count_bad
from rendernoise.io.sequence import format_frames
from rendernoise.job import Emit, TrainingJob, starting_weights
from rendernoise.losses import get_loss
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.outputs import ShotFiles, ShotImages
from rendernoise.overfitting import LOOK_EVERY_STEPS, OverfitWatch
from rendernoise.recipes import (
    MAX_VISITS,
    MAX_VISITS_FROM_BASE,
    MIN_STEPS,
    MIN_STEPS_WITH_NEIGHBOURS,
    RECIPES,
    Recipe,
    share_cores,
)
from rendernoise.render.probe import usable_cores
from rendernoise.render.process import RendererProcess, start_mitsuba
from rendernoise.render.shot import Shot, find_shot
from rendernoise.run import RunDirectory
from rendernoise.sources.batching import CropBatcher
from rendernoise.sources.live import LivePairs
from rendernoise.sources.store import PairStore
from rendernoise.sources.temporal import ShotHistory
from rendernoise.steering import affordable, by_gain, until_good
from rendernoise.trainer import Trainer


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
    recipe = RECIPES[config.recipe]
    base = starting_weights(
        config.weights, config.network or (recipe.network if config.weights in (None, "base") else None)
    )
    spec = base.model.spec if base else ModelSpec.default(config.network or recipe.network)
    run = RunDirectory(config.out, config.to_json(), resume=config.resume, overwrite=config.overwrite)
    if (earlier := run.earlier_result(emit)) is not None:
        run.close()
        return earlier
    job = _Job(config, recipe, shot, spec, base, device, run, emit, start_renderer)
    try:
        return job.run()
    except RendernoiseError as error:
        if error.exit_code == 2 and not job.store.frames and not config.resume:
            job.pairs.close()
            run.discard()
        raise
    finally:
        job.pairs.close()
        run.close()


class _Job(TrainingJob[CropBatcher]):
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
        self.config, self.recipe, self.shot, self.device = config, recipe, shot, device
        self.started_from = (config.weights or "base") if base else "none"
        self.spins = config.spins or recipe.spins
        torch.manual_seed(config.seed)
        model = base.model if base else DenoisingModel(spec)
        self.store = PairStore(run.work / "pairs")
        knows_time = config.window and len(shot.views) > 1 and "history" in spec.planes
        self.history = ShotHistory(self.store, config.window) if knows_time else None
        self.pairs = LivePairs(
            start_renderer or self._start_mitsuba,
            shot.views,
            passes=config.passes,
            spp=config.spp,
            run_seed=config.seed,
            store=self.store,
            tell=lambda line: self.log({"event": "note", "text": line}),
            shown=self.history.shown if self.history else lambda indices: None,
        )
        self.steps_left = 0
        self.budget = StepBudget(
            recipe,
            len(self.pairs),
            config.steps if config.steps is not None else recipe.steps,
            config.min_steps,
            MAX_VISITS_FROM_BASE if base else MAX_VISITS,
            MIN_STEPS_WITH_NEIGHBOURS if base and self.history else MIN_STEPS,
        )
        self.watch = OverfitWatch()
        self.files = ShotFiles(config.out, shot.name, config.seed)
        self.images = ShotImages(self.files, self.store, holds_out=recipe.crops.hold_out)
        self.wait_s = 0.0
        trainer = Trainer(model, get_loss("hdr", needs="mean"), recipe.trainer, device)
        super().__init__(run, trainer, CropBatcher(self.store, model, recipe.crops, config.seed), emit)

    # -- the phases ---------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Arrivals, the rest of the training, the final pass, the summary."""
        if self.restore():
            self._note(f"resumed at step {self.trainer.step_count}, {self.pairs.taken} pairs")
        cores = torch.get_num_threads()
        _, train_threads = share_cores(self.device, self.config.variant)
        torch.set_num_threads(train_threads)
        try:
            self._arrivals(self.pairs.usual)
        finally:
            torch.set_num_threads(cores)
        while True:
            self._arrivals(len(self.pairs))
            self._finish_training()
            with self.trainer.averaged():
                denoiser = self._final_denoiser()
                if self.config.final_pass:
                    self.images.finish(denoiser, self._written)
                denoiser.save(self.config.out / "weights.safetensors")
            if not self._ask_for_more():
                break
        if self.config.save_halves:
            for number in self.store.frames:
                self.files.write_halves(self.store.frame_pair(number))
        summary = self._summary()
        self.run_dir.finish(summary)
        self.emit({"event": "done", **summary})
        return summary

    def _arrivals(self, end: int) -> None:
        """Take pairs up to the ``end``-th; those that were asked for later come without steps of their own."""
        if self.steps_left:  # a resumed run stopped within the steps of a pair that was scored already
            self._train_on_newest(self.pairs.taken - 1)
        arrivals = iter(self.pairs)
        while self.pairs.taken < end:
            waiting = time.monotonic()
            pair = next(arrivals, None)
            self.wait_s += time.monotonic() - waiting
            if pair is None:
                break
            index = self.pairs.taken - 1
            if index < self.pairs.usual:
                pixels = pair.input.height * pair.input.width
                self.steps_left = self.budget.for_pair(pixels, self.config.spp, self.device)
                self.batcher.augment = self.budget.wants_symmetries
            self._score(index, pair)
            self._train_on_newest(index)
        self.pairs.close()
        if not self.store.frames:
            raise SceneError(next(iter(self.pairs.failed.values())))

    def _score(self, index: int, pair: FramePair) -> None:
        """Law 5: measure f on a pair that it has never seen, before the step that uses it."""
        self._tell_of_bad_samples(pair)
        with self.trainer.averaged():
            look = Denoiser(self.trainer.model, device=self.device)
            write = self.config.final_pass and not self.pairs.pass_of(index)
            estimate = self.images.score(pair, look, write=write)
        self.log(
            {
                "event": "pair",
                "frame": pair.number,
                "pass": self.pairs.pass_of(index),
                "pair": index + 1,
                "pairs": len(self.pairs),
                "steps": 0 if self.config.time else self.budget.total,
                "step": self.trainer.step_count,
                **estimate.to_json(),
                "wall_s": self.elapsed(),
            }
        )

    def _tell_of_bad_samples(self, pair: FramePair) -> None:
        """Say how many pixels are not finite: the loss leaves them out, and to the network they are black."""
        assert pair.partner is not None
        counts = [count_bad(frame) for frame in (pair.input, pair.partner)]
        nan, infinite = (sum(c[kind] for c in counts) for kind in ("nan", "inf"))
        if nan or infinite:
            text = f"warning: frame {pair.number} has {nan} NaN and {infinite} infinite pixel(s), left out of the loss"
            self.log({"event": "note", "frame": pair.number, "text": text})

    def _train_on_newest(self, index: int) -> None:
        while self.steps_left:
            self._step()
            self.steps_left -= 1
            # After the last step not yet: a run resumed from there would take the frame below for written.
            if self.steps_left and self.checkpoint_due():
                self.checkpoint()
        if not self.config.final_pass:
            number = self.store.newest
            with self.trainer.averaged():
                path, _ = self.images.denoise(self._final_denoiser(), number, fingerprint="")
            self._written(number, path)
        if self.checkpoint_due() or index + 1 == len(self.pairs):
            self.checkpoint()

    def _finish_training(self) -> None:
        """Train on all frames alike until the steps, or the seconds, are spent."""
        trains = self.recipe.finish and self.trainer.step_count < self.budget.total
        if self.history and (trains or self.config.final_pass):  # else nobody looks at it
            self.history.complete()
        if not self.recipe.finish:
            return
        self.batcher.all_frames = True
        reserve_s = self._final_pass_s()
        while self.trainer.step_count < self.budget.total:
            if self.config.time and self.elapsed() > self.config.time - reserve_s:
                break
            self._step()
            if self._may_overfit and self.trainer.step_count % LOOK_EVERY_STEPS == 0:
                self._look_for_overfitting()
            if self.checkpoint_due():
                self.checkpoint()
        # The loop has looked at these very weights where it ended on a multiple.
        if self._may_overfit and self.trainer.step_count % LOOK_EVERY_STEPS:
            self._look_for_overfitting()

    @property
    def _may_overfit(self) -> bool:
        """Whether pixels come up so often that their noise could be learned by heart, and some were held out."""
        return self.batcher.augment and self.recipe.crops.hold_out

    def _look_for_overfitting(self) -> None:
        """Go back to the best weights once pixels that are never targets get worse, and let the rate fall from there.

        When they get worse again, the best weights are the end.
        """
        if self.watch.still_helps(self.trainer, self.store):
            return
        self.trainer.adopt(self.watch.best)
        step = self.trainer.step_count
        if not self.budget.last_step:
            text = f"held-out pixels got worse by step {step}: from the best weights so far the rate falls to 0"
            self.log({"event": "note", "text": text})
        self.budget.settle(step)

    def _ask_for_more(self) -> bool:
        """Ask for samples of frames that miss the target, or where they help most in the time that is left."""
        config = self.config
        known = self.images.estimates.items()
        estimates = {n: e for n, e in known if n not in self.pairs.failed and np.isfinite(e.relmse)}
        units = {n: self.store.half_spp(n) // config.spp for n in estimates}
        budget = affordable(units, self.pairs.render_s, self._left_s()) if config.time else None
        if config.target_error:
            wanted = until_good({n: e.high for n, e in estimates.items()}, units, config.target_error, budget)
        elif budget and self.recipe.finish and config.final_pass:
            wanted = by_gain({n: e.relmse for n, e in estimates.items()}, units, budget)
        else:
            return False
        if not wanted:
            return False
        least, most = (2 * config.spp * choose(wanted.values()) for choose in (min, max))
        text = f"{len(wanted)} of {len(units)} frames get {least} to {most} spp more: {format_frames(set(wanted))}"
        self.log({"event": "note", "text": text})
        self.pairs.extend(sorted(wanted.items()))
        self.budget.go_on()
        self.watch = OverfitWatch()
        self.checkpoint()
        return True

    def _left_s(self) -> float:
        """Seconds that ``--time`` leaves for samples, less the training and the final pass that follow."""
        train_s = GOING_ON_SHARE * self.train_s
        return (self.config.time or 0.0) - self.elapsed() - train_s - 2 * self._final_pass_s()

    def _written(self, number: int, path: Path) -> None:
        self.emit({"event": "frame", "frame": number, "path": str(path)})

    def _final_denoiser(self) -> Denoiser:
        """What makes the frames that are kept, with the weights that the model has now."""
        return Denoiser(self.trainer.model, self._provenance(), self.device, spins=self.spins)

    # -- training -----------------------------------------------------------------------------------------------

    def _step(self) -> None:
        self.train_step(self.progress(), 0 if self.config.time else self.budget.total)

    def progress(self) -> float:
        """How much of the training is done, 0 to 1; under ``--time`` by clock or steps, whichever ends first."""
        steps = self.trainer.step_count / max(1, self.budget.total)
        clock = self.elapsed() / self.config.time if self.config.time else 0.0
        return min(1.0, max(steps, clock))

    def _final_pass_s(self) -> float:
        """Seconds that the final pass will take at most."""
        return self.images.seconds(self.spins) if self.config.final_pass else 0.0

    # -- state --------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the training."""
        return {
            "pairs": self.pairs.state_dict(),
            "steps_left": self.steps_left,
            "budget": self.budget.state_dict(),
            "watched": self.watch.errors.tolist(),
            "images": self.images.state_dict(),
            "wait_s": self.wait_s,
        }

    def own_tensors(self) -> dict[str, Tensor]:
        """The best weights so far."""
        return self.watch.tensors()

    def load_own_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take them back."""
        self.watch.load(tensors)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        self.watch.errors = np.array(state["watched"])
        self.pairs.load_state_dict(state["pairs"])
        self.steps_left = state["steps_left"]
        self.budget.load_state_dict(state["budget"])
        self.images.load_state_dict(state["images"])
        self.wait_s = state["wait_s"]

    def _start_mitsuba(self) -> RendererProcess:
        render_threads, _ = share_cores(self.device, self.config.variant)
        if self.pairs.taken >= self.pairs.usual:  # nothing else is to be done while more samples are rendered
            render_threads = usable_cores()
        options = {
            "resolution": parse_resolution(self.config.resolution),
            "threads": render_threads,
            "frames": self.shot.span,
        }
        process, variant = start_mitsuba(self.config.variant, options, self._note)
        self._note(f"rendering with Mitsuba {variant}, {render_threads} thread(s)")
        return process

    def _note(self, text: str) -> None:
        self.emit({"event": "note", "text": text})

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
            "started_from": self.started_from,
            "window": self.config.window if self.history else 0,
        }

    def _summary(self) -> dict[str, Any]:
        return {
            "wall_s": self.elapsed(),
            "render_s": round(self.pairs.render_s, 3),
            "train_s": round(self.train_s, 3),
            "wait_s": round(self.wait_s, 3),
            "steps": self.trainer.step_count,
            "skipped_steps": self.trainer.skipped,
            "version": __version__,
            **self.images.summary(),
            "failed": [{"frame": n, "error": text} for n, text in sorted(self.pairs.failed.items())],
        }
