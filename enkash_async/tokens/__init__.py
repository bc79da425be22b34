"""Tokens: how they are obtained, kept, renewed and shared."""

from enkash_async.tokens._credentials import Credentials, Identity
from enkash_async.tokens._memory import MemoryTokenStore
from enkash_async.tokens._provider import CachingTokenProvider, InMemoryTokenProvider, ProviderState
from enkash_async.tokens._redis import RedisTokenProvider, RedisTokenStore
from enkash_async.tokens._renewal import OnStoreDown
from enkash_async.tokens._sealer import TokenSealer
from enkash_async.tokens._static import StaticTokenProvider
from enkash_async.tokens._status import StoreStatus
from enkash_async.tokens._types import (
    Claim,
    Cooling,
    Failure,
    Found,
    Lead,
    Refused,
    Token,
    TokenProvider,
    TokenSource,
    TokenStore,
    Wait,
)

__all__ = [
    "CachingTokenProvider",
    "Claim",
    "Cooling",
    "Credentials",
    "Failure",
    "Found",
    "Identity",
    "InMemoryTokenProvider",
    "Lead",
    "MemoryTokenStore",
    "OnStoreDown",
    "ProviderState",
    "RedisTokenProvider",
    "RedisTokenStore",
    "Refused",
    "StaticTokenProvider",
    "StoreStatus",
    "Token",
    "TokenProvider",
    "TokenSealer",
    "TokenSource",
    "TokenStore",
    "Wait",
]
