"""What the sandbox can do wrong on request."""

from __future__ import annotations

import enum

import attrs

from enkash_async.routes import Routes

__all__ = ["Fault", "FaultKind", "Faults"]

_ROUTES = (*(field.name for field in attrs.fields(Routes)), "*")


class FaultKind(enum.StrEnum):
    """A way to fail; the words are accepted in any case.

    «Before» means that the request has no effect, «after» that its work is done although the reply does not say so.
    """

    UNAUTHORIZED = enum.auto()  # before: 401
    RATE_LIMITED = enum.auto()  # before: 429 with Retry-After
    BAD_GATEWAY = enum.auto()  # before: 502 with an HTML body
    UNAVAILABLE = enum.auto()  # before: 503, with Retry-After when one is given
    SERVER_ERROR = enum.auto()  # before: 500 in the envelope
    SLOW = enum.auto()  # a wait, then the usual work and reply
    DROP_BEFORE = enum.auto()  # before: the connection is closed
    DROP_AFTER = enum.auto()  # after: the connection is closed
    TRUNCATED = enum.auto()  # after: half of the announced body, then the connection is closed
    SERVER_ERROR_AFTER = enum.auto()  # after: 502 with an HTML body
    NOT_JSON = enum.auto()  # after: 200 with an HTML body
    LATE = enum.auto()  # after a while: the connection is closed at once, and the work is done `delay` seconds later

    @classmethod
    def _missing_(cls, value: object) -> FaultKind | None:
        return cls.__members__.get(str(value).upper())


@attrs.frozen
class Fault:
    """A fault that hits one request.

    Args:
        kind: What happens.
        delay: Seconds that SLOW waits, and that LATE puts the work off.
        retry_after: Text of the Retry-After header, or None.
    """

    kind: FaultKind
    delay: float
    retry_after: str | None


@attrs.define
class _Rule:
    route: str
    fault: Fault
    left: int | None
    skip: int

    def hit(self, route: str) -> bool:
        """Return whether the rule takes a request, and note that it was asked."""
        if self.route not in (route, "*") or self.left == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    """The faults that wait for requests; the first one added that fits a request takes it."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []

    def add(
        self,
        route: str,
        kind: FaultKind | str,
        *,
        times: int | None = 1,
        after: int = 0,
        delay: float = 1.0,
        retry_after: float | str | None = None,
    ) -> None:
        """Make requests fail.

        Args:
            route: A field name of `Routes`, such as `create_bill`, or `*` for all of them.
            kind: What happens.
            times: How many requests are hit; None means all until `clear()`.
            after: How many requests are let through first; a request that an earlier fault took is not one of them.
            delay: Seconds that `SLOW` waits, and that `LATE` puts the work off; the other kinds do not use it.
            retry_after: Seconds, or a text such as an HTTP date, for the Retry-After header of `RATE_LIMITED` (None: 1)
                and of `UNAVAILABLE` (None: no header); the other kinds do not use it.

        Raises:
            ValueError: The route or the kind is unknown, or a number is out of range; the message says what is right.
        """
        if route not in _ROUTES:
            raise ValueError(f"unknown route {route!r}; use one of {', '.join(_ROUTES)}")
        if (times is not None and times < 1) or after < 0 or not delay >= 0:
            raise ValueError("times must be None or 1 and more, after and delay must be 0 and more")
        known = _kind(kind)
        if retry_after is None and known is FaultKind.RATE_LIMITED:
            retry_after = 1
        header = f"{retry_after:g}" if isinstance(retry_after, (int, float)) else retry_after
        self._rules.append(_Rule(route, Fault(known, delay, header), times, after))

    def clear(self) -> None:
        """Forget every fault."""
        self._rules.clear()

    def take(self, route: str) -> Fault | None:
        """Return the fault that hits a request to a route, or None; the server asks once for each request."""
        return next((rule.fault for rule in self._rules if rule.hit(route)), None)


def _kind(word: FaultKind | str) -> FaultKind:
    try:
        return FaultKind(word)
    except ValueError:
        raise ValueError(f"unknown kind of fault {word!r}; use one of {', '.join(FaultKind)}") from None
