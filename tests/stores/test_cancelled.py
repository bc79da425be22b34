"""Callers are cancelled while Redis answers: no other caller gets their reply, and no connection is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import attrs
import pytest
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from tokens.doubles import until

from enkash_async.tokens import Identity, RedisTokenStore, Token

from servers import Gate, Server, gate

Step: TypeAlias = Callable[[RedisTokenStore, Identity], Awaitable[object]]

STEPS: dict[str, Step] = {
    "claim": lambda store, who: store.claim(who, "owner", above=-1),
    "publish": lambda store, who: store.publish(who, "owner", Token("at", 60.0, None, 1)),
    "status": lambda store, who: store.status(who),
}

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

    store: RedisTokenStore
    between: Gate
    client: Redis | None
    crowd: int

    async def cancel_while_held(self, step: Step, who: Identity) -> None:
        """Cancel a step whose reply is held, and then let the reply come."""
        self.between.hold()
        task = asyncio.ensure_future(step(self.store, who))
        await self.between.held()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        self.between.release()

    async def publish(self, number: int) -> Identity:
        """Give an account a token that no other account has."""
        who = Identity(f"account-{number}", "right")
        assert await self.store.publish(who, "owner", Token("at", 60.0, None, number))
        return who

    async def check(self, everybody: list[Identity]) -> None:
        """Check that every call gets its own answer, one by one and all at once."""
        for turn, who in enumerate(everybody):
            assert (await self.store.status(who)).generation == int(who.account.partition("-")[2])
            if self.client is not None:
                assert await self.client.echo(f"say {turn}") == f"say {turn}".encode()
        some = everybody[: self.crowd]
        found = await asyncio.gather(*(self.store.status(who) for who in some))
        assert [f"account-{status.generation}" for status in found] == [who.account for who in some]


@pytest.fixture(params=sorted(CLIENTS))
async def bench(request: pytest.FixtureRequest, any_server: Server) -> AsyncIterator[Bench]:
    async with gate(any_server.port) as between:
        made = CLIENTS[request.param](between.url)
        # Patient, as a busy machine must not look like an absent Redis.
        store = RedisTokenStore(made, timeout=5)
        client = made if isinstance(made, Redis) else None
        # That pool does not wait: two callers at once are one too many for it.
        yield Bench(store, between, client, 1 if request.param == "pool of one" else 10)
        await store.aclose()
        if client is not None:
            await client.aclose()


@pytest.mark.parametrize("step", sorted(STEPS))
async def test_a_cancelled_step_leaves_no_reply_behind(bench: Bench, step: str) -> None:
    """The next call gets its own reply, twenty times in a row."""
    everybody = [await bench.publish(number) for number in range(1, 6)]
    for _ in range(20):
        await bench.cancel_while_held(STEPS[step], Identity("cancelled", "right"))
        await bench.check(everybody)


async def test_two_hundred_cancelled_callers_cost_no_connection(bench: Bench) -> None:
    """Other callers are served while each of the two hundred is cancelled at a moment of its own."""
    everybody = [await bench.publish(number) for number in range(1, 21)]
    chance, cancelled = random.Random(7), 0
    while cancelled < 200:
        doomed = [asyncio.ensure_future(bench.store.status(chance.choice(everybody))) for _ in range(bench.crowd)]
        for task in doomed:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait(doomed)
        cancelled += sum(task.cancelled() for task in doomed)
        await bench.check([chance.choice(everybody)])
    await bench.check(everybody)
    await until(lambda: bench.between.live <= bench.crowd)


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
