"""What a scene is made of: a digest of its XML and of every file that the XML names."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from rendernoise.errors import SceneError
from rendernoise.render.camera import View

_LONGEST_NAME = 1024


def view_digest(view: View) -> str:
    """SHA-256 (hex) over scene, meshes, textures, included files, and the camera where it overrides the scene's own.

    A copy of the whole folder elsewhere has the same digest. A file that is named and absent counts by its name alone:
    the renderer has more to say about it.

    Raises:
        SceneError: The scene is missing or no XML.
    """
    digest = hashlib.sha256()
    if view.scene is not None:
        for path in _files(view.scene, set(), [], {}):
            stat = path.stat()
            digest.update(_place(path, view.scene).encode() + b"\0")
            digest.update(_content(path.resolve(), stat.st_mtime_ns, stat.st_size))
    if view.camera is not None:
        digest.update(json.dumps([view.camera.to_world.tolist(), view.camera.fov_deg]).encode())
    return digest.hexdigest()


def _place(path: Path, scene: Path) -> str:
    """A file's place relative to the scene; the scene's own name does not matter."""
    if path == scene:
        return ""
    try:
        return path.resolve().relative_to(scene.parent.resolve()).as_posix()
    except ValueError:
        return path.name


def _files(xml: Path, seen: set[Path], folders: list[Path], given: dict[str, str]) -> Iterator[Path]:
    """The XML and the files that it names, in its order; those of included XML files too.

    Args:
        xml: The file.
        seen: What was found already.
        folders: Where else its names may be looked up: beside whoever includes it.
        given: Values of ``$name`` that win over its own.
    """
    try:
        root = ElementTree.parse(xml).getroot()
    except OSError as error:
        raise SceneError(f"cannot read {xml}: {(error.strerror or '').lower()}", "Check the path") from error
    except ElementTree.ParseError as error:
        raise SceneError(f"{xml} is no XML file: {error}", "Mend the XML there") from error
    seen.add(xml.resolve())
    yield xml
    known = {d.get("name", ""): d.get("value", "") for d in root.iter("default")} | given
    folders = [xml.parent, *folders]
    for element in root.iter():
        # The property that names a file has many names (filename, bitmap, ...): whatever exists as a file is one.
        value = element.get("value" if element.tag in ("string", "path") else "filename", "")
        name = re.sub(r"\$(\w+)", lambda match: known.get(match[1], match[0]), value)
        if not name or len(name) > _LONGEST_NAME:
            continue
        if element.tag == "path":  # one more folder to look into
            folders.append(xml.parent / name)
            continue
        for path in (folder / name for folder in folders):
            if not _is_file(path) or path.resolve() in seen:
                continue
            if path.suffix.lower() == ".xml":
                yield from _files(path, seen, folders, known)
            else:
                seen.add(path.resolve())
                yield path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # text that is no file name, as it is too long for one
        return False


@functools.lru_cache(maxsize=4096)
def _content(path: Path, mtime_ns: int, size: int) -> bytes:
    """A file's own digest; the frames of a shot share their meshes, which are read once."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
