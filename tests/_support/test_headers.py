"""What may stand in a header line, by name and by value."""

from __future__ import annotations

from typing import Any

import pytest

from enkash_async._support.headers import checked_headers, is_visible, names_flaw

TWICE = "headers names one header twice: upper and lower case are one"
NO_NAME = "headers: a name must be a header name such as 'X-Webhook-Key'"


@pytest.mark.parametrize("code", range(0x100))
def test_a_token_may_hold_every_visible_ascii_character_and_nothing_else(code: int) -> None:
    """A space would end it, a line break begin a header of its own, and beyond ASCII nobody agrees on the bytes."""
    assert is_visible(f"a{chr(code)}b") == (0x21 <= code <= 0x7E)


def test_an_empty_token_is_none() -> None:
    """`Bearer ` alone is refused by EnKash, and a token that is not there should be named as such."""
    assert not is_visible("")


@pytest.mark.parametrize(
    ("headers", "flaw"),
    [
        ({"X-Key": 1, "x_other": 2}, None),
        ({"X-Key": 1, "x-kEY": 2}, TWICE),
        ({"X Key": 1}, NO_NAME),
        ({"X-Key:": 1}, NO_NAME),
        ({"": 1}, NO_NAME),
        ({1: 1}, NO_NAME),
        ({b"X-Key": 1}, NO_NAME),
    ],
)
def test_names_of_headers_are_names_of_http_and_each_stands_once(headers: Any, flaw: str | None) -> None:
    """The values are not looked at: a verifier takes lists of them, a registration one."""
    assert names_flaw(headers) == flaw


def test_headers_are_returned_as_a_copy() -> None:
    """What the caller does with its own mapping afterwards does not change a registration."""
    own = {"X-Key": "a b"}
    checked = checked_headers(own)
    own["X-Key"] = "other"
    assert checked == {"X-Key": "a b"}
