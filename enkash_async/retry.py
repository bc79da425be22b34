"""What to do after a failure: pure decisions, no sleeping."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import attrs

from enkash_async._wire import Effect
from enkash_async.errors import (
    ApiError,
    ConfigurationError,
    DuplicateReferenceError,
    EnkashError,
    RateLimitError,
    ResponseDecodeError,
    ServerError,
    TokenEndpointError,
    TransportError,
    VelocityLimitError,
)

__all__ = ["PollPolicy", "RetryPolicy", "SettlePolicy", "Verdict", "decide", "parse_retry_after"]

Random = Callable[[], float]

#: The documented values of `response_code` that mean «not done».
_REFUSALS = frozenset({1, 36, 37, 38})
#: Statuses of a gateway, an overload or a time-out; a plain 500 is EnKash's own word and would come again.
_PASSING = frozenset({408, 502, 503, 504})
_SHORTEST_WINDOW = 120.0  # seconds; EnKash says two to three minutes
_WINDOW_OF_TIMEOUT = 4.0


def _at_least(least: float) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(policy: object, attribute: attrs.Attribute[Any], value: float) -> None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not value >= least:
            raise ConfigurationError(
                f"{type(policy).__name__}.{attribute.name} must be at least {least}, not {value!r}"
            )

    return check


def _at_most(most: float) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(policy: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if not value <= most:
            raise ConfigurationError(f"{type(policy).__name__}.{attribute.name} must be at most {most}, not {value}")

    return check


def _is_a(kind: type) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(policy: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(
                f"{type(policy).__name__}.{attribute.name} must be {kind.__name__}(…), not {type(value).__name__}"
            )

    return check


def _true_or_false(policy: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{type(policy).__name__}.{attribute.name} must be True or False, not {value!r}")


@attrs.frozen(kw_only=True)
class PollPolicy:
    """How often to look again at something that takes its time.

    Args:
        first: Pause before the second look in seconds.
        factor: Each pause is so many times the one before.
        longest: Upper bound of a pause in seconds.
        jitter: Share by which a pause is varied at random, so that many waiters do not ask at once.
    """

    first: float = attrs.field(default=1.0, validator=_at_least(0.001))
    factor: float = attrs.field(default=1.5, validator=_at_least(1))
    longest: float = attrs.field(default=15.0, validator=_at_least(0.001))
    jitter: float = attrs.field(default=0.2, validator=[_at_least(0), _at_most(1)])

    def pause(self, look: int, random: Random) -> float:
        """Return the seconds to wait after the given look, the first being 1."""
        try:
            plain = min(self.longest, self.first * self.factor ** min(look - 1, 60))
        except OverflowError:
            plain = self.longest
        return min(self.longest, plain * (1 + self.jitter * (2 * random() - 1)))


@attrs.frozen(kw_only=True)
class SettlePolicy:
    """How long to look for what a call did whose end was unclear, before it is said to be unknown.

    EnKash's own guidance is to enquire two to three minutes after a 5xx or a time-out.

    Args:
        window: Seconds from the unclear end to the last look; None means four times `Timeouts.total`, and 120 at
            least, since the request may still be on its way for as long as EnKash works at it. 0 looks once.
        pauses: The pauses between the looks; the first look is made at once.
    """

    window: float | None = attrs.field(default=None, validator=attrs.validators.optional(_at_least(0)))
    pauses: PollPolicy = attrs.field(
        default=PollPolicy(first=0.25, factor=2.0, longest=15.0), validator=_is_a(PollPolicy)
    )

    @classmethod
    def of(cls, value: SettlePolicy | float) -> SettlePolicy:
        """Return a policy; a number is its window in seconds.

        Raises:
            ConfigurationError: It is neither.
        """
        return value if isinstance(value, SettlePolicy) else cls(window=value)

    def within(self, timeout: float) -> SettlePolicy:
        """Return the policy with a window, given the seconds that one attempt may take."""
        if self.window is not None:
            return self
        return attrs.evolve(self, window=max(_SHORTEST_WINDOW, _WINDOW_OF_TIMEOUT * timeout))


def _settle(value: SettlePolicy | float) -> SettlePolicy:
    return SettlePolicy.of(value)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently to repeat a call that is safe to repeat, and to look for one that is not.

    Args:
        attempts: Attempts in all, the first included; 1 switches repeating off.
        backoff: Upper bound of the first pause in seconds; it doubles each time, and each pause is a random part of it.
        max_backoff: Upper bound of any pause in seconds.
        max_retry_after: Longest `Retry-After` in seconds that is waited for; a longer one is raised at once, with
            `retry_after` on the error.
        writes: Repeat also calls that create, confirm or change something after a 429, and after a 503 with
            `Retry-After`. Off by default: EnKash documents neither answer, so that nothing was done is an assumption.
        settle: How long to look for what such a call did after an unclear end; a number is the window in seconds.
    """

    attempts: int = attrs.field(default=3, validator=_at_least(1))
    backoff: float = attrs.field(default=0.5, validator=_at_least(0))
    max_backoff: float = attrs.field(default=8.0, validator=_at_least(0))
    max_retry_after: float = attrs.field(default=60.0, validator=_at_least(0))
    writes: bool = attrs.field(default=False, validator=_true_or_false)
    settle: SettlePolicy = attrs.field(default=SettlePolicy(), converter=_settle)

    def pause(self, attempt: int, retry_after: float | None, random: Random) -> float:
        """Return the seconds to wait after the given attempt, the first being 1 (full jitter)."""
        # The exponent is capped since 2.0**1024 overflows, which a large `attempts` would reach.
        ceiling = min(self.max_backoff, self.backoff * 2.0 ** min(attempt - 1, 60))
        return max(retry_after or 0.0, random() * ceiling)


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
    passing = isinstance(failure, ApiError) and failure.status in _PASSING
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
    return 400 <= code < 500 and code not in _PASSING


def parse_retry_after(value: str | None, date: str | None = None) -> float | None:
    """Return the seconds that a reply asks to wait, or None when it does not say so readably.

    Args:
        value: The `Retry-After` header: seconds, or an HTTP date.
        date: The `Date` header of the same reply; the difference of the two does not depend on this machine's clock.
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
