"""``suite reproduce``: the papers' experiments within a budget, resumable, each finished training kept."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rendernoise.errors import RendernoiseError
from rendernoise.io.atomic import write_text
from rendernoise.job import Emit
from rendernoise.machine import commit, machine, versions
from rendernoise.run import RunDirectory
from rendernoise.suite.allotment import evaluation_size, grouped
from rendernoise.suite.baselines import BASELINES
from rendernoise.suite.experiments import Experiment, experiment_names, find_experiment
from rendernoise.suite.material import Material, head_slices, photographs
from rendernoise.suite.paper import figures_of, on_images
from rendernoise.suite.plan import FILE, Plan, given_plan, make_plan
from rendernoise.suite.reproduce_config import SuiteReproduceConfig
from rendernoise.suite.table import checks, markdown
from rendernoise.suite.trials import Trials, slug


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
        if (earlier := run.earlier_result(emit)) is not None:
            return earlier
        return _Reproduction(config, experiments, run, emit).run()
    except RendernoiseError as error:
        if error.exit_code == 2 and not config.resume and not (config.out / FILE).exists():
            run.discard()
        raise
    finally:
        run.close()


class _Reproduction:
    """One run: baselines, the plan, all trainings seed by seed, the table."""

    def __init__(
        self, config: SuiteReproduceConfig, experiments: Mapping[str, Experiment], run: RunDirectory, emit: Emit
    ) -> None:
        self.config, self.experiments, self.run_dir, self.emit = config, experiments, run, emit
        self.started, self.done = time.monotonic(), 0
        self._clock = run.work / "seconds"
        self._before_s = float(self._clock.read_text()) if self._clock.exists() else 0.0
        self.left_out = {key: why for key, baseline in BASELINES.items() if (why := baseline.why_not()) is not None}
        self.groups = grouped(experiments, lambda e: len(self._baselines(e, trained=True)))
        seeds = config.seeds
        self.trainings = seeds * sum(len(g.trainings) + g.foreign for g in self.groups.values())
        self.pieces = self.trainings + sum(len(self._baselines(e, trained=False)) for e in experiments.values())
        self._given = given_plan(config, self.groups)
        size = self._given.size if self._given else evaluation_size(config.seconds, self.trainings)
        self.sources = {kind: self._read(kind) for kind in dict.fromkeys(e.data for e in experiments.values())}
        self.trials = Trials(config, self.groups, self.sources, size, run.work)

    def _read(self, kind: str) -> Material:
        if kind == "mri":
            return head_slices(self.config.data, self.emit)
        return photographs(self.config.data, self.config.test, self.emit)

    def _baselines(self, experiment: Experiment, *, trained: bool) -> list[str]:
        """The baselines of an experiment that can run here."""
        return [k for k in experiment.baselines if k not in self.left_out and BASELINES[k].trained == trained]

    def run(self) -> dict[str, Any]:
        """Everything that is not done already."""
        rows = [row for name, e in self.experiments.items() for row in self._untrained(name, e)]
        plan = self._given or make_plan(self.config, self.groups, self.trials, self.started, self.emit, self._show)
        plan.write(self.config.out)
        self.trials.seeds, self.trials.limits = plan.seeds, plan.limits
        for seed in self.trials.seeds:
            for name, group in self.groups.items():
                for training in group.trainings:
                    self._begin(f"{name}, seed {seed}, {training.noise}, {training.target} targets")
                    self.trials.trained(name, training, seed, plan.steps[name])
                for member, experiment in group.experiments.items():
                    rows += self._foreign(member, experiment, seed, plan.steps[name])
        rows += [row for name, e in self.experiments.items() for row in self._trained(name, e, plan)]
        results = self._compose(plan, rows)
        write_text(self.config.out / "table.md", markdown(results))
        self.run_dir.finish(results)
        self.emit({"event": "done"})
        return results

    def _begin(self, text: str) -> None:
        self._show(text)
        self.done += 1
        write_text(self._clock, str(self._wall_s()))

    def _show(self, text: str) -> None:
        self.emit({"event": "progress", "done": self.done, "total": self.pieces, "text": text})

    def _wall_s(self) -> float:
        """Seconds of the run, those before an interruption included."""
        return round(self._before_s + time.monotonic() - self.started, 1)

    def _untrained(self, name: str, experiment: Experiment) -> Iterator[dict[str, Any]]:
        for key in self._baselines(experiment, trained=False):
            self._begin(f"{name}, {BASELINES[key].label}")
            yield from self._baseline_rows(name, key, self.trials.untrained(name, key, experiment, self.emit))

    def _foreign(self, name: str, experiment: Experiment, seed: int, steps: int) -> Iterator[dict[str, Any]]:
        for key in self._baselines(experiment, trained=True):
            self._begin(f"{name}, seed {seed}, {BASELINES[key].label}")
            found = self.trials.foreign(name, key, experiment, seed, steps, self.emit)
            yield from self._baseline_rows(name, key, found, seed, steps)

    def _baseline_rows(
        self, name: str, key: str, found: dict[str, Any], seed: int | None = None, steps: int = 0
    ) -> Iterator[dict[str, Any]]:
        if "reason" in found:
            self.left_out[key] = found["reason"]
            return
        label, noise = BASELINES[key].label, BASELINES[key].noise
        facts = {"experiment": name, "label": label, "noise": noise, "target": key, "masking": None, "loss": None}
        facts |= {"network": None, "seed": self.config.seed if seed is None else seed, "steps": steps}
        yield from self._rows(facts, found)

    def _trained(self, name: str, experiment: Experiment, plan: Plan) -> Iterator[dict[str, Any]]:
        group = experiment.like or name
        for training in experiment.trainings:
            for seed in self.trials.seeds:
                found = self.trials.trained(group, training.unlabelled, seed, plan.steps[group])
                facts = {"experiment": name, "label": training.label, "noise": training.noise}
                facts |= {"target": training.target, "loss": found["loss"], "network": found["network"]}
                facts |= {"masking": training.masking if training.target == "blind" else None}
                yield from self._rows({**facts, "seed": seed, "steps": found["steps"]}, found)

    def _rows(self, facts: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for measured in found["sets"]:
            yield {
                **facts,
                **measured,
                "paper_psnr_db": on_images(figures_of(facts), measured["image_set"]),
                "wall_s": round(found["wall_s"], 2),
                "picture": f"{slug(measured['image_set'])}.{found['picture']}",
            }

    def _compose(self, plan: Plan, rows: list[dict[str, Any]]) -> dict[str, Any]:
        results = {
            "schema": 1,
            "command": shlex.join(["rendernoise", *sys.argv[1:]]),
            "budget": plan.budget,
            "optimizer": self.config.optimizer,
            "seeds": list(self.trials.seeds),
            "steps": dict(plan.steps),
            "limits": asdict(plan.limits),
            "test_size": asdict(plan.size),
            "material": [m.about for m in self.sources.values()],
            "experiments": list(self.experiments),
            "machine": machine(),
            "versions": versions(),
            "commit": commit(),
            "wall_s": self._wall_s(),
            "left_out": [
                {"experiment": name, "label": BASELINES[key].label, "reason": self.left_out[key]}
                for name, experiment in self.experiments.items()
                for key in experiment.baselines
                if key in self.left_out
            ],
            "originals": [o for name, e in self.experiments.items() for o in self.trials.originals(name, e)],
            "rows": [row | {"budget": plan.budget} for row in rows],
        }
        return results | {"checks": list(checks(results))}
