"""Edits of a scene that Mitsuba has parsed to nodes but not yet made; ``mi`` is the ``mitsuba`` module throughout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rendernoise.errors import SceneError


def references(mi: Any, state: Any, index: int) -> list[tuple[str, int]]:
    """The named child nodes of a node; other properties stay unread, as Mitsuba rejects those that nobody reads."""
    props = state.nodes[index].props
    wanted = mi.Properties.Type.ResolvedReference
    return [(name, props[name].index()) for name in list(props.keys()) if props.type(name) == wanted]


def children(mi: Any, state: Any, index: int) -> list[int]:
    """Indices of a node's child nodes."""
    return [child for _, child in references(mi, state, index)]


def subtree(mi: Any, state: Any, index: int) -> list[int]:
    """Indices of a node and of everything below it."""
    found = [index]
    for child in children(mi, state, index):
        found += subtree(mi, state, child)
    return found


def put_plain(mi: Any, state: Any, parent: int, child: int | None, kind: Any, plugin: str) -> str:
    """Put a plain ``plugin`` where ``child`` of ``parent`` stood; returns the old plugin's name."""
    old = state.nodes[child].props.plugin_name() if child is not None else ""
    if old == plugin:
        return old
    node = mi.parser.SceneNode()
    node.type = kind
    node.props.set_plugin_name(plugin)
    if child is None:
        state.nodes.append(node)
        state.nodes[parent].props[f"_rendernoise_{plugin}"] = mi.Properties.ResolvedReference(len(state.nodes) - 1)
    else:
        node.file_index, node.offset = state.nodes[child].file_index, state.nodes[child].offset
        state.nodes[child] = node
    return old


def unwrap_aov(mi: Any, state: Any, notes: list[str]) -> None:
    """Let the root use the integrator inside an ``aov`` integrator: its channels are rendered anyway."""
    for name, child in references(mi, state, 0):
        node = state.nodes[child]
        if node.type == mi.ObjectType.Integrator and node.props.plugin_name() == "aov":
            inner = children(mi, state, child)
            if not inner:
                raise SceneError("the scene's aov integrator renders no radiance", "Put a path integrator inside it")
            state.nodes[0].props[name] = mi.Properties.ResolvedReference(inner[0])
            notes.append("the scene's aov integrator gave way to the integrator inside it")


def keep_only(mi: Any, state: Any, index: int) -> None:
    """Drop every child of the root but one."""
    for name, child in references(mi, state, 0):
        if child != index:
            del state.nodes[0].props[name]


def fingerprint_of(mi: Any, state: Any, folder: Path) -> int:
    """A hash of everything in a parsed scene but its sensors, and of the files that it names.

    It reads every property, which Mitsuba takes for use; so it wants a parsed scene of its own.
    """
    parts: list[str] = [str(folder.resolve())]
    kinds = mi.ObjectType
    of_sensors = {kinds.Sensor, kinds.Sampler, kinds.Film, kinds.ReconstructionFilter}
    for node in state.nodes:
        if node.type in of_sensors:
            continue
        parts.append(f"{node.type} {node.props}")
        if "filename" in node.props:
            file = folder / str(node.props["filename"])
            stat = file.stat() if file.exists() else None
            parts.append(f"{stat.st_size} {stat.st_mtime_ns}" if stat else "absent")
    return hash("\n".join(parts))
