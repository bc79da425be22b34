"""A call to any route of EnKash as a value; sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import attrs

from enkash_async._support import checks
from enkash_async._wire.envelope import personal_values
from enkash_async._wire.operation import Effect, Operation, Request, json_request
from enkash_async.errors import InvalidRequestError

__all__ = ["request"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_READING = frozenset({"GET", "HEAD"})


def request(
    method: str, segments: Iterable[str], *, params: Mapping[str, str | int] | None, json: Any
) -> Operation[object]:
    """Return the operation for any route; GET and HEAD count as safe to repeat, other methods do not.

    Args:
        method: GET, HEAD, POST, PUT, PATCH or DELETE, in upper or lower case.
        segments: The parts of the path; each is percent-encoded here.
        params: Query parameters; None sends none.
        json: The body; None sends none.

    Raises:
        InvalidRequestError: The arguments are wrong.
    """
    verb = method.upper() if isinstance(method, str) else ""
    if verb not in _METHODS:
        raise InvalidRequestError(f"method must be one of {', '.join(sorted(_METHODS))}")
    to = "".join("/" + quote(checks.identifier(part, "a path segment"), safe="") for part in segments)
    if not to:
        raise InvalidRequestError("name the parts of the path: client.request('GET', 'api', 'v0', 'webhook-data')")
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
