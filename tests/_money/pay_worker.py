"""A worker of a task queue: pays what it is handed, line by line, with windows that pass thirty times as fast.

A job is a line of JSON on standard input with `reference` and `consumer`; its answer is a line with the payment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from enkash_async import BillRequest, EnkashClient, EnkashError, RetryPolicy, open_store
from enkash_async._money import instants, payment_step

AT_ONCE = 8


async def work(client: EnkashClient, job: dict[str, str]) -> dict[str, Any]:
    request = BillRequest(2001, {"cn": job["consumer"]}, reference_id=job["reference"], max_amount=50_000)
    try:
        payment = await client.payments.pay(request, wait=0.3)
    except EnkashError as problem:
        return {"state": type(problem).__name__, "retry": problem.retry.value, "reason": str(problem)}
    return {
        "state": payment.state,
        "retry": payment.retry.value,
        "retry_after": payment.retry_after,
        "reason": payment.reason,
    }


async def main(store_url: str) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    store = open_store(store_url, nothing_pending=True)
    async with EnkashClient.from_env(store=store, retry=RetryPolicy(attempts=2, backoff=0.05, settle=2)) as client:
        async with asyncio.TaskGroup() as group:

            async def answer(job: dict[str, str]) -> None:
                told = await work(client, job)
                print(json.dumps({"reference": job["reference"], **told}), flush=True)

            while line := await lines.readline():
                group.create_task(answer(json.loads(line)))


if __name__ == "__main__":
    instants.DURATIONS = instants.DURATIONS.scaled(1 / 30)
    payment_step._SOON /= 30
    asyncio.run(main(sys.argv[1]))
