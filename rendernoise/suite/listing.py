"""What the noise suite has."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rendernoise.noise import NOISES


def noises() -> list[dict[str, Any]]:
    """Each noise model with what it says of itself, as JSON values."""
    return [
        {
            "name": name,
            "about": (kind.__doc__ or "").partition("\n")[0],
            "strength": kind.strength,
            "trained": list(kind.trained),
            "tested": kind.tested,
            "needs": kind.needs,
            "loss": kind.loss,
            "options": {f.name: f.default for f in fields(kind)},
            "source": kind.source,
        }
        for name, kind in NOISES.items()
    ]
