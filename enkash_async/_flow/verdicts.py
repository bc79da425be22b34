"""What to do after a failure: pure decisions, no sleeping."""

from __future__ import annotations

import enum

from enkash_async._wire.operation import Effect
from enkash_async.errors import (
    ApiError,
    DuplicateReferenceError,
    EnkashError,
    RateLimitError,
    ResponseDecodeError,
    ServerError,
    TokenEndpointError,
    TransportError,
    VelocityLimitError,
)

__all__ = ["Verdict", "decide"]

#: The documented values of `response_code` that mean «not done».
_REFUSALS = frozenset({1, 36, 37, 38})
#: Statuses of a gateway, an overload or a time-out; a plain 500 is EnKash's own word and would come again.
_TRANSIENT = frozenset({408, 502, 503, 504})


class Verdict(enum.Enum):
    """What may be done after a failure."""

    AGAIN = "again"
    RAISE = "raise"
    RECONCILE = "reconcile"  # it may have happened: look it up, never send it again


def decide(effect: Effect, failure: EnkashError, *, writes: bool = False) -> Verdict:
    """Return what may be done after one failed attempt, attempts left or not.

    ============================================  =====  ==================================
    failure                                       READ   CREATES, CONFIRMS, WRITES
    ============================================  =====  ==================================
    not sent, or no token for a passing reason    again  again
    maybe sent (drop, time-out, truncated reply)  again  reconcile
    429                                           again  raise; again with `writes`
    503 with `Retry-After`                        again  reconcile; again with `writes`
    408, 502, other 503, 504                      again  reconcile
    500 and other 5xx                             raise  reconcile
    a reply that cannot be read                   raise  reconcile
    a 2xx with an undocumented response_code      raise  reconcile
    any other answer                              raise  raise
    ============================================  =====  ==================================

    A 401 is not in the table: the pipeline renews the token and sends once more before it asks here.

    Args:
        effect: What the call changes.
        failure: What became of the attempt.
        writes: `RetryPolicy.writes`.
    """
    if isinstance(failure, TransportError) and not failure.sent:
        return Verdict.AGAIN
    if isinstance(failure, TokenEndpointError):
        # Repeating a login that may have been counted is how accounts get locked.
        return Verdict.RAISE if failure.counted else Verdict.AGAIN
    if isinstance(failure, (DuplicateReferenceError, VelocityLimitError)):
        return Verdict.RAISE  # EnKash's own code says what was done, whatever the status around it
    passing = isinstance(failure, ApiError) and failure.status in _TRANSIENT
    if effect is Effect.READ:
        again = passing or isinstance(failure, (TransportError, RateLimitError))
        return Verdict.AGAIN if again else Verdict.RAISE
    if writes and _asks_to_come_back(failure):
        return Verdict.AGAIN
    unclear = passing or isinstance(failure, (TransportError, ServerError, ResponseDecodeError))
    if isinstance(failure, ApiError) and not _is_plain(failure):
        unclear = True
    return Verdict.RECONCILE if unclear else Verdict.RAISE


def _asks_to_come_back(failure: EnkashError) -> bool:
    if isinstance(failure, RateLimitError):
        return True
    return isinstance(failure, ServerError) and failure.status == 503 and failure.retry_after is not None


def _is_plain(answer: ApiError) -> bool:
    """Whether an error in a successful HTTP reply says plainly that nothing was done.

    Only a few codes are documented. A sister product sends HTTP statuses as codes, of which 4xx but 408 are refusals;
    any other code, 200 or 202 among them, may stand for work that was done or goes on.
    """
    code = answer.response_code
    if answer.status >= 300 or code is None or code in _REFUSALS:
        return True
    return 400 <= code < 500 and code not in _TRANSIENT
