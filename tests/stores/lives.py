"""The life of a token as providers see it that share one Redis, and callers who ask them all the time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self, cast

import attrs
import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel
from tokens.doubles import until

from enkash_async import PasswordGrant, RedisStore, RedisTokenProvider
from enkash_async.errors import CredentialsRejectedError, LoginGuardError, StoreUnavailableError
from enkash_async.sandbox import Sandbox
from enkash_async.stores import record_key
from enkash_async.tokens import Token

from servers import HOST, SentinelSet, Server

Client = Redis | RedisCluster

#: What the store needs, and neither the harness nor a sentinel.
_SCRIPTS = ("eval", "evalsha")


def provider(
    sandbox: Sandbox,
    redis: Client | RedisStore | str,
    *,
    password: str = "",
    clock: Callable[[], float] = time.monotonic,
    **options: Any,
) -> RedisTokenProvider:
    """Return a provider for the sandbox's account, over a URL, a client of the application, or a store.

    Args:
        sandbox: Logs in.
        redis: What the provider shares its tokens through.
        password: Empty takes the right one.
        clock: Monotonic seconds.
        options: As for the provider.
    """
    credentials = attrs.evolve(sandbox.credentials, password=password or sandbox.credentials.password)
    grant = PasswordGrant(sandbox.base_url, credentials, clock=clock)
    if isinstance(redis, str):
        return RedisTokenProvider.from_url(grant, redis, clock=clock, **options)
    return RedisTokenProvider(grant, redis, clock=clock, **options)


def record_of(sandbox: Sandbox) -> str:
    """Return the key under which the account of the sandbox lies."""
    return record_key("token", PasswordGrant(sandbox.base_url, sandbox.credentials).identity.account)


async def whole_life(redis: Client | str, servers: Sequence[Server]) -> None:
    """Take one token through all that can happen to it while two workers share it.

    A login, which both share; a refusal, after which one of them logs in for both; a wrong password, which is tried
    once; an outage, during which the token in hand serves; and the end of the outage.

    Args:
        redis: What the workers share.
        servers: Those that may hold the record; without them there is no outage.
    """
    async with Sandbox(repeat_debits=True) as sandbox, AsyncExitStack() as stack:
        first, second, mistaken, other = [provider(sandbox, redis, password=word) for word in ("", "", "no", "no")]
        for one in (first, second, mistaken, other):
            stack.push_async_callback(one.aclose)
        token = await first.get_token()
        assert (await second.get_token()).reveal() == token.reveal()
        assert sandbox.counts["token"] == 1

        renewed = await second.get_token(rejected=token)
        assert renewed.generation > token.generation
        assert (await first.get_token(rejected=token)).reveal() == renewed.reveal()
        assert sandbox.counts["token"] == 2

        await _refuse_once(mistaken, other)
        assert sandbox.counts["token"] == 3

        if servers:
            await _serve_without_scripts(first, servers, renewed)
        state = await first.look()
        assert (state.store_away, state.generation, state.proven) == (False, renewed.generation, True)
        assert sandbox.counts["token"] == 3


async def _refuse_once(mistaken: RedisTokenProvider, other: RedisTokenProvider) -> None:
    """Let a worker try a wrong password, and see that no other worker tries it again."""
    with pytest.raises(CredentialsRejectedError):
        await mistaken.get_token()
    with pytest.raises(LoginGuardError) as closed:
        await other.get_token()
    assert closed.value.reason == "rejected"


async def _serve_without_scripts(worker: RedisTokenProvider, servers: Sequence[Server], token: Token) -> None:
    """Let the store go away, and see that the worker serves its token on."""
    with _without_scripts(servers):
        with pytest.raises(StoreUnavailableError, match="Redis refuses"):
            await worker.look()
        assert worker.state().store_away
        assert (await worker.get_token()).reveal() == token.reveal()


@contextmanager
def _without_scripts(servers: Sequence[Server]) -> Iterator[None]:
    """Forbid the scripts of a store, and allow them again."""
    users = [(server, user) for server in servers for user in server.ask("ACL", "USERS")]
    for server, user in users:
        server.ask("ACL", "SETUSER", user, *(f"-{name}" for name in _SCRIPTS))
    try:
        yield
    finally:
        for server, user in users:
            server.ask("ACL", "SETUSER", user, *(f"+{name}" for name in _SCRIPTS))


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


async def becomes(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until the condition holds."""
    end = time.monotonic() + 10
    while not await condition():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.01)


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
