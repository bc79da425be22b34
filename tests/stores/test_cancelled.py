"""Callers are cancelled while Redis answers: no other caller gets their reply, and no connection or login is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import attrs
import pytest
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from stores.lives import provider
from stores.stores import put, value_of
from tokens.doubles import until

from enkash_async.sandbox import Sandbox
from enkash_async.stores import RedisStore

from servers import Gate, Server, gate

Step: TypeAlias = Callable[[RedisStore, str], Awaitable[object]]

STEPS: dict[str, Step] = {"read": value_of, "swap": lambda store, key: put(store, key, b"cancelled")}

#: Where the connections come from; each but the first is a client of the application.
CLIENTS: dict[str, Callable[[str], Redis | str]] = {
    "own pool": lambda url: url,
    "pool": Redis.from_url,
    "pool of one": lambda url: Redis.from_pool(ConnectionPool.from_url(url, max_connections=1)),
    "waiting pool of one": lambda url: Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=1)),
    "single connection": lambda url: Redis.from_url(url, single_connection_client=True),
}


@attrs.frozen
class Bench:
    """A store behind a gate, and a client that shares its connections where there is one."""

    store: RedisStore
    between: Gate
    client: Redis | None
    crowd: int

    async def cancel_while_held(self, call: Awaitable[object]) -> None:
        """Cancel a call whose reply is held, and then let the reply come."""
        self.between.hold()
        task = asyncio.ensure_future(call)
        await self.between.held()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        self.between.release()

    async def fill(self, records: int) -> list[str]:
        """Set records whose values no other record has, and return their keys."""
        keys = [f"record-{number}" for number in range(records)]
        for key in keys:
            assert await put(self.store, key, key.encode())
        return keys

    async def check(self, keys: list[str]) -> None:
        """Check that every call gets its own answer, one by one and all at once."""
        for turn, key in enumerate(keys):
            assert await value_of(self.store, key) == key.encode()
            if self.client is not None:
                assert await self.client.echo(f"say {turn}") == f"say {turn}".encode()
        some = keys[: self.crowd]
        assert await asyncio.gather(*(value_of(self.store, key) for key in some)) == [key.encode() for key in some]


@pytest.fixture(params=sorted(CLIENTS))
async def bench(request: pytest.FixtureRequest, any_server: Server) -> AsyncIterator[Bench]:
    async with gate(any_server.port) as between:
        made = CLIENTS[request.param](between.url)
        # Patient, as a busy machine must not look like an absent Redis.
        store = RedisStore.from_url(made, timeout=20) if isinstance(made, str) else RedisStore(made, timeout=20)
        client = made if isinstance(made, Redis) else None
        # That pool does not wait: two callers at once are one too many for it.
        yield Bench(store, between, client, 1 if request.param == "pool of one" else 10)
        await store.aclose()
        if client is not None:
            await client.aclose()


@pytest.mark.parametrize("step", sorted(STEPS))
async def test_a_cancelled_step_leaves_no_reply_behind(bench: Bench, step: str) -> None:
    """The next call gets its own reply, twenty times in a row."""
    keys = await bench.fill(5)
    for turn in range(20):
        await bench.cancel_while_held(STEPS[step](bench.store, f"cancelled-{turn}"))
        await bench.check(keys)


async def test_two_hundred_cancelled_callers_cost_no_connection(bench: Bench) -> None:
    """Other callers are served while each of the two hundred is cancelled at a moment of its own."""
    keys = await bench.fill(20)
    chance, cancelled = random.Random(7), 0
    while cancelled < 200:
        doomed = [asyncio.ensure_future(value_of(bench.store, chance.choice(keys))) for _ in range(bench.crowd)]
        for task in doomed:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait(doomed)
        cancelled += sum(task.cancelled() for task in doomed)
        await bench.check([chance.choice(keys)])
    await bench.check(keys)
    await until(lambda: bench.between.live <= bench.crowd)


async def test_a_cancelled_caller_loses_no_login(bench: Bench, sandbox: Sandbox) -> None:
    """The refresh that it began goes on, and another worker gets the token of its only login."""
    worker, other = provider(sandbox, bench.store), provider(sandbox, bench.store)
    await bench.cancel_while_held(worker.get_token())
    token = await worker.get_token()
    assert (await other.get_token()).reveal() == token.reveal()
    assert sandbox.counts["token"] == 1
    assert (await other.look()).charged == 0
    for one in (worker, other):
        await one.aclose()


async def test_the_check_sees_a_reply_that_is_left_behind(any_server: Server) -> None:
    """Control: a connection that returns to the pool with a reply in flight fails the check."""
    async with gate(any_server.port) as between, Redis.from_url(between.url) as client:
        await client.ping()
        pool: Any = client.connection_pool
        between.hold()
        await pool._available_connections[0].send_command("ECHO", "say something else")
        said = asyncio.ensure_future(client.echo("say 0"))
        await between.held()
        between.release()
        assert await said == b"say something else"
        await pool.disconnect()
