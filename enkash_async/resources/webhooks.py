"""The public call that registers a webhook with EnKash."""

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

#: The events about bills; EnKash's other events are about payouts.
BILL_EVENTS = (
    WebhookEvent.UTILITY_BILLPAY_SUCCESS,
    WebhookEvent.UTILITY_BILLPAY_FAILED,
    WebhookEvent.UTILITY_BILLPAY_PENDING,
)


class Webhooks:
    """The registration of webhooks, as `client.webhooks`."""

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
        """Register your URL with EnKash, so that EnKash posts events to it.

        The registration is sent once. EnKash documents neither whether a second one replaces the first, nor how to see
        that one has arrived.

        Args:
            url: URL to post to; https, except for this machine.
            headers: Static headers that EnKash sends with every post, such as `{"X-Webhook-Key": …}`: the only proof
                that a post is EnKash's. Give at least one, with a long random value.
            events: Events for which EnKash posts; the three about bills by default.
            enabled: False registers without posts; None keeps EnKash's default.
            ssl_certificate: Sent as `sslCertificate`, which EnKash does not explain.
            company_id: `CEK` and seven capital letters or digits, if you act for several companies.

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
            # A rendered traceback shows local variables, and those of the checks hold the secret headers.
            wrong = problem.copy()
        else:
            del headers, ssl_certificate
            return WebhookRegistration(webhook_url=url, events=words, payload=await self._send(operation))
        del headers, ssl_certificate
        raise wrong
