"""A registered webhook: the URL, events and headers of its posts."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs
from yarl import URL

from enkash_async._support.urls import is_loopback
from enkash_async.sandbox._payment import UtilityPayment

__all__ = ["EVENTS", "Registration"]

_SUCCESS, _FAILED, _PENDING = "UTILITY_BILLPAY_SUCCESS", "UTILITY_BILLPAY_FAILED", "UTILITY_BILLPAY_PENDING"

#: Events that a webhook can be registered for; the sandbox posts no PAYOUT events, since it has no payouts.
EVENTS = (_SUCCESS, _FAILED, _PENDING, "PAYOUT_SUCCESS", "PAYOUT_FAILED", "PAYOUT_PENDING")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A header can carry neither control characters nor half of a surrogate pair.
_HEADER_VALUE = re.compile("[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
# Headers that a registration must not set, since the sandbox sets them for each post.
_FRAMING = frozenset({"connection", "content-length", "content-type", "expect", "host", "transfer-encoding", "upgrade"})


def _checked_url(_: Registration, __: attrs.Attribute[str], value: str) -> None:
    try:
        url = URL(value)
        right = bool(url.host) and bool(url.port) and url.user is None and url.password is None
    except ValueError:
        right = False
    if not right or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host or ""))):
        raise ValueError(
            "webhookUrl must be such as https://host.example/enkash, without user and password; http is for this "
            "computer only, as in http://127.0.0.1:8000/enkash"
        )


def _checked_events(_: Registration, __: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    if not value or not set(value) <= set(EVENTS):
        raise ValueError(f"events must be one or more of {', '.join(EVENTS)}")


def _checked_headers(_: Registration, __: attrs.Attribute[Mapping[str, str]], value: Mapping[str, str]) -> None:
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name):
            # The message hides the name, which may contain a secret: a caller may pass `X-Key: secret` as a name.
            raise ValueError("headers must have names such as X-Key; one of them is no name")
        if not _HEADER_VALUE.fullmatch(text):
            raise ValueError(f"headers must have values of one line without control characters; that of {name} is not")
        if name.lower() in _FRAMING:
            raise ValueError(f"headers must not hold {name}, which belongs to the post itself")


@attrs.frozen(kw_only=True)
class Registration:
    """A webhook: a URL to which the sandbox posts changes of bills.

    Args:
        webhook_url: URL to post to; `https`, or `http` on this computer.
        events: One or more words of `EVENTS`.
        headers: Headers of each post, which prove its sender.
        enabled: False posts nothing.
        company_id: Kept and returned, but ignored: the sandbox has one company.
        ssl_certificate: Kept, but ignored.

    Raises:
        ValueError: The address, an event or a header cannot be used.

    EnKash page: Create Webhook Configuration (api-10664805).
    """

    webhook_url: str = attrs.field(validator=_checked_url)
    events: tuple[str, ...] = attrs.field(validator=_checked_events)
    headers: Mapping[str, str] = attrs.field(factory=dict, validator=_checked_headers, repr=False)
    enabled: bool = True
    company_id: str | None = None
    ssl_certificate: str | None = attrs.field(default=None, repr=False)

    def wants(self, payment: UtilityPayment) -> bool:
        """Return whether to post the present stage of a payment."""
        return self.enabled and _event(payment) in self.events


def _event(payment: UtilityPayment) -> str:
    """Return the event for the stage of a payment; every stage but success and failure is PENDING."""
    return {"SUCCESS": _SUCCESS, "FAILED": _FAILED}.get(payment.stage.billpay_status, _PENDING)
