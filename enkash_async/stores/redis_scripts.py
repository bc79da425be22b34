"""The two scripts of the store, the functions that run them, and what a server says about itself at connect."""

from __future__ import annotations

import hashlib
import importlib.resources
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import attrs
from redis import exceptions as redis_errors
from redis.asyncio import Redis, RedisCluster
from redis.client import NEVER_DECODE

from enkash_async.stores.redis_url import Client
from enkash_async.stores.store import Change

__all__ = ["READ", "SWAP", "Arguments", "Facts", "Script", "evaluate", "evaluate_durably", "facts_of", "swap_arguments"]

_log = logging.getLogger("enkash_async.stores")

_FSYNC = 1500  # milliseconds for WAITAOF, which takes up to one second with `appendfsync everysec`

Arguments: TypeAlias = Callable[[], Sequence[str | bytes]]


@attrs.frozen
class Script:
    """A Lua script, known to Redis by its hash."""

    text: str
    sha: str


def _script(name: str) -> Script:
    text = importlib.resources.files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


READ = _script("read")
SWAP = _script("swap")


def swap_arguments(group: list[str], by_key: Mapping[str, Change]) -> Arguments:
    """Return a function that makes the arguments of the script for each attempt, so that no frame keeps them."""

    def give() -> list[str | bytes]:
        found: list[str | bytes] = []
        for key in group:
            change = by_key[key]
            keep = "" if change.keep is None else str(max(1, round(change.keep * 1000)))
            found += [_marked(change.old), _marked(change.new), keep]
        return found

    return give


def _marked(value: bytes | None) -> bytes:
    """Encode a value for the script, so that None (no value) differs from an empty value."""
    return b"" if value is None else b"=" + value


async def evaluate(client: Client, what: Script, keys: Sequence[str], arguments: Sequence[str | bytes]) -> Any:
    """Run a script by its hash, or by its text if the server does not know the hash."""
    run = cast("Any", client).execute_command
    options = {NEVER_DECODE: True}  # a user's own client may decode replies as text
    try:
        return await run("EVALSHA", what.sha, len(keys), *keys, *arguments, **options)
    except redis_errors.NoScriptError:
        # The server was restarted, or the slot has moved to another node. EVAL runs the script and loads it for the
        # next call.
        return await run("EVAL", what.text, len(keys), *keys, *arguments, **options)


async def evaluate_durably(
    client: Client, what: Script, keys: Sequence[str], arguments: Sequence[str | bytes], replicas: int
) -> Any:
    """Run a script, and wait on the same connection until its changes are in the append-only files.

    Raises:
        TimeoutError: The changes were not in the files within 1.5 s.
    """
    for command, body in (("EVALSHA", what.sha), ("EVAL", what.text)):
        async with cast("Redis", client).pipeline(transaction=False) as pipe:
            commands = cast("Any", pipe)
            commands.execute_command(command, body, len(keys), *keys, *arguments, **{NEVER_DECODE: True})
            commands.execute_command("WAITAOF", 1, replicas, _FSYNC)
            reply, written = await pipe.execute(raise_on_error=False)
        if not isinstance(reply, redis_errors.NoScriptError):
            break
    for problem in (reply, written):
        if isinstance(problem, Exception):
            raise problem
    if written[0] < 1 or written[1] < replicas:
        raise TimeoutError
    return reply


@attrs.frozen
class Facts:
    """What a server says about itself.

    Attributes:
        policy: The server's `maxmemory-policy`, in a cluster the least safe of its servers; None if unknown.
        replicas: Number of replicas of the server, or the smallest number in a cluster.
    """

    policy: str | None
    replicas: int


async def facts_of(client: Client) -> Facts:
    """Ask a server about itself, and log a warning about settings that may lose records."""
    try:
        told = await _told(client)
    except redis_errors.NoPermissionError:
        _log.warning("Redis does not allow INFO: whether it evicts or loses records cannot be told")
        return Facts(None, 0)
    if not all(int(each.get("aof_enabled", 0)) for each in told):
        _log.warning("Redis keeps no append-only file: a restart loses the last minutes of tokens, debits and events")
    policies = sorted({str(each["maxmemory_policy"]) for each in told if "maxmemory_policy" in each}, key=_badness)
    return Facts(policies[-1] if policies else None, min(int(each.get("connected_slaves", 0)) for each in told))


async def _told(client: Client) -> list[dict[str, Any]]:
    if isinstance(client, RedisCluster):
        said = await client.info(target_nodes=RedisCluster.PRIMARIES)
        return [said] if "redis_version" in said else list(said.values())
    return [await client.info()]


def _badness(policy: str) -> int:
    return 0 if policy == "noeviction" else 1 if policy.startswith("volatile-") else 2
