"""The scenes of the standing benchmark: ours, and those of other people where their folder is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Scene:
    """A shot or a still, and the frames that have references.

    Args:
        name: What it is called in tables.
        folder: Where it lies; references are ``reference.####.exr`` in it.
        file: Scene file, or the pattern of one XML for each frame.
        camera: File of keyframes in the folder; empty where the scene's own camera serves.
        frames: Frames of the shot, on which ``online`` trains; empty for a still.
        measured: Frames with references, as ``--frames`` takes them.
    """

    name: str
    folder: Path
    file: str = "scene.xml"
    camera: str = ""
    frames: str = ""
    measured: str = "1"

    def arguments(self, frames: str = "") -> list[str]:
        """Scene, camera and frames as command-line arguments."""
        found = [str(self.folder / self.file)]
        if self.camera:
            found += ["--camera", str(self.folder / self.camera)]
        frames = frames or self.frames
        return [*found, "--frames", frames] if frames and self.frames else found


def _moving(name: str) -> Scene:
    return Scene(name, ROOT / "scenes" / name, camera="camera.json", frames="1-24", measured="23-24")


OURS = (
    _moving("room"),
    _moving("glassware"),
    _moving("terrace"),
    Scene("caustics", ROOT / "scenes" / "caustics"),
    Scene("fog", ROOT / "scenes" / "fog"),
)

#: What neighbouring frames must not be believed about; measured for itself (docs/denoiser.md, "Time").
CHANGES = Scene("changes", ROOT / "scenes" / "changes", file="shot.####.xml", frames="1-12", measured="4-5,9")


def shared(folder: Path) -> list[Scene]:
    """Shots with references for frames 12 and 24 in ``FOLDER/scenes``; none where the folder is absent."""
    names = ("staircase2", "living-room", "veach-bidir")
    return [
        Scene(name, folder / "scenes" / name, file="shot.####.xml", frames="1-24", measured="12,24")
        for name in names
        if (folder / "scenes" / name).is_dir()
    ]
