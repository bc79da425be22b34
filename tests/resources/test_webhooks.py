"""Registration of a webhook: what is sent, what is refused, and that the headers stay secret."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from enkash_async import EnkashClient, Routes, StaticTokenProvider
from enkash_async._money.reads import Reads
from enkash_async.errors import BadRequestError, EnkashError, InvalidRequestError, OutcomeUnknownError
from enkash_async.models import WebhookEvent, WebhookRegistration
from enkash_async.resources.webhooks import BILL_EVENTS, Webhooks
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.stores import MemoryStore
from enkash_async.webhooks import WebhookVerifier

from support import EAGER, RawServer, Reader, Sent, Writer, raw_server, reply, shown

URL = "https://you.example/enkash"
SECRET = "header-secret-9b1f"
QUOTED = 'other "secret" \\ 77c2'
CERTIFICATE = "-----BEGIN-----\nMADEUPCERTIFICATE\n-----END-----"
HEADERS = {"X-Webhook-Key": SECRET}
WORDS = ["UTILITY_BILLPAY_SUCCESS", "UTILITY_BILLPAY_FAILED", "UTILITY_BILLPAY_PENDING"]


def _webhooks(*answers: Any) -> tuple[Webhooks, Sent]:
    sent = Sent(*answers or (None,))
    return Webhooks(sent, Routes(), Reads(sent, Routes()), MemoryStore, "http://127.0.0.1"), sent


async def _refused(**how: Any) -> InvalidRequestError:
    """Return the error of a registration that must not be sent."""
    webhooks, sent = _webhooks()
    arguments: dict[str, Any] = {"url": URL, "headers": HEADERS, "ssl_certificate": CERTIFICATE, **how}
    with pytest.raises(InvalidRequestError) as caught:
        await webhooks.register(arguments.pop("url"), **arguments)
    assert not sent.operations
    _assert_clean(shown(caught.value))
    return caught.value


def _assert_clean(text: str) -> None:
    found = [secret for secret in (SECRET, "77c2", "MADEUPCERTIFICATE") if secret in text]
    assert not found


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_registration_sends_what_was_given_and_nothing_else() -> None:
    """The default is all three events of bills, and unset members are not sent."""
    webhooks, sent = _webhooks()
    await webhooks.register(URL, headers=HEADERS)
    assert sent.bodies == [{"webhookUrl": URL, "headers": HEADERS, "events": WORDS}]
    [operation] = sent.operations
    assert (operation.request.method, operation.request.path) == ("POST", "/api/v0/webhook-data")
    assert operation.name == "webhooks.register"


async def test_a_registration_sends_every_member() -> None:
    """The body has the documented names, False as it is, and each event once."""
    webhooks, sent = _webhooks({"id": 7})
    made = await webhooks.register(
        "https://you.example:8443/a?b=c",
        headers={"X-Webhook-Key": SECRET, "x_other": QUOTED},
        events=[WebhookEvent.PAYOUT_FAILED, "UTILITY_BILLPAY_FAILED", "A_NEW_EVENT", "PAYOUT_FAILED"],
        enabled=False,
        ssl_certificate=CERTIFICATE,
        company_id="CEKABC1234",
    )
    assert sent.bodies == [
        {
            "webhookUrl": "https://you.example:8443/a?b=c",
            "headers": {"X-Webhook-Key": SECRET, "x_other": QUOTED},
            "events": ["PAYOUT_FAILED", "UTILITY_BILLPAY_FAILED", "A_NEW_EVENT"],
            "enabled": False,
            "sslCertificate": CERTIFICATE,
            "companyId": "CEKABC1234",
        }
    ]
    events = (WebhookEvent.PAYOUT_FAILED, WebhookEvent.UTILITY_BILLPAY_FAILED, WebhookEvent("A_NEW_EVENT"))
    assert made == WebhookRegistration(webhook_url="https://you.example:8443/a?b=c", events=events, payload={"id": 7})


async def test_a_registration_is_kept(sandbox: Sandbox, client: EnkashClient) -> None:
    """The sandbox posts with those headers, and a verifier with them accepts the post."""
    made = await client.webhooks.register(URL, headers=HEADERS, enabled=False, company_id="CEKDEMO123")
    assert (made.webhook_url, made.events) == (URL, BILL_EVENTS)
    assert made.payload["enabled"] is False
    kept = sandbox.ledger.registrations[URL]
    assert (list(kept.events), kept.enabled, kept.company_id) == (WORDS, False, "CEKDEMO123")
    WebhookVerifier(HEADERS).authenticate(kept.headers)


async def test_a_registration_shows_no_header() -> None:
    """The reprs of value and operation hide the headers, which a reply may repeat."""
    webhooks, sent = _webhooks({"headers": HEADERS})
    made = await webhooks.register(URL, headers=HEADERS, ssl_certificate=CERTIFICATE)
    assert made.payload == {"headers": HEADERS}
    _assert_clean(repr(made) + repr(sent.operations))
    assert hash(made) == hash(attrs.evolve(made, payload=None))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"response_code":0,"payload":"saved"}'])
async def test_any_success_will_do(body: bytes) -> None:
    """The client accepts every 2xx body, because EnKash's reply is not documented."""
    async with raw_server(_always(body)) as server, _client(server) as client:
        assert (await client.webhooks.register(URL, headers=HEADERS)).webhook_url == URL


# --- what is refused before it is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("https://you.example", "HTTPS://you.example/x", "https://you.example:8443/enkash?a=b", "https://10.0.0.7/x"),
        *("http://localhost:8000/enkash", "http://127.0.0.1/x", "http://127.8.8.8/x", "http://[::1]:8000/x"),
    ],
)
async def test_a_url_is_https_or_leads_to_this_machine(url: str) -> None:
    """The client sends the URL as it was given, and allows plain HTTP for loopback addresses alone."""
    webhooks, sent = _webhooks()
    await webhooks.register(url, headers=HEADERS)
    assert sent.bodies[0]["webhookUrl"] == url


CLEAR = "must be https, or the headers that prove a post travel in the clear"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://you.example/enkash", CLEAR),
        ("http://10.0.0.7/x", CLEAR),
        ("http://localhost.example/x", CLEAR),
        ("http://127.0.0.1.example/x", CLEAR),
        ("ftp://127.0.0.1/x", "must be a URL such as"),
        ("ws://you.example/x", "must be a URL such as"),
        ("https://user:pw-4711@you.example/x", "must not hold a user or a password"),
        ("https://user@you.example/x", "must not hold a user or a password"),
        ("http://127.0.0.1@you.example/x", "must not hold a user or a password"),
        ("https://you.example/x#part", "must have no fragment"),
        ("you.example/enkash", "must be a URL such as"),
        ("/enkash", "must be a URL such as"),
        ("https://", "must be a URL such as"),
        ("https://you.example/\u200bx", "url holds an invisible character: character 21 is U+200B, zero width space"),
        ("'https://you.example/x'", "url begins and ends with a quotation mark: remove it"),
        ("https:///enkash", "must be a URL such as"),
        ("https://you.example:99999/x", "must be a URL such as"),
        ("https://you.example:port/x", "must be a URL such as"),
        ("https://[::1/x", "must be a URL such as"),
        ("https://you.example/a b", "must be a URL such as"),
        ("https://you.example/x\n", "line break"),
        ("https://you.example\\@other.example/", "must be a URL such as"),
        ("https://you.example/\x00", "holds a NUL"),
        ("https://you.example/\ud800", "surrogate pair"),
        ("", "url is empty"),
        ("  ", "url is empty"),
        (None, "url must be a str, not NoneType"),
        (b"https://you.example/x", "url must be a str, not bytes"),
    ],
)
async def test_a_url_that_cannot_be_meant_is_refused(url: Any, said: str) -> None:
    """The headers would be sent in the clear or nowhere; the message hides the URL."""
    error = await _refused(url=url)
    assert said in str(error)
    assert "4711" not in str(error)


FEW = "headers must name at least one"
VALUE = "must be a non-empty str of ASCII characters without spaces at its ends: was a variable not set"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, FEW),
        (None, FEW),
        ([("X-Key", SECRET)], FEW),
        (SECRET, FEW),
        ({"": SECRET}, "a name must be a header name"),
        ({"X Key": SECRET}, "a name must be a header name"),
        ({f"X-Key: {SECRET}": "x"}, "a name must be a header name"),
        ({"X-Key\n": SECRET}, "a name must be a header name"),
        ({"X-Clé": SECRET}, "a name must be a header name"),
        ({1: SECRET}, "a name must be a header name"),
        ({"X-Key": SECRET, "x-key": "other"}, "names one header twice"),
        ({"X-Key": None}, f"headers['X-Key'] {VALUE}"),
        ({"X-Key": ""}, VALUE),
        ({"X-Key": " "}, VALUE),
        ({"X-Key": f" {SECRET}"}, VALUE),
        ({"X-Key": f"{SECRET}\n"}, "headers['X-Key'] holds a line break (U+000A) at its end: remove it"),
        ({"X-Key": f"{SECRET}\r\nX-Other: 1"}, "headers['X-Key'] holds a line break (U+000D): remove it"),
        ({"X-Key": f"{SECRET}\x00"}, "headers['X-Key'] holds a NUL (U+0000) at its end: remove it"),
        (
            {"X-Key": f"ab\u200b{SECRET}"},
            "headers['X-Key'] holds an invisible character: character 3 is U+200B, zero ",
        ),
        ({"X-Key": f"{SECRET}é"}, VALUE),
        ({"X-Key": f"{SECRET}\ud800"}, VALUE),
        ({"X-Key": SECRET.encode()}, VALUE),
        ({"X-Key": [SECRET]}, VALUE),
        ({"X-Key": 1}, VALUE),
        ({"X-Other": SECRET, "X-Key": ""}, f"headers['X-Key'] {VALUE}"),
    ],
)
async def test_headers_that_prove_nothing_are_refused(headers: Any, said: str) -> None:
    """The message and the frames' locals hide the values."""
    assert said in str(await _refused(headers=headers))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"events": []}, "events is empty"),
        ({"events": "UTILITY_BILLPAY_SUCCESS"}, "events must be a list of str"),
        ({"events": None}, "events must be a list of str"),
        ({"events": [1]}, "events[0] must be a str"),
        ({"events": [""]}, "events[0] is empty"),
        ({"enabled": "false"}, "enabled must be True or False, not str"),
        ({"enabled": 0}, "enabled must be True or False, not int"),
        ({"ssl_certificate": ""}, "ssl_certificate is empty"),
        ({"ssl_certificate": CERTIFICATE.encode()}, "ssl_certificate must be a str, not bytes"),
        *(
            ({"company_id": text}, "company_id must be CEK and seven capital letters or digits")
            for text in ("CEKABC123", "CEKABC12345", "cekabc1234", "ABCABC1234", "CEKABC123é", "CEKABC1234\n")
        ),
        ({"company_id": ""}, "company_id is empty"),
        ({"company_id": 1}, "company_id must be a str, not int"),
    ],
)
async def test_an_argument_that_is_wrong_is_refused(arguments: dict[str, Any], said: str) -> None:
    """The client sends nothing and says what to write instead."""
    assert said in str(await _refused(**arguments))


# --- what EnKash answers ----------------------------------------------------------------------------------------------


def _client(server: RawServer) -> EnkashClient:
    return EnkashClient(server.base_url, tokens=StaticTokenProvider("tok-3f9a"), retry=EAGER)


def _always(body: bytes, status: str = "200 OK") -> Callable[[RawServer, Reader, Writer], Awaitable[None]]:
    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(body, status))

    return answer


def _echo(status: str, shape: str) -> Callable[[RawServer, Reader, Writer], Awaitable[None]]:
    """Return a server that fails and repeats what it was sent."""

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        text = (await server.read_request(reader)).decode().partition("\r\n\r\n")[2]
        if shape == "text":
            writer.write(
                reply(f"you sent {text}".encode(), status, "Content-Type: text/plain", f"X-Request-Id: {SECRET}")
            )
            return
        said: Any = json.loads(text) if shape == "document" else text
        body = {"response_code": 1, "response_message": f"no: {SECRET} / {QUOTED}", "payload": said}
        writer.write(reply(json.dumps(body).encode(), status))

    return answer


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "412 Precondition Failed", "500 Server Error"])
@pytest.mark.parametrize("shape", ["document", "quoted", "text"])
async def test_a_failure_shows_no_header(status: str, shape: str, caplog: pytest.LogCaptureFixture) -> None:
    """The error is clean, although the reply repeats the request."""
    caplog.set_level(logging.DEBUG)
    headers = {"X-Webhook-Key": SECRET, "X-Other": QUOTED}
    async with raw_server(_echo(status, shape)) as server, _client(server) as client:
        with pytest.raises(EnkashError) as caught:
            await client.webhooks.register(URL, headers=headers, ssl_certificate=CERTIFICATE)
        assert SECRET.encode() in server.requests[0]
    _assert_clean(shown(caught.value))
    _assert_clean(caplog.text)
    _assert_clean("".join(traceback.TracebackException.from_exception(caught.value).format()))


UNCLEAR = [FaultKind.DROP_AFTER, FaultKind.TRUNCATED, FaultKind.BAD_GATEWAY, FaultKind.NOT_JSON, FaultKind.LATE]


@pytest.mark.parametrize("kind", UNCLEAR)
async def test_an_unclear_end_is_said_and_not_sent_again(kind: FaultKind, sandbox: Sandbox) -> None:
    """The client sends once, because a second registration may add to the first."""
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as client:
        sandbox.faults.add("register_webhook", kind, times=1)
        with pytest.raises(OutcomeUnknownError, match="may or may not have happened") as caught:
            await client.webhooks.register(URL, headers=HEADERS)
    assert caught.value.operation == "webhooks.register"
    assert sandbox.counts["register_webhook"] == 1
    _assert_clean(shown(caught.value))


async def test_a_refusal_is_passed_on(sandbox: Sandbox, client: EnkashClient) -> None:
    """The client sends an unknown event, because the list is open, and raises EnKash's refusal."""
    with pytest.raises(BadRequestError, match="events must be an array of"):
        await client.webhooks.register(URL, headers=HEADERS, events=["A_NEW_EVENT"])
    assert not sandbox.ledger.registrations
