"""Plot estimated errors against true ones, from results of ``rendernoise bench`` whose methods tell theirs.

    python tools/calibration.py out/*/results.json --out docs/calibration.svg

The same as a table goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

SIDE, MARGIN = 560, 64
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e")
#: Around the diagonal, what counts as near.
BAND = 0.15


def main() -> None:
    """Read, plot, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, help="results.json files")
    parser.add_argument("--out", type=Path, default=Path("docs/calibration.svg"), help="the SVG to write")
    options = parser.parse_args()
    found = [e for path in options.results for e in json.loads(path.read_text())["estimates"]]
    known = [e for e in found if e["estimated_relmse"] and e["relmse"] and e["relmse"] > 0]
    if not known:
        parser.error("no estimates in these results: was online measured?")
    options.out.write_text(plot(known))
    for line in table(known):
        print(line)


def holds(estimate: dict[str, Any]) -> bool:
    """Whether the interval holds the truth."""
    low, high = estimate["interval"]
    return low <= estimate["relmse"] <= high


def table(estimates: list[dict[str, Any]]) -> list[str]:
    """Markdown: of each scene, how estimates and truths compare."""
    lines = [
        "| scene | frames | estimated / true | within 15 % | interval holds it |",
        "| --- | --- | --- | --- | --- |",
    ]
    scenes = list(dict.fromkeys(e["scene"] for e in estimates))
    for name in (*scenes, ""):
        mine = [e for e in estimates if e["scene"] == name or not name]
        ratios = [e["estimated_relmse"] / e["relmse"] for e in mine]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        near = sum(abs(ratio - 1) <= BAND for ratio in ratios)
        inside = sum(map(holds, mine))
        lines.append(
            f"| {name or 'all'} | {len(mine)} | {mean:.2f} | {near} of {len(mine)} | {inside} of {len(mine)} |"
        )
    return lines


def plot(estimates: list[dict[str, Any]]) -> str:
    """An SVG: true relMSE to the right, estimates with their intervals upwards, both logarithmic."""
    values = [v for e in estimates for v in (e["relmse"], *e["interval"])]
    low, high = math.floor(math.log10(min(values)) * 2) / 2, math.ceil(math.log10(max(values)) * 2) / 2
    scenes = list(dict.fromkeys(e["scene"] for e in estimates))

    def x(value: float) -> float:
        return MARGIN + (SIDE - 2 * MARGIN) * (math.log10(value) - low) / (high - low)

    def y(value: float) -> float:
        return SIDE - x(value)

    least, most = 10**low, 10**high
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" font-family="sans-serif" font-size="13">',
        f'<rect width="{SIDE}" height="{SIDE}" fill="white"/>',
        f'<path d="M{x(least):.1f} {y(least):.1f}L{x(most):.1f} {y(most):.1f}" stroke="#888"/>',
    ]
    for exponent in range(math.ceil(low), math.floor(high) + 1):
        at = 10.0**exponent
        parts += [
            f'<path d="M{x(at):.1f} {y(least):.1f}V{y(most):.1f}" stroke="#ddd"/>',
            f'<path d="M{x(least):.1f} {y(at):.1f}H{x(most):.1f}" stroke="#ddd"/>',
            f'<text x="{x(at):.1f}" y="{y(least) + 18:.1f}" text-anchor="middle">{at:g}</text>',
            f'<text x="{x(least) - 6:.1f}" y="{y(at) + 4:.1f}" text-anchor="end">{at:g}</text>',
        ]
    for e in estimates:
        colour = COLOURS[scenes.index(e["scene"]) % len(COLOURS)]
        bottom, top = e["interval"]
        parts += [
            f'<path d="M{x(e["relmse"]):.1f} {y(bottom):.1f}V{y(top):.1f}" stroke="{colour}" opacity="0.5"/>',
            f'<circle cx="{x(e["relmse"]):.1f}" cy="{y(e["estimated_relmse"]):.1f}" r="4" fill="{colour}"/>',
        ]
    for index, name in enumerate(scenes):
        top = MARGIN + 8 + 18 * index
        parts += [
            f'<circle cx="{MARGIN + 12}" cy="{top}" r="4" fill="{COLOURS[index % len(COLOURS)]}"/>',
            f'<text x="{MARGIN + 22}" y="{top + 4}">{name}</text>',
        ]
    middle = SIDE / 2
    parts += [
        f'<text x="{middle}" y="{SIDE - 16}" text-anchor="middle">true relMSE</text>',
        f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">estimated, 95 % interval</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
