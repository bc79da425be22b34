"""The processes of a fleet, and the orders that they carry out."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol

import aiohttp
import attrs

from benchmarks._samples import BILL_PATH, TOKEN_PATH
from benchmarks._server import CREDENTIALS
from benchmarks.peers.fleet_aiocache import AiocacheRedLock
from benchmarks.peers.fleet_redis_lock import RedisLock
from enkash_async import EnkashClient, PasswordGrant, RedisTokenProvider

__all__ = ["OURS", "PEERS", "Ask", "Call", "Close", "Fleet", "Load", "Make", "fleet"]

OURS = "enkash_async"

_BILL = "UTIL-00000001"


# --- who is compared --------------------------------------------------------------------------------------------------

_Login = Callable[[], Awaitable[tuple[str, float]]]


class _Contender(Protocol):
    """Gets tokens, and calls the API with them."""

    async def get_token(self) -> object:
        """Return a valid token."""
        ...

    async def call(self) -> object:
        """Make one API request."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class _Tokens(Protocol):
    async def get_token(self) -> str: ...

    async def aclose(self) -> None: ...


_TOKENS: dict[str, Callable[[str, _Login], _Tokens]] = {
    "redis-py Lock": RedisLock,
    "aiocache RedLock": AiocacheRedLock,
}
PEERS = tuple(_TOKENS)


class _Ours:
    """Our provider, and our client, which uses it."""

    def __init__(self, base_url: str, redis_url: str) -> None:
        self._tokens = RedisTokenProvider.from_url(PasswordGrant(base_url, CREDENTIALS), redis_url)
        self._client = EnkashClient(base_url, tokens=self._tokens)
        self.get_token = self._tokens.get_token

    async def call(self) -> object:
        """Read a bill."""
        return await self._client.bills.get(_BILL)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        await self._tokens.aclose()


class _Peer:
    """A peer's provider, and an aiohttp session that sends its tokens."""

    def __init__(self, base_url: str, tokens: _Tokens, session: aiohttp.ClientSession) -> None:
        self._url = f"{base_url}{BILL_PATH}{_BILL}"
        self._tokens = tokens
        self._session = session
        self.get_token = tokens.get_token

    async def call(self) -> object:
        """Read a bill."""
        token = await self._tokens.get_token()
        async with self._session.get(self._url, headers={"Authorization": f"Bearer {token}"}) as reply:
            return await reply.json()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self._tokens.aclose()


async def _contender(who: str, base_url: str, redis_url: str) -> _Contender:
    if who == OURS:
        return _Ours(base_url, redis_url)
    session = aiohttp.ClientSession(raise_for_status=True)

    async def login() -> tuple[str, float]:
        form = {"grant_type": "password", "username": CREDENTIALS.username, "password": CREDENTIALS.password}
        auth = aiohttp.BasicAuth(CREDENTIALS.client_id, CREDENTIALS.client_secret)
        async with session.post(base_url + TOKEN_PATH, data=form, auth=auth) as reply:
            got = await reply.json()
        return got["access_token"], got["expires_in"]

    return _Peer(base_url, _TOKENS[who](redis_url, login), session)


# --- what a process is told -------------------------------------------------------------------------------------------


class _Worker:
    """The state of a process: its contender."""

    def __init__(self) -> None:
        self._made: _Contender | None = None

    @property
    def contender(self) -> _Contender:
        """The contender that was made last."""
        if self._made is None:
            raise RuntimeError("no contender was made yet")
        return self._made

    async def make(self, who: str, base_url: str, redis_url: str) -> None:
        """Replace the contender by a new one."""
        self._made = await _contender(who, base_url, redis_url)


class _Order(Protocol):
    async def carry_out(self, worker: _Worker) -> Any: ...


@attrs.frozen
class Make:
    """Make a new contender, without any connection yet.

    Args:
        who: `OURS`, or one of `PEERS`.
        base_url: URL of the server for logins and calls.
        redis_url: URL of the Redis through which the processes share a token.
    """

    who: str
    base_url: str
    redis_url: str

    async def carry_out(self, worker: _Worker) -> None:
        """Carry out the order."""
        await worker.make(self.who, self.base_url, self.redis_url)


@attrs.frozen
class Ask:
    """Ask for one token; the answer is the seconds taken.

    Args:
        at: Start, in monotonic seconds, which the processes of one machine share.
    """

    at: float

    async def carry_out(self, worker: _Worker) -> float:
        """Carry out the order."""
        await _until(self.at)
        begun = time.monotonic()
        await worker.contender.get_token()
        return time.monotonic() - begun


@attrs.frozen
class Load:
    """Ask for tokens for a while; the answer is the start and the duration of each call, in seconds.

    Args:
        at: As for `Ask`.
        seconds: Duration of the load.
        callers: Concurrent callers of this process.
        pause: Seconds between the calls of one caller.
    """

    at: float
    seconds: float
    callers: int
    pause: float

    async def carry_out(self, worker: _Worker) -> list[tuple[float, float]]:
        """Carry out the order."""
        get_token, end = worker.contender.get_token, self.at + self.seconds
        calls: list[tuple[float, float]] = []

        async def caller(number: int) -> None:
            await _until(self.at + number * self.pause / self.callers)
            while (begun := time.monotonic()) < end:
                await get_token()
                calls.append((begun, time.monotonic() - begun))
                await asyncio.sleep(self.pause)

        await asyncio.gather(*map(caller, range(self.callers)))
        return calls


@attrs.frozen
class Call:
    """Make API requests, one after another, with the current token.

    Args:
        times: Number of requests.
    """

    times: int

    async def carry_out(self, worker: _Worker) -> None:
        """Carry out the order."""
        for _ in range(self.times):
            await worker.contender.call()


@attrs.frozen
class Close:
    """Close the contender that was made last."""

    async def carry_out(self, worker: _Worker) -> None:
        """Carry out the order."""
        await worker.contender.aclose()


async def _until(instant: float) -> None:
    await asyncio.sleep(max(0.0, instant - time.monotonic()))


async def _obey(orders: Connection) -> None:
    worker = _Worker()
    while True:
        try:
            order: _Order | None = await asyncio.to_thread(orders.recv)
        except EOFError:  # the parent process is gone
            return
        if order is None:
            return
        orders.send(await order.carry_out(worker))


def _process(orders: Connection) -> None:
    asyncio.run(_obey(orders))


# --- from outside -----------------------------------------------------------------------------------------------------


class Fleet:
    """Processes that wait for orders.

    Args:
        orders: A pipe to each process.
    """

    def __init__(self, orders: Sequence[Connection]) -> None:
        self._orders = orders

    def tell(self, number: int, order: _Order) -> list[Any]:
        """Let the first `number` processes carry out an order at the same time, and return their answers.

        Raises:
            EOFError: A process failed; it wrote the reason to the standard error stream.
        """
        chosen = self._orders[:number]
        for each in chosen:
            each.send(order)
        return [each.recv() for each in chosen]


@contextlib.contextmanager
def fleet(size: int) -> Iterator[Fleet]:
    """Start processes, and end them when the `with` block ends.

    Args:
        size: Number of processes.
    """
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        orders = []
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_process, args=(theirs,), daemon=True)
            process.start()
            theirs.close()  # so that `recv` raises EOFError when the process ends
            stack.callback(process.join)
            stack.callback(ours.close)
            orders.append(ours)
        yield Fleet(orders)
