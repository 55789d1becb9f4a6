"""Intel Open Image Denoise as a method to compare with, on the CPU, through the optional package ``pyoidn``."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame, Plane

Quality = Literal["high", "balanced", "fast"]

_CURE = 'pip install "rendernoise[oidn]"'
#: OIDN's names of its inputs, and the planes that they are.
_AUXILIARY = ("albedo", "normal")


def _load() -> ModuleType:
    """The package, whose native library it loads at the first call."""
    try:
        import pyoidn

        usable = pyoidn.Device.is_cpu_available()
    except ImportError as error:
        raise InputError("Open Image Denoise is not installed", _CURE) from error
    except (OSError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the library of Open Image Denoise does not load ({reason})", _CURE) from error
    if not usable:
        raise InputError("Open Image Denoise does not support this CPU", "Leave the method out")
    return pyoidn


class Oidn:
    """Denoises frames with OIDN's ray-tracing filter in HDR mode.

    The albedo and the normal are used where the frame has them; OIDN takes no normal without an albedo. Filters and
    buffers stay for the next frame of the same size and planes, so that a second call is warm.

    OIDN gets the planes as they are: it reads NaN as 0 and negative radiance as 0, but an infinite pixel upsets the
    exposure that it measures, and with it the whole image. Images below about 32 px come out darker at their borders.

    Args:
        prefilter: Denoise albedo and normal first, each with a filter of its own, and tell OIDN that they are clean.
        quality: OIDN's setting, for all filters.
        threads: Threads to compute with; 0 for all cores. OIDN takes no more than there are cores.

    Raises:
        InputError: The package is absent, its library does not load, or OIDN does not start here.
    """

    def __init__(self, *, prefilter: bool = False, quality: Quality = "high", threads: int = 0) -> None:
        self.prefilter = prefilter
        #: Seconds that OIDN's own execution took in the last call, all filters together, without copying.
        self.execute_s = 0.0
        self._key: tuple[object, ...] | None = None
        self._filters: list[Any] = []
        self._images: dict[str, NDArray[np.float32]] = {}
        self._oidn: Any = _load()
        self._quality = {
            "high": self._oidn.OIDN_QUALITY_HIGH,
            "balanced": self._oidn.OIDN_QUALITY_BALANCED,
            "fast": self._oidn.OIDN_QUALITY_FAST,
        }[quality]
        self._device: Any = self._oidn.Device(self._oidn.OIDN_DEVICE_TYPE_CPU)
        if threads > 0:
            self._device.set_int("numThreads", threads)
        self._device.commit()
        if message := self._device.get_error():
            self.close()
            raise InputError(f"Open Image Denoise does not start here ({message})", _CURE)

    @property
    def version(self) -> str:
        """OIDN's version, such as ``2.5.1``."""
        return ".".join(str(self._device.get_int(f"version{part}")) for part in ("Major", "Minor", "Patch"))

    @property
    def threads(self) -> int:
        """Threads that OIDN computes with."""
        return self._device.get_int("numThreads")

    def __call__(self, frame: Frame) -> Plane:
        """Denoised scene-linear radiance ``[3, H, W]`` of one frame, of 1×1 px or more.

        Raises:
            ImageError: OIDN refuses the image, for want of memory for instance.
        """
        self._prepare(frame)
        for name, image in self._images.items():
            if name != "output":
                plane = frame.radiance if name == "color" else frame.planes[name]
                np.copyto(image, np.moveaxis(plane, 0, -1))
        start = time.perf_counter()
        for each in self._filters:
            each.execute()
        self.execute_s = time.perf_counter() - start
        self._check(frame)
        return np.ascontiguousarray(np.moveaxis(self._images["output"], -1, 0))

    def close(self) -> None:
        """Free filters, buffers and threads; it may be called twice, and nothing is denoised afterwards."""
        if self._device is not None:
            self._release_filters()
            self._device.release()
            self._device = None

    def _prepare(self, frame: Frame) -> None:
        """Make filters and buffers for frames of this size and these planes, unless they are there."""
        given = [name for name in _AUXILIARY if name in frame.planes and "albedo" in frame.planes]
        key = (frame.height, frame.width, *given)
        if key == self._key:
            return
        self._release_filters()
        shape = (frame.height, frame.width, 3)
        self._images = {name: np.zeros(shape, np.float32) for name in ("color", *given, "output")}
        if self.prefilter:
            # In place: the noisy albedo and normal serve for nothing else.
            self._filters = [self._filter([name], name) for name in given]
        main = self._filter(["color", *given], "output")
        main.set_bool("hdr", True)
        if self.prefilter and given:
            main.set_bool("cleanAux", True)
        self._filters.append(main)
        for each in self._filters:
            each.commit()
        self._check(frame)
        self._key = key

    def _filter(self, inputs: list[str], output: str) -> Any:
        """A ray-tracing filter of the named images, not yet committed."""
        made = self._oidn.Filter(self._device, self._oidn.OIDN_FILTER_TYPE_RT)
        for slot, image in [*((name, name) for name in inputs), ("output", output)]:
            made.set_image(slot, self._images[image], self._oidn.OIDN_FORMAT_FLOAT3)
        made.set_quality(self._quality)
        return made

    def _check(self, frame: Frame) -> None:
        if message := self._device.get_error():
            self._release_filters()
            raise ImageError(
                f"Open Image Denoise refuses frame {frame.number} of {frame.width}x{frame.height} px ({message})",
                "Free memory or give a smaller image",
            )

    def _release_filters(self) -> None:
        for each in self._filters:
            each.release()
        self._filters, self._images, self._key = [], {}, None
