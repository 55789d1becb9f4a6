"""Which channels of an EXR file are the radiance, the albedo, the normal ...

Renderers name the same thing differently. A *layer* is what stands before a channel's last dot
(``ViewLayer.Combined`` in ``ViewLayer.Combined.R``); roles are found by the layer's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from rendernoise.errors import InputError
from rendernoise.frame import PLANE_CHANNELS
from rendernoise.io.channel_layers import VIEWS, Layer, Scope, last_name, layers_of, scope_of

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
#: Names that mean a beauty in a view layer of its own; the others mean many things there. An image has none.
_SURE_BEAUTIES = ("noisyimage", "combined", "rgba", "beauty")
#: Layers that are made of the other ones: a file's only picture, and what Blender's compositor made.
_WHOLE = ("", "composite")

#: Layers of three colours that are no light: data, IDs, estimates, reflectance, and what is denoised already.
_NO_LIGHT = re.compile(
    r"crypto|albedo|normal|position|depth|motion|velocity|noisy|denois|variance|(mse|var|std|stddev|stderr|error)$"
    r"|^(object|obj|material|mat|shape|asset|instance|face|prim)?(id|index(ob|ma)?|mask|matte)s?$"
    r"|^(diff|diffuse|gloss|glossy|trans|transmission|subsurface)(col|color|colour)$"  # Cycles' DiffCol
    r"|^(uvw?|st|ng|tangent|dpdu|dpdv|[pn](ref|world|object|camera)|worldpos|objectpos|barycentrics?)$"
)

#: Cycles' light without the colour of what scatters it, DiffDir or Diffuse Direct; and what is noisy but no light.
_DIVIDED = re.compile(r"^(diff|diffuse|gloss|glossy|trans|transmission|subsurface)(dir|direct|ind|indirect)$")
_NO_SHARES = ("ao", "ambientocclusion", "shadow", "shadows", "shadowcatcher")


def resolve(
    channel_names: Iterable[str], overrides: Mapping[str, str] | None = None, beauty: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Plane name to channel names in component order, for every plane that is found.

    Grey images give ``radiance`` one channel. Spelling is matched without regard to case. Features come from the
    radiance's own view layer and view, or else from where no other beauty has its features.

    Args:
        channel_names: The channels of the file.
        overrides: Role to layer, channel, or ``a,b,c`` channels; ``none`` leaves the role out.
        beauty: The radiance's layer, instead of an override; what overrides name in another beauty's view layer or
            view is then not taken.

    Raises:
        InputError: An override names an unknown role, or a layer that is absent or does not fit.
    """
    names = list(dict.fromkeys(channel_names))
    layers = layers_of(names)
    given = {role.strip().lower(): value.strip() for role, value in (overrides or {}).items()}
    given |= {"radiance": beauty} if beauty else {}
    for role in given:
        if role not in _SPELLINGS:
            raise InputError(f"{role!r} is no role", f"Roles are {', '.join(_SPELLINGS)}")

    found: dict[str, tuple[str, ...]] = {}
    home: Scope = ("", "")
    owned = {layer.scope for layer in layers if _is_beauty(layer)}
    for role in _SPELLINGS:
        if role == "radiance" and role not in given:
            channels = _find_radiance(layers)
        elif role not in given:
            channels = _find(role, layers, home, owned)
        elif given[role].lower() in _NO_LAYER:
            channels = ()
        else:
            exactly = [layer for layer in layers if layer.name == beauty] if beauty and role == "radiance" else layers
            channels = _override(role, given[role], names, exactly, home)
            if beauty and role != "radiance" and not _may_use(home, scope_of(channels), owned):
                channels = _find(role, layers, home, owned)
        if role == "motion2" and role not in given and channels == found.get("motion"):
            channels = ()  # vectors in one direction alone
        if role == "motion2" and role not in given and "motion" not in found:
            channels = ()  # left out by the user
        if channels:
            found[role] = channels
        if role == "radiance" and channels:
            home = scope_of(channels)
    if "radiance" not in found and "radiance" not in given:
        taken = {name for channels in found.values() for name in channels}
        alone = [c for c in (layer.rgb for layer in layers) if c and not taken.intersection(c)]
        if len(alone) == 1:
            found = {"radiance": alone[0], **found}
    return found


def color_layers(
    channel_names: Iterable[str], beauties: Sequence[Mapping[str, tuple[str, ...]]], ids: Iterable[str] = ()
) -> list[dict[str, tuple[str, ...]]]:
    """Layers of light beside the radiance, which a denoiser may work on: layer name to its R, G and B channels.

    They have R, G and B, no role, and no name that says data. Another beauty of a radiance's own view layer is none.

    Args:
        channel_names: The channels of the file.
        beauties: Roles from :func:`resolve`, for each beauty that is denoised.
        ids: Where names of Cryptomatte layers begin, as the file's header says them.

    Returns:
        The layers of each beauty: those in its own view layer and view; the first one has all that stand elsewhere.
    """
    taken = {name for resolved in beauties for channels in resolved.values() for name in channels}
    data = {spelling for role, spellings in _SPELLINGS.items() if role != "radiance" for spelling in spellings}
    begins = tuple(name.lower() for name in ids)
    homes = [scope_of(resolved["radiance"]) for resolved in beauties]
    found: list[dict[str, tuple[str, ...]]] = [{} for _ in beauties]
    for layer in layers_of(channel_names):
        channels = layer.rgb
        beauty = layer.key in _SPELLINGS["radiance"] and layer.scope in homes
        named_data = layer.key in data or _NO_LIGHT.search(layer.key) or layer.name.lower().startswith(begins)
        if layer.name and channels and not (beauty or named_data or taken.intersection(channels)):
            found[homes.index(layer.scope) if layer.scope in homes else 0][layer.name] = channels
    return found


def color_pass(channel_names: Iterable[str], layer: str) -> tuple[str, ...]:
    """The R, G and B that a layer of Cycles must be multiplied by to be light; empty where there are none.

    Diffuse, glossy and transmitted light are kept divided by the mean colour of what scatters it, so that
    Combined = Diffuse Color · (Diffuse Direct + Diffuse Indirect) + ... + Emission + Environment.

    Args:
        channel_names: The channels of the file.
        layer: Name of the layer.
    """
    layers = layers_of(channel_names)
    own = next(each for each in layers if each.name == layer)
    kind = _DIVIDED.match(own.key)
    keys = (f"{kind[1]}col", f"{kind[1]}color") if kind else ()
    return next((each.rgb for each in layers if each.key in keys and each.scope == own.scope), ())


def is_share(layer: str) -> bool:
    """Whether a layer may be a share of the beauty by its name; how much sky or shadow is seen is none."""
    return layers_of([f"{layer}.R"])[0].key not in _NO_SHARES


def other_beauties(channel_names: Iterable[str], resolved: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Layers of other views and view layers that are a beauty, one of each: ``right``, ``ViewLayer2.Combined``.

    Args:
        channel_names: The channels of the file.
        resolved: Its roles, from :func:`resolve`.
    """
    home = scope_of(resolved["radiance"])
    found: dict[Scope, Layer] = {}
    for layer in layers_of(channel_names):
        if layer.name and layer.scope != home and _is_beauty(layer):
            other = found.setdefault(layer.scope, layer)
            found[layer.scope] = min(other, layer, key=lambda each: _SPELLINGS["radiance"].index(each.key))
    return [layer.name for layer in found.values() if not set(layer.pick("radiance")) & set(resolved["radiance"])]


def _is_beauty(layer: Layer) -> bool:
    """Whether a layer is the beauty of its view layer and view beyond doubt."""
    sure = layer.key in _SURE_BEAUTIES or (layer.stem == "" and layer.key == "")
    return sure and bool(layer.pick("radiance"))


def _may_use(home: Scope, scope: Scope, owned: set[Scope]) -> bool:
    """Whether a beauty's features may come from a view layer and view, where some have a beauty of their own.

    Another view looks from elsewhere, so its features never fit. Another view layer shows other things.
    """
    if scope == home:
        return True
    if scope[1] != home[1]:
        return not (scope[1] and home[1]) and scope not in owned
    return scope not in owned or scope[0] == "" or home[0] in _WHOLE


def _find_radiance(layers: list[Layer]) -> tuple[str, ...]:
    spellings, views = _SPELLINGS["radiance"], ("", *VIEWS)
    ranked = [
        (views.index(layer.view), spellings.index(layer.key), layer.scope[0] not in _WHOLE, order, channels)
        for order, layer in enumerate(layers)
        if layer.key in spellings and (channels := layer.pick("radiance"))
    ]
    return min(ranked)[-1] if ranked else ()


def _find(role: str, layers: list[Layer], home: Scope, owned: set[Scope]) -> tuple[str, ...]:
    spellings = _SPELLINGS[role]
    ranked: list[tuple[int, int, int, tuple[str, ...]]] = []
    for order, layer in enumerate(layers):
        channels = layer.pick(role)
        if not channels or not _may_use(home, layer.scope, owned):
            continue
        if layer.key in spellings:
            rank = spellings.index(layer.key)
        elif role in _CONTAINED and _CONTAINED[role] in layer.key and not _NOT_CONTAINED.search(layer.key):
            rank = len(spellings)
        elif role == "depth" and list(layer.channels) == ["T"]:
            rank = len(spellings)  # Mitsuba: depth is .T whatever the user called it
        else:
            continue
        # The radiance's own view layer and view come before all spellings.
        apart = sum(a != b for a, b in zip(layer.scope, home, strict=True))
        ranked.append((apart, rank, order, channels))
    return min(ranked)[-1] if ranked else ()


def _override(role: str, value: str, names: list[str], layers: list[Layer], home: Scope) -> tuple[str, ...]:
    count = PLANE_CHANNELS[role]
    spelled = {name.lower(): name for name in reversed(names)}
    listed = [part.strip() for part in value.split(",")]
    if all(part.lower() in spelled for part in listed) and len(listed) in (1, count):
        chosen = tuple(part if part in names else spelled[part.lower()] for part in listed)
        if len(chosen) == count or role in ("radiance", "variance", "albedo"):
            return chosen
    matching = [layer for layer in layers if layer.name == value]
    matching += [layer for layer in layers if layer.name.lower() == value.lower()]
    last = [layer for layer in layers if value.lower() in (last_name(layer.name), last_name(layer.stem))]
    matching += sorted(last, key=lambda layer: layer.scope != home)
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
