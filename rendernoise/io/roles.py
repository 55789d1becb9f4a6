"""Which channels of an EXR file are the radiance, the albedo, the normal ...

Renderers name the same thing differently. A *layer* is what stands before a channel's last dot
(``ViewLayer.Combined`` in ``ViewLayer.Combined.R``); roles are found by the layer's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rendernoise.errors import InputError
from rendernoise.frame import PLANE_CHANNELS

_RGB, _XYZ = ("R", "G", "B"), ("X", "Y", "Z")
_SINGLE = ("Z", "T", "V", "Y", "R", "D", "DEPTH")

#: Layer names of each role in order of preference: lower case, without spaces, underscores and dashes,
#: and without the view layer before the last dot. ``denoise...`` comes first: it was made for this.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "radiance": (
        "noisyimage",  # Cycles writes it only beside a Combined that it has already denoised.
        "",
        "combined",
        "rgba",
        "rgb",
        "beauty",
        "radiance",
        "ci",  # RenderMan
        "hdr",  # OIDN's examples
        "color",
        "colour",
        "img",  # the nested integrator in Mitsuba's documentation
        "image",
    ),
    "albedo": (
        "denoisealbedo",  # Arnold
        "denoisingalbedo",  # Cycles
        "albedo",
        "albedos",
        "alb",
        "vraydiffusefilter",
        "diffusefilter",
    ),
    "normal": (
        "denoisenormal",
        "denoisingnormal",
        "shnormal",  # Mitsuba's sh_normal
        "normal",
        "normals",
        "vraynormals",
        "n",
        "nn",  # RenderMan
        "nrm",
        "norm",
        "shadingnormal",
        "geonormal",
    ),
    # Cycles' Denoising Depth is averaged over edges: 1.4 % off what Depth says at a pixel's centre.
    "depth": ("denoisedepth", "depth", "denoisingdepth", "z", "zdepth", "vrayzdepth", "dd"),
    "position": ("position", "pos", "p", "worldposition", "vrayworldposition"),
    "roughness": ("roughness", "denoiseroughness"),
    "motion": (
        "motion",
        "vector",  # Cycles
        "motionvector",  # Arnold
        "motionvectors",
        "motionback",  # RenderMan
        "motionbackward",
        "backwardmotion",
        "motionvec",  # MoonRay
        "vrayvelocity",
        "velocity",
        "mv",
        "motionfore",
        "forwardmotion",
    ),
    "motion2": ("motion", "vector", "motionfore", "motionforward", "forwardmotion"),
    "variance": ("variance", "mse"),  # mse: RenderMan
}

#: Part of a layer's name that makes it the role when no exact spelling is there: ``aov_albedo``, ``my.sh_normal2``.
_CONTAINED = {"albedo": "albedo", "normal": "normal"}
_NOT_CONTAINED = re.compile(r"var|mse|err|std|noisy|light")

_NO_LAYER = ("none", "")
#: Views of stereo images, as OpenEXR's ``multiView`` and most renderers name them.
_VIEWS = ("left", "right")

#: Layers of three colours that are no light: data, IDs, estimates, reflectance, and what is denoised already.
_NO_LIGHT = re.compile(
    r"crypto|albedo|normal|position|depth|motion|velocity|noisy|denois|variance|(mse|var|std|stddev|stderr|error)$"
    r"|^(object|obj|material|mat|shape|asset|instance|face|prim)?(id|index(ob|ma)?|mask|matte)s?$"
    r"|^(diff|diffuse|gloss|glossy|trans|transmission|subsurface)(col|color|colour)$"  # Cycles' DiffCol
    r"|^(uvw?|st|ng|tangent|dpdu|dpdv|[pn](ref|world|object|camera)|worldpos|objectpos|barycentrics?)$"
)


@dataclass(frozen=True)
class _Layer:
    """Channels of one prefix, by their upper-case component (``R``, ``X``, ...)."""

    name: str
    channels: Mapping[str, str]

    @property
    def parent(self) -> str:
        return self.name.rpartition(".")[0].lower()

    @property
    def key(self) -> str:
        return re.sub(r"[ _-]", "", self.name.rpartition(".")[2].lower())

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


def _layers(names: Iterable[str]) -> list[_Layer]:
    grouped: dict[str, dict[str, str]] = {}
    for name in names:
        layer, _, component = name.rpartition(".")
        if not layer and component.lower() in ("z", "depth"):
            layer, component = component, "Z"  # Arnold and RenderMan write a bare Z or z
        grouped.setdefault(layer, {}).setdefault(component.upper(), name)
    return [_Layer(name, channels) for name, channels in grouped.items()]


def resolve(channel_names: Iterable[str], overrides: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
    """Plane name to channel names in component order, for every plane that is found.

    Grey images give ``radiance`` one channel. Spelling is matched without regard to case.

    Args:
        channel_names: The channels of the file.
        overrides: Role to layer, channel, or ``a,b,c`` channels; ``none`` leaves the role out.

    Raises:
        InputError: An override names an unknown role, or a layer that is absent or does not fit.
    """
    names = list(dict.fromkeys(channel_names))
    layers = _layers(names)
    given = {role.strip().lower(): value.strip() for role, value in (overrides or {}).items()}
    for role in given:
        if role not in _SPELLINGS:
            raise InputError(f"{role!r} is no role", f"Roles are {', '.join(_SPELLINGS)}")

    found: dict[str, tuple[str, ...]] = {}
    parent = ""
    for role in _SPELLINGS:
        if role in given:
            channels = () if given[role].lower() in _NO_LAYER else _override(role, given[role], names, layers)
        else:
            channels = _find(role, layers, parent)
        if role == "motion2" and role not in given and channels == found.get("motion"):
            channels = ()  # vectors in one direction alone
        if role == "motion2" and role not in given and "motion" not in found:
            channels = ()  # left out by the user
        if channels:
            found[role] = channels
        if role == "radiance" and channels:
            # Features are taken from the radiance's own view layer before those of another.
            parent = channels[0].rpartition(".")[0].rpartition(".")[0].lower()
    if "radiance" not in found and "radiance" not in given:
        taken = {name for channels in found.values() for name in channels}
        alone = [c for c in (_rgb(layer) for layer in layers) if c and not taken.intersection(c)]
        if len(alone) == 1:
            found = {"radiance": alone[0], **found}
    return found


def color_layers(
    channel_names: Iterable[str], resolved: Mapping[str, tuple[str, ...]], ids: Iterable[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Layers of light beside the radiance, which a denoiser may work on: layer name to its R, G and B channels.

    They have R, G and B, no role, and no name that says data. Another beauty of the radiance's own view layer is none.

    Args:
        channel_names: The channels of the file.
        resolved: Its roles, from :func:`resolve`.
        ids: Where names of Cryptomatte layers begin, as the file's header says them.
    """
    taken = {name for channels in resolved.values() for name in channels}
    data = {spelling for role, spellings in _SPELLINGS.items() if role != "radiance" for spelling in spellings}
    begins = tuple(name.lower() for name in ids)
    own = resolved["radiance"][0].rpartition(".")[0].rpartition(".")[0].lower()
    found: dict[str, tuple[str, ...]] = {}
    for layer in _layers(channel_names):
        channels = _rgb(layer)
        beauty = layer.key in _SPELLINGS["radiance"] and layer.parent == own
        named_data = layer.key in data or _NO_LIGHT.search(layer.key) or layer.name.lower().startswith(begins)
        if layer.name and channels and not (beauty or named_data or taken.intersection(channels)):
            found[layer.name] = channels
    return found


def other_beauties(channel_names: Iterable[str], resolved: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Layers of other views and view layers that are named like a beauty: ``right``, ``ViewLayer2.Combined``.

    Args:
        channel_names: The channels of the file.
        resolved: Its roles, from :func:`resolve`.
    """
    own = resolved["radiance"][0].rpartition(".")[0].rpartition(".")[0].lower()
    spellings = ("combined", "rgba", "beauty", *_VIEWS)
    return [
        layer.name
        for layer in _layers(channel_names)
        if layer.key in spellings and _rgb(layer) and not set(_rgb(layer)) & set(resolved["radiance"])
        if layer.parent != own or layer.key in _VIEWS
    ]


def _rgb(layer: _Layer) -> tuple[str, ...]:
    return tuple(layer.channels[c] for c in _RGB) if all(c in layer.channels for c in _RGB) else ()


def _find(role: str, layers: list[_Layer], parent: str) -> tuple[str, ...]:
    spellings = _SPELLINGS[role]
    ranked: list[tuple[int, bool, int, tuple[str, ...]]] = []
    for order, layer in enumerate(layers):
        channels = layer.pick(role)
        if not channels:
            continue
        if layer.key in spellings:
            rank = spellings.index(layer.key)
        elif role in _CONTAINED and _CONTAINED[role] in layer.key and not _NOT_CONTAINED.search(layer.key):
            rank = len(spellings)
        elif role == "depth" and list(layer.channels) == ["T"]:
            rank = len(spellings)  # Mitsuba: depth is .T whatever the user called it
        else:
            continue
        ranked.append((rank, layer.parent != parent, order, channels))
    if role == "radiance":
        return min(ranked)[3] if ranked else ()
    return min(ranked, key=lambda r: (r[1], r[0], r[2]))[3] if ranked else ()


def _override(role: str, value: str, names: list[str], layers: list[_Layer]) -> tuple[str, ...]:
    count = PLANE_CHANNELS[role]
    spelled = {name.lower(): name for name in reversed(names)}
    listed = [part.strip() for part in value.split(",")]
    if all(part.lower() in spelled for part in listed) and len(listed) in (1, count):
        chosen = tuple(part if part in names else spelled[part.lower()] for part in listed)
        if len(chosen) == count or role in ("radiance", "variance", "albedo"):
            return chosen
    matching = [layer for layer in layers if layer.name.lower() == value.lower()]
    matching += [layer for layer in layers if layer.name.rpartition(".")[2].lower() == value.lower()]
    for layer in matching:
        if channels := layer.pick(role):
            return channels
    fitting = [
        layer.name or ",".join(layer.pick(role))
        for layer in layers
        if layer.pick(role) and (count > 1 or len(layer.channels) == 1)
    ]
    why = f"has no {count} channels for it" if matching else "is not in the file"
    raise InputError(f"--role {role}={value}: {value} {why}", f"Candidates: {', '.join(fitting) or 'none'}")


def describe(resolved: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One line per role, such as ``radiance  R G B``, for printing before the first frame."""
    width = max((len(role) for role in resolved), default=0)
    return [f"{role:<{width}}  {' '.join(channels)}" for role, channels in resolved.items()]
