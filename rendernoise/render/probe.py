"""Which Mitsuba variants really render here: each is tried in a process that may die."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from dataclasses import dataclass

#: What marks the line that explains a failure, best first: native code prints its reason before Python's traceback.
_TELLING = ("LLVM ERROR", "too old", "Unable to load", "shutting down", "error")
_WHICH_LLVM = """
import mitsuba as mi
mi.set_variant("llvm_ad_rgb")
import drjit as dr
dr.eval(dr.arange(mi.Float, 2) + 1)
print(".".join(map(str, dr.detail.llvm_version())))
print(next(line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "libLLVM" in line))
"""


def usable_cores() -> int:
    """CPU cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Probe:
    """Whether a variant rendered 4×4 pixels, and what it said."""

    variant: str
    works: bool
    message: str


@functools.cache
def probe_variant(variant: str, timeout_s: float = 120) -> Probe:
    """Render 4×4 pixels in ``variant`` in a process of its own; never raises."""
    code, said, complained = _try(["-m", "rendernoise.render.mitsuba", variant], timeout_s)
    if code == 0:
        return Probe(variant, True, said[-1] if said else "")
    return Probe(variant, False, _reason(code, said + complained, timeout_s))


@functools.cache
def probe_llvm(timeout_s: float = 120) -> tuple[str, str] | None:
    """Version and path of the LLVM library that Mitsuba takes; None where it takes none, or Linux' /proc is absent."""
    code, said, _ = _try(["-c", _WHICH_LLVM], timeout_s)
    return (said[0], said[1]) if code == 0 and len(said) >= 2 else None


def _try(arguments: list[str], timeout_s: float) -> tuple[int | None, list[str], list[str]]:
    """Exit code (None after ``timeout_s``) of a Python process, and the lines of its output and its errors."""
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return None, [], []
    except OSError as error:
        return -1, [], [str(error)]
    said, complained = ([line.strip() for line in t.splitlines() if line.strip()] for t in (done.stdout, done.stderr))
    return done.returncode, said, complained


def _reason(code: int | None, lines: list[str], timeout_s: float) -> str:
    if code is None:
        return f"did not answer within {timeout_s:g} s"
    for mark in _TELLING:
        found = [line for line in lines if mark.lower() in line.lower()]
        if found:
            return _short(found[0])
    return _short(lines[-1]) if lines else f"exit code {code}"


def _short(line: str) -> str:
    return re.sub(r"^([\w.]*Error: )?(jit\w*\(\): )?", "", line)[:200].rstrip(" .!")
