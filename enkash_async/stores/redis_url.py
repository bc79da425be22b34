"""Reads Redis URLs, and opens and closes the clients for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit
from weakref import WeakKeyDictionary, WeakSet

import attrs
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from enkash_async._support.text import url_flaw
from enkash_async.errors import ConfigurationError

try:
    from redis.maint_notifications import MaintNotificationsConfig

    # Turns maintenance notifications off: with them, redis-py 8 does not check whether a connection was closed.
    _NO_NOTICES: dict[str, Any] = {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}
except ImportError:  # redis-py 5 has no maintenance notifications
    _NO_NOTICES = {}

__all__ = ["Client", "RedisTarget", "close", "redis_target", "tracked"]

Client: TypeAlias = Redis | RedisCluster

_SINGLE = frozenset({"redis", "rediss", "unix"})
_SENTINEL_PORT = 26379
_WHAT = (
    "the Redis URL must be redis://host:6379/0, rediss://…, unix:///path/to/socket, "
    "redis+sentinel://host:26379,host:26379/service or redis+cluster://host:6379,host:6379, with no other options than "
    "redis-py's"
)


@attrs.frozen
class RedisTarget:
    """Opens clients for a URL.

    Attributes:
        open: Opens a client; must be called in the event loop that uses the client.
        hosts: Number of hosts that may be asked which server holds the records; 0 if the URL names the server itself.
    """

    open: Callable[[], Client]
    hosts: int = 0


def redis_target(url: str, timeout: float, *, reply_timeout: float | None = None) -> RedisTarget:
    """Return the target that opens clients for a URL.

    Args:
        url: `redis://`, `rediss://` or `unix://` as in redis-py,
            `redis+sentinel://[user:password@]host[:port],…/service` or
            `redis+cluster://[user:password@]host[:port],…`; with TLS: `rediss+sentinel`, `rediss+cluster`. Options of
            redis-py may follow as a query; for Sentinel also `sentinel_username` and `sentinel_password`.
        timeout: Seconds for one reply; connecting to one host may take twice as long.
        reply_timeout: Seconds for one reply of the server that holds the records; None for `timeout`.

    Raises:
        ConfigurationError: The URL is unusable; the message does not repeat it, since it may hold a password.
    """
    options: dict[str, Any] = {
        "socket_timeout": reply_timeout or timeout,
        "socket_connect_timeout": 2 * timeout,
        # No retries by redis-py: the store decides, since it knows which commands are safe to repeat.
        "retry": Retry(NoBackoff(), 0),
    }
    if (flaw := url_flaw(url)) is not None:
        raise ConfigurationError(f"the Redis URL {flaw}")
    way: RedisTarget | None = None
    try:
        scheme, _, kind = url.partition("://")[0].lower().partition("+")
        if scheme == "rediss":
            options["ssl_check_hostname"] = True  # the default of redis-py from version 6 on
        if scheme in _SINGLE and not kind:
            way = _single(url, options)
        elif scheme in {"redis", "rediss"} and kind == "sentinel":
            way = _sentinel(url, options, timeout)
        elif scheme in {"redis", "rediss"} and kind == "cluster":
            way = _cluster(url, options)
        if way is not None:
            _try_out(way.open())
    except Exception:  # noqa: BLE001 (redis-py and urllib raise errors of many kinds)
        way = None
    if way is None:
        raise ConfigurationError(_WHAT)
    return way


def _try_out(client: Client) -> None:
    """Check the options of a client: redis-py checks them when it makes a connection object, before it connects."""
    if isinstance(client, Redis):
        pool: Any = client.connection_pool  # redis-py has no type hints for this method
        pool.make_connection()


async def close(client: Client) -> None:
    """Close a client that was opened here, and all its connections to Sentinels or nodes, even if closing one fails."""
    async with AsyncExitStack() as stack:
        if isinstance(client, RedisCluster):
            for connection in _connections_of.get(client, ()):
                stack.push_async_callback(connection.disconnect)
        pool = client.connection_pool if isinstance(client, Redis) else None
        if isinstance(pool, SentinelConnectionPool):
            for sentinel in pool.sentinel_manager.sentinels:
                stack.push_async_callback(sentinel.aclose)
        stack.push_async_callback(client.aclose)


#: Every connection of a cluster client that `tracked` was called with. redis-py drops its list of nodes when slots
#: move, and closes neither the connections that are in use then, nor those that it is about to replace.
_connections_of: WeakKeyDictionary[RedisCluster, WeakSet[Any]] = WeakKeyDictionary()


def tracked(client: RedisCluster) -> RedisCluster:
    """Return a cluster client that has not connected yet, after preparing it so that `close` closes all connections."""
    connections: WeakSet[Any] = WeakSet()
    made: Any = client.connection_kwargs["connection_class"]

    class Connection(made):  # type: ignore[misc] # the client chooses the class
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            connections.add(self)

    client.connection_kwargs["connection_class"] = Connection
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_class = Connection
    _connections_of[client] = connections
    return client


def _single(url: str, options: dict[str, Any]) -> RedisTarget:
    return RedisTarget(lambda: Redis.from_url(url, **options, **_NO_NOTICES))


def _sentinel(url: str, options: dict[str, Any], timeout: float) -> RedisTarget:
    parts = _Parts.of(url)
    service = parts.path.strip("/")
    if not service or "/" in service:
        raise ValueError("no service")
    query = dict(parse_qsl(parts.query))
    login = {key: query.pop(f"sentinel_{key}") for key in ("username", "password") if f"sentinel_{key}" in query}
    hosts = _hosts(parts.netloc, _SENTINEL_PORT)
    given = _given(parts.scheme, parts.netloc, query)
    tls = {name: value for name, value in given.items() if name.startswith("ssl")}
    of_sentinel = {**options, "socket_timeout": timeout, **login, **tls}

    def connect() -> Client:
        made: Any = Sentinel  # redis-py has no type hints for its constructor
        master: Redis = made(hosts, sentinel_kwargs=of_sentinel, **{**options, **given}).master_for(service)
        return master

    return RedisTarget(connect, len(hosts))


def _cluster(url: str, options: dict[str, Any]) -> RedisTarget:
    parts = _Parts.of(url)
    if parts.path.strip("/"):
        raise ValueError("a cluster has no databases")
    hosts = _hosts(parts.netloc, 6379)
    given = _given(parts.scheme, parts.netloc, dict(parse_qsl(parts.query)))

    def connect() -> Client:
        nodes = [ClusterNode(host, port) for host, port in hosts]
        return tracked(RedisCluster(startup_nodes=nodes, **{**options, **given}))

    return RedisTarget(connect, len(hosts))


@attrs.frozen
class _Parts:
    """The parts of a URL with several hosts; older versions of `urlsplit` refuse an IPv6 address after a comma."""

    scheme: str
    netloc: str
    path: str
    query: str

    @classmethod
    def of(cls, url: str) -> _Parts:
        found = re.fullmatch(r"([A-Za-z+]+)://([^/?#]*)([^?#]*)(?:\?([^#]*))?", url)
        if found is None:
            raise ValueError("not a URL")
        return cls(found[1].lower(), found[2], found[3], found[4] or "")


def _hosts(netloc: str, port: int) -> list[tuple[str, int]]:
    """Return the hosts with their ports, by default `port`; IPv6 addresses must be in brackets."""
    found = []
    for one in netloc.rpartition("@")[2].split(","):
        parts = urlsplit(f"//{one}")
        if not parts.hostname:
            raise ValueError("no host")
        found.append((parts.hostname, parts.port or port))
    return found


def _given(scheme: str, netloc: str, query: dict[str, str]) -> dict[str, Any]:
    """Return user, password and options as redis-py reads them from a URL of one host."""
    login = netloc.rpartition("@")[0]
    read: dict[str, Any] = dict(parse_url(f"redis://{login + '@' * bool(login)}host/?{urlencode(query)}"))
    found = {key: value for key, value in read.items() if key not in {"host", "port", "connection_class"}}
    return {**found, "ssl": True} if scheme.startswith("rediss") else found
