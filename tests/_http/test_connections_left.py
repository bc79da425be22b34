"""What is left of a client when its event loop, its process or its last user ends: nothing."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from typing import Any

import aiohttp
import pytest
from loops import ENDS, descriptors, falls_to, in_bare_loop, in_runner, served, tls_contexts
from stores.stores import in_child

from enkash_async import (
    ConfigurationError,
    EnkashClient,
    Limits,
    MemoryStore,
    StaticTokenProvider,
    TokenError,
)
from enkash_async.sandbox import FaultKind, Sandbox

from support import RawServer, Reader, Writer, raw_server, reply

# --- event loops that end ---------------------------------------------------------------------------------------------


SECRET = "s3cr3t-token"
ONE_LOOP = 6  # descriptors: three connections at a time, of which both ends are in this process
LOOP_AND_POOL = 3  # descriptors of an event loop


def _client(sandbox: Sandbox, **how: Any) -> EnkashClient:
    store = how.pop("store", None) or MemoryStore()
    return EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, store=store, **how)


async def _reads(client: EnkashClient) -> None:
    await asyncio.gather(*(client.billers.list_categories() for _ in range(3)))


def _aiohttp_said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged about things left open."""
    gc.collect()
    return [record.getMessage() for record in caplog.records if "nclosed" in record.getMessage()]


@pytest.mark.parametrize("end", ENDS)
def test_a_client_of_many_loops_closes_what_each_leaves(end: str, caplog: pytest.LogCaptureFixture) -> None:
    """After twenty loops at most the last one has descriptors, nothing complains, and one login serves them all."""
    with served(Sandbox()) as sandbox:
        before, client = descriptors(), _client(sandbox)
        for _ in range(20):
            ENDS[end](_reads(client))
        assert falls_to(before + ONE_LOOP)
        assert sandbox.counts["token"] == 1
        in_runner(client.aclose())
        assert falls_to(before)
    assert _aiohttp_said(caplog) == []


# Where an application closes a loop under its tasks, Python complains of the tasks, and aiohttp of their connections.
_DESTROYED = pytest.mark.filterwarnings(
    "ignore:Unclosed connection:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.parametrize("end", ["asyncio.run", pytest.param("loop.close", marks=_DESTROYED)])
def test_a_loop_that_ends_during_calls_leaves_nothing(end: str, caplog: pytest.LogCaptureFixture) -> None:
    """The next loop has a whole client: free places, connections of its own, and no call to wait for at its end."""

    async def silence(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        if len(server.requests) % 3:
            await reader.read()  # until the client hangs up
            return
        writer.write(reply(b'{"response_code":0,"payload":[]}'))

    async def two_hang(client: EnkashClient) -> None:
        hanging = [asyncio.create_task(client.billers.list_categories()) for _ in range(2)]
        while len(server.requests) % 3 < 2:
            await asyncio.sleep(0.001)
        assert await client.billers.list_categories() == []
        assert not any(one.done() for one in hanging)

    with served(raw_server(silence)) as server:
        before = descriptors()
        client = EnkashClient(server.base_url, tokens=StaticTokenProvider("at"), limits=Limits(concurrency=3))
        for _ in range(5):
            ENDS[end](two_hang(client))
        began = time.monotonic()
        in_runner(client.aclose())
        assert time.monotonic() - began < 9  # it does not wait for the calls of a loop that has ended
        assert falls_to(before)
    assert _aiohttp_said(caplog) == []


def test_a_tls_connection_is_closed_with_its_loop(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the loop is closed without a word, so that the goodbye of TLS cannot be said."""
    theirs, ours = tls_contexts()
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ours)
    with served(raw_server(_answer, theirs)) as server:
        before = descriptors()
        client = EnkashClient(server.base_url, tokens=StaticTokenProvider("at"))
        for _ in range(3):
            for end in ENDS.values():
                end(_reads(client))
        in_runner(client.aclose())
        assert falls_to(before)
    assert _aiohttp_said(caplog) == []


async def _answer(server: RawServer, reader: Reader, writer: Writer) -> None:
    while True:
        await server.read_request(reader)
        writer.write(reply(b'{"response_code":0,"payload":[]}'))


def test_a_call_that_is_interrupted_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """After Ctrl-C in mid-call the client goes on in the next loop."""

    async def interrupted(client: EnkashClient) -> None:
        sandbox.faults.add("biller_categories", FaultKind.SLOW, delay=20)
        goal = sandbox.counts["biller_categories"] + 1
        call = asyncio.create_task(client.billers.list_categories())
        while sandbox.counts["biller_categories"] < goal:
            await asyncio.sleep(0.001)
        signal.raise_signal(signal.SIGINT)
        await call

    with served(Sandbox()) as sandbox:
        before, client = descriptors(), _client(sandbox)
        for _ in range(4):
            with pytest.raises(KeyboardInterrupt):
                in_runner(interrupted(client))
        sandbox.faults.clear()
        in_runner(_reads(client))
        assert falls_to(before)
        in_runner(client.aclose())
    assert _aiohttp_said(caplog) == []


def test_a_session_of_the_application_serves_one_loop() -> None:
    """In the next loop the error says what to do, in place of aiohttp's «Event loop is closed»."""

    async def first() -> EnkashClient:
        async with aiohttp.ClientSession() as session:
            client = EnkashClient(server.base_url, tokens=StaticTokenProvider("at"), session=session)
            await _reads(client)
            return client

    with served(raw_server(_answer)) as server:
        client = in_runner(first())
        with pytest.raises(ConfigurationError, match="make a session and a client in each loop"):
            in_runner(_reads(client))
        in_runner(client.aclose())


def test_threads_with_a_loop_each_are_told_to_make_a_client_each() -> None:
    """The thread that came first works on undisturbed; the other gets a clear error; no descriptor is left."""

    async def work(client: EnkashClient) -> None:
        await _reads(client)
        with pytest.raises(ConfigurationError, match="one event loop: make one for each"):
            await asyncio.to_thread(in_runner, _reads(client))
        await _reads(client)
        await client.aclose()

    with served(raw_server(_answer)) as server:
        before = descriptors()
        in_runner(work(EnkashClient(server.base_url, tokens=StaticTokenProvider("at"))))
        assert falls_to(before)


# --- closing ----------------------------------------------------------------------------------------------------------


def test_a_client_is_closed_from_the_loop_of_another_thread(caplog: pytest.LogCaptureFixture) -> None:
    """The loop that opened the connections closes them; a call of that loop is let end."""

    async def work(client: EnkashClient) -> None:
        await _reads(client)
        sandbox.faults.add("biller_categories", FaultKind.SLOW, delay=0.3)
        slow = asyncio.create_task(client.billers.list_categories())
        while sandbox.counts["biller_categories"] < 4:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(in_runner, client.aclose())
        assert slow.done()
        assert await slow
        with pytest.raises(ConfigurationError, match="the client is closed"):
            await _reads(client)

    with served(Sandbox()) as sandbox:
        before = descriptors()
        in_runner(work(_client(sandbox)))
        assert falls_to(before)
    assert _aiohttp_said(caplog) == []


def test_a_client_is_closed_while_its_loop_stands_still(caplog: pytest.LogCaptureFixture) -> None:
    """As between two `run_until_complete`; the loop goes on afterwards, with none of the client's sockets in it."""
    with served(raw_server(_answer)) as server:
        loop = asyncio.new_event_loop()
        before = descriptors()
        client = EnkashClient(server.base_url, tokens=StaticTokenProvider("at"))
        loop.run_until_complete(_reads(client))
        in_runner(client.aclose())
        assert falls_to(before)
        other = EnkashClient(server.base_url, tokens=StaticTokenProvider("at"))
        loop.run_until_complete(_reads(other))
        loop.run_until_complete(other.aclose())
        loop.close()
    assert _aiohttp_said(caplog) == []


def test_a_client_is_closed_twice_and_at_once() -> None:
    """Both calls return, a third does nothing, and no descriptor is left."""

    async def close(client: EnkashClient) -> None:
        await _reads(client)
        await asyncio.gather(client.aclose(), client.aclose())
        await client.aclose()
        with pytest.raises(ConfigurationError, match="the client is closed; make a new one"):
            await client.billers.list_categories()

    with served(Sandbox()) as sandbox:
        before = descriptors()
        in_runner(close(_client(sandbox)))
        assert falls_to(before)


async def test_what_is_cut_short_in_closing_is_closed_all_the_same(sandbox: Sandbox) -> None:
    """A caller who does not wait for calls under way leaves no session, provider or store open."""
    client = EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials)
    sandbox.faults.add("biller_categories", FaultKind.SLOW, delay=20)
    call = asyncio.create_task(client.billers.list_categories())
    while not sandbox.counts["biller_categories"]:
        await asyncio.sleep(0.001)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.aclose()
    with pytest.raises(ConfigurationError, match="the client is closed"):
        await call
    with pytest.raises(TokenError, match="closed"):
        await client.tokens.get_token()


async def _used(base_url: str) -> EnkashClient:
    client = EnkashClient(base_url, tokens=StaticTokenProvider(SECRET))
    await _reads(client)
    return client


def test_a_client_that_is_dropped_in_its_loop_closes_its_connections_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The warning names what to call, and neither token nor host."""

    async def drop() -> None:
        dropped = [await _used(server.base_url)]
        with pytest.warns(ResourceWarning) as caught:
            _drop(dropped)
        said = [str(one.message) for one in caught]
        assert len(said) == 1
        assert "use `async with`, or call `await client.aclose()`" in said[0]
        assert SECRET not in said[0]
        while not await asyncio.to_thread(falls_to, before + LOOP_AND_POOL):
            raise AssertionError("its connections are open")

    with served(raw_server(_answer)) as server:
        before = descriptors()
        in_runner(drop())
        assert falls_to(before)
    assert _aiohttp_said(caplog) == []
    assert SECRET not in caplog.text


def test_a_client_that_is_dropped_beside_its_loop_closes_its_connections(caplog: pytest.LogCaptureFixture) -> None:
    """While the loop stands still, or after it was closed; where `asyncio.run` has closed all, nothing is said."""
    with served(raw_server(_answer)) as server:
        before = descriptors()
        loop = asyncio.new_event_loop()
        for dropped in ([loop.run_until_complete(_used(server.base_url))], [in_bare_loop(_used(server.base_url))]):
            with pytest.warns(ResourceWarning, match="was dropped"):
                _drop(dropped)
        loop.close()
        _drop([in_runner(_used(server.base_url))])
        assert falls_to(before)
    assert _aiohttp_said(caplog) == []


def _drop(clients: list[EnkashClient]) -> None:
    clients.clear()
    gc.collect()


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_a_forked_child_leaves_the_connections_of_its_parent_alone(
    is_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child opens its own and closes them; the parent, whose loop ran at the fork, goes on with the old one."""
    lines: list[int] = []

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        line = len(lines)
        lines.append(0)
        while True:
            await server.read_request(reader)
            lines[line] += 1
            writer.write(reply(b'{"response_code":0,"payload":[]}'))

    def life(client: EnkashClient) -> bool:
        for _ in range(2):
            assert in_runner(client.billers.list_categories()) == []
        in_runner(client.aclose())
        gc.collect()
        return True

    async def work(base_url: str) -> None:
        client = EnkashClient(base_url, tokens=StaticTokenProvider("at"))
        await client.billers.list_categories()
        slow = asyncio.create_task(client.billers.list_categories())  # under way at the fork: the child forgets it
        assert await asyncio.to_thread(in_child, lambda: life(client))
        await slow
        await client.billers.list_categories()
        await client.aclose()

    theirs, ours = tls_contexts()
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ours)
    with served(raw_server(answer, theirs if is_tls else None)) as server:
        in_runner(work(server.base_url))
    assert sorted(lines) == [1, 1, 3]
