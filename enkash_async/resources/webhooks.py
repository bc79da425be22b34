"""Telling EnKash where to post."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from enkash_async._calls import webhooks as calls
from enkash_async._support import checks
from enkash_async._wire.operation import Send
from enkash_async.config import Routes
from enkash_async.errors import InvalidRequestError
from enkash_async.models import WebhookEvent, WebhookRegistration

__all__ = ["BILL_EVENTS", "Webhooks", "checked_headers", "checked_url"]

#: What is posted about bills; EnKash's other events are about payouts.
BILL_EVENTS = (
    WebhookEvent.UTILITY_BILLPAY_SUCCESS,
    WebhookEvent.UTILITY_BILLPAY_FAILED,
    WebhookEvent.UTILITY_BILLPAY_PENDING,
)

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class Webhooks:
    """Where EnKash posts; on the client as `client.webhooks`."""

    def __init__(self, send: Send, routes: Routes) -> None:
        self._send = send
        self._routes = routes

    async def register(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        events: Iterable[WebhookEvent | str] = BILL_EVENTS,
        enabled: bool | None = None,
        ssl_certificate: str | None = None,
        company_id: str | None = None,
    ) -> WebhookRegistration:
        """Have EnKash post to your URL.

        Whether a second registration replaces the first is not documented; whether this one arrived can only be seen
        where EnKash shows it. It is sent once.

        Args:
            url: Where to post; https, save for this machine.
            headers: Static headers that EnKash sends with every post, such as `{"X-Webhook-Key": …}`: the only proof
                that a post is EnKash's, so at least one, with a long random value.
            events: What to post about.
            enabled: False keeps it quiet; None leaves it to EnKash.
            ssl_certificate: EnKash documents no more than the name `sslCertificate`.
            company_id: `CEK` and seven letters or digits, where you act for several companies.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            OutcomeUnknownError: The registration may or may not have arrived.
            EnkashError: See the tree in `enkash_async.errors`.

        EnKash page: Create Webhook Configuration (api-10664805).
        """
        try:
            words = calls.checked_events(events)
            operation = calls.register(
                self._routes,
                checked_url(url),
                headers=checked_headers(headers),
                events=words,
                enabled=enabled,
                ssl_certificate=ssl_certificate,
                company_id=company_id,
            )
        except InvalidRequestError as problem:
            # A rendered traceback shows the locals of its frames, and those of the checks hold the headers.
            wrong = problem.copy()
        else:
            del headers, ssl_certificate
            return WebhookRegistration(webhook_url=url, events=words, payload=await self._send(operation))
        del headers, ssl_certificate
        raise wrong


def checked_url(value: object) -> str:
    """Return a URL that headers may be sent to; no message repeats it.

    Raises:
        InvalidRequestError: It is none, or neither https nor on this machine.
    """
    url = checks.text(value, "url")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or re.search(r"[\s\x00-\x1f\\]", url):
        raise InvalidRequestError("url must be a URL such as 'https://you.example/enkash'")
    if parts.username is not None or parts.password is not None:
        raise InvalidRequestError("url must not hold a user or a password: put a secret into headers")
    if parts.fragment:
        raise InvalidRequestError("url must have no fragment, which is never sent")
    if parts.scheme != "https" and not (parts.scheme == "http" and checks.is_loopback(host)):
        raise InvalidRequestError("url must be https, or the headers that prove a post travel in the clear")
    return url


def checked_headers(given: object) -> dict[str, str]:
    """Return headers that prove a post; no message repeats a value.

    Raises:
        InvalidRequestError: There is none, or a name or value is unusable.
    """
    if not isinstance(given, Mapping) or not given:
        raise InvalidRequestError(
            "headers must name at least one, such as {'X-Webhook-Key': …}: EnKash signs nothing, and without a header "
            "nobody can tell its posts from others"
        )
    if len({str(name).lower() for name in given}) < len(given):
        raise InvalidRequestError("headers names one header twice: upper and lower case are one")
    for name, value in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidRequestError("headers: a name must be a header name such as 'X-Webhook-Key'")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise InvalidRequestError(
                f"headers[{name!r}] must be a non-empty str of ASCII characters without spaces at its ends: was a "
                "variable not set?"
            )
    return dict(given)
