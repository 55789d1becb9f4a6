"""A flip-book of a shot: plain rendering, OIDN and ours side by side, to look at frame by frame.

    rendernoise online "scenes/shot.####.xml" --save-halves --out RUN
    python tools/flipbook.py RUN --out flipbook.html

Arrow keys step, space plays. All frames have one exposure. Nothing but the one file is needed to show it.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from pathlib import Path

import numpy as np
from measure_common import read_denoised

from rendernoise.bench.oidn import Oidn
from rendernoise.color import auto_exposure, display
from rendernoise.frame import Plane, average_shared
from rendernoise.io.exr import read_frame

LABELS = ("plain rendering", "OIDN", "ours")
#: Brings what ``auto_exposure`` takes to 0.5 to the middle grey of displays.
GREY = 0.18 / 0.5

PAGE = """<!doctype html><meta charset="utf-8"><title>%(title)s</title>
<style>body{background:#181818;color:#ccc;font:14px sans-serif;margin:1em}figure{display:inline-block;margin:0 .5em 0 0}
img{image-rendering:pixelated;width:%(width)dpx;display:block}</style>
<p>%(title)s &middot; frame <b id="n"></b> &middot; arrow keys step, space plays</p><div id="row"></div>
<script>
const frames=%(frames)s, labels=%(labels)s;
const row=document.getElementById("row");
const images=labels.map(text=>{
const figure=document.createElement("figure"), caption=document.createElement("figcaption"), image=new Image();
caption.textContent=text; figure.append(image,caption); row.append(figure); return image;});
let at=0, timer=null;
function show(){document.getElementById("n").textContent=frames[at].number;
images.forEach((image,k)=>image.src="data:image/png;base64,"+frames[at].images[k]);}
function step(by){at=(at+by+frames.length)%%frames.length; show();}
function play(){if(timer){clearInterval(timer); timer=null;} else timer=setInterval(()=>step(1),1000/12);}
addEventListener("keydown",event=>{
if(event.key=="ArrowRight") step(1); else if(event.key=="ArrowLeft") step(-1);
else if(event.key==" "){event.preventDefault(); play();}});
show();
</script>
"""


def frames_of(run: Path) -> list[tuple[int, tuple[Plane, Plane, Plane]]]:
    """Each frame's number, with the noisy mean, what OIDN makes of it, and the denoised radiance.

    Args:
        run: Output folder of ``rendernoise online --save-halves``.

    Raises:
        SystemExit: There are no such files.
    """
    paths = sorted((run / "denoised").glob("*.exr"))
    halves = [sorted((run / "halves").glob(f"*.{half}.*.exr")) for half in "ab"]
    if not paths or any(len(files) != len(paths) for files in halves):
        raise SystemExit(f"{run} has not every frame with both halves: run rendernoise online with --save-halves")
    oidn = Oidn()
    found: list[tuple[int, tuple[Plane, Plane, Plane]]] = []
    for path, a, b in zip(paths, *halves, strict=True):
        denoised, noisy = read_denoised(path)
        other = oidn(average_shared([read_frame(a), read_frame(b)]))
        found.append((int(path.name.split(".")[-2]), (noisy, other, denoised)))
    oidn.close()
    return found


def png(radiance: Plane, exposure_ev: float) -> str:
    """Base64 of a PNG for a screen."""
    from PIL import Image

    pixels = np.rint(display(radiance, exposure_ev) * 255).astype(np.uint8).transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


def page(title: str, found: list[tuple[int, tuple[Plane, Plane, Plane]]]) -> str:
    """The flip-book as HTML."""
    middle = found[len(found) // 2][1][-1]
    exposure_ev = float(np.log2(auto_exposure(middle) * GREY))
    frames = [{"number": n, "images": [png(image, exposure_ev) for image in images]} for n, images in found]
    width = max(320, min(640, 2 * middle.shape[2]))
    return PAGE % {"title": title, "width": width, "frames": json.dumps(frames), "labels": json.dumps(LABELS)}


def main() -> None:
    """Read, denoise with OIDN, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="output folder of rendernoise online --save-halves")
    parser.add_argument("--out", type=Path, default=Path("out/flipbook.html"), help="HTML file to write")
    options = parser.parse_args()
    found = frames_of(options.run)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page(options.run.name, found), encoding="utf-8")
    print(f"{options.out}: {len(found)} frames")


if __name__ == "__main__":
    main()
