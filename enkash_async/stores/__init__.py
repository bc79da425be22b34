"""Stores: memory that processes share. This package knows nothing of tokens, bills or events."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from enkash_async.stores.actions import Codec, RecordKind, act, act_on_each, act_on_each_beside
from enkash_async.stores.memory import FallbackStore, MemoryStore, process_store
from enkash_async.stores.refusals import refuse_eviction, refuse_forgetting
from enkash_async.stores.store import Cell, Change, Store
from enkash_async.stores.url import open_store

if TYPE_CHECKING:
    from enkash_async.stores.default import default_store
    from enkash_async.stores.documents import DocumentCodec, record_key
    from enkash_async.stores.postgres import PostgresStore
    from enkash_async.stores.redis import RedisStore
    from enkash_async.stores.sqlite import SQLiteStore, user_store_path

__all__ = [
    "Cell",
    "Change",
    "Codec",
    "DocumentCodec",
    "FallbackStore",
    "MemoryStore",
    "PostgresStore",
    "RecordKind",
    "RedisStore",
    "SQLiteStore",
    "Store",
    "act",
    "act_on_each",
    "act_on_each_beside",
    "default_store",
    "open_store",
    "process_store",
    "record_key",
    "refuse_eviction",
    "refuse_forgetting",
    "user_store_path",
]

# Loaded on first use (PEP 562), so that a program that keeps its records in a file does not need redis.
_HOMES = {
    "DocumentCodec": "documents",
    "PostgresStore": "postgres",
    "RedisStore": "redis",
    "SQLiteStore": "sqlite",
    "default_store": "default",
    "record_key": "documents",
    "user_store_path": "sqlite",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value  # later accesses find the value, and do not call this function
    return value
