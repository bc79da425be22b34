"""pydantic and FastAPI take and return the values of the SDK, which does not need either."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import attrs
import pytest
from fastapi import Body, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from enkash_async import (
    Bill,
    Biller,
    BillerParam,
    BillFilter,
    BillRequest,
    BulkGroup,
    BulkItem,
    BulkResult,
    CompanyBiller,
    Confirmations,
    DebitRecord,
    FetchedBill,
    PaymentInitiation,
    PaymentStatus,
    RateLimitError,
    WebhookEvent,
    WebhookRegistration,
    to_dict,
    to_json,
)

AT = datetime(2026, 1, 31, 6, 30, tzinfo=UTC)
BILL = Bill(
    utility_enkash_id="U-1",
    amount=Decimal("100000000000000.07"),
    bill_date=date(2026, 1, 31),
    created_date=AT,
    payment_status=PaymentStatus("COMPLETED"),
    company_biller=CompanyBiller(biller=Biller(biller_id=7, biller_params=(BillerParam(key="cn", value="CN1"),))),
    unreadable=("approvedDate is not a date",),
    extra={"new": [1, "two", None]},
)
VALUES: list[Any] = [
    BILL,
    FetchedBill(bill_net_amount=Decimal("5.50"), consumer_number="CN1", biller_id=7),
    Biller(biller_id=7),
    PaymentInitiation(payload={"url": "https://pay.example/once"}, payment_status=PaymentStatus.INIT),
    DebitRecord(utility_enkash_id="U-1", state="sent", at=AT, window_left=2.5),
    WebhookRegistration(webhook_url="https://a.example", events=(WebhookEvent.UTILITY_BILLPAY_SUCCESS,)),
    BillFilter(
        amount_range_start=Decimal("5.50"), statuses=[PaymentStatus.INIT, "NEW"], created_date_from=date(2026, 1, 1)
    ),
    BillRequest(2001, {"cn": "CN1"}, reference_id="r", max_amount=Decimal("5.50"), fetched=FetchedBill()),
    Confirmations(confirmed=(BILL,), unknown=(BulkItem("U-2", BILL, group=BulkGroup.UNKNOWN),)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_from_json_as_it_was(value: Any) -> None:
    """No digit, word or zone is lost, and an instance passes through untouched."""
    adapter = TypeAdapter(type(value))
    again = adapter.validate_json(adapter.dump_json(value))
    assert again == value
    assert type(again) is type(value)
    assert adapter.validate_python(value) is value
    assert adapter.validate_python(to_dict(value)) == value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_pydantic_writes_the_members_of_to_dict(value: Any) -> None:
    """A service may change from one to the other, and the schema names every member."""
    adapter = TypeAdapter(type(value))
    expected = set(to_dict(value))
    assert set(adapter.dump_python(value)) == expected
    document = adapter.json_schema(mode="serialization")
    schema = document["$defs"][document["$ref"].rpartition("/")[2]] if "$ref" in document else document
    assert set(schema["properties"]) == set(schema["required"]) == expected
    assert schema["title"] == type(value).__name__


def test_half_a_surrogate_pair_is_written_as_a_replacement_character() -> None:
    """It is valid JSON, but not for pydantic: one such text of EnKash's would fail a whole list of bills."""
    torn = {"a\ud83d": ["x\udfff", {"b": "\udc00\ud83d"}], "c": Decimal("1.10")}
    for value, name in ((Bill(extra=torn), "extra"), (PaymentInitiation(payload=torn), "payload")):
        found = json.loads(TypeAdapter(type(value)).dump_json(value))[name]
        assert found == {"a\ufffd": ["x\ufffd", {"b": "\ufffd\ufffd"}], "c": "1.10"}
        assert json.loads(to_json(value))[name]["a\ud83d"] == ["x\udfff", {"b": "\udc00\ud83d"}]


@given(st.decimals(-(10**24), 10**24, allow_nan=False, allow_infinity=False, places=2))
def test_an_amount_keeps_its_digits(amount: Decimal) -> None:
    """It is a string in pydantic's JSON, which no program rounds."""
    adapter = TypeAdapter(Bill)
    written = json.loads(adapter.dump_json(Bill(amount=amount)))["amount"]
    assert written == str(amount)
    assert adapter.validate_python({"amount": written}).amount == amount


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_digits_that_were_written_or_refused(number: float) -> None:
    """Of more than fifteen digits nobody can tell which were written; the error says to send a string."""
    try:
        found = TypeAdapter(Bill).validate_python({"amount": number}).amount
    except ValidationError as problem:
        assert "send the amount as a string" in str(problem)
    else:
        assert found is not None
        assert found == Decimal(repr(number))


def test_a_word_that_enkash_adds_is_taken() -> None:
    """The schema is that of any string: a client that was generated from it does not refuse the word either."""
    adapter = TypeAdapter(PaymentStatus)
    found = adapter.validate_python("A_NEW_WORD")
    assert (found, type(found), found.is_known) == ("A_NEW_WORD", PaymentStatus, False)
    assert adapter.json_schema() == {"type": "string"}
    assert adapter.dump_json(found) == b'"A_NEW_WORD"'


def test_a_result_of_many_is_written_with_its_values_and_errors() -> None:
    """The errors are words, and the caller's own requests stay behind."""
    failed = BulkItem[Bill]("U-2", error=RateLimitError("slow down"), group=BulkGroup.FAILED, request=object())
    written = TypeAdapter(BulkResult[Bill]).dump_python(
        BulkResult(succeeded=(BulkItem("U-1", BILL),), failed=(failed,))
    )
    assert written["succeeded"][0]["value"]["outcome"] == "PENDING"
    assert written["failed"][0]["error"] == {"error": "RateLimitError", "message": "slow down"}
    assert "request" not in written["failed"][0]
    assert TypeAdapter(BulkResult).dump_python(BulkResult(duplicates=("a",)))["duplicates"] == ("a",)


def test_a_model_of_the_users_holds_values() -> None:
    """The values are fields like any others."""

    class Order(BaseModel):
        bill: Bill
        others: list[Bill] = []

    order = Order(bill=BILL, others=[BILL])
    assert order.bill is BILL
    assert Order.model_validate_json(order.model_dump_json()) == order


@pytest.mark.parametrize(
    ("kind", "document", "said"),
    [
        (Bill, {"amount": "much"}, "amount"),
        (Bill, {"created_date": "2026-01-31T12:00:00"}, "timezone"),
        (Bill, 5, "dict"),
        (DebitRecord, {}, "utility_enkash_id"),
        (BillRequest, {"biller_id": 0, "params": {"cn": "1"}}, "between 1 and"),
        (BillRequest, {"biller_id": 1, "params": {"cn": "1"}, "bill_amount": "1.005"}, "more than two decimals"),
        (BillRequest, {"biller_id": 1, "params": {"ad1": "1"}}, "the consumer number"),
    ],
)
def test_what_is_no_value_is_a_validation_error(kind: Any, document: Any, said: str) -> None:
    """The checks of the SDK are those of pydantic, so FastAPI answers 422 with their words."""
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(kind).validate_python(document)


# --- FastAPI ----------------------------------------------------------------------------------------------------------


async def called(app: FastAPI, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """Call a route as a server would, and return the status and the decoded JSON."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path}
    headers = [(b"content-type", b"application/json")]
    await app({**scope, "raw_path": path.encode(), "query_string": b"", "headers": headers}, receive, send)
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent))


class Job(BaseModel):
    """A body of the user's own."""

    request: BillRequest


def service() -> FastAPI:
    app = FastAPI()

    async def show(reference: str) -> Bill:
        return attrs.evolve(BILL, reference_id=reference)

    async def echo(request: Annotated[BillRequest, Body()]) -> BillRequest:
        return request

    async def echo_all(requests: list[BillRequest]) -> list[BillRequest]:
        return requests

    async def echo_job(job: Job) -> Job:
        return job

    async def every() -> list[Bill]:
        return [BILL]

    # The annotations of this module are strings, and FastAPI evaluates them in its globals.
    app.get("/bills/{reference}")(show)
    app.post("/requests")(echo)
    app.post("/lists")(echo_all)
    app.post("/jobs")(echo_job)
    app.get("/bills")(every)
    return app


async def test_a_route_returns_a_bill() -> None:
    """`-> Bill` is enough: the amount arrives with all its digits."""
    status, found = await called(service(), "GET", "/bills/inv-1")
    assert (status, found["reference_id"], found["amount"]) == (200, "inv-1", "100000000000000.07")
    assert found["company_biller"]["biller"]["biller_params"][0]["key"] == "cn"
    status, every = await called(service(), "GET", "/bills")
    assert (status, len(every), every[0]["outcome"]) == (200, 1, "PENDING")


async def test_a_route_takes_a_request() -> None:
    """What the SDK would refuse is a 422 that says why."""
    good = {"biller_id": 2001, "params": {"cn": "CN1"}, "bill_amount": "2450.75", "reference_id": "r"}
    status, found = await called(service(), "POST", "/requests", json.dumps(good).encode())
    assert (status, found["bill_amount"], found["params"]) == (200, "2450.75", {"cn": "CN1"})
    status, found = await called(service(), "POST", "/requests", json.dumps(good | {"bill_amount": 0.5}).encode())
    assert status == 422
    assert "at least 1 rupee" in found["detail"][0]["msg"]


@pytest.mark.parametrize(("path", "frame"), [("/lists", lambda one: [one]), ("/jobs", lambda one: {"request": one})])
async def test_a_request_within_a_body_needs_no_body_mark(path: str, frame: Callable[[Any], Any]) -> None:
    """FastAPI takes a list, and a model of pydantic's, for a body by itself."""
    good = {"biller_id": 2001, "params": {"cn": "CN1"}, "bill_amount": "2450.75", "reference_id": "r"}
    status, found = await called(service(), "POST", path, json.dumps(frame(good)).encode())
    assert status == 200
    [one] = found if path == "/lists" else found.values()
    assert (one["bill_amount"], one["params"]) == ("2450.75", {"cn": "CN1"})
    status, found = await called(service(), "POST", path, json.dumps(frame(good | {"bill_amount": 0.5})).encode())
    assert status == 422
    assert "at least 1 rupee" in found["detail"][0]["msg"]


def test_the_openapi_document_names_the_values() -> None:
    """A generated client has the classes of the SDK, each once."""
    schemas = service().openapi()["components"]["schemas"]
    names = {name.removesuffix("-Input").removesuffix("-Output") for name in schemas}
    assert {"Bill", "CompanyBiller", "Biller", "BillerParam", "BillRequest", "FetchedBill"} <= names
    amounts = schemas["Bill"]["properties"]["amount"]["anyOf"]
    assert {"type": "null"} in amounts
    assert any(one["type"] == "string" for one in amounts)


def test_values_do_not_need_pydantic() -> None:
    """No import of the SDK brings it in, and where it is missing, values work as ever."""
    code = """
import sys
sys.modules["pydantic"] = sys.modules["pydantic_core"] = None
from enkash_async import Bill, BillRequest, EnkashClient, to_json
print(to_json(Bill(amount=5)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert '"amount":5' in done.stdout
