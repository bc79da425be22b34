"""A worker is told to end while it waits for the login of another."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from enkash_async._http.login import PasswordGrant
from enkash_async.errors import TokenError
from enkash_async.sandbox import Sandbox
from enkash_async.tokens import Lead, RedisTokenProvider, RedisTokenStore

from servers import Server


@pytest.mark.parametrize("turns", range(1, 17))
async def test_a_worker_ends_at_once_whatever_it_is_about(server: Server, turns: int) -> None:
    """Closing interrupts the refresh at any point of a Redis command, and callers get an error."""
    async with Sandbox() as sandbox, Redis.from_url(server.url, socket_timeout=5) as redis:
        source = PasswordGrant(sandbox.base_url, sandbox.credentials)
        # Somebody else has the lease, and the connection is open.
        assert isinstance(await RedisTokenStore(redis).claim(source.identity, "another", above=-1), Lead)
        provider = RedisTokenProvider(source, redis)
        asking = asyncio.create_task(provider.get_token())
        for _ in range(turns):
            await asyncio.sleep(0)
        closed, told = await asyncio.gather(asyncio.wait_for(provider.aclose(), 3), asking, return_exceptions=True)
    assert closed is None
    assert isinstance(told, TokenError)
    assert sandbox.counts["token"] == 0
