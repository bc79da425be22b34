"""A program that logs in and gets one bill with aiohttp alone, as its page «Client Quickstart» shows it.

Run as a file, with the base URL; it prints the seconds taken. It checks the HTTP status and no more: no kinds of error,
no dates, no exact money.
"""

import time

_BEGUN = time.perf_counter()  # before what is to be measured is imported

import asyncio
import json
import sys

import aiohttp

_FORM = {
    "grant_type": "password",
    "clientId": "bench-client",
    "username": "bench@example.com",
    "password": "bench-password",
}


async def _main(base_url: str) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        headers = {"Authorization": aiohttp.encode_basic_auth("bench-client", "bench-secret")}
        async with session.post(f"{base_url}/oauth/token", data=_FORM, headers=headers) as reply:
            token = json.loads(await reply.read())["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get(f"{base_url}/api/v2/utilityPayment/UTIL-00000001", headers=headers) as reply:
            bill = json.loads(await reply.read())["payload"]
        took = time.perf_counter() - _BEGUN
    if not bill["amount"] > 0:
        raise RuntimeError("that is not a bill")
    print(took)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
