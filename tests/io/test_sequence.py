"""Frame lists, patterns, folders, and the exact names of what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rendernoise.errors import InputError
from rendernoise.io.sequence import Sequence, expand, find, format_frames, frame_path, parse_frames, split_name


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("7", [7]),
        ("1-3,5", [1, 2, 3, 5]),
        ("1-24,30-40x2", [*range(1, 25), 30, 32, 34, 36, 38, 40]),
        (" 1 - 3 ", [1, 2, 3]),
        ("-2-1", [-2, -1, 0, 1]),
        ("3,1-3", [3, 1, 2]),
        ("3-1", [3, 2, 1]),
    ],
)
def test_parse_frames(text: str, frames: list[int]) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize(
    "text",
    ["", " ", ",", "abc", "1-", "1-5x0", "1..5", "1.5-3", "0x10", "1-3;5", "1-99999999999", "1-1000001", "--", "1e3"],
)
def test_rubbish_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match="1-24,30-40x2") as e:
        parse_frames(text)
    assert "\n" not in str(e.value)


@given(st.sets(st.integers(-100, 9999), min_size=1, max_size=40))
def test_format_and_parse_are_inverse(numbers: set[int]) -> None:
    assert parse_frames(format_frames(numbers)) == sorted(numbers)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("shot.0012.exr", ("shot", 12)),
        ("shot_12.exr", ("shot", 12)),
        ("shot.a.0001.exr", ("shot.a", 1)),
        ("render0012.exr", ("render", 12)),
        ("0012.exr", ("frame", 12)),
        ("shot.-005.exr", ("shot", -5)),
        ("beauty.exr", ("beauty", None)),
        ("staircase2.exr", ("staircase2", None)),
        ("shot_v002.exr", ("shot_v002", None)),
        ("v002.exr", ("v002", None)),
        ("shot_v002.0003.exr", ("shot_v002", 3)),
    ],
)
def test_split_name(file: str, expected: tuple[str, int | None]) -> None:
    assert split_name(Path(file)) == expected


@given(st.text("abcXYZ_ .[]", min_size=1).filter(lambda t: t.rstrip("._") == t), st.integers(0, 10**6))
def test_written_paths_are_read_back(name: str, number: int) -> None:
    assert split_name(frame_path(Path("d"), name, number, "exr")) == (name, number)


def test_frame_path() -> None:
    assert frame_path(Path("out"), "shot", 7, ".exr") == Path("out/shot.0007.exr")
    assert frame_path(Path("out"), "shot", 12345, "png") == Path("out/shot.12345.png")


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    touch(tmp_path, *(f"shot.{n:04d}.exr" for n in (1, 2, 4, 10000)))
    touch(tmp_path, "shot.12.exr", "shot.0002.xml", "other.0001.exr", ".shot.0003.tmpab.exr", "beauty.exr")
    (tmp_path / "shot.0009.exr").mkdir()
    return tmp_path


@pytest.mark.parametrize("pattern", ["shot.####.exr", "shot.%04d.exr", "shot.$F4.exr", "shot.@@@@.exr"])
def test_patterns(shot: Path, pattern: str) -> None:
    (sequence,) = expand(shot / pattern, extension="exr")
    assert sequence.name == "shot"
    assert sequence.frames == [1, 2, 4, 10000]
    assert sequence.files[0] == (1, shot / "shot.0001.exr")


def test_pattern_with_frames_and_other_padding(shot: Path) -> None:
    assert expand(shot / "shot.1-2####.exr")[0].frames == [1, 2]
    assert expand(shot / "shot.##.exr")[0].frames == [12, 10000]
    with pytest.raises(InputError, match=r"frame 3 of shot\.####\.exr is missing"):
        expand(shot / "shot.1-4####.exr")


def test_star_folder_and_file(shot: Path) -> None:
    (shot / "shot.12.exr").unlink()
    assert [s.name for s in expand(shot / "*.exr")] == ["beauty", "other", "shot"]
    assert expand(shot / "shot.*.exr")[0].frames == [1, 2, 4, 10000]
    assert [(s.name, s.frames, s.numbered) for s in expand(shot, extension="exr")] == [
        ("beauty", [1], False),
        ("other", [1], True),
        ("shot", [1, 2, 4, 10000], True),
    ]
    assert expand(shot / "shot.0004.exr") == [Sequence("shot", ((4, shot / "shot.0004.exr"),))]
    assert expand(shot / "beauty.exr") == [Sequence("beauty", ((1, shot / "beauty.exr"),), numbered=False)]
    assert expand(shot, extension=".XML")[0].frames == [2]


def test_odd_names_are_taken_literally(tmp_path: Path) -> None:
    folder = tmp_path / "a [1] (#2)"
    touch(folder, "s+[x] ü.0001.exr", "odd#.exr")
    assert expand(folder / "s+[x] ü.####.exr")[0].name == "s+[x] ü"
    assert expand(folder / "odd#.exr")[0].name == "odd#"


def test_the_same_frame_twice_is_an_error(shot: Path) -> None:
    touch(shot, "shot.2.exr")
    with pytest.raises(InputError, match=r"frame 2 is there twice: .*shot.0002.exr and .*shot.2.exr"):
        expand(shot, extension="exr")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("gone.####.exr", "no file matches"),
        ("gone.*.exr", "no file matches"),
        ("gone.exr", "no file matches"),
        ("gone/shot.####.exr", "folder .*gone cannot be read: no such file"),
        ("shot.0002.xml", r"is not an \.exr file"),
        ("gone", "not there"),
        ("a.##.b.##.exr", "is no file pattern"),
    ],
)
def test_nothing_there(shot: Path, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as e:
        find([shot / pattern], extension="exr")
    assert "\n" not in str(e.value)


def test_empty_folder_and_no_inputs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.exr in the folder"):
        find([tmp_path], extension="exr")
    with pytest.raises(InputError, match="no input files"):
        find([], extension="exr")


def test_find_names_the_missing_frames(tmp_path: Path) -> None:
    touch(tmp_path, *(f"shot.{n:04d}.xml" for n in (1, 2, 3, 4, 6, 10)))
    with pytest.raises(InputError) as e:
        find([tmp_path / "shot.####.xml"], extension="xml", frames=list(range(1, 11)))
    expected = f"frames 5,7-9 of shot.####.xml are missing ({tmp_path / 'shot.0005.xml'} ...). Check --frames"
    assert str(e.value) == expected
    with pytest.raises(InputError, match=r"frame 5 of shot\.####\.xml is missing \(.*shot\.0005\.xml\)"):
        find([tmp_path / "shot.####.xml"], extension="xml", frames=[4, 5])
    (sequence,) = find([tmp_path / "shot.####.xml"], extension="xml", frames=[10, 2, 2])
    assert sequence.frames == [2, 10]


def test_find_takes_gaps_unless_frames_are_asked_for(shot: Path) -> None:
    assert find([shot / "shot.####.exr"], extension="exr")[0].frames == [1, 2, 4, 10000]


def test_files_given_one_by_one_become_one_sequence(shot: Path) -> None:
    inputs = [shot / f"shot.{n:04d}.exr" for n in (4, 1, 2)]
    (sequence,) = find([*inputs, shot / "shot.####.exr"], extension="exr")
    assert sequence.frames == [1, 2, 4, 10000]
    touch(shot / "b", "shot.0001.exr")
    assert len(find([shot / "b", *inputs], extension="exr")) == 2


def test_a_still_serves_every_frame_only_when_asked(shot: Path) -> None:
    still = shot / "beauty.exr"
    (sequence,) = find([still], extension="exr", frames=[3, 4], still_repeats=True)
    assert sequence.files == ((3, still), (4, still))
    with pytest.raises(InputError, match="it is one still"):
        find([still], extension="exr", frames=[3, 4])


def test_the_import_is_light() -> None:
    code = (
        "import sys, rendernoise.io.sequence as s; s.parse_frames('1-3'); "
        "print('torch' in sys.modules, 'OpenEXR' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]
