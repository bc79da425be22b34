"""A Redis user with no more permissions than a store needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from stores.stores import put, value_of

from enkash_async import PasswordGrant, RedisStore, StoreTokenProvider
from enkash_async.errors import StoreUnavailableError
from enkash_async.sandbox import Sandbox

from servers import HOST, Server

PAGE = Path(__file__).parents[2] / "docs" / "stores.md"

#: Without one of these, the store is away; the page for operators gives them, and two more that keep logs quiet.
COMMANDS = ("eval", "evalsha", "mget", "get", "set", "del", "time")
QUIET = ("info", "client|setinfo")

_USER = "enkash"
_PASSWORD = "made-up"


async def full_life(store: RedisStore) -> None:
    """Set, replace and delete a record, by scripts that the server does not know yet and by known ones."""
    key = "enkash:acl:v2:record"
    assert await value_of(store, key) is None
    assert await put(store, key, b"first")
    assert await put(store, key, b"second", b"first")
    assert not await put(store, key, b"third", b"first")
    assert await value_of(store, key) == b"second"
    assert await put(store, key, None, b"second")


def _allow(server: Server, commands: Iterable[str], keys: str = "~enkash:*") -> None:
    allowed = (f"+{command}" for command in commands)
    server.ask("ACL", "SETUSER", _USER, "reset", "on", f">{_PASSWORD}", keys, "-@all", *allowed)


@pytest.fixture
def server(redis_server: Server) -> Iterator[Server]:
    yield redis_server
    redis_server.ask("ACL", "DELUSER", _USER)


def _url(server: Server, protocol: int) -> str:
    return f"redis://{_USER}:{_PASSWORD}@{HOST}:{server.port}/0?protocol={protocol}"


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_listed_commands_are_enough(server: Server, protocol: int) -> None:
    """The store carries out every step with these commands and its own keys."""
    _allow(server, COMMANDS)
    store = RedisStore.from_url(_url(server, protocol))
    await full_life(store)
    await store.aclose()


async def test_two_more_keep_the_logs_quiet(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """redis-py sends its name with every connection, and the store asks about eviction; both work without too."""
    server.ask("ACL", "LOG", "RESET")
    _allow(server, [*COMMANDS, *QUIET])
    store = RedisStore.from_url(_url(server, 2))
    await full_life(store)
    assert await store.eviction_policy() == "noeviction"
    await store.aclose()
    assert server.ask("ACL", "LOG") == []
    assert "INFO" not in caplog.text


async def test_the_line_of_the_page_for_operators_works(server: Server) -> None:
    """The line works once its password is replaced, and allows these commands alone."""
    [line] = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("ACL SETUSER")]
    server.ask(*line.replace(">password", f">{_PASSWORD}").split())
    store = RedisStore.from_url(_url(server, 3))
    await full_life(store)
    await store.aclose()
    assert {word[1:] for word in line.split() if word[0] == "+"} == {*COMMANDS, *QUIET}


@pytest.mark.parametrize("missing", COMMANDS)
async def test_each_of_them_is_needed(server: Server, missing: str) -> None:
    """Without any one of them the store reports that Redis refuses."""
    _allow(server, [command for command in COMMANDS if command != missing])
    store = RedisStore.from_url(_url(server, 3))
    with pytest.raises(StoreUnavailableError, match="Redis refuses"):
        await full_life(store)
    await store.aclose()


async def test_other_keys_are_forbidden(server: Server) -> None:
    """A user for other keys cannot read these records."""
    _allow(server, COMMANDS, keys="~others:*")
    store = RedisStore.from_url(_url(server, 3))
    with pytest.raises(StoreUnavailableError, match="Redis refuses"):
        await full_life(store)
    assert await value_of(store, "others:key") is None
    await store.aclose()


@pytest.mark.parametrize("missing", COMMANDS)
async def test_a_user_who_lacks_a_command_makes_no_series_of_logins(
    server: Server, sandbox: Sandbox, missing: str
) -> None:
    """The caller learns that Redis refuses; at most one login is made, since it has to be written down first."""
    _allow(server, [command for command in COMMANDS if command != missing])
    store = RedisStore.from_url(_url(server, 3))
    worker = StoreTokenProvider(PasswordGrant(sandbox.base_url, sandbox.credentials), store)
    refused = 0
    for _ in range(5):
        try:
            await worker.get_token()
        except StoreUnavailableError as problem:
            assert "Redis refuses to work as a store" in str(problem)
            refused += 1
    assert refused == (0 if missing == "del" else 5)  # a token's record is never deleted
    assert sandbox.counts["token"] == (1 if missing == "del" else 0)
    await worker.aclose()
    await store.aclose()
