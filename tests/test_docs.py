"""The documents say what is so: every path they name exists, every command they show is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rendernoise.cli import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/denoiser.md",
    "docs/benchmarks.md",
    "docs/blender.md",
    "docs/suite.md",
    "scenes/README.md",
)
#: Beginnings of paths inside the repository; anything else in backticks is a name, an option or an output.
FOLDERS = ("rendernoise", "tests", "tools", "docs", "scenes", ".ci")


def named_paths(text: str) -> set[str]:
    inline = re.findall(r"`([^`\s]+)`", text) + re.findall(r"\]\(([^)#]+)\)", text)
    return {p.rstrip("/") for p in inline if p.split("/")[0] in FOLDERS and "/" in p and "*" not in p}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    paths = named_paths(text)
    # A document lies about its own folder's files as easily as about the root's.
    missing = [p for p in paths if not (ROOT / p).exists() and not (ROOT / document).parent.joinpath(p).exists()]
    assert not missing, f"{document} names {missing}"


def test_the_architecture_page_is_short_and_names_paths() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    assert len(text.splitlines()) <= 150
    assert len(named_paths(text)) > 20


def test_the_architecture_page_knows_every_module() -> None:
    """A module that is neither named nor in a named folder was forgotten."""
    text = (ROOT / "docs/architecture.md").read_text()
    for module in sorted((ROOT / "rendernoise").glob("*.py")):
        if not module.name.startswith("_"):
            names = (f"rendernoise/{module.name}", f"rendernoise/{module.stem}/")
            assert any(name in text for name in names), module.name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_shows_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    for command in re.findall(r"(?:^|[`\s])(?<!from )rendernoise (?!import)([a-z]+) ", text, flags=re.MULTILINE):
        assert command in COMMANDS, f"{document} shows rendernoise {command}"


def test_the_readme_begins_with_the_two_commands() -> None:
    top = (ROOT / "README.md").read_text().splitlines()[:10]
    assert any("make demo" in line for line in top)
    assert any("make test" in line for line in top)
