"""What may be posted: bodies that cannot harm, and how a customised body is read."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enkash_async.errors import InvalidRequestError, WebhookPayloadError
from enkash_async.webhooks import WebhookVerifier

from support import shown

HEADERS = {"X-Key": "new-secret-3f9a77c1"}
SAMPLE = (Path(__file__).parents[1] / "samples" / "webhook_bill.json").read_bytes()
MEBIBYTE = 2**20
#: Seconds of the processor, for what takes a second at most; what it guards against takes minutes or never ends.
ENDLESS = 30

verifier = WebhookVerifier(HEADERS)


def _unreadable(body: bytes, by: WebhookVerifier = verifier) -> WebhookPayloadError:
    with pytest.raises(WebhookPayloadError) as caught:
        by.verify(HEADERS, body)
    return caught.value


def _assert_clean(text: str) -> None:
    found = [said for said in (HEADERS["X-Key"], "CN123456789", "Asha") if said in text]
    assert not found


# --- bodies -----------------------------------------------------------------------------------------------------------

NINES = b"9" * 10_000


def _filled(before: bytes, item: bytes, after: bytes) -> bytes:
    """A body of about a mebibyte."""
    return before + b",".join([item] * ((MEBIBYTE - len(before) - len(after)) // (len(item) + 1))) + after


#: Kind: body, and the member that the error names; None where it is the whole.
HOSTILE: dict[str, tuple[bytes, str | None]] = {
    **{f"{word} as amount": (b'{"referenceId":"r","amount":%s}' % word.encode(), None) for word in ("NaN", "Infinity")},
    "-Infinity in an unknown member": (b'{"referenceId":"r","other":[-Infinity]}', None),
    "NaN in an unknown member": (b'{"referenceId":"r","other":{"a":NaN}}', None),
    "1e999999999 as amount": (b'{"referenceId":"r","amount":1e999999999}', None),
    "1e-999999999 as amount": (b'{"referenceId":"r","amount":1e-999999999}', None),
    "1e999999999 in an unknown member": (b'{"referenceId":"r","other":1e999999999}', None),
    "1e999999999 as a string": (b'{"referenceId":"r","amount":"1e999999999"}', "amount"),
    "1e999 as a string": (b'{"referenceId":"r","amount":"1e999"}', "amount"),
    "an exponent of 10,000 digits": (b'{"referenceId":"r","amount":1e%s}' % NINES, None),
    "10,000 digits as amount": (b'{"referenceId":"r","amount":%s}' % NINES, None),
    "10,000 digits as id": (b'{"referenceId":%s}' % NINES, None),
    "10,000 digits in an unknown member": (b'{"referenceId":"r","other":[-%s]}' % NINES, None),
    "10,000 decimals": (b'{"referenceId":"r","amount":0.%s}' % NINES, None),
    "10,000 digits as a string": (b'{"referenceId":"r","amount":"%s"}' % NINES, "amount"),
    "a number of a mebibyte": (b'{"referenceId":"r","other":' + b"1" * (MEBIBYTE - 30) + b"}", None),
    "arrays in arrays": (b"[" * MEBIBYTE, None),
    "arrays in arrays, closed": (b"[" * (MEBIBYTE // 2) + b"]" * (MEBIBYTE // 2), None),
    "objects in objects": (b'{"a":' * (MEBIBYTE // 5), None),
    "objects in objects, closed": (b'{"a":' * 170_000 + b"1" + b"}" * 170_000, None),
    "deep in an unknown member": (b'{"referenceId":"r","other":' + b"[" * 500_000 + b"]" * 500_000 + b"}", None),
    "41 levels": (b'{"referenceId":"r","other":' + b"[" * 40 + b"]" * 40 + b"}", None),
    "half a million inputs of a biller": (
        _filled(b'{"referenceId":"r","companyBiller":{"billerParams":[', b"{}", b"]}}"),
        None,
    ),
    "bad UTF-8": (b'{"referenceId":"\xff\xfe"}', None),
    "half a UTF-8 letter": ('{"referenceId":"é'.encode()[:-1], None),
    "overlong UTF-8": (b'{"referenceId":"\xc0\xae\xc0\xae"}', None),
    "a surrogate in UTF-8": (b'{"referenceId":"\xed\xa0\x80"}', None),
    "Latin-1": ('{"referenceId":"é"}'.encode("latin-1"), None),
    "UTF-16": ('{"referenceId":"r"}'.encode("utf-16"), None),
    "UTF-32": ('{"referenceId":"r"}'.encode("utf-32"), None),
    "nothing": (b"", None),
    "a mebibyte of spaces": (b" " * MEBIBYTE, None),
    "zero bytes": (b"\x00" * 100, None),
    "truncated": (SAMPLE[:-10], None),
    "two documents": (SAMPLE + SAMPLE, None),
    "an open string": (b'{"referenceId":"' + b"x" * (MEBIBYTE - 20), None),
    "a string of backslashes": (b'"' + b"\\" * (MEBIBYTE - 1), None),
    "a raw line break in a string": (b'{"referenceId":"a\nb"}', None),
    "HTML": (b"<html></html>", None),
    "a form": (b"referenceId=r&amount=1", None),
    "a comment": (b'{"referenceId":"r"/*x*/}', None),
    **{f"the document {word}": (word.encode(), None) for word in ("null", "true", "7", "1.5", '"r"', "[]")},
    "a list of bills": (b"[" + SAMPLE + b"]", None),
    "an empty object": (b"{}", "referenceId"),
    "no id": (b'{"amount":1,"billpayStatus":"SUCCESS"}', "referenceId"),
    "ids that are null": (b'{"utilityEnkashId":null,"referenceId":null}', "referenceId"),
    "ids that are empty": (b'{"utilityEnkashId":"","referenceId":""}', "referenceId"),
    "ids that are blank": (b'{"utilityEnkashId":"  "}', "utilityEnkashId"),
    "an id that is an object": (b'{"utilityEnkashId":{"a":1}}', "utilityEnkashId"),
    "an id that is true": (b'{"referenceId":true}', "referenceId"),
    "an id that is a list": (b'{"referenceId":["r"]}', "referenceId"),
    "the id ..": (b'{"utilityEnkashId":".."}', "utilityEnkashId"),
    "the id .": (b'{"utilityEnkashId":"."}', "utilityEnkashId"),
    "the reference ..": (b'{"referenceId":".."}', "referenceId"),
    "the id .. beside a good reference": (b'{"utilityEnkashId":"..","referenceId":"r"}', "utilityEnkashId"),
    "a zero byte in the id": (b'{"utilityEnkashId":"U-1\\u0000"}', "utilityEnkashId"),
    "line breaks in the id": (b'{"utilityEnkashId":"U-1\\r\\nHost: x"}', "utilityEnkashId"),
    "half a surrogate pair as id": (b'{"utilityEnkashId":"\\ud800"}', "utilityEnkashId"),
    "half a surrogate pair in the reference": (b'{"referenceId":"r\\udc00"}', "referenceId"),
    "an amount that is a word": (b'{"referenceId":"r","amount":"much"}', "amount"),
    "an amount that is true": (b'{"referenceId":"r","amount":true}', "amount"),
    "an amount that is a list": (b'{"referenceId":"r","billAmount":[1]}', "billAmount"),
    "a status that is a number": (b'{"referenceId":"r","billpayStatus":1}', "billpayStatus"),
    "a status that is an object": (b'{"referenceId":"r","paymentStatus":{}}', "paymentStatus"),
}


@pytest.fixture
def measured() -> Callable[[Callable[[], object]], None]:
    """Run a function and check its time and its memory of 50 MB."""

    def run(call: Callable[[], object]) -> None:
        began = time.process_time()  # of this process alone, whatever else the machine is at
        call()
        assert time.process_time() - began < ENDLESS
        # On its own, since tracing makes it several times as slow.
        tracemalloc.start()
        try:
            call()
            assert tracemalloc.get_traced_memory()[1] < 50_000_000
        finally:
            tracemalloc.stop()

    return run


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_body_is_refused_in_little_memory(
    kind: str, measured: Callable[[Callable[[], object]], None]
) -> None:
    """The error names the member at most and repeats nothing of the body."""
    body, where = HOSTILE[kind]
    errors: list[WebhookPayloadError] = []
    measured(lambda: errors.append(_unreadable(body)))
    error = errors[0]
    assert (error.where, error.too_large) == (where, False)
    assert len(str(error)) < 200


@pytest.fixture
def any_digits() -> Iterator[None]:
    """A process that converts integers of any length."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


LONG_NUMBERS: dict[str, bytes] = {
    **{kind: body for kind, (body, _) in HOSTILE.items() if "digits" in kind},
    "a number of six mebibytes": b'{"referenceId":"r","other":' + b"1" * (6 * MEBIBYTE) + b"}",
}


@pytest.mark.parametrize("kind", LONG_NUMBERS)
def test_long_numbers_are_refused_in_any_process(
    kind: str, any_digits: None, measured: Callable[[Callable[[], object]], None]
) -> None:
    """The verifier refuses them without Python's own limit, or six mebibytes of digits take minutes."""
    patient = WebhookVerifier(HEADERS, max_body=8 * MEBIBYTE)
    measured(lambda: _unreadable(LONG_NUMBERS[kind], patient))


LARGE: dict[str, bytes] = {
    "empty arrays": _filled(b'{"referenceId":"r","a":[', b"[]", b"]}"),
    "decimals": _filled(b'{"referenceId":"r","a":[', b"1.1", b"]}"),
    "objects in four-byte text": _filled('{"referenceId":"😀","a":['.encode(), b'{"":1e1}', b"]}"),
    "100,000 names": b'{"referenceId":"r",' + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}",
    "billers' inputs": _filled(b'{"referenceId":"r","companyBiller":{"billerParams":[', b"{}", b"]}}"),
    "one long remark": b'{"referenceId":"r","remarks":"' + b"\\u0100" * 170_000 + b'"}',
    "one long unknown word": b'{"referenceId":"r","billpayStatus":"' + b"X" * 1_000_000 + b'"}',
    "one long date": b'{"referenceId":"r","paymentDate":"' + b"2" * 1_000_000 + b'"}',
    "one long number in quotes": b'{"referenceId":"r","remarks":"' + b"9" * 1_000_000 + b'"}',
    "one long name": b'{"referenceId":"r","' + b"n" * 1_000_000 + b'":1}',
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_body_that_is_legal_but_large_takes_little_memory(
    kind: str, measured: Callable[[Callable[[], object]], None]
) -> None:
    """The memory is bounded, whether the body is accepted or refused."""

    def verify() -> None:
        try:
            assert verifier.verify(HEADERS, LARGE[kind]).bill.reference_id in {"r", "😀"}
        except WebhookPayloadError as problem:
            assert problem.where is None

    measured(verify)


def test_a_body_may_be_as_long_as_the_limit_and_no_longer() -> None:
    """The limit counts bytes before decoding, and the error asks for a 413."""
    by = WebhookVerifier(HEADERS, max_body=len(SAMPLE))
    assert by.verify(HEADERS, SAMPLE).bill.amount == Decimal("2450.75")
    error = _unreadable(SAMPLE + b" ", by)
    assert (error.too_large, error.where) == (True, None)
    assert str(error) == f"the body is longer than max_body={len(SAMPLE)} bytes"
    assert _unreadable(b"\xff" * (MEBIBYTE + 1)).too_large
    assert not _unreadable(b"\xff" * MEBIBYTE).too_large


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_will_do(kind: Callable[[bytes], Any]) -> None:
    """The verifier reads each bytes-like type that a server may hand over."""
    assert verifier.verify(HEADERS, kind(SAMPLE)) == verifier.verify(HEADERS, SAMPLE)


@pytest.mark.parametrize("body", [SAMPLE.decode(), json.loads(SAMPLE), None])
def test_a_body_that_is_decoded_already_is_a_mistake_of_the_caller(body: Any) -> None:
    """The verifier refuses it, because a framework's decoder makes floats of amounts."""
    with pytest.raises(InvalidRequestError, match=f"must be the bytes .* not {type(body).__name__}") as caught:
        verifier.verify(HEADERS, body)
    _assert_clean(shown(caught.value))


@settings(max_examples=60)
@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(json.loads(SAMPLE))), inner),
    ).map(lambda document: json.dumps(document).encode())
)
def test_reading_a_body_raises_nothing_else(body: bytes) -> None:
    """Any document is an event with a valid id, or the one error."""
    try:
        bill = verifier.verify(HEADERS, body).bill
    except WebhookPayloadError as problem:
        assert not problem.too_large
    else:
        assert (bill.utility_enkash_id or bill.reference_id) not in {"", ".", "..", None}


# --- reshape ----------------------------------------------------------------------------------------------------------


def _renamed(document: Any) -> dict[str, Any]:
    return {"utilityEnkashId": document["bill"], "billpayStatus": document["state"], "amount": document["rupees"]}


def test_a_customised_body_is_read_through_reshape() -> None:
    """Numbers are exact in the function's argument and in the bill."""
    by = WebhookVerifier(HEADERS, reshape=_renamed)
    event = by.verify(HEADERS, b'{"bill":"U-1","state":"SUCCESS","rupees":100000000000000.07}')
    assert (event.bill.utility_enkash_id, event.bill.outcome) == ("U-1", "PAID")
    assert event.bill.amount == Decimal("100000000000000.07")


RESHAPES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a missing member": (lambda document: document["no-such-member"], "reshape failed with KeyError"),
    "a document of another kind": (lambda document: document.no_such_attribute, "reshape failed with AttributeError"),
    "an error that repeats the body": (lambda document: int(document["consumerNumber"]), "failed with ValueError"),
    "nothing": (lambda _: None, "not a JSON object"),
    "a list": (lambda document: [document], "not a JSON object"),
    "a bill without id": (lambda document: {**document, "utilityEnkashId": "", "referenceId": None}, "names no bill"),
    "an id that leads elsewhere": (lambda document: {**document, "utilityEnkashId": ".."}, "names no bill"),
    "a float": (lambda document: {**document, "amount": 2450.75}, "amount is not a number"),
    "an infinite amount": (lambda document: {**document, "amount": Decimal("Infinity")}, "amount is not a number"),
    "no number": (lambda document: {**document, "amount": Decimal("NaN")}, "amount is not a number"),
    "numbers as names": (lambda document: {**document, 7: 1}, "names that are not strings"),
    "bytes as names": (lambda document: {**document, b"amount": 1}, "names that are not strings"),
    "numbers as names within": (lambda d: {**d, "companyBiller": {7: 1}}, "names that are not strings"),
}


@pytest.mark.parametrize("kind", RESHAPES)
def test_what_reshape_makes_of_a_body_is_checked_as_well(kind: str) -> None:
    """A failure in the function counts as an unreadable body and does not end the server."""
    reshape, said = RESHAPES[kind]
    error = _unreadable(SAMPLE, WebhookVerifier(HEADERS, reshape=reshape))
    assert said in str(error)
    _assert_clean(shown(error))
