"""Where a figure was made: machine, versions and commit."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from rendernoise._version import __version__
from rendernoise.render.probe import usable_cores

#: Distribution to its short name in records.
_PACKAGES = {
    "torch": "torch",
    "mitsuba": "mitsuba",
    "drjit": "drjit",
    "numpy": "numpy",
    "OpenEXR": "openexr",
    "pyoidn": "oidn",
    "flip-evaluator": "flip",
}


def machine() -> dict[str, Any]:
    """Processor, usable cores, memory in GiB, GPU (None without CUDA) and system."""
    import psutil
    import torch

    return {
        "cpu": _processor(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "os": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of every package that a figure depends on, where installed."""
    found = {"rendernoise": __version__, "python": platform.python_version()}
    for package, name in _PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit of the code that runs, with ``+`` when files differ from it; None outside a clone."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
