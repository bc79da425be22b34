"""A call as a value: paths, bodies, and what their `repr` hides."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enkash_async._support import checks
from enkash_async._wire.operation import Effect, Operation, Request, Response, json_request, path
from enkash_async.config import Routes
from enkash_async.errors import InvalidRequestError

ODD = "ref/1 é?#%2F"
UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def is_legal(value: str) -> bool:
    """Whether EnKash can be asked for this id; written here anew, because the rule is under test."""
    kinds = {unicodedata.category(character) for character in value}
    control = any(character < " " or character == "\x7f" for character in value)
    return bool(value.strip()) and value not in {".", ".."} and "Cs" not in kinds and not control


IDS = st.text(min_size=1).filter(is_legal)


# --- paths ------------------------------------------------------------------------------------------------------------


def test_a_route_without_a_placeholder_is_its_own_path() -> None:
    """The path equals the route: nothing is added or quoted."""
    assert path("/api/v1/utilityPayment/search") == "/api/v1/utilityPayment/search"


def test_an_odd_id_arrives_whole() -> None:
    """The path quotes slash, question mark and `%2F`, which would change the route."""
    assert path("/x/{id}", id=ODD) == "/x/ref%2F1%20%C3%A9%3F%23%252F"


@given(IDS)
@example(ODD)
@example("...")
@example("{referenceId}")
@example("{utilityEnkashId}")
@example("a+b&c=d;e")
@example("..%2f..")
@example("\\..\\")
def test_any_legal_id_is_one_segment_that_decodes_to_itself(identifier: str) -> None:
    """The path has only unreserved characters and `%`, so no proxy reads it otherwise."""
    checked = checks.identifier(identifier, "reference_id")
    made = path(Routes().bill_by_reference, referenceId=checked)
    prefix = "/api/v2/utilityPayment/referenceId/"
    assert made.startswith(prefix)
    segment = made.removeprefix(prefix)
    assert set(segment) <= UNRESERVED | {"%"}
    assert segment not in {"", ".", ".."}
    assert unquote(segment, errors="strict") == identifier


@given(IDS, IDS)
def test_one_id_cannot_take_the_place_of_another(first: str, second: str) -> None:
    """The path quotes an id that looks like a placeholder before it fills in the next one."""
    made = path("/{a}/{b}", a=first, b=second)
    assert [unquote(part) for part in made.split("/")[1:]] == [first, second]


@pytest.mark.parametrize(
    "identifier",
    ["", " ", "\t", ".", "..", "a\nb", "a\x00", "\x1f", "a\x7f", "\ud800", "a\udfffb", None, 5, b"ref", ["ref"]],
)
def test_an_id_that_would_change_the_path_is_refused(identifier: object) -> None:
    """An empty id would call another route, because two GET routes share a prefix."""
    with pytest.raises(InvalidRequestError, match="reference_id"):
        checks.identifier(identifier, "reference_id")


@given(st.text())
def test_an_id_is_either_legal_or_refused(identifier: str) -> None:
    """The path raises `InvalidRequestError` and no other error."""
    try:
        assert checks.identifier(identifier, "id") == identifier
    except InvalidRequestError:
        assert not is_legal(identifier)
    else:
        assert is_legal(identifier)


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_a_json_request_says_what_it_is() -> None:
    """The request has method, path, body and content type."""
    request = json_request("POST", "/x", {"billerId": 2001, "billParams": {"cn": "007"}})
    assert (request.method, request.path, request.query) == ("POST", "/x", ())
    assert request.body == b'{"billerId":2001,"billParams":{"cn":"007"}}'
    assert request.content_type == "application/json"


@given(st.decimals(min_value=1, max_value=10**20, allow_nan=False, places=2) | st.just(Decimal("100000000000000.07")))
def test_money_leaves_digit_for_digit(money: Decimal) -> None:
    """The standard library reads the argument's digits back from the body."""
    body = json_request("POST", "/x", {"billAmount": checks.amount(money, "bill_amount")}).body
    assert body is not None
    found = json.loads(body, parse_float=Decimal)["billAmount"]
    assert found.as_tuple() == money.as_tuple()


def test_a_body_is_bytes_for_every_text() -> None:
    """The writer escapes half of a surrogate pair and does not raise."""
    assert json_request("POST", "/x", {"a": "é\ud800"}).body == b'{"a":"\\u00e9\\ud800"}'


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "success"), [(199, False), (200, True), (204, True), (299, True), (300, False)])
def test_success_is_2xx(status: int, success: bool) -> None:
    """A redirect and an informational status count as no success."""
    assert Response(status=status, headers={}, body=b"").is_success is success


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/html"}])
def test_the_content_type_is_the_header(headers: dict[str, str]) -> None:
    """The response returns the header's text, or None where the server sent none."""
    assert Response(status=200, headers=headers, body=b"").content_type == headers.get("content-type")


def test_two_requests_for_the_same_are_equal() -> None:
    """Nothing in a request tells one from another but what is sent."""
    assert Request(method="GET", path="/x") == Request(method="GET", path="/x")
    assert Request(method="GET", path="/x") != Request(method="GET", path="/y")


if TYPE_CHECKING:  # mypy refuses to change a value of a call; where it did not, it would refuse the comment

    def _change(request: Request, response: Response, operation: Operation[object]) -> None:
        request.path = "/y"  # type: ignore[misc]
        response.status = 200  # type: ignore[misc]
        operation.effect = Effect.READ  # type: ignore[misc]


def test_repr_shows_no_body_and_no_query() -> None:
    """The repr hides them, because logs and tracebacks show it."""
    request = Request(
        method="POST",
        path="/x",
        query=(("q", "hush-query"),),
        body=b"hush-body",
    )
    response = Response(status=200, headers={"set-cookie": "hush-cookie"}, body=b"hush-reply")
    operation = Operation(
        name="bills.create",
        request=request,
        result=dict[str, Any],
        effect=Effect.CREATES,
        utility_enkash_ids=("hush-id",),
        sensitive=("hush-cn",),
    )
    assert "hush" not in f"{request!r}{response!r}{operation!r}{request}{response}{operation}"
    assert "bills.create" in repr(operation)
