"""The faults: what goes wrong, where, and how often."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from enkash_async.config import Routes
from enkash_async.sandbox import FaultKind, Faults


def kinds(faults: Faults, route: str, requests: int) -> list[FaultKind | None]:
    taken = [faults.take(route) for _ in range(requests)]
    return [None if fault is None else fault.kind for fault in taken]


def test_without_faults_nothing_goes_wrong() -> None:
    """The sandbox has no faults by default."""
    assert Faults().take("token") is None


def test_a_fault_hits_one_request_of_its_route() -> None:
    """A fault strikes once by default and no other route."""
    faults = Faults()
    faults.add("create_bill", FaultKind.DROP_AFTER)
    assert kinds(faults, "bill", 1) == [None]
    assert kinds(faults, "create_bill", 2) == [FaultKind.DROP_AFTER, None]


def test_a_fault_lets_requests_through_first() -> None:
    """`after` counts the requests before the fault and `times` those that it strikes."""
    faults = Faults()
    faults.add("bill", FaultKind.SERVER_ERROR, after=1, times=2)
    assert kinds(faults, "bill", 4) == [None, FaultKind.SERVER_ERROR, FaultKind.SERVER_ERROR, None]


def test_a_fault_without_end_lasts_until_it_is_cleared() -> None:
    """A fault with `times=None` strikes every request until `clear`, as an outage does."""
    faults = Faults()
    faults.add("*", FaultKind.UNAVAILABLE, times=None)
    assert kinds(faults, "token", 2) + kinds(faults, "bill", 1) == [FaultKind.UNAVAILABLE] * 3
    faults.clear()
    assert kinds(faults, "token", 1) == [None]


def test_the_first_fault_added_goes_first() -> None:
    """Two faults strike two requests in a row, and the first does not use up the second's `after`."""
    faults = Faults()
    faults.add("bill", FaultKind.BAD_GATEWAY)
    faults.add("bill", FaultKind.SLOW, after=1)
    assert kinds(faults, "bill", 4) == [FaultKind.BAD_GATEWAY, None, FaultKind.SLOW, None]


@pytest.mark.parametrize("route", [field.name for field in attrs.fields(Routes)])
def test_every_route_can_fail(route: str) -> None:
    """A fault takes each field of `Routes`."""
    faults = Faults()
    faults.add(route, FaultKind.SLOW)
    assert kinds(faults, route, 1) == [FaultKind.SLOW]


@pytest.mark.parametrize("word", ["drop_after", "DROP_AFTER", FaultKind.DROP_AFTER])
def test_a_kind_may_be_given_as_a_word(word: str) -> None:
    """A fault takes the word in lower and in upper case."""
    faults = Faults()
    faults.add("bill", word)
    assert kinds(faults, "bill", 1) == [FaultKind.DROP_AFTER]


@pytest.mark.parametrize(
    ("kind", "retry_after", "header"),
    [
        (FaultKind.RATE_LIMITED, None, "1"),
        (FaultKind.RATE_LIMITED, 0, "0"),
        (FaultKind.RATE_LIMITED, 0.5, "0.5"),
        (FaultKind.UNAVAILABLE, None, None),
        (FaultKind.UNAVAILABLE, "Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT"),
    ],
)
def test_retry_after_is_what_the_header_will_say(
    kind: FaultKind, retry_after: float | str | None, header: str | None
) -> None:
    """The header has seconds or a date, and a rate limit always has one."""
    faults = Faults()
    faults.add("bill", kind, retry_after=retry_after)
    fault = faults.take("bill")
    assert fault is not None
    assert fault.retry_after == header


def test_an_unknown_route_is_refused_with_the_right_ones() -> None:
    """A misspelt route must not make a test pass without a fault."""
    with pytest.raises(ValueError, match=r"unknown route 'bills'; use one of token, .*create_bill, .*webhook, \*"):
        Faults().add("bills", FaultKind.SLOW)


def test_an_unknown_kind_is_refused_with_the_right_ones() -> None:
    """The message lists every kind that the route takes."""
    with pytest.raises(ValueError, match=r"unknown kind of fault 'slowly'; use one of unauthorized, .*slow"):
        Faults().add("bill", "slowly")


@pytest.mark.parametrize("wrong", [{"times": 0}, {"after": -1}, {"delay": -0.1}, {"delay": math.nan}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """A fault that can never strike is a mistake of the test."""
    with pytest.raises(ValueError, match="times must be None or 1"):
        Faults().add("bill", FaultKind.SLOW, **wrong)


@pytest.mark.parametrize(
    ("kind", "given", "status"),
    [
        (FaultKind.LATE, None, None),
        (FaultKind.LATE, 200, 200),
        (FaultKind.LATE, 599, 599),
        (FaultKind.REFUSED_AFTER, None, 409),
        (FaultKind.REFUSED_AFTER, 403, 403),
    ],
)
def test_a_status_is_what_the_caller_gets(kind: FaultKind, given: int | None, status: int | None) -> None:
    """Late work closes the connection without one, and a refusal after the work is a conflict without one."""
    faults = Faults()
    faults.add("confirm_debit", kind, status=given)
    fault = faults.take("confirm_debit")
    assert fault is not None
    assert fault.status == status


@pytest.mark.parametrize(
    ("kind", "status", "right"),
    [
        (FaultKind.LATE, 201, "200, or 400 to 599"),
        (FaultKind.LATE, 600, "200, or 400 to 599"),
        (FaultKind.REFUSED_AFTER, 200, "must be 400 to 599"),
    ],
)
def test_a_status_that_says_nothing_of_the_kind_is_refused(kind: FaultKind, status: int, right: str) -> None:
    """A late answer is a success or a failure, and a refusal is a failure."""
    with pytest.raises(ValueError, match=right):
        Faults().add("bill", kind, status=status)
