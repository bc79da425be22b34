"""The public list: explicit, complete, lazy, typed."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import enkash_async

USER_FILE = """
import asyncio
from decimal import Decimal
from enkash_async import Bill, BillFilter, EnkashClient, FetchedBill, BulkResult

async def main() -> None:
    async with EnkashClient.from_env() as client:
        async for biller in client.billers.list(category="ELECTRICITY"):
            print(biller.biller_id, biller.name)
            reveal_type(await client.bills.fetch_current(biller.biller_id, {"cn": "1"}))
        fetched = await client.bills.fetch_current(2001, {"cn": "CN123456789"})
        bill = await client.bills.create_from_fetch(fetched, reference_id="inv-2026-000481")
        reveal_type(await client.payments.confirm_debit([bill.utility_enkash_id]))
        bill = await client.bills.wait_until_settled(bill.utility_enkash_id, timeout=300)
        print(bill.outcome, bill.amount)
        reveal_type(await client.bills.get(bill.utility_enkash_id))
        reveal_type(bill.amount)
        async for page in client.bills.search(BillFilter(consumer_number="1")).pages():
            reveal_type(page)

asyncio.run(main())
"""


def test_every_public_name_is_there_and_none_is_private() -> None:
    """The list is sorted, without doubles, and each name loads."""
    names = enkash_async.__all__
    assert sorted(set(names)) == sorted(names)
    for name in names:
        assert getattr(enkash_async, name) is not None
        assert name == "__version__" or not name.startswith("_")
    assert set(names) <= set(dir(enkash_async))


def test_every_error_is_public() -> None:
    """Whoever catches one can import it."""
    errors = importlib.import_module("enkash_async.errors")
    kinds = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert kinds == set(errors.__all__)
    assert kinds <= set(enkash_async.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Enkash'"):
        _ = enkash_async.Enkash


def test_the_version_is_that_of_the_distribution() -> None:
    """One place names it."""
    assert enkash_async.__version__ == version("enkash-async")


def test_every_public_thing_has_a_docstring() -> None:
    """Classes and their public methods."""
    for name in set(enkash_async.__all__) - {"__version__"}:
        thing = getattr(enkash_async, name)
        assert inspect.getdoc(thing), name
        for member, value in vars(thing).items():
            if not member.startswith("_") and inspect.isfunction(value):
                assert inspect.getdoc(value), f"{name}.{member}"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import enkash_async", ["aiohttp", "cattrs", "redis", "click", "rich", "enkash_async.sandbox"]),
        ("from enkash_async import Bill, NotFoundError, PaymentStatus", ["aiohttp", "cattrs", "redis"]),
        ("from enkash_async import EnkashClient", ["redis", "click", "rich", "enkash_async.sandbox", "aiohttp.web"]),
    ],
)
def test_a_name_loads_what_it_needs_and_no_more(statement: str, absent: list[str]) -> None:
    """In a fresh process."""
    check = f"{statement}\nimport sys\nfound = set({absent!r}) & set(sys.modules)\nassert not found, found"
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)


def test_mypy_infers_a_users_types_without_a_cast(tmp_path: Path) -> None:
    """The example of the README, under --strict."""
    file = tmp_path / "user.py"
    file.write_text(USER_FILE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    revealed = [line.split('"')[1] for line in done.stdout.splitlines() if "Revealed type" in line]
    assert [re.sub(r"enkash_async\.models\._bills\.|builtins\.", "", kind) for kind in revealed] == [
        "FetchedBill",
        "enkash_async.bulk.BulkResult[None]",
        "Bill",
        "decimal.Decimal | None",
        "list[Bill]",
    ], done.stdout
    assert done.returncode == 0, done.stdout
