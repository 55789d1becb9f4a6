"""The self-contained page of a benchmark: one HTML file that opens from disk, with no network and no library."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rendernoise.io import atomic
from rendernoise.report.selection import PageImage, Selection, select

__all__ = ["PageImage", "write_page"]

#: In the order in which the browser reads them; they share one scope.
SCRIPTS = (
    "dom.js",
    "colors.js",
    "data.js",
    "pixels.js",
    "state.js",
    "overview.js",
    "table.js",
    "stage.js",
    "pointer.js",
    "controls.js",
    "crops.js",
    "curves.js",
    "keys.js",
    "main.js",
)


def write_page(
    path: Path, results: Mapping[str, Any], images: Sequence[PageImage], *, limit_mib: float = 38.0
) -> list[str]:
    """Write the self-contained page of a benchmark.

    Rows are never left out. Where the images do not fit, a spread of frames at each scene's middle spp is kept first,
    then the other spp; where not even one frame fits, it is scaled down.

    Args:
        path: The HTML file; its folder is there.
        results: What ``results.json`` holds, schema 1.
        images: What can be looked at, those of the first seed.
        limit_mib: Largest size of the file, MiB.

    Returns:
        Notes that the page shows too: which images were left out, scaled, or could not be read.

    Raises:
        OutputError: The file cannot be written.
    """
    empty = _assemble(results, Selection())
    selection = select(images, int(limit_mib * 2**20) - len(empty.encode()) - 4096)
    atomic.write_text(path, _assemble(results, selection))
    return list(selection.notes)


def _assemble(results: Mapping[str, Any], selection: Selection) -> str:
    style = _asset("style.css")
    script = "(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in SCRIPTS) + "\n})();\n"
    scenes = ", ".join(str(s) for s in results.get("scenes") or [])
    parts = {
        "title": _writable(html.escape(f"rendernoise bench: {scenes}" if scenes else "rendernoise bench")),
        "policy": (
            f"default-src 'none'; script-src '{digest(script)}'; style-src '{digest(style)}'; "
            "img-src data: blob:; base-uri 'none'; form-action 'none'"
        ),
        "style": style,
        "script": script,
        "data": _json({"results": results, "page": selection.to_json()}),
        "images": "\n".join(
            f'<script type="application/octet-stream" id="i{n}">{encoded.text}</script>'
            for n, (_, encoded) in enumerate(selection.images)
        ),
    }
    # One pass over the template alone: text of the results that looks like a placeholder stays text.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("template.html"))


def _asset(name: str) -> str:
    return (resources.files("rendernoise.report") / "assets" / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """The source expression that lets a page run exactly this inline text (Content Security Policy, level 2)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _json(value: Any) -> str:
    """JSON that can stand in a script element: no ``<`` can end it, and what JSON cannot say is null."""
    text = _writable(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _writable(text: str) -> str:
    """Text without lone surrogates, which come from file names that are not UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
