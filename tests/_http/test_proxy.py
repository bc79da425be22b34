"""Proxies: which one leads to EnKash, what goes through it, and what is said when it does not work."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from enkash_async import ConfigurationError, EnkashClient, PasswordGrant, TransportError
from enkash_async._http.proxy import proxy_for
from enkash_async._http.transport import Transport
from enkash_async._support.urls import checked_base_url
from enkash_async._wire.operation import Request
from enkash_async.errors import TokenEndpointError
from enkash_async.sandbox import Sandbox

from servers._proxy import forward_proxy
from servers._relays import tls_relay
from support import RawServer, Reader, Timely, Writer, raw_server, reply, shown

GET = Request(method="GET", path="/x")
PUT = Request(method="PUT", path="/x", body=b'{"a":1}', content_type="application/json")
VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
HTTPS = URL("https://api.example")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the machine of the test names."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def port_of(url: str) -> int:
    return URL(url).port or 0


# --- which proxy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "target", "proxy"),
    [
        ({}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p.example:3128"}, "https://api.example", "http://p.example:3128"),
        ({"HTTPS_PROXY": "p.example:3128"}, "https://api.example", "http://p.example:3128"),
        ({"HTTPS_PROXY": " "}, "https://api.example", None),
        ({"https_proxy": "http://low.example", "HTTPS_PROXY": "http://up.example"}, "https://a.example", "http://low.example"),
        ({"HTTP_PROXY": "http://p.example"}, "https://api.example", None),
        ({"HTTP_PROXY": "http://p.example"}, "http://api.example", "http://p.example"),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "api.example"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "x, .EXAMPLE"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "*"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "api.example:443"}, "https://api.example", None),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "api.example:444"}, "https://api.example", "http://p.example"),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "pi.example,,"}, "https://api.example", "http://p.example"),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "10.0.0.0/8,a/b"}, "https://api.example", "http://p.example"),
        ({"HTTP_PROXY": "http://p.example"}, "http://127.0.0.1:8080", None),
        ({"HTTP_PROXY": "http://localhost:3128"}, "http://127.0.0.1:8080", "http://localhost:3128"),
    ],
)  # fmt: skip
def test_the_environment_names_the_proxy(
    environ: dict[str, str], target: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable of the scheme counts, unless NO_PROXY names the host; a host of this machine needs no other one."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(URL(target), None) == (None if proxy is None else URL(proxy))


@pytest.mark.parametrize("wrong", ["socks5://p.example:1080", "", "http://", "http://a b", "http://p:99999", 7])
def test_what_is_no_http_proxy_is_refused(wrong: str) -> None:
    """The message names the option and shows what to write."""
    with pytest.raises(ConfigurationError, match=r"^proxy must be the URL of an HTTP proxy such as 'http://"):
        proxy_for(HTTPS, wrong)


def test_a_wrong_variable_is_named_before_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is not made, and the message shows no password of the proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@p.example:31\n28")
    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY holds a line break \(U\+000A\): remove it$") as caught:
        Transport("https://api.example")
    assert "hunter2" not in str(caught.value)


def test_an_invisible_character_in_a_proxy_is_named() -> None:
    """The message has its place, and no password of the proxy."""
    with pytest.raises(ConfigurationError) as caught:
        proxy_for(HTTPS, "http://user:hunter2@p\u200b.example:3128")
    assert str(caught.value) == (
        "proxy holds an invisible character: character 22 is U+200B, zero width space; remove it"
    )


def test_a_proxy_that_is_no_text_is_refused_by_the_client(sandbox: Sandbox) -> None:
    """A port alone is no host of that name."""
    with pytest.raises(ConfigurationError, match=r"^proxy must be the URL of an HTTP proxy such as 'http://"):
        EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, proxy=3128)  # type: ignore[arg-type]


def test_the_password_of_a_proxy_is_in_no_error(sandbox: Sandbox) -> None:
    """An error about another option shows it nowhere, also not in the locals of a rendered traceback."""
    with pytest.raises(ConfigurationError) as caught:
        EnkashClient.from_credentials(
            sandbox.base_url, sandbox.credentials, proxy="http://user:hunter2@p.example", max_response_bytes=0
        )
    assert "hunter2" not in shown(caught.value)


# --- what goes through it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["option", "environment"])
async def test_login_and_calls_go_through_the_proxy(
    sandbox: Sandbox, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that only the proxy can find is reached, with the proxy's user and password."""
    async with forward_proxy(port_of(sandbox.base_url), login="user:p w") as proxy:
        url = proxy.url.replace("//", "//user:p%20w@")
        if how == "environment":
            monkeypatch.setenv("HTTP_PROXY", url)
        async with EnkashClient.from_credentials(
            "http://enkash.invalid",
            sandbox.credentials,
            allow_insecure=True,
            proxy=url if how == "option" else None,
        ) as client:
            assert await client.billers.list_categories()
    assert [line.split(" ")[:2] for line in proxy.asked[:1]] == [["POST", "http://enkash.invalid/oauth/token"]]
    assert all(" http://enkash.invalid/" in line for line in proxy.asked)


async def test_the_proxy_login_is_not_sent_to_enkash() -> None:
    """The server gets the token alone, once the proxy has taken its own header away or passed it on as its own."""
    async with raw_server(_answer) as server, forward_proxy(port_of(server.base_url), login="user:hunter2") as proxy:
        transport = Transport(server.base_url, proxy=proxy.url.replace("//", "//user:hunter2@"))
        await transport.send(GET)
        await transport.aclose()
    assert b"\r\nauthorization" not in server.requests[0].lower()


async def _answer(server: RawServer, reader: Reader, writer: Writer) -> None:
    while True:
        await server.read_request(reader)
        writer.write(reply(b"{}", "200 OK", "Connection: keep-alive"))


async def test_a_confirmation_has_a_connection_of_its_own_through_a_proxy() -> None:
    """Reads share a connection to the proxy and beyond it; each confirmation opens one."""
    lines: list[list[str]] = []

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        lines.append([])
        line = lines[-1]
        while True:
            line.append((await server.read_request(reader)).split(b" ")[0].decode())
            writer.write(reply(b"{}", "200 OK", "Connection: keep-alive"))

    async with raw_server(answer) as server, forward_proxy(port_of(server.base_url)) as proxy:
        transport = Transport(checked_base_url(server.base_url), proxy=proxy.url)
        for request, departure in ((GET, None), (PUT, Timely()), (GET, None), (PUT, Timely()), (PUT, None)):
            await transport.send(request, None, departure)
        await transport.aclose()
    assert sorted(lines) == [["GET", "GET", "PUT"], ["PUT"], ["PUT"]]
    assert proxy.connections == 3


PAY = """
import asyncio
from enkash_async import BillRequest, EnkashClient

async def main():
    async with EnkashClient.from_env() as client:
        request = BillRequest(2001, {"cn": "CN123456789"}, reference_id="inv-1", max_amount=900_000)
        print((await client.payments.pay(request, wait=10)).state)

asyncio.run(main())
"""


async def test_a_bill_is_paid_through_a_tunnel_with_a_ca_of_the_company(sandbox: Sandbox, tmp_path: Path) -> None:
    """HTTPS_PROXY and SSL_CERT_FILE are all that it takes; the confirmation has a tunnel of its own."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login x password y\n")
    async with (
        tls_relay(port_of(sandbox.base_url), tmp_path) as relay,
        forward_proxy(relay.port, login="user:password") as proxy,
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", PAY),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                **sandbox.environ(),
                "ENKASH_BASE_URL": f"https://localhost:{relay.port}",
                "ENKASH_STORE_URL": "memory:",
                "ENKASH_NOTHING_PENDING": "1",
                "HTTPS_PROXY": proxy.url.replace("//", "//user:password@"),
                "SSL_CERT_FILE": str(relay.ca_file),
                "NETRC": str(netrc),
            },
        )
        out, _ = await process.communicate()
    assert out.decode() == "PAID\n"
    assert set(proxy.asked) == {f"CONNECT localhost:{relay.port} HTTP/1.1"}
    assert len(proxy.asked) >= 3  # the login, the calls, and the confirmation
    assert len(sandbox.ledger.debits) == 1


# --- what is said -----------------------------------------------------------------------------------------------------


async def _failure(base_url: str, proxy: str) -> TransportError:
    transport = Transport(base_url, proxy=proxy)
    with pytest.raises(TransportError) as caught:
        await transport.send(PUT)
    await transport.aclose()
    assert not caught.value.sent
    assert "hunter2" not in shown(caught.value)
    return caught.value


async def test_a_proxy_that_wants_a_password_is_named() -> None:
    """The message has the proxy's status and how to write the login; nothing was sent."""
    async with forward_proxy(1, login="user:right") as proxy:
        said = str(await _failure("https://api.invalid", proxy.url.replace("//", "//user:hunter2@")))
    name = proxy.url.removeprefix("http://")
    assert said == (
        f"the proxy {name} refused to connect to api.invalid (HTTP 407): authentication failed; it wants a user and a "
        "password, as in http://user:password@proxy.example:3128; nothing was sent"
    )


async def test_a_proxy_that_cannot_be_reached_is_named(unused_tcp_port: int) -> None:
    """The message names the proxy and not EnKash's host, which was never asked."""
    said = str(await _failure("https://api.invalid", f"http://user:hunter2@127.0.0.1:{unused_tcp_port}"))
    assert said.startswith(f"no connection to the proxy 127.0.0.1:{unused_tcp_port}: ")
    assert said.endswith("; nothing was sent")


async def test_a_proxy_whose_name_is_not_found_is_named() -> None:
    """A misspelt proxy does not send the reader to EnKash's own name, which was never looked up."""
    said = str(await _failure("https://api.invalid", "http://user:hunter2@proxy.invalid:3128"))
    assert said == "no connection to the proxy proxy.invalid:3128: the host name is not found (DNS); nothing was sent"


async def test_a_login_says_what_the_proxy_did(sandbox: Sandbox, unused_tcp_port: int) -> None:
    """The login has not been counted, and its error names the proxy."""
    grant = PasswordGrant("https://api.invalid", sandbox.credentials, proxy=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(TokenEndpointError, match="no connection to the proxy") as caught:
        await grant.fetch_token()
    assert caught.value.counted is False


# --- sessions of the user's own ---------------------------------------------------------------------------------------


async def test_a_session_of_the_users_own_takes_its_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables change nothing for it, and the option is refused."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with raw_server(_answer) as server, aiohttp.ClientSession() as session:
        assert (await Transport(server.base_url, session=session).send(GET)).status == 200
        with pytest.raises(ConfigurationError, match=r"^proxy is for the session that the SDK opens"):
            Transport(server.base_url, session=session, proxy="http://127.0.0.1:1")


async def test_a_session_that_would_use_netrc_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session with trust_env and an entry for the host is refused; one of either alone is not."""
    monkeypatch.setenv("NETRC", str(tmp_path / "logins"))
    (tmp_path / "logins").write_text("machine api.example login user password hunter2\n")
    async with aiohttp.ClientSession(trust_env=True) as session, aiohttp.ClientSession() as plain:
        with pytest.raises(ConfigurationError, match=r"'logins' has a login for api.example") as caught:
            Transport("https://api.example", session=session)
        assert "hunter2" not in shown(caught.value)
        Transport("https://api.example", session=plain)
        Transport("https://other.example", session=session)
        for content in ("machine", ""):  # one that cannot be parsed, which aiohttp leaves aside
            (tmp_path / "logins").write_text(content)
            Transport("https://api.example", session=session)
        (tmp_path / "logins").unlink()
        Transport("https://api.example", session=session)
        monkeypatch.delenv("NETRC")
        (Path.home() / ".netrc").write_text("default login user password hunter2\n")
        with pytest.raises(ConfigurationError, match=r"'.netrc' has a login for api.example \(or a default one\)"):
            Transport("https://api.example", session=session)


async def test_netrc_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that the SDK opens sends no login of a netrc file."""
    monkeypatch.setenv("NETRC", str(tmp_path / "logins"))
    (tmp_path / "logins").write_text("default login user password hunter2\n")
    async with raw_server(_answer) as server:
        transport = Transport(server.base_url)
        await transport.send(GET)
        await transport.aclose()
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize("departure", [None, Timely()], ids=["change", "confirmation"])
async def test_a_proxy_that_is_gone_after_the_request_does_not_unsend_it(departure: Timely | None) -> None:
    """aiohttp connects a second time for a PUT over an application's session; the first connection took the body."""

    async def take_and_leave(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        listener.close()
        writer.close()

    taken = RawServer()
    listener = await asyncio.start_server(lambda reader, writer: take_and_leave(taken, reader, writer), "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession(proxy=proxy) as session:
        transport = Transport(checked_base_url("http://127.0.0.1:9"), session=session)
        with pytest.raises(TransportError, match="the request may have arrived") as caught:
            await transport.send(PUT, None, departure, alone=True)
    assert caught.value.sent
    assert len(taken.requests) == 1
