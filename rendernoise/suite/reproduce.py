"""``suite reproduce``: the papers' experiments within a budget, resumable, each finished training kept."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rendernoise.denoiser import Denoiser
from rendernoise.errors import RendernoiseError
from rendernoise.frame import Plane
from rendernoise.io.atomic import make_directory, write_text
from rendernoise.io.image import write_png
from rendernoise.io.image_folder import ImageFolder, uncentred
from rendernoise.job import Emit
from rendernoise.machine import commit, machine, versions
from rendernoise.noise import NoiseModel, Noisy
from rendernoise.noise.naming import parse_noise
from rendernoise.run import RunDirectory
from rendernoise.suite.allotment import Cost, Group, Shape, allot, grouped, plan_json, scale_for, too_short
from rendernoise.suite.baselines import BASELINES, Examples
from rendernoise.suite.config import SuiteTrainConfig
from rendernoise.suite.evaluation import mean, noisy_version, restorer, score
from rendernoise.suite.experiments import Experiment, Training, experiment_names, find_experiment
from rendernoise.suite.material import Material, head_slices, photographs, subset
from rendernoise.suite.paper import figures_of, on_images
from rendernoise.suite.reproduce_config import SuiteReproduceConfig
from rendernoise.suite.table import checks, markdown
from rendernoise.suite.training import run_suite_train

#: Of the test noise, the same for all methods.
TEST_SEED = 0
#: Steps that are timed to plan with, after one that is not.
_TIMED_STEPS = 10
#: Most images that a baseline gets noisy versions of to be trained on.
_MOST_EXAMPLES = 400


def run_suite_reproduce(config: SuiteReproduceConfig, emit: Emit = lambda event: None) -> dict[str, Any]:
    """Run ``rendernoise suite reproduce``; returns what ``results.json`` holds.

    Args:
        config: The options.
        emit: Called with every event: notes, progress, the end.

    Raises:
        RendernoiseError: Bad input, a budget that is too short, no room; the run stays resumable.
    """
    experiments = {name: find_experiment(name) for name in dict.fromkeys(config.noises or experiment_names())}
    run = RunDirectory(
        config.out, config.to_json(), resume=config.resume, overwrite=config.overwrite, result="results.json"
    )
    try:
        if run.complete:
            emit({"event": "note", "text": f"the run in {config.out} is complete already"})
            return run.summary()
        return _Reproduction(config, experiments, run, emit).run()
    except RendernoiseError as error:
        if error.exit_code == 2 and not config.resume and not (config.out / "plan.json").exists():
            run.discard()
        raise
    finally:
        run.close()


class _Reproduction:
    """One run. What is finished lies in ``.work``: scores of trainings and of baselines, as JSON."""

    def __init__(
        self, config: SuiteReproduceConfig, experiments: Mapping[str, Experiment], run: RunDirectory, emit: Emit
    ) -> None:
        self.config, self.experiments, self.run_dir, self.emit = config, experiments, run, emit
        self.started = time.monotonic()
        self.seeds = range(config.seed, config.seed + config.seeds)
        self.baselines = {n for e in experiments.values() for n in e.baselines if BASELINES[n].why_not() is None}
        self.groups = grouped(
            experiments, lambda e: sum(BASELINES[n].trained for n in e.baselines if n in self.baselines)
        )
        self.trainings = len(self.seeds) * sum(len(g.trainings) + g.foreign for g in self.groups.values())
        self.scale = scale_for(config.seconds, self.trainings)
        self.sources = {
            kind: read(emit)
            for kind, read in self._readers().items()
            if any(e.data == kind for e in experiments.values())
        }

    def _readers(self) -> dict[str, Callable[[Emit], Material]]:
        config = self.config
        return {
            "photographs": lambda emit: photographs(config.data, config.test, emit),
            "mri": lambda emit: head_slices(config.data, emit),
        }

    def material(self, experiment: Experiment) -> Material:
        """The images of an experiment at the scale of the run."""
        found = self.sources[experiment.data].at(self.scale)
        return found.in_grey() if experiment.grey else found

    def run(self) -> dict[str, Any]:
        """Baselines, the plan, all trainings, the table."""
        rows = [row for name, e in self.experiments.items() for row in self._untrained(name, e)]
        plan = self._plan()
        for seed in self.seeds:
            for group_name, group in self.groups.items():
                for training in group.trainings:
                    self._score(plan, group_name, training, seed)
                rows += self._foreign(plan, group_name, group, seed)
        rows += [row for name, e in self.experiments.items() for row in self._rows(plan, name, e)]
        results = self._compose(plan, rows)
        write_text(self.config.out / "table.md", markdown(results))
        self.run_dir.finish(results)
        self.emit({"event": "done"})
        return results

    # -- the plan -----------------------------------------------------------------------------------------------

    def _plan(self) -> dict[str, Any]:
        """The steps of every group: of an earlier part of the run, as given, or what the budget allows."""
        path, config = self.config.out / "plan.json", self.config
        if path.exists():
            return json.loads(path.read_text())
        costs: dict[tuple[str, Training], Cost] = {}
        if config.steps is not None:
            steps = dict.fromkeys(self.groups, config.steps)
        elif config.seconds is None:
            steps = {name: group.paper_steps for name, group in self.groups.items()}
        else:
            for name, group in self.groups.items():
                for training in group.trainings:
                    if time.monotonic() - self.started > config.seconds:
                        raise too_short(self.trainings)
                    self.emit({"event": "progress", "done": 0, "total": 0, "text": f"timing {name}, {training.noise}"})
                    costs[name, training] = self._measured(name, training)
            left = config.seconds - (time.monotonic() - self.started)
            steps = allot(self.groups, costs, left, len(self.seeds))
        plan = plan_json(config.budget, self.scale, steps, costs, list(self.seeds))
        write_text(path, json.dumps(plan, indent=2) + "\n")
        return plan

    def _measured(self, group: str, training: Training) -> Cost:
        """Seconds of a few steps, and of everything around them."""
        found: list[float] = []
        shutil.rmtree(self.run_dir.work / "timing", ignore_errors=True)  # of a run that was killed here
        for steps in (1, 1 + _TIMED_STEPS):
            folder = self.run_dir.work / "timing"
            start = time.perf_counter()
            summary = self._train(folder, group, training, steps, self.seeds[0])
            self._scored(folder, group, training, None)
            shutil.rmtree(folder)
            found += [summary["train_s"], time.perf_counter() - start]
        first_s, _, train_s, wall_s = found
        # The first step of a process prepares kernels for the shapes of its tensors.
        step_s = (
            max(train_s - first_s, 0.5 * train_s) / _TIMED_STEPS if train_s > first_s else train_s / (1 + _TIMED_STEPS)
        )
        return Cost(step_s, wall_s - train_s)

    # -- trainings ----------------------------------------------------------------------------------------------

    def _train(self, folder: Path, group: str, training: Training, steps: int, seed: int) -> dict[str, Any]:
        experiment = self._first(group)
        shape = Shape.of(experiment, self.scale)
        images = self.material(experiment).train
        taken = max(1, int(len(images) * training.images))
        return run_suite_train(
            SuiteTrainConfig(
                out=folder,
                noise=training.noise,
                data=self.config.data or Path(images.name),
                target=training.target,
                masking=training.masking,
                steps=max(1, int(steps * training.share)),
                loss=training.loss,
                contrast=training.contrast,
                network=training.network,
                crop_px=shape.crop_px,
                batch=shape.batch,
                learning_rate=experiment.rate,
                strength=None if training.realisations else training.strength,
                realisations=training.realisations,
                grey=experiment.grey,
                seed=seed,
                device=self.config.device,
                resume=True,
            ),
            images=subset(images, range(taken)),
        )

    def _first(self, group: str) -> Experiment:
        return next(iter(self.groups[group].experiments.values()))

    def _score(self, plan: Mapping[str, Any], group: str, training: Training, seed: int) -> None:
        """Train and measure, unless that is done already."""
        name = self._name(group, training, seed)
        kept = self.run_dir.work / f"{name}.json"
        done = len(list(self.run_dir.work.glob("*.json")))
        total = self.trainings + len(self.baselines)
        self.emit({"event": "progress", "done": min(done, total), "total": total, "text": name})
        if kept.exists():
            return
        folder = self.run_dir.work / name
        start = time.monotonic()
        summary = self._train(folder, group, training, plan["steps"][group], seed)
        found = self._scored(folder, group, training, name if seed == self.seeds[0] else None)
        found |= {"steps": summary["steps"], "loss": summary["loss"], "wall_s": summary["wall_s"]}
        found["wall_s"] += max(0.0, time.monotonic() - start - summary["wall_s"])
        write_text(kept, json.dumps(found))
        shutil.rmtree(folder)

    def _name(self, group: str, training: Training, seed: int) -> str:
        number = self.groups[group].trainings.index(training)
        return f"{group}.{number:02d}.{_slug(training.noise)}.{training.target}.{seed}"

    def _scored(self, folder: Path, group: str, training: Training, pictures: str | None) -> dict[str, Any]:
        """PSNRs of weights on every set of test images; with ``pictures`` an image is kept under that name."""
        denoiser = Denoiser.load(folder / "weights.safetensors", self.config.device)
        noise = parse_noise(training.noise)
        sets = [
            self._measure(restorer(denoiser), images, noise, pictures)
            for images in self.material(self._first(group)).tests
        ]
        return {"sets": sets, "network": denoiser.model.spec.network}

    def _measure(
        self, restore: Callable[[Noisy], Plane], images: ImageFolder, noise: NoiseModel, pictures: str | None
    ) -> dict[str, Any]:
        def seen(name: str, clean: Plane, noisy: Noisy, restored: Plane) -> None:
            if pictures is not None and name == images.names[0]:
                self._keep(f"{_slug(images.name)}.{pictures}", restored)

        scores = score(restore, images, noise, noise.tested, TEST_SEED, seen)
        return {
            "image_set": images.name,
            "images": len(images),
            "psnr_db": mean([s.psnr_db for s in scores]),
            "noisy_psnr_db": mean([s.noisy_psnr_db for s in scores]),
        }

    def _keep(self, name: str, image: Plane) -> str:
        make_directory(self.config.out / "images")
        write_png(self.config.out / "images" / f"{name}.png", uncentred(image))
        return f"{name}.png"

    # -- baselines ----------------------------------------------------------------------------------------------

    def _untrained(self, name: str, experiment: Experiment) -> Iterator[dict[str, Any]]:
        """Rows of the baselines that need no training."""
        for key in experiment.baselines:
            if key in self.baselines and not BASELINES[key].trained:
                yield from self._baseline_rows(name, experiment, key, None, 0)

    def _foreign(self, plan: Mapping[str, Any], group: str, members: Group, seed: int) -> Iterator[dict[str, Any]]:
        """Rows of the baselines that are trained as long as ours."""
        for name, experiment in members.experiments.items():
            for key in experiment.baselines:
                if key in self.baselines and BASELINES[key].trained:
                    shape, images = Shape.of(experiment, self.scale), self.material(experiment).train
                    noise = parse_noise(BASELINES[key].noise)
                    noisy = [
                        noisy_version(n, image, noise, noise.tested, seed + 1).image
                        for n, image in subset(images, range(min(len(images), _MOST_EXAMPLES)))
                    ]
                    examples = Examples(noisy, plan["steps"][group], shape.crop_px, shape.batch, seed)
                    yield from self._baseline_rows(name, experiment, key, examples, seed)

    def _baseline_rows(
        self, name: str, experiment: Experiment, key: str, examples: Examples | None, seed: int
    ) -> Iterator[dict[str, Any]]:
        baseline = BASELINES[key]
        file = f"{name}.{key}.{seed}"
        kept = self.run_dir.work / f"{file}.json"
        if not kept.exists():
            self.emit({"event": "progress", "done": 0, "total": 0, "text": f"{name}, {baseline.label}"})
            start = time.monotonic()
            noise = parse_noise(baseline.noise)
            restore = baseline.make(noise.tested, examples)
            pictures = file if seed in (0, self.seeds[0]) else None
            sets = [self._measure(restore, images, noise, pictures) for images in self.material(experiment).tests]
            write_text(kept, json.dumps({"sets": sets, "wall_s": time.monotonic() - start}))
        found = json.loads(kept.read_text())
        for one in found["sets"]:
            yield self._row(
                one,
                experiment=name,
                label=baseline.label,
                noise=baseline.noise,
                target=key,
                masking=None,
                loss=None,
                network=None,
                seed=seed,
                steps=examples.steps if examples else 0,
                wall_s=found["wall_s"],
                picture=f"{file}.png",
            )

    # -- results ------------------------------------------------------------------------------------------------

    def _rows(self, plan: Mapping[str, Any], name: str, experiment: Experiment) -> Iterator[dict[str, Any]]:
        group = experiment.like or name
        for training in experiment.trainings:
            for seed in self.seeds:
                file = self._name(group, training.unlabelled, seed)
                found = json.loads((self.run_dir.work / f"{file}.json").read_text())
                for one in found["sets"]:
                    yield self._row(
                        one,
                        experiment=name,
                        label=training.label,
                        noise=training.noise,
                        target=training.target,
                        masking=training.masking if training.target == "blind" else None,
                        loss=found["loss"],
                        network=found["network"],
                        seed=seed,
                        steps=found["steps"],
                        wall_s=found["wall_s"],
                        picture=f"{self._name(group, training.unlabelled, self.seeds[0])}.png",
                    )

    def _row(self, measured: Mapping[str, Any], *, picture: str, wall_s: float, **facts: Any) -> dict[str, Any]:
        paper = on_images(figures_of(facts), measured["image_set"])
        return {
            **facts,
            **measured,
            "paper_psnr_db": paper,
            "wall_s": round(wall_s, 2),
            "budget": self.config.budget,
            "picture": f"{_slug(measured['image_set'])}.{picture}",
        }

    def _compose(self, plan: Mapping[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
        left_out = [
            {"experiment": name, "label": BASELINES[key].label, "reason": BASELINES[key].why_not()}
            for name, experiment in self.experiments.items()
            for key in experiment.baselines
            if key not in self.baselines
        ]
        results = {
            "schema": 1,
            "command": shlex.join(["rendernoise", *sys.argv[1:]]),
            "budget": self.config.budget,
            "seeds": list(self.seeds),
            "steps": plan["steps"],
            "scale": asdict(self.scale),
            "material": [m.about for m in self.sources.values()],
            "experiments": list(self.experiments),
            "machine": machine(),
            "versions": versions(),
            "commit": commit(),
            "wall_s": round(time.monotonic() - self.started, 1),
            "left_out": left_out,
            "originals": self._originals(),
            "rows": rows,
        }
        return results | {"checks": list(checks(results))}

    def _originals(self) -> list[dict[str, Any]]:
        """Clean and noisy pictures of the first image of each set, with the noise of each training."""
        kept: dict[tuple[str, str, str], dict[str, Any]] = {}
        for name, experiment in self.experiments.items():
            for images in self.material(experiment).tests:
                clean, stem = images.image(0), f"{_slug(images.name)}.{name}"
                for text in dict.fromkeys(t.noise for t in experiment.trainings):
                    noise = parse_noise(text)
                    noisy = noisy_version(images.names[0], clean, noise, noise.tested, TEST_SEED)
                    kept[name, images.name, text] = {
                        "experiment": name,
                        "image_set": images.name,
                        "noise": text,
                        "image": images.names[0],
                        "clean": self._keep(f"{stem}.clean", clean),
                        "noisy": self._keep(f"{stem}.{_slug(text)}.noisy", noisy.image),
                    }
        return list(kept.values())


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
