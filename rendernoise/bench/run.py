"""``rendernoise bench``: every method at every sample count, scored against references.

Work is cut into cells: one method at one sample count and seed. A finished cell is kept (its images as EXR, its
scores as JSON), so an interrupted benchmark goes on with the cells that are missing. A cell that fails is a line in the
results.
"""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rendernoise._version import __version__
from rendernoise.bench.config import BENCH_METHODS, BenchConfig
from rendernoise.bench.inputs import NoisyFrame, ReferenceFrame
from rendernoise.bench.methods import Cell, Images, Method, Seconds, Weights, make_method
from rendernoise.bench.results import compose
from rendernoise.bench.scores import Scorer, long_rows
from rendernoise.bench.subject import ExrSubject, SceneSubject, Subject
from rendernoise.errors import InputError, OutputError, RendernoiseError
from rendernoise.io.atomic import write_text
from rendernoise.io.exr import write_layers
from rendernoise.io.sequence import frame_path
from rendernoise.job import Emit
from rendernoise.metrics import METRICS
from rendernoise.metrics.flip import flip_exposures, load_evaluator
from rendernoise.render.process import RendererProcess
from rendernoise.run import RunDirectory

DEFAULT_METHODS = ("noisy", "oidn", "oidn-prefiltered", "online")


def run_bench(
    config: BenchConfig,
    emit: Emit = lambda event: None,
    start_renderer: Callable[[], RendererProcess] | None = None,
) -> dict[str, Any]:
    """Run the benchmark; returns what ``results.json`` holds.

    Args:
        config: The options.
        emit: Called with every event: notes, progress, finished and failed cells.
        start_renderer: Makes the renderer; None for Mitsuba as the options say.

    Raises:
        RendernoiseError: Bad input, or nothing at all could be measured; nothing is written then.
    """
    notes: list[str] = []

    def tell(event: dict[str, Any]) -> None:
        if event["event"] == "note" and event["text"] not in notes:
            notes.append(event["text"])
        emit(event)

    subject = SceneSubject(config, tell, start_renderer) if config.scenes else ExrSubject(config, tell)
    try:
        return _Job(config, subject, tell, notes, start_renderer).run()
    finally:
        subject.close()


class _Job:
    """One benchmark: the cells that are still to come, and the rows of those that are done."""

    def __init__(
        self,
        config: BenchConfig,
        subject: Subject,
        emit: Emit,
        notes: list[str],
        start_renderer: Callable[[], RendererProcess] | None,
    ) -> None:
        self.config, self.subject, self.emit, self.notes = config, subject, emit, notes
        self.skipped: list[dict[str, str]] = []
        self.failures: list[dict[str, Any]] = []
        self.methods = list(self._methods(start_renderer))
        self.scores: list[dict[str, Any]] = []
        self.done = self.cells = 0

    def run(self) -> dict[str, Any]:
        """References, cells, results."""
        config = self.config
        if not self.methods:
            raise InputError(f"no method can run here ({self.skipped[0]['reason']})", "Choose others with --methods")
        if not any(self._at(spp) for spp in self.subject.counts):
            raise InputError(
                f"no method takes part at {self.subject.counts[0]} spp", "Check what follows @ in --methods"
            )
        self._check_inputs_stay()
        self.run_dir = RunDirectory(
            config.out, config.to_json(), resume=config.resume, overwrite=config.overwrite, result="results.json"
        )
        try:
            if self.run_dir.complete and not (before := self.run_dir.summary())["failures"]:
                self.emit({"event": "note", "text": f"the benchmark in {config.out} is complete already"})
                return before
            self.run_dir.complete = False  # what failed is tried again
            return self._measure()
        except RendernoiseError as error:
            if error.exit_code == 2 and not self.scores and not config.resume:
                self.run_dir.discard()
            raise
        finally:
            self.run_dir.close()

    def _measure(self) -> dict[str, Any]:
        config, subject = self.config, self.subject
        references: dict[int, ReferenceFrame] = {}
        errors: dict[int, RendernoiseError] = {}
        for number in subject.frames:
            try:
                references[number] = subject.reference(number)
            except OutputError:
                raise
            except RendernoiseError as error:
                errors[number] = error
        if not references:
            raise next(iter(errors.values()))
        for number, error in errors.items():
            self._fail("reference", 0, 0, number, error)
        for reference in references.values():
            if reference.negative_px:
                text = f"warning: the reference of frame {reference.number} has {reference.negative_px} negative pixels"
                self.emit({"event": "note", "text": text})
        names = self._metric_names()
        self.exposures = flip_exposures(r.radiance for r in references.values()) if "flip" in names else None
        self.references = references
        self.scorer = Scorer(references, names, self.exposures)
        self._keep_references(references)
        plan = [(seed, spp) for seed in self._seeds() for spp in subject.counts]
        self.cells = sum(len(self._at(spp)) for _, spp in plan)
        for seed, spp in plan:
            frames = self._noisy(sorted(references), spp, seed)
            subject.rest()
            for method in self._at(spp) if frames else ():
                self._cell(method, spp, seed, frames)
        rows = [
            row
            for score in self.scores
            for row in long_rows(score, self.scorer.within_noise(score["frame"], score["values"]))
        ]
        results = compose(subject, [m for m, _ in self.methods], references, self.exposures, self.scores, rows)
        results |= {
            "seeds": list(self._seeds()),
            "failures": self.failures,
            "skipped": self.skipped,
            "notes": self.notes,
        }
        if not results["rows"]:
            raise InputError(self.failures[-1]["error"].rstrip("."), "Nothing could be measured")
        if self.failures:  # the cells are kept, so that --resume has only what failed to do
            write_text(config.out / "results.json", json.dumps(results, indent=2) + "\n")
            shutil.rmtree(self.run_dir.work / "runs", ignore_errors=True)
        else:
            self.run_dir.finish(results)
        self.emit({"event": "done"})
        return results

    # -- what is to be done -------------------------------------------------------------------------------------

    def _methods(self, start_renderer: Callable[[], RendererProcess] | None) -> Iterator[tuple[Method, int | None]]:
        """The methods that can run here, each with the sample count that it is limited to."""
        asked = self.config.method_list
        named = asked or [(n, None) for n in DEFAULT_METHODS if self.subject.shot or n != "online"]
        taken, files = {"reference", *BENCH_METHODS, *self.config.image_folders}, dict[str, str]()
        for name, only in named:
            method = make_method(name, self.config, self.subject.shot, self.subject.variant, start_renderer)
            if isinstance(method, Weights) and name not in BENCH_METHODS:
                while method.name in taken and files.get(method.name) != name:
                    method.name, method.label = f"{method.name}+", f"{method.label}+"
                taken.add(method.name)
                files[method.name] = name
            reason = method.why_not()
            if reason is None:
                yield method, only
            elif not any(s["method"] == name for s in self.skipped):
                self.skipped.append({"method": name, "reason": reason})
                self.emit({"event": "note", "text": f"{name} is left out: {reason}"})
        for name, folder in self.config.image_folders.items():
            method = Images(name, folder)
            for spp in self.subject.counts:
                if method.takes_part(spp, self.subject.counts):
                    yield method, spp

    def _check_inputs_stay(self) -> None:
        """Raise ``InputError`` when ``--overwrite`` would remove what is to be measured."""
        config, out = self.config, self.config.out.resolve()
        files = [name for name, _ in config.method_list or () if name.endswith(".safetensors")]
        patterns = (config.noisy, config.half, config.reference, config.reference_half)
        for place in (*patterns, *config.image_folders.values(), *files):
            path = Path(place or "").resolve()
            first = out / path.relative_to(out).parts[0] if out in path.parents else None
            if config.overwrite and first and (first.is_dir() or first.name == "weights.safetensors"):
                raise InputError(f"{place} lies in --out, which --overwrite empties", "Choose another --out")

    def _at(self, spp: int) -> list[Method]:
        return [method for method, only in self.methods if only in (None, spp) or not spp]

    def _seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.config.repeats)

    def _metric_names(self) -> list[str]:
        try:
            load_evaluator()
        except InputError as error:
            self.emit({"event": "note", "text": f"HDR-FLIP is left out: {error}"})
            return [name for name in METRICS if name != "flip"]
        return list(METRICS)

    # -- cells --------------------------------------------------------------------------------------------------

    def _noisy(self, numbers: list[int], spp: int, seed: int) -> tuple[NoisyFrame, ...]:
        frames: list[NoisyFrame] = []
        errors: dict[int, RendernoiseError] = {}
        for number in numbers:
            try:
                frames.append(self.subject.noisy(number, spp, seed))
            except OutputError:
                raise
            except RendernoiseError as error:
                errors[number] = error
        if not self.scores and not frames:
            raise next(iter(errors.values()))
        for number, error in errors.items():
            self._fail("rendering", spp, seed, number, error)
        return tuple(frames)

    def _cell(self, method: Method, spp: int, seed: int, frames: tuple[NoisyFrame, ...]) -> None:
        """Run one method, or take what an earlier run kept of it."""
        key = f"{method.name}-{spp}spp-seed{seed}"
        record = self.run_dir.work / "cells" / f"{key}.json"
        inputs = [[frame.identity(), self.references[frame.number].identity] for frame in frames]
        if (kept := _kept(record, inputs)) is not None:
            self.scores += kept
        else:
            self._progress(method, spp, 0)
            work = self.run_dir.work / "runs" / key
            for folder in (record.parent, work.parent):
                folder.mkdir(parents=True, exist_ok=True)
            cell = Cell(
                spp,
                seed,
                frames,
                work,
                lambda event: self._inner(method, spp, event),
                self.subject.numbers,
                lambda number: self.subject.noisy(number, spp, seed),
            )
            scores, failed = self._score(method, cell)
            if not failed and len(frames) == len(self.subject.frames):  # whatever else is tried again by --resume
                write_text(record, json.dumps({"inputs": inputs, "scores": [_to_json(s) for s in scores]}))
            self.scores += scores
        self.done += 1
        self._progress(method, spp, 0)

    def _score(self, method: Method, cell: Cell) -> tuple[list[dict[str, Any]], bool]:
        facts = {"scene": self.subject.name, "method": method.name, "spp": cell.spp, "seed": cell.seed}
        scores: list[dict[str, Any]] = []
        failed = False
        start = time.monotonic()
        try:
            for score in self.scorer.rows(method.run(cell), facts):
                if "error" in score:
                    failed = True
                    self._fail(method.name, cell.spp, cell.seed, score["frame"], score["error"])
                    continue
                image = score.pop("_image")
                path = image_path(self.config.out, self.subject.name, method.name, cell.spp, cell.seed, score["frame"])
                path.parent.mkdir(parents=True, exist_ok=True)
                write_layers(path, {"": image}, {"rendernoise.version": __version__, "spp": cell.spp})
                scores.append(score)
        except OutputError:
            raise
        except Exception as error:  # whatever a denoiser does, the others go on
            failed = True
            if not isinstance(error, RendernoiseError) and self.config.debug:
                traceback.print_exc()
            self._fail(method.name, cell.spp, cell.seed, None, error)
        wall_s = round(time.monotonic() - start, 3)
        values = [s["values"].get("trimmed_relmse") for s in scores]
        known = [v for v in values if v is not None]
        mean = sum(known) / len(known) if known else None
        self._log({"event": "scored", **facts, "trimmed_relmse": mean, "frames": len(scores), "wall_s": wall_s})
        return scores, failed

    def _keep_references(self, references: dict[int, ReferenceFrame]) -> None:
        """Beside the methods' images, so that the folder alone is enough to look at them."""
        for number, reference in references.items():
            path = image_path(self.config.out, self.subject.name, "reference", 0, 0, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            layers = {"": reference.radiance}
            if reference.variance is not None:
                layers["variance"] = reference.variance
            write_layers(path, layers, {"rendernoise.version": __version__, "spp": reference.spp, "frame": number})

    def _inner(self, method: Method, spp: int, event: dict[str, Any]) -> None:
        """What goes on within a cell, as progress of the whole."""
        if event["event"] in ("pair", "train") and event.get("steps"):
            self._progress(method, spp, event["step"] / event["steps"])
        elif event["event"] == "note":
            self.emit(event)

    def _log(self, event: dict[str, Any]) -> None:
        """Into ``metrics.jsonl``, and on to the caller."""
        self.run_dir.log(event)
        self.emit(event)

    def _progress(self, method: Method, spp: int, share: float) -> None:
        text = f"{method.name} at {spp} spp" if spp else method.name
        self.emit({"event": "progress", "done": self.done + share, "total": self.cells, "text": text})

    def _fail(self, name: str, spp: int, seed: int, frame: int | None, error: Exception | str) -> None:
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, Exception) and not isinstance(error, RendernoiseError):
            text = f"{type(error).__name__}: {text}"
        entry = {"scene": self.subject.name, "method": name, "spp": spp, "seed": seed, "frame": frame, "error": text}
        self.failures.append(entry)
        self._log({"event": "failed", **entry})


def image_path(out: Path, scene: str, method: str, spp: int, seed: int, frame: int) -> Path:
    """Where an image of a benchmark in ``out`` is kept; ``spp`` and ``seed`` do not matter for ``reference``."""
    folder = out / "images"
    if method == "reference":
        return frame_path(folder / method, scene, frame, "exr")
    return frame_path(folder / f"{spp}spp-seed{seed}" / method, scene, frame, "exr")


def _to_json(score: dict[str, Any]) -> dict[str, Any]:
    return {**score, "seconds": asdict(score["seconds"])}


def _kept(record: Path, inputs: list[Any]) -> list[dict[str, Any]] | None:
    """The scores of a finished cell; None where there are none, or of other images than today's."""
    if not record.exists():
        return None
    found = json.loads(record.read_text())
    if found["inputs"] != inputs:
        shutil.rmtree(record.parents[1] / "runs" / record.stem, ignore_errors=True)
        return None
    return [{**score, "seconds": Seconds(**score["seconds"])} for score in found["scores"]]
