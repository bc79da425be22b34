"""The login on the wire: what is sent, and what each answer means."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import socket
import time
import urllib.parse
from collections.abc import Callable
from typing import get_args

import aiohttp
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens.doubles import Clock

from enkash_async import Credentials, PasswordGrant, Timeouts
from enkash_async._http.login import LOGIN_TIMEOUTS
from enkash_async.errors import (
    ConfigurationError,
    CredentialsRejectedError,
    TokenEndpointError,
    TokenError,
    TokenReplyError,
)
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox._token import TokenStyle
from enkash_async.tokens import Token
from enkash_async.tokens._commands import Outcome
from enkash_async.tokens._outcomes import outcome_of

from support import RawServer, Reader, Writer, raw_server, reply

OURS = Credentials("demo-client", "demo-secret", "ap-team@example.com", "demo-password", "CEKDEMO123")
GOOD = b'{"accessToken":"at-1","tokenType":"bearer","expiresIn":300,"refreshToken":"rt-1"}'


@pytest.fixture
def clock() -> Clock:
    """Time that stands until it is set forward."""
    return Clock()


class Answer:
    """A server that gives one whole answer to every request."""

    def __init__(self, body: bytes | str, status: str = "200 OK", *headers: str) -> None:
        raw = body if isinstance(body, bytes) else body.encode()
        self._reply = reply(raw, status, "Content-Type: application/json", *headers)

    async def __call__(self, server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            writer.write(self._reply)
            await writer.drain()


async def log_in(
    answer: Answer,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> Token:
    async with raw_server(answer) as server:
        return await PasswordGrant(server.base_url, OURS, clock=clock, wall_clock=wall_clock).fetch_token()


async def failure_of(answer: Answer) -> TokenError:
    with pytest.raises(TokenError) as caught:
        await log_in(answer)
    failure = caught.value
    assert failure.__cause__ is failure.__context__ is None
    return failure


async def rejection_of(answer: Answer) -> CredentialsRejectedError:
    failure = await failure_of(answer)
    assert type(failure) is CredentialsRejectedError
    return failure


async def trouble_of(answer: Answer) -> TokenEndpointError:
    """Return the failure of a login that says nothing about the credentials."""
    failure = await failure_of(answer)
    assert type(failure) is TokenEndpointError
    return failure


async def puzzle_of(answer: Answer) -> TokenReplyError:
    """Return the failure of a login that succeeded without a token."""
    failure = await failure_of(answer)
    assert type(failure) is TokenReplyError
    assert failure.counted
    assert failure.retry_after is None
    return failure


async def sent_by(credentials: Credentials) -> tuple[str, dict[str, str], bytes]:
    """Return request line, headers and body of a login."""
    async with raw_server(Answer(GOOD)) as server:
        await PasswordGrant(server.base_url, credentials).fetch_token()
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    line, *headers = head.decode("ascii").split("\r\n")
    return line, {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}, body


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_the_documented_request_is_sent() -> None:
    """The login sends the Basic header and the form of EnKash's page, letter for letter."""
    line, headers, body = await sent_by(OURS)
    assert line == "POST /oauth/token HTTP/1.1"
    assert headers["authorization"] == "Basic " + base64.b64encode(b"demo-client:demo-secret").decode()
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["user-agent"].startswith("enkash-async/")
    assert body == (b"username=ap-team%40example.com&password=demo-password&grant_type=password&clientId=CEKDEMO123")
    assert headers["content-length"] == str(len(body))


@pytest.mark.parametrize(("given_id", "sent"), [(None, "demo-client"), ("CEKDEMO456", "CEKDEMO456")])
async def test_the_forms_client_id_defaults_to_the_headers(given_id: str | None, sent: str) -> None:
    """The form repeats the header's client id unless the user names another one."""
    _, _, body = await sent_by(attrs.evolve(OURS, form_client_id=given_id))
    assert urllib.parse.parse_qs(body.decode())["clientId"] == [sent]


async def test_reserved_characters_are_encoded_as_a_form() -> None:
    """The form encodes `+`, `&` and other scripts, so that the server decodes the same credentials."""
    _, headers, body = await sent_by(Credentials("c+é", "s%:&", "a+b&c=d%@example.com", 'p +%&=?#/é₹नमस्ते"', "f&="))
    assert b"username=a%2Bb%26c%3Dd%25%40example.com" in body
    assert b"password=p+%2B%25%26%3D%3F%23%2F%C3%A9%E2%82%B9" in body
    assert urllib.parse.parse_qs(body.decode("ascii"), strict_parsing=True) == {
        "username": ["a+b&c=d%@example.com"],
        "password": ['p +%&=?#/é₹नमस्ते"'],
        "grant_type": ["password"],
        "clientId": ["f&="],
    }
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode() == "c+é:s%:&"


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
VISIBLE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zs", "Zl", "Zp"], include_characters=" "),
    min_size=1,
    max_size=40,
)


@settings(deadline=None, max_examples=40)
@given(client_id=VISIBLE, client_secret=VISIBLE, username=VISIBLE, password=TEXTS)
def test_whatever_the_credentials_they_arrive_whole(
    client_id: str, client_secret: str, username: str, password: str
) -> None:
    """The server decodes any visible characters of the credentials, and invisible ones of the password.

    A colon in the client id is refused.
    """
    credentials = Credentials(client_id.replace(":", "-"), client_secret, username, password)
    _, headers, body = asyncio.run(sent_by(credentials))
    form = urllib.parse.parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert (form["username"], form["password"]) == ([username], [password])
    basic = base64.b64decode(headers["authorization"].removeprefix("Basic "), validate=True).decode()
    assert basic.partition(":")[::2] == (credentials.client_id, client_secret)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": " hunter2"}, "password begins with a blank"),
        ({"password": "hunter2\u00a0", "username": '"a@b.example"'},
         "username begins and ends with a quotation mark, password ends with a blank"),
        ({"client_secret": "\u201chunter2"}, "client_secret begins with a quotation mark"),
        ({"form_client_id": "' x'"}, "form_client_id begins and ends with a quotation mark"),
        ({"client_id": " id "}, "client_id begins and ends with a blank"),
        ({"password": "hunt\u00a0er2"},
         "password holds an invisible character (character 5 is U+00A0, no-break space)"),
        ({"password": "hunter2\u200b"},
         "password holds an invisible character (character 8 is U+200B, zero width space)"),
    ],
)  # fmt: skip
async def test_a_refusal_names_what_surrounds_a_credential(changes: dict[str, str], said: str) -> None:
    """The error says which value begins or ends oddly, and never the value."""
    names = ("client_id", "client_secret", "username", "password", "form_client_id")
    given_ = {name: getattr(OURS, name) for name in names} | changes
    for status, body in (("401 Unauthorized", '{"error":"invalid_client"}'), ("200 OK", '{"error":"invalid_grant"}')):
        async with raw_server(Answer(body, status)) as server:
            with pytest.raises(CredentialsRejectedError) as caught:
                await PasswordGrant(server.base_url, Credentials(**given_)).fetch_token()
        assert f". Most likely the cause: {said}. They are not tried again here" in str(caught.value)
        assert "hunter2" not in str(caught.value)


async def test_a_refusal_of_sound_credentials_names_none() -> None:
    """The error has no guess where no value begins or ends oddly."""
    assert "Most likely" not in str(await failure_of(Answer("{}", "401 Unauthorized")))


async def test_the_path_can_be_another_one() -> None:
    """The login uses the configured path below the path of the base URL."""
    async with raw_server(Answer(GOOD)) as server:
        await PasswordGrant(f"{server.base_url}/prefix/", OURS, path="/v2/token").fetch_token()
    assert server.requests[0].startswith(b"POST /prefix/v2/token HTTP/1.1\r\n")


@pytest.mark.parametrize("failing", ["500 Oops", "503 Busy", "401 No", "302 Found"])
async def test_each_call_is_one_attempt(failing: str) -> None:
    """The login is never repeated here, because only the provider sees the guard."""
    async with raw_server(Answer(b"{}", failing, "Location: /oauth/token", "Retry-After: 0")) as server:
        with pytest.raises(TokenError):
            await PasswordGrant(server.base_url, OURS).fetch_token()
    assert len(server.requests) == 1


def test_credentials_are_credentials() -> None:
    """The constructor refuses a dict of credentials at once and does not show its values."""
    with pytest.raises(ConfigurationError, match="not dict") as caught:
        PasswordGrant("https://enkash.example", {"password": "demo-password"})  # type: ignore[arg-type]
    assert "demo" not in str(caught.value)


def test_plain_http_is_for_this_machine() -> None:
    """The login refuses to send a password in the clear to another machine unless the user allows it."""
    with pytest.raises(ConfigurationError, match="https"):
        PasswordGrant("http://enkash.example", OURS)
    PasswordGrant("http://enkash.example", OURS, allow_insecure=True)


def test_a_login_is_bounded_by_the_provider() -> None:
    """The grant's own bound is the longest `login_timeout`; five seconds to connect."""
    assert Timeouts(total=110.0, connect=5.0) == LOGIN_TIMEOUTS


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token_name", ["accessToken", "access_token", "token"])
@pytest.mark.parametrize("lifetime_name", ["expiresIn", "expires_in"])
@pytest.mark.parametrize(
    ("said", "lifetime"),
    [
        (300, 300.0),
        ("300", 300.0),
        (" 86399 ", 86_399.0),
        (0.5, 0.5),
        ("299.5", 299.5),
        (1e3, 1000.0),
        (0, 0.0),
        (-5, 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("١٢", 0.0),
        ("", 0.0),
        (None, 0.0),
        (True, 0.0),
        ([300], 0.0),
        (10**400, 0.0),
    ],
)
async def test_every_casing_is_read(token_name: str, lifetime_name: str, said: object, lifetime: float) -> None:
    """The login reads lifetimes as numbers and as text; an unreadable one becomes 0, which the provider replaces."""
    token = await log_in(Answer(json.dumps({token_name: "at-1", lifetime_name: said, "unknown": {}})))
    assert token.reveal() == "at-1"
    assert token.expires_in == lifetime


@pytest.mark.parametrize("style", get_args(TokenStyle))
async def test_the_sandbox_and_the_grant_agree(style: TokenStyle) -> None:
    """The login reads the sandbox's token in all three shapes that EnKash's products show."""
    async with Sandbox(token_style=style, token_lifetime=1800.0) as sandbox:
        token = await PasswordGrant(sandbox.base_url, sandbox.credentials).fetch_token()
        assert token.expires_in == pytest.approx(1800, abs=2)
        assert token.generation == 0


@pytest.mark.parametrize(
    "body",
    [
        '{"response_code":0,"payload":{"accessToken":"at-1","expiresIn":300}}',
        '\ufeff {"accessToken":"at-1","expiresIn":300} \r\n',
        '{"accessToken":null,"access_token":"at-1","expiresIn":null,"expires_in":"300"}',
        '{"accessToken":"","token":"at-1","expiresIn":0,"expires_in":300}',
        '{"accessToken":" at-1\\r\\n","expiresIn":300}',
    ],
)
async def test_odd_wrappings_are_read(body: str) -> None:
    """The login reads a token in an envelope, behind a byte order mark, repeated, or with a line end."""
    token = await log_in(Answer(body))
    assert (token.authorization, token.expires_in) == ("Bearer at-1", 300)


@pytest.mark.parametrize("status", ["200 OK", "201 Created"])
async def test_any_success_will_do(status: str) -> None:
    """The login reads a token from every 2xx, although the content type names plain text."""
    assert (await log_in(Answer(GOOD, status, "Content-Type: text/plain"))).reveal() == "at-1"


EXPIRY = 1_672_531_199_000  # the sample of EnKash's page: 2022-12-31 23:59:59 UTC
BEFORE = "Date: Sat, 31 Dec 2022 23:49:59 GMT"


@pytest.mark.parametrize("said", [EXPIRY, str(EXPIRY), float(EXPIRY)])
async def test_an_instant_of_expiry_is_judged_by_the_replys_date(said: object) -> None:
    """EnKash's `Date` header gives the lifetime, since this machine's clock may be wrong."""
    answer = Answer(json.dumps({"token": "at-1", "expiry": said, "resultCode": 200}), "200 OK", BEFORE)
    for wall_clock in (lambda: 0.0, lambda: 4e9):
        assert 599 <= (await log_in(answer, wall_clock=wall_clock)).expires_in <= 600


@pytest.mark.parametrize("date", [(), ("Date: today",), ("Date: Sat, 31 Dec 99999 23:49:59 GMT",)])
async def test_without_a_date_this_machines_clock_has_to_do(date: tuple[str, ...]) -> None:
    """The local clock turns `expiry` into a lifetime where the `Date` header is absent or unreadable."""
    answer = Answer(json.dumps({"token": "at-1", "expiry": EXPIRY}), "200 OK", *date)
    assert (await log_in(answer, wall_clock=lambda: EXPIRY / 1000 - 450)).expires_in == 450


async def test_a_lifetime_goes_before_an_instant() -> None:
    """The login prefers `expiresIn` to `expiry`, because it depends on no clock."""
    body = json.dumps({"token": "at-1", "expiry": EXPIRY, "expires_in": 300})
    assert (await log_in(Answer(body, "200 OK", BEFORE))).expires_in == 300


async def test_the_age_counts_from_before_the_request(clock: Clock) -> None:
    """A slow answer does not make a token look younger than it is."""

    class Slow(Answer):
        async def __call__(self, server: RawServer, reader: Reader, writer: Writer) -> None:
            clock.now += 5
            await super().__call__(server, reader, writer)

    begun = clock()
    token = await log_in(Slow(GOOD), clock=clock)
    assert token.requested_at == begun
    assert token.remaining(clock()) == 295


# --- a success that is none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "at 1",
        "at\n1",
        "at\r\nX-Injected: 1",
        "at\x00",
        "at\x7f",
        "até",
        "t" * 16_385,
        7,
        True,
        None,
        {},
        ["at"],
    ],
)
async def test_a_token_that_no_header_can_hold_is_refused(value: object) -> None:
    """The login fails here, where otherwise every later request would fail."""
    failure = await puzzle_of(Answer(json.dumps({"accessToken": value, "expiresIn": 300})))
    assert "X-Injected" not in str(failure)


async def test_a_long_token_is_fine() -> None:
    """The login takes a signed token of some thousand characters."""
    assert len((await log_in(Answer(json.dumps({"accessToken": "t" * 16_384})))).reveal()) == 16_384


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "null",
        '"at-1"',
        "{}",
        '{"payload":[]}',
        '{"payload":"at-1"}',
        "at-1",
        "<html>",
        b"\xff\xfe",
    ],
)
async def test_a_success_without_a_token_is_an_error_of_its_own(body: str | bytes) -> None:
    """The error carries status and content type as its evidence."""
    failure = await puzzle_of(Answer(body, "200 OK"))
    assert (failure.status, failure.content_type) == (200, "application/json")


@pytest.mark.parametrize(
    "body",
    [
        '{"resultCode":200,"resultMessage":"OK"}',
        '{"code":0,"message":"Success","payload":null}',
        '{"code":503,"message":"try later"}',
        '{"response_code":500,"response_message":"FAILURE"}',
    ],
)
async def test_a_code_that_refuses_nothing_is_no_refusal(body: str) -> None:
    """The credentials may be right: a code of success lacks a token, and a server that failed says nothing of them."""
    assert (await puzzle_of(Answer(body, "200 OK"))).status == 200


async def test_a_success_of_no_kind_says_so() -> None:
    """The message suggests that a gateway answered and that the base URL may be wrong."""

    async def bare(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"hello"))
        await writer.drain()

    async with raw_server(bare) as server:
        with pytest.raises(TokenReplyError, match="base URL") as caught:
            await PasswordGrant(server.base_url, OURS).fetch_token()
    assert caught.value.content_type is None


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"Content-Type: text/\x1b[31mred", None),
        (b"Content-Type: text/\xff", None),
        (b"Content-Type: " + b"x" * 5000, None),
        (b"Content-Type: Text/HTML ; was=" + OURS.password.encode(), "Text/HTML"),
    ],
)
@pytest.mark.parametrize("body", [b"hello", b" " * (2**20 + 1)], ids=["short", "too large"])
async def test_a_success_shows_no_more_of_its_type_than_a_media_type(
    header: bytes, shown: str | None, body: bytes
) -> None:
    """The rest could hold a terminal's escape code, bytes that cannot be printed, or what was sent."""

    async def odd(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n\r\n%b" % (len(body), header, body))
        await writer.drain()

    async with raw_server(odd) as server:
        with pytest.raises(TokenReplyError) as caught:
            await PasswordGrant(server.base_url, OURS).fetch_token()
    assert caught.value.content_type == shown
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert OURS.password not in str(caught.value) + repr(vars(caught.value))


async def test_a_success_far_larger_than_a_token_is_not_read_to_its_end() -> None:
    """The login stops at a megabyte, so a server cannot fill this process's memory."""
    failure = await puzzle_of(Answer(b'{"accessToken":"at-1","x":"' + b"x" * 2**20 + b'"}'))
    assert "larger" in str(failure)
    assert failure.status == 200


@pytest.mark.parametrize(
    ("status", "kind"),
    [("502 Bad Gateway", TokenEndpointError), ("503 Busy", TokenEndpointError), ("401 No", CredentialsRejectedError)],
)
async def test_a_large_page_does_not_hide_the_status(status: str, kind: type[TokenError]) -> None:
    """A gateway's large error page is a transient failure and closes no guard."""
    failure = await failure_of(Answer(b"<html>" + b" " * 2**20, status))
    assert type(failure) is kind


@pytest.mark.parametrize(
    ("body", "error", "says_locked"),
    [
        ('{"error":"invalid_grant","error_description":"Bad credentials"}', "invalid_grant", False),
        ('{"resultCode":423,"resultMessage":"Account is locked"}', None, True),
        ('{"resultCode":401,"resultMessage":"Invalid credentials"}', None, False),
        ('{"code":"401","message":"Bad credentials","token":null}', None, False),
        ('{"code":1,"message":"FAILURE","payload":"wrong"}', None, False),
        ('{"response_code":null,"code":1}', None, False),
    ],
)
async def test_a_refusal_with_a_status_of_success_is_a_refusal(body: str, error: str | None, says_locked: bool) -> None:
    """The error says that EnKash refused the login with a status of 200."""
    failure = await rejection_of(Answer(body))
    assert (failure.error, failure.locked) == (error, says_locked)
    assert failure.status == 200


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["invalid_grant", "invalid_client", "unauthorized_client", "access_denied"])
@pytest.mark.parametrize("status", [400, 401, 403])
async def test_refused_credentials_are_said_to_be(status: int, word: str) -> None:
    """The error carries the status and OAuth's word, and its message shows both."""
    failure = await rejection_of(Answer(json.dumps({"error": word}), f"{status} No"))
    assert (failure.status, failure.error, failure.locked) == (status, word, False)
    assert f"HTTP {status}, {word}" in str(failure)


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    "body", ["", "{}", "<html>Forbidden</html>", '{"error":["invalid_grant"]}', '{"error":"demo"}']
)
async def test_without_a_known_word_the_status_is_enough(status: int, body: str) -> None:
    """A 400 counts as a refusal, since an attempt too few costs least; unknown words are not repeated."""
    failure = await rejection_of(Answer(body, f"{status} No"))
    assert (failure.status, failure.error, failure.locked) == (status, None, False)
    assert "demo" not in str(failure)


@pytest.mark.parametrize("word", ["unsupported_grant_type", "temporarily_unavailable", "server_error"])
async def test_a_request_that_enkash_did_not_understand_says_nothing_about_a_password(word: str) -> None:
    """Nothing is barred; the attempt is charged all the same, since EnKash may have counted it."""
    failure = await trouble_of(Answer(json.dumps({"error": word}), "400 Bad Request"))
    assert word in str(failure)
    assert failure.counted


@pytest.mark.parametrize("word", ["invalid_grant", "invalid_client", "invalid_request", "invalid_scope"])
@pytest.mark.parametrize("status", [400, 401])
async def test_what_enkash_calls_invalid_is_a_refusal(word: str, status: int) -> None:
    """Any word that begins so bars these credentials."""
    failure = await rejection_of(Answer(json.dumps({"error": word}), f"{status} No"))
    assert (failure.status, failure.error) == (status, word)
    assert outcome_of(failure) is Outcome.INVALID


@pytest.mark.parametrize(
    "text",
    [
        '{"error":"invalid_grant","error_description":"User account is locked"}',
        '{"error":"ACCOUNT_LOCKED"}',
        '{"error":"account_locked"}',
        '{"message":"Your account has been Locked. Contact support."}',
        '{"errorCode":"accountLocked"}',
        "LOCKED",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500])
async def test_a_locked_account_is_recognised(status: int, text: str) -> None:
    """The word for a locked account counts with any status."""
    failure = await rejection_of(Answer(text, f"{status} No"))
    assert failure.locked
    assert "unlocked" in str(failure)


async def test_423_without_a_word_is_an_unclear_refusal() -> None:
    """A gateway may send it as well; it takes a word of EnKash to stop every password."""
    failure = await rejection_of(Answer("", "423 Locked"))
    assert (failure.status, failure.locked) == (423, False)
    assert outcome_of(failure) is Outcome.UNCLEAR


@pytest.mark.parametrize(
    "text",
    [
        '{"message":"Your IP address is blocked"}',
        '{"message":"account UNLOCKED"}',
        '{"accountNonLocked":true}',
        '{"message":"clocked in"}',
        '{"message":"Transaction (Process ID 52) was deadlocked on lock resources with another process"}',
        "<html><body>This page is locked</body></html>",
        "\n  <!DOCTYPE html><p>locked",
    ],
)
async def test_other_words_and_pages_do_not_lock(text: str) -> None:
    """A gateway's page that speaks of locks does not mark the account as locked."""
    assert (await rejection_of(Answer(text, "401 No"))).locked is False
    assert outcome_of(await trouble_of(Answer(text, "500 Oops"))) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "text", ['{"message":"database is locked"}', '{"error":"row locked by another transaction"}', "resource locked"]
)
@pytest.mark.parametrize("status", [404, 500, 503])
async def test_a_lock_of_a_database_locks_no_account(status: int, text: str) -> None:
    """Only what is said of an account or a user counts where the status is of no refusal."""
    assert outcome_of(await trouble_of(Answer(text, f"{status} Oops"))) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("status", "text", "outcome"),
    [
        (400, '{"response_code":1,"response_message":"FAILURE","payload":"wrong"}', Outcome.UNCLEAR),
        (422, '{"message":"no"}', Outcome.UNCLEAR),
        (200, '{"response_code":1,"response_message":"FAILURE","payload":"wrong"}', Outcome.UNCLEAR),
        (200, '{"error":"invalid_grant"}', Outcome.INVALID),
        (200, "<html>maintenance</html>", Outcome.UNREADABLE),
    ],
)
async def test_a_refusal_in_another_form_is_charged_as_one(status: int, text: str, outcome: Outcome) -> None:
    """EnKash documents no refusal of a login, so one that may be a refusal is not tried again every ten minutes."""
    assert outcome_of(await failure_of(Answer(text, f"{status} So"))) is outcome


async def test_a_refusal_whose_body_breaks_off_is_a_refusal() -> None:
    """The status came, and says enough."""

    async def broken(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"{", "401 Unauthorized", length=100))

    async with raw_server(broken) as server:
        with pytest.raises(CredentialsRejectedError) as caught:
            await PasswordGrant(server.base_url, OURS).fetch_token()
        assert (caught.value.status, outcome_of(caught.value)) == (401, Outcome.UNCLEAR)


# --- transient failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504, 302, 307, 404, 405, 408, 415, 422, 429])
@pytest.mark.parametrize("body", ["", "{}", "<html>"])
async def test_other_statuses_are_transient_failures(status: int, body: str) -> None:
    """All but a 429 are charged, and the login does not follow a redirect with the password."""
    failure = await trouble_of(Answer(body, f"{status} Oops", "Location: /elsewhere"))
    assert (failure.counted, failure.status, failure.retry_after) == (status != 429, status, None)
    assert outcome_of(failure) is {429: Outcome.PASSING, 422: Outcome.UNCLEAR}.get(status, Outcome.UNKNOWN)
    assert f"HTTP {status}" in str(failure)


@pytest.mark.parametrize("status", ["429 Too Many", "503 Busy"])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Sat, 31 Dec 2022 23:51:59 GMT", 120.0),
        ("Sat, 31 Dec 2022 23:40:00 GMT", 0.0),
        ("later", None),
    ],
)
async def test_retry_after_is_read(status: str, header: str, seconds: float | None) -> None:
    """The error has the seconds, also from a date that is read against the reply's own `Date`."""
    failure = await trouble_of(Answer("{}", status, BEFORE, f"Retry-After: {header}"))
    assert failure.retry_after == seconds


async def test_a_time_out_after_sending_may_have_counted() -> None:
    """The attempt is charged, because EnKash may already have checked the password."""
    async with Sandbox() as sandbox:
        sandbox.faults.add("token", FaultKind.SLOW, delay=60)
        with pytest.raises(TokenEndpointError) as caught:
            await PasswordGrant(sandbox.base_url, sandbox.credentials, timeout=Timeouts(total=0.1)).fetch_token()
    assert caught.value.counted
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.TRUNCATED])
async def test_a_connection_that_drops_after_sending_may_have_counted(kind: FaultKind) -> None:
    """The attempt is charged, whether the answer is missing or cut short."""
    async with Sandbox() as sandbox:
        sandbox.faults.add("token", kind)
        with pytest.raises(TokenEndpointError) as caught:
            await PasswordGrant(sandbox.base_url, sandbox.credentials).fetch_token()
        assert sandbox.counts["token"] == 1
    assert type(caught.value) is TokenEndpointError
    assert caught.value.counted
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_an_answer_that_is_not_http_may_have_counted() -> None:
    """The attempt is charged, because the other side has read the password."""

    async def chatter(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()

    async with raw_server(chatter) as server:
        with pytest.raises(TokenEndpointError) as caught:
            await PasswordGrant(server.base_url, OURS).fetch_token()
    assert caught.value.counted


async def test_a_refused_connection_does_not_count() -> None:
    """The attempt is not charged, because no password left this process."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(TokenEndpointError) as caught:
            await PasswordGrant(f"http://127.0.0.1:{port}", OURS).fetch_token()
    assert not caught.value.counted
    assert "nothing was sent" in str(caught.value)


async def test_a_connection_that_does_not_come_about_in_time_does_not_count() -> None:
    """The attempt is not charged when the listener's queue is full, as on a hanging server."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(4):
            waiting.append(client := socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        await asyncio.sleep(0.01)
        grant = PasswordGrant(
            f"http://127.0.0.1:{full.getsockname()[1]}", OURS, timeout=Timeouts(total=5, connect=0.05)
        )
        with pytest.raises(TokenEndpointError) as caught:
            await grant.fetch_token()
        for client in waiting:
            client.close()
    assert not caught.value.counted


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_session_of_the_users_is_used_and_left_open() -> None:
    """The login uses the user's session, on which proxies and certificates are set, and does not close it."""
    async with raw_server(Answer(GOOD)) as server, aiohttp.ClientSession(headers={"X-Ours": "yes"}) as session:
        grant = PasswordGrant(server.base_url, OURS, session=session)
        await grant.fetch_token()
        assert not session.closed
        await grant.fetch_token()
    assert all(b"\r\nX-Ours: yes\r\n" in request for request in server.requests)
    assert len(server.requests) == 2


async def test_a_session_that_raises_for_a_status_is_no_obstacle() -> None:
    """The login reads the refusal, although the user's session is set to raise for a status."""
    answer = Answer('{"error":"invalid_grant"}', "400 Bad Request")
    async with raw_server(answer) as server, aiohttp.ClientSession(raise_for_status=True) as session:
        with pytest.raises(CredentialsRejectedError):
            await PasswordGrant(server.base_url, OURS, session=session).fetch_token()


async def test_a_closed_session_sends_nothing() -> None:
    """The attempt is not charged, because a closed session cannot send."""
    session = aiohttp.ClientSession()
    await session.close()
    async with raw_server(Answer(GOOD)) as server:
        with pytest.raises(TokenEndpointError) as caught:
            await PasswordGrant(server.base_url, OURS, session=session).fetch_token()
    assert not caught.value.counted
    assert server.requests == []


@pytest.mark.parametrize("status", ["200 OK", "401 No", "503 Busy"])
async def test_its_own_session_is_closed_after_each_login(status: str) -> None:
    """The login leaves no open session, whose warning would fail this suite."""
    await asyncio.gather(*(log_in(Answer(GOOD, status)) for _ in range(3)), return_exceptions=True)
    gc.collect()


async def test_a_login_that_is_cancelled_leaves_nothing_open() -> None:
    """The server sees the connection close when the caller cancels the login."""
    hung_up = asyncio.Event()

    async def silence(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        await reader.read()
        hung_up.set()

    async with raw_server(silence) as server:
        call = asyncio.create_task(PasswordGrant(server.base_url, OURS).fetch_token())
        while not server.requests:
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5):
            await hung_up.wait()
    gc.collect()


async def test_one_grant_serves_several_loops() -> None:
    """The grant is tied to no event loop unless the user gives it a session."""
    async with Sandbox() as sandbox:
        grant = PasswordGrant(sandbox.base_url, sandbox.credentials)

        def ask() -> str:
            return asyncio.run(grant.fetch_token()).reveal()

        tokens = await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(4)))
        tokens.append((await grant.fetch_token()).reveal())
    assert len(set(tokens)) == 5
