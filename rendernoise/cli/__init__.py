"""The command line: one thin file per command, loaded only when its command is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from rendernoise._version import __version__

#: Command to what it does; ``rendernoise.cli.NAME`` has ``CONFIG`` and ``run(config, report) -> exit code``.
COMMANDS = {
    "online": "render pairs, train while rendering, write denoised frames",
    "render": "render pairs or references of a shot as EXR with features",
    "train": "train weights offline on rendered pairs",
    "denoise": "denoise EXR frames and sequences with trained weights",
    "bench": "measure denoisers against references; results.json and a page",
    "doctor": "say what this machine can do, what is missing, and how to get it",
}


def _overview() -> str:
    lines = [f"  {name:<9}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            f"rendernoise {__version__}: denoises path-traced images without ever seeing a clean one",
            "",
            "usage: rendernoise COMMAND [options]     (rendernoise COMMAND --help lists them)",
            "",
            *lines,
            "",
            "Start with: rendernoise online scene.xml --out DIR",
        ]
    )


def main(argv: list[str] | None = None) -> None:
    """Entry point of the ``rendernoise`` script."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        raise SystemExit(0)
    if arguments[0] in ("-V", "--version"):
        print(__version__)
        raise SystemExit(0)
    if arguments[0] not in COMMANDS:
        print(f"error: there is no command {arguments[0]!r}. Use one of {', '.join(COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)
    # torch's threads wait for each other in a loop, by default for so long that on a machine with other work a training
    # step takes 1.6 s instead of 0.06 s; with this it takes 0.2 s there, and 0.065 s on an idle machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from rendernoise.cli.command import execute

    command: Any = import_module(f"rendernoise.cli.{arguments[0]}")
    raise SystemExit(execute(arguments[0], command, arguments[1:]))
