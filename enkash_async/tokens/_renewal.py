"""Obtains a token: from the store, by logging in, or by logging in locally while the store is unreachable."""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from logging import getLogger
from typing import Literal, TypeAlias, assert_never

import attrs

from enkash_async._support.clock import waits_beside
from enkash_async.errors import ConfigurationError, TokenEndpointError, TokenError, TokenStoreError
from enkash_async.tokens._credentials import Identity
from enkash_async.tokens._flight import Flight
from enkash_async.tokens._limits import REMEMBERED, RENEWAL_PAUSE
from enkash_async.tokens._memory import MemoryTokenStore
from enkash_async.tokens._states import Pause, RefreshResult, cooling, guard_closed, guard_view, store_away
from enkash_async.tokens._types import (
    Claim,
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
from enkash_async.tokens._windows import hold_back, usable_lifetime

__all__ = ["OFFER_PAUSE", "OnStoreDown", "Renewals"]

#: What a provider does that needs a token while its store is away; see `CachingTokenProvider`.
OnStoreDown: TypeAlias = Literal["serve", "login_if_proven", "login"]

_POLICIES = ("serve", "login_if_proven", "login")

_log = getLogger("enkash_async.tokens")

_HEARTBEAT = 2.0  # seconds between signs of life of a login
_BEATS = 30  # signs of life of one login; far more than its time-out leaves time for
_FIRST_LOOK = 0.05  # seconds between looks at somebody else's login; they grow, so that a slow one costs few commands
_LONGEST_LOOK = 0.5
_GUARD_LOOK = 1.0  # seconds for which a closed guard is believed without asking the store again
_COOL_LOOK = 5.0  # likewise for a cooldown, which an operator may end
#: Seconds between attempts to reach a store that is away while a token is in hand.
OFFER_PAUSE = 1.0
_SPREAD = 1.0  # seconds over which the workers of a fleet that lost its store spread their logins


@attrs.frozen
class _Report:
    """A login that failed, as a store is told of it."""

    owner: str
    fence: int | None
    failure: Failure
    retry_after: float | None

    async def to(self, store: TokenStore, identity: Identity) -> float:
        """Tell a store, and return the seconds of cooldown that now hold."""
        return await store.fail(identity, self.owner, self.failure, self.retry_after, fence=self.fence)


class _AwayError(Exception):
    """The store could not be reached; apart from a source's own error of the same kind."""

    def __init__(self, problem: TokenStoreError) -> None:
        super().__init__()
        self.problem = problem


class Renewals:
    """Brings new tokens for one provider, one at a time.

    Args:
        source: Logs in.
        store: What the workers of the account share.
        on_store_down: See `CachingTokenProvider`.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
        random: Returns a number in [0, 1).

    Attributes:
        pause: A failure that is answered from memory for a while.
        postponed_until: Before this instant a token that still serves is not renewed, since the store is away.
        logins: Logins that worked.
        is_away: Whether the store could not be reached when it was last needed.
    """

    def __init__(
        self,
        source: TokenSource,
        store: TokenStore,
        on_store_down: OnStoreDown,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        random: Callable[[], float],
    ) -> None:
        if on_store_down not in _POLICIES:
            raise ConfigurationError(f"on_store_down must be one of {', '.join(map(repr, _POLICIES))}")
        self._source = source
        self._store = store
        self._policy = on_store_down
        self._clock = clock
        self._waits = waits_beside(clock)
        self._sleep = sleep
        self._random = random
        self.pause: Pause | None = None
        self.postponed_until = -math.inf
        self.logins = 0
        self.is_away = False
        self._reported = -1  # the highest refused generation that the store knows of
        self._answered = -1  # the highest refused generation that a newer token has replaced
        self._warned = False
        # The owner of a claim without an answer. The store may have carried it out, and would let a stranger wait.
        self._unanswered: str | None = None
        # While the store is away, this one keeps the guard of this process; it shares the code of the other path.
        self._alone = MemoryTokenStore(clock=clock, random=random)
        self._proven = False  # whether the store, or a login, has shown that the credentials work
        self._has_number = False  # whether generations are counted on from one of the store's
        self._barred: str | None = None  # why the store refuses a login, as it said last
        # Failures that the store has not heard of; a few are as good as many, since they close the guard.
        self._owed: deque[_Report] = deque(maxlen=REMEMBERED)

    async def run(self, flight: Flight, still_serves: Callable[[], bool]) -> RefreshResult | None:
        """Bring a token of a generation above `flight.above`.

        Args:
            flight: What is wanted.
            still_serves: Whether the token in hand will do meanwhile.

        Returns:
            The token; None when the store is away and the token in hand serves on.

        Raises:
            TokenError: There is none.
        """
        try:
            await self._settle_up(flight)
            return await self._pursue(self._store, flight)
        except _AwayError as found:
            away = found.problem
        if not self.is_away:
            self.is_away = True
            _log.warning("the token store is away: %s", away)
        if still_serves():
            self.postponed_until = self._waits() + OFFER_PAUSE
            return None
        return await self._go_alone(flight, away)

    def after_fork(self) -> None:
        """Let go of what the parent goes on with: a claim that two processes take for theirs would be two logins."""
        self._unanswered = None

    async def reset(self) -> None:
        """Forget why no login is made, here and in the store."""
        identity = self._source.identity
        await self._store.reset(identity)
        await self._alone.reset(identity)
        self._owed.clear()
        self._barred = None
        self.pause = None

    # --- with the store -----------------------------------------------------------------------------------------------

    async def _settle_up(self, flight: Flight) -> None:
        """Tell the store what it missed, before asking it for anything."""
        identity = self._source.identity
        with _asking():
            if flight.covers > self._reported:
                await self._store.reject(identity, flight.covers)
                self._reported = flight.covers
            if flight.offer is not None:
                # Refused where somebody was faster; the claim that follows brings whichever token is the fleet's. Of a
                # dead one it is told as well, and knows then what became of its owner's login.
                await self._store.publish(identity, *flight.offer)
            while self._owed:
                report = self._owed.popleft()
                try:
                    await report.to(self._store, identity)
                except BaseException:
                    self._owed.appendleft(report)
                    raise

    async def _pursue(self, store: TokenStore, flight: Flight) -> RefreshResult:
        owner, look, overtaken = _nonce(), _FIRST_LOOK, 0
        if store is self._store and self._unanswered is not None:
            owner = self._unanswered
        while True:
            if store is self._store:
                self._unanswered = owner
            with _asking():
                claim = await store.claim(self._source.identity, owner, above=flight.above)
            if store is self._store:
                self._note_answer(claim)
            match claim:
                case Found(token, _, settled):
                    self._answered = flight.covers
                    return RefreshResult(token, settled)
                case Lead():
                    gain = await self._lead(store, owner, claim)
                    if gain is not None:
                        self._answered = flight.covers
                        return gain
                    owner = _nonce()  # what the store noted of the last attempt must not be taken for the next one's
                    overtaken += 1
                    if overtaken > 1:  # a store that takes no token must not cost login after login
                        raise self._hold(_COOL_LOOK, TokenError("the token store takes no token"))
                case Wait(seconds):
                    await self._sleep(min(seconds, look * (0.75 + self._random() / 2)))
                    look = min(look * 1.5, _LONGEST_LOOK)
                case Cooling(seconds):
                    raise self._hold(min(seconds, _COOL_LOOK), cooling(seconds), due=seconds)
                case Refused(reason):
                    raise self._hold(_GUARD_LOOK, guard_closed(reason))
                case _:
                    assert_never(claim)

    async def _begin(self, store: TokenStore, owner: str) -> bool:
        """Say that a login is sent now, from where on it counts; False when the lease is somebody else's meanwhile."""
        if store is self._store:
            self._unanswered = owner  # nothing is sent if the store goes away now: the lease is to be found again
        with _asking():
            is_ours = await store.beat(self._source.identity, owner)
        self._unanswered = None
        return is_ours

    def _note_answer(self, claim: Claim) -> None:
        if not isinstance(claim, Found):  # an earlier claim of the same owner may have left a lease
            self._unanswered = None
        self._barred = claim.reason if isinstance(claim, Refused) else None
        self._has_number = self._has_number or isinstance(claim, (Found, Lead))
        if isinstance(claim, Found):
            self._proven = claim.proven
        if self.is_away:
            self.is_away = False
            _log.info("the token store is back")

    def _hold(self, seconds: float, failure: TokenError, *, due: float = 0.0) -> TokenError:
        """Give a failure to every caller for the next seconds without asking the store, and return it."""
        now = self._waits()
        self.pause = Pause(now + seconds, now + max(seconds, due), failure)
        return failure

    # --- without it ---------------------------------------------------------------------------------------------------

    async def _go_alone(self, flight: Flight, away: TokenStoreError) -> RefreshResult:
        """Log in without the store, where that cannot lock the account; the token is offered to the store later."""
        if self._barred is not None:
            raise guard_closed(self._barred)
        if self._policy == "serve" or (self._policy == "login_if_proven" and not self._proven):
            raise store_away(away, self._policy)
        identity = self._source.identity
        if self._proven:
            self._alone.trust(identity)
        if flight.covers > self._answered:
            await self._alone.reject(identity, flight.covers)
        return await self._pursue(self._alone, flight)

    # --- the login ----------------------------------------------------------------------------------------------------

    async def _lead(self, store: TokenStore, owner: str, lead: Lead) -> RefreshResult | None:
        """Log in and publish the token; None when somebody overtook it."""
        if store is not self._store:
            await self._sleep(self._random() * _SPREAD)
        if not await self._begin(store, owner):
            return None
        token = await self._log_in(store, owner, lead.fence)
        self.logins += 1
        self._proven = True
        self._alone.trust(self._source.identity)
        self._owed.clear()  # what failed before does not matter any more
        gain = RefreshResult(token, RENEWAL_PAUSE if lead.forced else 0.0, None if store is self._store else owner)
        try:
            is_newest = await store.publish(self._source.identity, owner, token)
        except Exception as problem:  # noqa: BLE001 (a store of any kind)
            # Throwing away a good token would be one more login for the next caller.
            _log.warning("the token store failed with %s; the new token stays in this process", type(problem).__name__)
            return attrs.evolve(gain, unshared=owner)
        return gain if is_newest else None

    async def _log_in(self, store: TokenStore, owner: str, fence: int) -> Token:
        """Make one login attempt; a failure is noted in the store before it is raised."""
        number = fence if store is self._store or self._has_number else None
        beats = asyncio.create_task(self._beat(store, owner))
        try:
            return self._usable(await self._source.fetch_token(), fence)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):  # a store of any kind; who vanishes without a word is charged as well
                await _Report(owner, number, Failure.ABANDONED, None).to(store, self._source.identity)
            raise
        except TokenError as problem:
            failure = problem
        except Exception as problem:  # noqa: BLE001 (a source of the user's own; its words may hold secrets)
            failure = TokenEndpointError(f"the token source failed with {type(problem).__name__}", counted=True)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the refresh is being thrown away with it
                beats.cancel()
        retry_after = failure.retry_after if isinstance(failure, TokenEndpointError) else None
        pause = await self._note_failure(store, _Report(owner, number, guard_view(failure), retry_after))
        if pause > 0:
            self._hold(min(pause, _COOL_LOOK), cooling(pause), due=pause)
            if isinstance(failure, TokenEndpointError):
                failure.retry_after = pause
        raise failure

    def _usable(self, fetched: Token, fence: int) -> Token:
        """Return a token with its number, and with a lifetime to work with."""
        lifetime = usable_lifetime(fetched.expires_in)
        if lifetime != fetched.expires_in and not self._warned:
            self._warned = True
            _log.warning("EnKash gave a token lifetime of %s s; %g s is assumed", fetched.expires_in, lifetime)
        token = attrs.evolve(fetched, generation=fence, expires_in=lifetime)
        if token.remaining(self._clock()) <= hold_back(lifetime):
            raise TokenEndpointError(f"the login took longer than the {lifetime:g} s that its token lives")
        return token

    async def _note_failure(self, store: TokenStore, report: _Report) -> float:
        """Tell of a failure, and return the seconds of cooldown; the guard of this process hears of each."""
        if report.failure in {Failure.REJECTED, Failure.LOCKED}:
            self._proven = False
        elif self._proven:  # they have worked: a missing answer is no wrong password
            report = attrs.evolve(report, failure=Failure.TRANSIENT)
        pause = await report.to(self._alone, self._source.identity)
        if store is self._alone:
            if report.failure is not Failure.TRANSIENT:  # nobody else has to wait for what has passed since
                is_mild = report.failure is Failure.AMBIGUOUS
                self._owed.append(attrs.evolve(report, failure=Failure.ABANDONED) if is_mild else report)
            return pause
        try:
            return await report.to(store, self._source.identity)
        except Exception as problem:  # noqa: BLE001 (a store of any kind)
            _log.warning("the token store failed with %s; the guard holds in this process", type(problem).__name__)
            self._owed.append(report)
            return pause

    async def _beat(self, store: TokenStore, owner: str) -> None:
        """Extend the lease for as long as a login takes; losing it costs one login at most, thanks to the fence."""
        for _ in range(_BEATS):  # a login that hangs for ever must not keep everybody else from trying
            await self._sleep(_HEARTBEAT)
            with contextlib.suppress(Exception):  # a store of the user's own; the login goes on without it
                await store.beat(self._source.identity, owner)


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except TokenStoreError as problem:
        raise _AwayError(problem) from None
    except Exception as problem:  # noqa: BLE001 (a store of the user's own; its words may hold secrets)
        raise _AwayError(TokenStoreError(f"the token store failed with {type(problem).__name__}")) from None


def _nonce() -> str:
    return uuid.uuid4().hex
