"""Which images a page carries: all that fit, and when they do not, the most telling ones first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from rendernoise.color import auto_exposure
from rendernoise.errors import RendernoiseError
from rendernoise.frame import Plane
from rendernoise.report.encoding import Encoded, downscaled, encode

REFERENCE = "reference"
#: Text around an image's data: its element and its entry in the list of images.
_OVERHEAD_BYTES = 400
_SMALLEST_SIDE_PX = 8
#: A typical luminance of 0.18 after exposure, the middle grey of displays; ``auto_exposure`` brings it to 0.5.
_DISPLAY_MIDDLE = 0.36


@dataclass(frozen=True)
class PageImage:
    """One image that the page may carry.

    Args:
        scene: Scene.
        frame: Frame number.
        spp: Samples per pixel of the frame; 0 for references, and where unknown.
        method: Method, or ``"reference"``.
        load: Reads scene-linear radiance, float32 ``[3, H, W]``; called when needed, one at a time.
    """

    scene: str
    frame: int
    spp: int
    method: str
    load: Callable[[], Plane]


@dataclass
class Selection:
    """The images of a page, in the order in which they were taken.

    Args:
        images: Each with its encoding.
        factors: Box side in px by which the images of a scene were scaled down; 1 for whole ones.
        auto_ev: Exposure in EV that suits a scene's display, one for all its images.
        notes: What was left out, scaled or not read.
    """

    images: list[tuple[PageImage, Encoded]] = field(default_factory=list)
    factors: dict[str, int] = field(default_factory=dict)
    auto_ev: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The list of images as the page reads it; their data stands elsewhere under their ``id``."""
        entries = [
            {"id": f"i{n}", "scene": i.scene, "frame": i.frame, "spp": i.spp, "method": i.method, **e.to_json()}
            for n, (i, e) in enumerate(self.images)
        ]
        return {"images": entries, "factors": self.factors, "auto_ev": self.auto_ev, "notes": self.notes}


@dataclass(frozen=True)
class _Unit:
    """What is looked at together: all methods of a frame at one spp, with its reference."""

    scene: str
    frame: int
    spp: int
    images: tuple[PageImage, ...]


def select(images: Sequence[PageImage], budget_bytes: int) -> Selection:
    """Encode the images that fit into ``budget_bytes`` of text.

    Each scene gets one frame at its middle spp first, scaled down if it must be; then come more frames at that spp,
    spread over the shot; then the other spp. An image that cannot be read is left out with a note.
    """
    selection, used, full = Selection(), 0, set[str]()
    units = list(_in_order(images))
    scenes = list(dict.fromkeys(unit.scene for unit in units))
    taken: set[PageImage] = set()
    for unit in units:
        if unit.scene in full:
            continue
        new = tuple(image for image in unit.images if image not in taken)
        if unit.scene not in selection.factors:
            share = (budget_bytes - used) // (len(scenes) - len(selection.factors))
            encoded = _first(selection, unit.scene, new, share)
        else:
            encoded = _encoded(selection, new, selection.factors[unit.scene], budget_bytes - used)
            if used + _size(encoded) > budget_bytes:
                encoded = None
        if encoded is None:
            full.add(unit.scene)
            continue
        selection.images += encoded
        taken.update(new)
        used += _size(encoded)
    _note_what_is_missing(selection, units, taken, budget_bytes)
    return selection


def _first(
    selection: Selection, scene: str, images: tuple[PageImage, ...], share_bytes: int
) -> list[tuple[PageImage, Encoded]] | None:
    """The first images of a scene, scaled until they fit; they fix the scene's factor and exposure."""
    factor = 1
    while True:
        # A second reading of the same files would repeat the notes on those that cannot be read.
        notes = len(selection.notes)
        encoded = _encoded(selection, images, factor, share_bytes)
        size = _size(encoded)
        if size <= share_bytes:
            break
        del selection.notes[notes:]
        smallest = min((min(e.width, e.height) for _, e in encoded), default=0)
        if smallest <= _SMALLEST_SIDE_PX or share_bytes <= 0:
            selection.factors[scene] = 0
            return None
        # Those that were read tell how large all of them would be.
        expected = size * len(images) / len(encoded)
        factor = max(factor + 1, min(math.ceil(factor * math.sqrt(expected / share_bytes)), factor * smallest))
    selection.factors[scene] = factor
    return encoded


def _encoded(
    selection: Selection, images: Sequence[PageImage], factor: int, limit_bytes: int
) -> list[tuple[PageImage, Encoded]]:
    """The images that can be read; it ends early once they are larger than the limit, as then none is used."""
    encoded: list[tuple[PageImage, Encoded]] = []
    # The reference comes first: the exposure of the scene is taken from it, or else from the first method.
    for image in sorted(images, key=lambda i: i.method != REFERENCE):
        try:
            radiance = image.load()
        except (RendernoiseError, OSError) as error:
            selection.notes.append(f"{_name(image)} could not be read: {' '.join(str(error).split())}")
            continue
        radiance = downscaled(radiance, factor)
        if image.scene not in selection.auto_ev:
            selection.auto_ev[image.scene] = round(float(np.log2(auto_exposure(radiance) * _DISPLAY_MIDDLE)), 1)
        encoded.append((image, encode(radiance)))
        if _size(encoded) > limit_bytes:
            break
    return encoded


def _size(encoded: Sequence[tuple[PageImage, Encoded]]) -> int:
    return sum(len(e.text) + _OVERHEAD_BYTES + 6 * len(i.scene + i.method) for i, e in encoded)


def _name(image: PageImage) -> str:
    spp = f" at {image.spp} spp" if image.spp else ""
    return f"{image.scene} frame {image.frame}{spp}: the image of {image.method}"


def _in_order(images: Sequence[PageImage]) -> Iterator[_Unit]:
    """All units, most telling first, the scenes in turn."""
    by_scene: dict[str, list[PageImage]] = {}
    for image in images:
        by_scene.setdefault(image.scene, []).append(image)
    per_scene = [_scene_units(scene, of_scene) for scene, of_scene in by_scene.items()]
    for phase in range(2):
        for turn in zip_longest(*(units[phase] for units in per_scene)):
            yield from (unit for unit in turn if unit is not None)


def _scene_units(scene: str, images: list[PageImage]) -> tuple[list[_Unit], list[_Unit]]:
    """The units of a scene at the middle spp, and those at the others."""
    # References, and images of unknown spp, belong to every spp of their frame.
    shared = [i for i in images if i.method == REFERENCE or i.spp == 0]
    known = [i for i in images if i.method != REFERENCE and i.spp != 0]
    steps = outward(sorted({i.spp for i in known})) or [0]
    frames = spread(sorted({i.frame for i in images}))

    def unit(frame: int, spp: int) -> _Unit:
        belongs = [i for i in shared if i.frame == frame] + [i for i in known if (i.frame, i.spp) == (frame, spp)]
        return _Unit(scene, frame, spp, tuple(belongs))

    present = {(i.frame, i.spp) for i in known}
    middle = [unit(frame, steps[0]) for frame in frames]
    return middle, [unit(frame, spp) for frame in frames for spp in steps[1:] if (frame, spp) in present]


def outward(values: Sequence[int]) -> list[int]:
    """Sorted values from the middle outward, the lower neighbour first."""
    middle = (len(values) - 1) // 2
    return [values[i] for i in sorted(range(len(values)), key=lambda i: (abs(i - middle), i))]


def spread(values: Sequence[int]) -> list[int]:
    """Sorted values so that each leading part covers the range well: the middle, then whatever is farthest."""
    if not values:
        return []
    order = [values[(len(values) - 1) // 2]]
    distance = {v: abs(v - order[0]) for v in values if v != order[0]}
    while distance:
        farthest = max(distance, key=lambda v: distance[v])
        del distance[farthest]
        order.append(farthest)
        distance = {v: min(d, abs(v - farthest)) for v, d in distance.items()}
    return order


def _note_what_is_missing(
    selection: Selection, units: Sequence[_Unit], taken: set[PageImage], budget_bytes: int
) -> None:
    limit = f"to keep the page within its limit ({budget_bytes / 2**20:.1f} MiB are left for images)"
    for scene, factor in selection.factors.items():
        of_scene = {image for unit in units if unit.scene == scene for image in unit.images}
        left_out = of_scene - taken
        if not of_scene & taken:
            selection.notes.append(f"{scene}: all {len(of_scene)} images were left out {limit}")
        elif left_out:
            groups: dict[int, set[int]] = {}
            for image in left_out:
                groups.setdefault(-1 if image.method == REFERENCE else image.spp, set()).add(image.frame)
            names = {-1: "references", 0: "unknown spp"}
            parts = [
                f"{names.get(spp, f'{spp} spp')}: frame{'s' * (len(frames) > 1)} {_ranges(sorted(frames))}"
                for spp, frames in sorted(groups.items())
            ]
            selection.notes.append(
                f"{scene}: {len(left_out)} of {len(of_scene)} images were left out {limit}: {'; '.join(parts)}"
            )
        if factor > 1:
            selection.notes.append(
                f"{scene}: its images stand here at 1/{factor} of their width and height, as means of "
                f"{factor}×{factor} px, {limit}; all figures are of the whole images"
            )


def _ranges(numbers: Sequence[int]) -> str:
    """``[1, 2, 3, 7]`` as ``1-3, 7``."""
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][-1] + 1:
            parts[-1].append(n)
        else:
            parts.append([n])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
