"""The page of ``suite reproduce``: one HTML file with the table and the images beside each other, without a script."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rendernoise.io import atomic
from rendernoise.report.page import digest
from rendernoise.suite.experiments import find_experiment
from rendernoise.suite.table import COLUMNS, check_text, facts, lines, notes

#: How many times larger images can be shown.
ZOOMS = (1, 2, 3, 4)


def write_suite_page(path: Path, results: Mapping[str, Any], images: Path) -> None:
    """Write the self-contained page.

    Args:
        path: The HTML file; its folder is there.
        results: What ``results.json`` holds.
        images: Folder of the PNG files that ``results`` names.

    Raises:
        OutputError: The file cannot be written.
    """
    style = (resources.files("rendernoise.report") / "assets" / "suite.css").read_text(encoding="utf-8")
    style += "".join(
        f"#zoom{z}:checked ~ main .pictures {{ --zoom: {z}; }}\n#zoom{z}:checked ~ header label[for=zoom{z}] "
        "{ background: #d6d6d6; color: #161616; }\n"
        for z in ZOOMS
    )
    policy = f"default-src 'none'; style-src '{digest(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    atomic.write_text(path, "\n".join(_page(results, images, style, policy)) + "\n")


def _page(results: Mapping[str, Any], images: Path, style: str, policy: str) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>rendernoise suite</title>\n<style>{style}</style>\n</head>\n<body>"
    for zoom in ZOOMS:
        yield f'<input type="radio" name="zoom" id="zoom{zoom}"{" checked" if zoom == 2 else ""}>'
    labels = "".join(f'<label for="zoom{z}">{z}×</label>' for z in ZOOMS)
    yield f'<header><h1>The noise suite, reproduced</h1><span class="zooms">Images {labels}</span></header>\n<main>'
    yield _listed((*facts(results), *notes(results)), "facts")
    if results["checks"]:
        yield "<h2>What must come out</h2>"
        yield _listed([check_text(check) for check in results["checks"]], "checks")
    for name in results["experiments"]:
        yield from _experiment(name, results, images)
    yield "</main>\n</body>\n</html>"


def _experiment(name: str, results: Mapping[str, Any], images: Path) -> Iterator[str]:
    experiment = find_experiment(name)
    yield f'<section id="{_text(name)}"><h2>{_text(name)}</h2>'
    yield f'<p class="about">{_text(experiment.about)} ({_text(experiment.source)})</p>'
    yield "<table><thead><tr>" + "".join(f"<th>{_text(c)}</th>" for c in COLUMNS) + "</tr></thead><tbody>"
    for line in lines(results):
        if line.experiment == name:
            yield "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in line.cells) + "</tr>"
    yield "</tbody></table>"
    for original in results["originals"]:
        if original["experiment"] == name:
            yield from _pictures(original, results, images)
    yield "</section>"


def _pictures(original: Mapping[str, Any], results: Mapping[str, Any], images: Path) -> Iterator[str]:
    """One image of a set: clean, noisy, and as every method of the first seed restored it."""
    same = ("experiment", "image_set", "noise")
    rows = [r for r in results["rows"] if all(r[key] == original[key] for key in same)]
    shown = {row["label"]: row["picture"] for row in rows}
    heading = f"{original['image']} ({original['image_set']}), {original['noise']}"
    yield f'<h3>{_text(heading)}</h3><div class="pictures">'
    for label, file in {"clean image": original["clean"], "noisy image": original["noisy"], **shown}.items():
        if (images / file).exists():
            yield _figure(label, (images / file).read_bytes())
    yield "</div>"


def _figure(label: str, png: bytes) -> str:
    # Width and height stand in every PNG's first chunk.
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><div class="frame"><img alt="{_text(label)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{data}"></div><figcaption>{_text(label)}</figcaption></figure>'
    )


def _listed(texts: Sequence[str], kind: str) -> str:
    return f'<ul class="{kind}">' + "".join(f"<li>{_text(text)}</li>" for text in texts) + "</ul>"


def _text(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))
