"""A token store for one process: what Redis holds for a fleet, in a dictionary."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable

import attrs

from enkash_async._support.clock import instant, waits_beside
from enkash_async._support.forks import reset_after_fork
from enkash_async.tokens._credentials import Identity
from enkash_async.tokens._limits import (
    BUDGET,
    LEASE,
    REMEMBERED,
    RENEWAL_PAUSE,
    cooldown_ceiling,
    kept_retry_after,
)
from enkash_async.tokens._types import Claim, Cooling, Failure, Found, Lead, Refused, Token, Wait
from enkash_async.tokens._windows import hold_back

__all__ = ["MemoryTokenStore"]

_REFUSED = (Failure.REJECTED, Failure.LOCKED)
_NEVER = float("-inf")


@attrs.define
class _Lease:
    owner: str
    fence: int
    fingerprint: str
    until: float
    begun: bool = False  # whether its login was about to be sent


def _owners() -> deque[str]:
    return deque(maxlen=REMEMBERED)


@attrs.define
class _Account:
    token: Token | None = None
    fence: int = 0
    watermark: int = -1  # the highest generation that EnKash refused
    refused: bool = False  # and no login has come since
    renewed_at: float = _NEVER  # when a login last came in the place of a refused token
    lease: _Lease | None = None
    published: int = -1  # the highest generation that was ever stored
    failed: int = -1  # the highest number of an attempt that failed
    spent: int = 0  # attempts of unproven credentials since the last login that worked
    locked: bool = False
    barred: dict[str, int] = attrs.field(factory=dict)  # fingerprints, with the number of the attempt
    proven: dict[str, int] = attrs.field(factory=dict)  # fingerprints, with the generation that they last brought
    failures: int = 0
    heard: deque[str] = attrs.field(factory=_owners)  # whose failure was noted
    abandoned: deque[str] = attrs.field(factory=_owners)  # whose attempt was charged when the lease ran out
    cool_until: float = _NEVER


class MemoryTokenStore:
    """Keeps tokens, leases and guard in the memory of one process; it cannot see other processes.

    Providers that share one store share the login, also from several threads.

    Args:
        clock: Monotonic seconds.
        random: Returns a number in [0, 1), for the jitter of cooldowns.
    """

    def __init__(self, *, clock: Callable[[], float] = instant, random: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._waits = waits_beside(clock)
        self._random = random
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()
        reset_after_fork(self)

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        """Ask for a token, or for the right to fetch one; as in `TokenStore.claim`."""
        with self._lock:
            account, now = self._account(identity), self._waits()
            token = account.token
            if token is not None and token.generation > max(above, account.watermark) and _lives(token, self._clock()):
                settled = max(0.0, account.renewed_at + RENEWAL_PAUSE - now)
                return Found(token, identity.fingerprint in account.proven, settled)
            _charge_abandoned(account, owner, now)
            if reason := _refusal(account, identity):
                return Refused(reason)
            if account.cool_until > now:
                return Cooling(account.cool_until - now)
            return _take_lease(account, identity, owner, above, now)

    async def beat(self, identity: Identity, owner: str) -> bool:
        """Extend the owner's lease; as in `TokenStore.beat`."""
        with self._lock:
            lease, now = self._account(identity).lease, self._waits()
            if lease is None or lease.owner != owner or lease.until <= now:
                return False
            lease.until, lease.begun = now + LEASE, True
            return True

    async def publish(self, identity: Identity, owner: str, token: Token) -> bool:
        """Store a token; as in `TokenStore.publish`."""
        with self._lock:
            account = self._account(identity)
            _drop_lease(account, owner)
            now, held = self._clock(), account.token
            if token.remaining(now) <= 0:
                return False
            if held == token:
                return True  # the same publication again
            newest = -1 if held is None or held.remaining(now) <= 0 else held.generation
            if token.generation <= max(newest, account.watermark):
                return False
            if account.refused:
                account.refused, account.renewed_at = False, self._waits()
            account.token = token
            account.published = max(account.published, token.generation)
            account.fence = max(account.fence, token.generation)
            # A charge of the same number was for this very login, whose leader had vanished.
            if token.generation > account.failed - (owner in account.abandoned):
                account.spent, account.locked = 0, False
                account.failures, account.cool_until = 0, _NEVER
            if token.generation > account.barred.get(identity.fingerprint, -1):
                account.barred.pop(identity.fingerprint, None)
                account.proven[identity.fingerprint] = token.generation
            return True

    async def fail(
        self,
        identity: Identity,
        owner: str,
        failure: Failure,
        retry_after: float | None = None,
        *,
        fence: int | None = None,
    ) -> float:
        """Note a failed login; as in `TokenStore.fail`."""
        with self._lock:
            account, now = self._account(identity), self._waits()
            if owner in account.heard:
                return max(0.0, account.cool_until - now)  # the same report again
            account.heard.appendleft(owner)
            _drop_lease(account, owner)
            number = account.fence if fence is None else fence
            is_final = failure in _REFUSED
            # EnKash counts anew after a login that worked, with any password.
            is_forgiven = number < account.published
            if number < account.proven.get(identity.fingerprint, -1) or (is_forgiven and not is_final):
                return max(0.0, account.cool_until - now)
            # Even a leader that lost its lease meanwhile made its attempt: EnKash counts it, so it is counted here,
            # unless whoever found the lease run out has done so.
            if is_final:
                account.barred[identity.fingerprint] = number
                account.proven.pop(identity.fingerprint, None)
                account.locked = account.locked or failure is Failure.LOCKED
            # A refusal is charged to proven credentials as well: EnKash counts a password that was changed there.
            if is_final or (failure is not Failure.TRANSIENT and identity.fingerprint not in account.proven):
                account.spent += not is_forgiven and owner not in account.abandoned
            account.failed = max(account.failed, number)
            if is_final or failure is Failure.ABANDONED:
                return 0.0
            account.failures += 1
            pause = max(self._random() * cooldown_ceiling(account.failures), kept_retry_after(retry_after))
            account.cool_until = max(account.cool_until, now + pause)  # a late report knows less than the one before it
            return account.cool_until - now

    async def reject(self, identity: Identity, generation: int) -> None:
        """Note that EnKash refused a generation; as in `TokenStore.reject`."""
        with self._lock:
            account = self._account(identity)
            held = -1 if account.token is None else account.token.generation
            if generation > account.watermark:
                account.watermark = generation
                account.refused = account.refused or generation >= account.published
            if held <= account.watermark:
                account.token = None

    async def reset(self, identity: Identity) -> None:
        """Forget bars, budget and cooldown; as in `TokenStore.reset`."""
        with self._lock:
            account = self._account(identity)
            account.barred.clear()
            account.abandoned.clear()
            account.spent, account.locked = 0, False
            account.failures, account.cool_until = 0, _NEVER

    def trust(self, identity: Identity) -> None:
        """Take credentials as proven on the word of another store."""
        with self._lock:
            account = self._account(identity)
            account.proven.setdefault(identity.fingerprint, -1)
            account.barred.pop(identity.fingerprint, None)
            account.spent, account.locked = 0, False

    def after_fork(self) -> None:
        """Drop locks and leases of the parent: its logins do not end in this process."""
        self._lock = threading.Lock()
        for account in self._accounts.values():
            account.lease = None

    def _account(self, identity: Identity) -> _Account:
        return self._accounts.setdefault(identity.account, _Account())


def _take_lease(account: _Account, identity: Identity, owner: str, above: int, now: float) -> Lead | Wait:
    lease = account.lease
    if lease is not None and lease.until > now:
        return Lead(lease.fence, account.refused) if lease.owner == owner else Wait(lease.until - now)
    account.fence = max(account.fence, above, account.watermark, account.published) + 1
    account.lease = _Lease(owner, account.fence, identity.fingerprint, now + LEASE)
    return Lead(account.fence, account.refused)


def _charge_abandoned(account: _Account, owner: str, now: float) -> None:
    """Charge the attempt of a leader that vanished; like a login without an answer, it may have been sent."""
    lease = account.lease
    if lease is None or lease.until > now or lease.owner == owner:
        return
    account.lease = None
    if lease.begun and lease.fingerprint not in account.proven:
        account.spent += 1
        account.failed = max(account.failed, lease.fence)
        account.abandoned.appendleft(lease.owner)


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
