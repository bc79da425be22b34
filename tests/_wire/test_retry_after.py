"""The `Retry-After` header as seconds, whatever a gateway puts into it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enkash_async._wire.retry_after import parse_retry_after

# --- Retry-After ------------------------------------------------------------------------------------------------------

DATE = "Mon, 02 Jun 2025 14:24:14 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        (None, DATE, None),
        ("0", None, 0.0),
        ("7", None, 7.0),
        (" 120 ", None, 120.0),
        ("007", None, 7.0),
        ("Mon, 02 Jun 2025 14:24:44 GMT", DATE, 30.0),
        ("Mon, 02 Jun 2025 19:54:44 +0530", DATE, 30.0),
        ("Mon, 02 Jun 2025 14:24:44 -0000", DATE, 30.0),
        ("Mon, 02 Jun 2025 14:24:44", DATE, 30.0),
        ("Monday, 02-Jun-25 14:24:44 GMT", DATE, 30.0),
        ("Mon, 02 Jun 2025 14:24:00 GMT", DATE, 0.0),
        (DATE, DATE, 0.0),
    ],
)
def test_seconds_and_http_dates_are_understood(value: str | None, date: str | None, seconds: float | None) -> None:
    """The parser reads a date against the reply's own `Date` and never returns a negative number."""
    assert parse_retry_after(value, date) == seconds


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_without_a_readable_date_this_machines_clock_is_used(date: str | None) -> None:
    """The parser returns about an hour for a date an hour from now."""
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    seconds = parse_retry_after(then, date)
    assert seconds is not None
    assert 3590 <= seconds <= 3600


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "soon",
        "-5",
        "+5",
        "1.5",
        "1e3",
        "0x10",
        "5 seconds",
        "inf",
        "nan",
        "٣",
        "３",
        "²",
        "1٣",
        "\x00",
        "Mon, 32 Jun 2025 14:24:44 GMT",
        "Mon, 02 Jun 99999 14:24:44 GMT",
        "Mon, 02 Jun 2025 25:24:44 GMT",
        "Mon, 02 Jun 2025 14:24:44 +999999999999999999",
    ],
)
def test_what_cannot_be_read_is_none(value: str) -> None:
    """The parser refuses negative numbers, fractions and digits of other scripts."""
    assert parse_retry_after(value, DATE) is None


@pytest.mark.parametrize("value", ["9" * 20, "9" * 400, "9" * 10_000], ids=len)
def test_a_huge_number_is_huge_and_no_crash(value: str) -> None:
    """The parser returns it, and it is longer than any `max_retry_after`."""
    seconds = parse_retry_after(value)
    assert seconds is not None
    assert seconds > 1e15


@given(st.text(), st.none() | st.text())
@example("Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359")
def test_no_header_is_a_crash(value: str, date: str | None) -> None:
    """The parser returns seconds from zero on, or None, for any text."""
    seconds = parse_retry_after(value, date)
    assert seconds is None or seconds >= 0


@given(
    st.lists(
        st.sampled_from(
            [
                "Mon,",
                "Mon",
                "02",
                "Jun",
                "2025",
                "14:24:44",
                "14.24.44.5",
                "GMT",
                "+0530",
                "-",
                ":",
                ",",
                "+",
                "0",
                "99",
            ]
        ),
        max_size=9,
    ).map(" ".join)
)
def test_no_header_that_looks_like_a_date_is_a_crash(value: str) -> None:
    """The parser returns None where `email.utils` would raise."""
    seconds = parse_retry_after(value, DATE)
    assert seconds is None or seconds >= 0


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)), st.integers(0, 10**6))
def test_any_http_date_is_so_many_seconds_away(now: datetime, seconds: int) -> None:
    """The parser returns the exact distance in whole seconds for any date until 2100."""
    date = now.replace(microsecond=0, tzinfo=UTC)
    then = format_datetime(date + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(then, format_datetime(date, usegmt=True)) == seconds
