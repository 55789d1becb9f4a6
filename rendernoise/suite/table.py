"""The table of ``suite reproduce``: ours, the papers', the difference; and whether what must come out did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from rendernoise.suite.baselines import BASELINES
from rendernoise.suite.experiments import Check, find_experiment
from rendernoise.suite.paper import figures_of

COLUMNS = ("method", "images", "PSNR, dB", "noisy, dB", "paper, dB", "difference", "seeds", "steps", "seconds")


@dataclass(frozen=True)
class Line:
    """One line of the table: a method on a set of images, over the seeds.

    Args:
        experiment: Its name.
        cells: As in :data:`COLUMNS`.
    """

    experiment: str
    cells: tuple[str, ...]


def lines(results: Mapping[str, Any]) -> list[Line]:
    """All lines, in the order in which the rows were measured."""
    keys = list(dict.fromkeys((r["experiment"], r["image_set"], r["label"]) for r in results["rows"]))
    keys.sort(key=lambda key: list(results["experiments"]).index(key[0]))
    found = [_line(_rows(results, *key)) for key in keys]
    return found + [
        Line(left["experiment"], (left["label"], "", left["reason"], *[""] * (len(COLUMNS) - 3)))
        for left in results["left_out"]
    ]


def _rows(results: Mapping[str, Any], experiment: str, image_set: str, label: str) -> list[dict[str, Any]]:
    wanted = (experiment, image_set, label)
    return [r for r in results["rows"] if (r["experiment"], r["image_set"], r["label"]) == wanted]


def _line(rows: Sequence[Mapping[str, Any]]) -> Line:
    first = rows[0]
    values = [r["psnr_db"] for r in rows]
    paper = first["paper_psnr_db"]
    trained = first["steps"] > 0
    return Line(
        first["experiment"],
        (
            first["label"],
            f"{first['image_set']}, {first['images']}",
            f"{mean(values):.2f}{spread(values)}",
            f"{first['noisy_psnr_db']:.2f}",
            _elsewhere(first) if paper is None else f"{paper:.2f}",
            "" if paper is None else f"{mean(values) - paper:+.2f}",
            str(len(values)) if trained else "",
            str(first["steps"]) if trained else "",
            f"{mean(r['wall_s'] for r in rows):.0f}",
        ),
    )


def spread(values: Sequence[float]) -> str:
    """The standard deviation over seeds, as `` ± 0.01``; nothing of one value."""
    return f" ± {stdev(values):.2f}" if len(values) > 1 else ""


def _elsewhere(row: Mapping[str, Any]) -> str:
    """A figure of the papers on other images, with their name."""
    return ", ".join(f"{r.psnr_db:.2f} ({r.image_set})" for r in figures_of(row)[:1])


def checks(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each check of each experiment and set of images, with what came out.

    Yields:
        ``experiment``, ``image_set``, ``text``, ``kind``, ``bound_db``, ``difference_db`` (mean over seeds),
        ``spread_db`` (standard deviation; None of one seed), ``seeds``, ``holds``, and ``trained``: whether one of both
        is better than the noisy images, without which a small difference says nothing.
    """
    for name in results["experiments"]:
        sets = dict.fromkeys(r["image_set"] for r in results["rows"] if r["experiment"] == name)
        for image_set in sets:
            for check in find_experiment(name).checks:
                if found := _checked(results, name, image_set, check):
                    yield found


def _checked(results: Mapping[str, Any], name: str, image_set: str, check: Check) -> dict[str, Any] | None:
    first, second = (
        {r["seed"]: r["psnr_db"] for r in _rows(results, name, image_set, label)}
        for label in (check.first, check.second)
    )
    noisy_db = max(
        (r["noisy_psnr_db"] for label in (check.first, check.second) for r in _rows(results, name, image_set, label)),
        default=0.0,
    )
    # Pairs of one seed saw the same crops and the same noise.
    differences = [first[seed] - second[seed] for seed in first if seed in second]
    if not differences:
        return None
    return {
        "experiment": name,
        "image_set": image_set,
        "text": check.text,
        "kind": check.kind,
        "bound_db": check.bound_db,
        "difference_db": round(mean(differences), 4),
        "spread_db": round(stdev(differences), 4) if len(differences) > 1 else None,
        "seeds": len(differences),
        "holds": check.holds(mean(differences)),
        "trained": max(mean(first.values()), mean(second.values())) > noisy_db,
    }


def check_text(check: Mapping[str, Any]) -> str:
    """A check as one line."""
    about = "" if check["spread_db"] is None else f" ± {check['spread_db']:.2f}"
    bound = f"|…| ≤ {check['bound_db']:g}" if check["kind"] == "within" else f"≥ {check['bound_db']:g}"
    verdict = "holds" if check["holds"] else "does not hold"
    if not check["trained"]:
        verdict += ", but neither is better than the noisy images yet"
    return (
        f"{check['experiment']}, {check['image_set']}: {check['text']} = {check['difference_db']:+.2f}{about} dB "
        f"({bound} dB: {verdict})"
    )


def facts(results: Mapping[str, Any]) -> list[str]:
    """What the figures hold for, one sentence each; no claim goes beyond them."""
    machine, limits, size, versions = (results[key] for key in ("machine", "limits", "test_size", "versions"))
    most = f"of at most {limits['crop_px']} px, {limits['batch']} in a step"
    crop = most if limits["crop_px"] else "as in the papers"
    part = f"at most {size['images']} images of each set, the middle {size['side_px']} px of each"
    seeds = "one seed" if len(results["seeds"]) == 1 else f"{len(results['seeds'])} seeds"
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    made_by = f"rendernoise {versions['rendernoise']} {results['commit'] or ''}".rstrip()
    return [
        f"Budget {results['budget']}, {results['wall_s']:.0f} s in all; {seeds}, "
        f"{results['optimizer'].capitalize()}, crops {crop}; tested on "
        f"{part if size['images'] else 'all images, whole'}.",
        *(f"Images: {text}." for text in results["material"]),
        "± is the standard deviation over seeds, which draw weights, crops and training noise; the test's noise is the "
        "same for all. Seconds are of one training with its test.",
        "PSNR with a data range of 1, mean over images, nothing clipped. A paper's figure is named with its images "
        "where they are not ours; then there is no difference to tell."
        + (" Theirs are of whole sets." if size["images"] else ""),
        f"{machine['cpu']}, {machine['cores']} cores{gpu}; {made_by}, torch {versions['torch']}. "
        "No claim goes beyond these.",
    ]


def notes(results: Mapping[str, Any]) -> list[str]:
    """What must be known of the baselines that took part."""
    taken = dict.fromkeys(r["target"] for r in results["rows"] if r["target"] in BASELINES)
    return [f"{BASELINES[name].label}: {BASELINES[name].note}." for name in taken if BASELINES[name].note]


def markdown(results: Mapping[str, Any]) -> str:
    """The whole table as Markdown."""
    parts = ["# The noise suite, reproduced", "", *(f"- {text}" for text in (*facts(results), *notes(results))), ""]
    every = lines(results)
    for name in results["experiments"]:
        experiment = find_experiment(name)
        parts += [f"## {name}", "", f"{experiment.about[:1].upper()}{experiment.about[1:]} ({experiment.source}).", ""]
        parts += [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
        parts += [_row(line.cells) for line in every if line.experiment == name]
        parts += [""]
    found = results["checks"]
    parts += ["## What must come out", "", *(f"- {check_text(check)}" for check in found), ""] if found else []
    return "\n".join(parts)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
