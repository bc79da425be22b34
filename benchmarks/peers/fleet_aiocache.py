"""The token in a cache of aiocache in Redis, and its `RedLock` around the login.

As aiocache's page «Locking» shows it, with a look at the cache before the lock as well: that is the order of its own
`cached_stampede`, which is not used itself since its time to live is set before anybody knows how long a token lives.

It asks Redis before each request. In the pinned version the lock makes those wait who run in the process that holds it;
others go on at once, each with a login of its own. Its page warns that it is not for «real resource exclusion». It has
no early renewal and no guard against wrong passwords, and the token lies in Redis in plain text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiocache import Cache
from aiocache.lock import RedLock
from yarl import URL

__all__ = ["AiocacheRedLock"]

_KEY = "token"
_LEASE = 2  # seconds, as the page has it
_EARLY = 0.1  # share of its life before the end at which a token is not used any more; ours holds back as much


class AiocacheRedLock:
    """Tokens that processes share.

    Args:
        redis_url: Where.
        login: Logs in and returns a token and the seconds that it lives.
    """

    def __init__(self, redis_url: str, login: Callable[[], Awaitable[tuple[str, float]]]) -> None:
        url = URL(redis_url)
        self._cache = Cache(Cache.REDIS, endpoint=url.host, port=url.port, namespace="main")
        self._login = login

    async def get_token(self) -> str:
        """Return a token that is good for a while."""
        token: str | None = await self._cache.get(_KEY)
        if token is not None:
            return token
        async with RedLock(self._cache, _KEY, lease=_LEASE):
            token = await self._cache.get(_KEY)
            if token is None:
                token, lifetime = await self._login()
                await self._cache.set(_KEY, token, ttl=lifetime * (1 - _EARLY))
            return token

    async def aclose(self) -> None:
        """Close the connections."""
        await self._cache.close()
