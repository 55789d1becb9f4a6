"""rendernoise denoises path-traced images without ever seeing a clean one.

The public API; names are loaded on first use, so that ``import rendernoise`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rendernoise._version import __version__

if TYPE_CHECKING:
    from rendernoise.bench.config import BenchConfig as BenchConfig
    from rendernoise.bench.run import run_bench as run_bench
    from rendernoise.config import DenoiseConfig as DenoiseConfig
    from rendernoise.config import OnlineConfig as OnlineConfig
    from rendernoise.config import TrainConfig as TrainConfig
    from rendernoise.denoiser import Denoiser as Denoiser
    from rendernoise.denoising import denoise_sequence as denoise_sequence
    from rendernoise.denoising import run_denoise as run_denoise
    from rendernoise.errors import RendernoiseError as RendernoiseError
    from rendernoise.frame import Frame as Frame
    from rendernoise.frame import FramePair as FramePair
    from rendernoise.offline import run_train as run_train
    from rendernoise.online import run_online as run_online

_HOMES = {
    "BenchConfig": "rendernoise.bench.config",
    "DenoiseConfig": "rendernoise.config",
    "Denoiser": "rendernoise.denoiser",
    "Frame": "rendernoise.frame",
    "FramePair": "rendernoise.frame",
    "OnlineConfig": "rendernoise.config",
    "RendernoiseError": "rendernoise.errors",
    "TrainConfig": "rendernoise.config",
    "denoise_sequence": "rendernoise.denoising",
    "run_bench": "rendernoise.bench.run",
    "run_denoise": "rendernoise.denoising",
    "run_online": "rendernoise.online",
    "run_train": "rendernoise.offline",
}

__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rendernoise' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
