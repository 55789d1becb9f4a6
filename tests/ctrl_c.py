"""Children of a test that Ctrl-C must reach."""

from __future__ import annotations

import signal


def heeded() -> None:
    """A ``preexec_fn``: what a shell starts in the background ignores Ctrl-C, and a child would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
