"""A foreign denoiser in a process of its own: when its native code dies, the benchmark goes on."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from rendernoise.errors import RendernoiseError, RunError
from rendernoise.frame import Frame, Plane
from rendernoise.render.camera import View
from rendernoise.render.process import main_module_hidden


@dataclass(frozen=True)
class ForeignSpec:
    """How to make a denoiser there.

    Args:
        place: ``module:class``; called with a ``Frame`` it gives radiance ``[3, H, W]``.
        arguments: What it is made with.
        takes_view: Whether it is called with the frame's ``View`` as well.
    """

    place: str
    arguments: dict[str, Any]
    takes_view: bool = False


def denoise_apart(spec: ForeignSpec, frames: Iterable[tuple[Frame, View | None]]) -> Iterator[tuple[Plane, float]]:
    """Denoise frames one by one; yields radiance ``[3, H, W]`` and the seconds of a warm call.

    Each frame comes with what it shows, where that is known.
    Each size of frame is denoised once unmeasured first: filters are built and code is loaded then.

    Raises:
        RendernoiseError: The denoiser refuses (its own message).
        RunError: It failed otherwise, or its process died.
    """
    with _process(spec) as pipe:
        yield from (_ask(pipe, frame, view) for frame, view in frames)


def why_not(spec: ForeignSpec) -> str | None:
    """Why a denoiser cannot be made here, in one line; None when it can."""
    try:
        with _process(spec):
            return None
    except RendernoiseError as error:
        return str(error)


@contextlib.contextmanager
def _process(spec: ForeignSpec) -> Iterator[Connection]:
    context = mp.get_context("spawn")
    pipe, theirs = context.Pipe()
    with main_module_hidden():
        process = context.Process(target=_serve, args=(theirs, spec), daemon=True)
        process.start()
    theirs.close()
    try:
        try:
            _checked(pipe.recv())
            yield pipe
        except (EOFError, ConnectionError) as error:
            process.join(5)
            code = process.exitcode
            how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
            raise RunError(
                f"{spec.place.rpartition(':')[2]}'s process died ({how})", "Run it alone to see more"
            ) from error
    finally:
        pipe.close()
        process.terminate()
        process.join()


def _ask(pipe: Connection, frame: Frame, view: View | None) -> tuple[Plane, float]:
    # A frame's planes are read-only views, which do not travel.
    pipe.send((dict(frame.planes), frame.spp, frame.number, view))
    return _checked(pipe.recv())


def _checked(reply: Any) -> Any:
    if isinstance(reply, RendernoiseError):
        raise reply
    return reply


def _serve(pipe: Connection, spec: ForeignSpec) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.dup2(2, 1)  # standard output is the command's own: events, with --json
    module, _, name = spec.place.partition(":")
    sizes: set[tuple[int, ...]] = set()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            denoiser = getattr(import_module(module), name)(**spec.arguments)
            pipe.send(None)
            while True:
                planes, spp, number, view = pipe.recv()
                frame, known = Frame(planes, spp, number), (view,) if spec.takes_view else ()
                if frame.radiance.shape not in sizes:
                    sizes.add(frame.radiance.shape)
                    denoiser(frame, *known)
                start = time.perf_counter()
                radiance = denoiser(frame, *known)
                pipe.send((radiance, time.perf_counter() - start))
        except EOFError:
            pass
        except RendernoiseError as error:
            pipe.send(error)
        except Exception as error:
            pipe.send(RunError(f"{name} failed ({type(error).__name__}: {' '.join(str(error).split())})"))
