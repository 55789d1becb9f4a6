"""Law 1, measured: halves, passes, frames and runs that Mitsuba renders are independent, in every variant.

Two tests of different reach. The covariance E[(X - R1)(Y - R2)] with independent references R1 and R2 is zero when
X and Y are independent, but it sees a shared stream only where it lies at the same pixel. The second test finds any
stream that two renders share, wherever it lies: with one sample per pixel, the place of the sample within the pixel
is the first thing that a generator says, and it can be read from the position plane of a wall.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from rendernoise.render.probe import probe_variant

VARIANTS = ["scalar_rgb", "llvm_ad_rgb", pytest.param("cuda_ad_rgb", marks=pytest.mark.gpu)]
WIDTH, HEIGHT = 72, 40  # no multiples of Mitsuba's 32 px blocks
#: The chance that a correct renderer fails in one variant, over all comparisons (Šidák).
FALSE_ALARM = 1e-3

WALL = """<scene version="3.0.0">
  <integrator type="direct"/>
  <sensor type="orthographic">
    <transform name="to_world"><scale x="20" y="20"/><lookat origin="0,0,5" target="0,0,0" up="0,1,0"/></transform>
    <film type="hdrfilm"><integer name="width" value="40"/><integer name="height" value="24"/></film>
  </sensor>
  <shape type="rectangle"><transform name="to_world"><scale value="100"/></transform></shape>
  <emitter type="constant"/>
</scene>"""

RENDER = """
import sys
from pathlib import Path
import numpy as np
from rendernoise.render import mitsuba
from rendernoise.render.camera import View
from rendernoise.seeds import Stream

variant, box, wall, out = sys.argv[1:]
renderer = mitsuba.MitsubaRenderer(mitsuba.SceneOptions(variant=variant, frames=(1, 3), threads=2))
images = {}
for run in (0, 1):
    for frame in (1, 2, 3):
        for index in (0, 1):
            for half in ("a", "b"):
                stream = Stream(run, frame, index, half).pack()
                view = View(frame, scene=Path(box))
                images[f"box {run} {frame} {index} {half}"] = renderer.render(view, spp=4, seed=stream).radiance
for half in ("reference_a", "reference_b"):
    stream = Stream(0, 1, 0, half).pack()
    images[f"box {half}"] = renderer.render(View(1, scene=Path(box)), spp=64, seed=stream).radiance

def positions(name, run, frame, index, half):
    stream = Stream(run, frame, index, half).pack()
    frame_ = renderer.render(View(frame, scene=Path(wall)), spp=1, seed=stream)
    images[name] = frame_.planes["position"]

for frame in (1, 2):
    for index in (0, 1):
        for half in ("a", "b", "reference_a"):
            positions(f"wall 0 {frame} {index} {half}", 0, frame, index, half)
positions("wall 1 1 0 a", 1, 1, 0, "a")
if variant.startswith("scalar"):  # what seeds 0 and 1 would give without the stride
    mitsuba.scalar_seed = lambda stream, **size: Stream.unpack(stream).run_seed
    for naive in (0, 1):
        positions(f"naive {naive}", naive, 1, 0, "a")
np.savez(out, **images)
"""

Images = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module", params=VARIANTS)
def renders(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    write_scene: Callable[..., Path],
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> tuple[str, Images]:
    probe = probe_variant(request.param)
    if not probe.works:
        pytest.skip(f"{request.param} does not render here: {probe.message}")
    folder = tmp_path_factory.mktemp("law1")
    box = write_scene(folder / "box.xml", width=WIDTH, height=HEIGHT)
    (folder / "wall.xml").write_text(WALL)
    done = run_python(RENDER, request.param, box, folder / "wall.xml", folder / "images.npz")
    assert done.returncode == 0, done.stderr
    return request.param, dict(np.load(folder / "images.npz"))


def covariance_z(x: NDArray, y: NDArray, r1: NDArray, r2: NDArray) -> float:
    """How many standard errors E[(X - R1)(Y - R2)] lies off zero; pixels are independent, channels are not."""
    products = ((x - r1).astype(np.float64) * (y - r2)).mean(axis=0)
    return float(products.mean() / (products.std(ddof=1) / np.sqrt(products.size)))


def limit(comparisons: int) -> float:
    return NormalDist().inv_cdf(1 - (1 - (1 - FALSE_ALARM) ** (1 / comparisons)) / 2)


COMPARISONS = [
    *(((r, f, p, "a"), (r, f, p, "b")) for r in (0, 1) for f in (1, 2, 3) for p in (0, 1)),  # halves
    *(((0, f, p, h), (0, f + 1, p, h)) for f in (1, 2) for p in (0, 1) for h in "ab"),  # neighbouring frames
    *(((0, f, 0, h), (0, f, 1, g)) for f in (1, 2, 3) for h in "ab" for g in "ab"),  # passes
    *(((0, f, 0, h), (1, f, 0, h)) for f in (1, 2, 3) for h in "ab"),  # runs, seed 0 among them
]


def test_halves_frames_passes_and_runs_do_not_covary(renders: tuple[str, Images]) -> None:
    _, images = renders
    r1, r2 = images["box reference_a"], images["box reference_b"]
    found = {
        (one, two): covariance_z(images["box {} {} {} {}".format(*one)], images["box {} {} {} {}".format(*two)], r1, r2)
        for one, two in COMPARISONS
    }
    worst = max(found, key=lambda pair: abs(found[pair]))
    assert abs(found[worst]) < limit(len(found)), f"{worst}: z = {found[worst]:.2f}"
    # Over all comparisons together a small common covariance would show as a mean z.
    total = sum(found.values()) / np.sqrt(len(found))
    assert abs(total) < 2 * limit(1), f"mean z = {total:.2f}"


def test_the_covariance_test_notices_a_shared_stream(renders: tuple[str, Images]) -> None:
    _, images = renders
    r1, r2 = images["box reference_a"], images["box reference_b"]
    a, b = images["box 0 1 0 a"], images["box 0 1 0 b"]
    assert covariance_z(a, a, r1, r2) > limit(len(COMPARISONS))
    # Only a quarter of the noise in common is enough to be seen.
    assert covariance_z(a, 0.25 * a + 0.75 * b, r1, r2) > limit(len(COMPARISONS))


def shared_streams(one: NDArray, two: NDArray) -> int:
    """How many pixels of one render have their sample at the same place within the pixel as some pixel of the other.

    Chance makes 960² · (2·10⁻⁴)² = 0.04 of these.
    """
    fractions = []
    for position in (one, two):
        fractions.append(position[:2].astype(np.float64).reshape(2, -1) % 1)  # a pixel is 1 x 1 units of the wall
    distance = np.abs(fractions[0][:, :, None] - fractions[1][:, None, :])
    return int((np.minimum(distance, 1 - distance).max(axis=0) < 1e-4).any(axis=1).sum())


def test_no_stream_is_used_twice(renders: tuple[str, Images]) -> None:
    _, images = renders
    walls = {name: image for name, image in images.items() if name.startswith("wall")}
    names = sorted(walls)
    spread = walls[names[0]][:2].reshape(2, -1) % 1
    assert (spread.std(axis=1) > 0.25).all(), "one sample per pixel must lie anywhere within it"
    shared = {
        (one, two): shared_streams(walls[one], walls[two]) for i, one in enumerate(names) for two in names[i + 1 :]
    }
    # 78 comparisons: about 3 chance coincidences in all, and hardly ever 4 in one; shared streams come by the hundred.
    assert max(shared.values()) < 4, {pair: n for pair, n in shared.items() if n}
    assert shared_streams(walls[names[0]], walls[names[0]]) == 960


def test_seeds_without_a_stride_would_share_streams(renders: tuple[str, Images]) -> None:
    variant, images = renders
    if not variant.startswith("scalar"):
        pytest.skip("only the scalar variants count generators up from the seed")
    assert shared_streams(images["naive 0"], images["naive 1"]) > 96, "a tenth of the pixels, at the least"
