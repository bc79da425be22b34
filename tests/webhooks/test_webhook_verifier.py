"""Senders prove themselves by headers, and no secret shows anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from starlette.datastructures import Headers as StarletteHeaders

from enkash_async.errors import ConfigurationError, EnkashError, InvalidRequestError, WebhookAuthenticationError
from enkash_async.webhooks import BillEvent, WebhookVerifier

from support import shown

NEW, OLD, TENANT = "new-secret-3f9a77c1", "old-secret-b07d11e4", "tenant-secret-55aa"
HEADERS = {"X-Key": NEW}
SAMPLE = (Path(__file__).parents[1] / "samples" / "webhook_bill.json").read_bytes()
MEBIBYTE = 2**20

verifier = WebhookVerifier({"X-Key": [NEW, OLD]})
two = WebhookVerifier({"X-Key": [NEW, OLD], "X-Tenant": TENANT})


def _refused(headers: Any, body: bytes = SAMPLE, by: WebhookVerifier = verifier) -> WebhookAuthenticationError:
    with pytest.raises(WebhookAuthenticationError) as caught:
        by.verify(headers, body)
    with pytest.raises(WebhookAuthenticationError):
        by.authenticate(headers)
    return caught.value


# --- headers that are right -------------------------------------------------------------------------------------------

PAIRS = [("Host", "you.example"), ("x-kEY", NEW), ("Accept", "*/*"), ("Accept", "text/html")]
RAW = [(name.encode(), value.encode()) for name, value in PAIRS]
SHAPES: dict[str, Any] = {
    "dict": dict(PAIRS),
    "mapping": MappingProxyType(dict(PAIRS)),
    "pairs": PAIRS,
    "tuple of pairs": tuple(PAIRS),
    "pairs of bytes, as in ASGI": RAW,
    "mapping of bytes": dict(RAW),
    "aiohttp": CIMultiDictProxy(CIMultiDict(PAIRS)),
    "Starlette": StarletteHeaders(raw=[(name.lower(), value) for name, value in RAW]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_headers_are_taken_as_frameworks_give_them(shape: str) -> None:
    """The verifier takes names in any case and values as text or bytes."""
    verifier.authenticate(SHAPES[shape])
    assert verifier.verify(SHAPES[shape], SAMPLE).bill.utility_enkash_id == "UTIL-87654321"


def test_headers_may_be_read_once() -> None:
    """The verifier takes a generator of pairs."""
    verifier.authenticate(pair for pair in PAIRS)


@pytest.mark.parametrize("value", [NEW, OLD])
def test_every_accepted_value_is_taken(value: str) -> None:
    """The user can change a secret while posts with either value arrive."""
    verifier.authenticate({"X-Key": value})


def test_a_value_that_was_retired_is_refused() -> None:
    """The verifier refuses the old secret once its list holds the new one alone."""
    _refused({"X-Key": OLD}, by=WebhookVerifier({"X-Key": [NEW]}))


@pytest.mark.parametrize("given", [NEW, NEW.encode(), [NEW], (NEW,), {NEW}, [NEW.encode(), OLD]], ids=repr)
def test_values_are_configured_as_text_bytes_or_several(given: Any) -> None:
    """The verifier takes one value, in text or bytes, or a collection of them."""
    WebhookVerifier({"x-key": given}).authenticate({"X-KEY": NEW})


ACCENTED = "clé-secrète-पासवर्ड"
DECODED: dict[str, Any] = {
    "bytes": ACCENTED.encode(),
    "as UTF-8": ACCENTED,
    "as Latin-1": ACCENTED.encode().decode("latin-1"),
    "as ASCII with surrogates": ACCENTED.encode().decode("ascii", "surrogateescape"),
}


@pytest.mark.parametrize("form", DECODED)
def test_a_secret_beyond_ascii_is_recognised_however_it_was_decoded(form: str) -> None:
    """aiohttp decodes headers as UTF-8 with surrogates, Starlette and Django as Latin-1."""
    pairs: Any = [(b"x-key" if form == "bytes" else "x-key", DECODED[form])]
    WebhookVerifier({"X-Key": ACCENTED}).authenticate(pairs)


@pytest.mark.parametrize("received", [b"cl\xe9", "clé", "cl\udce9"], ids=["bytes", "Latin-1", "surrogates"])
def test_a_secret_in_latin_1_is_configured_as_bytes(received: Any) -> None:
    """The verifier compares the bytes that arrive."""
    WebhookVerifier({"X-Key": b"cl\xe9"}).authenticate([("X-Key", received)])


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(lambda s: s == s.strip()))
def test_any_secret_that_can_be_sent_is_recognised(secret: str) -> None:
    """The verifier accepts the secret as bytes and as text and refuses a longer one."""
    by = WebhookVerifier({"X-Key": secret})
    by.authenticate({b"X-Key": secret.encode()})
    by.authenticate({"X-Key": secret})
    _refused({"X-Key": secret + "x"}, by=by)


# --- headers that are wrong -------------------------------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "none at all": {},
    "missing": {"Host": "you.example"},
    "empty": {"X-Key": ""},
    "blank": {"X-Key": "  "},
    "wrong": {"X-Key": "guess"},
    "wrong, of the same length": {"X-Key": "x" * len(NEW)},
    "first half": {"X-Key": NEW[:10]},
    "last letter missing": {"X-Key": NEW[:-1]},
    "with more behind": {"X-Key": NEW + "0"},
    "with more before": {"X-Key": "0" + NEW},
    "quoted": {"X-Key": f'"{NEW}"'},
    "with a space": {"X-Key": NEW + " "},
    "with a zero byte": {"X-Key": NEW + "\x00"},
    "other case": {"X-Key": NEW.upper()},
    "both accepted ones in one": {"X-Key": f"{NEW}, {OLD}"},
    "other name": {"X-Keys": NEW},
    "name with a space": {"X-Key ": NEW},
    "value as name": {NEW: "X-Key"},
    "repeated": [("X-Key", NEW), ("X-Key", NEW)],
    "repeated in another case": {"X-Key": NEW, "x-key": NEW},
    "right and wrong": [("X-Key", NEW), ("X-Key", "guess")],
    "wrong and right": [("x-key", "guess"), ("X-Key", NEW)],
    "both accepted ones": [("X-Key", NEW), ("X-Key", OLD)],
    "text and bytes": [("X-Key", NEW), (b"X-Key", NEW.encode())],
    "wrong bytes": [(b"x-key", b"guess")],
    "bytes that are no text": [(b"x-key", b"\xff\xfe")],
    "accented": {"X-Key": "clé"},
    "half a surrogate pair": {"X-Key": "\ud800"},
    "right with half a surrogate pair": {"X-Key": NEW + "\udc00"},
    "fullwidth letters": {"X-Key": "".join(chr(ord(letter) + 0xFEE0) for letter in NEW)},
    "a list as value": {"X-Key": [NEW]},
    "nothing as value": {"X-Key": None},
    "a number as value": {"X-Key": 1},
    "a mebibyte": {"X-Key": NEW * 50_000},
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_header_is_refused(kind: str) -> None:
    """The error names the header and shows no value, neither sent nor expected."""
    error = _refused(WRONG[kind])
    assert error.header == "X-Key"
    assert str(error) == "a post was refused: the header X-Key is missing, repeated or wrong"
    _assert_clean(shown(error), "guess")


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"X-Key": NEW}, "X-Tenant"),
        ({"X-Tenant": TENANT}, "X-Key"),
        ({"X-Key": TENANT, "X-Tenant": NEW}, "X-Key"),
        ({"X-Key": NEW, "X-Tenant": NEW}, "X-Tenant"),
        ({"X-Key": NEW, "X-Tenant": ""}, "X-Tenant"),
        ([("X-Key", OLD), ("X-Tenant", TENANT), ("x-tenant", TENANT)], "X-Tenant"),
    ],
)
def test_every_configured_header_has_to_be_right(headers: Any, named: str) -> None:
    """The verifier accepts a value under its own header's name alone."""
    two.authenticate({"x-tenant": TENANT, "X-Key": OLD})
    assert _refused(headers, by=two).header == named


@given(st.text() | st.binary())
@example(NEW[1:])
def test_nothing_but_an_accepted_value_is_taken(value: str | bytes) -> None:
    """The verifier refuses any other value and raises nothing else."""
    _refused([("X-Key", value)])


@pytest.mark.parametrize("headers", [None, 7, "X-Key", ["X-Key"], [("X-Key", NEW, 1)], [7]], ids=repr)
def test_headers_that_are_no_headers_are_a_mistake_of_the_caller(headers: Any) -> None:
    """The error blames the caller, because an alarm about a forger would be false."""
    with pytest.raises(InvalidRequestError, match="headers must be a mapping of names to values, or pairs"):
        verifier.verify(headers, SAMPLE)
    with pytest.raises(InvalidRequestError, match="headers must be a mapping of names to values, or pairs"):
        verifier.authenticate(headers)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b" " * (MEBIBYTE + 1), SAMPLE])
def test_who_may_not_post_learns_nothing_about_the_body(body: bytes) -> None:
    """The answer is the same for every body."""
    assert str(_refused({"X-Key": "guess"}, body)) == str(_refused({}, SAMPLE))


def test_the_body_of_a_stranger_is_not_looked_at() -> None:
    """The verifier checks neither its type nor its length."""

    class Untouchable:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"{name} was looked at")

    _refused({"X-Key": "guess"}, Untouchable())  # type: ignore[arg-type]  # what must not matter


def test_reshape_is_not_called_for_a_stranger() -> None:
    """The user's function gets bodies of proven senders alone."""
    seen: list[Any] = []

    def reshape(document: Any) -> Any:
        seen.append(document)
        return document

    by = WebhookVerifier(HEADERS, reshape=reshape)
    _refused({"X-Key": "guess"}, by=by)
    assert not seen
    by.verify(HEADERS, SAMPLE)
    assert len(seen) == 1


# --- refusing to be built ---------------------------------------------------------------------------------------------

UNUSABLE: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "with nothing to check, everybody could post"),
    "not a mapping": ([("X-Key", NEW)], "must be a mapping"),
    "None": (None, "must be a mapping"),
    "a bare string": (NEW, "must be a mapping"),
    "no variable": ({"X-Key": os.environ.get("ENKASH_NO_SUCH_VARIABLE")}, "NoneType: was a variable not set"),
    "no variable in a list": ({"X-Key": [NEW, None]}, "NoneType: was a variable not set"),
    "an empty string": ({"X-Key": ""}, "empty value, which anybody could send"),
    "empty bytes": ({"X-Key": b""}, "empty value"),
    "a blank": ({"X-Key": " \t"}, "empty value"),
    "an empty one among others": ({"X-Key": [NEW, ""]}, "empty value"),
    "an empty list": ({"X-Key": []}, "has no value"),
    "an iterator, which is used up": ({"X-Key": iter([NEW])}, "must be a str or a list"),
    "a mapping of values": ({"X-Key": {NEW: OLD}}, "must be a str or a list"),
    "a number": ({"X-Key": 4711}, "must be a str or a list"),
    "a number in a list": ({"X-Key": [4711]}, "must hold str values, not int"),
    "a bytearray": ({"X-Key": bytearray(NEW.encode())}, "must hold str values"),
    "an empty one beside a good one": ({"X-Tenant": TENANT, "X-Key": ""}, "headers\\['X-Key'\\]"),
    "two names that are one": ({"X-Key": NEW, "x-key": OLD}, "names one header twice"),
    "a name that is none": ({"X Key": NEW}, "must be a header name"),
    "a name with a colon": ({"X-Key:": NEW}, "must be a header name"),
    "an empty name": ({"": NEW}, "must be a header name"),
    "an accented name": ({"X-Clé": NEW}, "must be a header name"),
    "a name with a line break": ({"X-Key\n": NEW}, "must be a header name"),
    "a name in bytes": ({b"X-Key": NEW}, "must be a header name"),
    "a line break": ({"X-Key": f"{NEW}\r\nX-Other: 1"}, "control characters"),
    "a line break at the end, as from a file": ({"X-Key": f"{NEW}\n"}, "spaces at an end"),
    "a zero byte": ({"X-Key": f"{NEW}\x00"}, "control characters"),
    "a delete character": ({"X-Key": f"{NEW}\x7f".encode()}, "control characters"),
    "a tab inside": ({"X-Key": f"{NEW}\t{OLD}"}, "control characters"),
    "a space before": ({"X-Key": f" {NEW}"}, "spaces at an end"),
    "half a surrogate pair": ({"X-Key": f"{NEW}\ud800"}, "cannot be sent as UTF-8"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_verifier_that_would_let_everybody_or_nobody_in_is_not_built(kind: str) -> None:
    """The error says what is wrong and shows no value."""
    headers, said = UNUSABLE[kind]
    with pytest.raises(ConfigurationError, match=said) as caught:
        WebhookVerifier(headers)
    _assert_clean(shown(caught.value), "4711")


@pytest.mark.parametrize("max_body", [0, -1, True, 1.5, "1", None], ids=repr)
def test_a_limit_that_is_none_is_refused(max_body: Any) -> None:
    """Zero would refuse every post, and None does not mean «no limit»."""
    with pytest.raises(
        ConfigurationError, match=r"^max_body must be a whole number of bytes, 1 or more, not "
    ) as caught:
        WebhookVerifier(HEADERS, max_body=max_body)
    _assert_clean(shown(caught.value))


def test_a_reshape_that_cannot_be_called_is_refused() -> None:
    """The constructor raises, where the first post would otherwise fail."""
    with pytest.raises(ConfigurationError, match="reshape must be a function") as caught:
        WebhookVerifier(HEADERS, reshape={})  # type: ignore[arg-type]  # what is refused
    _assert_clean(shown(caught.value))


# --- what shows -------------------------------------------------------------------------------------------------------


def _assert_clean(text: str, *more: str) -> None:
    found = [secret for secret in (NEW, OLD, TENANT, *more) if secret in text]
    assert not found


def test_a_verifier_shows_names_and_no_values() -> None:
    """Neither its repr nor its attributes hold a value."""
    assert repr(two) == "WebhookVerifier(accepted values: X-Key: 2, X-Tenant: 1)"
    _assert_clean(repr(vars(two)) + repr(vars(verifier)))


def test_a_verifier_keeps_hashes_that_no_table_lists() -> None:
    """Two verifiers of one secret keep different salted hashes."""
    kept = [{*by._accepted["x-key"][1]} for by in (verifier, two)]
    assert not kept[0] & kept[1]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"X-Key": "guess-7261"}, SAMPLE),
        ({"X-Key": NEW + "x", "X-Tenant": TENANT}, SAMPLE),
        ([("X-Key", NEW), ("X-Key", OLD)], SAMPLE),
        (HEADERS, SAMPLE.replace(b"2450.75", b'"CN123456789"')),
        (HEADERS, SAMPLE.replace(b"2450.75", b"NaN")),
        (HEADERS, SAMPLE.replace(b"UTIL-87654321", b"UTIL-87654321\\n").replace(b'"REF', b'"\\u0000REF')),
        (HEADERS, SAMPLE[:-3]),
        (HEADERS, SAMPLE.decode()),
        (HEADERS, SAMPLE + b" " * MEBIBYTE),
    ],
)
def test_no_error_shows_a_value(headers: Any, body: Any) -> None:
    """No value of header or body is in the message, attributes, pickle or frames."""
    with pytest.raises(EnkashError) as caught:
        verifier.verify(headers, body)
    _assert_clean(shown(caught.value), *_said_in(SAMPLE), "guess-7261")
    if isinstance(caught.value, WebhookAuthenticationError):
        with pytest.raises(WebhookAuthenticationError) as again:
            verifier.authenticate(headers)
        _assert_clean(shown(again.value), "guess-7261")


def _said_in(body: bytes) -> Iterable[str]:
    document = json.loads(body)
    return [document[name] for name in ("consumerNumber", "consumerName", "utilityEnkashId", "referenceId", "remarks")]


def test_an_event_shows_no_personal_data() -> None:
    """The event hides personal data in its repr, which may be logged."""
    text = repr(verifier.verify(HEADERS, SAMPLE.replace(b'"remarks"', b'"Asha":"Asha Sample","remarks"')))
    assert "UTIL-87654321" in text
    _assert_clean(text, "CN123456789", "Asha Sample")


def test_reading_a_post_twice_gives_the_same_event() -> None:
    """Two verifiers read equal events from one post."""
    event = verifier.verify(HEADERS, SAMPLE)
    assert isinstance(event, BillEvent)
    assert event == two.verify({**HEADERS, "X-Tenant": TENANT}, SAMPLE)
