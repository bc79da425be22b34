"""A call as a value, and HTTP requests and replies as values; no I/O, and no knowledge of single EnKash calls."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import attrs

from enkash_async._support import exact_json
from enkash_async.errors import EnkashError

__all__ = ["Departure", "Effect", "Operation", "Request", "Response", "Send", "json_request", "path"]

# Every call makes one of each of these values, and at runtime attrs takes more than twice as long to make a frozen one.
# So they are frozen for the type checker alone.
if TYPE_CHECKING:
    from attrs import frozen as _value
else:
    _value = attrs.define

T = TypeVar("T")

_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]+")


class Effect(enum.Enum):
    """What a call changes; decides what the pipeline may do when the outcome of the call is unclear."""

    READ = "read"  # changes nothing; safe to repeat
    CREATES = "creates"  # creates a bill that can be found by its reference_id; not resent if the outcome is unclear
    CONFIRMS = "confirms"  # moves money for bills that can be read back; not resent if the outcome is unclear
    WRITES = "writes"  # may change anything, and cannot be looked up; not resent if the outcome is unclear


@_value(kw_only=True)
class Request:
    """One HTTP request, relative to a base URL; its `repr` does not show the body."""

    method: str
    path: str  # percent-encoded
    query: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes | None = attrs.field(default=None, repr=False)
    content_type: str | None = attrs.field(default=None, repr=False)


@_value(kw_only=True)
class Response:
    """One complete HTTP reply; `headers` finds names in lower case.

    Attributes:
        abandon: Closes the reply's connection, so that no later request reads what still arrives on this connection.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    abandon: Callable[[], object] = attrs.field(default=lambda: None, repr=False, eq=False)

    @property
    def content_type(self) -> str | None:
        """The `Content-Type` header, or None."""
        return self.headers.get("content-type")

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class Departure(Protocol):
    """Writes down a request that must not be sent twice, each time before the request is sent."""

    async def note(self) -> None:
        """Write down that the request is sent next; if this raises an `EnkashError`, the request is not sent."""
        ...

    def is_timely(self) -> bool:
        """Whether so little time has passed since `note` that the sending of the body may still begin."""
        ...


@_value(kw_only=True)
class Operation(Generic[T]):
    """A call as a value: what to send, what comes back, and what it changes.

    Attributes:
        name: Public name of the call, such as `bills.create`.
        request: The HTTP request to send.
        result: Type of the value to return; `object` for the payload as decoded JSON.
        effect: What the call changes.
        reference_id: The caller's id of the bill, for a look-up if the outcome is unclear; None for other calls.
        utility_enkash_ids: EnKash's ids of the bills that the call names, to read them back if the outcome is unclear.
        sensitive: Values of the request to redact from errors.
        departure: Writes down the request each time before it is sent; such a request gets a connection of its own.
            None for a request that is not written down.
        alone: Whether a read gets a connection of its own, because its reply cannot be told from a late reply
            to another call.
        contradiction: Called with the result or EnKash's error; returns a text that says why the reply must belong
            to another call, or None.
    """

    name: str
    request: Request
    result: type[T]
    effect: Effect
    reference_id: str | None = None
    utility_enkash_ids: tuple[str, ...] = attrs.field(default=(), repr=False)
    sensitive: tuple[str, ...] = attrs.field(default=(), repr=False)
    departure: Departure | None = attrs.field(default=None, repr=False, eq=False)
    alone: bool = False
    contradiction: Callable[[T | EnkashError], str | None] | None = attrs.field(default=None, repr=False, eq=False)


class Send(Protocol):
    """Sends an operation and returns its decoded result; the only access that the resources have to the network."""

    async def __call__(self, operation: Operation[T]) -> T:
        """Return the result, or raise an `EnkashError`."""
        ...


def path(template: str, **ids: str) -> str:
    """Return a route's path with its ids percent-encoded, so that the id `ref/1 é?#%2F` arrives unchanged."""
    for name, value in ids.items():
        template = template.replace(f"{{{name}}}", value if _UNRESERVED.fullmatch(value) else quote(value, safe=""))
    return template


def json_request(method: str, to: str, body: Any) -> Request:
    """Return a request that carries `body` as JSON with exact numbers."""
    return Request(method=method, path=to, body=exact_json.dumps(body).encode(), content_type="application/json")
