"""Tokens: how they are obtained, kept, renewed and shared."""

from enkash_async.tokens._grant import PasswordGrant
from enkash_async.tokens._memory import MemoryTokenStore
from enkash_async.tokens._provider import CachingTokenProvider, InMemoryTokenProvider, ProviderState
from enkash_async.tokens._static import StaticTokenProvider
from enkash_async.tokens._types import (
    Claim,
    Cooling,
    Credentials,
    Failure,
    Found,
    Identity,
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
    "PasswordGrant",
    "ProviderState",
    "Refused",
    "StaticTokenProvider",
    "Token",
    "TokenProvider",
    "TokenSource",
    "TokenStore",
    "Wait",
]
