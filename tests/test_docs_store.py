"""The store that `docs/your-own-store.md` shows is one: it passes the contract, and shares a login."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from document_table import STORE_OF_THE_PAGE, Table, open_documents, over

from enkash_async import EnkashClient, Store, StoreUnavailableError
from enkash_async.sandbox import Sandbox
from enkash_async.testing import StoreContract


class TestTheStoreOfThePage(StoreContract):
    @pytest.fixture
    def store(self, opener: Callable[[], Store]) -> Store:
        return opener()

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Callable[[], Store]:
        return functools.partial(open_documents, tmp_path / "documents")


def test_it_has_fewer_than_forty_lines() -> None:
    """As the page says: lines of code, without the blank ones."""
    assert sum(bool(line.strip()) for line in STORE_OF_THE_PAGE.splitlines()) < 40


@pytest.mark.parametrize("trouble", [ConnectionRefusedError("made up"), TimeoutError()])
async def test_a_table_that_does_not_answer_is_a_store_that_is_away(tmp_path: Path, trouble: Exception) -> None:
    """The error repeats nothing of the database's own words."""
    table = Table(tmp_path / "documents")
    table.trouble = trouble
    with pytest.raises(StoreUnavailableError, match="does not answer") as caught:
        await over(table).read(["enkash:docs:v2:key"])
    assert "made up" not in str(caught.value)


async def test_clients_over_it_share_one_login(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each opens the table for itself, as processes do."""
    for _ in range(3):
        store = open_documents(tmp_path / "documents")
        async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, store=store) as client:
            await client.billers.list_categories()
    assert sandbox.counts["token"] == 1
