"""What the memory store adds to the contract of all stores: threads and real defaults."""

from __future__ import annotations

import asyncio
import threading

from enkash_async.tokens import Failure, Identity, Lead, MemoryTokenStore, Wait

OURS = Identity("account", "right password")


def test_one_of_many_threads_leads() -> None:
    """One thread gets the lease, although each runs its own event loop."""
    store, claims, start = MemoryTokenStore(), list[object](), threading.Barrier(8)

    def claim(owner: str) -> None:
        start.wait()
        claims.append(asyncio.run(store.claim(OURS, owner, above=-1)))

    threads = [threading.Thread(target=claim, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(claim).__name__ for claim in claims) == [Lead.__name__] + [Wait.__name__] * 7


async def test_by_default_time_and_chance_are_real() -> None:
    """The first pause is a random part of half a second."""
    pauses = set()
    for attempt in range(20):
        store = MemoryTokenStore()
        await store.claim(OURS, f"{attempt}", above=-1)
        pauses.add(await store.fail(OURS, f"{attempt}", Failure.TRANSIENT))
    assert len(pauses) > 10
    assert all(0 <= pause <= 0.5 for pause in pauses)
