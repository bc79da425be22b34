"""The registration of a webhook as a value, against the body that EnKash's page shows (CONTRACT 2.13)."""

from __future__ import annotations

from typing import Any

import pytest

from enkash_async import InvalidRequestError, Routes, WebhookEvent
from enkash_async._calls import webhooks as calls
from enkash_async._wire.operation import Effect, Operation, Request

URL = "https://you.example/enkash?a=b"
HEADERS = {"X-Webhook-Key": 'other "secret" \\ 77c2', "x_other": "plain-9b1f"}
CERTIFICATE = "-----BEGIN-----\nMADEUP\n-----END-----"


def _register(events: Any = ("UTILITY_BILLPAY_SUCCESS",), **given: Any) -> Operation[object]:
    left_out: dict[str, Any] = dict.fromkeys(("enabled", "ssl_certificate", "company_id"))
    return calls.register(Routes(), URL, **{**left_out, "headers": HEADERS, "events": events, **given})


def test_a_registration_sends_every_documented_member() -> None:
    """The table of api-10664805; headers and certificate are kept out of errors, plain and as JSON writes them."""
    made = _register(
        [WebhookEvent.PAYOUT_FAILED, "UTILITY_BILLPAY_FAILED", "A_NEW_EVENT", "PAYOUT_FAILED"],
        enabled=False,
        ssl_certificate=CERTIFICATE,
        company_id="CEKABC1234",
    )
    assert made == Operation(
        name="webhooks.register",
        request=Request(
            method="POST",
            path="/api/v0/webhook-data",
            body=b'{"webhookUrl":"https://you.example/enkash?a=b",'
            b'"headers":{"X-Webhook-Key":"other \\"secret\\" \\\\ 77c2","x_other":"plain-9b1f"},'
            b'"events":["PAYOUT_FAILED","UTILITY_BILLPAY_FAILED","A_NEW_EVENT"],"enabled":false,'
            b'"sslCertificate":"-----BEGIN-----\\nMADEUP\\n-----END-----","companyId":"CEKABC1234"}',
            content_type="application/json",
        ),
        result=object,
        effect=Effect.WRITES,
        sensitive=(
            *('other "secret" \\ 77c2', "plain-9b1f", CERTIFICATE),
            *('other \\"secret\\" \\\\ 77c2', "plain-9b1f", "-----BEGIN-----\\nMADEUP\\n-----END-----"),
        ),
    )


def test_a_registration_sends_nothing_that_was_not_given() -> None:
    """EnKash is never sent a null."""
    made = _register(headers={"X-Key": "s3cret"})
    assert made.request.body == (
        b'{"webhookUrl":"https://you.example/enkash?a=b","headers":{"X-Key":"s3cret"},'
        b'"events":["UTILITY_BILLPAY_SUCCESS"]}'
    )
    assert set(made.sensitive) == {"s3cret"}


def test_events_are_words_each_once_in_their_order() -> None:
    """The list of the page is not closed: EnKash decides about a word that it does not know."""
    assert calls.checked_events(iter(["B", WebhookEvent.PAYOUT_PENDING, "B", "PAYOUT_PENDING"])) == (
        WebhookEvent("B"),
        WebhookEvent.PAYOUT_PENDING,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"events": []}, "events is empty: give at least one"),
        ({"events": "PAYOUT_FAILED"}, "events must be a list of str, not one str: write ['…']"),
        ({"events": [1]}, "events[0] must be a str, not int"),
        ({"enabled": "false"}, "enabled must be True or False, not str"),
        ({"ssl_certificate": ""}, "ssl_certificate is empty; leave it out or give it a value"),
        ({"ssl_certificate": b"x"}, "ssl_certificate must be a str, not bytes"),
        ({"company_id": 1}, "company_id must be a str, not int"),
        *(
            ({"company_id": text}, "company_id must be CEK and seven capital letters or digits, such as 'CEKABC1234'")
            for text in ("CEKABC123", "CEKABC12345", "cekabc1234", "CEKABC123é", "CEKABC1234\n")
        ),
    ],
)
def test_a_wrong_registration_is_refused(arguments: dict[str, Any], said: str) -> None:
    """The message names the argument; URL and headers are checked before they come here."""
    with pytest.raises(InvalidRequestError) as caught:
        _register(**arguments)
    assert str(caught.value) == said
