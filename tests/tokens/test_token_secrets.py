"""No secret of a login shows in texts, pickles, logs or tracebacks with their locals."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
import traceback
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import attrs
import pytest
from tokens.doubles import Clock, Login, SpyStore

from enkash_async import (
    Credentials,
    EnkashClient,
    InMemoryTokenProvider,
    PasswordGrant,
    RetryPolicy,
    StaticTokenProvider,
    Timeouts,
)
from enkash_async.errors import AuthenticationError, ConfigurationError, EnkashError, TokenError
from enkash_async.stores import MemoryStore
from enkash_async.tokens import StoreTokenProvider, Token

from support import RawServer, Reader, Writer, raw_server, reply

# These stand here and not in a test, since a rendered traceback shows the locals of the test as well.
OURS = Credentials("demo-client", "cl1ent+s3cret&", "ap-team@example.com", "p4ss w0rd%é", "CEKDEMO123")
BASIC = base64.b64encode(b"demo-client:cl1ent+s3cret&").decode()
TOKEN = "at-s3cr3t-t0ken"
SECRETS = (
    OURS.client_secret,
    urllib.parse.quote_plus(OURS.client_secret),
    OURS.password,
    urllib.parse.quote_plus(OURS.password),
    ascii(OURS.password)[1:-1],
    "p4ss",
    "w0rd",
    "s3cret",
    BASIC,
    TOKEN,
    "s3cr3t-t0ken",
)

Handler = Callable[[RawServer, Reader, Writer], Awaitable[None]]


def echo(status: str, *headers: str) -> Handler:
    """Answer with everything that was sent: the body, and headers and form once more as JSON."""

    async def handle(server: RawServer, reader: Reader, writer: Writer) -> None:
        request = (await server.read_request(reader)).decode()
        head, _, form = request.partition("\r\n\r\n")
        members = {name: values[0] for name, values in urllib.parse.parse_qs(form).items()}
        said = {"error": OURS.password, "error_description": request, "headers": head, TOKEN: TOKEN, **members}
        body = repr(said).replace("'", '"').encode() + request.encode()
        own = [line for line in head.split("\r\n")[1:] if not line.lower().startswith(("content-length", "host"))]
        writer.write(reply(body, f"{status} {OURS.client_secret} {BASIC}", *own, f"X-Echo: {BASIC}", *headers))
        await writer.drain()

    return handle


def echo_json(status: str) -> Handler:
    """Answer with well-formed JSON whose every member holds a secret."""

    async def handle(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        body = (
            f'{{"error":"{OURS.password}","error_description":"{OURS.client_secret} {BASIC}","message":"{TOKEN}",'
            f'"accessToken":["{TOKEN}"],"access_token":"{TOKEN} {BASIC}","expiresIn":"{OURS.password}"}}'
        )
        writer.write(reply(body.encode(), status, f"Retry-After: {OURS.password}".encode("ascii", "replace").decode()))
        await writer.drain()

    return handle


async def hang_up(server: RawServer, reader: Reader, writer: Writer) -> None:
    await server.read_request(reader)


async def break_off(server: RawServer, reader: Reader, writer: Writer) -> None:
    request = await server.read_request(reader)
    writer.write(reply(request, "200 OK", length=100_000))
    await writer.drain()


async def say_nothing(server: RawServer, reader: Reader, writer: Writer) -> None:
    await server.read_request(reader)
    await asyncio.sleep(60)


async def mumble(server: RawServer, reader: Reader, writer: Writer) -> None:
    request = await server.read_request(reader)
    writer.write(b"HTTP/1.1 what " + request)
    await writer.drain()


async def flood(server: RawServer, reader: Reader, writer: Writer) -> None:
    request = await server.read_request(reader)
    writer.write(reply(request * 5000))
    await writer.drain()


FAILING = {
    **{f"echo {status}": echo(status) for status in ("200", "302", "400", "401", "403", "404", "423", "429", "500")},
    **{f"json {status}": echo_json(f"{status} No") for status in (200, 400, 401, 429, 503)},
    "retry-after": echo("503", "Retry-After: 5"),
    "content type": echo("200", "Content-Type: text/html"),
    "hang up": hang_up,
    "break off": break_off,
    "say nothing": say_nothing,
    "mumble": mumble,
    "flood": flood,
}


@pytest.fixture(params=list(FAILING))
def failing(request: pytest.FixtureRequest) -> Handler:
    return FAILING[request.param]


@pytest.fixture(autouse=True)
def clean_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test during which a secret is logged at any level."""
    caplog.set_level(logging.DEBUG)
    yield
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    # The tests' own file and the servers of the standard library have no business with them either.
    assert_no_secret("\n".join(f"{record.getMessage()} {vars(record)}" for record in records))


def assert_no_secret(text: str) -> None:
    said = [secret for secret in SECRETS if secret in text]
    assert not said


def assert_failure_hides_secrets(failure: BaseException) -> None:
    """Look for secrets in a failure as error reporters do, and in those it is linked to."""
    chain, rest = list[BaseException](), [failure]
    while rest:
        chain.append(one := rest.pop())
        rest += [other for other in (one.__cause__, one.__context__) if other is not None and other not in chain]
    for one in chain:
        assert_no_secret(f"{one} {one!r} {one.args} {vars(one)} {getattr(one, '__notes__', '')}")
        rendered = traceback.TracebackException.from_exception(one, capture_locals=True)
        assert_no_secret("".join(rendered.format()))
        if isinstance(one, EnkashError):
            assert_no_secret(repr(pickle.dumps(one)))
            assert_no_secret(repr(vars(pickle.loads(pickle.dumps(one)))))


async def test_a_login_that_fails_tells_no_secret(failing: Handler) -> None:
    """The error is clean, although the server repeats the request in body, headers and status line."""
    asyncio.get_running_loop().set_debug(True)
    async with raw_server(failing) as server:
        with pytest.raises(TokenError) as caught:
            await PasswordGrant(server.base_url, OURS, timeout=Timeouts(total=0.3)).fetch_token()
    assert_failure_hides_secrets(caught.value)


async def test_what_callers_get_of_a_failed_login_tells_no_secret(failing: Handler) -> None:
    """The errors of all callers and the provider's state are clean."""
    async with raw_server(failing) as server:
        provider = InMemoryTokenProvider(PasswordGrant(server.base_url, OURS, timeout=Timeouts(total=0.3)))
        failures = await asyncio.gather(*(provider.get_token() for _ in range(3)), return_exceptions=True)
        failures += await asyncio.gather(*(provider.get_token() for _ in range(3)), return_exceptions=True)
        for failure in failures:
            assert isinstance(failure, TokenError)
            assert_failure_hides_secrets(failure)
    assert_no_secret(repr(provider.state()))
    assert_no_secret(repr(vars(provider)))


async def test_a_connection_that_fails_tells_no_secret() -> None:
    """A login that cannot connect raises an error without the password or the client secret."""
    with pytest.raises(TokenError) as caught:
        await PasswordGrant("http://127.0.0.1:1", OURS).fetch_token()
    assert_failure_hides_secrets(caught.value)


async def test_a_broken_session_tells_no_secret() -> None:
    """The error is clean, although the user's session raises what it likes."""
    session = aiohttp.ClientSession(raise_for_status=True, headers={"X-Api-Key": OURS.client_secret})
    async with raw_server(echo("401")) as server:
        with pytest.raises(TokenError) as caught:
            await PasswordGrant(server.base_url, OURS, session=session).fetch_token()
        await session.close()
        with pytest.raises(TokenError) as closed:
            await PasswordGrant(server.base_url, OURS, session=session).fetch_token()
    assert_failure_hides_secrets(caught.value)
    assert_failure_hides_secrets(closed.value)


async def test_a_login_that_is_cancelled_tells_no_secret() -> None:
    """The frames of a login cut off by the caller's deadline are clean."""
    async with raw_server(say_nothing) as server:
        grant = PasswordGrant(server.base_url, OURS)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await grant.fetch_token()
        assert_failure_hides_secrets(caught.value)
        provider = InMemoryTokenProvider(grant)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await provider.get_token()
        assert_failure_hides_secrets(caught.value)
        await provider.aclose()


@pytest.mark.parametrize("word", [OURS.password, OURS.client_secret])
async def test_a_source_that_breaks_tells_no_secret(clock: Clock, word: str) -> None:
    """The error neither repeats nor keeps the source's exception."""
    login = Login(clock, ValueError(word))
    provider = StoreTokenProvider(login, SpyStore(MemoryStore(clock=clock)), clock=clock, sleep=clock.sleep)
    with pytest.raises(TokenError) as caught:
        await provider.get_token()
    assert caught.value.__cause__ is caught.value.__context__ is None
    text = "".join(traceback.TracebackException.from_exception(caught.value).format())
    assert_no_secret(f"{caught.value!r} {text}")


@pytest.mark.parametrize(
    "broken",
    [
        {"client_id": "a:b"},
        {"username": ""},
        {"form_client_id": ""},
        {"client_id": "half \ud83d"},
        {"client_id": None},
    ],
)
def test_credentials_that_are_refused_tell_no_secret(broken: dict[str, str]) -> None:
    """The frame that checks the credentials does not show them as locals."""
    with pytest.raises(ConfigurationError) as caught:
        attrs.evolve(OURS, **broken)
    # Our own frames alone: that of `attrs.evolve` shows what it was given.
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].filename.endswith("_credentials.py")
    last = caught.value.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    assert_failure_hides_secrets(caught.value.with_traceback(last))


def test_a_base_url_with_credentials_tells_no_secret() -> None:
    """The error refuses the URL and does not repeat it."""
    with pytest.raises(ConfigurationError) as caught:
        PasswordGrant(
            "https://ap-team:p4ss@enkash.example", attrs.evolve(OURS, password="other", client_secret="other")
        )
    assert_no_secret(f"{caught.value!r}")


async def test_a_grant_and_its_token_tell_no_secret() -> None:
    """The reprs of grant, token and provider are clean."""
    async with raw_server(_hand_out) as server:
        grant = PasswordGrant(server.base_url, OURS)
        provider = InMemoryTokenProvider(grant)
        token = await provider.get_token()
    assert token.reveal() == TOKEN
    for thing in (grant, provider, provider.state(), token, grant.identity, StaticTokenProvider(token)):
        assert_no_secret(f"{thing} {thing!r}")
    for value in (provider.state(), token, grant.identity):
        assert_no_secret(f"{attrs.asdict(value)} {attrs.astuple(value)}")
    assert_no_secret(repr([vars(thing) for thing in (grant, provider)]))
    for thing in (provider, token):
        with pytest.raises(TypeError):
            pickle.dumps(thing)


async def test_a_refused_token_tells_no_secret() -> None:
    """The error after two 401s is clean, although the server repeats its headers."""
    async with raw_server(_hand_out) as server:
        async with EnkashClient.from_credentials(server.base_url, OURS, retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises((AuthenticationError, TokenError)) as caught:
                await client.request("GET", "api", "v2", "biller")
    assert_failure_hides_secrets(caught.value)
    provider = StaticTokenProvider(Token(TOKEN, 60.0))
    with pytest.raises(TokenError) as refused:
        await provider.get_token(rejected=await provider.get_token())
    assert_failure_hides_secrets(refused.value)


async def _hand_out(server: RawServer, reader: Reader, writer: Writer) -> None:
    """Answer every login with one token, and every call with a 401 that repeats its headers."""
    while True:
        request = await server.read_request(reader)
        if request.startswith(b"POST /oauth/token"):
            writer.write(reply(f'{{"accessToken":"{TOKEN}","expiresIn":300}}'.encode()))
        else:
            head = request.decode().replace("\r\n", " ")
            writer.write(reply(f'{{"message":"Bearer {TOKEN}","payload":"{head}"}}'.encode(), "401 No"))
        await writer.drain()
