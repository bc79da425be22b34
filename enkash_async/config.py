"""How a client is set up: time-outs, repeating, looking again, limits, routes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Unpack

import attrs

from enkash_async._support import checks
from enkash_async.errors import ConfigurationError

__all__ = ["MAX_RESPONSE_BYTES", "Limits", "PollPolicy", "RetryPolicy", "Routes", "SettlePolicy", "Timeouts"]

#: A page of 5,000 bills is a few megabytes; this is far above it, and far below what would hurt a worker.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024


Random = Callable[[], float]

_SHORTEST_WINDOW = 120.0  # seconds; EnKash says two to three minutes
_WINDOW_OF_TIMEOUT = 4.0


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
    """How often to look again at something that takes its time.

    Args:
        first: Pause before the second look in seconds.
        factor: Each pause is so many times the one before.
        longest: Upper bound of a pause in seconds.
        jitter: Share by which a pause is varied at random, so that many waiters do not ask at once.
    """

    first: float = attrs.field(default=1.0, validator=_number(least=0.001, unit="seconds"))
    factor: float = attrs.field(default=1.5, validator=_number(least=1))
    longest: float = attrs.field(default=15.0, validator=_number(least=0.001, unit="seconds"))
    jitter: float = attrs.field(default=0.2, validator=_number(least=0, most=1))

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

    window: float | None = attrs.field(
        default=None, validator=_number(least=0, unit="seconds", none="for four times Timeouts.total")
    )
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

    attempts: int = attrs.field(default=3, validator=_number(least=1))
    backoff: float = attrs.field(default=0.5, validator=_number(least=0, unit="seconds"))
    max_backoff: float = attrs.field(default=8.0, validator=_number(least=0, unit="seconds"))
    max_retry_after: float = attrs.field(default=60.0, validator=_number(least=0, unit="seconds"))
    writes: bool = attrs.field(default=False, validator=_true_or_false)
    settle: SettlePolicy = attrs.field(default=SettlePolicy(), converter=_settle)

    def pause(self, attempt: int, retry_after: float | None, random: Random) -> float:
        """Return the seconds to wait after the given attempt, the first being 1 (full jitter)."""
        # The exponent is capped since 2.0**1024 overflows, which a large `attempts` would reach.
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
    """How many requests a client may have under way, and how many it may begin in a second.

    Requests that wait for a login have had their turn, and begin together once it is there.

    Args:
        concurrency: Requests under way at once; the default is aiohttp's own number of connections.
        rate: Requests that may begin per second, 0.5 being one in two seconds; None sets no limit. EnKash documents
            none.
        burst: Requests that may begin at once after a quiet time; it means nothing without a `rate`. In any t seconds
            at most `burst + rate * t` begin.
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
    """The path of every operation, each with the version that EnKash documents for it.

    EnKash versions its paths one by one, so there is no single version to set. Override what your account manager
    tells you differently: `Routes(billers="/api/v3/billers")`.

    Three routes are not publicly documented; `Routes.unverified()` names them. Their defaults are educated guesses:
    ask EnKash before you rely on them.

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
        """Return the names of the routes whose default path no EnKash page documents."""
        return tuple(field.name for field in attrs.fields(cls) if not field.metadata["verified"])
