"""Reading ahead and writing behind: what waits for a disk or a codec runs beside the denoiser."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ReadAhead(Generic[Key, Value]):
    """Reads things in the order in which they will be asked for, a few ahead, in a thread of its own.

    Args:
        read: Reads one; what it raises is raised when that one is asked for.
        order: What will be asked for first, each once. Others are read when they are asked for.
        keep: Which of them are kept, once looked at, until they are taken.
        depth: How many are read before anybody asks.
    """

    def __init__(self, read: Callable[[Key], Value], order: Iterable[Key], keep: set[Key], depth: int) -> None:
        self._read, self._keep, self._depth = read, keep, depth
        self._order = deque(dict.fromkeys(order))
        self._ahead: dict[Key, Future[Value]] = {}
        self._held: dict[Key, Future[Value]] = {}
        self._pool = ThreadPoolExecutor(1, "read-ahead")
        self.waited_s = 0.0
        self._start_more()

    def look(self, key: Key) -> Value:
        """One of them, which stays if it is among those kept."""
        future = self._get(key)
        if key in self._keep:
            self._held[key] = future
        return self._wait(future)

    def take(self, key: Key) -> Value:
        """One of them, which is given away."""
        self._keep.discard(key)
        return self._wait(self._get(key))

    def _get(self, key: Key) -> Future[Value]:
        future = self._held.pop(key, None) or self._ahead.pop(key, None)
        if future is None:
            if key in self._order:
                self._order.remove(key)
            future = self._pool.submit(self._read, key)
        self._start_more()
        return future

    def _start_more(self) -> None:
        while self._order and len(self._ahead) < self._depth:
            key = self._order.popleft()
            self._ahead[key] = self._pool.submit(self._read, key)

    def _wait(self, future: Future[Value]) -> Value:
        start = time.monotonic()
        try:
            return future.result()
        finally:
            self.waited_s += time.monotonic() - start

    def __enter__(self) -> ReadAhead[Key, Value]:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)


class WriteBehind:
    """Does work in order in a thread of its own; its errors are raised by a later call.

    Args:
        depth: How many pieces of work may wait; the next one waits for room.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._pending: deque[tuple[Future[Any], Callable[[], None]]] = deque()
        self._pool = ThreadPoolExecutor(1, "write-behind")
        self.waited_s = 0.0

    def put(self, work: Callable[[], Value], then: Callable[[Value], None]) -> None:
        """Have ``work`` done; ``then`` gets its result in the caller's thread, some time after it ended well."""
        while len(self._pending) >= self._depth:
            self._finish_one()
        future = self._pool.submit(work)
        self._pending.append((future, lambda: then(future.result())))
        while self._pending and self._pending[0][0].done():
            self._finish_one()

    def finish(self) -> None:
        """Wait until all is done."""
        while self._pending:
            self._finish_one()

    def _finish_one(self) -> None:
        future, then = self._pending.popleft()
        start = time.monotonic()
        try:
            future.result()
        finally:
            self.waited_s += time.monotonic() - start
        then()

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)
