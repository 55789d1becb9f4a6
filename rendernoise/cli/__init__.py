"""The command line: one thin file per command, loaded only when its command is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
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
    "suite": "the noise suite of Noise2Noise and Noise2Void: train, measure, denoise images",
    "doctor": "say what this machine can do, what is missing, and how to get it",
}


START = "Start with: rendernoise online scene.xml --out DIR"


def _overview(called: str, about: str, commands: Mapping[str, str], start: str) -> str:
    lines = [f"  {name:<9}{text}" for name, text in commands.items()]
    usage = f"usage: {called} COMMAND [options]     ({called} COMMAND --help lists them)"
    return "\n".join([about, "", usage, "", *lines, "", start])


def main(argv: list[str] | None = None) -> None:
    """Entry point of the ``rendernoise`` script."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] in ("-V", "--version"):
        print(__version__)
        raise SystemExit(0)
    about = f"rendernoise {__version__}: denoises path-traced images without ever seeing a clean one"
    name, module = _chosen(arguments, COMMANDS, "rendernoise", about, START)
    arguments = arguments[1:]
    if hasattr(module, "COMMANDS"):
        under, module = _chosen(arguments, module.COMMANDS, f"rendernoise {name}", module.ABOUT, module.START)
        name, arguments = f"{name} {under}", arguments[1:]
    # torch's threads wait for each other in a loop, by default for so long that on a machine with other work a training
    # step takes 1.6 s instead of 0.06 s; with this it takes 0.2 s there, and 0.065 s on an idle machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from rendernoise.cli.command import execute

    raise SystemExit(execute(name, module, arguments))


def _chosen(arguments: list[str], commands: Mapping[str, str], called: str, about: str, start: str) -> tuple[str, Any]:
    """The command that the arguments begin with, and its module; otherwise the overview, or an error, and the end."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview(called, about, commands, start))
        raise SystemExit(0)
    name = arguments[0]
    if name not in commands:
        where = called.removeprefix("rendernoise").strip()
        what = f"{where} has no command" if where else "there is no command"
        print(f"error: {what} {name!r}. Use one of {', '.join(commands)}", file=sys.stderr)
        raise SystemExit(2)
    return name, import_module(".".join(("rendernoise.cli", *called.split()[1:], name)))
