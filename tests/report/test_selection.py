from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from rendernoise.errors import ImageError
from rendernoise.frame import Plane
from rendernoise.report.page import PageImage, write_page
from rendernoise.report.selection import outward, select, spread


def noise(seed: int, height: int = 48, width: int = 64) -> Plane:
    return np.random.default_rng(seed).lognormal(-1, 2, (3, height, width)).astype(np.float32)


def shot(frames: int, spps: tuple[int, ...], scene: str = "box", methods: tuple[str, ...] = ("noisy", "online")):
    images = [PageImage(scene, f, s, m, partial(noise, f)) for f in range(1, frames + 1) for s in spps for m in methods]
    return images + [PageImage(scene, f, 0, "reference", partial(noise, f)) for f in range(1, frames + 1)]


def kept(selection: Any) -> list[tuple[str, int, int]]:
    return list(dict.fromkeys((i.scene, i.frame, i.spp) for i, _ in selection.images if i.method != "reference"))


def test_orders() -> None:
    assert outward([4, 16, 64, 256]) == [16, 4, 64, 256]
    assert outward([8]) == [8]
    assert outward([]) == []
    assert spread([1, 2, 3, 4, 5, 6, 7, 8, 9]) == [5, 1, 9, 3, 7, 2, 4, 6, 8]
    assert spread([]) == []


def test_everything_is_kept_where_it_fits() -> None:
    images = shot(3, (4, 16))
    selection = select(images, 10_000_000)
    assert {i for i, _ in selection.images} == set(images)
    assert selection.notes == []
    assert selection.factors == {"box": 1}


def test_a_spread_of_frames_at_the_middle_spp_comes_first_then_the_other_spp() -> None:
    images = shot(5, (4, 16, 64))
    one = sum(len(e.text) + 600 for _, e in select(images[:1], 10_000_000).images)
    selection = select(images, one * (5 * 3 + 4))
    assert kept(selection) == [("box", f, 16) for f in (3, 1, 5, 2, 4)] + [("box", 3, 4), ("box", 3, 64)]
    assert len(selection.notes) == 1
    assert "16 of 35 images were left out" in selection.notes[0]
    assert "4 spp: frames 1-2, 4-5" in selection.notes[0]


def test_each_scene_gets_its_share() -> None:
    images = [*shot(9, (4, 16), "a"), *shot(9, (4, 16), "b")]
    one = sum(len(e.text) + 600 for _, e in select(images[:1], 10_000_000).images)
    scenes = [scene for scene, _, _ in kept(select(images, one * 14))]
    assert abs(scenes.count("a") - scenes.count("b")) <= 1
    assert set(scenes) == {"a", "b"}


def test_where_not_one_frame_fits_it_is_scaled_down_and_said() -> None:
    selection = select(shot(2, (4,)), 12_000)
    assert selection.factors["box"] > 1
    assert {(e.width, e.height) for _, e in selection.images} == {
        (-(-64 // selection.factors["box"]), -(-48 // selection.factors["box"]))
    }
    assert {i.method for i, _ in selection.images} >= {"noisy", "online", "reference"}
    assert any("of their width and height" in n for n in selection.notes)


def test_the_file_stays_below_its_limit_and_keeps_every_row(tmp_path: Path, make: SimpleNamespace) -> None:
    rows = [make.row(m, 0.1, frame=f, spp=s) for m in ("noisy", "online") for f in range(1, 7) for s in (4, 16)]
    for limit_mib in (0.02, 0.2, 0.5):
        path = tmp_path / f"{limit_mib}.html"
        notes = write_page(path, make.results(rows, ["noisy", "online"]), shot(6, (4, 16)), limit_mib=limit_mib)
        size = path.stat().st_size
        assert notes
        assert size <= limit_mib * 2**20 or '<script type="application/octet-stream"' not in path.read_text()
        data = re.search(r'id="data">(.*?)</script>', path.read_text(), re.S)
        assert data is not None
        content = json.loads(data[1])
        assert len(content["results"]["rows"]) == len(rows)
        assert content["page"]["notes"] == notes


def test_an_unreadable_image_is_a_note_not_an_end(make: SimpleNamespace) -> None:
    def fail() -> Plane:
        raise ImageError("box.exr is truncated")

    images = [PageImage("box", 1, 4, "online", fail), make.image("box", 1, 4, "noisy", noise(0))]
    selection = select(images, 10_000_000)
    assert [i.method for i, _ in selection.images] == ["noisy"]
    assert selection.notes == ["box frame 1 at 4 spp: the image of online could not be read: box.exr is truncated"]


def test_exposure_brings_the_reference_to_middle_grey(make: SimpleNamespace) -> None:
    images = [make.image("box", 1, 4, "noisy", make.flat(7)), make.image("box", 1, 0, "reference", make.flat(0.09))]
    assert select(images, 10_000_000).auto_ev == {"box": 1.0}
