"""HTTP: what a failure says about whether EnKash has the request, and what is left open."""

from __future__ import annotations

import asyncio
import errno
import gc
import gzip
import pickle
import warnings
import zlib
from collections.abc import Awaitable
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from enkash_async import ConfigurationError, Limits, RequestTimeoutError, ResponseDecodeError, Timeouts, TransportError
from enkash_async._flow.gate import Gate
from enkash_async._http.failures import failure_of
from enkash_async._http.transport import Transport
from enkash_async._support.causes import Cause
from enkash_async._support.secret import Secret
from enkash_async._support.urls import checked_base_url
from enkash_async._wire.operation import Request

from support import RawServer, Reader, Writer, raw_server, reply

GET = Request(method="GET", path="/x")
POST = Request(method="POST", path="/x", body=b'{"a":1}', content_type="application/json")
PUT = Request(method="PUT", path="/x", body=b'{"a":1}', content_type="application/json")


async def _answer_ok(server: RawServer, reader: Reader, writer: Writer) -> None:
    while True:
        await server.read_request(reader)
        writer.write(reply(b"{}"))


async def _drop_after_reading(server: RawServer, reader: Reader, writer: Writer) -> None:
    await server.read_request(reader)


async def _answer_once_then_drop(server: RawServer, reader: Reader, writer: Writer) -> None:
    """Answer the first request of a connection and drop it upon the second, as a restarted gateway does."""
    await server.read_request(reader)
    writer.write(reply(b"{}"))
    await server.read_request(reader)


async def _complain_in_plain_text(server: RawServer, reader: Reader, writer: Writer) -> None:
    """Answer the beginning of a handshake as a server does that knows no TLS."""
    await reader.read(1)
    writer.write(reply(b"", "400 Bad Request"))


async def _silence(server: RawServer, reader: Reader, writer: Writer) -> None:
    await server.read_request(reader)
    await asyncio.sleep(30)


async def _fail(call: Awaitable[object]) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await call
    return caught.value


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_request_carries_the_headers_that_enkash_wants() -> None:
    """`Accept`, `User-Agent`, content type, length and authorization go out; the path arrives as it was encoded."""
    async with raw_server(_answer_ok) as server:
        transport = Transport(server.base_url)
        request = Request(
            method="POST",
            path="/a%2Fb",
            query=(("q", "x y&z=é"),),
            body=b"{}",
            content_type="application/json",
        )
        response = await transport.send(request, Secret("Bearer abc"))
        await transport.aclose()
    head = server.requests[0].decode().split("\r\n")
    assert head[0] == "POST /a%2Fb?q=x%20y%26z%3D%C3%A9 HTTP/1.1"
    headers = {line.split(": ")[0].lower(): line.split(": ")[1] for line in head[1:] if ": " in line}
    assert headers["accept"] == "application/json"
    assert headers["user-agent"].startswith("enkash-async/")
    assert headers["authorization"] == "Bearer abc"
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == "2"
    assert (response.status, response.body) == (200, b"{}")


async def test_a_redirect_is_not_followed() -> None:
    """A 302 is an answer like any other: following it could carry the token elsewhere."""

    async def redirect(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"", "302 Found", "Location: /elsewhere"))
        await server.read_request(reader)

    async with raw_server(redirect) as server:
        transport = Transport(server.base_url)
        assert (await transport.send(GET)).status == 302
        await transport.aclose()
    assert len(server.requests) == 1


async def test_cookies_are_not_kept() -> None:
    """The next request does not send a cookie that EnKash's gateway has set."""

    async def with_cookie(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            writer.write(reply(b"{}", "200 OK", "Set-Cookie: _cfuvid=1; Path=/"))

    async with raw_server(with_cookie) as server:
        transport = Transport(server.base_url)
        await transport.send(GET)
        await transport.send(GET)
        await transport.aclose()
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_the_names_of_headers_are_found_in_lower_case(encoding: str) -> None:
    """The response has lower-case header names, which the rest of the package looks up."""
    body = gzip.compress(b"{}") if encoding == "gzip" else b"{}"

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        named = (f"CONTENT-ENCODING: {encoding}", "Content-Type: application/json", "RETRY-AFTER: 7", "x-Request-ID: a")
        writer.write(reply(body, "200 OK", *(named[1:] if encoding == "identity" else named)))

    async with raw_server(answer) as server:
        transport = Transport(server.base_url)
        response = await transport.send(GET)
        await transport.aclose()
    assert response.content_type == "application/json"
    assert (response.headers.get("retry-after"), response.headers.get("x-request-id")) == ("7", "a")
    assert response.headers.get("x-correlation-id") is None


@pytest.mark.parametrize(
    "own", [{}, {"User-Agent": "mine/1", "Accept": "text/html", "X-Mine": "1"}], ids=["bare", "own"]
)
async def test_a_session_of_the_users_own_sends_the_same_headers(own: dict[str, str]) -> None:
    """The request has `Accept` and `User-Agent` once each, and the other headers of the session."""
    async with raw_server(_answer_ok) as server, aiohttp.ClientSession(headers=own) as session:
        await Transport(server.base_url, session=session).send(POST, Secret("Bearer abc"))
        transport = Transport(server.base_url)
        await transport.send(POST, Secret("Bearer abc"))
        await transport.aclose()
        assert "Authorization" not in session.headers
    theirs, ours = (_headers_of(request) for request in server.requests)
    assert [row for row in theirs if row[0] != "x-mine"] == ours
    assert (("x-mine", "1") in theirs) is bool(own)
    names = [name for name, _ in ours]
    assert len(set(names)) == len(names)
    assert dict(ours)["user-agent"].startswith("enkash-async/")
    assert dict(ours)["accept"] == "application/json"


def _headers_of(request: bytes) -> list[tuple[str, str]]:
    rows = (line.partition(": ") for line in request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:])
    return sorted((name.lower(), value) for name, _, value in rows)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SEGMENTS = st.text(st.sampled_from("ab.~-_%/?#é @:;=+&"), min_size=1, max_size=6).map(lambda text: quote(text, safe=""))
PATHS = st.lists(SEGMENTS | st.sampled_from(["", ".", "..", "a;b=c", "a:b@c", "%2e%2E"]), min_size=1, max_size=3)


BASE_URLS = [
    "https://api.example",
    "https://api.example/",
    "https://API.example:8443/prefix",
    "https://api.example/prefix/v%2F1/",
    "https://api.example/a//b;c=d/é%20",
    "https://bücher.example/",
    "http://127.0.0.1:8080/x",
    "http://[::1]:8080/x/y",
]
QUERIES = st.lists(st.tuples(WORDS.filter(bool), WORDS), max_size=3)


@given(st.sampled_from(BASE_URLS), PATHS.map("/".join), QUERIES)
def test_an_address_is_the_base_url_with_path_and_query_behind_it(
    base_url: str, path: str, query: list[tuple[str, str]]
) -> None:
    """The URL keeps `%2F` in an id and the prefix of the base URL, letter for letter."""
    base = checked_base_url(base_url)
    url = Transport(base)._url(Request(method="GET", path=f"/{path}", query=tuple(query)))
    plain = f"{base}/{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
    assert str(url) == plain
    assert url == URL(plain, encoded=True)
    assert (url.host, url.port) == (URL(base).host, URL(base).port)
    prefix = URL(base).raw_path.rstrip("/")
    assert url.raw_path_qs == f"{prefix}/{path}" + plain.removeprefix(f"{base}/{path}")
    assert url.fragment == ""


# --- sent or not ------------------------------------------------------------------------------------------------------


async def test_a_refused_connection_was_not_sent(unused_tcp_port: int) -> None:
    """The error says `sent=False`, because nothing listens on the port."""
    transport = Transport(f"http://127.0.0.1:{unused_tcp_port}")
    problem = await _fail(transport.send(POST))
    await transport.aclose()
    assert problem.sent is False
    assert "nothing was sent" in str(problem)


async def test_an_unknown_host_was_not_sent() -> None:
    """The error says `sent=False` when the name does not resolve."""
    transport = Transport("https://enkash-async.invalid")
    problem = await _fail(transport.send(POST))
    await transport.aclose()
    assert problem.sent is False


async def test_a_server_without_tls_was_not_sent() -> None:
    """The error says `sent=False`, because the handshake fails first."""
    async with raw_server(_complain_in_plain_text) as server:
        transport = Transport(server.base_url.replace("http://", "https://"))
        problem = await _fail(transport.send(POST))
        await transport.aclose()
    assert problem.sent is False
    assert server.requests == []


@pytest.mark.parametrize("request_", [GET, POST, PUT], ids=["GET", "POST", "PUT"])
async def test_a_dropped_connection_was_maybe_sent(request_: Request) -> None:
    """The error says `sent=True`, because the server has read the request."""
    async with raw_server(_drop_after_reading) as server:
        transport = Transport(server.base_url)
        problem = await _fail(transport.send(request_))
        await transport.aclose()
    assert problem.sent is True
    assert "may have arrived" in str(problem)


async def test_a_put_is_sent_once_on_a_kept_alive_connection_that_drops() -> None:
    """Prevents a double debit: aiohttp repeats a PUT when a kept-alive connection drops."""
    async with raw_server(_answer_once_then_drop) as server:
        transport = Transport(server.base_url)
        await transport.send(GET)
        problem = await _fail(transport.send(PUT))
        await transport.aclose()
    assert problem.sent is True
    assert sum(request.startswith(b"PUT") for request in server.requests) == 1


async def test_a_get_is_sent_once_as_well() -> None:
    """aiohttp repeats nothing, because `RetryPolicy` decides on repeats."""
    async with raw_server(_answer_once_then_drop) as server:
        transport = Transport(server.base_url)
        await transport.send(GET)
        await _fail(transport.send(GET))
        await transport.aclose()
    assert len(server.requests) == 2


async def test_defaults_of_a_session_do_not_change_what_a_reply_means() -> None:
    """`raise_for_status` would turn a status into an exception, and a refused login into a transient failure."""

    async def refuse(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        packed = gzip.compress(b'{"a":1}')
        writer.write(reply(packed, "422 Unprocessable", "Content-Encoding: gzip"))

    async with raw_server(refuse) as server:
        async with aiohttp.ClientSession(raise_for_status=True, auto_decompress=False) as session:
            response = await Transport(server.base_url, session=session).send(GET)
    assert (response.status, response.body) == (422, b'{"a":1}')


async def test_a_session_with_auth_of_its_own_is_refused() -> None:
    """The constructor refuses it, because aiohttp refuses a request with two authorizations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer versions of aiohttp advise against it as well
        session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("u", "p"))
    async with session:
        with pytest.raises(ConfigurationError, match="no auth of its own"):
            Transport("https://api.example", session=session)


@pytest.mark.parametrize("how", [{"session": "s"}, {"timeout": 5}, {"max_response_bytes": 1.5}])
def test_wrong_kinds_of_arguments_are_refused(how: dict[str, Any]) -> None:
    """The constructor names the wrong argument, before aiohttp could fail on it in a call."""
    with pytest.raises(ConfigurationError, match=next(iter(how))):
        Transport("https://api.example", **how)


async def test_a_put_is_maybe_sent_when_its_second_connection_is_refused() -> None:
    """The error says `sent=True`: aiohttp sent the PUT once before its repeat was refused."""
    gone = asyncio.Event()

    async def answer_once_then_die(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"{}"))
        await server.read_request(reader)
        gone.set()
        await asyncio.sleep(0.05)  # until nobody listens any more

    async with aiohttp.ClientSession() as session:
        async with raw_server(answer_once_then_die) as server:
            transport = Transport(server.base_url, session=session)
            await transport.send(GET)
            call = asyncio.create_task(transport.send(PUT))
            await gone.wait()
        problem = await _fail(call)
    assert problem.sent is True
    assert sum(request.startswith(b"PUT") for request in server.requests) == 1


async def test_a_put_without_a_body_is_sent_once_too() -> None:
    """aiohttp does not repeat a user's own PUT without a body either."""
    async with raw_server(_answer_once_then_drop) as server:
        transport = Transport(server.base_url)
        await transport.send(GET)
        await _fail(transport.send(Request(method="DELETE", path="/x")))
        await transport.aclose()
    assert sum(request.startswith(b"DELETE") for request in server.requests) == 1


async def test_silence_is_a_timeout_that_was_maybe_sent() -> None:
    """The error says `sent=True`, because the server has read the request and does not answer."""
    async with raw_server(_silence) as server:
        transport = Transport(server.base_url, timeout=Timeouts(total=0.05))
        problem = await _fail(transport.send(POST))
        await transport.aclose()
    assert isinstance(problem, RequestTimeoutError)
    assert isinstance(problem, TimeoutError)
    assert problem.sent is True


async def test_a_slow_connection_is_a_timeout_that_was_not_sent() -> None:
    """The error says `sent=False`, because a full backlog leaves the SYN unanswered."""
    listener = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()

    async def never(*_: object, **__: object) -> list[Any]:
        await asyncio.sleep(30)
        return []

    class NeverResolves(aiohttp.abc.AbstractResolver):
        resolve = never

        async def close(self) -> None:
            return None

    connector = aiohttp.TCPConnector(resolver=NeverResolves())
    async with aiohttp.ClientSession(connector=connector) as session:
        transport = Transport(f"http://localhost:{port}", session=session, timeout=Timeouts(total=0.05))
        problem = await _fail(transport.send(POST))
    assert isinstance(problem, RequestTimeoutError)
    assert problem.sent is False


async def test_a_truncated_body_was_maybe_sent() -> None:
    """The error says `sent=True` when the reply is shorter than announced."""

    async def truncated(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b'{"response_code":', length=500))

    async with raw_server(truncated) as server:
        transport = Transport(server.base_url)
        problem = await _fail(transport.send(POST))
        await transport.aclose()
    assert problem.sent is True


async def test_an_answer_that_is_not_http_was_maybe_sent() -> None:
    """The error says `sent=True`, because the server read the request before it answered with SMTP."""

    async def babble(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(b"220 smtp.example ESMTP\r\n\r\n")

    async with raw_server(babble) as server:
        transport = Transport(server.base_url)
        assert (await _fail(transport.send(POST))).sent is True
        await transport.aclose()


async def test_a_closed_session_of_the_users_is_a_transport_error() -> None:
    """The caller gets a `TransportError` in place of aiohttp's `RuntimeError`."""
    session = aiohttp.ClientSession()
    await session.close()
    transport = Transport("http://127.0.0.1:9", session=session)
    assert (await _fail(transport.send(POST))).sent is False


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_reply_larger_than_the_limit_is_refused(encoding: str) -> None:
    """The limit counts unpacked bytes, so a small compressed reply can be too large as well."""
    body = b'"' + b"x" * 300_000 + b'"'
    packed = gzip.compress(body) if encoding == "gzip" else body

    async def large(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            writer.write(reply(packed, "200 OK", f"Content-Encoding: {encoding}", "Content-Type: application/json"))

    async with raw_server(large) as server:
        strict = Transport(server.base_url, max_response_bytes=200_000)
        with pytest.raises(ResponseDecodeError, match="max_response_bytes=200000") as caught:
            await strict.send(GET)
        await strict.aclose()
        generous = Transport(server.base_url, max_response_bytes=len(body))
        assert (await generous.send(GET)).body == body
        await generous.aclose()
    assert (caught.value.status, caught.value.content_type) == (200, "application/json")


async def test_a_reply_that_announces_too_much_is_refused_before_its_end() -> None:
    """The transport refuses the reply by its length header and does not wait for the body."""

    async def endless(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"x" * 300_000, "200 OK", "Content-Type: text/plain", length=10**12))
        await asyncio.sleep(30)

    async with raw_server(endless) as server:
        transport = Transport(server.base_url, max_response_bytes=200_000)
        with pytest.raises(ResponseDecodeError, match="max_response_bytes=200000") as caught:
            await transport.send(GET)
        await transport.aclose()
    assert (caught.value.status, caught.value.content_type) == (200, "text/plain")


@pytest.mark.parametrize("framing", ["length", "chunked", "gzip", "deflate", "until the end"])
async def test_the_limit_counts_to_the_byte(framing: str) -> None:
    """The limit holds for each framing of a reply, compressed or not."""
    body = bytes(range(256)) * 800
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body)}.get(framing, body)

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            if framing == "chunked":
                chunks = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n")
            elif framing == "until the end":
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
                return
            else:
                headers = [] if framing == "length" else [f"content-encoding: {framing}"]
                writer.write(reply(packed, "200 OK", *headers))

    async with raw_server(answer) as server:
        for bound in (len(body) - 1, len(body)):
            transport = Transport(server.base_url, max_response_bytes=bound)
            try:
                assert (await transport.send(GET)).body == body
                assert bound == len(body)
            except ResponseDecodeError:
                assert bound < len(body)
            await transport.aclose()


async def test_two_contradicting_lengths_do_not_get_around_the_limit() -> None:
    """The transport refuses a reply with a small length and large chunks."""

    async def both(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"", "200 OK", "Transfer-Encoding: chunked", length=5))
        writer.write(b"c350\r\n" + b"x" * 50_000 + b"\r\n0\r\n\r\n")

    async with raw_server(both) as server:
        transport = Transport(server.base_url, max_response_bytes=100)
        with pytest.raises((TransportError, ResponseDecodeError)):
            await transport.send(GET)
        await transport.aclose()


@pytest.mark.parametrize("length", [0, 5, 10**12])
async def test_the_length_of_a_reply_to_head_is_of_what_is_not_sent(length: int) -> None:
    """The transport waits for no body after HEAD, and the connection serves the next request."""

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            head = await server.read_request(reader)
            writer.write(reply(b"", length=length) if head.startswith(b"HEAD") else reply(b"{}"))

    async with raw_server(answer) as server:
        transport = Transport(server.base_url, max_response_bytes=100)
        response = await transport.send(Request(method="HEAD", path="/x"))
        assert (response.status, response.body) == (200, b"")
        assert (await transport.send(GET)).body == b"{}"
        await transport.aclose()


# --- sessions and loops -----------------------------------------------------------------------------------------------


async def test_a_session_that_is_passed_in_is_used_and_not_closed() -> None:
    """The application keeps its session: its headers are sent, and it is open after `aclose`."""
    async with raw_server(_answer_ok) as server, aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        transport = Transport(server.base_url, session=session)
        await transport.send(GET)
        await transport.aclose()
        assert not session.closed
    assert b"x-mine: 1" in server.requests[0].lower()


async def test_a_session_that_is_opened_here_is_closed_here() -> None:
    """`aclose` leaves no open session and does nothing when it is called again."""
    async with raw_server(_answer_ok) as server:
        transport = Transport(server.base_url)
        await transport.send(GET)
        await transport.aclose()
        await transport.aclose()
        gc.collect()
        with pytest.raises(ConfigurationError, match="closed"):
            await transport.send(GET)


async def test_a_client_in_two_live_loops_is_refused() -> None:
    """The message says what to do, because connections belong to one event loop."""
    async with raw_server(_answer_ok) as server:
        transport = Transport(server.base_url)
        await transport.send(GET)

        def elsewhere() -> None:
            asyncio.run(transport.send(GET))

        with pytest.raises(ConfigurationError, match="one event loop"):
            await asyncio.to_thread(elsewhere)
        await transport.aclose()


async def test_slots_bound_the_requests_in_flight() -> None:
    """The 101st request waits until one of the hundred before it has ended."""
    transport = Transport("http://127.0.0.1:9")
    inside = 0
    leave = asyncio.Event()

    async def enter() -> None:
        nonlocal inside
        async with transport.gate().slot():
            inside += 1
            await leave.wait()

    tasks = [asyncio.create_task(enter()) for _ in range(101)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert inside == 100
    leave.set()
    await asyncio.gather(*tasks)
    assert inside == 101


async def test_the_gate_is_one_for_the_whole_client() -> None:
    """The transport has one gate with the given limits, and none once it is closed."""
    transport = Transport("http://127.0.0.1:9", limits=Limits(concurrency=1))
    async with transport.gate().slot():
        second = asyncio.create_task(_pass(transport))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not second.done()
    await second
    await transport.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        transport.gate()


async def _pass(transport: Transport) -> None:
    async with transport.gate().slot():
        return


def test_a_second_loop_gets_a_gate_of_its_own() -> None:
    """A gate of the first loop may hold a stale caller, or a pause on that loop's clock."""
    transport = Transport("http://127.0.0.1:9")

    async def gate() -> Gate:
        assert transport.gate() is transport.gate()
        return transport.gate()

    assert asyncio.run(gate()) is not asyncio.run(gate())


async def test_cancellation_passes_and_holds_no_header() -> None:
    """The traceback of the `CancelledError` has no frame of aiohttp that holds the token."""
    async with raw_server(_silence) as server:
        transport = Transport(server.base_url)
        task = asyncio.create_task(transport.send(GET, Secret("Bearer s3cr3t-token")))
        while not server.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        await transport.aclose()
    frames = []
    trace = caught.value.__traceback__
    while trace is not None:
        frames.append(repr(trace.tb_frame.f_locals))
        trace = trace.tb_next
    assert not any("s3cr3t-token" in shown for shown in frames if "server" not in shown)


async def test_a_failure_holds_nothing_of_aiohttp() -> None:
    """The error has no cause and no context, which would keep the headers, and it can be pickled."""
    async with raw_server(_drop_after_reading) as server:
        transport = Transport(server.base_url)
        problem = await _fail(transport.send(POST))
        await transport.aclose()
    assert problem.__cause__ is None
    assert problem.__context__ is None
    again = pickle.loads(pickle.dumps(problem))
    assert (str(again), again.sent) == (str(problem), True)


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("https://api.example", "https://api.example"),
        ("https://api.example/", "https://api.example"),
        ("https://api.example:8443/prefix/", "https://api.example:8443/prefix"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://localhost:1", "http://localhost:1"),
    ],
)
def test_a_base_url_is_taken(given_: str, kept: str) -> None:
    """The check accepts https, and http for this machine; it keeps a prefix and drops a trailing slash."""
    assert checked_base_url(given_) == kept


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("http://api.example", "must be https"),
        ("http://localhost.example", "must be https"),
        ("http://128.0.0.1", "must be https"),
        ("ftp://api.example", "such as 'https://host.example'"),
        ("api.example", "such as 'https://host.example'"),
        ("", "such as 'https://host.example'"),
        ("https://", "such as 'https://host.example'"),
        ("https://api.example:99999", "such as 'https://host.example'"),
        ("https://api.example:0", "such as 'https://host.example'"),
        ("https://api .example", "such as 'https://host.example'"),
        ("https://api\r\n.example", r"^base_url holds a line break \(U\+000D\): remove it$"),
        ("https://api.example\n", r"^base_url holds a line break \(U\+000A\) at its end: remove it$"),
        ("\t https://api.example", r"^base_url holds a tab \(U\+0009\) at its start: remove it$"),
        ("https://api.exa\x7fmple", r"^base_url holds a control character \(U\+007F\): remove it$"),
        ("https://api.example?x=1", "no query"),
        ("https://api.example#x", "no fragment"),
    ],
)
def test_a_base_url_is_refused(wrong: str, said: str) -> None:
    """The message says what to write in place of a wrong URL."""
    with pytest.raises(ConfigurationError, match=said):
        checked_base_url(wrong)


def test_a_base_url_with_credentials_is_refused_without_repeating_them() -> None:
    """The message names the mistake and does not repeat the password of the URL."""
    with pytest.raises(ConfigurationError, match="must not hold a user") as caught:
        checked_base_url("https://user:hunter2@api.example")
    assert "hunter2" not in str(caught.value)


@given(st.one_of(st.none(), st.integers(), st.binary(), st.text()))
def test_whatever_is_given_as_base_url_the_error_is_ours(value: Any) -> None:
    """The caller sees no exception of yarl or Python."""
    try:
        assert checked_base_url(value).startswith("http")
    except ConfigurationError:
        return


def test_plain_http_can_be_allowed() -> None:
    """`allow_insecure=True` accepts an `http://` URL of a test network."""
    assert checked_base_url("http://10.0.0.1", allow_insecure=True) == "http://10.0.0.1"


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "5", None, True])
def test_timeouts_are_positive(wrong: Any) -> None:
    """The message names the field that is zero, negative, not finite or no number."""
    with pytest.raises(ConfigurationError, match=r"^Timeouts\.total must be a number of seconds above 0, not "):
        Timeouts(total=wrong)


def test_the_size_limit_is_positive() -> None:
    """The constructor refuses a limit of zero, which would refuse every reply."""
    with pytest.raises(
        ConfigurationError, match=r"^max_response_bytes must be a whole number of bytes, 1 or more, not 0$"
    ):
        Transport("https://api.example", max_response_bytes=0)


@pytest.mark.parametrize(("begun", "told"), [(True, Cause.TIMED_OUT), (False, Cause.CONNECT_TIMED_OUT)])
def test_bytes_that_nobody_acknowledges_are_no_failed_connection(begun: bool, told: Cause) -> None:
    """TCP_USER_TIMEOUT ends a connection with the same number of the system as a connection that never came about."""
    lost = aiohttp.ClientOSError(errno.ETIMEDOUT, "Connection timed out")
    failure = failure_of(lost, "host", proxy=None, timeout=aiohttp.ClientTimeout(total=1), begun=begun, status=0)
    assert str(failure).startswith(f"the exchange with host broke off: {told}; ")
    assert failure.sent is begun
