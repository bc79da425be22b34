"""No connection, TLS, proxies and sessions."""

from __future__ import annotations

import resource
import socket
import ssl
import struct
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from enkash_async.stores import open_store

from servers import HOST, TlsRelay, free_ports
from servers._proxy import forward_proxy
from support import RawServer, Reader, Writer, reply
from troubles import SECRET, Authority, Stage, Told, answering, blocking_server, failure, of_enkash, of_store, row


def stores_at(host: str) -> list[str]:
    return [f"redis://:{SECRET}@{host}/0", f"postgresql://user:{SECRET}@{host}/db"]


@row("connection refused")
async def refused(stage: Stage) -> Sequence[Told]:
    (port,) = free_ports(1)
    at = f"{HOST}:{port}"
    by_proxy = await of_enkash("https://enkash.invalid", proxy=f"http://user:{SECRET}@{at}")
    return [*await of_enkash(f"http://{at}"), *by_proxy, *[await of_store(url) for url in stores_at(at)]]


@row("the host name is not found (DNS)")
async def no_host(stage: Stage) -> Sequence[Told]:
    by_proxy = await of_enkash("https://enkash.invalid", proxy=f"http://user:{SECRET}@proxy.invalid:3128")
    return [
        *await of_enkash("https://enkash.invalid"),
        *by_proxy,
        *[await of_store(url) for url in stores_at("store.invalid")],
    ]


@row("the network or the host is unreachable")
async def unreachable(stage: Stage) -> Sequence[Told]:
    # A broadcast address: the system refuses a connection there before it sends anything.
    at = "255.255.255.255"
    return [*await of_enkash(f"https://{at}"), *[await of_store(url) for url in stores_at(at)]]


@row("timed out while connecting")
async def connect_timed_out(stage: Stage) -> Sequence[Told]:
    with full_backlog() as at:
        found = await of_enkash(f"http://{at}", connect=0.2)
        return [*found, await of_store(stores_at(at)[0])]


@contextmanager
def full_backlog() -> Iterator[str]:
    """A port whose queue of connections is full, so that the system drops further ones."""
    with socket.create_server((HOST, 0), backlog=0) as listener:
        at = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(at)
        try:
            yield f"{HOST}:{at[1]}"
        finally:
            for one in waiting:
                one.close()


@row("there is no socket file at this path")
async def no_socket(stage: Stage) -> Sequence[Told]:
    return [
        await of_store(f"unix://:{SECRET}@{stage.folder}/nothing?db=0"),
        await of_store(f"postgresql://user:{SECRET}@/db?host={stage.folder}"),
    ]


@row("this process has too many open files")
async def too_many_files(stage: Stage) -> Sequence[Told]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    store = open_store(f"redis://:{SECRET}@{HOST}:1/0")
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        found: list[Told] = [*await of_enkash(f"http://{HOST}:1"), await failure(store.read(["enkash:a:v2:k"]))]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await store.aclose()
    return found


async def reset(server: RawServer, reader: Reader, writer: Writer) -> None:
    await reader.read(1)
    line = writer.transport.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@row("…: connection reset by the other side")
async def was_reset(stage: Stage) -> Sequence[Told]:
    url = await stage.serve(reset)
    return [*await of_enkash(url), await of_store(stores_at(url.removeprefix("http://"))[0])]


@row("connection closed before a reply")
async def was_closed(stage: Stage) -> Sequence[Told]:
    async def hang_up(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.read(4096)

    url = await stage.serve(hang_up)
    async with over_tls(stage, Authority.make(stage.folder).serving("localhost")) as port:
        plain_redis = await of_store(f"redis://:{SECRET}@{HOST}:{port}/0")
    return [
        *await of_enkash(url),
        *[await of_store(one) for one in stores_at(url.removeprefix("http://"))],
        plain_redis,
    ]


# --- TLS --------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def over_tls(stage: Stage, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The Redis behind TLS; yield the port."""
    relay = TlsRelay(stage.servers.redis.port, context, stage.folder / "ca.pem")
    await relay.listen()
    try:
        yield relay.port
    finally:
        await relay.close()


async def over_both(stage: Stage, context: ssl.SSLContext, trusted: Authority | None) -> list[Told]:
    """Return what EnKash, and a Redis, behind this context end with."""
    async with over_tls(stage, context) as port:
        trust = trusted.trusting() if trusted is not None else ssl.create_default_context()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            found = await of_enkash(f"https://localhost:{port}", session=session)
        ca = "" if trusted is None else f"?ssl_ca_certs={trusted.file}"
        return [*found, await of_store(f"rediss://:{SECRET}@localhost:{port}/0{ca}")]


async def of_postgres(context: ssl.SSLContext, root: Path | str) -> Exception:
    """Return what a PostgreSQL behind this context ends with, for a client that trusts the CA in a file."""
    with blocking_server(context, is_postgres=True) as port:
        where = f"postgresql://owner:{SECRET}@localhost:{port}/postgres"
        return await of_store(f"{where}?sslmode=verify-full&sslrootcert={root}")


@row("the file with the client certificate or its key cannot be used")
async def client_files(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    mine, other = (authority.ca.issue_cert(f"{name}@enkash.example") for name in ("mine", "other"))
    certificate, key, not_mine, junk = (
        stage.folder / name for name in ("cert.pem", "key.pem", "other.pem", "junk.pem")
    )
    mine.cert_chain_pems[0].write_to_path(str(certificate))
    mine.private_key_pem.write_to_path(str(key))
    other.private_key_pem.write_to_path(str(not_mine))
    junk.write_text("made up")
    for file, mode in ((key, 0o644), (not_mine, 0o600), (junk, 0o600)):
        file.chmod(mode)
    pairs = ((certificate, stage.folder / "none"), (certificate, key), (certificate, not_mine), (junk, not_mine))
    with blocking_server(authority.serving("localhost"), is_postgres=True) as port:
        where = f"postgresql://owner:{SECRET}@localhost:{port}/postgres?sslmode=require"
        return [await of_store(f"{where}&sslcert={one}&sslkey={its}") for one, its in pairs]


@row("certificate not trusted: the CA that issued it is not known here")
async def untrusted(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    return await over_both(stage, authority.serving("localhost"), None)


@row("certificate expired")
async def expired(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    return await over_both(stage, authority.serving("localhost", years=(2019, 2020)), authority)


@row("certificate not valid yet, or the clock of this machine is slow")
async def too_new(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    return await over_both(stage, authority.serving("localhost", years=(2097, 2098)), authority)


@row("certificate for another host name")
async def other_name(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    context = authority.serving("other.example")
    return [*await over_both(stage, context, authority), await of_postgres(context, authority.file)]


@row("certificate refused: not trusted, expired or revoked")
async def revoked(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    trust = authority.trusting()
    trust.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF  # and there is no list of revoked certificates
    async with over_tls(stage, authority.serving("localhost")) as port:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            found = await of_enkash(f"https://localhost:{port}", session=session)
    old = authority.serving("localhost", years=(2019, 2020))
    return [*found, await of_postgres(old, authority.file), await of_postgres(old, "system")]


@row("a client certificate is wanted")
async def client_certificate(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    context = authority.serving("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    with blocking_server(context) as port:
        in_redis = await of_store(f"rediss://:{SECRET}@localhost:{port}/0?ssl_ca_certs={authority.file}")
    return [in_redis, await of_postgres(context, authority.file)]


@row("the file with the certificate of the CA cannot be read")
async def no_ca(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    (empty := stage.folder / "empty.pem").write_text("no certificate\n")
    async with over_tls(stage, authority.serving("localhost")) as port:
        found: list[Told] = [
            await of_store(f"rediss://:{SECRET}@localhost:{port}/0?ssl_ca_certs={file}")
            for file in (empty, stage.folder / "missing.pem")
        ]
    return [*found, await of_postgres(authority.serving("localhost"), stage.folder / "missing.pem")]


@row("TLS is not spoken there")
async def no_tls(stage: Stage) -> Sequence[Told]:
    async def complain(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(reply(b"", "400 Bad Request"))

    url = (await stage.serve(complain)).replace("http:", "https:")
    in_redis = await of_store(f"rediss://:{SECRET}@{url.removeprefix('https://')}/0")
    port = stage.servers.postgres.port
    in_postgres = await of_store(f"postgresql://owner:{SECRET}@{HOST}:{port}/postgres?sslmode=require")
    return [*await of_enkash(url), in_redis, in_postgres]


@row("broke off: TLS is wanted there")
async def tls_wanted(stage: Stage) -> Sequence[Told]:
    return await of_enkash(await stage.serve(answering(b"\x15\x03\x03\x00\x02\x02\x46")))  # the alert of a TLS server


@row("TLS failed: no version or cipher in common, or the other side refuses this client")
async def tls_failed(stage: Stage) -> Sequence[Told]:
    authority = Authority.make(stage.folder)
    old = authority.serving("localhost")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    trust = authority.trusting()
    trust.minimum_version = ssl.TLSVersion.TLSv1_3
    with blocking_server(old) as port:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            return await of_enkash(f"https://localhost:{port}", session=session)


# --- proxies and sessions ---------------------------------------------------------------------------------------------


@row("refused to connect to … (HTTP 407): authentication failed; it wants a user and a password")
async def proxy_wants_login(stage: Stage) -> Sequence[Told]:
    async with forward_proxy(1, login="user:right") as proxy:
        return await of_enkash("https://enkash.invalid", proxy=proxy.url.replace("//", f"//user:{SECRET}@"))


@row("refused to connect to … (HTTP 403); nothing was sent")
async def proxy_forbids(stage: Stage) -> Sequence[Told]:
    proxy = await stage.serve(answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
    return await of_enkash("https://enkash.invalid", proxy=proxy.replace("//", f"//user:{SECRET}@"))


@row("a proxy wants a user and a password: authentication failed")
async def plain_proxy_wants_login(stage: Stage) -> Sequence[Told]:
    async with forward_proxy(1, login="user:right") as proxy:
        how = {"proxy": proxy.url.replace("//", f"//user:{SECRET}@"), "allow_insecure": True}
        client = await stage.client("http://enkash.invalid", **how)
        other = await stage.logging_in("http://enkash.invalid", **how)
        return [await failure(client.bills.get("U-1")), await failure(other.bills.get("U-1"))]


@row("must be the URL of an HTTP proxy such as … SOCKS is not supported")
async def socks(stage: Stage) -> Sequence[Told]:
    url = f"socks5://user:{SECRET}@proxy.example:1080"
    stage.monkeypatch.setenv("HTTPS_PROXY", url)
    return [
        await failure(stage.client("https://enkash.example")),
        await failure(stage.client("https://enkash.example", proxy=url)),
    ]


@row("session has trust_env=True, and … has a login for")
async def netrc(stage: Stage) -> Sequence[Told]:
    (file := stage.folder / "netrc").write_text(f"default login user password {SECRET}\n")
    stage.monkeypatch.setenv("NETRC", str(file))
    async with aiohttp.ClientSession(trust_env=True) as session:
        return [await failure(stage.client(session=session))]


@row("session must have no auth of its own")
async def own_auth(stage: Stage) -> Sequence[Told]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer versions of aiohttp advise against it as well
        session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", SECRET))
    async with session:
        return [await failure(stage.client(session=session))]


async def seal(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    await request.update_body(SECRET.encode())
    return await handler(request)


@row("a middleware of the session replaced the body of the request")
async def sealed(stage: Stage) -> Sequence[Told]:
    async with aiohttp.ClientSession(middlewares=(seal,)) as session:
        client = await stage.client(session=session)
        confirmed = client.payments.confirm_debit(["U-1"], check_first=False)
        return [await failure(confirmed), await failure(client.request("PUT", "x", json={}))]


@row("proxy is for the session that the SDK opens")
async def both(stage: Stage) -> Sequence[Told]:
    async with aiohttp.ClientSession() as session:
        return [await failure(stage.client(session=session, proxy=f"http://user:{SECRET}@proxy.example:3128"))]
