"""A token store for one process: what Redis holds for a fleet, in a dictionary."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import attrs

from enkash_async._forks import reset_after_fork
from enkash_async.tokens._types import Claim, Cooling, Failure, Found, Identity, Lead, Refused, Token, Wait
from enkash_async.tokens._windows import hold_back

__all__ = ["BUDGET", "MemoryTokenStore"]

#: Login attempts that credentials get before they have worked once, whatever the number of fingerprints. EnKash's
#: neighbouring products lock the account after three wrong ones in a row; one is left for a person.
BUDGET = 2

_REFUSED = (Failure.REJECTED, Failure.LOCKED)
_LEASE = 6.0  # seconds without a heartbeat after which a login counts as abandoned
_COOLDOWN = 0.5  # seconds, doubled with every failure in a row, of which a random part is waited
_LONGEST_COOLDOWN = 30.0
_LONGEST_RETRY_AFTER = 300.0


@attrs.define
class _Lease:
    owner: str
    fence: int
    until: float


@attrs.define
class _Account:
    token: Token | None = None
    fence: int = 0
    watermark: int = -1  # the highest generation that EnKash refused
    lease: _Lease | None = None
    spent: int = 0  # attempts of unproven credentials since the last login that worked
    locked: bool = False
    barred: set[str] = attrs.field(factory=set)
    proven: set[str] = attrs.field(factory=set)
    failures: int = 0
    reporter: str | None = None  # the owner whose failure was noted last
    cool_until: float = float("-inf")


class MemoryTokenStore:
    """Keeps tokens, leases and guard in the memory of one process; it cannot see other processes.

    Providers that share one store share the login, also from several threads.

    Args:
        clock: Monotonic seconds.
        random: Returns a number in [0, 1), for the jitter of cooldowns.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, random: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._random = random
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()
        reset_after_fork(self)

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        """Ask for a token, or for the right to fetch one; as in `TokenStore.claim`."""
        with self._lock:
            account, now = self._account(identity), self._clock()
            token = account.token
            if token is not None and token.generation > max(above, account.watermark) and _lives(token, now):
                return Found(token)
            if reason := _refusal(account, identity):
                return Refused(reason)
            if account.cool_until > now:
                return Cooling(account.cool_until - now)
            return self._lease(account, owner, above, now)

    async def beat(self, identity: Identity, owner: str) -> bool:
        """Extend the owner's lease; as in `TokenStore.beat`."""
        with self._lock:
            lease = self._account(identity).lease
            if lease is None or lease.owner != owner:
                return False
            lease.until = self._clock() + _LEASE
            return True

    async def publish(self, identity: Identity, owner: str, token: Token) -> bool:
        """Store a token; as in `TokenStore.publish`."""
        with self._lock:
            account = self._account(identity)
            _drop_lease(account, owner)
            account.proven.add(identity.fingerprint)
            account.barred.discard(identity.fingerprint)
            account.spent, account.locked = 0, False
            account.failures, account.cool_until = 0, float("-inf")
            stored = account.token.generation if account.token is not None else -1
            if token.generation <= max(stored, account.watermark):
                return False
            account.token = token
            return True

    async def fail(self, identity: Identity, owner: str, failure: Failure, retry_after: float | None = None) -> float:
        """Note a failed login; as in `TokenStore.fail`."""
        with self._lock:
            account, now = self._account(identity), self._clock()
            if account.reporter == owner:
                return max(0.0, account.cool_until - now)  # the same report again
            # Even a leader that lost its lease meanwhile made its attempt: EnKash counts it, so it is counted here.
            account.reporter = owner
            _drop_lease(account, owner)
            if failure in _REFUSED:
                account.barred.add(identity.fingerprint)
                account.proven.discard(identity.fingerprint)
                account.locked = account.locked or failure is Failure.LOCKED
                # Charged to proven credentials as well: EnKash counts a password that was changed there like any other.
                account.spent += 1
                return 0.0
            if failure is not Failure.TRANSIENT and identity.fingerprint not in account.proven:
                account.spent += 1
            if failure is Failure.ABANDONED:
                return 0.0
            account.failures += 1
            pause = self._cooldown(account.failures, retry_after)
            account.cool_until = now + pause
            return pause

    async def reject(self, identity: Identity, generation: int) -> None:
        """Note that EnKash refused a generation; as in `TokenStore.reject`."""
        with self._lock:
            account = self._account(identity)
            account.watermark = max(account.watermark, generation)
            if account.token is not None and account.token.generation <= account.watermark:
                account.token = None

    async def reset(self, identity: Identity) -> None:
        """Forget bars, budget and cooldown; as in `TokenStore.reset`."""
        with self._lock:
            account = self._account(identity)
            account.barred.clear()
            account.spent, account.locked = 0, False
            account.failures, account.cool_until = 0, float("-inf")

    def after_fork(self) -> None:
        """Drop locks and leases of the parent: its logins do not end in this process."""
        self._lock = threading.Lock()
        for account in self._accounts.values():
            account.lease = None

    def _account(self, identity: Identity) -> _Account:
        return self._accounts.setdefault(identity.account, _Account())

    def _lease(self, account: _Account, owner: str, above: int, now: float) -> Lead | Wait:
        lease = account.lease
        if lease is not None and lease.until > now:
            return Lead(lease.fence) if lease.owner == owner else Wait(lease.until - now)
        account.fence = max(account.fence, above, account.watermark) + 1
        account.lease = _Lease(owner, account.fence, now + _LEASE)
        return Lead(account.fence)

    def _cooldown(self, failures: int, retry_after: float | None) -> float:
        ceiling = min(_LONGEST_COOLDOWN, _COOLDOWN * 2.0 ** min(failures - 1, 60))
        return max(self._random() * ceiling, min(retry_after or 0.0, _LONGEST_RETRY_AFTER))


def _lives(token: Token, now: float) -> bool:
    return token.remaining(now) > hold_back(token.expires_in)


def _refusal(account: _Account, identity: Identity) -> str | None:
    if account.locked:
        return "locked"
    if identity.fingerprint in account.barred:
        return "rejected"
    if account.spent >= BUDGET and identity.fingerprint not in account.proven:
        return "budget"
    return None


def _drop_lease(account: _Account, owner: str) -> None:
    """Drop the lease if it is the owner's; a leader that was paused past its lease must not drop its successor's."""
    if account.lease is not None and account.lease.owner == owner:
        account.lease = None
