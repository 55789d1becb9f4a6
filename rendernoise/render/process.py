"""A renderer in a process of its own, so that frames render while the network trains.

Requests go through a pipe; pixels come back through shared memory. The process renders a bounded number of requests
ahead and then waits. When it dies (a driver, LLVM, the memory limit), its last words and the frame are reported.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rendernoise.errors import InputError, RendererDied, RendernoiseError
from rendernoise.frame import Frame
from rendernoise.projection import Projection
from rendernoise.render import renderer_class
from rendernoise.render.camera import View


@dataclass(frozen=True)
class Request:
    """One render that is wanted: which view, how many samples per pixel, which packed stream."""

    view: View
    spp: int
    seed: int


@dataclass(frozen=True)
class Rendered:
    """A finished request with the seconds that it took inside the renderer, and what the renderer replaced."""

    request: Request
    frame: Frame
    render_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RendererSpec:
    """How to make a renderer in another process: its registry name and constructor arguments."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reply:
    """What the process sends for one request: where each plane lies in which shared memory, or an error."""

    memory: str = ""
    planes: tuple[tuple[str, tuple[int, ...], int], ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    projection: Projection | None = None
    render_s: float = 0.0
    notes: tuple[str, ...] = ()
    error: RendernoiseError | None = None


def _serve(pipe: Connection, spec: RendererSpec, log_path: str) -> None:
    """The renderer process: answer requests until the pipe closes."""
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    memories: dict[int, SharedMemory] = {}
    try:
        try:
            renderer = renderer_class(spec.name)(**spec.arguments)
        except RendernoiseError as error:
            pipe.send(_Reply(error=error))
            return
        pipe.send(_Reply())
        while (message := pipe.recv()) is not None:
            slot, request = message
            pipe.send(_answer(renderer, request, slot, memories))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone; there is nobody left to tell
    finally:
        for memory in memories.values():
            memory.close()
            with contextlib.suppress(FileNotFoundError):
                memory.unlink()


def _answer(renderer: Any, request: Request, slot: int, memories: dict[int, SharedMemory]) -> _Reply:
    start = time.perf_counter()
    try:
        frame = renderer.render(request.view, spp=request.spp, seed=request.seed)
    except RendernoiseError as error:
        return _Reply(error=error)
    render_s = time.perf_counter() - start
    size = sum(plane.nbytes for plane in frame.planes.values())
    memory = memories.get(slot)
    if memory is None or memory.size < size:
        if memory is not None:
            memory.close()
            memory.unlink()
        memory = memories[slot] = SharedMemory(create=True, size=size)
    places: list[tuple[str, tuple[int, ...], int]] = []
    start_byte = 0
    for name, plane in frame.planes.items():
        np.ndarray(plane.shape, np.float32, memory.buf, start_byte)[:] = plane
        places.append((name, plane.shape, start_byte))
        start_byte += plane.nbytes
    notes = tuple(getattr(renderer, "notes", ()))
    return _Reply(memory.name, tuple(places), dict(frame.metadata), frame.projection, render_s, notes)


class RenderQueue(Protocol):
    """Whatever renders requests in order, such as :class:`RendererProcess`."""

    def map(self, requests: Iterable[Request]) -> Iterator[Rendered]:
        """Render all requests in order."""
        ...

    def close(self) -> None:
        """Free what the renderer holds."""
        ...


class RendererProcess:
    """Renders requests in another process, in order, a few ahead of whoever asks.

    Args:
        spec: Which renderer to make there.
        ahead: Requests that may be under way or waiting to be fetched.

    Raises:
        InputError: The renderer cannot be made (its own message).
        RendererDied: The process ended before it was ready.
    """

    def __init__(self, spec: RendererSpec, ahead: int = 4) -> None:
        self.spec = spec
        self._ahead = ahead
        self._unread = 0  # replies to requests that a caller gave up
        self._memories: set[str] = set()
        handle, path = tempfile.mkstemp(prefix="rendernoise-", suffix=".log")
        os.close(handle)
        self._log = Path(path)
        context = mp.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        with main_module_hidden():
            self._process = context.Process(target=_serve, args=(theirs, spec, path), daemon=True)
            self._process.start()
        theirs.close()
        try:
            reply = self._receive("while it started")
            if reply.error is not None:
                raise reply.error
        except BaseException:
            self.close()
            raise

    def map(self, requests: Iterable[Request]) -> Iterator[Rendered]:
        """Render all requests in order, at most ``ahead`` of them before they are fetched.

        Raises:
            SceneError: The renderer rejects a scene.
            RendererDied: The process ended; names the frame and carries its last words.
        """
        waiting: deque[tuple[int, Request]] = deque()
        slots = deque(range(self._ahead))
        remaining = iter(requests)
        exhausted = False
        try:
            while True:
                while slots and not exhausted:
                    request = next(remaining, None)
                    if request is None:
                        exhausted = True
                        break
                    slot = slots.popleft()
                    self._send((slot, request), request)
                    waiting.append((slot, request))
                if not waiting:
                    return
                slot, request = waiting.popleft()
                reply = self._receive(f"on frame {request.view.frame}")
                if reply.error is not None:
                    raise reply.error
                rendered = Rendered(request, _fetch(reply, request), reply.render_s, reply.notes)
                slots.append(slot)
                yield rendered
        finally:
            # After an error, or when the caller stops early, the next call must not take these for its own.
            self._unread += len(waiting)

    def render(self, view: View, *, spp: int, seed: int) -> Frame:
        """One render, as the :class:`rendernoise.render.Renderer` protocol has it."""
        return next(self.map([Request(view, spp, seed)])).frame

    def close(self) -> None:
        """End the process, free its shared memory and remove its log."""
        with contextlib.suppress(OSError, ValueError):
            self._pipe.send(None)
        self._process.join(0.2)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(2)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        # A process that was ended frees nothing itself. It may have answered what nobody fetched.
        with contextlib.suppress(EOFError, OSError):
            while self._pipe.poll(0):
                self._remember(self._pipe.recv())
        self._pipe.close()
        while self._memories:
            with contextlib.suppress(FileNotFoundError):
                memory = SharedMemory(name=self._memories.pop())
                memory.close()
                memory.unlink()
        self._log.unlink(missing_ok=True)

    def __enter__(self) -> RendererProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _send(self, message: object, request: Request) -> None:
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self._death(f"on frame {request.view.frame}") from error

    def _receive(self, where: str) -> _Reply:
        try:
            while self._unread:
                self._next_reply()
                self._unread -= 1
            return self._next_reply()
        except (EOFError, OSError) as error:
            raise self._death(where) from error

    def _next_reply(self) -> _Reply:
        while not self._pipe.poll(0.2):
            if not self._process.is_alive() and not self._pipe.poll(0):
                raise EOFError
        return self._remember(self._pipe.recv())

    def _remember(self, reply: _Reply) -> _Reply:
        if reply.memory:
            self._memories.add(reply.memory)
        return reply

    def _death(self, where: str) -> RendererDied:
        self._process.join(2)
        code = self._process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        words = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        # A Python traceback ends with its message; a native one (LLVM, glibc) starts with it.
        last = ""
        if words:
            last = words[-1] if any(line.startswith("Traceback") for line in words) else words[0]
        said = f": {last[:300]}" if last else ""
        return RendererDied(
            f"the renderer's process died {where} ({how}){said}",
            "Continue with --resume; if it dies again, try --variant scalar_rgb or see rendernoise doctor",
        )


@contextlib.contextmanager
def main_module_hidden() -> Iterator[None]:
    """Keep spawn from importing the caller's main script again: the renderer needs nothing of it."""
    main = sys.modules["__main__"]
    saved = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    try:
        main.__file__, main.__spec__ = None, None  # pyright: ignore[reportAttributeAccessIssue]
        yield
    finally:
        for name, value in saved.items():
            setattr(main, name, value)


def _fetch(reply: _Reply, request: Request) -> Frame:
    memory = SharedMemory(name=reply.memory)
    try:
        planes = {name: np.ndarray(shape, np.float32, memory.buf, start).copy() for name, shape, start in reply.planes}
    finally:
        memory.close()
    return Frame(planes, request.spp, request.view.frame, request.seed, reply.metadata, reply.projection)


def start_mitsuba(variant: str, options: dict[str, Any], tell: Any = None) -> tuple[RendererProcess, str]:
    """A Mitsuba process in the wanted variant; ``auto`` falls through CUDA → LLVM → scalar to one that renders.

    A variant that loads can still end its process at the first kernel (LLVM 15 does with Mitsuba 3.9), so each
    renders 4×4 pixels as it starts.

    Args:
        variant: A variant's name or ``auto``.
        options: Fields of :class:`rendernoise.render.mitsuba.SceneOptions` beside the variant.
        tell: Called with one line for each variant that was passed over.

    Raises:
        InputError: No variant works, or not the one that was asked for.
    """
    from rendernoise.render.mitsuba import VARIANTS, SceneOptions

    if variant != "auto" and variant not in VARIANTS:
        raise InputError(f"there is no variant {variant!r}", f"Choose auto or one of {', '.join(VARIANTS)}")
    reasons: list[str] = []
    for candidate in VARIANTS if variant == "auto" else (variant,):
        made = replace(SceneOptions(**options), variant=candidate)
        try:
            return RendererProcess(RendererSpec("mitsuba", {"options": made})), candidate
        except (InputError, RendererDied) as error:
            # The cure is said once, below; a missing GPU is no news.
            reason = str(error).split(". ")[0]
            reasons.append(reason)
            if tell is not None and variant == "auto" and candidate != "cuda_ad_rgb":
                tell(f"{candidate} does not render here ({reason}); trying the next (see rendernoise doctor)")
    raise InputError(f"Mitsuba does not render here ({'; '.join(reasons)})", "See rendernoise doctor")
