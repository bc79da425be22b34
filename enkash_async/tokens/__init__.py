"""Tokens: how they are obtained, kept, renewed and shared."""

from enkash_async.tokens._credentials import NEEDED, Credentials, Identity, missing
from enkash_async.tokens._memory_and_redis import InMemoryTokenProvider, RedisTokenProvider
from enkash_async.tokens._provider import LOGIN_TIMEOUT, StoreTokenProvider
from enkash_async.tokens._refresh import OnStoreDown
from enkash_async.tokens._sealer import TokenSealer
from enkash_async.tokens._static import StaticTokenProvider
from enkash_async.tokens._types import ProviderState, SharedTokenProvider, Token, TokenProvider, TokenSource

__all__ = [
    "LOGIN_TIMEOUT",
    "NEEDED",
    "Credentials",
    "Identity",
    "InMemoryTokenProvider",
    "OnStoreDown",
    "ProviderState",
    "RedisTokenProvider",
    "SharedTokenProvider",
    "StaticTokenProvider",
    "StoreTokenProvider",
    "Token",
    "TokenProvider",
    "TokenSealer",
    "TokenSource",
    "missing",
]
