"""Pairs in EXR files belong together by name and frame number, and whatever is missing is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.errors import ImageError, InputError
from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part, write_layers
from rendernoise.sources.batching import held_out
from rendernoise.sources.exr_pairs import ExrPairs
from rendernoise.sources.store import PairStore

H, W = 5, 7


def save(path: Path, value: float, *, size: tuple[int, int] = (H, W), without: str = "") -> Path:
    """A picture of one value, so that a test sees which file it came from."""
    path.parent.mkdir(exist_ok=True)
    layers = {"": (3, value), "albedo": (3, 0.5), "normal": (3, 0.0)}
    planes = {n: np.full((c, *size), v, np.float32) for n, (c, v) in layers.items() if n != without or not n}
    write_layers(path, planes, {"spp": 4})
    return path


def save_pairs(folder: Path, name: str, frames: list[int], base: float) -> None:
    for n in frames:
        save(folder / f"{name}.b.{n:04d}.exr", base + n + 0.5)
    for n in reversed(frames):
        save(folder / f"{name}.a.{n:04d}.exr", base + n)


def values(source: ExrPairs) -> list[tuple[float, float]]:
    return [(float(p.input.radiance[0, 0, 0]), float(p.target[0, 0, 0])) for p in source]


def test_pairs_belong_together_by_name_and_number(tmp_path: Path) -> None:
    save_pairs(tmp_path / "x", "shot", [9, 10, 101], 0)
    save_pairs(tmp_path / "x", "alt", [9, 10], 1000)
    save_pairs(tmp_path / "y", "shot", [9], 2000)
    save(tmp_path / "x" / "shot.0009.exr", 7)
    source = ExrPairs([tmp_path / "x", tmp_path / "y"])
    expected = [(1009, 1009.5), (1010, 1010.5), (9, 9.5), (10, 10.5), (101, 101.5), (2009, 2009.5)]
    assert values(source) == expected
    source.load_state_dict({"next": 0})
    pairs = list(source)
    assert [p.number for p in pairs] == [1, 2, 3, 4, 5, 6]
    assert [p.input.metadata["source_frame"] for p in pairs] == [9, 10, 9, 10, 101, 9]
    assert all(p.partner is not None and set(p.partner.planes) == {"radiance", "albedo", "normal"} for p in pairs)


def test_frames_of_two_shots_are_never_averaged(tmp_path: Path) -> None:
    save_pairs(tmp_path / "x", "shot", [1], 0)
    save_pairs(tmp_path / "y", "shot", [1], 100)
    store = PairStore(tmp_path / "store")
    for index, pair in enumerate(ExrPairs([tmp_path / "x", tmp_path / "y"])):
        store.put(index, pair)
        store.show(index)
    assert [float(store.frame_pair(n).input.radiance.max()) for n in store.frames] == [1, 101]


def test_patterns_with_other_padding(tmp_path: Path) -> None:
    for n in (1, 2, 10):
        save(tmp_path / f"left.{n:04d}.exr", n)
        save(tmp_path / f"right_{n}.exr", n + 0.5)
    pattern = {"a": str(tmp_path / "left.####.exr"), "b": str(tmp_path / "right_#.exr")}
    assert values(ExrPairs(**pattern)) == [(1, 1.5), (2, 2.5), (10, 10.5)]
    assert values(ExrPairs(**pattern, frames=[10, 2])) == [(2, 2.5), (10, 10.5)]


def test_folders_as_patterns_match_by_name(tmp_path: Path) -> None:
    for name, base in (("one", 0.0), ("two", 100.0)):
        save(tmp_path / "a" / f"{name}.0001.exr", base)
        save(tmp_path / "b" / f"{name}.0001.exr", base + 0.5)
    assert values(ExrPairs(a=str(tmp_path / "a"), b=str(tmp_path / "b"))) == [(0, 0.5), (100, 100.5)]
    save(tmp_path / "a" / "three.0001.exr", 1)
    with pytest.raises(InputError, match="unclear what belongs together"):
        ExrPairs(a=str(tmp_path / "a"), b=str(tmp_path / "b"))


def test_halves_of_an_online_run_and_stills(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    save_pairs(run / "halves", "shot", [3], 0)
    assert values(ExrPairs([run])) == [(3, 3.5)]
    save(tmp_path / "still" / "room.a.exr", 1)
    save(tmp_path / "still" / "room.b.exr", 2)
    assert values(ExrPairs([tmp_path / "still"])) == [(1, 2)]


def test_missing_partners_are_named(tmp_path: Path) -> None:
    save_pairs(tmp_path, "shot", [1, 2, 3, 4, 5], 0)
    for name in ("shot.b.0002.exr", "shot.b.0004.exr", "shot.b.0005.exr", "shot.a.0001.exr"):
        (tmp_path / name).unlink()
    with pytest.raises(InputError) as e:
        ExrPairs([tmp_path])
    assert "frames 2,4-5 of shot have no b half" in str(e.value)
    assert "frame 1 of shot has no a half" in str(e.value)
    assert str(tmp_path / "shot.b.0002.exr") in str(e.value)
    assert "\n" not in str(e.value)
    assert values(ExrPairs([tmp_path], frames=[3])) == [(3, 3.5)]
    a, b = (str(tmp_path / f"shot.{half}.####.exr") for half in "ab")
    with pytest.raises(InputError, match=r"frames 2,4-5 of shot\.a have no --b"):
        ExrPairs(a=a, b=b)
    save(tmp_path / "shot.b.0009.exr", 0)
    for n in (2, 4, 5):
        save(tmp_path / f"shot.b.{n:04d}.exr", 0)
    with pytest.raises(InputError, match=r"frames 1,9 of shot\.b have no --a"):
        ExrPairs(a=a, b=b)


@pytest.mark.parametrize("target", ["noisy", "reference"])
def test_folders_without_pairs(tmp_path: Path, target: Any) -> None:
    with pytest.raises(InputError, match="is not there"):
        ExrPairs([tmp_path / "nowhere"], target=target)
    save(tmp_path / "shot.0001.exr", 1)
    with pytest.raises(InputError, match=r"no NAME\.a\.####\.exr"):
        ExrPairs([tmp_path], target=target)
    with pytest.raises(InputError, match="is a file"):
        ExrPairs([tmp_path / "shot.0001.exr"], target=target)


def test_unequal_halves_are_refused(tmp_path: Path) -> None:
    a = save(tmp_path / "s.a.0001.exr", 1)
    b = save(tmp_path / "s.b.0001.exr", 2, size=(H, W + 1))
    with pytest.raises(InputError, match=f"{W + 1}x{H} px, but .* is {W}x{H} px"):
        ExrPairs([tmp_path])
    part = exr.read(a).parts[0]
    exr.write(b, Exr((Part(part.channels, data_window=(2, 3, W + 1, H + 2)),)))
    with pytest.raises(InputError, match="at 2,3"):
        ExrPairs([tmp_path])
    with pytest.raises(InputError, match="two different halves"):
        ExrPairs(a=str(a), b=str(a))


def test_no_radiance_and_truncated(tmp_path: Path) -> None:
    save(tmp_path / "s.a.0001.exr", 1)
    b = tmp_path / "s.b.0001.exr"
    exr.write(b, Exr((Part({"id": np.zeros((H, W), np.uint32)}),)))
    with pytest.raises(ImageError, match=r"s\.b\.0001\.exr: no radiance"):
        ExrPairs([tmp_path])
    data = save(b, 1).read_bytes()
    b.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"s\.b\.0001\.exr is truncated"):
        ExrPairs([tmp_path])


def test_only_planes_that_every_frame_has(tmp_path: Path) -> None:
    save_pairs(tmp_path, "shot", [1, 2], 0)
    save(tmp_path / "shot.b.0002.exr", 5, without="normal")
    source = ExrPairs([tmp_path])
    assert source.planes == ("radiance", "albedo")
    (note,) = [note for note in source.notes if "roughness" not in note]
    assert "normal" in note
    assert "shot.b.0002.exr" in note
    assert all(set(p.input.planes) == {"radiance", "albedo"} for p in source)


def test_both_halves_aim_at_the_reference(tmp_path: Path) -> None:
    save_pairs(tmp_path / "x", "shot", [1, 2], 0)
    for n in (1, 2):
        save(tmp_path / "x" / f"shot.{n:04d}.exr", 50 + n, without="albedo")
    source = ExrPairs([tmp_path / "x"], target="reference")
    assert source.planes == ("radiance", "albedo", "normal")
    pairs = list(source)
    assert [(p.input.radiance.max(), p.target.max()) for p in pairs] == [(1, 51), (1.5, 51), (2, 52), (2.5, 52)]
    assert all(p.target_kind == "reference" and p.partner is None for p in pairs)
    assert len({p.number for p in pairs}) == 4
    # What is held out of one input's targets must not be a target of the other's.
    masks = [held_out(256, 256, p.number) for p in pairs]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_references_in_another_folder_or_pattern(tmp_path: Path) -> None:
    save_pairs(tmp_path / "x", "shot", [1, 2], 0)
    save(tmp_path / "r" / "shot.0001.exr", 51)
    with pytest.raises(InputError, match="frame 2 of shot has no reference"):
        ExrPairs([tmp_path / "x", tmp_path / "r"], target="reference")
    save(tmp_path / "r" / "shot.0002.exr", 52)
    source = ExrPairs([tmp_path / "x", tmp_path / "r"], target="reference")
    assert values(source) == [(1, 51), (1.5, 51), (2, 52), (2.5, 52)]
    patterns = {"a": str(tmp_path / "x" / "shot.a.####.exr"), "b": str(tmp_path / "r" / "shot.####.exr")}
    assert values(ExrPairs(**patterns, target="reference")) == [(1, 51), (2, 52)]
    save_pairs(tmp_path / "r2", "shot", [1], 0)
    save(tmp_path / "r2" / "shot.0001.exr", 9)
    with pytest.raises(InputError, match="has references in"):
        ExrPairs([tmp_path / "x", tmp_path / "r", tmp_path / "r2"], target="reference")


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    save_pairs(tmp_path, "shot", [1, 2, 3], 0)
    source = ExrPairs([tmp_path])
    pairs = iter(source)
    next(pairs)
    state = source.state_dict()
    other = ExrPairs([tmp_path])
    other.load_state_dict(state)
    assert values(other) == [(2, 2.5), (3, 3.5)]
    assert len(other) == 3


def test_twice_the_same_render_is_no_pair(tmp_path: Path) -> None:
    for n in (1, 2):
        save(tmp_path / f"s.a.{n:04d}.exr", n)
        save(tmp_path / f"s.b.{n:04d}.exr", n)
    with pytest.raises(InputError, match="different seeds"):
        ExrPairs([tmp_path]).check_independent()
    save(tmp_path / "s.b.0002.exr", 3)
    ExrPairs([tmp_path]).check_independent()
