"""Stand-ins for time, for the login and for a store that tells what it was asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from enkash_async.errors import CredentialsRejectedError, StoreUnavailableError, TokenEndpointError, TokenReplyError
from enkash_async.stores import Cell, Change, MemoryStore, RecordKind, Store, act, record_key
from enkash_async.tokens import Identity, Token
from enkash_async.tokens._account import decide
from enkash_async.tokens._commands import Answer, Command
from enkash_async.tokens._record import CODEC, Account

__all__ = [
    "KEY",
    "AwayStore",
    "Clock",
    "Login",
    "SpyStore",
    "account_in",
    "ambiguous",
    "locked",
    "refused",
    "settle",
    "tell",
    "transient",
    "unclear",
    "unreadable",
    "unsent",
    "until",
]


def refused() -> CredentialsRejectedError:
    return CredentialsRejectedError("refused", status=400, error="invalid_grant")


def unclear() -> CredentialsRejectedError:
    return CredentialsRejectedError("forbidden", status=403)


def locked() -> CredentialsRejectedError:
    return CredentialsRejectedError("locked", status=423, locked=True)


def transient(retry_after: float | None = None) -> TokenEndpointError:
    """HTTP 429."""
    return TokenEndpointError("busy", retry_after=retry_after, status=429)


def unsent(retry_after: float | None = None) -> TokenEndpointError:
    return TokenEndpointError("nobody listens", retry_after=retry_after)


def ambiguous() -> TokenEndpointError:
    return TokenEndpointError("no answer", counted=True)


def unreadable() -> TokenReplyError:
    return TokenReplyError("a page", status=200, content_type="text/html")


async def settle() -> None:
    """Let all ready tasks run, without any time passing but for the work of stores."""
    for _ in range(40):
        await asyncio.sleep(0)
    while SpyStore.under_way:
        await asyncio.sleep(0.001)
        if not SpyStore.under_way:
            await settle()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another task or thread."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.001)


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Sleep until `advance` has moved the clock so far."""
        sleeper = (self.now + seconds, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    async def hurry(self, seconds: float) -> None:
        """Sleep by moving the clock."""
        self.now += seconds
        await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass and wake the sleepers in order; a test sets `now` to simulate a stopped process."""
        end = self.now + seconds
        await settle()
        while due := [sleeper for sleeper in self._sleepers if sleeper[0] <= end and not sleeper[1].done()]:
            when, future = min(due, key=lambda sleeper: sleeper[0])
            self.now = max(self.now, when)
            future.set_result(None)
            await settle()
        self.now = end
        await settle()


class Login:
    """A token source that gives the results of its script in order, then tokens of the usual lifetime.

    Args:
        clock: Monotonic seconds.
        script: What each login brings: a lifetime in seconds, or an exception.
        lifetime: What follows the script.
        gated: Whether each login waits for `release()`.
        fingerprint: Stands for the password.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *script: float | Exception,
        lifetime: float = 3600.0,
        gated: bool = False,
        fingerprint: str = "first password",
    ) -> None:
        self.identity = Identity("account", fingerprint, "client")
        self.seal_key = b"k" * 32
        self.gated = gated
        self.attempts = 0
        self._clock = clock
        self.script = list(script)
        self._lifetime = lifetime
        self._gates: list[asyncio.Future[None]] = []

    async def fetch_token(self) -> Token:
        self.attempts += 1
        number, requested_at = self.attempts, self._clock()
        outcome = self.script.pop(0) if self.script else self._lifetime
        if self.gated:
            gate = asyncio.get_running_loop().create_future()
            self._gates.append(gate)
            await gate
        if isinstance(outcome, Exception):
            raise outcome
        return Token(f"at-{self.identity.fingerprint.replace(' ', '-')}-{number}", outcome, requested_at)

    async def release(self) -> None:
        """Let the oldest waiting login go on."""
        await until(lambda: bool(self._gates))
        gate = self._gates.pop(0)
        gate.get_loop().call_soon_threadsafe(gate.set_result, None)
        await settle()

    def forget(self) -> None:
        """Drop logins that will never be released, because their loop is closed."""
        self._gates.clear()


#: Where the record of the account of every `Login` lies.
KEY = record_key("token", "account")


class SpyStore:
    """Records the names of the calls to a store.

    Args:
        inner: The store.

    Attributes:
        calls: `read` or `swap`, in the order in which they were made.
        under_way: Calls that have not ended yet, of all stores.
    """

    under_way = 0

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.calls: list[str] = []

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        self.calls.append("read")
        SpyStore.under_way += 1
        try:
            return await self.inner.read(keys)
        finally:
            SpyStore.under_way -= 1

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        self.calls.append("swap")
        SpyStore.under_way += 1
        try:
            return await self.inner.swap(changes)
        finally:
            SpyStore.under_way -= 1

    async def aclose(self) -> None:
        await self.inner.aclose()


async def account_in(store: Store) -> Account:
    """Return what a store knows of the account of every `Login`."""
    value = (await store.read([KEY]))[KEY].value
    return Account() if value is None else CODEC.decode(value)


async def tell(store: Store, command: Command) -> Answer:
    """Act as another process of the account."""

    def decided(account: Account | None, order: Command, now: float) -> tuple[Account, Answer]:
        return decide(account or Account(), order, now)

    return await act(store, KEY, decided, command, kind=RecordKind(CODEC))


EVERYTHING = frozenset({"read", "swap"})


class AwayStore(SpyStore):
    """A store that can be cut off; it records the names of the calls that arrive.

    Attributes:
        cut_off: The methods that cannot contact it.
        deaf: The methods whose answers are lost.
        problem: The error that these methods raise.
        tries: How many calls were cut off.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        super().__init__(MemoryStore(clock=clock))
        self.cut_off: Collection[str] = ()
        self.deaf: Collection[str] = ()
        self.problem: Exception = StoreUnavailableError("nobody answers at store.example")
        self.tries = 0

    def leave(self) -> None:
        self.cut_off = EVERYTHING

    def come_back(self) -> None:
        self.cut_off = self.deaf = ()

    def _contact(self, name: str) -> None:
        if name in self.cut_off:
            self.tries += 1
            raise self.problem

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        self._contact("read")
        return await super().read(keys)

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        self._contact("swap")
        made = await super().swap(changes)
        if "swap" in self.deaf:
            raise self.problem
        return made
