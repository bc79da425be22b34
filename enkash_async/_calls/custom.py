"""A call to any route of EnKash as a value; sends nothing."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

import attrs

from enkash_async._support import checks
from enkash_async._wire.envelope import personal_values
from enkash_async._wire.operation import Effect, Operation, Request, json_request
from enkash_async.config import Routes
from enkash_async.errors import InvalidRequestError

__all__ = ["request"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_READING = frozenset({"GET", "HEAD"})
_SUFFIX = re.compile(r"\.\w*$")  # such as `.json`
_VERSION = re.compile(r"(?<=/v)\d+(?=/)")


def request(
    routes: Routes, method: str, segments: Iterable[str], *, params: Mapping[str, str | int] | None, json: Any
) -> Operation[object]:
    """Return the operation for any route; GET and HEAD count as safe to repeat, other methods do not.

    Args:
        routes: Paths of EnKash's operations, by which a confirmation of debits is recognized.
        method: GET, HEAD, POST, PUT, PATCH or DELETE, in upper or lower case.
        segments: The parts of the path; each is percent-encoded here.
        params: Query parameters; None sends none.
        json: The body; None sends none.

    Raises:
        InvalidRequestError: The arguments are wrong, or the call would confirm debits.
    """
    verb = method.upper() if isinstance(method, str) else ""
    if verb not in _METHODS:
        raise InvalidRequestError(f"method must be one of {', '.join(sorted(_METHODS))}")
    to = "".join("/" + quote(checks.identifier(part, "a path segment"), safe="") for part in segments)
    if not to:
        raise InvalidRequestError("name the parts of the path: client.request('GET', 'api', 'v0', 'webhook-data')")
    if verb not in _READING and _confirms_debits(routes, to):
        raise InvalidRequestError(
            "client.request does not confirm debits, since it would send them past the records that keep a bill from "
            "being debited twice: use client.payments.confirm_debit(ids), or client.payments.pay(request)"
        )
    query = _query(params)
    document = checks.wire(json, "json")
    sent = Request(method=verb, path=to) if document is None else json_request(verb, to, document)
    return Operation(
        name=f"request {verb}",
        request=attrs.evolve(sent, query=query),
        result=object,
        effect=Effect.READ if verb in _READING else Effect.WRITES,
        sensitive=tuple(personal_values(document)),
    )


def _confirms_debits(routes: Routes, path: str) -> bool:
    """Whether a path is the route that confirms debits: this client's or the documented one, in any version."""
    return _folded(path) in {_folded(routes.confirm_debit), _folded(Routes().confirm_debit)}


def _folded(path: str) -> str:
    """Return a path in a normal form, which is equal for two paths that some server could treat as equal."""
    while (decoded := unquote(path)) != path:  # a server behind a gateway may decode a second time
        path = decoded
    path = path.partition("?")[0].partition("#")[0].replace("\\", "/")
    parts = (part.partition(";")[0].strip() for part in path.split("/"))  # `;name=value` may follow a segment
    path = posixpath.normpath("/" + "/".join(parts).strip("/"))
    return _VERSION.sub("", _SUFFIX.sub("", path.casefold()))


def _query(params: Mapping[str, str | int] | None) -> tuple[tuple[str, str], ...]:
    if params is None:
        return ()
    if not isinstance(params, Mapping):
        raise InvalidRequestError(f"params must be a mapping of names to values, not {type(params).__name__}")
    found = []
    for name, value in params.items():
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise InvalidRequestError(f"params[{name!r}] must be a str or an int, not {type(value).__name__}")
        found.append((checks.text(name, "a name in params"), str(checks.wire(value, f"params[{name!r}]"))))
    return tuple(found)
