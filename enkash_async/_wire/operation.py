"""A call as a value, and HTTP requests and replies as values; no I/O, and no knowledge of single EnKash calls."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import attrs

from enkash_async._support import exact_json

__all__ = ["Effect", "Operation", "Request", "Response", "Send", "json_request", "path"]

T = TypeVar("T")

_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]+")


class Effect(enum.Enum):
    """What a call changes; decides what the pipeline may do when the call ends unclearly."""

    READ = "read"  # safe to repeat
    CREATES = "creates"  # has a reference_id to look it up by; not resent after an unclear end
    CONFIRMS = "confirms"  # names bills that can be read back; not resent after an unclear end
    WRITES = "writes"  # may change anything and cannot be looked up; not resent after an unclear end


@attrs.frozen(kw_only=True)
class Request:
    """One HTTP request, relative to a base URL; its `repr` does not show the body."""

    method: str
    path: str  # percent-encoded
    query: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes | None = attrs.field(default=None, repr=False)
    content_type: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Response:
    """One complete HTTP reply; `headers` finds names in lower case."""

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


@attrs.frozen(kw_only=True)
class Operation(Generic[T]):
    """A call as a value: what to send, what comes back, and what it changes.

    Attributes:
        name: Public name of the call, such as `bills.create`.
        request: The HTTP request to send.
        result: Type of the value to return; `object` for the payload as decoded JSON.
        effect: What the call changes.
        reference_id: The caller's id of the bill, for a look-up after an unclear end.
        utility_enkash_ids: EnKash's ids of the bills that the call names, to read them back after an unclear end.
        sensitive: Values of the request to redact from errors.
    """

    name: str
    request: Request
    result: type[T]
    effect: Effect
    reference_id: str | None = None
    utility_enkash_ids: tuple[str, ...] = attrs.field(default=(), repr=False)
    sensitive: tuple[str, ...] = attrs.field(default=(), repr=False)


class Send(Protocol):
    """Sends an operation and returns its decoded result; all that the resources see of the network."""

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
