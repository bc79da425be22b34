"""A fleet that shares short-lived tokens through Redis, under load: logins, errors, and what a token costs its caller.

`python -m benchmarks.fleet` starts a Redis, the sandbox and six processes, which call for three lifetimes of a token.
It prints how long `get_token` took: over all calls, and over those made while a new token was being fetched.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs

from enkash_async import Credentials, EnkashClient, EnkashError, PasswordGrant, RedisTokenProvider
from enkash_async.sandbox import FaultKind, Sandbox

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the servers of the tests are started

from servers import FLAVOURS, running

CALLERS = 4  # in each process
PAUSE = 0.02  # seconds between the calls of one caller


@attrs.frozen
class Job:
    """What one process is told."""

    base_url: str
    redis_url: str
    credentials: Credentials
    seconds: float


async def _work(job: Job) -> dict[str, Any]:
    """Ask for tokens and call EnKash for a while."""
    tokens = RedisTokenProvider.from_url(PasswordGrant(job.base_url, job.credentials), job.redis_url)
    calm: list[float] = []
    renewing: list[float] = []
    errors: list[str] = []
    await tokens.get_token()  # the cold start is another figure
    end = time.monotonic() + job.seconds

    async def caller(client: EnkashClient) -> None:
        while time.monotonic() < end:
            begun = time.perf_counter()
            was_renewing = tokens.state().refreshing
            try:
                await tokens.get_token()
                took = time.perf_counter() - begun
                (renewing if was_renewing or tokens.state().refreshing else calm).append(took)
                await client.billers.list_categories()
            except EnkashError as problem:
                errors.append(type(problem).__name__)
            await asyncio.sleep(PAUSE)

    async with EnkashClient(job.base_url, tokens=tokens) as client:
        await asyncio.gather(*(caller(client) for _ in range(CALLERS)))
    await tokens.aclose()
    return {"calm": calm, "renewing": renewing, "errors": errors}


def _process(job: Job, answer: Any) -> None:
    answer.send(asyncio.run(_work(job)))


def _share(values: list[float], part: float) -> float:
    """Return a quantile in milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000, 4) if ordered else 0.0


async def _run(processes: int, lifetime: float, lifetimes: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, running(next(iter(FLAVOURS)), Path(folder)) as server:
        async with Sandbox(token_lifetime=lifetime) as sandbox:
            sandbox.faults.add("token", FaultKind.SLOW, delay=0.2, times=None)  # a login over the internet
            job = Job(sandbox.base_url, server.url, sandbox.credentials, lifetimes * lifetime)
            pipes = []
            for _ in range(processes):
                here, there = context.Pipe(duplex=False)
                worker = context.Process(target=_process, args=(job, there))
                worker.start()
                pipes.append((here, worker))
            answers = await asyncio.gather(*(asyncio.to_thread(here.recv) for here, _ in pipes))
            for _, worker in pipes:
                await asyncio.to_thread(worker.join)
            return _report(answers, sandbox, lifetimes * lifetime)


def _report(answers: list[dict[str, Any]], sandbox: Sandbox, seconds: float) -> dict[str, Any]:
    calm = [took for answer in answers for took in answer["calm"]]
    renewing = [took for answer in answers for took in answer["renewing"]]
    return {
        "processes": len(answers),
        "seconds": seconds,
        "calls": len(calm) + len(renewing),
        "logins": sandbox.counts["token"],
        "errors": [error for answer in answers for error in answer["errors"]],
        "get_token, ms": {"p50": _share(calm, 0.5), "p99": _share(calm, 0.99), "max": _share(calm, 1.0)},
        "get_token while renewing, ms": {
            "calls": len(renewing),
            "p50": _share(renewing, 0.5),
            "p99": _share(renewing, 0.99),
            "max": _share(renewing, 1.0),
        },
    }


def main() -> None:
    """Run the comparison and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--lifetime", type=float, default=6.0, help="seconds that a token is good for")
    parser.add_argument("--lifetimes", type=int, default=3, help="how many of these the load lasts")
    given = parser.parse_args()
    if not FLAVOURS:
        parser.error("no Redis server: install the extra `test`")
    report = asyncio.run(_run(given.processes, given.lifetime, given.lifetimes))
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
