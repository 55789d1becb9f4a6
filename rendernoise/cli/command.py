"""From arguments to an exit code: options, the TOML file, and one line for every error."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import traceback
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, get_type_hints

import tyro

from rendernoise.cli.report import Report
from rendernoise.errors import InputError, RendernoiseError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

INTERRUPTED = 130


class Command(Protocol):
    """What a module in ``rendernoise.cli`` offers."""

    CONFIG: type[Any]

    def run(self, config: Any, report: Report) -> int:
        """Do the work and return the exit code."""
        ...


def execute(name: str, command: Command, arguments: list[str]) -> int:
    """Parse ``arguments`` for a command and run it; returns the exit code (DESIGN: 0, 1, 2 or 130)."""
    debug = "--debug" in arguments
    report = Report(as_json="--json" in arguments, quiet="--quiet" in arguments)
    # A farm stops its tasks with SIGTERM: the same clean end as Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        arguments = _from_toml(arguments, command.CONFIG) + arguments
        config = _parse(name, command, arguments)
        report.configure(as_json=getattr(config, "json", False), quiet=getattr(config, "quiet", False))
        with report:
            return command.run(config, report)
    except RendernoiseError as error:
        if debug:
            traceback.print_exc()
        report.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        report.error("interrupted; run the same command with --resume to go on")
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output is gone; Python would complain once more at exit
        return 1
    except MemoryError as error:
        if debug:
            traceback.print_exc()
        report.error(f"out of memory ({error}). Use a smaller --resolution, or more memory, and --resume")
        return 1


def _parse(name: str, command: Command, arguments: list[str]) -> Any:
    """The command's options; tyro's boxed complaints become one line like every other error."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(command.CONFIG, args=arguments, prog=f"rendernoise {name}")
    except SystemExit as exit_:
        if not exit_.code:
            raise
        inside = [line.strip("│ ") for line in said.getvalue().splitlines() if line.startswith("│")]
        rule = next((i for i, line in enumerate(inside) if line.startswith("──")), len(inside))
        what = " ".join(inside[:rule]) or said.getvalue().strip()
        raise InputError(what.rstrip("."), f"rendernoise {name} --help lists the options") from None


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _from_toml(arguments: list[str], config: type[Any]) -> list[str]:
    """The options of a ``--config`` file as arguments, to stand before those of the command line, which win."""
    # tyro also takes --config=FILE
    arguments = [part for a in arguments for part in (a.split("=", 1) if a.startswith("--config=") else [a])]
    if "--config" not in arguments:
        return []
    position = arguments.index("--config") + 1
    if position >= len(arguments):
        raise InputError("--config needs a file", "Name a TOML file")
    path = Path(arguments[position])
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or '').lower()}", "Check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML file: {error}", "Mend it there") from error
    known = {f.name: f for f in fields(config)}
    hints = get_type_hints(config, include_extras=True)
    positionals = {n for n in known if tyro.conf.Positional in getattr(hints[n], "__metadata__", ())}
    flags: list[str] = []
    positional: list[str] = []
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise InputError(f"{path} has an unknown option {key!r}", f"It may have {', '.join(known)}")
        if name in positionals and isinstance(value, (str, list)):
            positional += [value] if isinstance(value, str) else [str(v) for v in value]
        elif isinstance(value, bool):
            flags.append(f"--{'' if value else 'no-'}{name.replace('_', '-')}")
        elif isinstance(value, list):
            flags += [part for v in value for part in (f"--{name.replace('_', '-')}", str(v))]
        else:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    # Options that take several values would swallow positionals that follow, so those come first.
    return positional + flags
