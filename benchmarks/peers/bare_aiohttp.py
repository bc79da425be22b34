"""aiohttp and the standard library's `json`, as aiohttp's «Client Quickstart» and «Advanced Client Usage» show them.

One session with its headers set once and no cookie jar, which is the least that a call through aiohttp can cost. It
looks neither at the status nor at `response_code`, repeats nothing, sees no end of its token, and leaves amounts as
floats and dates as strings.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import aiohttp

from benchmarks._samples import BILL_PATH, SEARCH_PATH, TOKEN_PATH

if TYPE_CHECKING:
    from enkash_async import Credentials

__all__ = ["connected", "log_in", "page", "session"]


def session(connections: int, headers: dict[str, str] | None = None) -> aiohttp.ClientSession:
    """Return a session.

    Args:
        connections: The most that it may open.
        headers: What goes with each request.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections), cookie_jar=aiohttp.DummyCookieJar(), headers=headers
    )


async def log_in(base_url: str, credentials: Credentials) -> str:
    """Return the header of a new token.

    Args:
        base_url: Where the server is.
        credentials: Of the server.
    """
    form = {
        "grant_type": "password",
        "username": credentials.username,
        "password": credentials.password,
        "clientId": credentials.client_id,
    }
    headers = {"Authorization": aiohttp.encode_basic_auth(credentials.client_id, credentials.client_secret)}
    async with session(1, headers) as plain, plain.post(f"{base_url}{TOKEN_PATH}", data=form) as reply:
        return f"Bearer {json.loads(await reply.read())['access_token']}"


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
    headers = {"Authorization": await log_in(base_url, credentials)}
    async with session(connections, headers) as signed:

        async def get(bill_id: str) -> str:
            async with signed.get(f"{base_url}{BILL_PATH}{bill_id}") as reply:
                found = json.loads(await reply.read())
            reference: str = found["payload"]["referenceId"]
            return reference

        yield get


async def page(signed: aiohttp.ClientSession, base_url: str, size: int) -> bytes:
    """Return the body of a search's reply.

    Args:
        signed: A session whose headers hold a token.
        base_url: Where the server is.
        size: How many bills to ask for.
    """
    async with signed.post(f"{base_url}{SEARCH_PATH}", json={"offset": 0, "limit": size}) as reply:
        return await reply.read()
