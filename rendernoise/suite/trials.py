"""The trainings and baselines of ``suite reproduce``: each done once, measured, and its scores kept as a file."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rendernoise.denoiser import Denoiser
from rendernoise.errors import RendernoiseError
from rendernoise.frame import Plane
from rendernoise.io.atomic import make_directory, write_text
from rendernoise.io.image import write_png
from rendernoise.io.image_folder import ImageFolder, uncentred
from rendernoise.job import Emit
from rendernoise.noise import NoiseModel, Noisy
from rendernoise.noise.naming import parse_noise
from rendernoise.suite.allotment import PAPERS, Cost, EvaluationSize, Group, Shape
from rendernoise.suite.baselines import BASELINES, Examples
from rendernoise.suite.config import SuiteTrainConfig
from rendernoise.suite.evaluation import mean, noisy_version, restorer, score
from rendernoise.suite.experiments import Experiment, Training
from rendernoise.suite.material import Material, subset
from rendernoise.suite.reproduce_config import SuiteReproduceConfig
from rendernoise.suite.training import run_suite_train

#: Of the test noise, the same for all methods.
TEST_SEED = 0
#: Steps that are timed to plan with.
_TIMED_STEPS = 6
#: Most images that a baseline gets noisy versions of to be trained on.
_MOST_EXAMPLES = 400


def slug(text: str) -> str:
    """Text as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def _pictured(images: ImageFolder) -> int:
    """Which image of a set the page shows: the middle one, as the first slices of a head show little."""
    return len(images) // 2


class Trials:
    """What is finished lies in ``work``, and is read there when it is asked for again.

    Args:
        config: The options.
        groups: What is trained.
        sources: Images by what ``Experiment.data`` says.
        size: How much is tested.
        work: The run's working folder.
    """

    def __init__(
        self,
        config: SuiteReproduceConfig,
        groups: Mapping[str, Group],
        sources: Mapping[str, Material],
        size: EvaluationSize,
        work: Path,
    ) -> None:
        self.config, self.groups, self.sources, self.size, self.work = config, groups, sources, size, work
        #: Of crops and batches; the plan sets them.
        self.limits = PAPERS
        self._prepared: set[tuple[object, ...]] = set()
        self.seeds = config.seed_list

    def material(self, experiment: Experiment) -> Material:
        """The images of an experiment, its tests of the run's size."""
        return self._materials[experiment.data, experiment.grey]

    @cached_property
    def _materials(self) -> dict[tuple[str, bool], Material]:
        sized = {kind: found.tested(self.size) for kind, found in self.sources.items()}
        return {(kind, grey): m.in_grey() if grey else m for kind, m in sized.items() for grey in (False, True)}

    def cost(self, group: str, training: Training) -> Cost:
        """Seconds of a few steps, and of everything around them."""
        folder, experiment = self.work / "timing", self.groups[group].first
        # The first step of a process prepares kernels for a network and the shapes of its tensors.
        shape = Shape.of(experiment, self.limits)
        kind = (training.network, training.target == "blind", experiment.data, experiment.grey, shape)
        train_s = wall_s = 0.0
        for steps in (_TIMED_STEPS,) if kind in self._prepared else (1, _TIMED_STEPS):
            shutil.rmtree(folder, ignore_errors=True)  # or of a run that was killed here
            start = time.perf_counter()
            train_s = self._train(folder, group, training, steps, self.seeds[0])["train_s"]
            self._weights_scores(folder, group, training, None)
            wall_s = time.perf_counter() - start
        shutil.rmtree(folder)
        self._prepared.add(kind)
        return Cost(train_s / _TIMED_STEPS, wall_s - train_s)

    def trained(self, group: str, training: Training, seed: int, steps: int) -> dict[str, Any]:
        """The scores of a training: ``sets``, ``network``, ``loss``, ``steps``, ``wall_s`` and ``picture``.

        Args:
            group: Whose training it is.
            training: Without its label.
            seed: Its seed.
            steps: Of the group; a training has its share of them.
        """
        name = f"{group}.{self.groups[group].trainings.index(training):02d}.{slug(training.noise)}.{training.target}"
        kept = self.work / f"{name}.{seed}.json"
        if not kept.exists():
            folder, start = self.work / f"{name}.{seed}", time.monotonic()
            summary = self._train(folder, group, training, steps, seed)
            in_this_process_s = min(summary["wall_s"], time.monotonic() - start)
            found = self._weights_scores(folder, group, training, name if seed == self.seeds[0] else None)
            around_s = time.monotonic() - start - in_this_process_s
            found |= {"steps": summary["steps"], "loss": summary["loss"], "wall_s": summary["wall_s"] + around_s}
            write_text(kept, json.dumps({**found, "picture": f"{name}.png"}))
            shutil.rmtree(folder)
        return json.loads(kept.read_text())

    def _train(self, folder: Path, group: str, training: Training, steps: int, seed: int) -> dict[str, Any]:
        experiment = self.groups[group].first
        shape, images = Shape.of(experiment, self.limits), self.material(experiment).train
        config = SuiteTrainConfig(
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
            learning_rate=experiment.rate if self.config.optimizer == "adam" else None,
            optimizer=self.config.optimizer,
            strength=training.strength,
            realisations=training.realisations,
            grey=experiment.grey,
            seed=seed,
            device=self.config.device,
            resume=True,
        )
        return run_suite_train(config, images=subset(images, range(max(1, int(len(images) * training.images)))))

    def _weights_scores(self, folder: Path, group: str, training: Training, picture: str | None) -> dict[str, Any]:
        denoiser = Denoiser.load(folder / "weights.safetensors", self.config.device)
        noise, tests = parse_noise(training.noise), self.material(self.groups[group].first).tests
        sets = [self._score(restorer(denoiser), images, noise, picture) for images in tests]
        return {"sets": sets, "network": denoiser.model.spec.network}

    def untrained(self, name: str, key: str, experiment: Experiment, emit: Emit) -> dict[str, Any]:
        """The scores of a baseline: ``sets``, ``wall_s`` and ``picture``; or ``reason`` when it failed."""
        return self._baseline(f"{name}.{key}", self.seeds[0], key, experiment, None, emit)

    def foreign(self, name: str, key: str, experiment: Experiment, seed: int, steps: int, emit: Emit) -> dict[str, Any]:
        """The same of one that is trained as long as ours, on one noisy version of each of our images."""
        shape, images = Shape.of(experiment, self.limits), self.material(experiment).train
        noise = parse_noise(BASELINES[key].noise)
        chosen = subset(images, range(min(len(images), _MOST_EXAMPLES)))
        # Another seed than the test's, as an image's noise follows from its name and the seed.
        noisy = [noisy_version(n, image, noise, noise.tested, TEST_SEED + 1 + seed).image for n, image in chosen]
        examples = Examples(noisy, steps, shape.crop_px, shape.batch, seed)
        return self._baseline(f"{name}.{key}", seed, key, experiment, examples, emit)

    def _baseline(
        self, name: str, seed: int, key: str, experiment: Experiment, examples: Examples | None, emit: Emit
    ) -> dict[str, Any]:
        kept = self.work / f"{name}.{seed}.json"
        if kept.exists():
            return json.loads(kept.read_text())
        baseline, start = BASELINES[key], time.monotonic()
        noise, tests = parse_noise(baseline.noise), self.material(experiment).tests
        picture = name if seed == self.seeds[0] else None
        try:
            restore = baseline.make(noise.tested, examples)
            sets = [self._score(restore, images, noise, picture) for images in tests]
        except RendernoiseError:
            raise
        except Exception as error:  # what others' code raises is theirs, and no reason to lose our trainings
            reason = f"failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
            emit({"event": "note", "text": f"{baseline.label} {reason}"})
            return {"reason": reason}
        write_text(kept, json.dumps({"sets": sets, "wall_s": time.monotonic() - start, "picture": f"{name}.png"}))
        return json.loads(kept.read_text())

    def _score(
        self, restore: Callable[[Noisy], Plane], images: ImageFolder, noise: NoiseModel, picture: str | None
    ) -> dict[str, Any]:
        def seen(name: str, clean: Plane, noisy: Noisy, restored: Plane) -> None:
            if picture is not None and name == images.names[_pictured(images)]:
                self.keep(f"{slug(images.name)}.{picture}.png", restored)

        scores = score(restore, images, noise, noise.tested, TEST_SEED, seen)
        return {
            "image_set": images.name,
            "images": len(images),
            "psnr_db": mean([s.psnr_db for s in scores]),
            "noisy_psnr_db": mean([s.noisy_psnr_db for s in scores]),
        }

    def keep(self, name: str, image: Plane) -> str:
        """Write an image for the page; returns its name in ``OUT/images``."""
        make_directory(self.config.out / "images")
        write_png(self.config.out / "images" / name, uncentred(image))
        return name

    def originals(self, name: str, experiment: Experiment) -> Sequence[dict[str, Any]]:
        """Clean and noisy picture of an image of each set, with the noise of each training."""
        kept: list[dict[str, Any]] = []
        for images in self.material(experiment).tests:
            index = _pictured(images)
            clean, stem = images.image(index), f"{slug(images.name)}.{name}"
            for text in dict.fromkeys(t.noise for t in experiment.trainings):
                noise = parse_noise(text)
                noisy = noisy_version(images.names[index], clean, noise, noise.tested, TEST_SEED)
                names = {"experiment": name, "image_set": images.name, "noise": text, "image": images.names[index]}
                pictures = {
                    "clean": self.keep(f"{stem}.clean.png", clean),
                    "noisy": self.keep(f"{stem}.{slug(text)}.noisy.png", noisy.image),
                }
                kept.append(names | pictures)
        return kept
