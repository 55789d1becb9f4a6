"""What a person, or a script, sees while work goes on: a progress bar, plain lines, or JSON events."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

LINE_EVERY_S = 5.0


class Report:
    """Shows events. On a terminal a bar with rate and time left, elsewhere plain lines, with ``--json`` one object
    a line on standard output. Errors go to standard error in every mode.

    Args:
        as_json: Print events as JSON.
        quiet: Print errors only.
    """  # noqa: D205

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._progress: Any = None
        self._task: Any = None
        self._last_line = 0.0
        self.configure(as_json=as_json, quiet=quiet)

    def configure(self, *, as_json: bool, quiet: bool) -> None:
        """Set the mode."""
        self.as_json, self.quiet = as_json, quiet

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def event(self, event: dict[str, Any]) -> None:
        """Show one event: a note, a pair, training, a written frame, the end."""
        if self.quiet:
            return
        if self.as_json:
            print(json.dumps(event), flush=True)
            return
        kind = event["event"]
        if kind in ("note", "skipped"):
            self.line(event["text"])
        elif kind == "done" and "text" in event:
            self.line(event["text"])

    def line(self, text: str) -> None:
        """One plain line, above the bar if there is one."""
        if self.quiet or self.as_json:
            return
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def progress(self, done: float, total: float, text: str) -> None:
        """Move the bar; without a terminal, a line every few seconds and at the end."""
        if self.quiet or self.as_json:
            return
        if sys.stdout.isatty():
            self._bar(done, total, text)
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_EVERY_S or done >= total:
            self._last_line = now
            share = f"{100 * done / total:3.0f} %" if total else "     "
            print(f"{share}  {text}", flush=True)

    def _bar(self, done: float, total: float, text: str) -> None:
        if self._progress is None:
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            columns = (
                BarColumn(),
                TaskProgressColumn(show_speed=True),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._progress = Progress(*columns)
            self._progress.start()
            self._task = self._progress.add_task("", total=total or None)
        if self._progress.tasks[0].total != (total or None):  # another phase, with a pace of its own
            self._progress.reset(self._task, total=total or None)
        self._progress.update(self._task, completed=done, total=total or None, description=text)

    def error(self, text: str) -> None:
        """One line on standard error."""
        self.__exit__()
        print(f"error: {' '.join(text.split())}", file=sys.stderr, flush=True)
