"""A token's life as a store sees it, providers that share one, and callers who ask all the time."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel
from tokens.doubles import until

from enkash_async._http.login import PasswordGrant
from enkash_async.sandbox import Sandbox
from enkash_async.tokens import (
    Cooling,
    Failure,
    Found,
    Identity,
    Lead,
    RedisTokenProvider,
    RedisTokenStore,
    Refused,
    Token,
    Wait,
)

from servers import HOST, Cluster, SentinelSet, Server

Client = Redis | RedisCluster

#: The commands that a Redis user needs to be a token store, as the page for operators gives them.
COMMANDS = (
    *("eval", "evalsha", "get", "set", "del", "hget", "hset", "hdel", "hmget", "hexists", "hincrby", "hkeys"),
    *("pexpire", "pttl", "time"),
)
#: And those for a cluster: to learn where the slots are, and to follow one that moves.
CLUSTER_COMMANDS = (*COMMANDS, "cluster|slots", "command", "asking")


async def full_life(store: RedisTokenStore) -> str:
    """Run every step that a store knows, from a first login to a locked account that was reset.

    Returns:
        The account that was made up for it.
    """
    who = Identity(uuid.uuid4().hex, "right")
    first = await _log_in(store, who, "first")
    await store.reject(who, first.generation)
    assert (await store.status(who)).refused_up_to == first.generation
    second = await _log_in(store, who, "second")
    assert second.generation > first.generation
    await store.reject(who, second.generation)
    await _fail(store, who, "third", Failure.TRANSIENT)
    assert isinstance(await store.claim(who, "fourth", above=-1), Cooling)
    await store.reset(who)
    await _fail(store, who, "fifth", Failure.LOCKED)
    assert await store.claim(who, "sixth", above=-1) == Refused("locked")
    status = await store.status(who)
    assert (status.locked, status.barred, status.proven, status.failures) == (True, True, False, 0)
    await store.reset(who)
    assert not (await store.status(who)).locked
    return who.account


async def _log_in(store: RedisTokenStore, who: Identity, owner: str) -> Token:
    """Claim, show a sign of life while others wait, and publish."""
    lead = await store.claim(who, owner, above=-1)
    assert isinstance(lead, Lead)
    assert isinstance(await store.claim(who, "another", above=-1), Wait)
    assert await store.beat(who, owner)
    assert (await store.status(who)).logging_in
    token = Token(f"at-{who.account}-{owner}", 60.0, None, lead.fence)
    assert await store.publish(who, owner, token)
    found = await store.claim(who, "another", above=-1)
    assert isinstance(found, Found)
    assert found.token.reveal() == token.reveal()
    return found.token


async def _fail(store: RedisTokenStore, who: Identity, owner: str, failure: Failure) -> None:
    assert isinstance(await store.claim(who, owner, above=-1), Lead)
    await store.fail(who, owner, failure, retry_after=5.0)


def provider(
    sandbox: Sandbox, redis: Client | str, *, clock: Callable[[], float] = time.monotonic, **options: Any
) -> RedisTokenProvider:
    """Return a provider for the sandbox's account."""
    grant = PasswordGrant(sandbox.base_url, sandbox.credentials, clock=clock)
    return RedisTokenProvider(grant, redis, clock=clock, **options)


def account_of(sandbox: Sandbox) -> Identity:
    """Return the account that a provider of the sandbox uses."""
    return PasswordGrant(sandbox.base_url, sandbox.credentials).identity


class Callers:
    """Callers who ask providers for tokens again and again, side by side, for as long as the block runs.

    Args:
        providers: The providers that they ask.
        each: How many ask one provider.

    Attributes:
        errors: The errors that they got in place of a token.
        generations: Of the tokens that they got.
        waits: How many seconds each answer took.
    """

    def __init__(self, *providers: RedisTokenProvider, each: int = 5) -> None:
        self.errors: list[str] = []
        self.generations: set[int] = set()
        self.waits: list[float] = []
        self._providers = providers
        self._each = each
        self._goes_on = True
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._call(one)) for one in self._providers for _ in range(self._each)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._goes_on = False
        await asyncio.gather(*self._tasks)

    async def hear(self, answers: int) -> None:
        """Wait until the given number of further answers has come."""
        enough = len(self.waits) + answers
        await until(lambda: len(self.waits) >= enough)

    async def _call(self, provider: RedisTokenProvider) -> None:
        while self._goes_on:
            began = time.monotonic()
            try:
                self.generations.add((await provider.get_token()).generation)
            except Exception as problem:  # noqa: BLE001 (any is one too many)
                self.errors.append(repr(problem))
            self.waits.append(time.monotonic() - began)
            await asyncio.sleep(0.005)


class Skip:
    """A monotonic clock that a test can set ahead in place of a wait."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


async def becomes(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until the condition holds."""
    end = time.monotonic() + 10
    while not await condition():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.01)


async def timed(ask: Callable[[], Awaitable[object]]) -> tuple[object, float]:
    """Return the result of a call, or its exception, and the seconds that it took."""
    began = time.monotonic()
    outcome: object
    try:
        outcome = await ask()
    except Exception as problem:  # noqa: BLE001 (it is the outcome)
        outcome = problem
    return outcome, time.monotonic() - began


def sentinel_url(watched: SentinelSet) -> str:
    """Return the URL of a set that sentinels watch."""
    return f"redis+sentinel://{','.join(f'{host}:{port}' for host, port in watched.sentinels)}/{watched.service}"


def cluster_url(cluster: Cluster) -> str:
    """Return the URL of a cluster."""
    return f"redis+cluster://{','.join(f'{HOST}:{port}' for port in cluster.ports)}"


def strangers(server: Server) -> int:
    """Return how many connections a server has that are neither another server's nor the harness's."""
    lines = server.ask("CLIENT", "LIST").splitlines()
    return sum(f"addr={HOST}" in line and "name=sentinel" not in line and "flags=N" in line for line in lines)


@contextmanager
def unreachable_port() -> Iterator[int]:
    """A port that answers no connection request, like one of a machine without power."""
    with socket.socket() as full:
        full.bind((HOST, 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]  # they fill the listener's queue, which nothing accepts from
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(address)
            yield int(address[1])
        finally:
            for one in waiting:
                one.close()


@asynccontextmanager
async def sentinel_client(watched: SentinelSet, **options: Any) -> AsyncIterator[Redis]:
    """A user's client that follows the primary."""
    sentinel = cast("Any", Sentinel)(watched.sentinels, socket_timeout=1, **options)
    try:
        async with sentinel.master_for(watched.service) as client:
            yield client
    finally:
        for asked in sentinel.sentinels:  # it does not close the clients that it asks with
            await asked.aclose()
