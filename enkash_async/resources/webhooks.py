"""Telling EnKash where to post."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from enkash_async._calls import webhooks as calls
from enkash_async._support.headers import checked_headers
from enkash_async._support.urls import checked_url
from enkash_async._wire.operation import Send
from enkash_async.config import Routes
from enkash_async.errors import InvalidRequestError
from enkash_async.models import WebhookEvent, WebhookRegistration

__all__ = ["BILL_EVENTS", "Webhooks"]

#: What is posted about bills; EnKash's other events are about payouts.
BILL_EVENTS = (
    WebhookEvent.UTILITY_BILLPAY_SUCCESS,
    WebhookEvent.UTILITY_BILLPAY_FAILED,
    WebhookEvent.UTILITY_BILLPAY_PENDING,
)


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
