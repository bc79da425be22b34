"""The SDK's decoding for the benchmarks; only this module uses the SDK's private functions for it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal

from enkash_async import Bill, BillFilter, EnkashClient, EnkashError, StaticTokenProvider
from enkash_async._http.pipeline import decoded
from enkash_async._wire.operation import Effect, Operation, Request, Response

__all__ = ["amount", "decode", "reading"]

_TOKEN = "bench-token"  # noqa: S105 (made up)
_SEARCH = Operation(
    name="bills.search", request=Request(method="POST", path="/"), result=list[Bill], effect=Effect.READ
)


async def decode(body: bytes) -> list[Bill]:
    """Return the bills of a search's reply; a long reply is decoded in slices, and other tasks run in between.

    Args:
        body: Body of the reply.
    """
    reply = Response(status=200, headers={"content-type": "application/json"}, body=body)
    found = await decoded(_SEARCH, reply, secrets=(_TOKEN,))
    if isinstance(found, EnkashError):
        raise found
    return found


def amount(bill: Bill) -> Decimal | None:
    """Return the amount of a bill.

    Args:
        bill: The bill.
    """
    return bill.amount


@contextlib.asynccontextmanager
async def reading(base_url: str, size: int) -> AsyncIterator[Callable[[], Awaitable[list[Bill]]]]:
    """Yield a function that reads a page from the server.

    Args:
        base_url: URL of the server.
        size: Bills of the page.
    """
    async with EnkashClient(base_url, tokens=StaticTokenProvider(_TOKEN)) as client:

        async def read_page() -> list[Bill]:
            found: list[Bill] = []
            async for bill in client.bills.search(BillFilter(), page_size=size):
                found.append(bill)
                if len(found) == size:
                    break  # the server has no last page, and would send the same page again
            return found

        yield read_page
