"""A Redis user with no more permissions than workers need to share a token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from stores.lives import provider, whole_life
from stores.stores import timed

from enkash_async.errors import StoreUnavailableError
from enkash_async.sandbox import Sandbox
from enkash_async.tokens import Token

from servers import HOST, Server

PAGE = Path(__file__).parents[2] / "docs" / "stores.md"

#: What workers need to share tokens; the page for operators gives them, and one more that keeps a log quiet.
COMMANDS = ("eval", "evalsha", "mget", "get", "set", "del", "time", "info")
QUIET = "client|setinfo"

_USER = "enkash"
_PASSWORD = "made-up"


def _allow(server: Server, commands: Iterable[str], keys: str = "~enkash:*", user: str = _USER) -> None:
    allowed = (f"+{command}" for command in commands)
    server.ask("ACL", "SETUSER", user, "reset", "on", f">{_PASSWORD}", keys, "-@all", *allowed)


@pytest.fixture
def server(redis_server: Server) -> Iterator[Server]:
    yield redis_server
    redis_server.ask("ACL", "DELUSER", _USER, *map(_user_without, COMMANDS))


def _user_without(command: str) -> str:
    return f"{_USER}-without-{command}"


def _url(server: Server, protocol: int, user: str = _USER) -> str:
    return f"redis://{user}:{_PASSWORD}@{HOST}:{server.port}/0?protocol={protocol}"


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_listed_commands_are_enough(server: Server, protocol: int) -> None:
    """Workers take a token through its whole life with these commands and their own keys."""
    _allow(server, COMMANDS)
    await whole_life(_url(server, protocol), [])


async def test_one_more_keeps_the_log_quiet(server: Server) -> None:
    """redis-py sends its name with every connection; Redis notes each refusal of it."""
    server.ask("ACL", "LOG", "RESET")
    _allow(server, [*COMMANDS, QUIET])
    await whole_life(_url(server, 2), [])
    assert server.ask("ACL", "LOG") == []


async def test_the_line_of_the_page_for_operators_works(server: Server) -> None:
    """The line works once its password is replaced, and allows these commands alone."""
    [line] = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("ACL SETUSER")]
    server.ask(*line.replace(">password", f">{_PASSWORD}").split())
    await whole_life(_url(server, 3), [])
    assert {word[1:] for word in line.split() if word[0] == "+"} == {*COMMANDS, QUIET}


async def test_other_keys_are_refused(server: Server, sandbox: Sandbox) -> None:
    """A user for other keys makes no login, since it could not be written down."""
    _allow(server, COMMANDS, keys="~others:*")
    worker = provider(sandbox, _url(server, 3))
    with pytest.raises(StoreUnavailableError, match="Redis refuses"):
        await worker.get_token()
    assert sandbox.counts["token"] == 0
    await worker.aclose()


async def _logins_without(server: Server, missing: str) -> tuple[list[object], int]:
    """Return how five calls end of a worker whose user lacks a command, and how many logins they made."""
    _allow(server, [command for command in COMMANDS if command != missing], user=_user_without(missing))
    async with Sandbox() as sandbox:
        worker = provider(sandbox, _url(server, 3, _user_without(missing)))
        outcomes = [(await timed(worker.get_token()))[0] for _ in range(5)]
        await worker.aclose()
        return outcomes, sandbox.counts["token"]


async def test_a_user_who_lacks_a_command_makes_no_series_of_logins(server: Server) -> None:
    """The caller learns what Redis refuses, and no login is made, since it has to be written down first.

    A token's record is never deleted, so `del` is for other records. The workers run at the same time, because a store
    that refuses changes alone is given up only after seconds; but first the one without EVAL, who needs no EVAL once
    another worker has brought the script.
    """
    ends = {"eval": await _logins_without(server, "eval")}
    others = [command for command in COMMANDS if command != "eval"]
    ends |= zip(others, await asyncio.gather(*(_logins_without(server, each) for each in others)), strict=True)
    for missing, (outcomes, logins) in ends.items():
        if missing == "del":
            assert {type(outcome) for outcome in outcomes} == {Token}
            assert logins == 1
        else:
            words = "allow the command INFO" if missing == "info" else "Redis refuses to work as a store"
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}, missing
            assert all(words in str(outcome) for outcome in outcomes), missing
            assert logins == 0, missing
