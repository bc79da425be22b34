"""The settings of a client: time-outs, retries, polling, limits, routes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Unpack

import attrs

from enkash_async._support import checks
from enkash_async.errors import ConfigurationError

__all__ = ["MAX_RESPONSE_BYTES", "Limits", "PollPolicy", "RetryPolicy", "Routes", "SettlePolicy", "Timeouts"]

#: Bytes. Far above a page of 5,000 bills (a few megabytes), and far below the memory of a worker.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024


Random = Callable[[], float]

_SHORTEST_WINDOW = 120.0  # seconds; EnKash's guidance is to enquire after two to three minutes
_WINDOW_OF_TIMEOUT = 4.0  # in units of `Timeouts.total`: EnKash needs no longer for a request that timed out here


def _number(**bounds: Unpack[checks.Bounds]) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(policy: object, attribute: attrs.Attribute[Any], value: object) -> None:
        checks.number(value, f"{type(policy).__name__}.{attribute.name}", error=ConfigurationError, **bounds)

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
    """The pauses between the looks of a poll.

    Args:
        first: Seconds between the first look and the second.
        factor: Ratio of each pause to the pause before it.
        longest: Upper bound of a pause in seconds.
        jitter: Share, 0 to 1, by which each pause varies at random, so that many callers do not poll all at once.
    """

    first: float = attrs.field(default=1.0, validator=_number(least=0.001, unit="seconds"))
    factor: float = attrs.field(default=1.5, validator=_number(least=1))
    longest: float = attrs.field(default=15.0, validator=_number(least=0.001, unit="seconds"))
    jitter: float = attrs.field(default=0.2, validator=_number(least=0, most=1))

    def pause(self, look: int, random: Random) -> float:
        """Return the seconds to wait after a look; the first look is number 1."""
        try:
            plain = min(self.longest, self.first * self.factor ** min(look - 1, 60))
        except OverflowError:
            plain = self.longest
        return min(self.longest, plain * (1 + self.jitter * (2 * random() - 1)))


@attrs.frozen(kw_only=True)
class SettlePolicy:
    """How long to look for the effect of a call after an unclear failure, before the outcome counts as unknown.

    EnKash's guidance is to enquire two to three minutes after a 5xx or a time-out.

    Args:
        window: Seconds from the failure to the last look; 0 looks once. None means four times `Timeouts.total`, but at
            least 120, since EnKash may still work on the request.
        pauses: The pauses between the looks; the first look is made at once.
    """

    window: float | None = attrs.field(
        default=None, validator=_number(least=0, unit="seconds", none="for four times Timeouts.total")
    )
    pauses: PollPolicy = attrs.field(
        default=PollPolicy(first=0.25, factor=2.0, longest=15.0), validator=_is_a(PollPolicy)
    )

    @classmethod
    def of(cls, value: SettlePolicy | float) -> SettlePolicy:
        """Return a policy unchanged, or make a policy from a window in seconds.

        Raises:
            ConfigurationError: The value is neither a policy nor a number of seconds.
        """
        return value if isinstance(value, SettlePolicy) else cls(window=value)

    def within(self, timeout: float) -> SettlePolicy:
        """Return the policy; if its window is None, compute the window from the seconds that one attempt may take."""
        if self.window is not None:
            return self
        return attrs.evolve(self, window=max(_SHORTEST_WINDOW, _WINDOW_OF_TIMEOUT * timeout))


def _settle(value: SettlePolicy | float) -> SettlePolicy:
    return SettlePolicy.of(value)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How to repeat calls that are safe to repeat, and how long to look for the effect of other calls.

    Args:
        attempts: Attempts in all, including the first; 1 means no retry.
        backoff: Upper bound of the first pause in seconds. The bound doubles with each attempt, and each pause is
            drawn at random from 0 to the bound.
        max_backoff: Upper bound of any pause in seconds.
        max_retry_after: Longest `Retry-After` in seconds to wait for. A reply that asks for more is raised at once,
            with `retry_after` on the error.
        writes: Also repeat calls that create or change something, after a 429 or a 503 with `Retry-After`; never a
            confirmation. Off by default: EnKash documents neither reply, so it is only an assumption that EnKash did
            nothing.
        settle: How long to look for the effect of a write that ended unclearly: a `SettlePolicy`, or its window in
            seconds.
    """

    attempts: int = attrs.field(default=3, validator=_number(least=1))
    backoff: float = attrs.field(default=0.5, validator=_number(least=0, unit="seconds"))
    max_backoff: float = attrs.field(default=8.0, validator=_number(least=0, unit="seconds"))
    max_retry_after: float = attrs.field(default=60.0, validator=_number(least=0, unit="seconds"))
    writes: bool = attrs.field(default=False, validator=_true_or_false)
    settle: SettlePolicy = attrs.field(default=SettlePolicy(), converter=_settle)

    def pause(self, attempt: int, retry_after: float | None, random: Random) -> float:
        """Return the seconds to wait after an attempt, with full jitter; the first attempt is number 1."""
        # The exponent is capped, since 2.0**1024 overflows, and `attempts` may be larger than 1024.
        ceiling = min(self.max_backoff, self.backoff * 2.0 ** min(attempt - 1, 60))
        return max(retry_after or 0.0, random() * ceiling)


@attrs.frozen
class Timeouts:
    """How long one attempt may take.

    Args:
        total: Seconds from the start of the attempt to the last byte of the reply.
        connect: Seconds for opening a connection.
    """

    total: float = attrs.field(default=30.0, validator=_number(above=0, unit="seconds"))
    connect: float = attrs.field(default=5.0, validator=_number(above=0, unit="seconds"))


@attrs.frozen(kw_only=True)
class Limits:
    """How many requests a client may have in flight, and how many it may begin in a second.

    A request waits for its turn under `rate` before it waits for its token. So requests that wait for one login all
    begin at once when the login ends, even if that exceeds `rate`.

    Args:
        concurrency: Requests in flight at once; the default of 100 is aiohttp's default number of connections.
        rate: Requests that may begin per second; 0.5 is one in two seconds. None sets no limit; EnKash documents no
            limit.
        burst: Requests that may begin at once after a pause; has no effect without a `rate`. In any t seconds, at most
            `burst + rate * t` requests begin.
    """

    concurrency: int = attrs.field(default=100, validator=_number(least=1, whole=True))
    rate: float | None = attrs.field(
        default=None,
        validator=_number(above=0, below=math.inf, unit="requests per second", none="for no limit"),
    )
    burst: int = attrs.field(default=1, validator=_number(least=1, whole=True))


_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def _route(default: str, *, verified: bool = True) -> Any:
    expected = _PLACEHOLDER.findall(default)

    def check(_: Routes, attribute: attrs.Attribute[str], value: str) -> None:
        if (
            not isinstance(value, str)
            or not value.startswith("/")
            or value.startswith("//")
            or re.search(r"[?#\s]", value)
        ):
            raise ConfigurationError(f"Routes.{attribute.name} must be a path such as {default!r}, not {value!r}")
        if _PLACEHOLDER.findall(value) != expected:
            raise ConfigurationError(f"Routes.{attribute.name} must have the placeholders of {default!r}: {value!r}")

    return attrs.field(default=default, validator=check, metadata={"verified": verified})


@attrs.frozen(kw_only=True)
class Routes:
    """The path of every operation, in the version that EnKash documents.

    EnKash versions each path separately, so there is no single version to set. If your account manager gives you
    another path, set it: `Routes(billers="/api/v3/billers")`.

    Three routes are not publicly documented; `Routes.unverified()` names them. Their defaults are guesses: ask EnKash
    before you rely on them.

    Raises:
        ConfigurationError: A path does not begin with `/`, or lacks the placeholder of its default.
    """

    token: str = _route("/oauth/token")
    fetch_bill: str = _route("/api/v2/biller/fetchOrAddBill")
    billers: str = _route("/api/v2/biller", verified=False)
    biller_categories: str = _route("/api/v2/biller/billerTypes", verified=False)
    search_bills: str = _route("/api/v1/utilityPayment/search")
    bill_by_reference: str = _route("/api/v2/utilityPayment/referenceId/{referenceId}")
    bill: str = _route("/api/v2/utilityPayment/{utilityEnkashId}")
    confirm_debit: str = _route("/api/v0/utilityPayment/status")
    initiate_payment: str = _route("/api/v0/payment", verified=False)
    add_bill: str = _route("/api/v2/biller/addBill")
    create_bill: str = _route("/api/v2/utilityPayment")
    register_webhook: str = _route("/api/v0/webhook-data")

    @classmethod
    def unverified(cls) -> tuple[str, ...]:
        """Return the names of the routes whose default path is a guess, since no public EnKash page shows it."""
        return tuple(field.name for field in attrs.fields(cls) if not field.metadata["verified"])
