"""A process that claims bills in an order of its own, and says which it got."""

from __future__ import annotations

import asyncio
import base64
import pickle
import random
import sys
import uuid

from enkash_async._money.debit_commands import Claim, Go, MarkSent, Mine
from enkash_async._money.debit_keys import Keys
from enkash_async._money.debit_records import DebitRecords
from enkash_async.stores import Store

HOST = "https://enkash.example"


async def claimed(store: Store, ids: list[str], portion: int) -> list[str]:
    """Claim the bills, so many at a time, write down that they are sent, and return those that may be."""
    debits, by = DebitRecords(lambda: store, Keys(HOST)), uuid.uuid4().hex
    got: list[str] = []
    for start in range(0, len(ids), portion):
        answers = await debits.act({one: Claim(by) for one in ids[start : start + portion]})
        mine = [one for one, answer in answers.items() if isinstance(answer, Mine)]
        sent = await debits.act({one: MarkSent(by) for one in mine}) if mine else {}
        got += [one for one, answer in sent.items() if isinstance(answer, Go)]
    return got


async def _main(job: str, number: int) -> None:
    store: Store = pickle.loads(base64.b64decode(job))()
    ids = [f"UTIL-{n}" for n in range(number)]
    random.shuffle(ids)
    try:
        print("ready", flush=True)
        sys.stdin.readline()
        print(" ".join(await claimed(store, ids, 50)), flush=True)
    finally:
        await store.aclose()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
