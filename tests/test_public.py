"""The public list: explicit, complete, lazy, typed."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

import enkash_async

NAMES: list[str] = vars(enkash_async)["__all__"]  # made of `__init__.pyi`, which does not name it

USER_FILE = """
import asyncio
from decimal import Decimal
from enkash_async import (
    Bill, BillFilter, BillNotifier, BillRequest, BulkGroup, BulkItem, BulkResult, Confirmations, EnkashClient,
    FetchedBill, Limits, PollPolicy, RetryPolicy, SettlePolicy,
)

async def main() -> None:
    retry = RetryPolicy(settle=5, writes=True)
    reveal_type(retry.settle)
    patient = RetryPolicy(settle=SettlePolicy(window=60, pauses=PollPolicy(first=0.5)))
    async with EnkashClient.from_env(retry=retry, limits=Limits(concurrency=8, rate=20, burst=4)) as client:
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
        reveal_type(await client.bills.reconcile("inv-2026-000481", settle=0))

        # Bills by the thousand.
        requests = [BillRequest(2001, {"cn": 1, "ad1": "x"}, reference_id="inv-1", bill_amount=10, fetched=fetched)]
        reveal_type(requests[0].params)
        reveal_type(await client.bills.fetch_many(requests, concurrency=4))
        created = await client.bills.create_many((one for one in requests), on_progress=lambda done, total: None)
        reveal_type(created)
        ids = [item.value.utility_enkash_id for item in created.succeeded if item.value is not None]
        reveal_type(created.failed[0].error)
        reveal_type(created.failed[0].group)
        async for read in client.bills.get_each(ids):
            reveal_type(read)
        async for item in client.bills.fetch_each(requests):
            reveal_type(item.value)
        async for made in client.bills.create_each(requests):
            reveal_type(made.value)
        reveal_type(await client.bills.get_many(ids))
        reveal_type(await client.bills.wait_many(ids, notifier=BillNotifier()))
        reveal_type(await client.payments.reconcile(ids, settle=SettlePolicy(window=0)))

asyncio.run(main())
"""
#: What mypy says of each `reveal_type` in it.
REVEALED = [
    "SettlePolicy",
    "FetchedBill",
    "BulkResult[None]",
    "Bill",
    "decimal.Decimal | None",
    "list[Bill]",
    "Bill | None",
    "typing.Mapping[str, str]",
    "BulkResult[FetchedBill]",
    "BulkResult[Bill]",
    "EnkashError | None",
    "BulkGroup",
    "BulkItem[Bill]",
    "FetchedBill | None",
    "Bill | None",
    "BulkResult[Bill]",
    "BulkResult[Bill]",
    "Confirmations",
]
#: What a user may get wrong, and what mypy says about it before EnKash does.
MISTAKES = {
    'await client.bills.fetch_many(["CN1"])': "list-item",
    "await client.payments.confirm_debit([5])": "list-item",
    "RetryPolicy(writes=1)": "arg-type",
    'Limits(rate="fast")': "arg-type",
    "EnkashClient.from_env(retry=3)": "arg-type",
    "EnkashClient.from_env(retrys=RetryPolicy())": "call-arg",
    'BillRequest(2001, {"cn": "1"}, "inv-1")': "call-arg",
    'BillRequest("2001", {"cn": "1"})': "arg-type",
    'BillRequest(2001, ["cn"])': "arg-type",
    'BillRequest(2001, {"cn": "1"}, reference_id=5)': "arg-type",
    'BillRequest(2001, {"cn": "1"}, bill_amount=10.5)': "arg-type",
}


def test_every_public_name_is_there_and_none_is_private() -> None:
    """The list is sorted and without repeats, and each name loads."""
    assert sorted(set(NAMES)) == sorted(NAMES)
    for name in NAMES:
        assert getattr(enkash_async, name) is not None
        assert name == "__version__" or not name.startswith("_")
    assert set(NAMES) <= set(dir(enkash_async))


def test_every_error_is_public() -> None:
    """A user who catches an error can import its class."""
    errors = importlib.import_module("enkash_async.errors")
    kinds = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert kinds | {"RetryAdvice"} == set(errors.__all__)
    assert kinds <= set(NAMES)


@pytest.mark.parametrize("module", ["bulk", "config", "errors", "models"])
def test_the_names_of_the_public_modules_can_be_imported_from_the_package(module: str) -> None:
    """The package has each name except those that only itself or its tests use."""
    found = importlib.import_module(f"enkash_async.{module}")
    inner = {"MAX_RESPONSE_BYTES", "OpenEnum", "Reply"}
    left_out = set(found.__all__) - inner - set(NAMES)
    assert not left_out
    assert all(getattr(enkash_async, name) is getattr(found, name) for name in set(found.__all__) - inner)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The lazy package raises an AttributeError for a name that it does not have."""
    with pytest.raises(AttributeError, match=r"^No enkash_async attribute Enkash$"):
        _ = enkash_async.Enkash  # type: ignore[attr-defined]  # mypy knows as well


def test_a_type_checker_sees_the_names_that_there_are_at_run_time() -> None:
    """Each is imported from its module under its own name, once, which is what makes a name of a stub public."""
    stub = ast.parse(Path(str(enkash_async.__file__)).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert imports == stub.body
    aliases = [alias for node in imports for alias in node.names]
    assert all(alias.asname == alias.name for alias in aliases)
    assert sorted(alias.name for alias in aliases) == NAMES


def test_the_version_is_that_of_the_distribution() -> None:
    """`__version__` and the installed metadata agree, because one file names the version."""
    assert enkash_async.__version__ == version("enkash-async")


def test_every_public_thing_has_a_docstring() -> None:
    """Every public class, function and public method has a text for `help()`."""
    for name in set(NAMES) - {"__version__"}:
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
        ("from enkash_async import BillNotifier, BillRequest, BulkResult, Limits", ["aiohttp", "cattrs", "redis"]),
        ("from enkash_async import RetryPolicy, SettlePolicy", ["aiohttp", "cattrs", "redis"]),
        ("from enkash_async import EnkashClient", ["redis", "click", "rich", "enkash_async.sandbox", "aiohttp.web"]),
    ],
)
def test_a_name_loads_what_it_needs_and_no_more(statement: str, absent: list[str]) -> None:
    """A fresh process imports a name without loading the listed heavy packages."""
    check = f"{statement}\nimport sys\nfound = set({absent!r}) & set(sys.modules)\nassert not found, found"
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs mypy over a program, with a cache for the next one."""
    folder = tmp_path_factory.mktemp("mypy")

    def run(program: str) -> subprocess.CompletedProcess[str]:
        file = folder / "user.py"
        file.write_text(program)
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), str(file)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)

    return run


def test_mypy_infers_a_users_types_without_a_cast(
    check: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    """mypy under --strict accepts the README's example and the bulk calls."""
    done = check(USER_FILE)
    revealed = [line.split('"')[1] for line in done.stdout.splitlines() if "Revealed type" in line]
    assert [re.sub(r"enkash_async\.[\w.]*\.|builtins\.", "", kind) for kind in revealed] == REVEALED, done.stdout
    assert done.returncode == 0, done.stdout


def test_mypy_sees_what_the_package_would_refuse(check: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    """mypy reports every mistake on its own line, with the expected code."""
    names = "from enkash_async import BillRequest, EnkashClient, Limits, RetryPolicy\n"
    lines = "".join(f"    {mistake}\n" for mistake in MISTAKES)
    done = check(f"{names}async def main(client: EnkashClient) -> None:\n{lines}")
    said = re.findall(r"^user\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    missed = [
        mistake for number, (mistake, kind) in enumerate(MISTAKES.items(), start=3) if (str(number), kind) not in said
    ]
    assert missed == [], done.stdout
