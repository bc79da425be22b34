"""A call as a value, and the values that cross the network: no I/O here, and no EnKash in particular."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import attrs

from enkash_async._support import exact_json

if TYPE_CHECKING:
    from attrs import frozen
else:
    # Frozen for the type checker alone. These values are made for every call and seen by nobody outside; a frozen
    # class sets each field the long way round, which took more time than all else that was done with them.
    frozen = partial(attrs.define, unsafe_hash=True)

__all__ = ["Effect", "Operation", "Request", "Response", "Send", "json_request", "path"]

T = TypeVar("T")

_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]+")


class Effect(enum.Enum):
    """What a call changes, which decides what may happen after an unclear end."""

    READ = "read"  # safe to repeat
    CREATES = "creates"  # has a reference_id; after an unclear end it can be looked up, never resent
    CONFIRMS = "confirms"  # names bills whose state can be read back; never resent
    WRITES = "writes"  # a call of the user's own that may change anything; cannot be looked up, never resent


@frozen(kw_only=True)
class Request:
    """One HTTP request, relative to a base URL; its `repr` does not show the body."""

    method: str
    path: str  # percent-encoded
    query: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes | None = attrs.field(default=None, repr=False)
    content_type: str | None = attrs.field(default=None, repr=False)


@frozen(kw_only=True)
class Response:
    """One HTTP reply, read to its end; the names of its headers are found in lower case."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    @property
    def content_type(self) -> str | None:
        """The `Content-Type` header, or None."""
        return self.headers.get("content-type")

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@frozen(kw_only=True)
class Operation(Generic[T]):
    """A call as a value: what to send, what comes back, and what it changes.

    Attributes:
        name: Public name of the call, such as `bills.create`.
        result: The type of the decoded payload; `object` for the payload as it is.
        reference_id: What to look the call up by after an unclear end.
        utility_enkash_ids: Likewise, for calls that name bills.
        sensitive: Values of the request that no error may repeat.
    """

    name: str
    request: Request
    result: type[T]
    effect: Effect
    reference_id: str | None = None
    utility_enkash_ids: tuple[str, ...] = attrs.field(default=(), repr=False)
    sensitive: tuple[str, ...] = attrs.field(default=(), repr=False)


class Send(Protocol):
    """Sends an operation and returns its decoded result; what the resources know of everything below them."""

    async def __call__(self, operation: Operation[T]) -> T:
        """Return the result, or raise an `EnkashError`."""
        ...


def path(template: str, **ids: str) -> str:
    """Return a route's path with checked ids percent-encoded, so that `ref/1 é?#%2F` arrives whole."""
    for name, value in ids.items():
        template = template.replace(f"{{{name}}}", value if _UNRESERVED.fullmatch(value) else quote(value, safe=""))
    return template


def json_request(method: str, to: str, body: Any) -> Request:
    """Return a request with a JSON body."""
    return Request(method=method, path=to, body=exact_json.dumps(body).encode(), content_type="application/json")
