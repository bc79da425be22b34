"""The failures that the sandbox produces on request."""

from __future__ import annotations

import enum

import attrs

from enkash_async.config import Routes

__all__ = ["Fault", "FaultKind", "Faults"]

# Names the posts that the sandbox sends. The posts are not requests, so `*` does not include them.
_WEBHOOK = "webhook"
_ROUTES = (*(field.name for field in attrs.fields(Routes)), _WEBHOOK, "*")


class FaultKind(enum.StrEnum):
    """A kind of failure; its name is accepted in upper and lower case.

    Requests take every kind but the last two. The posts of `webhook` take the last two, SLOW and DROP_BEFORE.
    """

    UNAUTHORIZED = enum.auto()  # does nothing, and answers 401
    RATE_LIMITED = enum.auto()  # does nothing, and answers 429 with Retry-After
    BAD_GATEWAY = enum.auto()  # does nothing, and answers 502 with an HTML body
    UNAVAILABLE = enum.auto()  # does nothing, and answers 503; with Retry-After if `retry_after` is given
    SERVER_ERROR = enum.auto()  # does nothing, and answers 500 in the envelope
    SLOW = enum.auto()  # waits, then works and answers as usual; a slow post delays later posts about the same bill
    DROP_BEFORE = enum.auto()  # does nothing, and closes the connection; a post is never sent
    DROP_AFTER = enum.auto()  # does the work, then closes the connection
    TRUNCATED = enum.auto()  # does the work, then sends half of the announced body and closes the connection
    SERVER_ERROR_AFTER = enum.auto()  # does the work, then answers 502 with an HTML body
    NOT_JSON = enum.auto()  # does the work, then answers 200 with an HTML body
    NULL_PAYLOAD = enum.auto()  # does the work, then answers success without the payload
    REFUSED_AFTER = enum.auto()  # does the work, then answers like a refusal, with `status` (None: 409)
    STRAY = enum.auto()  # does the work and answers; sends this reply again before the next reply, or after `delay`
    LATE = enum.auto()  # answers `status` or closes the connection at once; does the work `delay` seconds later
    DUPLICATED = enum.auto()  # a post is sent twice at the same moment
    REORDERED = enum.auto()  # a post waits until a later post about the same bill is answered, at most `delay` seconds

    @classmethod
    def of(cls, route: str) -> tuple[FaultKind, ...]:
        """Return the kinds that a route takes.

        Args:
            route: A field name of `Routes`, `*`, or `webhook` for the posts that the sandbox sends.
        """
        return _OF_WEBHOOKS if route == _WEBHOOK else tuple(kind for kind in cls if kind not in _OF_WEBHOOKS_ONLY)

    @classmethod
    def _missing_(cls, value: object) -> FaultKind | None:
        return cls.__members__.get(str(value).upper())


_OF_WEBHOOKS_ONLY = (FaultKind.DUPLICATED, FaultKind.REORDERED)
_OF_WEBHOOKS = (*_OF_WEBHOOKS_ONLY, FaultKind.SLOW, FaultKind.DROP_BEFORE)


@attrs.frozen
class Fault:
    """A fault that hits one request, or one post of a webhook.

    Args:
        kind: The kind of failure.
        delay: Seconds that SLOW waits, or by which LATE postpones the work; or the longest time for which STRAY holds
            back the second reply, or REORDERED a post.
        retry_after: Text of the Retry-After header, or None for no header.
        status: HTTP status of the reply of LATE and REFUSED_AFTER; None closes the connection.
    """

    kind: FaultKind
    delay: float
    retry_after: str | None
    status: int | None


@attrs.define
class _Rule:
    route: str
    fault: Fault
    left: int | None
    skip: int

    def hit(self, route: str) -> bool:
        """Return whether the rule applies to a request, and count the request."""
        everywhere = self.route == "*" and route != _WEBHOOK
        if not (everywhere or self.route == route) or self.left == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    """The faults that wait for requests; if several faults match a request, the fault added first applies."""

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
        status: int | None = None,
    ) -> None:
        """Make requests or webhook posts fail.

        A post counts once, when the bill changes: further attempts after a bad answer are the same post.

        Args:
            route: A field name of `Routes`, such as `create_bill`; `*` for all requests; or `webhook` for the posts
                that the sandbox sends, which `*` does not include.
            kind: The failure. Requests take every kind but `DUPLICATED` and `REORDERED`; `webhook` takes these two,
                `SLOW` and `DROP_BEFORE`.
            times: Number of requests or posts to hit; None hits all until `clear()`.
            after: Number of requests or posts to let through first, not counting those that an earlier fault hit.
            delay: Seconds that `SLOW` waits, or by which `LATE` postpones the work; or the longest time for which
                `STRAY` holds back the second reply, or `REORDERED` a post. The other kinds ignore it.
            retry_after: Seconds, or a text such as an HTTP date, for the Retry-After header of `RATE_LIMITED` (None: 1)
                and of `UNAVAILABLE` (None: no header); the other kinds ignore it.
            status: HTTP status, 200 or 400 to 599, that `LATE` answers at once (200: success without a payload; None:
                the connection is closed) and `REFUSED_AFTER` answers after the work (None: 409); the other kinds ignore
                it.

        Raises:
            ValueError: The route or the kind is unknown, the route does not take the kind, or a number is out of range;
                the message says what to write instead.
        """
        if route not in _ROUTES:
            raise ValueError(f"unknown route {route!r}; use one of {', '.join(_ROUTES)}")
        if (times is not None and times < 1) or after < 0 or not delay >= 0:
            raise ValueError("times must be None or 1 and more, after and delay must be 0 and more")
        known = _kind(kind, route)
        status = _status(known, status)
        if retry_after is None and known is FaultKind.RATE_LIMITED:
            retry_after = 1
        header = f"{retry_after:g}" if isinstance(retry_after, (int, float)) else retry_after
        self._rules.append(_Rule(route, Fault(known, delay, header, status), times, after))

    def clear(self) -> None:
        """Remove every fault."""
        self._rules.clear()

    def take(self, route: str) -> Fault | None:
        """Return the fault that applies to a request or post, or None. Call this once for each request or post."""
        return next((rule.fault for rule in self._rules if rule.hit(route)), None)


def _kind(word: FaultKind | str, route: str) -> FaultKind:
    right = FaultKind.of(route)
    try:
        kind = FaultKind(word)
    except ValueError:
        raise ValueError(f"unknown kind of fault {word!r}; use one of {', '.join(right)}") from None
    if kind not in right:
        raise ValueError(f"{str(kind)!r} is no kind of fault for {route!r}; use one of {', '.join(right)}")
    return kind


def _status(kind: FaultKind, given: int | None) -> int | None:
    least = 400 if kind is FaultKind.REFUSED_AFTER else 200
    if given is not None and not (given == least or 400 <= given <= 599):
        raise ValueError(f"status must be {'' if least == 400 else '200, or '}400 to 599, not {given!r}")
    return 409 if given is None and kind is FaultKind.REFUSED_AFTER else given
