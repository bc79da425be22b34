"""What a Redis store accepts, and what it says of everything else without repeating it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st
from redis.asyncio import ConnectionPool, Redis, RedisCluster, sentinel
from tokens.doubles import Clock, Login

from enkash_async.errors import ConfigurationError
from enkash_async.tokens import InMemoryTokenProvider, RedisTokenProvider, RedisTokenStore

from support import shown

LOCAL = "redis://localhost"

# redis-py gives its constructors no types.
Sentinel: Any = sentinel.Sentinel
BlockingSentinel: Any = redis.Sentinel

# What may stand in a URL and must not stand in an error. At module level, since a test's locals are looked through.
PASSWORD = "pa55w0rd"
BAD_WITH_PASSWORD = (
    f"redsi://:{PASSWORD}@localhost",
    f"redis://:{PASSWORD}@localhost:notaport",
    f"redis://:{PASSWORD}@localhost:99999999",
    f"redis://:{PASSWORD}@[::1",
    f"//:{PASSWORD}@localhost",
    f":{PASSWORD}@localhost:6379",
    f"localhost:6379,password={PASSWORD}",
    f"redis+sentinel://:{PASSWORD}@localhost",
    f"redis+sentinel://:{PASSWORD}@localhost/service/more",
    f"redis+sentinel://:{PASSWORD}@/service",
    f"redis+sentinel://localhost:x/service?sentinel_password={PASSWORD}",
    f"redis+cluster://:{PASSWORD}@localhost/0",
    f"redis+cluster://:{PASSWORD}@",
    f"redis+other://:{PASSWORD}@localhost",
    f"unix+cluster://:{PASSWORD}@localhost",
    f"redis://localhost?max_connections={PASSWORD}",
    f"redis://localhost?socket_timeout={PASSWORD}&password={PASSWORD}",
)

GOOD = (
    "redis://localhost",
    "redis://localhost:6380/3",
    f"redis://user:{PASSWORD}@localhost:6379/0",
    f"redis://:{PASSWORD}@[::1]:6379",
    "redis://localhost?protocol=3&health_check_interval=10",
    "rediss://localhost?ssl_cert_reqs=none",
    f"unix://:{PASSWORD}@/run/redis.sock?db=1",
    "redis+sentinel://one,two:26380,[::1]:26379/service",
    f"redis+sentinel://user:{PASSWORD}@one,two/service?sentinel_username=watcher&sentinel_password={PASSWORD}&db=2",
    "rediss+sentinel://one/service",
    "redis+cluster://one:7000,two:7001",
    f"rediss+cluster://user:{PASSWORD}@one",
    "REDIS://localhost",
)


def store_of(argument: Any = LOCAL, **options: Any) -> RedisTokenStore:
    return RedisTokenStore(argument, **options)


# --- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        Redis,
        lambda: RedisCluster(host="localhost"),
        lambda: Sentinel([("localhost", 26379)]).master_for("service"),
        lambda: Redis(connection_pool=ConnectionPool()),
        lambda: Redis(decode_responses=True, protocol=3),
    ],
)
async def test_every_asyncio_client_is_one(make: Any) -> None:
    """The store takes every asyncio client and does not change it."""
    client = make()
    store = store_of(client)
    assert repr(client) not in repr(store)
    await store.aclose()
    await client.aclose()


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (redis.Redis(), "redis.client.Redis"),
        (redis.ConnectionPool(), "redis.connection.ConnectionPool"),
        (BlockingSentinel([]), "redis.sentinel.Sentinel"),
        (ConnectionPool(), "redis.asyncio.connection.ConnectionPool"),
        (Sentinel([]), "redis.asyncio.sentinel.Sentinel"),
        (None, "builtins.NoneType"),
        (6379, "builtins.int"),
        (b"redis://localhost", "builtins.bytes"),
        ({"host": "localhost"}, "builtins.dict"),
    ],
)
def test_what_is_no_client_is_named_by_its_kind(wrong: object, kind: str) -> None:
    """The store refuses a blocking client, which would stop the event loop."""
    with pytest.raises(ConfigurationError) as caught:
        store_of(wrong)
    assert str(caught.value) == f"redis must be a client of redis.asyncio, or a URL, not {kind}"


# --- other arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "{x}", "a{", "}", None, 5, b"enkash"])
def test_a_prefix_has_no_braces(prefix: object) -> None:
    """Braces would change which part of a key decides on its slot."""
    with pytest.raises(ConfigurationError, match="prefix must be a non-empty str without braces"):
        store_of(prefix=prefix)


@pytest.mark.parametrize("timeout", [0, -1, 60, 1e9, math.nan, math.inf, None, "0.25", True])
def test_a_time_out_is_a_number_of_seconds(timeout: object) -> None:
    """The store refuses milliseconds and None."""
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds above 0 and below 60"):
        store_of(timeout=timeout)


def test_a_provider_takes_the_same_arguments(clock: Clock) -> None:
    """The provider checks the store's arguments and its own, in both constructors."""
    mistakes: list[dict[str, Any]] = [
        {"prefix": ""},
        {"timeout": 0},
        {"sealer": "key"},
        {"on_store_down": "serve_stale"},
    ]
    for wrong in mistakes:
        with pytest.raises(ConfigurationError):
            RedisTokenProvider(Login(clock), LOCAL, **wrong)
        with pytest.raises(ConfigurationError):
            RedisTokenProvider.from_url(Login(clock), LOCAL, **wrong)
    with pytest.raises(ConfigurationError, match="TokenSource"):
        RedisTokenProvider("not a source", LOCAL)  # type: ignore[arg-type]
    provider = RedisTokenProvider.from_url(Login(clock), LOCAL, prefix="mine", timeout=1, on_store_down="serve")
    assert not isinstance(provider, InMemoryTokenProvider)


# --- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", GOOD)
def test_a_url_is_taken(url: str) -> None:
    """The store accepts the URL and opens no connection."""
    assert PASSWORD not in repr(vars(store_of(url)))
    assert PASSWORD not in repr(vars(RedisTokenStore.from_url(url)._link))


@pytest.mark.parametrize("url", BAD_WITH_PASSWORD)
def test_a_bad_url_is_not_repeated(url: str) -> None:
    """The message shows a good URL in place of the given one, which may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        store_of(url)
    assert "redis://host:6379/0" in str(caught.value)
    assert PASSWORD not in shown(caught.value, frames=False)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    "make",
    [
        RedisTokenStore,
        RedisTokenStore.from_url,
        lambda url: RedisTokenProvider(Login(Clock()), url),
        lambda url: RedisTokenProvider.from_url(Login(Clock()), url),
    ],
)
def test_a_bad_url_is_not_shown_by_a_traceback(make: Callable[[str], object]) -> None:
    """The package's frames hold no local variable with the URL."""
    with pytest.raises(ConfigurationError) as caught:
        make(BAD_WITH_PASSWORD[0])
    assert PASSWORD not in shown(caught.value)


@pytest.mark.parametrize("wrong", [{"prefix": ""}, {"timeout": 0}, {"sealer": 5}])
def test_a_good_url_beside_a_mistake_is_not_shown_by_a_traceback(wrong: dict[str, object]) -> None:
    """No traceback shows the password of the URL when another argument is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        RedisTokenStore(GOOD[2], **wrong)  # type: ignore[arg-type]
    assert PASSWORD not in shown(caught.value)


SCHEMES = ["redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "http", "redis+", "+", ""]
PARTS = st.text(st.characters(exclude_categories=()), max_size=12)
URLS = st.builds(
    lambda scheme, login, host, port, path, query: f"{scheme}://{login}{host}{port}{path}{query}",
    st.sampled_from(SCHEMES),
    st.one_of(st.just(""), PARTS.map("user:{}@".format), PARTS.map(":{}@".format)),
    st.one_of(st.sampled_from(["localhost", "[::1]", "[", "a,b", "a:1,b:2", ",", "%zz"]), PARTS),
    st.one_of(st.just(""), st.integers(-1, 70_000).map(":{}".format), PARTS.map(":{}".format)),
    st.one_of(st.sampled_from(["", "/", "/0", "/service", "//", "/a/b"]), PARTS.map("/{}".format)),
    st.one_of(
        st.just(""),
        st.builds(
            "?{}={}".format,
            st.sampled_from(
                ["db", "protocol", "socket_timeout", "max_connections", "ssl_cert_reqs", "x", "retry", "host"]
            ),
            PARTS,
        ),
    ),
)


def _said_of_nothing() -> str:
    """Return what is said of a text that has nothing in it to repeat."""
    with pytest.raises(ConfigurationError) as caught:
        store_of("")
    return str(caught.value)


@given(st.one_of(st.text(), URLS))
@example("redis://[")
@example("redis://\udcff@localhost")
@example("redis://localhost:\u0663")
@example("redis+sentinel://a\u2100b/service")
def test_any_text_is_a_url_or_a_mistake(text: str) -> None:
    """The store takes a text or raises its own error for it."""
    try:
        store_of(text)
    except ConfigurationError as mistake:
        assert str(mistake) == _said_of_nothing()
        assert vars(mistake) == {}
        assert mistake.__cause__ is mistake.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost?sokcet_timeout=1",
        "redis://localhost?protocol=9",
        "redis+cluster://localhost?sokcet_timeout=1",
        "redis+sentinel://localhost/service?sokcet_timeout=1",
    ],
)
def test_an_option_that_redis_does_not_know_is_a_mistake(url: str) -> None:
    """The store raises at once; a failure at the first login would look like an absent Redis."""
    with pytest.raises(ConfigurationError):
        store_of(url)
