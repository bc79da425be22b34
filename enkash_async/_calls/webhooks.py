"""The call that tells EnKash where to post, as a value; sends nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from enkash_async._support import checks
from enkash_async._wire.operation import Effect, Operation, json_request, path
from enkash_async.config import Routes
from enkash_async.errors import InvalidRequestError
from enkash_async.models import WebhookEvent

__all__ = ["checked_events", "register"]

_COMPANY = re.compile(r"CEK[A-Z0-9]{7}")


def checked_events(given: Iterable[WebhookEvent | str]) -> tuple[WebhookEvent, ...]:
    """Return the events, each once; names that EnKash's page does not list are accepted.

    Raises:
        InvalidRequestError: There is no event, or an event is not a string.
    """
    return tuple(dict.fromkeys(WebhookEvent(word) for word in checks.texts(given, "events")))


def register(
    routes: Routes,
    url: str,
    *,
    headers: Mapping[str, str],
    events: Iterable[WebhookEvent | str],
    enabled: bool | None,
    ssl_certificate: str | None,
    company_id: str | None,
) -> Operation[object]:
    """Return the operation *Create Webhook Configuration* (api-10664805).

    Args:
        routes: The path of every operation.
        url: URL to which EnKash posts; already checked by the caller.
        headers: Secret headers that EnKash sends with every post; already checked by the caller.
        events: Events for which EnKash posts.
        enabled: False stops EnKash from posting; None keeps EnKash's default.
        ssl_certificate: Sent as `sslCertificate`, which EnKash does not explain.
        company_id: `CEK` and seven capital letters or digits.

    Raises:
        InvalidRequestError: The arguments are wrong. Its traceback shows the headers: the caller must drop it.
    """
    certificate = checks.optional(checks.text, ssl_certificate, "ssl_certificate")
    body = {
        "webhookUrl": url,
        "headers": headers,
        "events": [word.value for word in checked_events(events)],
        "enabled": checks.optional(checks.flag, enabled, "enabled"),
        "sslCertificate": certificate,
        "companyId": checks.optional(_company, company_id, "company_id"),
    }
    return Operation(
        name="webhooks.register",
        request=json_request("POST", path(routes.register_webhook), checks.dropped_none(body)),
        result=object,
        effect=Effect.WRITES,
        sensitive=_secrets(headers, certificate),
    )


def _secrets(headers: Mapping[str, str], certificate: str | None) -> tuple[str, ...]:
    words = (*headers.values(), *(() if certificate is None else (certificate,)))
    # EnKash may quote the request in its reply, with the secrets escaped as JSON strings.
    return (*words, *(json.dumps(word)[1:-1] for word in words))


def _company(value: object, where: str) -> str:
    found = checks.text(value, where)
    if not _COMPANY.fullmatch(found):
        raise InvalidRequestError(f"{where} must be CEK and seven capital letters or digits, such as 'CEKABC1234'")
    return found
