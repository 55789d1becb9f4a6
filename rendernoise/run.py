"""The run directory: its files, its configuration, its checkpoints, and going on after an interruption (law 6)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from rendernoise.errors import OutputError, RunError
from rendernoise.io.atomic import make_directory, write_bytes, write_text

#: What runs write at the top of their directory; ``--overwrite`` removes these and nothing else.
_OWN = (
    "denoised",
    "preview",
    "halves",
    "images",
    ".work",
    "weights.safetensors",
    "config.json",
    "metrics.jsonl",
    "summary.json",
    "results.json",
    "manifest.json",
    "plan.json",
    "table.md",
    "index.html",
)
#: Options that may differ between a run and its continuation, as no pixel depends on them.
_FREE = frozenset({"out", "resume", "overwrite", "config", "json", "quiet", "debug"})


class RunDirectory:
    """One run's directory, locked while it is open.

    Args:
        path: The ``--out`` directory.
        config: The run's options as JSON values; kept in ``config.json``.
        resume: Go on with the run that is there.
        overwrite: Remove the run that is there first.
        result: The file that marks the run as complete.

    Raises:
        RunError: There is a run already and neither was asked for, or it has other options, or it is in use.
        InputError: The directory cannot be written.
    """

    def __init__(
        self, path: Path, config: Mapping[str, Any], *, resume: bool, overwrite: bool, result: str = "summary.json"
    ) -> None:
        self.path, self._result = path, path / result
        self.work = path / ".work"
        self.config = json.loads(json.dumps(config, default=str))
        self._made = [folder for folder in (path, *path.absolute().parents) if not folder.exists()]
        make_directory(path)
        existing = [name for name in _OWN if (path / name).exists()]
        if existing and not (resume or overwrite):
            raise RunError(
                f"{path} already holds a run ({', '.join(existing[:3])})",
                "--resume continues it, --overwrite replaces it, or choose another --out",
            )
        self._lock = self._take_lock()
        try:
            self._prepare(existing, resume=resume, overwrite=overwrite)
        except BaseException:
            os.close(self._lock)
            raise
        self._metrics = (path / "metrics.jsonl").open("a")

    def _prepare(self, existing: list[str], *, resume: bool, overwrite: bool) -> None:
        """Clear or check what an earlier run left, then write ``config.json``."""
        path = self.path
        if overwrite and not resume:
            self._remove([name for name in existing if name != ".work"])
            self._remove_work()
        if resume and (path / "config.json").exists():
            self._check_same(json.loads((path / "config.json").read_text()))
        if resume:
            self._remove_leftovers()
        self.complete = resume and self._result.exists()
        write_text(path / "config.json", json.dumps(self.config, indent=2) + "\n")

    def _take_lock(self) -> int:
        try:
            self.work.mkdir(exist_ok=True)
            handle = os.open(self.work / "lock", os.O_CREAT | os.O_RDWR)
        except OSError as error:
            raise OutputError(f"cannot write to {self.path}: {error.strerror}", "Choose another --out") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise RunError(f"another rendernoise is at work in {self.path}", "Wait for it or stop it") from error
        return handle

    def _remove(self, names: list[str]) -> None:
        for name in names:
            target = self.path / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()

    def _remove_work(self) -> None:
        for entry in self.work.iterdir():
            if entry.name != "lock":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _remove_leftovers(self) -> None:
        """What a killed process left half-written."""
        for folder in (self.path, self.path / "denoised", self.path / "preview", self.path / "halves"):
            for leftover in folder.glob(".*.tmp*"):
                leftover.unlink(missing_ok=True)

    def _check_same(self, before: Mapping[str, Any]) -> None:
        names = (set(before) | set(self.config)) - _FREE
        changed = sorted(n for n in names if before.get(n) != self.config.get(n))
        if changed:
            name = changed[0]
            raise RunError(
                f"the run in {self.path} has {name} = {before.get(name)!r}, not {self.config.get(name)!r}",
                "Give --resume the options of the run (see its config.json), or use --overwrite",
            )

    def log(self, event: Mapping[str, Any]) -> None:
        """Append one event to ``metrics.jsonl``."""
        try:
            self._metrics.write(json.dumps(event) + "\n")
            self._metrics.flush()
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path / 'metrics.jsonl'}: {error.strerror}", "Free room, then --resume"
            ) from error

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint, whole or not at all; remembers how far ``metrics.jsonl`` reaches."""
        state = {**state, "metrics_bytes": self._metrics.tell()}
        copies = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_bytes(self.work / "checkpoint.safetensors", save(copies, {"state": json.dumps(state)}))

    def load_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last checkpoint, or None; events that were logged after it are dropped, as they will happen again.

        Raises:
            RunError: The checkpoint is damaged.
        """
        path = self.work / "checkpoint.safetensors"
        if not path.exists():
            self._cut_metrics(0)
            return None
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                state = json.loads((file.metadata() or {})["state"])
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise RunError(f"{path} is damaged ({error})", "Delete it to start the run again") from error
        self._cut_metrics(state["metrics_bytes"])
        return tensors, state

    def _cut_metrics(self, size: int) -> None:
        self._metrics.truncate(size)
        self._metrics.seek(size)

    def discard(self) -> None:
        """Leave nothing of a run that failed before it made anything."""
        self.close()
        self._remove([name for name in _OWN if (self.path / name).exists()])
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the result, which marks the run as complete, and remove the working files."""
        write_text(self._result, json.dumps(summary, indent=2) + "\n")
        self.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def summary(self) -> dict[str, Any]:
        """What the result of a complete run says."""
        return json.loads(self._result.read_text())

    def earlier_result(self, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any] | None:
        """The result of a run that is complete already, with a note; None where there is something to do."""
        if not self.complete:
            return None
        emit({"event": "note", "text": f"the run in {self.path} is complete already"})
        return self.summary()

    def close(self) -> None:
        """Let the directory go; the run can be resumed."""
        self._metrics.close()
        if self._lock < 0:
            return
        if self.complete:  # nothing is left to resume, so the folder was made for the lock alone
            shutil.rmtree(self.work, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)
        self._lock = -1
