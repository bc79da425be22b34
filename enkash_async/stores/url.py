"""Opens a store by its URL."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from enkash_async._support.secret import HiddenStr
from enkash_async._support.text import url_flaw
from enkash_async.errors import ConfigurationError
from enkash_async.stores.memory import process_store
from enkash_async.stores.store import Store

__all__ = ["open_store"]

_WHAT = (
    "the store's URL must be sqlite:///path/to/file, redis://host:6379/0, rediss://…, unix:///path/to/socket, "
    "redis+sentinel://host:26379,host:26379/service, redis+cluster://host:6379,host:6379, postgresql://host/database, "
    "or memory:"
)


def open_store(url: str, *, nothing_pending: bool = False) -> Store:
    """Return the store for a URL. The store opens connections when it is first used, and `aclose()` closes them.

    Args:
        url: `sqlite:///absolute/path`, `sqlite:///~/path`, `redis://…`, `rediss://…`, `unix://…`,
            `redis+sentinel://…`, `rediss+sentinel://…`, `redis+cluster://…`, `rediss+cluster://…`, `postgresql://…`,
            or `memory:`, the records in the memory of this process.
        nothing_pending: Declare that no confirmation of a debit is under way anywhere.

    Raises:
        ConfigurationError: The URL names no known store, or the store's library is not installed. The message does not
            repeat the URL, since it may hold a password.
    """
    url = HiddenStr(url)  # the URL may hold a password, and a rendered traceback would show a plain `str`
    scheme = url.partition(":")[0].lower()
    if (flaw := url_flaw(url)) is not None:
        raise ConfigurationError(f"the store's URL {flaw}")
    make = _MAKERS.get(scheme)
    if make is None or ("://" not in url and scheme != "memory"):
        raise ConfigurationError(_WHAT)
    return make(url, nothing_pending)


def _memory(url: str, nothing_pending: bool) -> Store:
    if url.rstrip("/").lower() != "memory:":
        raise ConfigurationError(_WHAT)
    return process_store(nothing_pending=nothing_pending)


def _sqlite(url: str, nothing_pending: bool) -> Store:
    found = re.fullmatch(r"sqlite:///(.+)", url, re.IGNORECASE)
    if found is None:
        raise ConfigurationError("the URL of a file must be sqlite:///absolute/path, or sqlite:///~/path")
    path = unquote(found[1])
    on_its_own = path.startswith("~") or (sys.platform == "win32" and ":" in path[:3])
    return _made("sqlite", "SQLiteStore", Path(path if on_its_own else f"/{path.lstrip('/')}"), nothing_pending)


def _redis(url: str, nothing_pending: bool) -> Store:
    store: Store = _class("redis", "RedisStore").from_url(url, nothing_pending=nothing_pending)
    return store


def _postgres(url: str, nothing_pending: bool) -> Store:
    return _made("postgres", "PostgresStore", url, nothing_pending)


def _made(module: str, name: str, where: str | Path, nothing_pending: bool) -> Store:
    store: Store = _class(module, name)(where, nothing_pending=nothing_pending)
    return store


def _class(module: str, name: str) -> Any:
    """Load the class of a store only now, so that the libraries of other stores need not be installed."""
    return getattr(importlib.import_module(f"enkash_async.stores.{module}"), name)


_REDIS = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")

_MAKERS: Mapping[str, Callable[[str, bool], Store]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgres": _postgres,
    "postgresql": _postgres,
    **dict.fromkeys(_REDIS, _redis),
}
