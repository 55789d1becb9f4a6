"""Write the meshes, textures, curves, skies and camera paths of the scenes in `scenes/`.

The `scene.xml` files are written by hand; everything that they refer to comes from here, and so do the XML files of
`changes`, one for each frame. Every random number has a fixed seed, so a second run gives the same files.

    python tools/make_scenes.py                  # into scenes/
    python tools/make_scenes.py --out DIR fog    # one scene, elsewhere
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scene_changes import changes
from scene_room import room
from scene_stills import caustics, fog, glassware, terrace

SCENES = Path(__file__).resolve().parent.parent / "scenes"
WRITERS = {
    "glassware": glassware,
    "room": room,
    "caustics": caustics,
    "terrace": terrace,
    "fog": fog,
    "changes": changes,
}


def main() -> None:
    """Write the named scenes, or all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"scenes to write: {', '.join(WRITERS)} (default all)")
    parser.add_argument("--out", type=Path, default=SCENES, help="folder of the scenes (default: scenes/)")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(WRITERS))
    if unknown:
        parser.error(f"no scene {', '.join(unknown)}; there are {', '.join(WRITERS)}")
    for name in options.names or WRITERS:
        for folder in ("textures",) if name == "changes" else ("meshes", "textures"):
            (options.out / name / folder).mkdir(parents=True, exist_ok=True)
        WRITERS[name](options.out / name)


if __name__ == "__main__":
    main()
