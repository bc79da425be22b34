"""The contributor's page tells the truth: its files exist, its table leads to them, and no room is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import enkash_async

PACKAGE = Path(str(enkash_async.__file__)).parent
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PIECES = (ROOT / "noxfile.py").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"(?<![\w./-])(?:[\w.-]+/)*[\w.-]+\.(?:lua|md|py|pyi|toml)\b", PAGE)))
FOLDERS = sorted(set(re.findall(r"`((?:[\w.-]+/)+)`", PAGE)))


def _table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its head."""
    section = PAGE.split(f"\n# {heading}\n")[1].split("\n# ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.replace("`", "").strip() for cell in row] for row in rows[2:]]


ANSWERS = [row for row in _table("Where is it decided?") if row[1]]


def _home(name: str) -> Path | None:
    """Return the file or folder of a name, which may begin at the package or at the top."""
    return next((found for found in (PACKAGE / name, ROOT / name) if found.exists()), None)


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_what_the_page_names_exists(name: str) -> None:
    """A reader who follows a name arrives."""
    assert _home(name) is not None


@pytest.mark.parametrize("name", re.findall(r'"(tests/[^"]+)"', PIECES))
def test_what_a_piece_of_the_checks_runs_exists(name: str) -> None:
    """`slow` is no part of CI, so a test file that moves would be missed there for long."""
    assert (ROOT / name).exists()


@pytest.mark.parametrize(("question", "room", "file", "name"), ANSWERS)
def test_a_question_leads_to_a_file_of_its_room_that_has_the_name(
    question: str, room: str, file: str, name: str
) -> None:
    """Two hops: the room, the file; then a search for the name finds the place."""
    assert question
    assert room in {file.rpartition("/")[0] or file, "the root"}
    assert re.search(rf"\b{re.escape(name)}\b", (PACKAGE / file).read_text(encoding="utf-8"))


def test_every_question_is_asked_once() -> None:
    """And there are enough of them."""
    questions = [row[0] for row in ANSWERS]
    assert len(questions) == len(set(questions)) >= 25


def test_every_room_is_in_the_table_of_rooms() -> None:
    """Each folder and module at the root of the package, but the names, the version and the mark of types."""
    rooms = {row[0].rstrip("/") for row in _table("The rooms")}
    found = {entry.name for entry in PACKAGE.iterdir() if not entry.name.startswith((".", "__pycache__"))}
    assert rooms == found - {"__init__.py", "__init__.pyi", "_version.py", "py.typed"}
