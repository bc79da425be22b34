"""A Redis user with no more permissions than a token store needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from stores.lives import COMMANDS, full_life, provider

from enkash_async.errors import TokenStoreError
from enkash_async.sandbox import Sandbox
from enkash_async.tokens import RedisTokenStore

from servers import HOST, Server

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"

_USER = "enkash"
_PASSWORD = "made-up"


def _allow(server: Server, commands: Iterable[str], keys: str = "~enkash:v1:*") -> None:
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
    store = RedisTokenStore.from_url(_url(server, protocol))
    await full_life(store)
    await store.aclose()


async def test_one_more_keeps_the_log_of_the_acl_empty(server: Server) -> None:
    """redis-py sends its name with every connection, and works without the permission too."""
    server.ask("ACL", "LOG", "RESET")
    _allow(server, [*COMMANDS, "client|setinfo"])
    store = RedisTokenStore.from_url(_url(server, 2))
    await full_life(store)
    await store.aclose()
    assert server.ask("ACL", "LOG") == []


async def test_the_line_of_the_page_for_operators_works(server: Server) -> None:
    """The line works once its password is replaced, and allows these commands alone."""
    [line] = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("ACL SETUSER")]
    server.ask(*line.replace(">password", f">{_PASSWORD}").split())
    store = RedisTokenStore.from_url(_url(server, 3))
    await full_life(store)
    await store.aclose()
    assert {word[1:] for word in line.split() if word[0] == "+"} == {*COMMANDS, "client|setinfo"}


@pytest.mark.parametrize("missing", COMMANDS)
async def test_each_of_them_is_needed(server: Server, missing: str) -> None:
    """Without any one of them the store reports that Redis refuses."""
    _allow(server, [command for command in COMMANDS if command != missing])
    store = RedisTokenStore.from_url(_url(server, 3))
    with pytest.raises(TokenStoreError, match="Redis refuses"):
        await full_life(store)
    await store.aclose()


async def test_other_keys_are_forbidden(server: Server) -> None:
    """A user for another prefix cannot read these tokens."""
    _allow(server, COMMANDS, keys="~others:v1:*")
    stores = [RedisTokenStore.from_url(_url(server, 3), prefix=prefix) for prefix in ("enkash", "others")]
    with pytest.raises(TokenStoreError, match="Redis refuses"):
        await full_life(stores[0])
    await full_life(stores[1])
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("missing", ["eval", "evalsha"])
async def test_a_user_without_scripts_makes_no_login(server: Server, sandbox: Sandbox, missing: str) -> None:
    """The caller learns that Redis refuses, and no worker makes a login that it cannot share."""
    _allow(server, [command for command in COMMANDS if command != missing])
    worker = provider(sandbox, _url(server, 3))
    with pytest.raises(TokenStoreError, match="Redis refuses to work as a store"):
        await worker.get_token()
    await worker.aclose()
    assert sandbox.counts["token"] == 0
