"""`docs/troubleshooting.md`: what a user sees is provoked, and leads to its row."""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from enkash_async._support.causes import Cause
from enkash_async.sandbox import Sandbox

from support import Enkash, shown
from troubles import CASES, SECRET, Servers, Stage

for _module in ("connections", "replies", "logins", "stores", "money", "set_up", "commands"):
    importlib.import_module(f"troubles.{_module}")  # registers its cases

PAGE = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")

#: The rows of all tables of messages, by the text in their first cell.
ROWS: dict[str, tuple[str, str]] = {}
_REPEATED: list[str] = []
for _line in PAGE.splitlines():
    if (_found := re.fullmatch(r"\| `([^`]+)` \| (.+?) \| (.+?) \|", _line)) is not None:
        if _found[1] in ROWS:
            _REPEATED.append(_found[1])
        ROWS[_found[1]] = (_found[2], _found[3])


def leads_to(row: str, text: str) -> bool:
    """Whether the words of a row are in a message; `…` stands for what differs from case to case."""
    return re.search(".*".join(map(re.escape, row.strip("…").split("…"))), text, re.DOTALL) is not None


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    started = Servers(tmp_path_factory.mktemp("servers"))
    yield started
    started.close()


@pytest.fixture
async def stage(
    servers: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sandbox: Sandbox,
    enkash: Enkash,
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(servers, tmp_path, monkeypatch, caplog, sandbox, enkash, stack)


@pytest.mark.parametrize("row", ROWS)
async def test_what_a_user_sees_leads_to_its_row(row: str, stage: Stage) -> None:
    """Each cause is provoked; its message has the words of the row, and no secret."""
    outcomes = [outcome for case in CASES[row] for outcome in await case(stage)]
    assert outcomes
    for outcome in outcomes:
        assert leads_to(row, str(outcome)), outcome
        assert SECRET not in (outcome if isinstance(outcome, str) else shown(outcome, frames=False))


def test_every_row_has_a_case_and_every_case_a_row() -> None:
    """A message that changes takes its row with it; no row stands for what nobody can meet."""
    assert set(CASES) == set(ROWS)
    assert _REPEATED == []


def test_every_line_of_a_table_is_a_row() -> None:
    """A line that the test cannot read would not be tested."""
    heads = ("| what you see | what it is | what to do |", "|---|---|---|")
    assert len([line for line in PAGE.splitlines() if line.startswith("|") and line not in heads]) == len(ROWS)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_row(cause: Cause) -> None:
    """Whatever is said of a failed exchange can be looked up."""
    assert any(leads_to(row, cause) or cause in row for row in ROWS)


def test_the_page_says_what_to_do() -> None:
    """Each row says what the message means, and what to do about it."""
    assert all(what and do for what, do in ROWS.values())
