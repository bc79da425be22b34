"""What a failure means: one table for the pipeline, bulk jobs, polling and batches.

=====================================  =========  =====  =========  =========  ========  ========
failure                                lasts      read   write      `writes`   group     one item
=====================================  =========  =====  =========  =========  ========  ========
not sent                               transient  again  again      again      not_sent  no
maybe sent: drop, time-out             transient  again  reconcile  reconcile  failed    no
a reply that cannot be read            transient  raise  reconcile  reconcile  failed    yes
429                                    transient  again  raise      again      failed    no
503 with `Retry-After`                 transient  again  reconcile  again      failed    no
502, other 503, 504                    transient  again  reconcile  reconcile  failed    no
500                                    transient  raise  reconcile  reconcile  failed    yes
other 5xx                              transient  raise  reconcile  reconcile  failed    no
408                                    call       again  reconcile  reconcile  failed    yes
2xx with an undocumented code          call       raise  reconcile  reconcile  failed    yes
409; 301, 302, 303                     call       raise  reconcile  reconcile  failed    yes
401 after a new login                  permanent  raise  raise      raise      failed    no
403; `response_code` 36, 37            call       raise  raise      raise      failed    no
`response_code` 38: reference is used  call       raise  raise      raise      unknown   yes
any other answer                       call       raise  raise      raise      failed    yes
an outcome that is not known           call       raise  raise      raise      unknown   no
no token: login forbidden or useless   permanent  raise  raise      raise      not_sent  no
no token: login not counted by EnKash  transient  again  again      again      not_sent  no
no token for another reason            call       raise  raise      raise      not_sent  no
wrong set-up, wrong arguments          permanent  raise  raise      raise      not_sent  no
=====================================  =========  =====  =========  =========  ========  ========

The columns are fields of `Verdict`; the field of the column `writes` is `asked`. A *write* is any call that changes
something. The column `writes` replaces the column `write` if `RetryPolicy.writes` is on. The advice for a task queue is
`EnkashError.retry`; it is on the error classes, where users look for it.

The pipeline judges a 401 only after it has renewed the token and sent the call once more.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from enkash_async import bulk, errors
from enkash_async._wire.operation import Effect
from enkash_async.bulk import BulkGroup
from enkash_async.errors import ApiError, EnkashError

__all__ = ["TABLE", "Lasts", "Next", "Verdict", "decide", "judge"]

#: The documented values of `response_code` with which EnKash says that it did nothing.
_REFUSALS = frozenset({1, 36, 37, 38})
#: Statuses of a gateway, an overload or a time-out. A plain 500 is EnKash's own answer, and a retry would get it again.
_TRANSIENT = frozenset({408, 502, 503, 504})
#: Statuses that EnKash does not document, and that a server may answer because the work is done: 301 to 303 lead a
#: browser on after a form, and 409 may mean that the request came before.
_DONE = frozenset({301, 302, 303, 409})


class Next(enum.Enum):
    """What may follow a failed attempt; the pipeline counts how many attempts remain."""

    AGAIN = "again"
    RAISE = "raise"
    RECONCILE = "reconcile"  # EnKash may have done the work: look up the result, never send the call again


class Lasts(enum.Enum):
    """Whether the next call would meet the same failure."""

    TRANSIENT = "transient"  # the next call may succeed
    PERMANENT = "permanent"  # every later call of this client would fail in the same manner
    CALL = "call"  # the failure concerns this call only


@attrs.frozen(kw_only=True)
class Verdict:
    """One row of the table.

    Attributes:
        lasts: Whether the next call would meet the same failure.
        read: What may follow when the call only reads.
        write: What may follow when the call changes something.
        asked: What follows instead of `write` if `RetryPolicy.writes` is on: a write is then repeated after an answer
            that asks the client to retry later. The column `writes` of the table.
        group: The group of the item in a bulk result.
        one_item: Whether one item may be the reason why a call for many fails; the caller then reads items one by one.
        ends_job: Whether every other item of a bulk job would fail too. False for a wrong argument of one item.
        says_absent: Whether EnKash said that the bill does not exist. A bare 404 does not say this.
    """

    lasts: Lasts = Lasts.CALL
    read: Next = Next.RAISE
    write: Next = Next.RAISE
    asked: Next = Next.RAISE
    group: BulkGroup = BulkGroup.FAILED
    one_item: bool = False
    ends_job: bool = False
    says_absent: bool = False

    @property
    def is_transient(self) -> bool:
        """Whether the next call may succeed."""
        return self.lasts is Lasts.TRANSIENT

    @property
    def is_permanent(self) -> bool:
        """Whether every later call of this client would meet the same failure."""
        return self.lasts is Lasts.PERMANENT


def judge(problem: EnkashError) -> Verdict:
    """Return what a failure means; a user's subclass counts as its nearest base class in the table."""
    row = next(TABLE[kind] for kind in type(problem).__mro__ if kind in TABLE)
    return row if isinstance(row, Verdict) else row(problem)


def decide(effect: Effect, failure: EnkashError, *, writes: bool = False) -> Next:
    """Return what may follow one failed attempt.

    Args:
        effect: What the call changes.
        failure: The error of the attempt.
        writes: Value of `RetryPolicy.writes`.
    """
    verdict = judge(failure)
    if effect is Effect.READ:
        return verdict.read
    return verdict.asked if writes else verdict.write


# --- rows -------------------------------------------------------------------------------------------------------------


def _transport(problem: errors.TransportError) -> Verdict:
    unclear = Next.RECONCILE if problem.sent else Next.AGAIN
    # `sent` is True here only for a read: if EnKash may have received a write, users get OutcomeUnknownError instead.
    group = BulkGroup.FAILED if problem.sent else BulkGroup.NOT_SENT
    return Verdict(lasts=Lasts.TRANSIENT, read=Next.AGAIN, write=unclear, asked=unclear, group=group)


def _answer(answer: ApiError) -> Verdict:
    """Return the row of an error reply; its status and code decide, not the class of the error."""
    is_overload = answer.status in _TRANSIENT
    write = Next.RECONCILE if is_overload or not _is_plain(answer) else Next.RAISE
    return Verdict(read=Next.AGAIN if is_overload else Next.RAISE, write=write, asked=write, one_item=True)


def _is_plain(answer: ApiError) -> bool:
    """Whether the code of an error reply proves that EnKash did nothing.

    EnKash documents only a few codes. Another EnKash product sends HTTP statuses as codes; a code of 4xx except 408 and
    409 is a refusal. Any other code, such as 200 or 202, may mean that the work was done or is still going on.
    """
    code = answer.response_code
    if answer.status >= 400:
        return answer.status not in _DONE
    if code in _REFUSALS:
        return True
    if not 200 <= answer.status < 300:
        return answer.status >= 300 and answer.status not in _DONE
    if code is None:
        return True
    return 400 <= code < 500 and code not in _TRANSIENT and code not in _DONE


def _server(answer: errors.ServerError) -> Verdict:
    asks = answer.status == 503 and answer.retry_after is not None
    return attrs.evolve(
        _answer(answer),
        lasts=Lasts.TRANSIENT,
        write=Next.RECONCILE,
        asked=Next.AGAIN if asks else Next.RECONCILE,
        one_item=answer.status == 500,
    )


def _rate_limit(answer: errors.RateLimitError) -> Verdict:
    return attrs.evolve(_answer(answer), lasts=Lasts.TRANSIENT, read=Next.AGAIN, asked=Next.AGAIN, one_item=False)


def _authentication(answer: errors.AuthenticationError) -> Verdict:
    return attrs.evolve(_answer(answer), lasts=Lasts.PERMANENT, one_item=False, ends_job=True)


def _permission(answer: errors.PermissionDeniedError) -> Verdict:
    return attrs.evolve(_answer(answer), one_item=False)


def _not_found(answer: errors.NotFoundError) -> Verdict:
    return attrs.evolve(_answer(answer), says_absent=answer.bill_absent)


def _duplicate(answer: errors.DuplicateReferenceError) -> Verdict:
    # The `response_code` decides, not the HTTP status. Without `differences`, the bill that has the reference could not
    # be compared with the request. An earlier run may have created it for this request, so the outcome is unknown.
    group = BulkGroup.FAILED if answer.differences else BulkGroup.UNKNOWN
    return Verdict(group=group, one_item=True)


def _login(problem: errors.TokenEndpointError) -> Verdict:
    if problem.counted or problem.reason == "renewal":
        # Do not log in again: EnKash may have counted this login, and another login could lock the account; or EnKash
        # refuses every new token.
        return _NO_LOGIN
    return Verdict(lasts=Lasts.TRANSIENT, read=Next.AGAIN, write=Next.AGAIN, asked=Next.AGAIN, group=BulkGroup.NOT_SENT)


_NOT_SENT: Final = Verdict(group=BulkGroup.NOT_SENT)
_NO_LOGIN: Final = Verdict(lasts=Lasts.PERMANENT, group=BulkGroup.NOT_SENT, ends_job=True)
_OF_THE_CALL: Final = Verdict()

#: A row for every error class: a verdict, or a function that derives the verdict from the error's evidence.
TABLE: Final[Mapping[type[Any], Verdict | Callable[[Any], Verdict]]] = {
    EnkashError: _OF_THE_CALL,
    errors.ConfigurationError: _NO_LOGIN,
    errors.InvalidRequestError: Verdict(lasts=Lasts.PERMANENT, group=BulkGroup.NOT_SENT),
    errors.TransportError: _transport,
    errors.RequestTimeoutError: _transport,
    errors.ResponseDecodeError: Verdict(
        lasts=Lasts.TRANSIENT, write=Next.RECONCILE, asked=Next.RECONCILE, one_item=True
    ),
    ApiError: _answer,
    errors.BadRequestError: _answer,
    errors.AuthenticationError: _authentication,
    errors.PermissionDeniedError: _permission,
    errors.NotFoundError: _not_found,
    errors.RateLimitError: _rate_limit,
    errors.ServerError: _server,
    errors.BillerInactiveError: _answer,
    errors.VelocityLimitError: _OF_THE_CALL,  # the `response_code` decides, not the HTTP status
    errors.DuplicateReferenceError: _duplicate,
    errors.OutcomeUnknownError: Verdict(group=BulkGroup.UNKNOWN),
    bulk.BulkError: _OF_THE_CALL,
    errors.WaitTimeoutError: _OF_THE_CALL,
    errors.TokenError: _NOT_SENT,
    errors.CredentialsRejectedError: _NO_LOGIN,
    errors.LoginGuardError: _NO_LOGIN,
    errors.TokenEndpointError: _login,
    errors.TokenReplyError: _NO_LOGIN,
    errors.StoreError: _NOT_SENT,
    errors.StoreUnavailableError: _NOT_SENT,
    errors.WebhookError: _OF_THE_CALL,
    errors.WebhookAuthenticationError: _OF_THE_CALL,
    errors.WebhookPayloadError: _OF_THE_CALL,
}
