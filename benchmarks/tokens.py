"""The cost of getting a fresh token from a provider, and of putting it into a header.

One process that neither waits nor sends. `RedisTokenProvider` is not measured: with a fresh token it runs the same
lines as `InMemoryTokenProvider`. Other load on the machine can only slow a batch of calls down, so that the fastest of
a few counts.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable

import aiohttp
import attrs

from benchmarks._results import Bound, Result, Settings, compared
from benchmarks._rounds import Round, interleave
from benchmarks._server import CREDENTIALS, Server
from benchmarks.peers import token_authlib, token_azure, token_clock
from benchmarks.peers.token_botocore import Botocore
from benchmarks.peers.token_google import Google
from benchmarks.peers.token_lock import LockedCache
from enkash_async import InMemoryTokenProvider, PasswordGrant

__all__ = ["run"]

_OURS = "enkash_async"
_CLOCK = "one clock read"
_FIFTEEN_TIMES = Bound(1 / 15)
_BATCHES = 5  # batches of a round, of which the fastest counts

#: Repeats the measured call the given number of times. Each contender has its own loop: the interpreter runs one shared
#: loop slower, since it calls several kinds of functions there.
_Work = Callable[[int], Awaitable[None]]


@attrs.frozen
class _Ours:
    """Our provider, which holds a fresh token."""

    provider: InMemoryTokenProvider

    async def ask(self, times: int) -> None:
        provider = self.provider
        for _ in range(times):
            await provider.get_token()

    async def sign(self, times: int) -> None:
        provider, headers = self.provider, dict[str, str]()
        for _ in range(times):
            headers["Authorization"] = (await provider.get_token()).authorization


def _round(work: _Work, times: int) -> Round:
    async def batch() -> float:
        begun = time.perf_counter()
        await work(times)
        return (time.perf_counter() - begun) / times

    async def measured() -> float:
        return min([await batch() for _ in range(_BATCHES)])

    return measured


async def _logins(server: Server) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{server.base_url}/counts") as reply:
        counts: dict[str, int] = await reply.json(content_type=None)
    return counts.get("token", 0)


async def run(settings: Settings, server: Server) -> list[Result]:
    """Compare providers that have a fresh token.

    Args:
        settings: Amount of work.
        server: Server at which each contender logs in once.
    """
    times = settings.work(10_000, 100)
    locked = LockedCache(server.base_url)
    ours = _Ours(InMemoryTokenProvider(PasswordGrant(server.base_url, CREDENTIALS)))
    async with contextlib.AsyncExitStack() as stack:
        authlib = await stack.enter_async_context(token_authlib.opened(server.base_url))
        azure = await stack.enter_async_context(token_azure.opened(server.base_url))
        stack.push_async_callback(ours.provider.aclose)
        await ours.ask(1)
        await locked.ask(1)
        asking: dict[str, _Work] = {
            _OURS: ours.ask,
            _CLOCK: token_clock.ask,
            "lock around a cache": locked.ask,
            "azure-identity": azure.ask,
            "authlib": authlib.ask,
            "aiobotocore": Botocore().ask,
        }
        signing: dict[str, _Work] = {
            _OURS: ours.sign,
            "azure-core policy": azure.sign,
            "authlib": authlib.sign,
            "google-auth": Google().sign,
            "google-auth aio, static": Google().sign_static,
        }
        before = await _logins(server)
        asked = await interleave({who: _round(work, times) for who, work in asking.items()}, settings.rounds)
        signed = await interleave({who: _round(work, times) for who, work in signing.items()}, settings.rounds)
        if await _logins(server) != before:
            raise RuntimeError("a contender logged in during the measurement, so that it had no fresh token")
    bounds = {_CLOCK: Bound(2.0), "azure-identity": _FIFTEEN_TIMES, "authlib": _FIFTEEN_TIMES}
    return [
        *compared("tokens", "token in hand", asked, cost="time a call", bounds=bounds),
        *compared("tokens", "token in a header", signed, cost="time a call"),
    ]
