"""What this machine can do: programs, Mitsuba variants that really render, GPU, memory; and the cure for each lack."""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from rendernoise._version import __version__
from rendernoise.errors import RendernoiseError

_GIB = 1 << 30
_MITSUBA = 'pip install "mitsuba>=3.7,<3.10"'
_NEWER_LLVM = "apt-get install libllvm19, or set DRJIT_LIBLLVM_PATH to a libLLVM of version 16 or newer"
_OLDEST_LLVM = 16  # 15 ends the process ("Cannot select: fminimum"), 14 is refused
_LLVM_FOLDERS = ("/usr/lib/*-linux-gnu", "/usr/lib/llvm-*/lib", "/usr/lib64", "/usr/local/lib")


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Args:
        name: What was looked at.
        ok: Whether it is as it should be.
        found: What is there.
        cure: What to do when it is not.
        needed: Whether the main job fails without it.
    """

    name: str
    ok: bool
    found: str
    cure: str = ""
    needed: bool = False

    def __str__(self) -> str:
        cure = f". {self.cure}" if self.cure and not self.ok else ""
        return f"{'ok' if self.ok else '--'}  {self.name:<12} {self.found}{cure}"


def examine() -> Iterator[Check]:
    """All checks, each as soon as it is done; never raises."""
    for look in (_programs, _packages, _variants, _gpu, _processor, _memory, _disk):
        try:
            yield from look()
        except Exception as error:  # the report must go on, whatever is broken here
            needed = look in (_packages, _variants)
            yield Check(look.__name__.strip("_"), False, f"cannot be examined ({_line(error)})", needed=needed)


def can_work(checks: list[Check]) -> bool:
    """Whether the main job runs: nothing that it needs is missing."""
    return all(check.ok for check in checks if check.needed)


def _programs() -> Iterator[Check]:
    yield Check("rendernoise", True, __version__)
    new_enough = sys.version_info >= (3, 10)
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    yield Check("Python", new_enough, found, "Install Python 3.10 or newer", needed=True)


def _packages() -> Iterator[Check]:
    yield _torch()
    yield _package("mitsuba", _MITSUBA, _supported)
    yield _package("drjit", _MITSUBA)
    for name, cure in (
        ("OpenEXR", 'pip install "OpenEXR>=3.4.14"'),
        ("numpy", 'pip install "numpy>=1.26"'),
        ("safetensors", "pip install safetensors"),
    ):
        yield _package(name, cure, lambda version, name=name: import_module(name) and None)
    for name, package, extra in (("flip", "flip-evaluator", "bench"), ("oidn", "pyoidn", "oidn")):
        yield _extra(name, package, extra)


def _extra(name: str, package: str, extra: str) -> Check:
    """A package that only ``bench`` uses, and leaves out with a line where it is absent."""
    there = _installed(package.replace("-", "_"))
    found = metadata.version(package) if there else "is not installed. bench leaves out what needs it"
    return Check(name, there, found, f'pip install "rendernoise[{extra}]"')


def _package(name: str, cure: str, check: Callable[[str], object] | None = None) -> Check:
    """A package that is needed; ``check`` raises when the version that it is given cannot be used."""
    if not _installed(name):
        return Check(name, False, "is not installed", cure, needed=True)
    try:
        version = metadata.version(name)
        if check is not None:
            check(version)
    except metadata.PackageNotFoundError:
        return Check(name, False, "is there, but was not installed as a package", cure, needed=True)
    except RendernoiseError as error:
        return Check(name, False, _line(error).partition(". ")[0], cure, needed=True)
    except Exception as error:
        return Check(name, False, f"does not import ({_line(error)})", cure, needed=True)
    return Check(name, True, version, needed=True)


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _supported(version: str) -> None:
    from rendernoise.render.mitsuba import check_version

    check_version(version)


def _torch() -> Check:
    cure = "pip install torch (pytorch.org/get-started has the command for your GPU)"
    try:
        torch = import_module("torch")
    except ImportError as error:
        return Check("torch", False, f"does not import ({_line(error)})", cure, needed=True)
    except Exception as error:
        return Check("torch", False, f"is broken ({_line(error)})", cure, needed=True)
    build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
    return Check("torch", True, f"{torch.__version__}, {build}", needed=True)


# -- Mitsuba --------------------------------------------------------------------------------------------------------


def _variants() -> Iterator[Check]:
    from rendernoise.render.probe import probe_variant

    names = ("scalar_rgb", "llvm_ad_rgb", "cuda_ad_rgb")
    if not _installed("mitsuba"):
        for name in names:
            yield Check(name, False, "needs Mitsuba, which is not installed", _MITSUBA, needed=name == "scalar_rgb")
        return
    for name in names:
        probe = probe_variant(name)
        if name == "scalar_rgb":
            cure = f"Install Mitsuba again: {_MITSUBA}"
            yield Check(name, probe.works, probe.message, cure, needed=True)
        elif name == "llvm_ad_rgb":
            yield Check(name, probe.works, probe.message, "It is about 3 times as fast as scalar_rgb: see llvm below")
            yield _llvm(probe.works)
        elif _nvidia():
            yield Check(name, probe.works, probe.message, "Update the NVIDIA driver, and see optix below")
            yield _optix()
        else:
            yield Check(name, False, "needs an NVIDIA GPU and its driver", "The other variants work without")


def _llvm(works: bool) -> Check:
    """The LLVM library that Mitsuba takes, or why none of those that exist will do."""
    from rendernoise.render.probe import probe_llvm

    used = probe_llvm()
    if works:
        return Check("llvm", True, f"{used[0]} at {used[1]}" if used else "found")
    wanted = os.environ.get("DRJIT_LIBLLVM_PATH")
    if wanted and not Path(wanted).exists():
        return Check("llvm", False, f"DRJIT_LIBLLVM_PATH names {wanted}, which does not exist", "Unset or mend it")
    libraries = llvm_libraries()
    taken = f"{used[0]} at {used[1]}" if used else wanted
    if taken or libraries:
        version, path = libraries[-1] if libraries else (0, Path())
        found = taken or f"{version} at {path}"
        other = version >= _OLDEST_LLVM and not found.startswith(f"{version}.")
        cure = f"export DRJIT_LIBLLVM_PATH={path}" if other else _NEWER_LLVM
        return Check("llvm", False, f"{found} does not work with this Mitsuba", cure)
    return Check("llvm", False, "no libLLVM was found", _NEWER_LLVM)


def llvm_libraries(folders: tuple[str, ...] = _LLVM_FOLDERS) -> list[tuple[int, Path]]:
    """Major version and path of the LLVM libraries in some folders (the usual ones), oldest first."""
    found: dict[int, Path] = {}
    for folder in folders:
        for path in sorted(Path("/").glob(f"{folder[1:]}/libLLVM*")):
            match = re.fullmatch(r"libLLVM(?:-(\d+)(?:\.\d+)*\.so(?:\.1)?|\.so\.(\d+)\.[\d.]+)", path.name)
            if match:
                found.setdefault(int(match[1] or match[2]), path)
    return sorted(found.items())


def _nvidia() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or ctypes.util.find_library("cuda") is not None


def _optix() -> Check:
    library = ctypes.util.find_library("nvoptix")
    cure = (
        "It comes with the driver (apt-get install libnvidia-gl-VERSION, the driver's); in a container, set "
        "NVIDIA_DRIVER_CAPABILITIES=all"
    )
    return Check("optix", library is not None, library or "libnvoptix.so was not found", cure)


# -- The machine ----------------------------------------------------------------------------------------------------


def _gpu() -> Iterator[Check]:
    torch = import_module("torch")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            yield Check("gpu", True, f"{about.name}, {about.total_memory / _GIB:.0f} GiB")
    elif not _nvidia():
        yield Check("gpu", False, "no NVIDIA GPU or no driver", "Everything works on the CPU, only slower")
    elif not torch.version.cuda:
        yield Check("gpu", False, "there is one, but torch is a CPU build", "Install its CUDA build: pytorch.org")
    else:
        yield Check("gpu", False, "there is one, but torch cannot use it", "Update the NVIDIA driver")


def _processor() -> Iterator[Check]:
    from rendernoise.render.probe import usable_cores

    total, cores = os.cpu_count() or 1, usable_cores()
    yield Check("cores", True, f"{cores}" if cores == total else f"{cores} of {total}")
    torch = import_module("torch")
    from rendernoise.trainer import pays_bf16

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    native = pays_bf16(device)
    needs = "a GPU from Ampere on" if device.type == "cuda" else "a CPU with AVX-512 BF16 or AMX"
    found = f"native on the {device.type.replace('cpu', 'CPU').replace('cuda', 'GPU')}"
    yield Check("bf16", native, found if native else f"is not {found}", f"Training runs in float32; {needs} is faster")


def _memory() -> Iterator[Check]:
    import psutil

    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    limit = _cgroup_limit()
    if limit is not None and limit < total:
        total, free = limit, min(free, limit)
    yield Check("memory", free >= 4 * _GIB, f"{_size(free)} free of {_size(total)}", "Use a small --resolution")
    shared = Path("/dev/shm")
    if shared.exists():
        free = shutil.disk_usage(shared).free
        cure = "Renders pass through it, 52 bytes a pixel, 4 at a time: docker run --shm-size=2g"
        yield Check("/dev/shm", free >= _GIB, f"{_size(free)} free", cure)


def _cgroup_limit() -> int | None:
    """The memory that a container may use, B."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(path).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return None


def _disk() -> Iterator[Check]:
    free = shutil.disk_usage(".").free
    yield Check("disk", free >= 5 * _GIB, f"{_size(free)} free in {Path.cwd()}", "Give --out on a larger disk")


def _size(number: float) -> str:
    return f"{number / _GIB:.0f} GiB" if number >= 10 * _GIB else f"{number / _GIB:.1f} GiB"


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
