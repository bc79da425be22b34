"""Whose connections are used in which event loop, and who closes them."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.asyncio import Redis
from tokens.benches import OTHERS, OURS
from tokens.doubles import Clock, Login, until

from enkash_async._support.clock import instant
from enkash_async.errors import TokenError, TokenStoreError
from enkash_async.tokens import Lead, RedisTokenProvider, RedisTokenStore, Wait

from servers import Server


@pytest.fixture(autouse=True)
def nothing_is_left_open(redis_server: Server) -> Iterator[None]:
    """Fail a test that leaves a connection on the server or makes Python warn of one."""
    gc.freeze()  # so that collecting takes no time, having only this test's objects to look at
    yield
    gc.collect()
    gc.unfreeze()
    end = time.monotonic() + 5
    while (left := redis_server.info("clients")["connected_clients"]) > 1:
        assert time.monotonic() < end, f"{left - 1} connections are left"
        time.sleep(0.01)


def clients(server: Server) -> int:
    """Return how many clients the server has, this one not counted."""
    return int(server.info("clients")["connected_clients"]) - 1


# --- closing ----------------------------------------------------------------------------------------------------------


async def test_a_client_of_the_application_is_not_closed(redis_server: Server, clock: Clock) -> None:
    """The client works on after store and provider are closed."""
    async with Redis(unix_socket_path=str(redis_server.unix_socket)) as client:
        store, provider = RedisTokenStore(client), RedisTokenProvider(Login(clock), client, clock=clock)
        await store.claim(OTHERS, "a", above=-1)
        await provider.get_token()
        connections = clients(redis_server)
        for _ in range(2):
            await store.aclose()
            await provider.aclose()
        assert clients(redis_server) == connections > 0
        assert await client.ping()


async def test_connections_of_ones_own_are_closed(redis_server: Server, clock: Clock) -> None:
    """`aclose` closes them at once and does nothing when it is called again."""
    store = RedisTokenStore.from_url(redis_server.url)
    provider = RedisTokenProvider.from_url(Login(instant), redis_server.unix_url)
    assert clients(redis_server) == 0
    await store.claim(OTHERS, "a", above=-1)
    await provider.get_token()
    assert clients(redis_server) == 2
    for _ in range(2):
        await store.aclose()
        await provider.aclose()
    await until(lambda: clients(redis_server) == 0)


async def test_closing_before_the_first_use(redis_server: Server, clock: Clock) -> None:
    """Redis sees no connection when store and provider close unused."""
    await RedisTokenStore.from_url(redis_server.url).aclose()
    await RedisTokenProvider(Login(clock), redis_server.url).aclose()
    assert clients(redis_server) == 0


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1,localhost:1", "redis+sentinel://127.0.0.1:1/service"]
)
async def test_closing_what_was_never_reached(clock: Clock, url: str) -> None:
    """`aclose` cleans up what a client left after it failed to connect."""
    store = RedisTokenStore(url, sleep=clock.hurry, clock=clock)
    with pytest.raises(TokenStoreError, match="cannot be reached"):
        await store.claim(OURS, "a", above=-1)
    await store.aclose()


async def test_a_crowd_shares_a_few_connections(redis_server: Server) -> None:
    """At most four connections serve all callers, who wait for a free one and do not fail."""
    store = RedisTokenStore.from_url(redis_server.url, timeout=5)
    claims = await asyncio.gather(*(store.claim(OURS, f"a{number}", above=-1) for number in range(200)))
    assert [type(claim) for claim in claims].count(Lead) == 1
    assert [type(claim) for claim in claims].count(Wait) == 199
    assert 1 <= clients(redis_server) <= 4
    await store.aclose()


async def test_closing_during_a_login_tells_the_store(redis_server: Server, clock: Clock) -> None:
    """The store frees the lease, charges the attempt and closes the connection."""
    login = Login(clock, gated=True)
    provider = RedisTokenProvider(login, redis_server.url, clock=clock)
    call = asyncio.create_task(provider.get_token())
    await until(lambda: login.attempts == 1)
    await provider.aclose()
    with pytest.raises(TokenError, match="closed"):
        await call
    async with Redis(unix_socket_path=str(redis_server.unix_socket)) as client:
        status = await RedisTokenStore(client).status(login.identity)
    assert (status.logging_in, status.attempts) == (False, 1)


# --- loops ------------------------------------------------------------------------------------------------------------


def test_one_run_after_another(redis_server: Server, clock: Clock) -> None:
    """Each run has its own loop and its own connections, which its end closes."""
    login = Login(clock)
    provider = RedisTokenProvider(login, redis_server.url, clock=clock)
    token = asyncio.run(provider.get_token())
    for attempts in (2, 3, 4):
        assert clients(redis_server) == 0
        clock.now += 60
        assert asyncio.run(provider.get_token()) is token
        token = asyncio.run(provider.get_token(rejected=token))
        assert login.attempts == attempts
    asyncio.run(provider.aclose())


def test_a_store_in_one_run_after_another(redis_server: Server) -> None:
    """The next run does not use the connections of a closed loop."""
    store = RedisTokenStore.from_url(redis_server.url)
    for _ in range(3):
        assert isinstance(asyncio.run(store.claim(OURS, "a", above=-1)), Lead)
        assert clients(redis_server) == 0
    asyncio.run(store.aclose())


def test_several_threads_at_once(redis_server: Server) -> None:
    """Each loop has its own connections, and one loop closes those of all."""
    store = RedisTokenStore.from_url(redis_server.url, timeout=5)
    start, done, closed = threading.Barrier(4), threading.Barrier(5), threading.Barrier(5)

    async def ask(number: int) -> list[type]:
        start.wait()
        claims = [await store.claim(OURS, f"a{number}", above=-1) for _ in range(20)]
        await asyncio.to_thread(done.wait)
        await asyncio.to_thread(closed.wait)
        # What another thread has asked this loop to close is closed by now, or will be in its next turns.
        for _ in range(100):
            await asyncio.sleep(0)
        return sorted({type(claim) for claim in claims}, key=str)

    def run(number: int) -> list[type]:
        return asyncio.run(ask(number))

    with ThreadPoolExecutor(4) as pool:
        asks = [pool.submit(run, number) for number in range(4)]
        done.wait()
        assert clients(redis_server) == 4
        asyncio.run(store.aclose())
        end = time.monotonic() + 5
        while clients(redis_server) > 0:
            assert time.monotonic() < end
            time.sleep(0.01)
        closed.wait()
        kinds = [ask.result() for ask in asks]
    assert sorted(map(str, kinds)) == sorted(map(str, [[Lead], [Wait], [Wait], [Wait]]))


def test_closing_from_another_thread_during_a_login(redis_server: Server) -> None:
    """`aclose` cancels the login in its own loop and closes that loop's connections."""
    login = Login(instant, gated=True)
    provider = RedisTokenProvider.from_url(login, redis_server.url)
    closed = threading.Event()

    async def ask() -> str:
        try:
            await provider.get_token()
        except TokenError as failure:
            await asyncio.to_thread(closed.wait)
            # The cancelled login has its last words in this loop.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)
            return str(failure)
        return ""

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: asyncio.run(ask()))
        while not login.attempts:
            time.sleep(0.001)
        asyncio.run(provider.aclose())
        closed.set()
        assert "closed" in asked.result(10)


def test_a_client_of_another_loop_is_an_error_of_the_store(redis_server: Server) -> None:
    """The caller gets a `TokenStoreError` in place of asyncio's error."""

    async def use(store: RedisTokenStore | None) -> RedisTokenStore:
        if store is None:
            client = Redis(unix_socket_path=str(redis_server.unix_socket), single_connection_client=True)
            store = RedisTokenStore(client)
        await store.claim(OURS, "a", above=-1)
        return store

    loops = [asyncio.new_event_loop() for _ in range(2)]
    store = loops[0].run_until_complete(use(None))
    with pytest.raises(TokenStoreError, match="RuntimeError"):
        loops[1].run_until_complete(use(store))
    assert store._link._theirs is not None
    loops[0].run_until_complete(store._link._theirs.aclose())
    for loop in loops:
        loop.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_leaves_its_parents_connections_alone(redis_server: Server, run_script: Callable[[str], str]) -> None:
    """The child opens its own connections, and the parent gets its own replies."""
    before = redis_server.info("stats")["total_connections_received"]
    said = run_script(f"""
        from enkash_async.tokens import RedisTokenProvider
        login = Login(instant)
        provider = RedisTokenProvider.from_url(login, {redis_server.url!r})
        loop = asyncio.new_event_loop()
        status = lambda: loop.run_until_complete(provider.status()).generation

        async def in_the_child():
            for _ in range(20):
                await provider.status()
            return (await provider.status()).generation

        token = loop.run_until_complete(provider.get_token())
        print(in_child(lambda: asyncio.run(in_the_child())) == str(token.generation))
        print([status() == token.generation for _ in range(20)] == [True] * 20)
        loop.run_until_complete(provider.aclose())
        loop.close()
    """)
    assert said.splitlines() == ["True", "True"]
    own = 1  # of the look itself
    assert redis_server.info("stats")["total_connections_received"] - before == 2 + own
