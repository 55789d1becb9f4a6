"""Renderers: whatever turns a view of a shot into a noisy frame.

To add one, write a class with ``render`` and ``close`` in a file of its own and add a line to ``RENDERERS``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from rendernoise.errors import InputError

if TYPE_CHECKING:
    from rendernoise.frame import Frame
    from rendernoise.render.camera import View


class Renderer(Protocol):
    """Renders one picture of a shot, as often as asked, with independent noise for each seed."""

    def render(self, view: View, *, spp: int, seed: int) -> Frame:
        """One render of ``view`` with ``spp`` samples per pixel; the same ``seed`` gives the same noise."""
        ...

    def close(self) -> None:
        """Free what the renderer holds. It may be called twice, and nothing is rendered afterwards."""
        ...


#: Name to ``module:class``. The module is imported only when its renderer is asked for.
RENDERERS: dict[str, str] = {
    "mitsuba": "rendernoise.render.mitsuba:MitsubaRenderer",
    "analytic": "rendernoise.render.analytic:AnalyticRenderer",
}


def renderer_class(name: str) -> type[Renderer]:
    """The renderer of that name.

    Raises:
        InputError: There is no such renderer.
    """
    if name not in RENDERERS:
        raise InputError(f"there is no renderer {name!r}", f"Use one of {', '.join(RENDERERS)}")
    module, _, attribute = RENDERERS[name].partition(":")
    return getattr(import_module(module), attribute)
