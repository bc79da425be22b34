"""httpx with Authlib's asynchronous client, as Authlib's «OAuth for HTTPX» and httpx's «Resource Limits» show them.

Authlib logs in, looks before each request whether its token is still good (`ensure_active_token`) and signs the
request. Connections are kept for as long as the run lasts, which is more than httpx does by itself. It looks neither at
the status nor at `response_code`, repeats nothing, and leaves amounts as floats and dates as strings; without a
refresh token it cannot renew what came for a password.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import authlib.deprecate  # noqa: F401 (it asks for its warnings to be shown, so it has to come before they are hidden)
import httpx

from benchmarks._samples import BILL_PATH, TOKEN_PATH

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Authlib would like httpx2 better
    from authlib.integrations.httpx_client import AsyncOAuth2Client

if TYPE_CHECKING:
    from enkash_async import Credentials

__all__ = ["connected"]


@contextlib.asynccontextmanager
async def connected(
    base_url: str, credentials: Credentials, connections: int
) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Log in, and yield what reads a bill and returns its reference.

    Args:
        base_url: Where the server is.
        credentials: Of the server.
        connections: The most that may be open.
    """
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=None)
    async with AsyncOAuth2Client(credentials.client_id, credentials.client_secret, limits=limits) as client:
        who = {"username": credentials.username, "password": credentials.password, "clientId": credentials.client_id}
        await client.fetch_token(base_url + TOKEN_PATH, grant_type="password", **who)

        async def get(bill_id: str) -> str:
            reply = await client.get(f"{base_url}{BILL_PATH}{bill_id}")
            reference: str = reply.json()["payload"]["referenceId"]
            return reference

        yield get
