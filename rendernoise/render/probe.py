"""Which Mitsuba variants really render here: each is tried in a process that may die."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """Whether a variant rendered 4×4 pixels, and what it said."""

    variant: str
    works: bool
    message: str


@functools.cache
def probe_variant(variant: str, timeout_s: float = 120) -> Probe:
    """Render 4×4 pixels in ``variant`` in a process of its own; never raises."""
    if variant == "scalar_rgb":
        # Plain C++: where Mitsuba imports, it renders; a second to prove it would be wasted at each start.
        check = "import mitsuba as mi; mi.set_variant('scalar_rgb'); print('imports')"
        command = [sys.executable, "-c", check]
    else:
        command = [sys.executable, "-m", "rendernoise.render.mitsuba", variant]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return Probe(variant, False, f"did not answer within {timeout_s:g} s")
    lines = [line.strip() for line in done.stdout.splitlines() + done.stderr.splitlines() if line.strip()]
    if done.returncode == 0:
        return Probe(variant, True, lines[-1] if lines else "")
    native = [line for line in lines if "ERROR" in line or "error" in line.lower()]
    words = (native or lines or [f"exit code {done.returncode}"])[-1 if not native else 0]
    return Probe(variant, False, words[:200])
