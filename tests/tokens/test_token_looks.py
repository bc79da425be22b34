"""How often a process looks at the login of another one."""

from __future__ import annotations

import asyncio

from enkash_async import Identity, MemoryStore, StoreTokenProvider, Token

START = 1000.0
HOUR = 3600.0
AHEAD = START + HOUR - 540.0  # the refresh of every process has begun by then, and nobody waits for it yet
STEP = 0.01


class Source:
    """Logs in when the test says so."""

    identity = Identity(account="account", client="client", fingerprint="fingerprint")
    seal_key = None

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.logins = 0
        self.may_end = asyncio.Event()

    async def fetch_token(self) -> Token:
        self.logins += 1
        begun = self.clock()
        await self.may_end.wait()
        return Token(f"token-{self.logins}", HOUR, begun)


class Clock:
    """Seconds that pass in steps, and only when the test says so."""

    def __init__(self) -> None:
        self.now = START
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        end = self.now + seconds
        while self.now < end:
            await asyncio.sleep(0)

    async def passes(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            await settle()


class CountedStore(MemoryStore):
    calls = 0

    async def read(self, keys):  # type: ignore[no-untyped-def]
        self.calls += 1
        return await super().read(keys)

    async def swap(self, changes):  # type: ignore[no-untyped-def]
        self.calls += 1
        return await super().swap(changes)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def two_providers(clock: Clock) -> tuple[Source, CountedStore, StoreTokenProvider, StoreTokenProvider]:
    store, source = CountedStore(clock=clock), Source(clock)

    def provider() -> StoreTokenProvider:
        return StoreTokenProvider(source, store, clock=clock, sleep=clock.sleep, random=lambda: 0.999)

    return source, store, provider(), provider()


async def test_a_waiting_caller_is_served_soon_after_a_slow_login_elsewhere() -> None:
    """The longest pause is 0.35 s, however long the login takes; the worst random number is drawn here."""
    clock = Clock()
    source, _, leader, other = two_providers(clock)
    first = asyncio.create_task(leader.get_token())
    await settle()
    second = asyncio.create_task(other.get_token())
    await clock.passes(5)
    source.may_end.set()
    await clock.passes(0.36)
    assert (first.done(), second.done(), source.logins) == (True, True, 1)
    assert max(clock.pauses) <= 0.35


async def test_a_renewal_elsewhere_costs_two_store_calls_where_no_caller_waits() -> None:
    """The process looks when its own refresh begins, and once more after the login, which takes a third of a second."""
    clock = Clock()
    source, store, leader, other = two_providers(clock)
    source.may_end.set()
    old = await leader.get_token()
    assert (await other.get_token()).generation == old.generation
    clock.now = AHEAD
    source.may_end.clear()
    assert (await leader.get_token()).generation == old.generation  # the login begins beside the work
    await settle()
    led = store.calls
    assert (await other.get_token()).generation == old.generation
    await clock.passes(0.33)
    assert store.calls - led == 1
    source.may_end.set()
    await settle()
    settled = store.calls
    await clock.passes(0.4)
    assert store.calls - settled == 1
    assert (await other.get_token()).generation > old.generation
    assert source.logins == 2
