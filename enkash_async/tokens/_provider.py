"""The life of a token in one process: one state machine, whatever store the processes share."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable
from logging import getLogger
from typing import assert_never

import attrs

from enkash_async._forks import reset_after_fork
from enkash_async.errors import (
    ConfigurationError,
    LoginGuardError,
    TokenEndpointError,
    TokenError,
)
from enkash_async.tokens._flight import Flight, wake
from enkash_async.tokens._memory import MemoryTokenStore
from enkash_async.tokens._states import Held, Pause, ProviderState, closed, cooling, guard_closed, guard_view
from enkash_async.tokens._types import (
    Cooling,
    Failure,
    Found,
    Lead,
    Refused,
    Token,
    TokenSource,
    TokenStore,
    Wait,
)
from enkash_async.tokens._windows import Windows, usable_lifetime

__all__ = ["CachingTokenProvider", "InMemoryTokenProvider", "ProviderState"]

_log = getLogger("enkash_async.tokens")

_PATIENCE = 2.0  # seconds that a caller waits for a new token while the old one still lives
_HEARTBEAT = 2.0  # seconds between signs of life of a login
_BEATS = 30  # signs of life of one login; far more than its time-out leaves time for
_BLIND_PAUSE = 5.0  # seconds between logins while a store cannot say how long to wait
_LOOK = 0.1  # longest pause in seconds between looks at somebody else's login
_GUARD_LOOK = 1.0  # seconds for which a closed guard is believed without asking the store again
_YOUNG = 5.0  # seconds: a renewed token that is refused at this age would be refused again


class CachingTokenProvider:
    """Hands out tokens from a source, logging in as rarely as can be.

    A fresh token is returned at once, without lock or I/O. In its last stretch a new one is fetched beside the
    work, while callers go on with the old one. Callers who need a new one share one login, and its failure. A caller
    who is cancelled disturbs nobody else. Credentials that EnKash refused are not tried again, since a few wrong
    attempts lock the account. One provider may serve several event loops and threads, and goes on after `fork`.

    Args:
        source: Logs in.
        store: What the workers of the account share.
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
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
        patience: float = _PATIENCE,
    ) -> None:
        if not isinstance(source, TokenSource):
            raise ConfigurationError(f"source must be a TokenSource such as PasswordGrant, not {type(source).__name__}")
        self._source = source
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._share = random()
        self._patience = patience
        # Re-entrant: under it, the garbage collector may come to end a refresh that a closed loop left behind.
        self._lock = threading.RLock()
        self._held: Held | None = None
        self._flight: Flight | None = None
        self._pause: Pause | None = None
        self._watermark = -1  # the highest generation that a caller saw refused
        self._reported = -1  # the highest of these that the store knows of
        self._renewed: int | None = None  # the generation that the last forced renewal brought
        self._renewed_at = -math.inf
        self._logins = 0
        self._failures = 0
        self._warned = False
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
        if rejected is None and held is not None and self._clock() < held.ahead_at:
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
        held, pause, now = self._held, self._pause, self._clock()
        cooling = max(0.0, pause.until - now) if pause is not None else 0.0
        guard = pause.failure if pause is not None and isinstance(pause.failure, LoginGuardError) else None
        return ProviderState(
            generation=None if held is None else held.token.generation,
            remaining=None if held is None else held.token.remaining(now),
            refreshing=self._flight is not None,
            logins=self._logins,
            failures=self._failures,
            barred=None if guard is None else guard.reason,
            cooling=0.0 if guard is not None else cooling,
        )

    async def reset_guard(self) -> None:
        """Let credentials be tried again that were refused; for operators who have put things right."""
        await self._store.reset(self._source.identity)
        self._pause = None

    def after_fork(self) -> None:
        """Drop what belongs to the parent process: its lock, and a refresh that goes on there."""
        self._lock = threading.RLock()
        self._flight = None
        self._share = self._random()  # or all workers of a prefork server would renew in step

    # --- callers ------------------------------------------------------------------------------------------------------

    def _note_rejection(self, rejected: Token) -> int:
        """Drop a refused token and return the generation that the caller's next token must exceed."""
        with self._lock:
            young = self._renewed_at + _YOUNG > self._clock()
            if rejected.generation == self._renewed and young and not self._is_newer(rejected.generation):
                raise guard_closed("renewal")
            self._watermark = max(self._watermark, rejected.generation)
            if self._held is not None and self._held.token.generation <= self._watermark:
                self._held = None
        return rejected.generation

    def _is_newer(self, generation: int) -> bool:
        return self._held is not None and self._held.token.generation > generation

    async def _get_slowly(self, floor: int) -> Token:
        """Return a token of a generation above the floor, refreshing as the windows say."""
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                held, now = self._usable(floor), self._clock()
                if held is not None and now < held.ahead_at:
                    return held.token
                if held is not None and self._paused(now):
                    return held.token
                flight, is_new = self._join_or_start(loop, floor)
                waiter = flight.join(loop)
                stale = flight.covers < floor
            if is_new:
                self._launch(flight)
            if held is not None and now < held.wait_at:
                return held.token
            patience = None if held is None else min(self._patience, held.hold_at - now)
            await flight.wait(waiter, patience)
            if held is not None:
                if (best := self._usable(floor)) is not None:
                    return best.token
                continue
            if isinstance(flight.outcome, TokenError):
                raise flight.outcome.copy() from flight.outcome.__cause__
            if isinstance(flight.outcome, Token):
                if not stale and flight.outcome.generation > floor:
                    return flight.outcome
                # It began before the rejection, so its token may have been revoked by the same stroke.
                floor = max(floor, flight.outcome.generation) if stale else floor

    def _usable(self, floor: int) -> Held | None:
        held = self._held
        if held is None or held.token.generation <= floor or self._clock() >= held.hold_at:
            return None
        return held

    def _paused(self, now: float) -> bool:
        return self._pause is not None and now < self._pause.until

    def _join_or_start(self, loop: asyncio.AbstractEventLoop, floor: int) -> tuple[Flight, bool]:
        """Return the refresh under way, or a new one to be launched, and which it is; call it under the lock."""
        if self._closed:
            raise closed()
        flight = self._flight
        if flight is not None and not flight.is_adrift(loop):
            return flight, False
        if self._pause is not None and self._paused(now := self._clock()):
            raise self._pause.failure_at(now)
        covers = max(floor, self._watermark)
        held = -1 if self._held is None else self._held.token.generation
        flight = Flight(loop, above=max(covers, held), covers=covers, forced=floor >= 0 or covers > self._reported)
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
        outcome: Token | TokenError | None = None
        try:
            outcome = None if flight.done else await self._refresh(flight)
        except TokenError as failure:
            outcome = failure
        except Exception as problem:  # noqa: BLE001 (a store of the user's own; whoever waits must hear of it)
            outcome = TokenError(f"the token store failed with {type(problem).__name__}")
        finally:
            self._end(flight, outcome)

    def _end(self, flight: Flight, outcome: Token | TokenError | None) -> None:
        """Take in what a refresh brought and wake whoever waits for it, once."""
        with self._lock:
            if flight.done:
                return
            if self._flight is flight:
                self._flight = None
            if not self._closed:  # a loop that stood still may go on after the end
                self._settle(flight, outcome)
            waiters = flight.land(outcome)
        wake(waiters)

    def _settle(self, flight: Flight, outcome: Token | TokenError | None) -> None:
        if isinstance(outcome, Token):
            self._adopt(outcome)
            if flight.forced:
                # Its age counts from here, since the login itself may have taken longer than that.
                self._renewed, self._renewed_at = outcome.generation, self._clock()
        elif outcome is not None:
            self._failures += 1
            _log.warning("no new token: %s", type(outcome).__name__)

    def _adopt(self, token: Token) -> None:
        newest = max(self._watermark, -1 if self._held is None else self._held.token.generation)
        if token.generation <= newest:
            return
        windows = Windows.of(token.expires_in, self._share)
        end = token.requested_at + token.expires_in
        self._held = Held(token, end - windows.ahead, end - windows.wait, end - windows.hold)
        self._pause = None

    async def _refresh(self, flight: Flight) -> Token:
        identity = self._source.identity
        if (refused := self._watermark) > self._reported:
            await self._store.reject(identity, refused)
            self._reported = refused
        while True:
            claim = await self._store.claim(identity, flight.owner, above=flight.above)
            match claim:
                case Found(token):
                    return token
                case Lead(fence):
                    token_or_none = await self._lead(flight, fence)
                    if token_or_none is not None:
                        return token_or_none
                case Wait(seconds):
                    await self._sleep(min(seconds, _LOOK))
                case Cooling(seconds):
                    raise self._hold(seconds, cooling(seconds))
                case Refused(reason):
                    raise self._hold(_GUARD_LOOK, guard_closed(reason))
                case _:
                    assert_never(claim)

    def _hold(self, seconds: float, failure: TokenError) -> TokenError:
        """Answer callers with a failure from memory for so many seconds, and return it."""
        self._pause = Pause(self._clock() + seconds, failure)
        return failure

    async def _lead(self, flight: Flight, fence: int) -> Token | None:
        """Log in and publish the token; None when a newer one overtook it."""
        fetched = await self._log_in(flight.owner)
        self._logins += 1
        lifetime = usable_lifetime(fetched.expires_in)
        if lifetime != fetched.expires_in and not self._warned:
            self._warned = True
            _log.warning("EnKash gave a token lifetime of %s s; %g s is assumed", fetched.expires_in, lifetime)
        token = attrs.evolve(fetched, generation=fence, expires_in=lifetime)
        try:
            is_newest = await self._store.publish(self._source.identity, flight.owner, token)
        except Exception as problem:  # noqa: BLE001 (a store of any kind)
            # Throwing away a good token would be one more login for the next caller.
            _log.warning("the token store failed with %s; the new token stays in this process", type(problem).__name__)
            return token
        return token if is_newest else None

    async def _log_in(self, owner: str) -> Token:
        """Make one login attempt; a failure is noted in the store before it is raised."""
        beats = asyncio.create_task(self._beat(owner))
        try:
            return await self._source.fetch_token()
        except asyncio.CancelledError:
            await self._store.fail(self._source.identity, owner, Failure.ABANDONED)
            raise
        except TokenError as problem:
            failure = problem
        except Exception as problem:  # noqa: BLE001 (a source of the user's own; its words may hold secrets)
            failure = TokenEndpointError(f"the token source failed with {type(problem).__name__}", counted=True)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the refresh is being thrown away with it
                beats.cancel()
        await self._note_failure(owner, failure)
        raise failure

    async def _note_failure(self, owner: str, failure: TokenError) -> None:
        retry_after = failure.retry_after if isinstance(failure, TokenEndpointError) else None
        view = guard_view(failure)
        try:
            pause = await self._store.fail(self._source.identity, owner, view, retry_after)
        except Exception as problem:  # noqa: BLE001 (a store of any kind)
            _log.warning("the token store failed with %s; the guard holds in this process", type(problem).__name__)
            is_final = view in {Failure.REJECTED, Failure.LOCKED}
            guard = guard_closed(view.value) if is_final else cooling(_BLIND_PAUSE)
            self._hold(math.inf if is_final else _BLIND_PAUSE, guard)
            return
        if pause > 0:
            self._hold(pause, cooling(pause))
            if isinstance(failure, TokenEndpointError):
                failure.retry_after = pause

    async def _beat(self, owner: str) -> None:
        """Extend the lease for as long as a login takes; losing it costs one login at most, thanks to the fence."""
        for _ in range(_BEATS):  # a login that hangs for ever must not keep everybody else from trying
            await self._sleep(_HEARTBEAT)
            with contextlib.suppress(Exception):  # a store of the user's own; the login goes on without it
                await self._store.beat(self._source.identity, owner)


class InMemoryTokenProvider(CachingTokenProvider):
    """Hands out tokens from a source, kept in the memory of this process.

    It cannot see other processes, nor other providers in this one: each logs in for itself and guards only its own
    attempts, so several workers with a wrong password can together lock the account. Make one and share it among the
    clients of a process.

    Args:
        source: Logs in, such as a `PasswordGrant`.
        clock: Monotonic seconds; the clock of the tokens that the source makes.
    """

    def __init__(self, source: TokenSource, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(source, MemoryTokenStore(clock=clock), clock=clock)
