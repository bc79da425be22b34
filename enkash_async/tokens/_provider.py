"""Hands out tokens to the callers of one process, and decides when to obtain a new token."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
import threading
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import TypedDict

from enkash_async._support.call_ids import about
from enkash_async._support.clock import fast_clock, fast_clock_until, instant, waits_beside
from enkash_async._support.forks import reset_after_fork
from enkash_async.errors import ConfigurationError, EnkashError, LoginGuardError, TokenError
from enkash_async.stores import Store
from enkash_async.tokens._arguments import check_arguments
from enkash_async.tokens._commands import Reject
from enkash_async.tokens._flight import Flight, wake
from enkash_async.tokens._refresh import RETRY_STORE, OnStoreDown, Refresher
from enkash_async.tokens._sealer import TokenSealer
from enkash_async.tokens._states import Held, RefreshResult, closed
from enkash_async.tokens._types import ProviderState, Token, TokenSource
from enkash_async.tokens._vault import mark_of, vault_for
from enkash_async.tokens._windows import Windows

__all__ = ["LOGIN_TIMEOUT", "ProviderOptions", "StoreTokenProvider"]

_log = getLogger("enkash_async.tokens")

_HIGHEST = 2**52  # above every generation: generations are milliseconds since 1970, far below this number
_PATIENCE = 2.0  # seconds that a caller waits for a new token while the old one is still valid
_GRACE = 2.0  # seconds that `aclose` waits for a login under way; most logins take less than one
_ROUNDS = 16  # most refreshes that one caller waits for; needs over two only if several are cut off in a row
LOGIN_TIMEOUT = 15.0  # seconds, the default of `login_timeout`


class ProviderOptions(TypedDict, total=False):
    """The keyword arguments of `StoreTokenProvider`; its subclasses take them too."""

    sealer: TokenSealer | None
    on_store_down: OnStoreDown
    login_timeout: float
    allow_plain: bool
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    random: Callable[[], float]


class StoreTokenProvider:
    """Hands out tokens of a source, and shares them through a store: all processes of an account share one login.

    A fresh token is returned at once, without a lock or I/O. Before a token expires, a new token is fetched in the
    background, while callers go on with the old token. Callers who need a new token share one login, and its failure.
    Each login attempt is recorded in the store before it is sent. So all processes together never risk a third wrong
    login in a row, which locks the account. Cancelling one caller does not affect the others. One provider serves
    several event loops and threads, and goes on after `fork`.

    While the store is unavailable, callers get the token in hand until it expires. Then `on_store_down` decides:

    - `"serve"`: no login is made without the store.
    - `"login_if_proven"`: this process logs in once, if its credentials are known to work and the last read of the
      store showed no lock, no bar and no charged attempt. If the password is changed during the outage, three processes
      can lock the account.
    - `"login"`: this process logs in with any credentials, and its guard sees only its own attempts.

    Args:
        source: Object that logs in, such as a `PasswordGrant`.
        store: Store that the processes of the account share; the provider never closes it.
        sealer: Encrypts tokens before they are stored; None uses a key that is derived from the credentials.
        on_store_down: See above.
        login_timeout: Seconds after which a login times out; above 0 and up to 110.
        allow_plain: Store tokens in plain text if they cannot be sealed. A file never holds plain tokens.
        clock: Returns seconds, including those in which the machine sleeps. The source's tokens must use this clock.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1), which spreads the refreshes of several processes.

    Raises:
        ConfigurationError: An argument is unusable, or tokens could only be stored in plain text.
    """

    def __init__(
        self,
        source: TokenSource,
        store: Store,
        *,
        sealer: TokenSealer | None = None,
        on_store_down: OnStoreDown = "login_if_proven",
        login_timeout: float = LOGIN_TIMEOUT,
        allow_plain: bool = False,
        clock: Callable[[], float] = instant,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        check_arguments(source, store, sealer, on_store_down, login_timeout)
        self._refresher = Refresher(
            source,
            store,
            vault_for(source, store, sealer=sealer, allow_plain=allow_plain),
            on_store_down=on_store_down,
            login_timeout=login_timeout,
            clock=clock,
            sleep=sleep,
            random=random,
        )
        self._clock = clock
        self._waits = waits_beside(clock)
        self._random = random
        self._share = random()
        # Re-entrant: garbage collection in a thread that holds the lock may end a refresh whose event loop is closed.
        self._lock = threading.RLock()
        self._held: Held | None = None
        self._flight: Flight | None = None
        self._refused: Reject | None = None  # the newest token that EnKash refused to a caller
        self._reports = True  # whether the next refresh reports the refusal in `_refused` to the store
        self._failures = 0
        self._complained: type[EnkashError] | None = None  # type of the failure that was logged last
        self._closed = False
        reset_after_fork(self)

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        """Return a token to attach to a request.

        Args:
            rejected: A token that EnKash refused with 401. The returned token is newer, and has another secret.

        Raises:
            CredentialsRejectedError: EnKash refused the credentials, in a login of this caller or in a shared login.
            LoginGuardError: No login was made, since another attempt could lock the account.
            TokenEndpointError: The login failed, or no login is made for some time after a failure; `retry_after` is
                the number of seconds to wait.
            StoreUnavailableError: The store is unavailable, and `on_store_down` allows no login.
            StoreError: This version cannot use the record in the store.
        """
        held = self._held
        if rejected is None and held is not None and (fast_clock() < held.fresh_until or self._is_fresh(held)):
            return held.token
        if rejected is not None:
            self._note_refusal(rejected)
        return await self._get_slowly(rejected)

    async def aclose(self) -> None:
        """Hand out no more tokens, and stop a refresh under way; a login that was sent gets two seconds to finish.

        A second call does nothing.
        """
        with self._lock:
            self._closed = True
            self._held = None
            flight, self._flight = self._flight, None
            waiters = [] if flight is None else flight.land(closed())
        wake(waiters)
        if flight is None or flight.task is None:
            return
        if flight.loop is asyncio.get_running_loop():
            if flight.logs_in:  # a login that is cut off stays charged to the budget, since EnKash may count it
                await asyncio.wait([flight.task], timeout=_GRACE)
            flight.task.cancel()
            await asyncio.wait([flight.task])
            await self._refresher.settle_owed()
        elif not flight.loop.is_closed():
            flight.loop.call_soon_threadsafe(flight.task.cancel)

    @property
    def client(self) -> str:
        """A hash of the client id, the same in every process."""
        return self._refresher.who.client

    def state(self) -> ProviderState:
        """Return what the provider knows at the moment, without I/O."""
        held, pause = self._held, self._refresher.pause
        cooling = max(0.0, pause.due - self._waits()) if pause is not None else 0.0
        guard = pause.failure if pause is not None and isinstance(pause.failure, LoginGuardError) else None
        return ProviderState(
            generation=None if held is None else held.token.generation,
            remaining=None if held is None else held.token.remaining(self._clock()),
            refreshing=self._flight is not None,
            logins=self._refresher.logins,
            failures=self._failures,
            barred=None if guard is None else guard.reason,
            cooling=0.0 if guard is not None else cooling,
            store_away=self._refresher.is_away,
            proven=self._refresher.known is not None and self._refresher.known.proven,
            charged=0 if self._refresher.known is None else self._refresher.known.charged,
        )

    async def look(self) -> ProviderState:
        """Read the account from the store, and return the provider's new state; no login is made.

        Raises:
            StoreUnavailableError: The store is unavailable.
            StoreError: This version cannot use the record in the store.
        """
        found = await self._refresher.look()
        if found is not None:
            with self._lock:
                if not self._closed:
                    self._adopt(found)
        return self.state()

    async def reset_guard(self) -> None:
        """Grant these credentials one more login attempt; for operators who have repaired the account.

        For all processes, the reset removes a lock, a cooldown and the bar of these credentials, and allows one attempt
        within ten minutes. Earlier attempts stay charged until a login works: if the granted attempt fails, reset
        again.

        Raises:
            StoreUnavailableError: The store is unavailable.
        """
        await self._refresher.reset()

    def after_fork(self) -> None:
        """Replace the parent process's lock, and forget the parent's refresh, which goes on in the parent."""
        self._lock = threading.RLock()
        self._flight = None
        self._refresher.after_fork()
        self._share = self._random()  # otherwise all workers of a prefork server would refresh at the same time

    # --- callers ------------------------------------------------------------------------------------------------------

    def _note_refusal(self, rejected: Token) -> None:
        """Drop a refused token, and all older tokens."""
        if not -1 < rejected.generation < _HIGHEST:
            raise ConfigurationError("rejected must be a token that this provider has handed out")
        mark = mark_of(rejected)
        with self._lock:
            held = self._held
            is_held = held is not None and mark_of(held.token) == mark
            # The held token may have the same secret as the refused token, and another generation. Then all generations
            # up to the higher of the two are refused.
            fence = (
                max(rejected.generation, held.token.generation) if held is not None and is_held else rejected.generation
            )
            refusal = Reject(self._refresher.who.client, fence, mark)
            if self._refused is None or refusal.fence >= self._refused.fence:
                self._refused = refusal
            if self._refused is refusal:
                self._reports = not (held is not None and is_held and held.is_unshared)
            if is_held:
                self._refresher.withhold(refusal.mark)
            if held is not None and (held.token.generation <= refusal.fence or is_held):
                self._held = None

    async def _get_slowly(self, rejected: Token | None) -> Token:
        """Return a token newer than the rejected one, after a refresh if the token's windows require it."""
        loop = asyncio.get_running_loop()
        floor, mark = (-1, "") if rejected is None else (rejected.generation, mark_of(rejected))
        for _ in range(_ROUNDS):
            with self._lock:
                held, now = self._usable(floor, mark), self._clock()
                if held is not None and (now < held.ahead_at or self._is_postponed()):
                    return held.token
                flight, is_new = self._join_or_start(loop, floor)
                serves = held is not None and self._serves_meanwhile(held, now)
                waiter = None if serves else flight.join(loop)
            if is_new:
                self._launch(flight)
            if waiter is None:
                assert held is not None  # noqa: S101 (a caller without a token waits)
                return held.token
            await flight.wait(waiter, None if held is None else self._patience(held, now), self._clock)
            if held is not None and (best := self._usable(floor, mark)) is not None:
                return best.token
            if held is None and isinstance(flight.outcome, EnkashError):
                raise flight.outcome.copy() from flight.outcome.__cause__
            if isinstance(flight.outcome, Token) and self._answers(flight.outcome, floor):
                if mark_of(flight.outcome) != mark:
                    return flight.outcome
                self._note_refusal(flight.outcome)  # EnKash gave out the rejected secret again
        raise TokenError("every refresh of the token was cut off, or brought one that EnKash had refused")

    def _usable(self, floor: int, mark: str = "") -> Held | None:
        held = self._held
        if held is None or self._clock() >= held.hold_at or not self._answers(held.token, floor):
            return None
        return None if mark and mark_of(held.token) == mark else held

    def _answers(self, token: Token, floor: int) -> bool:
        """Whether a token's generation is above the floor, and its secret is not the refused secret."""
        return token.generation > floor and (self._refused is None or mark_of(token) != self._refused.mark)

    def _is_fresh(self, held: Held) -> bool:
        """Whether a token need not be renewed yet; caches the answer in `fresh_until`."""
        held.fresh_until = fast_clock_until(self._clock, held.ahead_at)
        return self._clock() < held.ahead_at

    def _is_postponed(self) -> bool:
        """Whether the next refresh is put off while the token in hand is usable."""
        pause, now = self._refresher.pause, self._waits()
        return (pause is not None and now < pause.until) or now < self._refresher.postponed_until

    def _serves_meanwhile(self, held: Held, now: float) -> bool:
        """Whether a caller gets the token in hand at once, and does not wait for the new one."""
        if self._refresher.is_away:
            return True  # the token in hand is valid: do not wait for an unavailable store
        return now < held.wait_at and not self._refresher.was_cut_off

    def _patience(self, held: Held, now: float) -> float:
        """Return the seconds that a caller waits for a new token before it gets the token in hand."""
        lives = held.hold_at - now
        # The last refresh was cut off when its event loop ended. This caller waits, since the end of its own event loop
        # could cut off the next refresh too.
        return lives if self._refresher.was_cut_off else min(_PATIENCE, lives)

    def _join_or_start(self, loop: asyncio.AbstractEventLoop, floor: int) -> tuple[Flight, bool]:
        """Return the refresh under way or a new one, and whether it is new. The caller must hold the lock."""
        if self._closed:
            raise closed()
        flight = self._flight
        if flight is not None and not flight.is_adrift(loop, self._clock()):
            return flight, False
        pause = self._refresher.pause
        if pause is not None and (now := self._waits()) < pause.until:
            raise pause.failure_at(now)
        above = max(floor, _fence(self._refused))
        held = self._held
        if held is not None and not held.is_unshared:
            above = max(above, held.token.generation)
        needed_at = -math.inf if held is None else held.wait_at
        self._flight = flight = Flight(
            loop,
            above=above,
            refused=self._refused,
            reports=self._reports,
            proof=0 if held is None or not held.is_own else held.token.generation,
            needed_at=needed_at,
        )
        return flight, True

    def _launch(self, flight: Flight) -> None:
        """Start a refresh. Do not hold the lock: an eager task factory runs the first part of the task at once."""
        # An empty context: a task that serves all callers must not carry the context variables of one caller.
        flight.task = flight.loop.create_task(self._fly(flight), context=contextvars.Context())
        # Ends the refresh even if its task is cancelled before its first step: `_fly` and its `finally` never run then.
        flight.task.add_done_callback(lambda _: self._end(flight, None))

    # --- the refresh --------------------------------------------------------------------------------------------------

    async def _fly(self, flight: Flight) -> None:
        """Run a refresh to its end and wake its waiters; raises nothing but a cancellation."""
        outcome: RefreshResult | EnkashError | None = None
        try:
            if not flight.done:
                outcome = await self._refresher.run(flight, lambda: self._usable(_fence(flight.refused)) is not None)
        except EnkashError as failure:
            outcome = failure
        except Exception as problem:  # noqa: BLE001 (the store may be the user's own; every waiter must be told)
            outcome = TokenError(f"the store of tokens failed with {type(problem).__name__}")
        finally:
            self._end(flight, outcome)

    def _end(self, flight: Flight, outcome: RefreshResult | EnkashError | None) -> None:
        """Take over the result of a refresh and wake its waiters; a second call does nothing."""
        with self._lock:
            if flight.done:
                return
            if self._flight is flight:
                self._flight = None
            if not self._closed:  # a stopped event loop may resume after `aclose`
                self._take_in(outcome)
            waiters = flight.land(outcome.token if isinstance(outcome, RefreshResult) else outcome)
        wake(waiters)

    def _take_in(self, outcome: RefreshResult | EnkashError | None) -> None:
        if isinstance(outcome, RefreshResult):
            self._adopt(outcome)
        elif outcome is not None:
            self._failures += 1
            if type(outcome) is not self._complained:  # not again for the same kind: a closed guard fails every second
                self._complained = type(outcome)
                _log.warning("no new token: %s: %s", type(outcome).__name__, outcome, extra=about(outcome.call_id))

    def _adopt(self, result: RefreshResult) -> None:
        token, held = result.token, self._held
        if not self._answers(token, _fence(self._refused)):
            return
        if held is not None and not held.is_unshared and token.generation <= held.token.generation:
            return
        self._held = _held(result, Windows.of(token.expires_in, self._share), self._clock())
        self._refresher.pause = None
        self._complained = None


def _fence(refusal: Reject | None) -> int:
    return -1 if refusal is None else refusal.fence


def _held(result: RefreshResult, windows: Windows, now: float) -> Held:
    token = result.token
    end = token.requested_at + token.expires_in
    # If EnKash gave out the same secret again, renew when `wait` begins; after a second repeat, when `hold` begins.
    ahead_at = [end - windows.ahead, end - windows.wait, end - windows.hold][min(result.repeats, 2)]
    if result.is_unshared:
        ahead_at = min(ahead_at, now + RETRY_STORE)
    return Held(token, ahead_at, end - windows.wait, end - windows.hold, result.is_unshared, result.is_own)
