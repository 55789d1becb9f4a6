"""The layers of an EXR file, as its channels' names tell them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rendernoise.frame import PLANE_CHANNELS

_RGB, _XYZ = ("R", "G", "B"), ("X", "Y", "Z")
_SINGLE = ("Z", "T", "V", "Y", "R", "D", "DEPTH")

#: Views of stereo images, as OpenEXR's ``multiView`` and most renderers name them, the default one first.
VIEWS = ("left", "right")

#: A view layer and a view, in lower case; both may be empty.
Scope = tuple[str, str]


@dataclass(frozen=True)
class Layer:
    """Channels of one prefix, by their upper-case component (``R``, ``X``, ...)."""

    name: str
    channels: Mapping[str, str]

    @property
    def view(self) -> str:
        """``right`` of ``albedo.right``, which is how OpenEXR names layers of a view; empty in the default view."""
        last = last_name(self.name)
        return last if last in VIEWS else ""

    @property
    def stem(self) -> str:
        """The name without the view."""
        return self.name.rpartition(".")[0] if self.view else self.name

    @property
    def scope(self) -> Scope:
        """The view layer and the view, in lower case."""
        return self.stem.rpartition(".")[0].lower(), self.view

    @property
    def key(self) -> str:
        """What is behind the view layer, in lower case without spaces, underscores and dashes."""
        return re.sub(r"[ _-]", "", last_name(self.stem))

    @property
    def rgb(self) -> tuple[str, ...]:
        """Channel names of R, G and B; empty where one of them is not there."""
        return tuple(self.channels[c] for c in _RGB) if all(c in self.channels for c in _RGB) else ()

    def pick(self, role: str) -> tuple[str, ...]:
        """Channel names of this layer in the role's order; empty when they do not fit."""
        wanted = {1: (), 2: (("X", "Y"), ("U", "V"), ("R", "G")), 3: (_RGB, _XYZ)}[PLANE_CHANNELS[role]]
        if role == "motion2" and self.key in ("motion", "vector"):
            wanted = (("Z", "W"), ("B", "A"))  # a second pair of vectors in the same layer
        for components in wanted:
            if all(c in self.channels for c in components):
                return tuple(self.channels[c] for c in components)
        if role in ("depth", "roughness"):
            return next(((self.channels[c],) for c in _SINGLE if c in self.channels), ())
        if role in ("radiance", "variance") and "Y" in self.channels:
            return (self.channels["Y"],)
        return ()


def layers_of(names: Iterable[str]) -> list[Layer]:
    """The layers of channels, in the order of their first channels."""
    grouped: dict[str, dict[str, str]] = {}
    for name in names:
        layer, _, component = name.rpartition(".")
        if not layer and component.lower() in ("z", "depth"):
            layer, component = component, "Z"  # Arnold and RenderMan write a bare Z or z
        grouped.setdefault(layer, {}).setdefault(component.upper(), name)
    return [Layer(name, channels) for name, channels in grouped.items()]


def scope_of(channels: Sequence[str]) -> Scope:
    """The view layer and view in which channels of one layer stand."""
    return layers_of(channels[:1])[0].scope if channels else ("", "")


def scope_name(channels: Sequence[str]) -> str:
    """The view layer and view in which channels stand, with a name of one's own between them where a layer has its.

    ``ViewLayer.{}`` of ``ViewLayer.Combined.R``, ``{}.right`` of ``right.R``, ``{}`` of ``R``.
    """
    (layer,) = layers_of(channels[:1])
    return ".".join(filter(None, (layer.stem.rpartition(".")[0], "{}", layer.name[len(layer.stem) :].strip("."))))


def last_name(name: str) -> str:
    """What stands behind the last dot, in lower case."""
    return name.rpartition(".")[2].lower()
