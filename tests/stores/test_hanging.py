"""Redis hangs or a pool is busy: no caller waits for long, and one at a time probes the store."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import attrs
import pytest
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from stores.lives import Callers, Skip, account_of, becomes, full_life, provider, timed, unreachable_port
from tokens.doubles import until

from enkash_async.errors import TokenStoreError
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.tokens import Identity, RedisTokenProvider, RedisTokenStore, StoreStatus, Token

from servers import HOST, Gate, Server, gate

#: Seconds for one reply; an attempt may take four times as long, and there are three.
TIMEOUT = 0.1
BOUND = 12 * TIMEOUT + 5  # the pauses between, and the noise of a busy machine; what hangs does so for ever


@attrs.frozen
class Bench:
    """A server behind a gate, and how it hangs."""

    server: Server
    between: Gate
    clock: Skip

    def hang(self, how: str) -> None:
        {"frozen": self.server.freeze, "swallowing": self.between.blackhole}[how]()

    def go_on(self) -> None:
        self.server.thaw()
        self.between.release()

    def worker(self, sandbox: Sandbox, redis: Redis | None = None) -> RedisTokenProvider:
        return provider(sandbox, redis or self.between.url, timeout=TIMEOUT, clock=self.clock, random=lambda: 0.5)

    def store(self, redis: Redis | str) -> RedisTokenStore:
        return RedisTokenStore(redis, timeout=TIMEOUT, clock=self.clock)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        """A client of the application, which is patient."""
        async with Redis.from_url(self.between.url, socket_timeout=30) as made:
            yield made


@pytest.fixture
async def bench(any_server: Server) -> AsyncIterator[Bench]:
    async with gate(any_server.port) as between:
        made = Bench(any_server, between, Skip())
        yield made
        made.go_on()


@pytest.mark.parametrize("how", ["frozen", "swallowing"])
@pytest.mark.parametrize("whose", ["ours", "theirs"])
async def test_only_the_first_caller_waits(bench: Bench, sandbox: Sandbox, how: str, whose: str) -> None:
    """The first caller waits for a bounded time, and the others are refused at once until Redis answers."""
    who = account_of(sandbox)
    async with bench.client() as client:
        store = bench.store(client if whose == "theirs" else bench.between.url)
        await store.status(who)
        bench.hang(how)
        first, took = await timed(lambda: store.status(who))
        assert isinstance(first, TokenStoreError)
        assert took < BOUND
        later = [await timed(lambda: store.status(who)) for _ in range(100)]
        assert {type(outcome) for outcome, _ in later} == {TokenStoreError}
        assert sum(seconds for _, seconds in later) < 50 * TIMEOUT
        bench.go_on()
        bench.clock.ahead += 1.5
        assert isinstance(await store.status(who), StoreStatus)
        await store.aclose()


@pytest.mark.parametrize("url", ["redis+sentinel://{}/enkash", "redis+cluster://{}"])
async def test_hosts_that_are_all_unreachable_keep_nobody_waiting_for_long(url: str) -> None:
    """With three hosts the first caller waits twenty time-outs at most, each 5 s by default."""
    timeout = 0.05
    with ExitStack() as stack:
        ports = [stack.enter_context(unreachable_port()) for _ in range(3)]
        hosts = ",".join(f"{HOST}:{port}" for port in ports)
        store = RedisTokenStore.from_url(url.format(hosts), timeout=timeout)
        outcome, took = await timed(lambda: full_life(store))
        await store.aclose()
    assert isinstance(outcome, TokenStoreError)
    assert took < 20 * timeout + 1.5  # the pauses between, and the noise of a busy machine


async def test_one_at_a_time_looks_whether_it_is_over(bench: Bench, sandbox: Sandbox) -> None:
    """One caller a second probes the store, on a connection of its own."""
    who, store = account_of(sandbox), bench.store(bench.between.url)
    await store.status(who)
    bench.hang("swallowing")
    await timed(lambda: store.status(who))
    for _ in range(3):
        before = bench.between.count
        crowd = await asyncio.gather(*(timed(lambda: store.status(who)) for _ in range(50)))
        assert bench.between.count == before
        bench.clock.ahead += 1.3
        crowd += await asyncio.gather(*(timed(lambda: store.status(who)) for _ in range(50)))
        assert bench.between.count == before + 1
        assert {type(outcome) for outcome, _ in crowd} == {TokenStoreError}
        waits = sorted(seconds for _, seconds in crowd)
        assert waits[-2] < waits[-1] < 4 * TIMEOUT + 1
        assert statistics.median(waits) < 0.1
    await store.aclose()


@pytest.mark.parametrize("how", ["frozen", "swallowing"])
async def test_the_token_in_hand_is_served_meanwhile(bench: Bench, how: str) -> None:
    """Callers get the token in each of its windows, and the store is used again afterwards."""
    clock = bench.clock
    async with Sandbox(token_lifetime=60, clock=clock) as sandbox:
        worker = bench.worker(sandbox)
        token = await worker.get_token()
        bench.hang(how)
        async with Callers(worker) as callers:
            for ahead in (0, 35, 45, 52):  # renewed from 32.5 s on, waited for from 50 s on
                clock.ahead = ahead
                await callers.hear(200)
            assert callers.generations == {token.generation}
            assert worker.state().store_away
            assert statistics.median(callers.waits) < 0.1
            assert max(callers.waits) < BOUND
            bench.go_on()
            clock.ahead += 1.5
            await until(lambda: worker.state().generation != token.generation)
        assert callers.errors == []
        assert sandbox.counts["token"] == 2
        assert (await worker.status()).generation == worker.state().generation
        await worker.aclose()


async def test_credentials_that_nobody_has_seen_work_are_not_tried(bench: Bench, sandbox: Sandbox) -> None:
    """The first caller is refused within a bounded time and a hundred others at once."""
    worker = bench.worker(sandbox)
    bench.hang("frozen")
    first, took = await timed(worker.get_token)
    assert isinstance(first, TokenStoreError)
    assert took < BOUND
    later = [await timed(worker.get_token) for _ in range(100)]
    assert {type(outcome) for outcome, _ in later} == {TokenStoreError}
    assert sum(seconds for _, seconds in later) < 50 * TIMEOUT
    assert sandbox.counts["token"] == 0
    bench.go_on()
    bench.clock.ahead += 1.5
    assert (await worker.get_token()).generation == (await worker.status()).generation
    await worker.aclose()


@pytest.mark.parametrize("proven", [True, False])
async def test_a_claim_that_redis_carries_out_late_keeps_nobody_waiting(bench: Bench, proven: bool) -> None:
    """The late claim takes the lease for the same worker, which can use it."""
    clock = bench.clock
    async with Sandbox(token_lifetime=60, clock=clock) as sandbox:
        worker, other = bench.worker(sandbox), bench.store(bench.between.url)
        await full_life(other)  # the server knows the scripts
        if proven:
            await worker.get_token()
            clock.ahead += 40
        assert (await worker.status()).proven is proven  # there is a connection now
        bench.hang("frozen")
        await timed(worker.get_token)
        await until(lambda: worker.state().store_away and not worker.state().refreshing)
        bench.go_on()
        # The server does what it was sent meanwhile.
        await becomes(lambda: _logging_in(other, account_of(sandbox)))
        clock.ahead += 10
        fresh, took = await timed(worker.get_token)
        assert isinstance(fresh, Token)
        assert took < 3  # a lease would keep it six
        for one in (worker, other):
            await one.aclose()


async def _logging_in(store: RedisTokenStore, who: Identity) -> bool:
    return (await store.status(who)).logging_in


async def test_a_publication_that_redis_carries_out_late_makes_no_token_look_younger(bench: Bench) -> None:
    """The worker corrects the stored life, or others would use a dead token."""
    clock = bench.clock
    async with Sandbox(token_lifetime=60, clock=clock) as sandbox:
        sandbox.faults.add("token", FaultKind.SLOW, delay=0.3)
        worker, other = bench.worker(sandbox), bench.store(bench.between.url)
        await full_life(other)  # the server knows the scripts
        asking = asyncio.ensure_future(worker.get_token())
        await until(lambda: sandbox.counts["token"] == 1)
        bench.hang("frozen")
        token = await asking
        bench.go_on()
        await becomes(lambda: _lives_longer(other, sandbox, 50))
        clock.ahead += 10
        async with Callers(worker):
            await becomes(lambda: _lives_no_longer(other, sandbox, token.remaining(clock()) + 1))
        assert sandbox.counts["token"] == 1
        for one in (worker, other):
            await one.aclose()


async def _lives_longer(store: RedisTokenStore, sandbox: Sandbox, seconds: float) -> bool:
    return ((await store.status(account_of(sandbox))).remaining or 0.0) > seconds


async def _lives_no_longer(store: RedisTokenStore, sandbox: Sandbox, seconds: float) -> bool:
    return not await _lives_longer(store, sandbox, seconds)


async def test_proven_credentials_log_in_alone_when_the_token_ends(bench: Bench) -> None:
    """The worker logs in once within a bounded time and shares the token when the store is back."""
    clock = bench.clock
    async with Sandbox(token_lifetime=60, clock=clock) as sandbox:
        worker = bench.worker(sandbox)
        await worker.get_token()
        bench.hang("frozen")
        clock.ahead += 59
        token, took = await timed(worker.get_token)
        assert isinstance(token, Token)
        assert took < BOUND + 1  # logins without a store are spread over a second
        later = [await timed(worker.get_token) for _ in range(100)]
        assert {outcome.reveal() for outcome, _ in later if isinstance(outcome, Token)} == {token.reveal()}
        assert sum(seconds for _, seconds in later) < 50 * TIMEOUT
        assert sandbox.counts["token"] == 2
        bench.go_on()
        clock.ahead += 2
        async with Callers(worker):
            await until(lambda: not worker.state().store_away)
        shared = bench.worker(sandbox)
        assert (await shared.get_token()).reveal() == token.reveal()
        for one in (worker, shared):
            await one.aclose()


POOLS: dict[str, Callable[[str], ConnectionPool]] = {
    "refusing": lambda url: ConnectionPool.from_url(url, max_connections=1),
    "waiting": lambda url: BlockingConnectionPool.from_url(url, max_connections=1, timeout=30),
}


@pytest.mark.parametrize("pool", sorted(POOLS))
async def test_a_busy_pool_of_the_application_makes_nobody_wait_for_long(
    bench: Bench, sandbox: Sandbox, pool: str
) -> None:
    """Callers are refused while the only connection is busy; a worker with its own is served."""
    async with Redis.from_pool(POOLS[pool](bench.between.url)) as client:
        busy = asyncio.ensure_future(client.blpop(["queue"], timeout=30))
        await until(lambda: bench.server.info("clients")["blocked_clients"] == 1)
        theirs, ours = bench.worker(sandbox, client), bench.worker(sandbox)
        outcome, took = await timed(theirs.get_token)
        assert isinstance(outcome, TokenStoreError)
        assert took < BOUND
        token = await ours.get_token()
        bench.server.ask("RPUSH", "queue", "done")
        assert await busy
        bench.clock.ahead += 1.5
        assert (await theirs.get_token()).reveal() == token.reveal()
        for one in (theirs, ours):
            await one.aclose()
    assert sandbox.counts["token"] == 1
