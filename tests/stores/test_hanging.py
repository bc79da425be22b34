"""Redis hangs or a pool is busy: no caller waits for long, and the token in hand serves."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager

import attrs
import pytest
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from stores.lives import Callers, Client, becomes, provider, unreachable_port
from stores.stores import Skip, put, timed, value_of
from tokens.doubles import until

from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.stores import Change, RedisStore
from enkash_async.tokens import RedisTokenProvider, Token

from servers import HOST, Gate, Server, gate

KEY = "enkash:test:v2:key"

#: Seconds for one attempt; a read makes up to three.
TIMEOUT = 0.4
BOUND = 3 * TIMEOUT + 5  # the pauses between, and the noise of a busy machine; what hangs does so for ever


class FreezingStore(RedisStore):
    """A store whose server stops just before the swap that a test names.

    Attributes:
        freeze: Stops the server; None leaves it running.
        swaps: How many swaps go through before.
    """

    freeze: Callable[[], None] | None = None
    swaps = 0

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        if self.freeze is not None and self.swaps == 0:
            self.freeze()
            self.freeze = None
        self.swaps -= 1
        return await super().swap(changes)


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

    def worker(self, sandbox: Sandbox, redis: RedisStore | None = None) -> RedisTokenProvider:
        return provider(sandbox, redis or self.store(), clock=self.clock, random=lambda: 0.5)

    def store(self, client: Client | None = None) -> RedisStore:
        if client is None:
            return RedisStore.from_url(self.between.url, timeout=TIMEOUT, clock=self.clock)
        return RedisStore(client, timeout=TIMEOUT, clock=self.clock)

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
async def test_only_the_first_caller_waits_for_a_client_of_the_application(bench: Bench, how: str) -> None:
    """It waits for a bounded time, and the others are refused at once until Redis answers."""
    async with bench.client() as client:
        store = bench.store(client)
        await value_of(store, KEY)
        bench.hang(how)
        first, took = await timed(value_of(store, KEY))
        assert isinstance(first, StoreUnavailableError)
        assert took < BOUND
        later = [await timed(value_of(store, KEY)) for _ in range(100)]
        assert {type(outcome) for outcome, _ in later} == {StoreUnavailableError}
        assert sum(seconds for _, seconds in later) < 10 * TIMEOUT
        bench.go_on()
        bench.clock.ahead += 1.5
        assert await value_of(store, KEY) is None
        await store.aclose()


@pytest.mark.parametrize("url", ["redis+sentinel://{}/enkash", "redis+cluster://{}"])
async def test_hosts_that_are_all_unreachable_keep_nobody_waiting_for_long(url: str) -> None:
    """With three hosts each of the three attempts takes four time-outs at most."""
    timeout = 0.2
    with ExitStack() as stack:
        ports = [stack.enter_context(unreachable_port()) for _ in range(3)]
        hosts = ",".join(f"{HOST}:{port}" for port in ports)
        store = RedisStore.from_url(url.format(hosts), timeout=timeout)
        outcome, took = await timed(value_of(store, KEY))
        await store.aclose()
    assert isinstance(outcome, StoreUnavailableError)
    assert took < 12 * timeout + 1.5  # the pauses between, and the noise of a busy machine


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
        assert not (await worker.look()).store_away
        await worker.aclose()


async def test_credentials_that_are_not_known_to_work_are_not_tried(bench: Bench, sandbox: Sandbox) -> None:
    """The first caller is refused within a bounded time and a hundred others at once."""
    worker = bench.worker(sandbox)
    bench.hang("frozen")
    first, took = await timed(worker.get_token())
    assert isinstance(first, StoreUnavailableError)
    assert took < BOUND
    later = [await timed(worker.get_token()) for _ in range(100)]
    assert {type(outcome) for outcome, _ in later} == {StoreUnavailableError}
    assert sum(seconds for _, seconds in later) < 10 * TIMEOUT
    assert sandbox.counts["token"] == 0
    bench.go_on()
    bench.clock.ahead += 1.5
    assert (await worker.get_token()).generation == (await worker.look()).generation
    await worker.aclose()


@pytest.mark.parametrize("proven", [True, False])
async def test_an_attempt_that_redis_notes_late_keeps_no_worker_waiting(bench: Bench, proven: bool) -> None:
    """Its worker sends no login under it, takes it back as soon as the store answers, and logs in under another."""
    clock = bench.clock
    async with Sandbox(token_lifetime=60, clock=clock) as sandbox:
        store = FreezingStore.from_url(bench.between.url, timeout=TIMEOUT, clock=clock)
        worker, other = bench.worker(sandbox, store), bench.worker(sandbox)
        await put(store, KEY, b"value")  # the server knows the script
        old = (await worker.get_token()).generation if proven else None
        before = sandbox.counts["token"]
        clock.ahead += 40  # a token is renewed from 32.5 s on
        store.freeze, store.swaps = bench.server.freeze, 0
        await timed(worker.get_token())
        await until(lambda: worker.state().store_away and not worker.state().refreshing)
        assert sandbox.counts["token"] == before
        bench.go_on()
        await becomes(lambda: _is_charged(other))
        clock.ahead += 2
        fresh, took = await timed(worker.get_token())
        assert isinstance(fresh, Token)
        assert took < 3  # the lease of the attempt lasts twenty
        await until(lambda: worker.state().generation not in {old, None})
        assert sandbox.counts["token"] == before + 1
        assert not await _is_charged(other)
        for one in (worker, other):
            await one.aclose()


async def _is_charged(worker: RedisTokenProvider) -> bool:
    return (await worker.look()).charged > 0


async def test_a_token_that_redis_stores_late_does_not_look_younger(bench: Bench) -> None:
    """Whoever reads it counts its age from the login, or a dead token would be used."""
    clock = bench.clock
    async with Sandbox(token_lifetime=60) as sandbox:
        sandbox.faults.add("token", FaultKind.SLOW, delay=1.0)
        store = FreezingStore.from_url(bench.between.url, timeout=TIMEOUT, clock=clock)
        worker, other = bench.worker(sandbox, store), bench.worker(sandbox)
        store.freeze, store.swaps = bench.server.freeze, 1  # the first swap begins the attempt
        token = await worker.get_token()
        await asyncio.sleep(1.0)
        bench.go_on()
        async with Callers(worker):  # the clock is not put ahead, since the server's own is not
            await until(lambda: not worker.state().store_away)
        shared = await other.get_token()
        assert shared.reveal() == token.reveal()
        assert shared.remaining(clock()) < token.remaining(clock()) + 0.5
        assert sandbox.counts["token"] == 1
        for one in (worker, other):
            await one.aclose()


async def test_proven_credentials_log_in_alone_when_the_token_ends(bench: Bench) -> None:
    """The worker logs in once within a bounded time and shares the token when the store is back."""
    async with Sandbox(token_lifetime=3) as sandbox:  # time passes for the server as well
        worker = bench.worker(sandbox)
        await worker.get_token()
        bench.hang("frozen")
        await asyncio.sleep(3)
        token, took = await timed(worker.get_token())
        assert isinstance(token, Token)
        assert took < BOUND
        later = [await timed(worker.get_token()) for _ in range(100)]
        assert {outcome.reveal() for outcome, _ in later if isinstance(outcome, Token)} == {token.reveal()}
        assert sum(seconds for _, seconds in later) < 10 * TIMEOUT
        assert sandbox.counts["token"] == 2
        bench.go_on()
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
async def test_a_busy_pool_of_the_application_makes_no_caller_wait_for_long(
    bench: Bench, sandbox: Sandbox, pool: str
) -> None:
    """Callers are refused while the only connection is busy, and Redis is not away; a worker with its own is served."""
    async with Redis.from_pool(POOLS[pool](bench.between.url)) as client:
        busy = asyncio.ensure_future(client.blpop(["queue"], timeout=30))
        await until(lambda: bench.server.info("clients")["blocked_clients"] == 1)
        theirs, ours = bench.worker(sandbox, bench.store(client)), bench.worker(sandbox)
        outcome, took = await timed(theirs.get_token())
        assert isinstance(outcome, StoreError)
        assert not isinstance(outcome, StoreUnavailableError)
        assert not theirs.state().store_away
        assert took < BOUND
        token = await ours.get_token()
        bench.server.ask("RPUSH", "queue", "done")
        assert await busy
        await asyncio.sleep(1)  # for as long the failure is believed
        assert (await theirs.get_token()).reveal() == token.reveal()
        for one in (theirs, ours):
            await one.aclose()
    assert sandbox.counts["token"] == 1
