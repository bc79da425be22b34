"""What people write by hand: the token in Redis, and the `Lock` of redis-py around the login.

As redis-py's pages «Lock» and «Asynchronous operations with redis-py» show them: GET; where there is nothing, take the
lock, look again, log in, and SET with an end.

It asks Redis before each request. It has no early renewal, so everybody waits while a new token is fetched, and those
who waited take the lock one after another. It has no guard against wrong passwords: each process tries them. The token
lies in Redis in plain text, a login that outlasts its lock is followed by another one, and without Redis there is no
token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

__all__ = ["RedisLock"]

_KEY = "hand-written:token"
_LOCK = "hand-written:lock"
_LONGEST_LOGIN = 10.0  # seconds, after which the lock goes to somebody else
_EARLY = 0.1  # share of its life before the end at which a token is not used any more; ours holds back as much


class RedisLock:
    """Tokens that processes share.

    Args:
        redis_url: Where.
        login: Logs in and returns a token and the seconds that it lives.
    """

    def __init__(self, redis_url: str, login: Callable[[], Awaitable[tuple[str, float]]]) -> None:
        self._redis = Redis.from_url(redis_url, decode_responses=True)
        self._login = login

    async def get_token(self) -> str:
        """Return a token that is good for a while."""
        found = await self._redis.get(_KEY)
        if found is not None:
            return str(found)
        async with self._redis.lock(_LOCK, timeout=_LONGEST_LOGIN):
            found = await self._redis.get(_KEY)
            if found is not None:
                return str(found)
            token, lifetime = await self._login()
            # In milliseconds, since the tokens of a benchmark live for a few seconds only.
            await self._redis.set(_KEY, token, px=int(lifetime * (1 - _EARLY) * 1000))
            return token

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
