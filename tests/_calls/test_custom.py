"""A call of the caller's own as a value: any route, any body, and the caution that fits its method."""

from __future__ import annotations

import enum
import json
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import InvalidRequestError, Routes
from enkash_async._calls import custom
from enkash_async._wire.operation import Effect, Operation, Request


class Word(str, enum.Enum):  # noqa: UP042 (`str()` of such a word is `Word.ON`)
    ON = "on"


def _request(method: Any, *segments: Any, params: Any = None, body: Any = None) -> Operation[object]:
    return custom.request(Routes(), method, segments, params=params, json=body)


def test_a_read_of_the_callers_own_is_a_bare_get() -> None:
    """The documented example: EnKash names this GET in a menu and no more."""
    assert _request("GET", "api", "v0", "webhook-data") == Operation(
        name="request GET",
        request=Request(method="GET", path="/api/v0/webhook-data"),
        result=object,
        effect=Effect.READ,
    )


def test_a_write_of_the_callers_own_has_path_query_and_body() -> None:
    """Each segment is encoded by itself, money is exact, and what stands under a sensitive name stays out of errors."""
    made = _request(
        "patch",
        "api",
        "a/b c",
        "é",
        params={"x": "1&2", "n": 5, "w": Word.ON},
        body={"amount": Decimal("1.10"), "day": date(2024, 12, 17), "list": [{"otp": "401936"}], "none": None},
    )
    assert made == Operation(
        name="request PATCH",
        request=Request(
            method="PATCH",
            path="/api/a%2Fb%20c/%C3%A9",
            query=(("x", "1&2"), ("n", "5"), ("w", "on")),
            body=b'{"amount":1.10,"day":"2024-12-17","list":[{"otp":"401936"}],"none":null}',
            content_type="application/json",
        ),
        result=object,
        effect=Effect.WRITES,
        sensitive=("401936",),
    )


@pytest.mark.parametrize(
    ("method", "effect"),
    [
        *(("GET", Effect.READ), ("HEAD", Effect.READ), ("POST", Effect.WRITES), ("PUT", Effect.WRITES)),
        *(("PATCH", Effect.WRITES), ("DELETE", Effect.WRITES), ("head", Effect.READ), ("delete", Effect.WRITES)),
    ],
)
def test_only_get_and_head_are_safe_to_repeat(method: str, effect: Effect) -> None:
    """Any other method may change something, and nobody could tell what; upper and lower case are one."""
    made = _request(method, "x", body={"a": 1})
    assert (made.effect, made.request.method, made.name) == (effect, method.upper(), f"request {method.upper()}")


@pytest.mark.parametrize("body", [0, False, "", [], {}])
def test_an_empty_body_is_a_body(body: Any) -> None:
    """None alone sends nothing."""
    made = _request("POST", "x", body=body).request
    assert json.loads(made.body or b"missing") == body
    assert made.content_type == "application/json"
    bare = _request("POST", "x").request
    assert (bare.body, bare.content_type) == (None, None)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_segments_arrive_whole_or_are_refused(segments: list[str]) -> None:
    """A slash in an id stays part of it, and no segment is dropped or becomes two."""
    try:
        made = _request("GET", *segments)
    except InvalidRequestError:
        return
    assert [unquote(part, errors="strict") for part in made.request.path.split("/")] == ["", *segments]


_leaves = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text() | st.decimals(-(10**9), 10**9, places=3)
)
_documents = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


@given(_documents)
def test_any_document_arrives_exactly_or_is_refused(document: Any) -> None:
    """Read back by another reader; a name that is empty, or half of a surrogate pair, is refused."""
    try:
        made = _request("POST", "x", body=document)
    except InvalidRequestError:
        return
    found = None if made.request.body is None else json.loads(made.request.body, parse_float=Decimal)
    assert found == document


@pytest.mark.parametrize(
    ("arguments", "how", "said"),
    [
        (("FETCH", "x"), {}, "method must be one of DELETE, GET, HEAD, PATCH, POST, PUT"),
        ((None, "x"), {}, "method must be one of DELETE, GET, HEAD, PATCH, POST, PUT"),
        (("GET",), {}, "name the parts of the path: client.request('GET', 'api', 'v0', 'webhook-data')"),
        (("GET", "a", ""), {}, "a path segment is empty; leave it out or give it a value"),
        (("GET", ".."), {}, "a path segment must not be '..': as part of a path it would mean another address"),
        (("GET", 5), {}, "a path segment must be a str, not int"),
        (("GET", "a"), {"params": "x=1"}, "params must be a mapping of names to values, not str"),
        (("GET", "a"), {"params": {"x": None}}, "params['x'] must be a str or an int, not NoneType"),
        (("GET", "a"), {"params": {"x": True}}, "params['x'] must be a str or an int, not bool"),
        (("GET", "a"), {"params": {"x": 1.5}}, "params['x'] must be a str or an int, not float"),
        (("GET", "a"), {"params": {"": "x"}}, "a name in params is empty; leave it out or give it a value"),
        (("GET", "a"), {"params": {"x": 10**40}}, "params['x'] has more digits than any number here"),
        (("POST", "a"), {"body": {"amount": 1.5}}, "json['amount'] must not be a float, floats lose paise: "),
        (("POST", "a"), {"body": {"a": [b"x"]}}, "json['a'][0] cannot be sent as JSON: bytes"),
    ],
)
def test_a_wrong_call_of_the_callers_own_is_refused(arguments: Any, how: dict[str, Any], said: str) -> None:
    """The message says where in the arguments, and what to write instead."""
    with pytest.raises(InvalidRequestError) as caught:
        _request(*arguments, **how)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("method", ["PUT", "put", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "segments",
    [
        ("api", "v0", "utilityPayment", "status"),
        ("api", "v2", "utilityPayment", "status"),
        ("API", "V0", "UtilityPayment", "STATUS"),
        ("api/v0/utilityPayment/status",),
        ("/api//v0/utilityPayment", "status/"),
        ("api", "v0", "utilityPayment", "./status"),
        ("api", "v0", "x/../utilityPayment", "status"),
        ("api\\v0\\utilityPayment", "status"),
        ("api", "v0", "utilityPayment", "stat%75s"),
        ("api", "v0", "utilityPayment", "stat%2575s"),
        ("api%2Fv0", "utilityPayment", "status"),
        ("api", "v0", "utilityPayment", "status?a=/b"),
        ("api", "v0", "utilityPayment", "status#a"),
        ("api", "v0;a=b", "utilityPayment", "status;c"),
        ("api", "v0", "utilityPayment", "status "),
        ("api", "v0", "utilityPayment", "status.json"),
    ],
)
def test_a_confirmation_of_the_callers_own_is_refused(method: str, segments: tuple[str, ...]) -> None:
    """Prevents a double debit, since nothing writes it down; some server takes each spelling for the route."""
    with pytest.raises(InvalidRequestError, match=r"client\.payments\.confirm_debit\(ids\)") as caught:
        _request(method, *segments, body={"utilityPaymentIds": ["U-1"]})
    assert "client.payments.pay(request)" in str(caught.value)


def test_the_confirmation_of_other_routes_is_refused_as_well() -> None:
    """So is the documented path then: EnKash may serve both."""
    routes = Routes(confirm_debit="/gate/v7/debits%20now/")
    for segments in (("gate", "v8", "debits now"), ("api", "v0", "utilityPayment", "status")):
        with pytest.raises(InvalidRequestError, match="confirm_debit"):
            custom.request(routes, "PUT", segments, params=None, json=None)


@pytest.mark.parametrize(
    ("method", "segments"),
    [
        ("GET", ("api", "v0", "utilityPayment", "status")),
        ("HEAD", ("api", "v0", "utilityPayment", "status")),
        ("PUT", ("api", "v0", "utilityPayment")),
        ("PUT", ("api", "v0", "utilityPayment", "status", "U-1")),
        ("PUT", ("api", "v0", "utilityPayment", "status-report")),
        ("PUT", ("api", "v0", "other", "status")),
    ],
)
def test_other_calls_of_the_callers_own_are_not_refused(method: str, segments: tuple[str, ...]) -> None:
    """A read confirms nothing, and a path that only begins or ends alike is another route."""
    assert _request(method, *segments).request.path == "/" + "/".join(segments)
