"""What a caller is told of each bill's debit, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from enkash_async._flow.verdicts import judge
from enkash_async._money import instants
from enkash_async._money.attempt import Attempt, End
from enkash_async._money.debit_commands import Wait
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


@attrs.frozen
class Evidence:
    """What is known of one bill at the end of a call.

    Attributes:
        attempt: The last attempt, at its end or waiting.
        trouble: How its last sending failed, or why there was none.
        seen: What the last read of it brought.
        was_sent: Whether this call has sent it, and EnKash may still carry it out.
        is_lagging: Whether a create returned the bill, and EnKash does not show it yet.
    """

    attempt: Attempt
    trouble: EnkashError | None = None
    seen: Bill | EnkashError | None = None
    was_sent: bool = False
    is_lagging: bool = False


@attrs.frozen
class _Unclear:
    """A debit that may or may not happen; bills with the same words share one error."""

    why: str
    cause: EnkashError | None = None
    retry_after: float | None = None


def told(evidence: Mapping[str, Evidence]) -> dict[str, ConfirmResult]:
    """Return what the caller is told of each bill."""
    found = {one: _told(one, known) for one, known in evidence.items()}
    alike: dict[tuple[str, int], list[str]] = {}
    for one, each in found.items():
        if isinstance(each, _Unclear):
            alike.setdefault((each.why, id(each.cause)), []).append(one)
    results = {one: each for one, each in found.items() if isinstance(each, ConfirmResult)}
    for ids in alike.values():
        unclear = [each for each in (found[one] for one in ids) if isinstance(each, _Unclear)]
        results |= dict.fromkeys(ids, ConfirmResult(BulkGroup.UNKNOWN, _error(ids, unclear)))
    return {one: results[one] for one in evidence}


def _told(one: str, known: Evidence) -> ConfirmResult | _Unclear:
    end = known.attempt.end
    if end is End.DEBITED:
        return ConfirmResult(BulkGroup.SUCCEEDED)
    if known.was_sent and end is not End.CONTRADICTED:
        return _waiting(one, known.attempt.wait, known.trouble)
    match end:
        case None:
            return _lagging(one) if known.is_lagging else _waiting(one, known.attempt.wait, known.trouble)
        case End.CONTRADICTED:
            return _Unclear("EnKash said yes and shows no debit: ask EnKash")
        case End.UNREADABLE:
            return _unreadable(one, known)
        case End.REFUSED:
            error = known.trouble or EnkashError(f"EnKash refused the debit of {one}")
            return ConfirmResult(judge(error).group, error)
        case _:
            return ConfirmResult(BulkGroup.NOT_SENT, known.trouble or EnkashError(f"the debit of {one} was not sent"))


def _waiting(one: str, wait: Wait | None, trouble: EnkashError | None) -> ConfirmResult | _Unclear:
    seconds = instants.DURATIONS.settled_after if wait is None else wait.seconds
    if wait is not None and wait.why == "store":
        return ConfirmResult(
            BulkGroup.NOT_SENT,
            StoreUnavailableError(
                f"the debit of {one} is not confirmed yet: the store is new, and does not know what was sent before it "
                f"began; try again in {seconds:.0f} s, or run `enkash store init --nothing-pending` if nothing is "
                "under way",
                retry_after=seconds,
            ),
        )
    return _Unclear("a confirmation may be under way", trouble, seconds)


def _lagging(one: str) -> ConfirmResult:
    late = TransportError(f"EnKash does not show bill {one} yet, which a create returned; nothing was sent", sent=False)
    return ConfirmResult(BulkGroup.NOT_SENT, late)


def _unreadable(one: str, known: Evidence) -> ConfirmResult | _Unclear:
    seen = known.seen
    if known.attempt.seen is not None:  # a confirmation of it was sent before, and its window is over
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


def _error(ids: Sequence[str], unclear: Sequence[_Unclear]) -> OutcomeUnknownError:
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
    return error
