"""Replies that cannot be used, and replies in which EnKash says no."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence

import aiohttp
from resources.lists import Books, change, serve

from enkash_async import BillFilter
from enkash_async._http.transport import Transport
from enkash_async.errors import EnkashError, TransportError
from enkash_async.sandbox import FaultKind

from support import RawServer, Reader, Timely, Writer, reply
from troubles import CHANGE, SECRET, WHO, Stage, Told, answering, failure, of_enkash, of_store, row, said

GOOD = b'{"response_code":0,"response_message":"Success","payload":{"utilityEnkashId":"U-1"}}'


async def silence(server: RawServer, reader: Reader, writer: Writer) -> None:
    await reader.read(4096)
    await asyncio.sleep(600)


async def broken(stage: Stage, data: bytes) -> list[Told]:
    """Return what a read, a change and a login end with that are answered with these bytes."""
    return await of_enkash(await stage.serve(answering(data)))


async def unreadable(stage: Stage, *replies: bytes) -> list[Told]:
    """Return what reads end with that are answered with these bytes."""
    clients = [await stage.client(await stage.serve(answering(data))) for data in replies]
    return [await failure(client.bills.get("U-1")) for client in clients]


async def not_logged_in(stage: Stage, *replies: bytes) -> list[Told]:
    """Return what logins end with that are answered with these bytes."""
    clients = [await stage.logging_in(await stage.serve(answering(data)), who=WHO) for data in replies]
    return [await failure(client.bills.get("U-1")) for client in clients]


# --- not usable -------------------------------------------------------------------------------------------------------


@row("timed out while waiting for the reply")
async def timed_out(stage: Stage) -> Sequence[Told]:
    url = await stage.serve(silence)
    at = url.removeprefix("http://")
    return [*await of_enkash(url, total=0.3), await of_store(f"redis://:{SECRET}@{at}/0")]


@row("the reply was cut off")
async def cut_off(stage: Stage) -> Sequence[Told]:
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"
    return [*await broken(stage, reply(b"{", length=9)), *await broken(stage, chunk)]


@row("header too long, or too many headers, in the reply")
async def long_header(stage: Stage) -> Sequence[Told]:
    long, many = f"Set-Cookie: {'x' * 9000}", [f"X-{number}: 1" for number in range(500)]
    return [*await broken(stage, reply(b"{}", "200 OK", long)), *await broken(stage, reply(b"{}", "200 OK", *many))]


@row("the reply is not HTTP (bad status line)")
async def not_http(stage: Stage) -> Sequence[Told]:
    return [*await broken(stage, b"220 mail.example ESMTP\r\n"), *await broken(stage, b"HTTP/1.1 OK\r\n\r\n")]


@row("malformed HTTP in the reply")
async def malformed(stage: Stage) -> Sequence[Told]:
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"
    return [*await broken(stage, reply(b"{}", "200 OK", "Content-Length: 3")), *await broken(stage, chunk)]


@row("bad content encoding: the reply cannot be unpacked")
async def bad_encoding(stage: Stage) -> Sequence[Told]:
    return await broken(stage, reply(b"no gzip", "200 OK", "Content-Encoding: gzip"))


@row("the body is not JSON: bad content encoding (…), perhaps cut off")
async def cut_gzip(stage: Stage) -> Sequence[Told]:
    short = reply(gzip.compress(GOOD)[:20], "200 OK", "Content-Encoding: gzip")
    odd = reply(b"x", "200 OK", f"Content-Encoding: {SECRET}")
    return await unreadable(stage, short, odd)


@row("the body is not JSON")
async def not_json(stage: Stage) -> Sequence[Told]:
    return await unreadable(stage, reply(b"<html>Sign in</html>", "200 OK", "Content-Type: text/html"))


@row("the body is not UTF-8, and declares no other charset")
async def not_utf8(stage: Stage) -> Sequence[Told]:
    return await unreadable(stage, reply(b'{"response_code":0,"x":"\xff"}'))


@row("the body is not text of the charset that it declares")
async def bad_charset(stage: Stage) -> Sequence[Told]:
    kind = "Content-Type: application/json; charset="
    return await unreadable(
        stage, reply(b'{"x":"\xff"}', "200 OK", f"{kind}ascii"), reply(GOOD, "200 OK", f"{kind}x-own")
    )


@row("redirected to https://…; redirects are not followed")
async def redirected(stage: Stage) -> Sequence[Told]:
    to = f"Location: https://user:{SECRET}@other.example:8443/sso?token={SECRET}"
    answers = (reply(b"", "302 Found", to), reply(b"", "308 Moved", to))
    found = [*await unreadable(stage, *answers), *await not_logged_in(stage, *answers)]
    assert all("redirected to https://other.example:8443;" in str(one) for one in found)
    return found


@row("redirected to another path of the same host")
async def redirected_here(stage: Stage) -> Sequence[Told]:
    answer = reply(b"", "301 Moved", f"Location: /v2?token={SECRET}")
    return [*await unreadable(stage, answer), *await not_logged_in(stage, answer)]


@row("the reply is larger than max_response_bytes=")
async def too_large(stage: Stage) -> Sequence[Told]:
    client = await stage.client(await stage.serve(answering(reply(GOOD))), max_response_bytes=10)
    return [await failure(client.bills.get("U-1"))]


@row("the envelope has no response_code")
async def no_code(stage: Stage) -> Sequence[Told]:
    return await unreadable(stage, reply(b'{"payload":{"utilityEnkashId":"U-1"}}'))


@row("the reply cannot be read: payload.… is not")
async def strict_member(stage: Stage) -> Sequence[Told]:
    return await unreadable(stage, said("200 OK", 0, '{"utilityEnkashId":"U-1","amount":"twelve"}', "Success"))


@row("the reply answers another call")
async def astray(stage: Stage) -> Sequence[Told]:
    return await unreadable(stage, said("200 OK", 0, '{"utilityEnkashId":"U-2"}', "Success"))


@row("sent more than one reply: none is believed")
async def two_replies(stage: Stage) -> Sequence[Told]:
    transport = Transport(await stage.serve(answering(reply(GOOD) + reply(GOOD))))
    found = [await failure(transport.send(CHANGE, None, departure)) for departure in (None, Timely())]
    await transport.aclose()
    return found


@row("bytes of another reply were on the connection")
async def stray(stage: Stage) -> Sequence[Told]:
    is_taken = asyncio.Event()

    async def answer_twice(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(GOOD, "200 OK", "Connection: keep-alive"))
        await is_taken.wait()
        writer.write(reply(GOOD))
        await reader.read()

    async def take(*_: object) -> None:
        """Let the second reply arrive after the kept connection was taken, and before anything is sent on it."""
        is_taken.set()
        await asyncio.sleep(0.1)

    watch = aiohttp.TraceConfig()
    watch.on_connection_reuseconn.append(take)
    async with aiohttp.ClientSession(trace_configs=[watch]) as session:
        transport = Transport(await stage.serve(answer_twice), session=session)
        await transport.send(CHANGE)
        found = await failure(transport.send(CHANGE))
        assert isinstance(found, TransportError)
        assert not found.sent
        return [found]


@row("a reply came before the request was sent")
async def early(stage: Stage) -> Sequence[Told]:
    async def refuse(server: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"", "413 Too Large"))
        await reader.read()

    async with aiohttp.ClientSession(headers={"Expect": "100-continue"}) as session:
        transport = Transport(await stage.serve(refuse), session=session)
        return [await failure(transport.send(CHANGE, None, departure, alone=True)) for departure in (None, Timely())]


@row("the request was held up for too long, and is not begun")
async def held_up(stage: Stage) -> Sequence[Told]:
    transport = Transport(await stage.serve(answering(reply(GOOD))))
    found = await failure(transport.send(CHANGE, None, Timely(timely=False)))
    await transport.aclose()
    return [found]


@row("the list may lack rows, and it cannot be known")
async def moving_list(stage: Stage) -> Sequence[Told]:
    async def read() -> object:
        async with Books(list(range(60)), serve.well, change.shuffled(every=1)).client() as client:
            return [bill async for bill in client.bills.search(BillFilter(), page_size=20)]

    return [await failure(read())]


# --- EnKash says no ---------------------------------------------------------------------------------------------------


@row("(EnKash does not take the token: check that the account may use this API)")
async def unauthorized(stage: Stage) -> Sequence[Told]:
    stage.sandbox.faults.add("bill", FaultKind.UNAUTHORIZED, times=2)
    client = await stage.logging_in()
    return [await failure(client.bills.get("U-1"))]


@row("this machine's IP address is whitelisted")
async def forbidden(stage: Stage) -> Sequence[Told]:
    return await unreadable(stage, said("403 Forbidden", 1))


@row("EnKash answered HTTP 400, …, No utility payment found")
async def absent(stage: Stage) -> Sequence[Told]:
    client = await stage.logging_in()
    return [await failure(client.bills.get("U-1"))]


@row("EnKash answered HTTP 404")
async def not_found(stage: Stage) -> Sequence[Told]:
    return await unreadable(stage, reply(b"<html>", "404 Not Found", "Content-Type: text/html"))


async def created(stage: Stage, answer: bytes) -> EnkashError:
    client = await stage.client(await stage.serve(answering(answer)))
    found = await failure(client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="r-1"))
    assert isinstance(found, EnkashError)
    return found


@row("(the biller is not active)")
async def inactive(stage: Stage) -> Sequence[Told]:
    return [await created(stage, said("422 Unprocessable Entity", 1))]


@row("(the account's velocity limit is reached: wait, or have it raised)")
async def velocity(stage: Stage) -> Sequence[Told]:
    return [await created(stage, said("200 OK", code)) for code in (36, 37)]


@row("(too many requests: wait and try again)")
async def rate(stage: Stage) -> Sequence[Told]:
    return [
        await created(stage, said("429 Too Many Requests")),
        *await unreadable(stage, said("429 Too Many Requests")),
    ]


@row("EnKash answered HTTP 500")
async def server_error(stage: Stage) -> Sequence[Told]:
    return await unreadable(stage, said("500 Internal Server Error", 1))
