"""What a reply means: a value, or the error that it is."""

from __future__ import annotations

import json
import pickle
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from enkash_async._support import exact_json
from enkash_async._wire import converter
from enkash_async._wire.envelope import read, read_in_slices
from enkash_async._wire.operation import Effect, Operation, Request, Response
from enkash_async.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    BillerInactiveError,
    DuplicateReferenceError,
    EnkashError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseDecodeError,
    ServerError,
    VelocityLimitError,
)
from enkash_async.models import Bill, Biller, BillerCategory, FetchedBill, PaymentInitiation, PaymentStatus

from support import FRAMES, drained

SAMPLES = Path(__file__).parents[1] / "samples"
JSON_TYPE = "application/json"
HTML = (SAMPLES / "bad_gateway.html").read_bytes()
MONEY = Decimal("2450.75")

RESULTS: list[Any] = [
    Bill,
    FetchedBill,
    PaymentInitiation,
    list[Bill],
    list[Biller],
    list[BillerCategory],
    type(None),
    object,
]
STATUSES = st.sampled_from([100, 200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 412, 418, 422, 429, 500, 502, 503])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def operation(result: Any = Bill, effect: Effect = Effect.READ, sensitive: tuple[str, ...] = ()) -> Operation[Any]:
    request = Request(method="GET", path="/api/v2/utilityPayment/UTIL-1")
    return Operation(name="bills.get", request=request, result=result, effect=effect, sensitive=sensitive)


def reply(document: Any, status: int = 200, **headers: str) -> Response:
    """Return a reply with a JSON document, or with bytes as they are."""
    body = document if isinstance(document, bytes) else exact_json.dumps(document).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers={"content-type": JSON_TYPE, **named}, body=body)


def meaning(document: Any, status: int = 200, result: Any = Bill, **headers: str) -> Any:
    return read(operation(result), reply(document, status, **headers))


def envelope(payload: Any = None, code: Any = 0, message: Any = "Success") -> dict[str, Any]:
    return {"response_code": code, "response_message": message, "payload": payload}


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_bytes(), parse_float=Decimal)


def shown(error: object) -> str:
    """Return everything that an error says and holds, as text."""
    assert isinstance(error, EnkashError)
    texts = [str(error), repr(error), repr(error.args), repr(vars(error)), repr(error.__cause__)]
    return "\n".join([*texts, *traceback.TracebackException.from_exception(error, capture_locals=True).format()])


# --- success ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["0", '"0"', "0.0", '" 0 "', "0e0", "-0", '"0.0"', '"000"'], ids=lambda code: f"<{code}>"
)
def test_success_is_2xx_and_code_zero(code: str) -> None:
    """The reader takes the code as an integer and as a string, because the pages print both."""
    body = f'{{"response_code": {code}, "payload": {{"amount": 2450.75}}}}'.encode()
    assert meaning(body) == Bill(amount=MONEY)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_may_carry_a_success(status: int) -> None:
    """The reader takes a payload from every 2xx, because EnKash's page says «2XX»."""
    assert meaning(envelope({"amount": MONEY}), status) == Bill(amount=MONEY)


def test_an_amount_comes_through_whole() -> None:
    """The value has the digits of the reply's bytes."""
    body = b'{"response_code":0,"response_message":"Success","payload":{"amount":100000000000000.07}}'
    assert str(meaning(body).amount) == "100000000000000.07"


@pytest.mark.parametrize("message", ["Success", "SUCCESS", " success "])
def test_a_success_that_says_so_needs_no_code(message: str) -> None:
    """The reader takes a clear word for success, although the code is missing."""
    assert meaning({"response_message": message, "payload": {"amount": 1}}) == Bill(amount=Decimal(1))
    assert meaning({"message": message, "payload": {"amount": 1}, "code": None}) == Bill(amount=Decimal(1))


@pytest.mark.parametrize("message", ["FAILURE", "failed", " Error "])
def test_a_failure_that_says_so_needs_no_code_either(message: str) -> None:
    """An envelope without a code is an error when its message is a sister product's word for failure."""
    error = meaning({"response_message": message, "payload": "Vehicle not registered"})
    assert type(error) is ApiError
    assert "Vehicle not registered" in str(error)


@pytest.mark.parametrize("message", ["ok", "", None, 5, "Successful"])
def test_an_envelope_without_a_code_is_no_success(message: Any) -> None:
    """The reader raises, because either answer would be a guess about money."""
    error = meaning({"response_message": message, "payload": {"amount": 1}})
    assert type(error) is ResponseDecodeError
    assert error.where == "response_code"


@pytest.mark.parametrize("code", [True, False, "abc", "", [], {}, Decimal("0.5"), "0x0", Decimal("1E+999")], ids=repr)
def test_a_code_that_cannot_be_read_is_no_success(code: Any) -> None:
    """The reader does not take `False` for 0, which it equals in Python alone."""
    error = meaning(envelope({"amount": 1}, code))
    assert type(error) is ResponseDecodeError
    assert error.where == "response_code"
    assert (error.status, error.content_type) == (200, JSON_TYPE)
    assert "response_code is not a" in str(error)


def test_the_example_of_a_confirmation_is_a_success_without_data() -> None:
    """The reader accepts the only reply that a page shows whole."""
    assert meaning(sample("confirm_debit.json"), result=type(None)) is None


@pytest.mark.parametrize("payload", [None, "", {}, [], "Success", " success "], ids=repr)
def test_a_call_without_data_takes_a_payload_that_says_nothing(payload: Any) -> None:
    """The reader takes every form of «nothing» for a plain success."""
    assert meaning(envelope(payload), result=type(None)) is None


@pytest.mark.parametrize("payload", ["done", {"anything": 1}, [1], 5, False], ids=repr)
def test_a_call_without_data_takes_no_payload_that_says_something(payload: Any) -> None:
    """The reader raises, because the payload may list the bills that EnKash did not debit."""
    error = meaning(envelope(payload), result=type(None))
    assert (type(error), error.where) == (ResponseDecodeError, "payload")


@pytest.mark.parametrize("payload", [None, "missing"])
def test_a_bill_without_a_payload_is_unreadable(payload: Any) -> None:
    """The reader raises, because an empty bill would look like an unpaid one."""
    document = envelope() if payload is None else {"response_code": 0, "response_message": "Success"}
    error = meaning(document)
    assert (type(error), error.where) == (ResponseDecodeError, "payload")


def test_a_create_without_a_payload_has_still_created() -> None:
    """Code 0 alone says that the bill exists, because no page shows the reply."""
    assert read(operation(Bill, Effect.CREATES), reply(envelope())) == Bill()


@pytest.mark.parametrize(
    ("payload", "result", "where"),
    [
        ("text", Bill, "payload"),
        ([], Bill, "payload"),
        (5, list[Bill], "payload"),
        ({"amount": "hush"}, Bill, "payload.amount"),
        ({"paymentStatus": ["hush"]}, Bill, "payload.paymentStatus"),
        ({"company_biller": "x", "BILLPAY_STATUS": ["hush"]}, Bill, "payload.BILLPAY_STATUS"),
    ],
)
def test_an_unreadable_reply_names_the_place_and_never_a_value(payload: Any, result: Any, where: str) -> None:
    """The error hides the value, which may be personal or secret."""
    error = meaning(envelope(payload), result=result)
    assert type(error) is ResponseDecodeError
    assert (error.where, error.status, error.content_type) == (where, 200, JSON_TYPE)
    assert f"the reply cannot be read: {where} is not a" in str(error)
    assert "hush" not in shown(error)


def test_the_documented_webhook_bill_is_read_from_an_envelope() -> None:
    """The reader keeps the words of the example that no list has."""
    bill = meaning(envelope(sample("webhook_bill.json")))
    assert (bill.amount, bill.payment_status) == (MONEY, PaymentStatus("COMPLETED"))
    assert bill.extra == {}


def test_a_list_may_come_without_an_envelope() -> None:
    """The reader accepts it, because no page shows the reply of either list."""
    assert meaning([{"billerId": 1}], result=list[Biller]) == [Biller(biller_id=1)]


@pytest.mark.parametrize("document", [{}, {"amount": 1}, {"status": "UP"}, "text", 5, None, True])
@pytest.mark.parametrize("result", [Bill, type(None), PaymentInitiation, list[Bill]])
def test_what_is_no_envelope_is_no_success(document: Any, result: Any) -> None:
    """The reader refuses the 200 of a proxy or of another service."""
    error = meaning(document, result=result)
    assert type(error) is ResponseDecodeError
    assert "not an envelope" in str(error)


@pytest.mark.parametrize("document", [{}, {"amount": MONEY}, [1], "text", 5, None])
def test_a_call_of_the_users_own_may_be_answered_without_an_envelope(document: Any) -> None:
    """The reader accepts it, because `client.request()` serves unknown routes."""
    assert meaning(document, result=object) == document
    assert meaning(envelope(document), result=object) == document
    assert meaning(b"", 204, result=object) is None
    assert type(meaning(b"", 204)) is ResponseDecodeError


# --- bodies that are not JSON -----------------------------------------------------------------------------------------

NOT_JSON = [
    HTML,
    b"",
    b"   ",
    b'{"response_code": 0, "payload": {"amount"',
    b'{"response_code": 0',
    b"\xff\xfe\x00",
    b"OK",
    b"NaN",
    b'{"response_code": 0, "payload": {"amount": NaN}}',
    b"[" * 100_000,
]
IDS = "html empty blank truncated cut binary word nan inner-nan deep"


@pytest.mark.parametrize("body", NOT_JSON, ids=IDS.split(" "))
@pytest.mark.parametrize("result", RESULTS, ids=str)
def test_a_200_that_is_not_json_is_unreadable(body: bytes, result: Any) -> None:
    """The reader takes no such body for success, even where no data was asked for."""
    error = meaning(body, result=result, content_type="text/html")
    if result is object and not body:
        assert error is None
        return
    assert type(error) is ResponseDecodeError
    assert (error.status, error.content_type, error.where) == (200, "text/html", None)
    assert ("not UTF-8" if body.startswith(b"\xff") else "not JSON") in str(error)
    assert "nginx" not in shown(error)


@pytest.mark.parametrize("body", NOT_JSON, ids=IDS.split(" "))
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (429, RateLimitError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
    ],
)
def test_an_error_that_is_not_json_goes_by_its_status(body: bytes, status: int, kind: type[ApiError]) -> None:
    """The reader judges a gateway's page by its status alone."""
    error = meaning(body, status, content_type="text/html")
    assert type(error) is kind
    assert (error.status, error.response_code, error.response_message, error.payload) == (status, None, None, None)
    assert f"HTTP {status}" in str(error)


def test_a_reply_without_a_content_type_says_so() -> None:
    """The message of the error tells the user that the reply named no content type."""
    error = read(operation(), Response(status=200, headers={}, body=b"<html>"))
    assert isinstance(error, ResponseDecodeError)
    assert error.content_type is None
    assert "no content type" in str(error)


# --- codes and statuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, ApiError),
        (36, VelocityLimitError),
        (37, VelocityLimitError),
        (38, DuplicateReferenceError),
        ("36", VelocityLimitError),
        ("38", DuplicateReferenceError),
        (Decimal("38.0"), DuplicateReferenceError),
        (-1, ApiError),
        (99, ApiError),
        (401, AuthenticationError),
        (400, BadRequestError),
        (422, BillerInactiveError),
        (429, RateLimitError),
        (500, ServerError),
        (503, ServerError),
    ],
)
def test_a_code_other_than_zero_is_an_error_even_with_200(code: Any, kind: type[ApiError]) -> None:
    """Each documented code has its class, and HTTP statuses sent as codes have theirs."""
    error = meaning(envelope({"amount": 1}, code, "Failed"))
    assert type(error) is kind
    assert (error.status, error.response_code, error.response_message) == (200, int(code), "Failed")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, ApiError),
        (302, ApiError),
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, ApiError),
        (409, ApiError),
        (412, BadRequestError),
        (418, ApiError),
        (422, BillerInactiveError),
        (429, RateLimitError),
        (500, ServerError),
        (501, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (599, ServerError),
        (99, ServerError),
        (101, ServerError),
        (600, ServerError),
        (999, ServerError),
    ],
)
@pytest.mark.parametrize("code", [0, 1, "1", None, 400])
def test_a_status_other_than_2xx_is_an_error_whatever_the_code(status: int, kind: type[ApiError], code: Any) -> None:
    """The reader makes no success of a 500 with code 0."""
    error = meaning(envelope("reason", code, "Failed"), status)
    assert type(error) is kind
    assert (error.status, error.response_code) == (status, None if code is None else int(code))


@pytest.mark.parametrize("status", [200, 400, 409, 422])
@pytest.mark.parametrize(
    ("code", "kind"), [(36, VelocityLimitError), (37, VelocityLimitError), (38, DuplicateReferenceError)]
)
def test_the_three_business_codes_win_over_the_status(status: int, code: int, kind: type[ApiError]) -> None:
    """The code decides the class, because no page names its status."""
    assert type(meaning(envelope(None, code, "Failed"), status)) is kind


def test_an_error_carries_its_evidence() -> None:
    """The error has method, path and request id for a mail to EnKash's support."""
    error = meaning(envelope({"field": "billerId"}, 1, "Validation failed"), 400, x_request_id="req-1")
    assert vars(error) == {
        "status": 400,
        "response_code": 1,
        "response_message": "Validation failed",
        "payload": {"field": "billerId"},
        "method": "GET",
        "path": "/api/v2/utilityPayment/UTIL-1",
        "request_id": "req-1",
    }
    said = "bills.get: EnKash answered HTTP 400, response_code 1, Validation failed"
    assert str(error) == f"{said} [EnKash's request id req-1]"


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({}, None),
        ({"x_correlation_id": "c"}, "c"),
        ({"x_request_id": "r", "x_correlation_id": "c"}, "r"),
        ({"x_request_id": ""}, None),
    ],
)
def test_the_request_id_is_the_replys(headers: dict[str, str], request_id: str | None) -> None:
    """The error carries `x_request_id`, or `x_correlation_id` where that is absent or empty."""
    assert meaning(envelope(None, 1), 200, Bill, **headers).request_id == request_id


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, 1, "EnKash does not take the token"),
        (403, 1, "IP address"),
        (422, 1, "not active"),
        (200, 36, "velocity limit"),
        (200, 38, "bills.get_by_reference() or `enkash bill get --reference`"),
        (429, 1, "wait and try again"),
    ],
)
def test_a_message_says_what_to_do_next(status: int, code: int, advice: str) -> None:
    """The message adds advice for each status and code whose remedy is known."""
    assert advice in str(meaning(envelope(None, code, "Failed"), status))


def test_a_message_turns_no_writing_direction() -> None:
    """A terminal would show the words in another order, as in a forged line of a log."""
    error = meaning(envelope("\u202eon\u2066", 1, "x\u2028y \u0939\u200d"), 400)
    assert not {*"\u202e\u2066\u2028"} & {*str(error), *str(error.payload)}
    assert (error.payload, error.response_message) == (r"\u202eon\u2066", r"x\u2028y " + "\u0939\u200d")


def test_a_message_does_not_repeat_itself() -> None:
    """The message says nothing twice and does not call an error a success."""
    assert str(meaning(envelope("Bad biller", 1, "Bad biller"), 400)).count("Bad biller") == 1
    assert "Success" not in str(meaning(envelope("Bad biller", 1, "Success"), 400))


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", "", 7.0),
        ("Mon, 02 Jun 2025 14:24:44 GMT", "Mon, 02 Jun 2025 14:24:14 GMT", 30.0),
        ("soon", "", None),
        ("-1", "", None),
    ],
)
def test_retry_after_is_on_the_error(status: int, value: str, date: str, seconds: float | None) -> None:
    """The error has the seconds, from a number or from a date read against the reply's own."""
    assert meaning(HTML, status, retry_after=value, date=date).retry_after == seconds
    assert meaning(HTML, status).retry_after is None


# --- «No utility payment found» ---------------------------------------------------------------------------------------

SAID = [
    "No utility payment found",
    "NO UTILITY PAYMENT FOUND",
    "no utility payments found",
    "  No  utility\tpayment\n found. ",
    "Error: No utility payment found for this id",
]


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize(("status", "code"), [(400, 1), (400, 0), (400, None), (200, 1), (404, 1), (404, None)])
def test_enkashs_word_for_no_such_bill_is_not_found(said: str, status: int, code: int | None) -> None:
    """The reader finds the words in payload or message, in any case and spacing."""
    for document in (envelope(said, code, "Failed"), envelope(None, code, said)):
        error = meaning(document, status)
        assert type(error) is NotFoundError
        assert error.bill_absent
        assert (error.status, error.response_code) == (status, code)


def test_the_sample_of_an_unknown_bill_is_not_found() -> None:
    """The sample of the guide marks the bill as absent, in an envelope and as a bare string."""
    error = meaning(sample("no_bill.json"), 400)
    assert (type(error), error.bill_absent, error.payload) == (NotFoundError, True, "No utility payment found")
    assert meaning(b'"No utility payment found"', 400).bill_absent


@pytest.mark.parametrize("body", [HTML, b"", b"{}", b'{"error":"Not Found","path":"/x"}', b'{"payload":"No route"}'])
def test_a_bare_404_proves_nothing_about_the_bill(body: bytes) -> None:
    """The error does not mark the bill as absent, because a gateway may send a 404."""
    error = meaning(body, 404)
    assert type(error) is NotFoundError
    assert error.bill_absent is False


@pytest.mark.parametrize("said", ["No utility payments", "utility payment found", "No utility bill found", ""])
def test_other_words_are_another_error(said: str) -> None:
    """A 400 with any other words is a bad request."""
    assert type(meaning(envelope(said, 1, "Failed"), 400)) is BadRequestError


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_that_says_so_is_a_server_error(status: int) -> None:
    """A 500 with the words for «no such bill» does not mark the bill as absent."""
    assert type(meaning(envelope(SAID[0], 1), status)) is ServerError
    assert type(meaning(envelope(SAID[0], status), 200)) is ServerError


@pytest.mark.parametrize("status", [99, 101, 600, 999])
def test_a_number_that_is_no_status_proves_nothing_about_the_bill(status: int) -> None:
    """RFC 9110 counts it as a 5xx."""
    assert type(meaning(envelope(SAID[0], 1), status)) is ServerError


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (403, PermissionDeniedError), (429, RateLimitError)]
)
def test_who_is_not_let_in_learns_nothing_about_a_bill(status: int, kind: type[ApiError]) -> None:
    """Prevents a double payment: a refused token with those words must not allow a create."""
    assert type(meaning(envelope(SAID[0], 1), status)) is kind


@pytest.mark.parametrize("code", [True, "abc", "E400", [], Decimal("0.5")], ids=repr)
def test_an_unreadable_code_does_not_hide_what_an_error_says(code: Any) -> None:
    """The words decide the error, because the status says that it is one."""
    error = meaning(envelope(SAID[0], code, "Failed"), 400)
    assert (type(error), error.response_code, error.response_message) == (NotFoundError, None, "Failed")
    assert "Validation failed" in str(meaning(envelope(None, code, "Validation failed"), 400))


# --- sister products --------------------------------------------------------------------------------------------------


def test_the_envelope_of_rewards_is_understood() -> None:
    """The reader takes `code` and `message` in place of EnKash's two names."""
    assert meaning(sample("sister_rewards.json")) == Bill(utility_enkash_id="UTIL-87654321")
    error = meaning({"code": "38", "message": "Used before", "payload": None})
    assert (type(error), error.response_message) == (DuplicateReferenceError, "Used before")


@pytest.mark.parametrize("status", [200, 400])
def test_the_reason_of_a_fleet_error_is_not_lost(status: int) -> None:
    """The message has the reason of `errorResponse`, beside the bare word FAILURE."""
    error = meaning(sample("sister_fleet.json"), status)
    assert type(error) is BadRequestError
    assert "Vehicle not registered" in str(error)


@pytest.mark.parametrize("name", ["errorMessage", "message"])
def test_the_reason_of_a_fleet_error_may_be_that_there_is_no_bill(name: str) -> None:
    """The reader finds the words for «no such bill» there as well."""
    error = meaning({**envelope(None, 1, "FAILURE"), "errorResponse": {name: SAID[0]}}, 400)
    assert type(error) is NotFoundError
    assert error.bill_absent


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"message": "M"}, "M"),
        ({"errorMessage": "M"}, "M"),
        ({"error": "M"}, "M"),
        ({"error": "invalid_token", "error_description": "M"}, "M"),
        ({"errorResponse": {"errorMessage": "M"}}, "M"),
        ({"errorResponse": {"message": "M"}}, "M"),
        ({"errorResponse": "M"}, "M"),
        ({"response_message": "FAILURE", "errorResponse": ["M"]}, "M"),
        ({"response_message": "FAILURE", "errorResponse": [{"errorMessage": "M"}]}, "M"),
        ({"response_message": "FAILURE", "payload": {"message": "M"}}, "M"),
        ({"response_message": "Failed", "payload": [{"other": 1}, "M"]}, "M"),
        ({"response_message": "FAILURE", "payload": {"other": "M"}}, "FAILURE"),
        ({"type": "about:blank", "title": "Bad Request", "detail": "M"}, "M"),
        ({"resultCode": 400, "resultMessage": "M"}, "M"),
        ({"error": {"code": 1, "message": "M"}}, "M"),
        ({"errors": ["", {"message": "M"}]}, "M"),
        ({"error": "Bad Request", "errors": [{"field": "billAmount", "defaultMessage": "M"}]}, "billAmount M"),
        ({"errors": [[[[[["M"]]]]]]}, None),
        ({"response_message": "", "message": "M"}, "M"),
        ({"response_message": None, "message": ["M"], "error": "E"}, "E"),
        ({"timestamp": 1, "status": 400, "error": "Bad Request", "path": "/x"}, "Bad Request"),
        ({}, None),
    ],
)
def test_the_nearest_thing_to_a_message_is_found(document: dict[str, Any], message: str | None) -> None:
    """The reader finds the message in bodies of Spring, OAuth and sister products."""
    error = meaning(document, 400)
    assert error.response_message == message
    assert message is None or message in str(error)


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b" biller is down\n", "text/plain", "biller is down"),
        (b"biller is down", "Text/Plain; charset=utf-8", "biller is down"),
        (b"caf\xe9", "text/plain", "caf\ufffd"),
        (b"", "text/plain", None),
        (b"biller is down", "text/html", None),
        (b"biller is down", "", None),
        (b"<p>down</p>", "text/plain", None),
        (b'{"message": "down', "text/plain", None),
        (b"x" * 501, "text/plain", None),
    ],
)
def test_a_short_plain_text_is_the_message(body: bytes, content_type: str, message: str | None) -> None:
    """A firewall or a gateway says so what it refuses; a page or a broken document is no sentence."""
    error = meaning(body, 403, content_type=content_type)
    assert (type(error), error.response_message, error.payload) == (PermissionDeniedError, message, None)
    assert message is None or message in str(error)


def test_an_oauth_error_is_an_authentication_error() -> None:
    """The status 401 decides the class of an error that has no envelope."""
    error = meaning(sample("sister_oauth.json"), 401)
    assert (type(error), error.response_message) == (AuthenticationError, "Access token expired")


# --- nothing is raised ------------------------------------------------------------------------------------------------


def assert_understood(found: Any, result: Any) -> None:
    """Check for a result of the wanted type, or an error that can be shown and pickled."""
    if isinstance(found, EnkashError):
        assert isinstance(found, (ApiError, ResponseDecodeError))
        twin = pickle.loads(pickle.dumps(found))
        assert (type(twin), twin.args, repr(vars(twin))) == (type(found), found.args, repr(vars(found)))
        assert found.args[0] == str(found)
        return
    if result is type(None):
        assert found is None
    elif result in (Bill, FetchedBill, PaymentInitiation):
        assert isinstance(found, result)
        assert isinstance(hash(found), int)
    elif result is not object:
        assert isinstance(found, list)
    assert isinstance(repr(found), str)


def asked(result: Any, effect: Effect, response: Response) -> Any:
    return read(operation(result, effect, sensitive=("sensitive",)), response, secrets=("token-token",))


@settings(deadline=None)
@given(st.binary(), STATUSES, st.sampled_from(RESULTS), st.sampled_from(Effect))
def test_any_bytes_are_a_result_or_an_error(body: bytes, status: int, result: Any, effect: Effect) -> None:
    """`read` returns an error and raises nothing for any bytes."""
    assert_understood(asked(result, effect, Response(status=status, headers={}, body=body)), result)


@settings(deadline=None)
@given(JSON, STATUSES, st.sampled_from(RESULTS), st.sampled_from(Effect))
@example({"response_code": 10**30}, 200, Bill, Effect.READ)
@example({"response_code": 0, "payload": {"\ud800": "\udfff"}}, 200, Bill, Effect.READ)
@example({"response_code": 1, "response_message": "\ud800"}, 400, Bill, Effect.READ)
@example({"response_code": {}, "payload": {"a": {"b": []}}}, 400, Bill, Effect.READ)
def test_any_json_is_a_result_or_an_error(document: Any, status: int, result: Any, effect: Effect) -> None:
    """`read` raises nothing for any document of any depth."""
    assert_understood(asked(result, effect, reply(document, status)), result)


@settings(deadline=None)
@given(JSON, JSON, JSON, STATUSES, st.sampled_from(RESULTS))
def test_any_envelope_is_a_result_or_an_error(code: Any, message: Any, payload: Any, status: int, result: Any) -> None:
    """`read` raises nothing for any values of the three members."""
    assert_understood(asked(result, Effect.READ, reply(envelope(payload, code, message), status)), result)
    assert_understood(asked(result, Effect.READ, reply(envelope(payload), status)), result)


DOCUMENTS = {path.name: path.read_bytes() for path in sorted(SAMPLES.iterdir()) if path.suffix == ".json"}


def places(document: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Yield every place in a document."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        inner = list(document.items())
    elif isinstance(document, list):
        inner = list(enumerate(document))
    return [at, *(place for name, item in inner for place in places(item, (*at, name)))]


def replaced(document: Any, at: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy of a document with another value in one place."""
    if not at:
        return value
    copy = document.copy()
    copy[at[0]] = replaced(document[at[0]], at[1:], value)
    return copy


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(DOCUMENTS)), STATUSES, st.sampled_from(RESULTS), JSON)
def test_a_sample_with_another_value_somewhere_is_a_result_or_an_error(
    data: st.DataObject, name: str, status: int, result: Any, value: Any
) -> None:
    """`read` raises nothing for a documented body changed in up to two places."""
    document = json.loads(DOCUMENTS[name], parse_float=Decimal)
    for _ in range(data.draw(st.integers(1, 2))):
        document = replaced(document, data.draw(st.sampled_from(places(document))), value)
    assert_understood(asked(result, Effect.READ, reply(document, status)), result)


@settings(deadline=None)
@given(st.data(), st.sampled_from(sorted(DOCUMENTS)), STATUSES, st.sampled_from(RESULTS))
def test_a_sample_with_broken_bytes_is_a_result_or_an_error(
    data: st.DataObject, name: str, status: int, result: Any
) -> None:
    """`read` raises nothing for a documented body that is cut off or altered."""
    body = DOCUMENTS[name]
    start = data.draw(st.integers(0, len(body)))
    broken = body[:start] + data.draw(st.binary(max_size=4)) + body[data.draw(st.integers(start, len(body))) :]
    assert_understood(asked(result, Effect.READ, reply(broken, status)), result)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
@pytest.mark.parametrize("result", RESULTS, ids=str)
def test_a_truncated_sample_is_never_a_success(name: str, result: Any) -> None:
    """Half a reply of any length is not taken for a payment."""
    body = DOCUMENTS[name].rstrip()
    for length in range(len(body)):
        found = asked(result, Effect.CREATES, reply(body[:length]))
        if result is object and not length:
            continue
        assert type(found) is ResponseDecodeError


# --- in slices --------------------------------------------------------------------------------------------------------


def told(found: Any) -> Any:
    """Return everything about a result or an error."""
    return (type(found), str(found), repr(vars(found))) if isinstance(found, EnkashError) else found


def assert_the_same_in_slices(result: Any, effect: Effect, response: Response) -> None:
    """Check that a reply read in slices equals one read whole, in the smallest slices too."""
    call = operation(result, effect, sensitive=("sensitive",))
    expected = read(call, response, secrets=("token-token",))
    with pytest.MonkeyPatch.context() as patch:
        for _ in range(2):
            _, found = drained(read_in_slices(call, response, secrets=("token-token",)))
            assert told(found) == told(expected)
            assert repr(found) == repr(expected)
            patch.setattr(converter, "_SLICE", 1)
            patch.setattr(exact_json, "_SLICE", 1)


@given(
    st.binary() | JSON.map(exact_json.dumps).map(str.encode),
    STATUSES,
    st.sampled_from(RESULTS),
    st.sampled_from(Effect),
)
def test_any_body_means_the_same_in_slices(body: bytes, status: int, result: Any, effect: Effect) -> None:
    """Both readers return the same result, or an error with the same words and evidence."""
    assert_the_same_in_slices(result, effect, reply(body, status))


CODES = JSON | st.just(0) | st.sampled_from([0, "0", 36, 401, None])
MESSAGES = JSON | st.sampled_from(["Success", "FAILURE", "no utility payment found", "token-token"])


@given(CODES, MESSAGES, JSON, STATUSES, st.sampled_from(RESULTS), st.sampled_from(Effect))
def test_any_envelope_means_the_same_in_slices(
    code: Any, message: Any, payload: Any, status: int, result: Any, effect: Effect
) -> None:
    """Both readers agree for any values of the three members."""
    assert_the_same_in_slices(result, effect, reply(envelope(payload, code, message), status))


ITEMS = JSON | st.dictionaries(st.sampled_from(["amount", "billerId", "billDate", "utilityEnkashId", "name"]), JSON)


@settings(max_examples=60)
@given(st.lists(ITEMS, max_size=6), st.sampled_from(FRAMES), st.sampled_from(RESULTS), st.sampled_from(Effect))
def test_any_list_means_the_same_in_slices(items: list[Any], frame: Any, result: Any, effect: Effect) -> None:
    """Both readers return the same items, or the index of the first unreadable one."""
    assert_the_same_in_slices(result, effect, reply(envelope(frame(items))))


@given(st.data(), st.sampled_from(sorted(DOCUMENTS)), STATUSES, st.sampled_from(RESULTS), JSON)
def test_a_sample_with_another_value_somewhere_means_the_same_in_slices(
    data: st.DataObject, name: str, status: int, result: Any, value: Any
) -> None:
    """Both readers agree on every documented body, whole and changed in one place."""
    document = json.loads(DOCUMENTS[name], parse_float=Decimal)
    assert_the_same_in_slices(result, Effect.READ, Response(status=status, headers={}, body=DOCUMENTS[name]))
    document = replaced(document, data.draw(st.sampled_from(places(document))), value)
    assert_the_same_in_slices(result, Effect.READ, reply(document, status))


@pytest.mark.parametrize("body", NOT_JSON, ids=IDS.split(" "))
@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_body_that_is_not_json_means_the_same_in_slices(body: bytes, status: int) -> None:
    """Both readers return errors with the same words."""
    for result in RESULTS:
        assert_the_same_in_slices(result, Effect.READ, reply(body, status, content_type="text/html"))


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 250])
def test_a_list_of_any_length_is_read_in_slices(count: int) -> None:
    """No bill is lost or doubled between two slices of a hundred."""
    payload = [{"utilityEnkashId": f"U{number}", "amount": Decimal(f"{number}.07")} for number in range(count)]
    pauses, found = drained(read_in_slices(operation(list[Bill]), reply(envelope(payload))))
    assert found == [Bill(utility_enkash_id=f"U{number}", amount=Decimal(f"{number}.07")) for number in range(count)]
    assert pauses >= count / 100


@pytest.mark.parametrize("index", [0, 99, 100, 101, 199, 249])
def test_an_unreadable_item_of_any_slice_takes_no_other_with_it(index: int) -> None:
    """Every other bill has its amount, and the one at the index says what it lacks."""
    payload = [{"amount": "hush" if number == index else number} for number in range(250)]
    _, found = drained(read_in_slices(operation(list[Bill]), reply(envelope(payload))))
    assert isinstance(found, list)
    assert [bill.amount for bill in found] == [None if number == index else Decimal(number) for number in range(250)]
    assert [at for at, bill in enumerate(found) if bill.unreadable] == [index]


# --- redaction --------------------------------------------------------------------------------------------------------

SECRET = "hush-7f/e.9+c="
SENSITIVE = [
    "password",
    "accessToken",
    "access_token",
    "refreshToken",
    "REFRESH_TOKEN",
    "token",
    "clientSecret",
    "client_secret",
    "Authorization",
    "otp",
    "consumerNumber",
    "consumer_number",
    "consumerNumbers",
    "consumerName",
    "userName",
    "base64File",
    "billParams",
    "billInputParams",
    "billerParams",
    "cn",
    "ad1",
    "ad3",
]


@pytest.mark.parametrize("name", SENSITIVE)
@pytest.mark.parametrize("value", ["hush-value", 730518, ["hush-value"], {"deep": "hush-value"}, True], ids=repr)
def test_sensitive_members_are_never_repeated(name: str, value: Any) -> None:
    """The error redacts them at any depth and type, and says that they were there."""
    error = meaning(envelope({"errors": [{"at": {name: value, "field": "kept"}}], name: None}, 1, "Failed"), 400)
    assert "hush" not in shown(error)
    assert "730518" not in shown(error)
    assert error.payload == {"errors": [{"at": {name: "***", "field": "kept"}}], name: None}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BASIC", "Basic"])
def test_the_values_of_an_authorization_are_never_repeated(scheme: str) -> None:
    """The error redacts them, although the caller did not name them to `read`."""
    said = f"Header '{scheme}  bWFkZQ.LXVw+dmFs~dWU6/cg==' was refused"
    error = meaning(envelope({"why": [said], said: 1}, 1, said), 401)
    assert "bWFk" not in shown(error)
    assert f"{scheme} ***" in str(error)
    assert "was refused" in str(error)


def echoes(secret: str) -> list[Any]:
    return [
        envelope(secret, 1, "Failed"),
        envelope(f"see {secret}!", 1, f"{secret} {secret}"),
        envelope({"deep": [{"er": f"x{secret}x"}]}, 1, secret),
        envelope({secret: 1, f"_{secret}": {secret: secret}}, 1, "Failed"),
        {"error": "x", "error_description": secret},
        {"errorResponse": {"errorMessage": secret}},
        envelope(secret, secret, secret),
        secret,
        [secret],
        {secret: secret},
        envelope({"amount": secret}, 0),
        envelope([{"amount": secret}], 0),
        envelope("x" * 499 + secret, 1),
        f"<html>{secret}</html>".encode(),
        f'{{"response_code": 0, "payload": {{"amount": "{secret}"'.encode(),
    ]


@pytest.mark.parametrize("number", range(len(echoes(SECRET))))
@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
@pytest.mark.parametrize("source", ["secrets", "sensitive"])
def test_a_secret_that_the_reply_repeats_is_not_in_the_error(number: int, status: int, source: str) -> None:
    """The error redacts the token of the call and the values that its operation marks as sensitive."""
    response = reply(echoes(SECRET)[number], status)
    if source == "secrets":
        error = read(operation(), response, secrets=(SECRET,))
    else:
        error = read(operation(sensitive=(SECRET,)), response)
    assert SECRET not in shown(error)
    assert b"hush-7f" not in pickle.dumps(error)


@settings(deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="…*"), min_size=4).map(lambda text: f"§{text}§"),
    st.integers(0, len(echoes("")) - 1),
    st.sampled_from([200, 400, 500]),
)
def test_any_secret_is_kept_out_wherever_it_is_repeated(secret: str, number: int, status: int) -> None:
    """The error redacts a secret of any characters, those of a pattern included."""
    error = read(operation(sensitive=(secret,)), reply(echoes(secret)[number], status))
    if isinstance(error, EnkashError):
        assert secret not in str(error)
        assert repr(secret)[1:-1] not in shown(error)


@pytest.mark.parametrize("payload", [{"account": 9876543210}, 9876543210, [9876543210], {"a": {"b": [9876543210]}}])
def test_a_sensitive_number_that_is_repeated_as_a_number_is_not_in_the_error(payload: Any) -> None:
    """The error redacts a consumer number that the reply sends without quotes."""
    error = read(operation(sensitive=("9876543210",)), reply(envelope(payload, 1), 400))
    assert "9876543210" not in shown(error)


@pytest.mark.parametrize("sensitive", [("9876", "9876543210"), ("9876543210", "9876"), ("3210", "9876543210")])
def test_nothing_is_left_of_a_secret_that_holds_another_one(sensitive: tuple[str, ...]) -> None:
    """The error redacts the longest secret first, so that no part of it stays."""
    error = read(operation(sensitive=sensitive), reply(envelope("no consumer 9876543210", 1), 400))
    assert "543210" not in shown(error)
    assert "987654" not in shown(error)


@pytest.mark.parametrize("header", ["x-request-id", "x-correlation-id", "content-type"])
@pytest.mark.parametrize("status", [200, 400])
def test_a_secret_that_a_header_repeats_is_not_in_the_error(header: str, status: int) -> None:
    """The error redacts the reply's headers as well as its body."""
    response = Response(status=status, headers={header: f"x-{SECRET}"}, body=b"<html>")
    error = read(operation(), response, secrets=(SECRET,))
    assert SECRET not in shown(error)


def test_words_of_three_characters_are_left_alone() -> None:
    """The error does not redact every `1` of a message because a parameter was `1`."""
    error = read(operation(sensitive=("1", "404")), reply(envelope("Line 1 of 404", 1), 400))
    assert isinstance(error, ApiError)
    assert error.payload == "Line 1 of 404"
    error = read(operation(sensitive=("1234",)), reply(envelope("pin 1234", 1), 400))
    assert isinstance(error, ApiError)
    assert error.payload == "pin ***"


def test_an_error_is_evidence_and_not_an_archive() -> None:
    """The error cuts long texts, long lists and deep nests."""
    deep: Any = "end"
    for number in range(50):
        deep = {"in": deep} if number % 2 else [deep]
    error = meaning(envelope({"text": "x" * 9_999, "list": list(range(9_999)), "deep": deep}, 1, "y" * 9_999), 400)
    assert len(error.payload["text"]) == len(error.payload["list"]) == len(error.response_message) == 500
    assert "end" not in repr(error.payload)
    assert len(meaning(envelope({str(number): 1 for number in range(9_999)}, 1), 400).payload) == 500
    assert len(str(error)) < 1_000


def test_evidence_of_an_ordinary_depth_is_whole() -> None:
    """The error keeps fifteen levels, more than any documented reply has."""
    deep: Any = "end"
    for number in range(15):
        deep = {"in": deep} if number % 2 else [deep]
    assert meaning(envelope(deep, 1), 400).payload == deep


def test_a_payload_keeps_what_is_not_sensitive() -> None:
    """The error keeps exact numbers, nulls and booleans."""
    payload = {"amount": MONEY, "ok": False, "none": None, "rows": [1, "two"], "billerId": 2001}
    assert meaning(envelope(payload, 1), 400).payload == payload
