"""Stand-ins for time, for the login and for a store that tells what it was asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from enkash_async.errors import CredentialsRejectedError, TokenEndpointError, TokenReplyError, TokenStoreError
from enkash_async.tokens import Claim, Failure, Identity, MemoryTokenStore, Token

__all__ = [
    "AwayStore",
    "Clock",
    "Login",
    "SpyStore",
    "ambiguous",
    "locked",
    "refused",
    "settle",
    "transient",
    "unreadable",
    "until",
]


def refused() -> CredentialsRejectedError:
    return CredentialsRejectedError("refused", status=400, error="invalid_grant")


def locked() -> CredentialsRejectedError:
    return CredentialsRejectedError("locked", status=423, locked=True)


def transient(retry_after: float | None = None) -> TokenEndpointError:
    return TokenEndpointError("busy", retry_after=retry_after)


def ambiguous() -> TokenEndpointError:
    return TokenEndpointError("no answer", counted=True)


def unreadable() -> TokenReplyError:
    return TokenReplyError("a page", status=200, content_type="text/html")


async def settle() -> None:
    """Let all ready tasks run, without any time passing."""
    for _ in range(40):
        await asyncio.sleep(0)


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
        self.identity = Identity("account", fingerprint)
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


class SpyStore(MemoryTokenStore):
    """A memory store that records the names of its calls."""

    def __init__(self, *, clock: Callable[[], float], random: Callable[[], float] = lambda: 1.0) -> None:
        super().__init__(clock=clock, random=random)
        self.calls: list[str] = []

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        self.calls.append("claim")
        return await super().claim(identity, owner, above=above)

    async def beat(self, identity: Identity, owner: str) -> bool:
        self.calls.append("beat")
        return await super().beat(identity, owner)

    async def publish(self, identity: Identity, owner: str, token: Token) -> bool:
        self.calls.append("publish")
        return await super().publish(identity, owner, token)

    async def fail(
        self,
        identity: Identity,
        owner: str,
        failure: Failure,
        retry_after: float | None = None,
        *,
        fence: int | None = None,
    ) -> float:
        self.calls.append(f"fail {failure.value}")
        return await super().fail(identity, owner, failure, retry_after, fence=fence)

    async def reject(self, identity: Identity, generation: int) -> None:
        self.calls.append(f"reject {generation}")
        await super().reject(identity, generation)

    async def reset(self, identity: Identity) -> None:
        self.calls.append("reset")
        await super().reset(identity)


EVERYTHING = frozenset({"claim", "beat", "publish", "fail", "reject", "reset"})


class AwayStore(SpyStore):
    """A memory store that can be cut off; it records the names of the calls that arrive.

    Attributes:
        cut_off: The methods that cannot contact it.
        problem: The error that these methods raise.
        tries: How many calls were cut off.
    """

    def __init__(self, *, clock: Callable[[], float], random: Callable[[], float] = lambda: 1.0) -> None:
        super().__init__(clock=clock, random=random)
        self.cut_off: Collection[str] = ()
        self.problem: Exception = TokenStoreError("nobody answers at store.example")
        self.tries = 0

    def leave(self) -> None:
        self.cut_off = EVERYTHING

    def come_back(self) -> None:
        self.cut_off = ()

    def _contact(self, name: str) -> None:
        if name in self.cut_off:
            self.tries += 1
            raise self.problem

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        self._contact("claim")
        return await super().claim(identity, owner, above=above)

    async def beat(self, identity: Identity, owner: str) -> bool:
        self._contact("beat")
        return await super().beat(identity, owner)

    async def publish(self, identity: Identity, owner: str, token: Token) -> bool:
        self._contact("publish")
        return await super().publish(identity, owner, token)

    async def fail(
        self,
        identity: Identity,
        owner: str,
        failure: Failure,
        retry_after: float | None = None,
        *,
        fence: int | None = None,
    ) -> float:
        self._contact("fail")
        return await super().fail(identity, owner, failure, retry_after, fence=fence)

    async def reject(self, identity: Identity, generation: int) -> None:
        self._contact("reject")
        await super().reject(identity, generation)

    async def reset(self, identity: Identity) -> None:
        self._contact("reset")
        await super().reset(identity)
