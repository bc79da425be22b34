"""An asyncio SDK for the EnKash Bill Payment API: exact money, shared tokens, no guessed outcomes.

Unofficial; not affiliated with EnKash.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enkash_async._transport import Timeouts
    from enkash_async._version import __version__
    from enkash_async.bulk import BulkItem, BulkResult
    from enkash_async.client import EnkashClient
    from enkash_async.errors import (
        ApiError,
        AuthenticationError,
        BadRequestError,
        BillerInactiveError,
        BulkError,
        ConfigurationError,
        CredentialsRejectedError,
        DuplicateReferenceError,
        EnkashError,
        InvalidRequestError,
        LoginGuardError,
        NotFoundError,
        OutcomeUnknownError,
        PermissionDeniedError,
        RateLimitError,
        RequestTimeoutError,
        ResponseDecodeError,
        ServerError,
        TokenEndpointError,
        TokenError,
        TokenReplyError,
        TokenStoreError,
        TransportError,
        VelocityLimitError,
        WaitTimeoutError,
    )
    from enkash_async.models import (
        ApprovalStatus,
        Bill,
        BillCopyStatus,
        Biller,
        BillerCategory,
        BillerParam,
        BillerType,
        BillFilter,
        BillPayStatus,
        Circle,
        CompanyBiller,
        FetchedBill,
        Outcome,
        PaymentInitiation,
        PaymentMode,
        PaymentStatus,
        PaymentType,
    )
    from enkash_async.paging import AsyncPager
    from enkash_async.retry import PollPolicy, RetryPolicy
    from enkash_async.routes import Routes
    from enkash_async.tokens import (
        CachingTokenProvider,
        Credentials,
        Identity,
        InMemoryTokenProvider,
        MemoryTokenStore,
        PasswordGrant,
        ProviderState,
        StaticTokenProvider,
        Token,
        TokenProvider,
        TokenSource,
        TokenStore,
    )

__all__ = [
    "ApiError",
    "ApprovalStatus",
    "AsyncPager",
    "AuthenticationError",
    "BadRequestError",
    "Bill",
    "BillCopyStatus",
    "BillFilter",
    "BillPayStatus",
    "Biller",
    "BillerCategory",
    "BillerInactiveError",
    "BillerParam",
    "BillerType",
    "BulkError",
    "BulkItem",
    "BulkResult",
    "CachingTokenProvider",
    "Circle",
    "CompanyBiller",
    "ConfigurationError",
    "Credentials",
    "CredentialsRejectedError",
    "DuplicateReferenceError",
    "EnkashClient",
    "EnkashError",
    "FetchedBill",
    "Identity",
    "InMemoryTokenProvider",
    "InvalidRequestError",
    "LoginGuardError",
    "MemoryTokenStore",
    "NotFoundError",
    "Outcome",
    "OutcomeUnknownError",
    "PasswordGrant",
    "PaymentInitiation",
    "PaymentMode",
    "PaymentStatus",
    "PaymentType",
    "PermissionDeniedError",
    "PollPolicy",
    "ProviderState",
    "RateLimitError",
    "RequestTimeoutError",
    "ResponseDecodeError",
    "RetryPolicy",
    "Routes",
    "ServerError",
    "StaticTokenProvider",
    "Timeouts",
    "Token",
    "TokenEndpointError",
    "TokenError",
    "TokenProvider",
    "TokenReplyError",
    "TokenSource",
    "TokenStore",
    "TokenStoreError",
    "TransportError",
    "VelocityLimitError",
    "WaitTimeoutError",
    "__version__",
]

# Loaded on first use (PEP 562): values and errors do not need aiohttp.
_HOMES = {
    "Timeouts": "enkash_async._transport",
    "__version__": "enkash_async._version",
    "BulkItem": "enkash_async.bulk",
    "BulkResult": "enkash_async.bulk",
    "EnkashClient": "enkash_async.client",
    "ApiError": "enkash_async.errors",
    "AuthenticationError": "enkash_async.errors",
    "BadRequestError": "enkash_async.errors",
    "BillerInactiveError": "enkash_async.errors",
    "BulkError": "enkash_async.errors",
    "ConfigurationError": "enkash_async.errors",
    "CredentialsRejectedError": "enkash_async.errors",
    "DuplicateReferenceError": "enkash_async.errors",
    "EnkashError": "enkash_async.errors",
    "InvalidRequestError": "enkash_async.errors",
    "LoginGuardError": "enkash_async.errors",
    "NotFoundError": "enkash_async.errors",
    "OutcomeUnknownError": "enkash_async.errors",
    "PermissionDeniedError": "enkash_async.errors",
    "RateLimitError": "enkash_async.errors",
    "RequestTimeoutError": "enkash_async.errors",
    "ResponseDecodeError": "enkash_async.errors",
    "ServerError": "enkash_async.errors",
    "TokenEndpointError": "enkash_async.errors",
    "TokenError": "enkash_async.errors",
    "TokenReplyError": "enkash_async.errors",
    "TokenStoreError": "enkash_async.errors",
    "TransportError": "enkash_async.errors",
    "VelocityLimitError": "enkash_async.errors",
    "WaitTimeoutError": "enkash_async.errors",
    "ApprovalStatus": "enkash_async.models",
    "Bill": "enkash_async.models",
    "BillCopyStatus": "enkash_async.models",
    "BillFilter": "enkash_async.models",
    "BillPayStatus": "enkash_async.models",
    "Biller": "enkash_async.models",
    "BillerCategory": "enkash_async.models",
    "BillerParam": "enkash_async.models",
    "BillerType": "enkash_async.models",
    "Circle": "enkash_async.models",
    "CompanyBiller": "enkash_async.models",
    "FetchedBill": "enkash_async.models",
    "Outcome": "enkash_async.models",
    "PaymentInitiation": "enkash_async.models",
    "PaymentMode": "enkash_async.models",
    "PaymentStatus": "enkash_async.models",
    "PaymentType": "enkash_async.models",
    "AsyncPager": "enkash_async.paging",
    "PollPolicy": "enkash_async.retry",
    "RetryPolicy": "enkash_async.retry",
    "Routes": "enkash_async.routes",
    "CachingTokenProvider": "enkash_async.tokens",
    "Credentials": "enkash_async.tokens",
    "Identity": "enkash_async.tokens",
    "InMemoryTokenProvider": "enkash_async.tokens",
    "MemoryTokenStore": "enkash_async.tokens",
    "PasswordGrant": "enkash_async.tokens",
    "ProviderState": "enkash_async.tokens",
    "StaticTokenProvider": "enkash_async.tokens",
    "Token": "enkash_async.tokens",
    "TokenProvider": "enkash_async.tokens",
    "TokenSource": "enkash_async.tokens",
    "TokenStore": "enkash_async.tokens",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value  # so that the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
