"""The digest of a scene: every file that decides its pixels, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rendernoise.errors import SceneError
from rendernoise.render.camera import Camera, View, look_at
from rendernoise.render.content import view_digest

_SCENE = """<scene version="3.0.0">
  <default name="tone" value="wood"/>
  <path value="shared"/>
  <include filename="parts/lights.xml"/>
  <string name="note" value="{long}"/>
  <string name="gone" value="gone.exr"/>
  <texture type="bitmap"><string name="bitmap" value="$tone.png"/></texture>
  <spectrum name="eta" filename="gold.spd"/>
  <shape type="obj"><string name="filename" value="ball.obj"/></shape>
  <shape type="obj"><string name="filename" value="ball.obj"/></shape>
</scene>
"""
_LIGHTS = '<scene version="3.0.0"><string name="f" value="$tone.hdr"/><string name="g" value="sky.exr"/></scene>'
_NAMED = ("ball.obj", "wood.png", "gold.spd", "wood.hdr", "parts/lights.xml", "parts/sky.exr", "shared/gone.exr")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    folder = tmp_path / "scene"
    for name in (*_NAMED[:-1], "unused.png", "shared/unused.exr"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "parts/lights.xml").write_text(_LIGHTS)
    # Longer than any file's name may be, and no file at all.
    (folder / "scene.xml").write_text(_SCENE.format(long="x" * 300))
    return folder / "scene.xml"


def digest(scene: Path) -> str:
    return view_digest(View(1, None, scene))


@pytest.mark.parametrize("name", _NAMED)
def test_every_named_file_counts(scene: Path, name: str) -> None:
    before = digest(scene)
    path = scene.parent / name
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    changed = digest(scene)
    assert changed != before
    path.unlink()
    assert digest(scene) not in (changed, before) or name == "shared/gone.exr"


def test_nothing_else_counts(scene: Path) -> None:
    before = digest(scene)
    for name in ("unused.png", "shared/unused.exr", "new.txt"):
        (scene.parent / name).write_text("changed")
    assert digest(scene) == before
    assert view_digest(View(7, None, scene)) == before


def test_a_copy_elsewhere_under_another_name_is_the_same(scene: Path, tmp_path: Path) -> None:
    shutil.copytree(scene.parent, tmp_path / "copy")
    (tmp_path / "copy/scene.xml").rename(tmp_path / "copy/other.xml")
    assert digest(tmp_path / "copy/other.xml") == digest(scene)


def test_two_files_that_change_places_are_not_the_same(scene: Path) -> None:
    before = digest(scene)
    a, b = scene.parent / "wood.png", scene.parent / "ball.obj"
    texts = a.read_text(), b.read_text()
    a.write_text(texts[1])
    b.write_text(texts[0])
    assert digest(scene) != before


def test_files_outside_the_folder_count(tmp_path: Path) -> None:
    (tmp_path / "mesh.ply").write_text("1")
    (tmp_path / "in").mkdir()
    for name, value in (("relative", "../mesh.ply"), ("absolute", tmp_path / "mesh.ply")):
        scene = tmp_path / "in" / f"{name}.xml"
        scene.write_text(f'<scene version="3.0.0"><string name="filename" value="{value}"/></scene>')
        before = digest(scene)
        (tmp_path / "mesh.ply").write_text((tmp_path / "mesh.ply").read_text() + "2")
        assert digest(scene) != before


def test_the_camera_counts(scene: Path) -> None:
    cameras = [
        None,
        Camera(look_at((0, 0, 1), (0, 0, 0))),
        Camera(look_at((0, 0, 2), (0, 0, 0))),
        Camera(look_at((0, 0, 1), (0, 0, 0)), 30.0),
    ]
    assert len({view_digest(View(1, camera, scene)) for camera in cameras}) == 4


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    for name, other in ("ab", "ba"):
        (tmp_path / f"{name}.xml").write_text(f'<scene version="3.0.0"><include filename="{other}.xml"/></scene>')
    assert digest(tmp_path / "a.xml") != digest(tmp_path / "b.xml")


@pytest.mark.parametrize("text", [None, "", "no xml", "<scene>", "<scene>\x00</scene>"])
def test_what_is_no_scene(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.xml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SceneError, match=r"broken\.xml"):
        digest(path)
