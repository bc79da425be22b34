"""The charset of a reply: what is declared is decoded, and what cannot be is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async._support import exact_json
from enkash_async._wire.charset import UnknownCharsetError, in_utf8
from enkash_async._wire.envelope import read, read_in_slices
from enkash_async._wire.operation import Effect, Operation, Request, Response
from enkash_async.errors import ResponseDecodeError
from enkash_async.models import Bill

from support import drained

GET: Operation[Any] = Operation(
    name="bills.get", request=Request(method="GET", path="/"), result=Bill, effect=Effect.READ
)
CHARSETS = ["utf-16", "UTF-16LE", "utf-16-be", "utf-32", "utf-8-sig", "UTF8", "utf-8"]


def reply(body: bytes, content_type: str) -> Response:
    return Response(status=200, headers={"content-type": content_type}, body=body)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(CHARSETS))
def test_a_declared_charset_is_decoded(remarks: str, charset: str) -> None:
    """Any text in a bill is the same in every charset that has all characters, at once and in slices."""
    document = exact_json.dumps({"response_code": 0, "payload": {"amount": 7, "remarks": remarks}})
    sent = reply(document.encode(charset), f'application/json; charset="{charset}"')
    found = read(GET, sent)
    assert isinstance(found, Bill)
    assert (found.remarks, drained(read_in_slices(GET, sent))[1]) == (remarks, found)


@pytest.mark.parametrize(
    ("charset", "text"),
    [("iso-8859-1", "café"), ("ISO_8859-1", "café"), ("windows-1252", "€ 5"), ("latin1", "café"), ("us-ascii", "cafe")],
)
def test_the_charsets_of_old_servers_are_decoded(charset: str, text: str) -> None:
    """The name is read in every spelling that Python knows, with parameters around it."""
    body = f'{{"response_code": 0, "payload": {{"remarks": "{text}"}}}}'.encode(charset)
    found = read(GET, reply(body, f"application/json; a=b ; Charset = '{charset}'; c=d"))
    assert isinstance(found, Bill)
    assert found.remarks == text


@pytest.mark.parametrize(
    "charset", ["klingon", "rot13", "base64", "zip", "punycode", "unicode_escape", "utf-7", "x" * 99]
)
def test_a_charset_that_is_none_of_text_is_named(charset: str) -> None:
    """The error has the content type as it came, and nothing of the body."""
    found = read(GET, reply(b"{}", f"application/json;charset={charset}"))
    assert isinstance(found, ResponseDecodeError)
    assert f"charset={charset}" in str(found)
    assert "is not text of the charset that it declares" in str(found)


@pytest.mark.parametrize(("body", "charset"), [(b"{}\x00", "utf-16"), (b"caf\xe9", "us-ascii"), (b"\x81", "cp1252")])
def test_a_body_that_is_not_of_its_charset_says_so(body: bytes, charset: str) -> None:
    """Half a character is an error, at once and in slices, and no character is replaced."""
    sent = reply(body, f"application/json; charset={charset}")
    with pytest.raises(UnknownCharsetError):
        in_utf8(body, sent.content_type)
    for found in (read(GET, sent), drained(read_in_slices(GET, sent))[1]):
        assert isinstance(found, ResponseDecodeError)
        assert "is not text of the charset that it declares" in str(found)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/html; a=b"])
def test_a_body_that_is_not_utf_8_says_so(content_type: str) -> None:
    """The word helps more than «not JSON», which sends people to look for a missing brace."""
    found = read(GET, reply('{"remarks": "café"}'.encode("latin1"), content_type))
    assert isinstance(found, ResponseDecodeError)
    assert str(found).endswith("the body is not UTF-8, and declares no other charset")


@given(st.binary(max_size=40), st.none() | st.text(max_size=30) | st.sampled_from(CHARSETS).map("a;charset={}".format))
def test_no_body_and_no_charset_is_a_crash(body: bytes, content_type: str | None) -> None:
    """Any bytes under any header come back as bytes, or are refused."""
    try:
        assert isinstance(in_utf8(body, content_type), bytes)
    except UnknownCharsetError:
        assert content_type is not None
