"""A program that logs in and gets one bill with the SDK.

Run it as a file, with the base URL as its argument; it prints the seconds taken.
"""

import time

_BEGUN = time.perf_counter()  # before the imports, which are measured too

import asyncio
import sys

from enkash_async import Credentials, EnkashClient


async def _main(base_url: str) -> None:
    credentials = Credentials("bench-client", "bench-secret", "bench@example.com", "bench-password")
    async with EnkashClient.from_credentials(base_url, credentials) as client:
        bill = await client.bills.get("UTIL-00000001")
        took = time.perf_counter() - _BEGUN
    if bill.amount is None:
        raise RuntimeError("that is not a bill")
    print(took)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
