"""Token providers for the two most common stores: the memory of this process, and Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from enkash_async._support.secret import HiddenStr
from enkash_async.stores import process_store
from enkash_async.tokens._provider import ProviderOptions, StoreTokenProvider
from enkash_async.tokens._types import TokenSource

if TYPE_CHECKING:
    from enkash_async.stores.redis import RedisStore
    from enkash_async.stores.redis_url import Client

__all__ = ["InMemoryTokenProvider", "RedisTokenProvider"]


class InMemoryTokenProvider(StoreTokenProvider):
    """Hands out tokens of a source, shared within this process.

    All providers of the process share one login and one guard. Other processes share neither: each logs in for itself,
    so several workers with a wrong password can together lock the account. For several processes, use a `SQLiteStore`
    or Redis.

    Args:
        source: Object that logs in, such as a `PasswordGrant`. The other arguments are those of `StoreTokenProvider`.
    """

    def __init__(self, source: TokenSource, **options: Unpack[ProviderOptions]) -> None:
        super().__init__(source, process_store(), **options)


class RedisTokenProvider(StoreTokenProvider):
    """Hands out tokens of a source, shared by all processes that use the same Redis.

    Args:
        source: Object that logs in, such as a `PasswordGrant`.
        redis: Your asyncio client of redis-py (`Redis`, `RedisCluster`, or what `Sentinel.master_for` returns), or a
            `RedisStore`. The provider never closes it. The other arguments are those of `StoreTokenProvider`.
    """

    def __init__(self, source: TokenSource, redis: Client | RedisStore, **options: Unpack[ProviderOptions]) -> None:
        # Imported here, so that only programs with Redis load redis-py, which loads slower than this whole package.
        from enkash_async.stores.redis import RedisStore  # noqa: PLC0415

        store = redis if isinstance(redis, RedisStore) else RedisStore(redis)
        self._opened = None if store is redis else store
        super().__init__(source, store, **options)

    @classmethod
    def from_url(cls, source: TokenSource, url: str, **options: Unpack[ProviderOptions]) -> Self:
        """Return a provider that opens its own connections; `aclose()` closes them.

        Args:
            source: Object that logs in, such as a `PasswordGrant`.
            url: As in `ENKASH_REDIS_URL`: `redis://`, `rediss://`, `unix://`, `redis+sentinel://host,host/service` or
                `redis+cluster://host,host`. The other arguments are those of `StoreTokenProvider`.

        Raises:
            ConfigurationError: The URL is unusable; the message does not repeat it, since it may hold a password.
        """
        from enkash_async.stores.redis import RedisStore  # noqa: PLC0415

        url = HiddenStr(url) if isinstance(url, str) else url
        store = RedisStore.from_url(url)
        provider = cls(source, store, **options)
        provider._opened = store
        return provider

    async def aclose(self) -> None:
        """Stop a refresh under way, and close the connections that this provider opened."""
        await super().aclose()
        if self._opened is not None:
            await self._opened.aclose()
