"""Noise models by name and options, as in ``brown_gaussian:bandwidth_px=4``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from rendernoise.errors import InputError
from rendernoise.noise import NoiseModel, noise_class


def parse_noise(text: str) -> NoiseModel:
    """The noise model that ``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE`` stands for.

    Raises:
        InputError: There is no such noise or option, or a value is of another type or out of range.
    """
    name, _, rest = text.partition(":")
    kind = noise_class(name)
    hints = get_type_hints(kind)
    known = {f.name: hints[f.name] for f in fields(kind)}
    values: dict[str, Any] = {}
    for assignment in filter(None, rest.split(",")):
        option, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or option not in known:
            cure = f"It has {', '.join(known)}" if known else "It has none"
            raise InputError(f"{name} has no option {assignment!r}", cure)
        values[option] = _value(text, option, value, known[option])
    return kind(**values)


def _value(text: str, option: str, value: str, kind: type) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise InputError(f"{text}: {option} is {value!r}, not true or false")
        return value.lower() == "true"
    if kind not in (int, float):
        return value
    try:
        return kind(value)
    except ValueError:
        raise InputError(f"{text}: {option} is {value!r}, which is no {kind.__name__}") from None
