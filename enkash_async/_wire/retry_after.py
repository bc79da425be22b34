"""Reads the `Retry-After` header as seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["parse_retry_after"]


def parse_retry_after(value: str | None, date: str | None = None) -> float | None:
    """Return the seconds that a reply asks the client to wait, or None if the header is missing or unreadable.

    Args:
        value: The `Retry-After` header: seconds, or an HTTP date.
        date: The `Date` header of the same reply, the time from which the wait counts if `value` is an HTTP date.
            None counts from this machine's time.
    """
    if value is None:
        return None
    word = value.strip()
    if word.isascii() and word.isdigit():
        return float(word)
    then = _http_date(word)
    if then is None:
        return None
    now = (_http_date(date) if date else None) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _http_date(word: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(word)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
