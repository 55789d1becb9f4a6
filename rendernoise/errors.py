"""The exceptions that a user can cause. Each says in one line what is wrong, where, and the cure.

The command line prints the line alone (a traceback only with ``--debug``) and exits with
``exit_code``: 1 when some of the work was done, 2 when nothing was written.
"""

from __future__ import annotations


class RendernoiseError(Exception):
    """Base of every error that the command line turns into one line."""

    exit_code = 2

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(f"{what}. {cure}" if cure else what)
        self.what, self.cure = what, cure


class InputError(RendernoiseError):
    """An option, a path or a value that cannot work as given."""


class SceneError(RendernoiseError):
    """A scene that the renderer rejects; carries the file and, where known, the line."""


class ImageError(RendernoiseError):
    """An image file that cannot be read, or lacks what was asked of it."""


class WeightsError(RendernoiseError):
    """A weights file that is damaged, of another schema, or of another layout."""


class RunError(RendernoiseError):
    """A run directory that cannot be created, continued or trusted."""


class RendererDied(RendernoiseError):
    """The renderer's process ended in the middle of a frame; carries its last words."""

    exit_code = 1


class OutputError(RendernoiseError):
    """A file that could not be written: no room, no permission, no folder."""

    exit_code = 1
