"""Obtains a token: from the store, by logging in, or by logging in without the store while it is unavailable."""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import Literal, TypeAlias, TypeVar

import attrs

from enkash_async._support.clock import waits_beside
from enkash_async.errors import EnkashError, StoreError, StoreUnavailableError, TokenEndpointError, TokenError
from enkash_async.stores import MemoryStore, Store, record_key
from enkash_async.tokens._account import SEND_WITHIN, lease_for
from enkash_async.tokens._commands import (
    Claim,
    Closed,
    Cooling,
    Found,
    Lead,
    Outcome,
    Reject,
    Reset,
    Settle,
    View,
    Wait,
    Who,
)
from enkash_async.tokens._flight import Flight
from enkash_async.tokens._outcomes import LoginAttempt, LoginResult, outcome_of
from enkash_async.tokens._record import StoredToken
from enkash_async.tokens._shared import SharedAccount, Told
from enkash_async.tokens._states import Pause, RefreshResult, cooling, guard_closed, store_away
from enkash_async.tokens._types import Token, TokenSource
from enkash_async.tokens._vault import Vault, mark_of
from enkash_async.tokens._windows import hold_back, usable_lifetime

__all__ = ["RETRY_STORE", "OnStoreDown", "Refresher"]

#: What a provider does when it needs a token while its store is unavailable; see `StoreTokenProvider`.
OnStoreDown: TypeAlias = Literal["serve", "login_if_proven", "login"]

E = TypeVar("E", bound=EnkashError)

_log = getLogger("enkash_async.tokens")

_FIRST_LOOK = 0.05  # seconds between polls of another process's login; grows, so that a slow login costs few polls
_LONGEST_LOOK = 0.28  # seconds; at most 0.35 with jitter, so a caller waits at most 0.4 s after another process's login
_CALM_LOOK = 0.5  # seconds between polls while no caller waits: a renewal in another process costs two store calls
_BELIEVED = 1.0  # seconds for which a closed guard or a cooldown is cached, without asking the store again
_CLAIMS = 8  # attempts in one refresh; limits the number of logins if the store never keeps a token
#: Seconds between attempts to reach an unavailable store while the token in hand is usable.
RETRY_STORE = 1.0
_UNSENT_PAUSE = 0.5  # seconds of pause after a login that could not be sent; jitter changes it by up to half
_LONGEST_UNSENT_PAUSE = 300.0  # longest pause in seconds that a token source may ask for if a login was not sent
_REPEATED_PAUSE = 30.0  # seconds of pause after a login that brought an unusable token


class Refresher:
    """Obtains tokens for one provider, one refresh at a time.

    Args:
        source: Object that logs in.
        store: Store that the processes of the account share.
        vault: Seals the tokens for the store.
        on_store_down: See `StoreTokenProvider`.
        login_timeout: Seconds after which a login times out.
        clock: Returns seconds, including those in which the machine sleeps.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1).

    Attributes:
        pause: A cached failure, which callers get for a while without a store call; None for none.
        postponed_until: Instant until which a usable token is not renewed, since the store is unavailable.
        logins: Number of successful logins by this process.
    """

    def __init__(
        self,
        source: TokenSource,
        store: Store,
        vault: Vault,
        *,
        on_store_down: OnStoreDown,
        login_timeout: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        random: Callable[[], float],
    ) -> None:
        self._source = source
        self._vault = vault
        self._policy = on_store_down
        self._login_timeout = login_timeout
        self._clock = clock
        self._waits = waits_beside(clock)
        self._sleep = sleep
        self._random = random
        identity = source.identity
        key = record_key("token", identity.account)
        self._shared = SharedAccount(store, key, clock=clock, sleep=sleep, random=random)
        # The guard for `on_store_down="login"`: the same state machine, on a memory store of this provider alone.
        self._local = SharedAccount(MemoryStore(clock=clock), key, clock=clock, sleep=sleep, random=random)
        self.who = Who(identity.client, identity.fingerprint, uuid.uuid4().hex, vault.keys)
        self.pause: Pause | None = None
        self.postponed_until = -math.inf
        self.logins = 0
        self._seen = 0  # the highest fence that this process has seen
        self._logged_in_alone = False  # whether this process logged in during the current outage of the store
        self._warned = False

    @property
    def is_away(self) -> bool:
        """Whether the store was unavailable when it was last asked."""
        return self._shared.is_away

    @property
    def known(self) -> View | None:
        """What the process learned of the account from the last answer; None before the first answer."""
        return self._shared.known

    @property
    def was_cut_off(self) -> bool:
        """Whether the account shows that a login with these credentials ended without an answer."""
        return self._shared.known is not None and self._shared.known.cut_off

    def after_fork(self) -> None:
        """Give the forked child a worker id of its own, and leave the parent's reports to the parent process."""
        self.who = attrs.evolve(self.who, worker=uuid.uuid4().hex)
        self._shared.after_fork()
        self._local.after_fork()

    async def run(self, flight: Flight, still_serves: Callable[[], bool]) -> RefreshResult | None:
        """Obtain a token with a generation above `flight.above` that EnKash has not refused.

        Args:
            flight: The refresh; it says which tokens are acceptable.
            still_serves: Returns whether the token in hand is still usable.

        Returns:
            The token; None if the store is unavailable and the token in hand is still usable.

        Raises:
            TokenError: No token could be obtained.
            StoreError: The record of the account cannot be used.
        """
        away: StoreUnavailableError | None = None
        result: RefreshResult | TokenError | None = None
        try:
            result = await self._through_store(flight)
        except StoreUnavailableError as problem:
            away = problem
        except StoreError as problem:  # do not log in without the store, and do not ask again at once
            self._hold(_BELIEVED, problem)
            raise
        if away is not None and still_serves():
            self.postponed_until = self._waits() + RETRY_STORE
            return None
        if away is not None:
            result = await self._without_store(flight, away)
        if isinstance(result, TokenError):
            raise result
        return result

    async def _through_store(self, flight: Flight) -> RefreshResult | TokenError:
        """Return the token, or the error that says why there is none; raises only failures of the store."""
        self._seen = max(self._seen, flight.above)  # the next login gets a higher fence, even if the store lost data
        await self._shared.deliver_owed(self.who)
        if flight.refused is not None and flight.reports:
            await self._shared.act(flight.refused, self.who)
        result = await self._pursue(self._shared, flight)
        self._logged_in_alone = False
        return result

    async def look(self) -> RefreshResult | None:
        """Read the account without beginning a login, and return its usable token; None if there is none."""
        claim = Claim(_nonce(), self.who, lease_for(self._login_timeout), 0.0, begins=False)
        told = await self._shared.act(claim, self.who)
        self.pause = None
        match told.answer:
            case Found(stored):
                return self._opened(stored, told)
            case Cooling(seconds, is_renewal):
                self._hold(min(seconds, _BELIEVED), cooling(seconds, is_renewal=is_renewal), due=seconds)
            case Closed(reason):
                self._hold(_BELIEVED, guard_closed(reason))
        return None

    async def reset(self) -> None:
        """Grant these credentials one more login attempt."""
        reset = Reset(_nonce(), self.who)
        await self._shared.deliver_owed(self.who)
        await self._shared.act(reset, self.who)
        await self._local.act(reset, self.who)
        self.pause = None

    async def settle_owed(self) -> None:
        """Deliver the kept reports before the process ends: without its report, an attempt stays charged."""
        if not self.is_away:
            with contextlib.suppress(StoreError):
                await self._shared.deliver_owed(self.who)

    # --- asking the account -------------------------------------------------------------------------------------------

    async def _pursue(self, account: SharedAccount, flight: Flight) -> RefreshResult | TokenError:
        look, claims = _FIRST_LOOK, 0
        while claims < _CLAIMS:
            asked_at = self._clock()  # a login is sent within `SEND_WITHIN` seconds of this instant, or never
            flight.alive_until = asked_at + lease_for(self._login_timeout)
            claim = self._claim(flight)
            told = await account.claim(claim)
            self._seen = max(self._seen, account.known.seen if account.known is not None else 0)
            match told.answer:
                case Found(stored):
                    if (found := self._opened(stored, told)) is not None:
                        return found
                    flight.above = max(flight.above, stored.fence)
                case Lead(fence):
                    claims += 1
                    led = await self._lead(account, flight, LoginAttempt(claim.id, fence, asked_at))
                    if led is not None:
                        return led
                case Wait(seconds):
                    calm = 0.0 if flight.is_awaited else min(_CALM_LOOK, (flight.needed_at - self._clock()) / 2)
                    await self._sleep(min(seconds, max(look, calm) * (0.75 + self._random() / 2)))
                    look = min(look * 1.5, _LONGEST_LOOK)
                case Cooling(seconds, is_renewal):
                    failure = cooling(seconds, is_renewal=is_renewal)
                    return self._hold(min(seconds, _BELIEVED), failure, due=seconds)
                case Closed(reason):
                    return self._hold(_BELIEVED, guard_closed(reason))
                case _:  # too late: this login is not sent, and the loop begins an attempt with a new id
                    claims += 1
                    late = LoginAttempt(claim.id, 0, asked_at)
                    await self._report(account, late, LoginResult(Outcome.NOT_COUNTED))
                    await self._sleep(look * (0.5 + self._random()))
        return self._hold(_REPEATED_PAUSE, TokenError("the store of tokens takes no token"))

    def _claim(self, flight: Flight) -> Claim:
        mark = "" if flight.refused is None else flight.refused.mark
        lease = lease_for(self._login_timeout)
        return Claim(_nonce(), self.who, lease, self._random(), flight.above, mark, self._seen)

    def _opened(self, stored: StoredToken, told: Told) -> RefreshResult | None:
        token = self._vault.take(stored, self._clock() - max(0.0, told.now - stored.at))
        is_own = stored.fingerprint == self.who.fingerprint
        return None if token is None else RefreshResult(token, repeats=stored.repeats, is_own=is_own)

    def _hold(self, seconds: float, failure: E, *, due: float = 0.0) -> E:
        """Return a failure, and cache it for some seconds: meanwhile, callers get the failure without a store call."""
        now = self._waits()
        self.pause = Pause(now + seconds, now + max(seconds, due), failure)
        return failure

    # --- logging in ---------------------------------------------------------------------------------------------------

    async def _lead(
        self, account: SharedAccount, flight: Flight, attempt: LoginAttempt
    ) -> RefreshResult | TokenError | None:
        """Make the login of an attempt that has begun; None if the account has to be asked again."""
        if flight.proof and account.known is not None and not account.known.proven:
            # The store lost the record. Report again that these credentials work: two cut-off logins would otherwise
            # close the guard.
            await account.report(Settle(_nonce(), self.who, flight.proof, Outcome.WORKED, 0.0), self.who)
        if self._clock() - attempt.asked_at >= SEND_WITHIN:
            await self._report(account, attempt, LoginResult(Outcome.NOT_COUNTED))
            return None
        flight.logs_in = True
        try:
            login = await self._log_in(attempt.fence)
        except asyncio.CancelledError:
            await self._report(account, attempt, LoginResult(Outcome.UNKNOWN))
            raise
        told = await self._report(account, attempt, login)
        if login.token is None:
            return self._failed(login)
        return await self._won(account, flight, login.token, told)

    async def _report(self, account: SharedAccount, attempt: LoginAttempt, login: LoginResult) -> Told | None:
        settled = self._settled(attempt, login)
        if account is self._local and login.outcome is not Outcome.NOT_COUNTED:
            self._shared.owe(settled)
        told = await account.report(settled, self.who)
        if told is None:  # the store is unavailable, so the guard of this process records the result
            await self._local.report(settled, self.who)
        return told

    async def _won(
        self, account: SharedAccount, flight: Flight, token: Token, told: Told | None
    ) -> RefreshResult | TokenError | None:
        self.logins += 1
        self._seen = max(self._seen, token.generation)
        if told is not None and told.kept is not None and flight.refuses(token):
            # The store lost the record with EnKash's refusal of this secret: report the refusal again.
            await account.report(Reject(self.who.client, token.generation, mark_of(token)), self.who)
            return None
        if told is not None and told.kept is not None:
            return self._as_kept(token, told.kept, told)
        if told is not None and self._vault.stores:
            return None  # the account has a newer token, or knows that this secret is refused: ask the account again
        if flight.refuses(token):
            return self._hold(_REPEATED_PAUSE, cooling(_REPEATED_PAUSE, is_renewal=True))
        return RefreshResult(token, is_unshared=told is None)

    def _as_kept(self, token: Token, kept: StoredToken, told: Told) -> RefreshResult | None:
        """Return the new token, or None if it is about to expire; a secret given out again keeps its first expiry."""
        if not kept.repeats:
            return RefreshResult(token)
        began_at = self._clock() - max(0.0, told.now - kept.at)
        token = attrs.evolve(token, expires_in=kept.life, requested_at=began_at)
        return RefreshResult(token, repeats=kept.repeats) if self._is_usable(token) else None

    def _is_usable(self, token: Token) -> bool:
        return token.remaining(self._clock()) > hold_back(token.expires_in)

    async def _log_in(self, fence: int) -> LoginResult:
        """Make one login attempt and return its result; only a cancellation is raised."""
        limit = asyncio.timeout(self._login_timeout)
        try:
            async with limit:
                fetched = await self._source.fetch_token()
            return self._read(fetched, fence)
        except TokenError as problem:
            return LoginResult(outcome_of(problem), failure=problem)
        except Exception as problem:  # noqa: BLE001 (the source may be the user's own; its message may hold secrets)
            words = f"the token source failed with {type(problem).__name__}"
        if limit.expired():
            words = f"the login was given up after {self._login_timeout:g} s without an answer: raise login_timeout"
        return LoginResult(Outcome.UNKNOWN, failure=TokenEndpointError(words, counted=True))

    def _read(self, fetched: Token, fence: int) -> LoginResult:
        """Return the result of a login that worked; its token gets its generation and a usable lifetime."""
        lifetime = usable_lifetime(fetched.expires_in)
        if lifetime != fetched.expires_in and not self._warned:
            self._warned = True
            _log.warning("EnKash gave a token lifetime of %s s; %g s is assumed", fetched.expires_in, lifetime)
        token = attrs.evolve(fetched, generation=fence, expires_in=lifetime)
        if self._is_usable(token):
            return LoginResult(Outcome.WORKED, token)
        slow = TokenEndpointError(f"the login took longer than the {lifetime:g} s that its token lives")
        return LoginResult(Outcome.WORKED, failure=slow)

    def _settled(self, attempt: LoginAttempt, login: LoginResult) -> Settle:
        token = login.token
        fresh = None if token is None else self._vault.put(token, self._clock() - token.requested_at)
        return Settle(attempt.id, self.who, attempt.fence, login.outcome, self._random(), login.retry_after, fresh)

    def _failed(self, login: LoginResult) -> TokenError:
        failure = login.failure or TokenError("the login brought no token")
        if isinstance(failure, TokenEndpointError):
            pause = failure.retry_after
            if login.outcome is Outcome.WORKED:
                self._hold(_REPEATED_PAUSE, cooling(_REPEATED_PAUSE))
            elif login.outcome is Outcome.NOT_COUNTED:  # for this outcome, the account starts no cooldown
                pause = _UNSENT_PAUSE * (0.5 + self._random()) if pause is None else min(pause, _LONGEST_UNSENT_PAUSE)
                self._hold(pause, failure.copy())
            elif pause is not None:
                self._hold(min(pause, _BELIEVED), cooling(pause), due=pause)
        return failure

    def withhold(self, mark: str) -> None:
        """Never share a token with this mark, since EnKash has refused it."""
        self._shared.withhold(mark)

    # --- without the store --------------------------------------------------------------------------------------------

    async def _without_store(self, flight: Flight, away: StoreUnavailableError) -> RefreshResult | TokenError:
        """Log in while the store is unavailable, if `on_store_down` allows it; the store gets the report later."""
        known = self._shared.known
        if self._policy == "login" and (known is None or not known.closed):
            return await self._by_own_guard(flight)
        if self._policy != "login_if_proven" or known is None or not known.alone or self._logged_in_alone:
            return store_away(away, self._policy, logged_in=self._logged_in_alone)
        self._logged_in_alone = True
        attempt = LoginAttempt(_nonce(), max(self._seen, known.seen) + 1, self._clock())
        try:
            login = await self._log_in(attempt.fence)
        except asyncio.CancelledError:
            self._shared.owe(self._settled(attempt, LoginResult(Outcome.UNKNOWN)))
            raise
        self._shared.owe(self._settled(attempt, login))
        if login.token is None:
            return self._failed(login)
        return await self._won(self._shared, flight, login.token, None) or store_away(
            away, self._policy, logged_in=True
        )

    async def _by_own_guard(self, flight: Flight) -> RefreshResult | TokenError:
        """Obtain a token with the guard of this process alone, as if there were no other processes."""
        if flight.refused is not None:
            await self._local.act(flight.refused, self.who)
        result = await self._pursue(self._local, flight)
        return attrs.evolve(result, is_unshared=True) if isinstance(result, RefreshResult) else result


def _nonce() -> str:
    return uuid.uuid4().hex
