"""Every documented call is one pure function of `_calls`: the whole list, and that none of them waits for anything."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from enkash_async import BillFilter, FetchedBill, Routes
from enkash_async import _calls as room
from enkash_async._calls import billers, bills, payments, webhooks
from enkash_async._calls.search import search_page
from enkash_async._wire.operation import Operation

ROOM = Path(str(room.__file__)).parent
FETCHED = FetchedBill(company_biller_id="CB-1", bill_amount=10)  # type: ignore[arg-type]  # a whole number will do
CREATE: dict[str, Any] = dict.fromkeys(
    ("bill_amount", "circle", "bill_date", "bill_due_date", "remarks", "key_contact_email", "name", "email", "extra")
)
INITIATE: dict[str, Any] = dict.fromkeys(
    (
        *("amount", "remarks", "urn", "account_no", "seamless_banking", "frontend_version", "otp_reference_number"),
        *("otp", "partial_payment"),
    )
)
REGISTER: dict[str, Any] = dict.fromkeys(("enabled", "ssl_certificate", "company_id"))

#: The call of each route, with the fewest arguments.
CALLS: dict[str, Callable[[Routes], Operation[Any]]] = {
    "fetch_bill": lambda to: bills.fetch_current(
        to, 2001, {"cn": "1"}, circle=None, remarks=None, key_contact_email=None
    ),
    "billers": lambda to: billers.list_page(to, None, offset=0, limit=100),
    "biller_categories": billers.list_categories,
    "search_bills": lambda to: search_page(to, BillFilter(), offset=0, limit=100),
    "bill_by_reference": lambda to: bills.get_by_reference(to, "r"),
    "bill": lambda to: bills.get(to, "U-1"),
    "confirm_debit": lambda to: payments.confirm_debit(to, ["U-1"], remarks=None),
    "initiate_payment": lambda to: payments.initiate(to, ["U-1"], payment_type="UTILITY", **INITIATE),
    "add_bill": lambda to: bills.create(to, 2001, {"cn": "1"}, reference_id="r", **CREATE).operation,
    "create_bill": lambda to: bills.create_from_fetch(to, FETCHED, reference_id="r", amount=None).operation,
    "register_webhook": lambda to: webhooks.register(
        to, "https://you.example", headers={"X-Key": "s"}, events=["A"], **REGISTER
    ),
}


def test_every_route_but_the_login_has_a_call() -> None:
    """A route that is added to `Routes` needs a function here; the login is no call of the caller's."""
    assert set(CALLS) == {field.name for field in attrs.fields(Routes)} - {"token"}


@pytest.mark.parametrize("route", CALLS)
def test_a_call_goes_where_its_own_route_leads(route: str) -> None:
    """EnKash versions its paths one by one: another path for one route moves that call and no other."""
    own = str(getattr(Routes(), route))
    moved = Routes(**{route: f"/moved{own}"})
    for name, call in CALLS.items():
        before, after = call(Routes()).request.path, call(moved).request.path
        assert after == (f"/moved{before}" if name == route else before)


@pytest.mark.parametrize("route", CALLS)
def test_a_call_is_the_same_value_every_time(route: str) -> None:
    """Nothing in it comes from the clock, from chance or from an earlier call."""
    assert CALLS[route](Routes()) == CALLS[route](Routes())


@pytest.mark.parametrize("module", sorted(ROOM.glob("*.py")), ids=lambda path: str(path.name))
def test_no_function_of_the_room_awaits(module: Path) -> None:
    """What knows the meaning of EnKash's words takes data and returns data."""
    waiting = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    assert not [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, waiting)]
