"""The life of a token in one process: one state machine, whatever store the processes share."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from collections.abc import Awaitable, Callable
from logging import getLogger

from enkash_async._support.clock import fast_clock, fast_clock_until, instant, waits_beside
from enkash_async._support.forks import reset_after_fork
from enkash_async.errors import ConfigurationError, LoginGuardError, TokenError
from enkash_async.tokens._flight import Flight, wake
from enkash_async.tokens._memory import MemoryTokenStore
from enkash_async.tokens._renewal import OFFER_PAUSE, OnStoreDown, Renewals
from enkash_async.tokens._states import Held, ProviderState, RefreshResult, closed, guard_closed
from enkash_async.tokens._types import Token, TokenSource, TokenStore
from enkash_async.tokens._windows import Windows

__all__ = ["CachingTokenProvider", "InMemoryTokenProvider", "ProviderState"]

_log = getLogger("enkash_async.tokens")

_HIGHEST = 2**52  # no store numbers tokens beyond; microseconds since 1970 come near it in the year 2112
_PATIENCE = 2.0  # seconds that a caller waits for a new token while the old one still lives


class CachingTokenProvider:
    """Hands out tokens from a source, logging in as rarely as can be.

    A fresh token is returned at once, without lock or I/O. In its last stretch a new one is fetched beside the
    work, while callers go on with the old one. Callers who need a new one share one login, and its failure. A caller
    who is cancelled disturbs nobody else. Credentials that EnKash refused are not tried again, since a few wrong
    attempts lock the account. One provider may serve several event loops and threads, and goes on after `fork`.

    While the store cannot be reached, the token in hand serves to its end. What happens then, `on_store_down` says:

    - `"serve"`: `TokenStoreError`; no login is made without the store.
    - `"login_if_proven"`: credentials that are known to work log in once for this process; others raise
      `TokenStoreError`, since a fleet of workers that try a wrong password could lock the account.
    - `"login"`: any credentials log in, with a guard for this process alone.

    A token that was fetched alone is offered to the store when it is back.

    Args:
        source: Logs in.
        store: What the workers of the account share.
        on_store_down: See above.
        clock: Monotonic seconds; the clock of the tokens that the source makes.
        sleep: Waits so many seconds.
        random: Returns a number in [0, 1); spreads the renewals of several processes.
        patience: Seconds that a caller waits for a new token while the old one still lives.
    """

    def __init__(
        self,
        source: TokenSource,
        store: TokenStore,
        *,
        on_store_down: OnStoreDown = "login_if_proven",
        clock: Callable[[], float] = instant,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
        patience: float = _PATIENCE,
    ) -> None:
        if not isinstance(source, TokenSource):
            raise ConfigurationError(f"source must be a TokenSource such as PasswordGrant, not {type(source).__name__}")
        if not isinstance(store, TokenStore):
            raise ConfigurationError(f"store must be a TokenStore, not {type(store).__name__}")
        self._renewals = Renewals(source, store, on_store_down, clock=clock, sleep=sleep, random=random)
        self._clock = clock
        self._waits = waits_beside(clock)
        self._random = random
        self._share = random()
        self._patience = patience
        # Re-entrant: under it, the garbage collector may come to end a refresh that a closed loop left behind.
        self._lock = threading.RLock()
        self._held: Held | None = None
        self._flight: Flight | None = None
        self._watermark = -1  # the highest generation that a caller saw refused
        self._failures = 0
        self._complained: type[TokenError] | None = None  # the kind of failure that the log tells of last
        self._closed = False
        reset_after_fork(self)

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        """Return a token to attach to a request; as in `TokenProvider.get_token`.

        Raises:
            CredentialsRejectedError: EnKash said no, to this caller or to the one whose login it shared.
            LoginGuardError: Another attempt could lock the account, so none was made.
            TokenEndpointError: The login failed for a passing reason; `retry_after` says when to come back.
            TokenStoreError: The shared store cannot be reached.
        """
        held = self._held
        if rejected is None and held is not None and (fast_clock() < held.fresh_until or self._is_fresh(held)):
            return held.token
        return await self._get_slowly(-1 if rejected is None else self._note_rejection(rejected))

    async def aclose(self) -> None:
        """Stop a refresh under way and hand out no more tokens; a second call does nothing."""
        with self._lock:
            self._closed = True
            self._held = None
            flight, self._flight = self._flight, None
            waiters = [] if flight is None else flight.land(closed())
        wake(waiters)
        if flight is None or flight.task is None:
            return
        if flight.loop is asyncio.get_running_loop():
            flight.task.cancel()
            await asyncio.wait([flight.task])
        elif not flight.loop.is_closed():
            flight.loop.call_soon_threadsafe(flight.task.cancel)

    def state(self) -> ProviderState:
        """Return what the provider knows at the moment, without I/O."""
        held, pause = self._held, self._renewals.pause
        cooling = max(0.0, pause.due - self._waits()) if pause is not None else 0.0
        guard = pause.failure if pause is not None and isinstance(pause.failure, LoginGuardError) else None
        return ProviderState(
            generation=None if held is None else held.token.generation,
            remaining=None if held is None else held.token.remaining(self._clock()),
            refreshing=self._flight is not None,
            logins=self._renewals.logins,
            failures=self._failures,
            barred=None if guard is None else guard.reason,
            cooling=0.0 if guard is not None else cooling,
            store_away=self._renewals.is_away,
        )

    async def reset_guard(self) -> None:
        """Let credentials be tried again that were refused; for operators who have put things right."""
        await self._renewals.reset()

    def after_fork(self) -> None:
        """Drop what belongs to the parent process: its lock, and a refresh that goes on there."""
        self._lock = threading.RLock()
        self._flight = None
        self._renewals.after_fork()
        self._share = self._random()  # or all workers of a prefork server would renew in step

    # --- callers ------------------------------------------------------------------------------------------------------

    def _note_rejection(self, rejected: Token) -> int:
        """Drop a refused token and return the generation that the caller's next token must exceed."""
        if not -1 < rejected.generation < _HIGHEST:
            raise ConfigurationError("rejected must be a token that this provider has handed out")
        with self._lock:
            held = self._held
            if held is not None and rejected.generation == held.token.generation:
                if rejected.reveal() != held.token.reveal():
                    return -1  # fetched alone during an outage, under a number that the fleet's token has as well
                if self._waits() < held.renewable_at:
                    # It came in the place of a refused one just now. It is kept: this refusal may be the odd one out.
                    raise guard_closed("renewal")
            self._watermark = max(self._watermark, rejected.generation)
            if held is not None and held.token.generation <= self._watermark:
                self._held = None
        return rejected.generation

    async def _get_slowly(self, floor: int) -> Token:
        """Return a token of a generation above the floor, refreshing as the windows say."""
        loop = asyncio.get_running_loop()
        asked_at, above = self._clock(), floor
        while True:
            with self._lock:
                held, now = self._usable(above), self._clock()
                if held is not None and now < held.ahead_at:
                    return held.token
                if held is not None and self._is_held_off():
                    return held.token
                flight, is_new = self._join_or_start(loop, floor, above)
                stale = flight.covers < floor
                # Nobody waits for a store that is away while the token in hand serves.
                serves = held is not None and (now < held.wait_at or self._renewals.is_away)
                if not serves:
                    waiter = flight.join(loop)
            if is_new:
                self._launch(flight)
            if held is not None and serves:
                return held.token
            patience = None if held is None else min(self._patience, held.hold_at - now)
            await flight.wait(waiter, patience)
            if held is not None:
                if (best := self._usable(above)) is not None:
                    return best.token
                continue
            if isinstance(flight.outcome, TokenError):
                raise flight.outcome.copy() from flight.outcome.__cause__
            if isinstance(flight.outcome, Token):
                token = flight.outcome
                if token.generation > above and (not stale or token.requested_at > asked_at):
                    return token
                # Its login was sent before the rejection, so it may have been revoked by the same stroke. EnKash has
                # not refused it, though: the fleet keeps it.
                above = max(above, token.generation) if stale else above

    def _is_fresh(self, held: Held) -> bool:
        """Whether a token need not be renewed yet, by the clock of its age."""
        held.fresh_until = fast_clock_until(self._clock, held.ahead_at)
        return self._clock() < held.ahead_at

    def _usable(self, floor: int) -> Held | None:
        held = self._held
        if held is None or held.token.generation <= floor or self._clock() >= held.hold_at:
            return None
        return held

    def _is_held_off(self) -> bool:
        """Whether no refresh is begun while the token in hand serves."""
        now = self._waits()
        return self._paused(now) or now < self._renewals.postponed_until

    def _paused(self, now: float) -> bool:
        return self._renewals.pause is not None and now < self._renewals.pause.until

    def _join_or_start(self, loop: asyncio.AbstractEventLoop, floor: int, above: int) -> tuple[Flight, bool]:
        """Return the refresh under way, or a new one to be launched, and which it is; call it under the lock."""
        if self._closed:
            raise closed()
        flight = self._flight
        if flight is not None and not flight.is_adrift(loop):
            return flight, False
        if self._renewals.pause is not None and self._paused(now := self._waits()):
            raise self._renewals.pause.failure_at(now)
        covers, held = max(floor, self._watermark), self._held
        if held is None:
            flight = Flight(loop, above=max(covers, above), covers=covers)
        elif held.unshared is None:
            flight = Flight(loop, above=max(covers, above, held.token.generation), covers=covers)
        else:  # the fleet's token will do, whatever its number: ours was numbered without asking
            flight = Flight(loop, above=max(covers, above), covers=covers, offer=(held.unshared, held.token))
        self._flight = flight
        return flight, True

    def _launch(self, flight: Flight) -> None:
        """Start a refresh; not under the lock, since an eager task factory runs its first part right here."""
        # An empty context: a task that lives for everybody must not carry one caller's variables.
        flight.task = flight.loop.create_task(self._fly(flight), context=contextvars.Context())
        # A task that is cancelled before it began never runs, not even its `finally`.
        flight.task.add_done_callback(lambda _: self._end(flight, None))

    # --- the refresh --------------------------------------------------------------------------------------------------

    async def _fly(self, flight: Flight) -> None:
        """Run a refresh to its end and wake whoever waits; never raises, save for cancellation."""
        outcome: RefreshResult | TokenError | None = None
        try:
            if not flight.done:
                outcome = await self._renewals.run(flight, lambda: self._usable(flight.covers) is not None)
        except TokenError as failure:
            outcome = failure
        except Exception as problem:  # noqa: BLE001 (a store of the user's own; whoever waits must hear of it)
            outcome = TokenError(f"the token store failed with {type(problem).__name__}")
        finally:
            self._end(flight, outcome)

    def _end(self, flight: Flight, outcome: RefreshResult | TokenError | None) -> None:
        """Take in what a refresh brought and wake whoever waits for it, once."""
        with self._lock:
            if flight.done:
                return
            if self._flight is flight:
                self._flight = None
            if not self._closed:  # a loop that stood still may go on after the end
                self._settle(outcome)
            waiters = flight.land(outcome.token if isinstance(outcome, RefreshResult) else outcome)
        wake(waiters)

    def _settle(self, outcome: RefreshResult | TokenError | None) -> None:
        if isinstance(outcome, RefreshResult):
            self._adopt(outcome)
        elif outcome is not None:
            self._failures += 1
            if type(outcome) is not self._complained:  # once; a closed guard would fill the log every second
                self._complained = type(outcome)
                _log.warning("no new token: %s", type(outcome).__name__)

    def _adopt(self, gain: RefreshResult) -> None:
        token, held = gain.token, self._held
        if token.generation <= self._watermark:
            return
        if held is not None and held.unshared is None and token.generation <= held.token.generation:
            return
        windows = Windows.of(token.expires_in, self._share)
        now, end = self._clock(), token.requested_at + token.expires_in
        ahead_at = end - windows.ahead if gain.unshared is None else min(end - windows.ahead, now + OFFER_PAUSE)
        # The age of a renewal counts from here, since the login itself may have taken long.
        renewable_at = self._waits() + gain.settled
        self._held = Held(token, ahead_at, end - windows.wait, end - windows.hold, renewable_at, gain.unshared)
        self._renewals.pause = None
        self._complained = None


class InMemoryTokenProvider(CachingTokenProvider):
    """Hands out tokens from a source, kept in the memory of this process.

    It cannot see other processes, nor other providers in this one: each logs in for itself and guards only its own
    attempts, so several workers with a wrong password can together lock the account. Make one and share it among the
    clients of a process.

    Args:
        source: Logs in, such as a `PasswordGrant`.
        clock: Monotonic seconds; the clock of the tokens that the source makes.
    """

    def __init__(self, source: TokenSource, *, clock: Callable[[], float] = instant) -> None:
        super().__init__(source, MemoryTokenStore(clock=clock), clock=clock)
