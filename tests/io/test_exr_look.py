"""A look at the headers tells the same structure as reading the whole file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rendernoise.errors import ImageError
from rendernoise.io import exr
from rendernoise.io.exr import Exr, Part
from rendernoise.io.exr_look import look, radiance_window, roles_of, size_text

FILM = (0, 0, 9, 9)


def test_structure_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    zeros = np.zeros((5, 7), np.float16)
    parts = (
        Part({"id": np.zeros((2, 3), np.uint32)}, name="ids", data_window=(1, 1, 3, 2), display_window=FILM),
        Part({c: zeros for c in "RGB"}, name="beauty", data_window=(-2, 4, 4, 8), display_window=FILM),
        Part({c: zeros for c in "RGB"}, name="albedo", data_window=(-2, 4, 4, 8), display_window=FILM),
    )
    exr.write(path, Exr(parts))
    whole, seen = exr.read(path), look(path)
    assert seen.channel_map() == whole.channel_map()
    assert [p.data_window for p in seen.parts] == [p.data_window for p in whole.parts]
    assert [p.name for p in seen.parts] == [p.name for p in whole.parts]
    roles = roles_of(seen, path)
    assert roles == exr.resolve_roles(whole)
    assert size_text(radiance_window(seen, roles)) == "7x5 px at -2,4"
    assert size_text((0, 0, 6, 4)) == "7x5 px"


@pytest.mark.parametrize("content", [b"", b"not an exr", None])
def test_what_is_no_exr(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.exr"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.exr"):
        look(path)
