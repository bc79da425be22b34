"""Turns the evidence on each bill's debit into the result that the caller gets, with its error message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from enkash_async._flow.verdicts import judge
from enkash_async._money.attempt import Attempt, End
from enkash_async._support.tracebacks import without_frames
from enkash_async.bulk import BulkGroup
from enkash_async.errors import EnkashError, OutcomeUnknownError, StoreUnavailableError, TransportError
from enkash_async.models import Bill

__all__ = ["ConfirmResult", "Evidence", "told"]

_OPERATION = "payments.confirm_debit"


@attrs.frozen
class ConfirmResult:
    """The outcome of one bill: its group, and the error when it was not confirmed."""

    group: BulkGroup
    error: EnkashError | None = None


@attrs.frozen(kw_only=True)
class Evidence:
    """What a call knows of one bill when the call ends.

    Attributes:
        attempt: The last attempt; it has ended, or waits for another attempt or for the store.
        trouble: Why the last sending failed or was not made; None without a failure.
        seen: The bill or the error from the last read; None if the bill was not read.
        under_way: Seconds for which EnKash may still carry out a confirmation, of this call or of another; None if
            no confirmation is in flight.
        is_lagging: Whether a create returned the bill, but EnKash does not show the bill yet.
        window: Seconds after which a confirmation can no longer be in flight.
    """

    attempt: Attempt
    trouble: EnkashError | None
    seen: Bill | EnkashError | None
    under_way: float | None
    is_lagging: bool
    window: float


@attrs.frozen
class _Unclear:
    """A debit that may or may not happen. Bills with the same `why` and `cause` share one error."""

    why: str
    cause: EnkashError | None = None
    retry_after: float | None = None


@attrs.frozen
class _Young:
    """A debit that has to wait until the store is old enough. All bills whose debit has to wait share one error."""

    seconds: float


@attrs.frozen
class _Lagging:
    """A debit that has to wait until EnKash shows the bill. All such bills share one error."""


_Told = ConfirmResult | _Unclear | _Young | _Lagging


def told(evidence: Mapping[str, Evidence]) -> dict[str, ConfirmResult]:
    """Return the result of each bill for the caller; bills with the same outcome share one result."""
    found: dict[str, _Told] = {one: _told(one, known) for one, known in evidence.items()}
    lagging = ConfirmResult(BulkGroup.NOT_SENT, _LAGS.copy())
    young = _young([each.seconds for each in found.values() if isinstance(each, _Young)])
    alike: dict[tuple[str, int], dict[str, _Unclear]] = {}
    for one, each in found.items():
        if isinstance(each, _Unclear):
            alike.setdefault((each.why, id(each.cause)), {})[one] = each
    shared = {one: error for some in alike.values() for one, error in dict.fromkeys(some, _error(some)).items()}
    results: dict[str, ConfirmResult] = {}
    for one, each in found.items():
        match each:
            case ConfirmResult():
                results[one] = each
            case _Young():
                results[one] = young
            case _Lagging():
                results[one] = lagging
            case _:
                results[one] = ConfirmResult(BulkGroup.UNKNOWN, shared[one])
        if (error := results[one].error) is not None:
            without_frames(error)
    return results


def _told(one: str, known: Evidence) -> _Told:
    match known.attempt.end:
        case End.DEBITED:
            return ConfirmResult(BulkGroup.SUCCEEDED)
        case End.CONTRADICTED:
            return _Unclear("EnKash said yes and shows no debit: ask EnKash")
        case End.UNREADABLE:
            return _unreadable(one, known)
        case End.REFUSED:
            return ConfirmResult(BulkGroup.FAILED, known.trouble or EnkashError(f"EnKash refused the debit of {one}"))
        case _ if known.under_way is not None:
            return _Unclear("a confirmation may be under way", known.trouble, known.under_way)
        case None:
            return _waiting(known)
        case _:
            return ConfirmResult(BulkGroup.NOT_SENT, known.trouble or EnkashError(f"the debit of {one} was not sent"))


def _waiting(known: Evidence) -> _Told:
    wait = known.attempt.wait
    if wait is not None and wait.why == "store":
        return _Young(wait.seconds)
    if known.is_lagging:
        return _Lagging()
    return _Unclear("another process may have sent it", known.trouble, known.window)


_LAGS = TransportError("EnKash does not show a bill yet that a create returned; nothing was sent", sent=False)


def _young(seconds: Sequence[float]) -> ConfirmResult:
    longest = max(seconds, default=0.0)
    error = StoreUnavailableError(
        "nothing was sent: the store is new, and does not know what was sent before it began; try again in "
        f"{longest:.0f} s, or run `enkash store init --nothing-pending` if no confirmation is under way anywhere",
        retry_after=longest,
    )
    return ConfirmResult(BulkGroup.NOT_SENT, error)


def _unreadable(one: str, known: Evidence) -> ConfirmResult | _Unclear:
    seen = known.seen
    if known.attempt.seen is not None:  # a confirmation was sent before, and its window is over
        if isinstance(seen, Bill):
            return _Unclear("it was sent before, and what EnKash shows is ambiguous")
        return _Unclear("it was sent before, and the bill cannot be read", seen)
    if isinstance(seen, Bill):
        return _Unclear(
            f"nothing was sent, since EnKash shows paymentStatus {seen.payment_status} and approvalStatus "
            f"{seen.approval_status}, which may mean that it was debited before; check_first=False confirms it"
        )
    error = seen or EnkashError(f"bill {one} was not read")
    return ConfirmResult(BulkGroup.FAILED if judge(error).says_absent else BulkGroup.NOT_SENT, error)


def _error(some: Mapping[str, _Unclear]) -> OutcomeUnknownError:
    """Return the error that bills with the same `why` and `cause` share."""
    ids, unclear = list(some), list(some.values())
    cause = unclear[0].cause
    if isinstance(cause, OutcomeUnknownError) and isinstance(cause.__cause__, EnkashError):
        cause = cause.__cause__
    waits = [each.retry_after for each in unclear if each.retry_after is not None]
    which = ids[0] if len(ids) == 1 else f"{len(ids)} bills"
    then = f"; the same call finds out in {max(waits):.0f} s" if waits else ""
    said = "" if cause is None else f". Cause: {cause}"
    error = OutcomeUnknownError(
        f"the debit of {which} may or may not have happened: {unclear[0].why}{then}{said}",
        operation=_OPERATION,
        utility_enkash_ids=ids,
        retry_after=max(waits, default=None),
    )
    error.__cause__ = cause
    error.call_id = None if cause is None else cause.call_id
    return error
