"""The base weights: what denoising and training on a shot start from. ``README.md`` beside them is their model card."""

from __future__ import annotations

from pathlib import Path

from rendernoise.errors import InputError

#: The networks that have base weights, ``NETWORK.safetensors`` each.
BASE = ("kernel_pyramid", "fast")


def base_path(network: str) -> Path:
    """The base weights of a network.

    Raises:
        InputError: It has none.
    """
    if network not in BASE:
        raise InputError(
            f"there are no base weights of {network}", f"Use --network {' or '.join(BASE)}, or --weights none"
        )
    return Path(__file__).parent / f"{network}.safetensors"
